"""The vocabulary: ids resolve both ways, nothing but text comes out of text, saving is loading."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE, WordLevel
from transformers import AutoTokenizer, GPT2LMHeadModel

from pipeline.errors import InputError
from pipeline.model.checkpoint import save_checkpoint, small_config
from pipeline.model.vocabulary import (
    EVENT_TYPES,
    build_vocabulary,
    item_name,
    load_vocabulary,
)

ITEMS = ("A-1", "手机", "<|purchase|>", "a b", "x|>")
TEXTS = (
    "Red wooden kettle",
    "red wooden spoon",
    "我想买一款新的手机",
    "<|purchase|> <|item:A-1|>",
) * 4
VOCABULARY = build_vocabulary(ITEMS, ["en", "zh-CN"], TEXTS, text_vocab_size=320)


def test_every_id_is_one_token_of_one_kind() -> None:
    kinds = [
        *range(VOCABULARY.n_text),
        *VOCABULARY.control.values(),
        *VOCABULARY.item_token_ids.tolist(),
    ]
    assert sorted(kinds) == list(range(VOCABULARY.size))
    assert len(set(VOCABULARY.tokens())) == VOCABULARY.size


def test_items_and_controls_resolve() -> None:
    assert VOCABULARY.item_ids == tuple(sorted(ITEMS))
    for item_id, token in zip(VOCABULARY.item_ids, VOCABULARY.item_token_ids, strict=True):
        assert VOCABULARY.item_token(item_id) == token
        assert VOCABULARY.tokenizer.id_to_token(int(token)) == item_name(item_id)
    assert VOCABULARY.item_token("nobody sells this") is None
    basic = [kind for kind in EVENT_TYPES if kind != "wishlist"]
    assert [VOCABULARY.event_type_token(kind) for kind in basic] == [
        VOCABULARY.control[kind] for kind in basic
    ]
    with pytest.raises(InputError, match="'search' is not one of view"):
        VOCABULARY.event_type_token("search")


def test_text_and_end_are_one_range() -> None:
    assert VOCABULARY.control["end"] == VOCABULARY.n_text


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("zh-CN", "lang:zh-cn"),
        ("zh_TW", "lang:zh"),
        ("EN", "lang:en"),
        (" zh ", "lang:zh"),
        ("en-GB-$", "lang:en"),
        ("de", None),
        ("english", None),
        ("", None),
        (None, None),
    ],
)
def test_language_falls_back_to_its_primary_tag(tag: str | None, name: str | None) -> None:
    assert VOCABULARY.language_token(tag) == (VOCABULARY.control[name] if name else None)


HOSTILE = [
    *VOCABULARY.tokens()[VOCABULARY.n_text :],
    "<|endoftext|>",
    "<|purchase|><|purchase|>",
    " <|item:A-1|> \u202e\ufeff\x00",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_token_name_in_text_is_spelled_out(text: str) -> None:
    ids = VOCABULARY.encode_text(text)
    assert max(ids) < VOCABULARY.n_text
    assert VOCABULARY.decode_text(ids) == text


@given(st.text())
def test_any_text_survives_and_stays_text(text: str) -> None:
    ids = VOCABULARY.encode_text(text)
    assert all(token < VOCABULARY.n_text for token in ids)
    assert VOCABULARY.decode_text(ids) == text.encode("utf-8", "replace").decode("utf-8")


def test_naughty_strings_survive(shared_data: Path) -> None:
    lines = (shared_data / "hostile_strings" / "blns.txt").read_text(encoding="utf-8").split("\n")
    for line in lines:
        ids = VOCABULARY.encode_text(line)
        assert all(token < VOCABULARY.n_text for token in ids)
        assert VOCABULARY.decode_text(ids) == line


def test_lone_surrogates_do_not_stop_the_night() -> None:
    assert VOCABULARY.decode_text(VOCABULARY.encode_text("a\ud800b")) == "a?b"


def test_decoding_leaves_out_what_is_not_text() -> None:
    ids = [*VOCABULARY.encode_text("red"), VOCABULARY.control["end"], VOCABULARY.size - 1]
    assert VOCABULARY.decode_text(ids) == "red"


def test_saved_is_loaded(tmp_path: Path) -> None:
    VOCABULARY.save(tmp_path)
    loaded = load_vocabulary(tmp_path)
    assert loaded.tokens() == VOCABULARY.tokens()
    assert loaded.item_ids == VOCABULARY.item_ids
    assert dict(loaded.control) == dict(VOCABULARY.control)
    for text in [*TEXTS, *HOSTILE]:
        assert loaded.encode_text(text) == VOCABULARY.encode_text(text)


def test_a_type_that_not_every_shop_has_gets_a_token_where_it_is_seen(tmp_path: Path) -> None:
    """Without it all ids stay; a model that never saw it takes it for the nearest type."""
    plain, wishing = (
        build_vocabulary(ITEMS, ["en"], TEXTS, text_vocab_size=320, event_types=kinds)
        for kinds in (["view", "purchase"], ["view", "wishlist"])
    )
    assert plain.event_type_token("wishlist") == plain.control["view"]
    assert wishing.event_type_token("wishlist") not in {
        wishing.control[kind] for kind in EVENT_TYPES if kind != "wishlist"
    }
    assert set(wishing.tokens()) - set(plain.tokens()) == {"<|wishlist|>"}
    wishing.save(tmp_path)
    assert load_vocabulary(tmp_path).tokens() == wishing.tokens()
    plain.save(tmp_path)
    saved = json.loads((tmp_path / "items.json").read_text())
    del saved["more_event_types"]  # as models of before are
    (tmp_path / "items.json").write_text(json.dumps(saved))
    assert load_vocabulary(tmp_path).tokens() == plain.tokens()


def test_files_of_two_models_are_refused(tmp_path: Path) -> None:
    other = build_vocabulary([*ITEMS, "new"], [], TEXTS, text_vocab_size=320)
    VOCABULARY.save(tmp_path)
    other.tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="different models"):
        load_vocabulary(tmp_path)


def test_transformers_alone_encodes_the_same(tmp_path: Path) -> None:
    model = GPT2LMHeadModel(
        small_config(VOCABULARY, n_layer=1, n_head=1, n_embd=4, n_positions=16, dropout=0.0)
    )
    save_checkpoint(tmp_path, model, VOCABULARY, dt.date(2026, 3, 1))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in [*TEXTS, *HOSTILE]:
        assert tokenizer(text)["input_ids"] == VOCABULARY.encode_text(text)
    assert tokenizer.convert_tokens_to_ids(item_name("手机")) == VOCABULARY.item_token("手机")


@pytest.mark.parametrize("texts", [[], [""], ["a"]])
def test_almost_no_text_is_enough(texts: list[str]) -> None:
    vocabulary = build_vocabulary([], [], texts, text_vocab_size=300)
    assert vocabulary.n_text >= 256
    assert vocabulary.decode_text(vocabulary.encode_text("手机 <|pad|>")) == "手机 <|pad|>"


def test_same_text_same_vocabulary_in_another_process() -> None:
    code = (
        "from pipeline.model.vocabulary import build_vocabulary;"
        f"print(build_vocabulary({ITEMS[::-1]!r}, ['zh-CN', 'en'], {TEXTS[::-1]!r},"
        "text_vocab_size=320).tokenizer.to_str())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert other.stdout.strip() == VOCABULARY.tokenizer.to_str()


def _base() -> Tokenizer:
    """A base model's tokenizer with an added token, as GPT-2's `<|endoftext|>` is."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer=trainer)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def test_a_base_tokenizer_keeps_its_ids_and_loses_its_backdoor() -> None:
    base = _base()
    extended = build_vocabulary(ITEMS, ["en"], [], text_vocab_size=0, base_tokenizer=base)
    assert extended.tokens()[: base.get_vocab_size()] == [
        base.id_to_token(n) for n in range(base.get_vocab_size())
    ]
    assert extended.encode_text("red kettle") == base.encode("red kettle").ids
    backdoor = base.token_to_id("<|endoftext|>")
    assert backdoor in base.encode("<|endoftext|>").ids
    assert backdoor not in extended.encode_text("<|endoftext|>")


def test_a_base_tokenizer_that_is_not_bpe_is_refused() -> None:
    with pytest.raises(InputError, match="is WordLevel; expected a byte-level BPE"):
        build_vocabulary(
            [], [], [], text_vocab_size=0, base_tokenizer=Tokenizer(WordLevel({"a": 0}, "a"))
        )

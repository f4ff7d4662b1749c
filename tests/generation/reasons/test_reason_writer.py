"""Who writes the reason, and that each is written once."""

from __future__ import annotations

import pytest

from pipeline.generation import reason_shards
from pipeline.generation.reasons import reason_writer
from pipeline.generation.reasons.reason_writer import ItemWords, word_choices, write_reasons
from pipeline.generation.reasons.sentence_checks import fault
from pipeline.model.checkpoint import Checkpoint
from tests.generation_shop import N_ITEMS, Shop, history, item, rows_of
from tests.lake_rows import user_id_of

GOOD = {"en": "The brush is really soft.", "zh": "刷子非常柔软。"}


@pytest.fixture
def eloquent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model that writes well: its token ids are still its own, their reading is not."""
    written: list[str] = []

    def write(self, prompts, max_new_tokens, max_rows, done):  # type: ignore[no-untyped-def]
        done(len(prompts))
        control = self.vocabulary.control
        chinese = [control["lang:zh"] in prompt.token_ids for prompt in prompts]
        texts = [GOOD["zh" if zh else "en"] for zh in chinese]
        written.extend(texts)
        return [self.vocabulary.encode_text(text) for text in texts]

    def sure(self, prompts, texts, max_rows):  # type: ignore[no-untyped-def]
        return [1.0] * len(texts)

    monkeypatch.setattr(reason_writer.TextWriter, "write", write)
    monkeypatch.setattr(reason_writer.TextWriter, "least_likelihoods", sure)
    return written


def test_the_models_sentence_where_it_is_good_in_the_users_language(
    shop: Shop, eloquent: list[str]
) -> None:
    made = shop.generate()
    rows = rows_of(made)
    for row in rows:
        if row["language"] in ("en", "zh-CN") and row["reason_method"] == "model":
            assert row["reason"] == GOOD[row["language"][:2]]
    by_language = {row["language"]: row["reason_method"] for row in rows}
    # There are no German words; nothing is written in a language that nobody knows.
    assert by_language["zh-CN"] == "model"
    assert by_language["de"] == "template"
    pairs = {
        (row["items"][0]["item_id"], row["language"])
        for row in rows
        if row["reason_method"] == "model"
    }
    # In English both words, the one and the other are asked for; in Chinese there is one.
    prompts = {"en": 3, "zh-CN": 1}
    assert len(eloquent) == sum(prompts[language] for _, language in pairs)
    assert made.report["reason_methods"]["model"] > len(pairs)


def test_whatever_a_shopper_s_language_is_written_like(shop: Shop, eloquent: list[str]) -> None:
    """Its words are found, and the row has a tag; who has none gets none, or the shop's."""
    told = {"a": " en_GB", "b": "EN", "c": "english", "d": None, "e": "zh-Hans-CN "}
    people = [history(name, [item(n)], language=tag) for n, (name, tag) in enumerate(told.items())]
    words = [
        {"item_id": item(n), "language": tag, "words": said, "aspects": [], "n_reviews": 3}
        for n in range(N_ITEMS)
        for tag, said in (("en", ["soft"]), ("und", ["soft"]), ("zh", ["柔软"]))
    ]
    shop.put("histories", people)
    shop.put("item_words", words)
    made = shop.with_settings("reasons", default_language="").generate()
    rows = {row["user_id"]: row for row in rows_of(made)}
    expected = {"a": "en-GB", "b": "EN", "c": None, "d": None, "e": "zh-Hans-CN"}
    assert {name: rows[user_id_of(name)]["language"] for name in told} == expected
    for name, language in expected.items():
        row = rows[user_id_of(name)]
        assert (row["reason"] is None, row["reason_method"]) == (
            (False, "model") if language else (True, None)
        )
    assert made.report["without_words"] == {"und": 2}
    assert "2 shoppers get no words" in made.report["warnings"][0]

    rows = {row["user_id"]: row for row in rows_of(shop.generate("R2"))}
    assert {row["reason_method"] for row in rows.values()} == {"model"}
    assert {name: rows[user_id_of(name)]["language"] for name in told} == expected | {
        "c": "en",
        "d": "en",
    }


def test_each_pair_is_written_once_however_they_are_cut(
    shop: Shop, eloquent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows_of(shop.generate("R1"))
    n_written = len(eloquent)
    monkeypatch.setattr(reason_shards, "PAIRS_PER_SHARD", 2)
    assert rows_of(shop.generate("R2")) == whole
    assert len(eloquent) == 2 * n_written


def test_what_cannot_be_asked_is_counted(checkpoint: Checkpoint) -> None:
    pairs = [(item(1), "de"), (item(1), "en"), ("new", "en")]
    words = ItemWords({(item(1), "en"): ["soft"], ("new", "en"): ["soft"]}, {})
    table, faults = write_reasons(
        checkpoint, pairs, words, max_prompt_words=4, max_new_tokens=5, batch_rows=8
    )
    assert table.column("item_id").to_pylist() == [pair[0] for pair in pairs]
    assert faults.pop(reason_writer.NO_WORDS) == 1
    assert faults.pop(reason_writer.ITEM_UNKNOWN) == 1
    assert sum(faults.values()) <= 1


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        ([], []),
        (["a"], [["a"]]),
        (["a", "b"], [["a", "b"], ["a"], ["b"]]),
        (["a", "b", "c", "d"], [["a", "b", "c"], ["a", "b"], ["b", "c"], ["a"], ["b"], ["c"]]),
    ],
)
def test_words_are_asked_for_together_and_alone(words: list[str], choices: list[list[str]]) -> None:
    assert word_choices(words, 3) == choices


def test_what_is_said_of_others_only_is_unsupported() -> None:
    words = ItemWords(
        {("a", "en"): ["soft"], ("b", "en"): ["loud", "soft", "kettle"], ("a", "de"): ["weich"]},
        {},
        {"a": "Steel Kettle"},
    )
    assert words.unsupported(("a", "en")) == {"loud", "weich"}


def test_a_phrase_of_several_words_supports_its_words_and_its_aspect() -> None:
    words = ItemWords(
        {("a", "en"): ["low noise"], ("b", "en"): ["long cable", "easy to clean"]},
        {},
        aspects={("a", "en"): ["noise"], ("b", "en"): ["cable", "clean"], ("c", "zh"): ["电池"]},
    )
    assert words.unsupported(("a", "en")) == {"cable", "clean", "电池"}
    assert words.unsupported(("b", "en")) == {"noise", "电池"}
    assert fault("The noise is really low.", ["low noise"]) is None
    assert fault("It is really low.", ["low noise"]) == "word_missing"
    unsupported = words.unsupported(("a", "en"))
    assert (
        fault("Low noise and a good cable.", ["low noise"], unsupported=unsupported)
        == "unsupported"
    )
    assert fault("音质非常好，电池耐用。", ["音质 好"], unsupported=unsupported) == "unsupported"
    assert fault("音质非常好。", ["音质 好"], unsupported=unsupported) is None


def test_the_surest_whole_sentence_is_taken(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = checkpoint.vocabulary

    # Prompts are soft + warm, soft, warm: the third sentence is a person's.
    texts = ["It is quite soft.", "It is really soft.", "I am so warm."]

    def write(self, prompts, max_new_tokens, max_rows, done):  # type: ignore[no-untyped-def]
        return [vocabulary.encode_text(text) for text in texts]

    def likely(values):  # type: ignore[no-untyped-def]
        return lambda self, prompts, texts, max_rows: values[: len(texts)]

    monkeypatch.setattr(reason_writer.TextWriter, "write", write)
    pair = (item(1), "en")
    words = ItemWords({pair: ["soft", "warm"]}, {})
    limits = {"max_prompt_words": 2, "max_new_tokens": 24, "batch_rows": 8}
    for values, sentence in (([0.3, 0.9], texts[1]), ([0.9, 0.3], texts[0]), ([0.1, 0.1], None)):
        monkeypatch.setattr(reason_writer.TextWriter, "least_likelihoods", likely(values))
        table, faults = write_reasons(checkpoint, [pair], words, **limits)
        assert table.column("sentence").to_pylist() == [sentence]
        assert bool(faults) is (sentence is None)

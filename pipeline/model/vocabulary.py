"""The vocabulary of a shop's GPT-2: text tokens, then control tokens, then item tokens.

Guarantees: ids are contiguous per kind (text and `end` form the range a sentence is written from,
item tokens the range a recommendation is chosen from); the same shop text gives the same tokens;
text reaches nothing but text tokens. Control and item tokens are entries of the tokenizer's BPE
vocabulary that no merge leads to and no added token matches, so a review that says `<|purchase|>`
is spelled out in bytes, here and in `transformers.AutoTokenizer` alike.

Gives up: an item is one token. `item_token_ids` is per item so that several can follow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from pipeline.errors import InputError
from pipeline.language_tag import tag_and_primary

# Of the types of every vocabulary.
_BASIC_TYPES = ("view", "cart", "purchase", "return", "rating")
# Types that have a token only where somebody is seen to do so, and the type that stands in where a
# model has none. So a shop without them keeps its ids, and a model of before can be read.
_STANDS_IN = {"wishlist": "view"}
EVENT_TYPES = (*_BASIC_TYPES, *_STANDS_IN)
# `end` comes first: the text tokens and `end` are then one contiguous range of ids.
CONTROLS = ("end", "pad", "history", "reason", "words", "title", "query", "text")
_BYTES = 256

TOKENIZER_FILE = "tokenizer.json"
ITEMS_FILE = "items.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"


@dataclass(frozen=True)
class Vocabulary:
    """Ids for words, controls and items. Make one with `build_vocabulary`."""

    tokenizer: Tokenizer
    item_ids: tuple[str, ...]
    languages: tuple[str, ...]
    n_text: int
    more_event_types: tuple[str, ...] = ()  # those of `_STANDS_IN` that have a token

    @property
    def size(self) -> int:
        """Number of ids; all of `0 … size-1` are in use."""
        return self.n_text + len(self.control) + len(self.item_ids)

    @cached_property
    def control(self) -> Mapping[str, int]:
        """Ids of the control tokens, by name: `end`, `history`, `purchase`, `lang:zh` and so on."""
        names = control_names(self.languages, self.more_event_types)
        return {name: self.n_text + n for n, name in enumerate(names)}

    @property
    def first_item_token(self) -> int:
        """The id of the first item token; the others follow it, in the order of `item_ids`."""
        return self.n_text + len(self.control)

    @cached_property
    def item_token_ids(self) -> np.ndarray:
        """Token ids parallel to `item_ids`."""
        return np.arange(self.first_item_token, self.size, dtype=np.int64)

    @cached_property
    def item_index(self) -> Mapping[str, int]:
        """Position of an item in `item_ids`."""
        return {item_id: n for n, item_id in enumerate(self.item_ids)}

    def item_token(self, item_id: str) -> int | None:
        """The item's token, or none where the model does not know the item."""
        index = self.item_index.get(item_id)
        return None if index is None else self.first_item_token + index

    def event_type_token(self, event_type: str) -> int:
        """The token of an event type, whose embedding is added to the item's.

        A type that nobody was seen to do when the model was trained has that of the nearest one.

        Raises:
            InputError: the contract has no such event type.
        """
        if event_type not in EVENT_TYPES:
            raise InputError(f"event type {event_type!r} is not one of {', '.join(EVENT_TYPES)}")
        if event_type in self.control:
            return self.control[event_type]
        return self.control[_STANDS_IN[event_type]]

    def language_token(self, tag: str | None) -> int | None:
        """The token of a BCP 47 tag, else of its primary language, else none."""
        for name in tag_and_primary(tag):
            if f"lang:{name}" in self.control:
                return self.control[f"lang:{name}"]
        return None

    def encode_text(self, text: str) -> list[int]:
        """Text tokens of any string; lone surrogates become question marks."""
        clean = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self.tokenizer.encode(clean, add_special_tokens=False).ids
        return ids

    def decode_text(self, ids: Iterable[int]) -> str:
        """The text of the text tokens among `ids`; incomplete characters become U+FFFD."""
        text: str = self.tokenizer.decode([int(n) for n in ids if n < self.n_text])
        return text

    def tokens(self) -> list[str]:
        """Every token's name, by id; a warm start matches rows by these names."""
        return [str(self.tokenizer.id_to_token(n)) for n in range(self.size)]

    def save(self, directory: Path) -> None:
        """Write `tokenizer.json`, `tokenizer_config.json` and `items.json`."""
        self.tokenizer.save(str(directory / TOKENIZER_FILE))
        _write_json(
            directory / _TOKENIZER_CONFIG,
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "clean_up_tokenization_spaces": False,
                "model_max_length": 1024,
            },
        )
        _write_json(
            directory / ITEMS_FILE,
            {
                "n_text": self.n_text,
                "languages": self.languages,
                "more_event_types": self.more_event_types,
                "item_ids": self.item_ids,
            },
        )


def load_vocabulary(directory: Path) -> Vocabulary:
    """Read a vocabulary back.

    Raises:
        InputError: a file is missing or is not what `Vocabulary.save` writes.
    """
    try:
        tokenizer = Tokenizer.from_str((directory / TOKENIZER_FILE).read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises the bare Exception for a malformed file
        raise InputError(
            f"{directory / TOKENIZER_FILE} cannot be read: {error}. Run fine_tune again"
        ) from None
    path = directory / ITEMS_FILE
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = Vocabulary(
            tokenizer,
            tuple(saved["item_ids"]),
            tuple(saved["languages"]),
            int(saved["n_text"]),
            tuple(saved.get("more_event_types", ())),  # models of before do not name them
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error!r}. Run fine_tune again") from None
    if tokenizer.get_vocab_size() != vocabulary.size:
        raise InputError(
            f"{directory}: {TOKENIZER_FILE} has {tokenizer.get_vocab_size():,} tokens, {ITEMS_FILE} "
            f"says {vocabulary.size:,}; they are of different models. Run fine_tune again"
        )
    return vocabulary


def build_vocabulary(
    item_ids: Iterable[str],
    languages: Iterable[str],
    texts: Iterable[str],
    *,
    text_vocab_size: int,
    base_tokenizer: Tokenizer | None = None,
    event_types: Iterable[str] = (),
) -> Vocabulary:
    """A vocabulary for a shop.

    Args:
        item_ids: every item that may be met or recommended; duplicates are dropped.
        languages: BCP 47 tags seen.
        texts: what the byte-level BPE is trained on; may be empty. Its order does not matter.
        text_vocab_size: most text tokens to learn; at least one per byte is always there.
        base_tokenizer: a base model's own byte-level BPE, kept as it is instead of training one.
        event_types: those seen; they decide which of the types that not every shop has get a token.

    Raises:
        InputError: the base model's tokenizer is not a byte-level BPE.
    """
    if base_tokenizer is None:
        text_vocab, merges = _trained_bpe(texts, text_vocab_size)
    else:
        text_vocab, merges = _bpe_of(base_tokenizer)
    items = tuple(sorted(set(item_ids)))
    tags = tuple(sorted({part for tag in languages for part in tag_and_primary(tag)}))
    n_text = len(text_vocab)
    seen = set(event_types)
    more = tuple(name for name in _STANDS_IN if name in seen)
    names = [f"<|{name}|>" for name in control_names(tags, more)] + [
        item_name(item) for item in items
    ]
    clash = sorted(set(names) & text_vocab.keys())
    if clash:
        raise InputError(f"the base tokenizer already uses the token names {clash[:5]}")
    vocab = text_vocab | {name: n_text + n for n, name in enumerate(names)}
    return Vocabulary(_byte_level(BPE(vocab=vocab, merges=merges)), items, tags, n_text, more)


def control_names(languages: Iterable[str], more_event_types: Iterable[str] = ()) -> list[str]:
    """Names of all control tokens in the order of their ids."""
    return [*CONTROLS, *_BASIC_TYPES, *more_event_types, *(f"lang:{tag}" for tag in languages)]


def item_name(item_id: str) -> str:
    """The name of an item's token inside the tokenizer."""
    return f"<|item:{item_id}|>"


def _byte_level(model: BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _trained_bpe(texts: Iterable[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    tokenizer = _byte_level(BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, _BYTES),
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    clean = sorted(text.encode("utf-8", "replace").decode("utf-8") for text in texts)
    tokenizer.train_from_iterator(clean, trainer=trainer)
    return _bpe_of(tokenizer)


def _bpe_of(tokenizer: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary and merges of a BPE, its added tokens taken in at their ids.

    Added tokens are matched in text before BPE runs, so a review could contain one. As plain
    entries of the vocabulary they keep their embedding and are no longer matched.
    """
    document: dict[str, Any] = json.loads(tokenizer.to_str())
    model = document["model"]
    vocab: dict[str, int] = dict(model.get("vocab", {}))
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    if model.get("type") != "BPE" or not alphabet <= vocab.keys():
        raise InputError(
            f"base_model's tokenizer is {model.get('type')}; expected a byte-level BPE such as GPT-2's"
        )
    vocab |= {added["content"]: added["id"] for added in document.get("added_tokens") or ()}
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise InputError("base_model's tokenizer leaves gaps between its token ids")
    merges = [
        tuple(pair.split(" ", 1)) if isinstance(pair, str) else (pair[0], pair[1])
        for pair in model["merges"]
    ]
    return vocab, [(left, right) for left, right in merges]


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=0, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8", errors="replace")

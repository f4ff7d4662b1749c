"""Prompts: a user's past, or an item and the phrases to write a sentence from.

A prompt is two parallel lists: token ids, and the ids that GPT-2 in transformers embeds with the
same table and adds to them (`token_type_ids`): the event's type at an item of a history, `text`
everywhere else. Positions are GPT-2's own, counted from the start of the prompt; batches are
padded on the right, where causal attention never looks.

    history   <|history|> <|lang:zh|> (<|query|> text…)* item item item   → next item
    reason    <|lang:zh|> item (<|words|> text…)* <|reason|>              → text… <|end|>
    title     <|title|> text… <|history|>                                 → the item
    name      <|lang:zh|>? item <|title|>                                 → text… <|end|>
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.model.vocabulary import Vocabulary

MAX_QUERIES = 3
MAX_QUERY_TOKENS = 16
MAX_TITLE_TOKENS = 24
MAX_WORD_TOKENS = 8

# Scripts that are written without spaces between words (Thai to Khmer, kana, Han): in mid-sentence
# no space stands before such a word.
_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class Prompt:
    """Token ids and, parallel to them, the ids summed to them."""

    token_ids: list[int]
    type_ids: list[int]

    def __len__(self) -> int:
        return len(self.token_ids)


def history_prompt(  # noqa: PLR0917  the four parts of a past, in its order
    vocabulary: Vocabulary,
    item_ids: Sequence[str],
    event_types: Sequence[str],
    queries: Sequence[str],
    language: str | None,
    max_events: int,
    *,
    max_tokens: int | None = None,
) -> Prompt:
    """The prompt of a user's past; the logits at its last position score the next item.

    Items that are not in the vocabulary are skipped; the newest `max_events` of the others and the
    newest queries are kept. An empty past is a valid prompt.

    Args:
        max_tokens: usually the model's `n_positions`; queries give way first, then old events.
    """
    token_of_item = [vocabulary.item_token(item_id) for item_id in item_ids]
    events = [
        (token, vocabulary.event_type_token(event_type))
        for token, event_type in zip(token_of_item, event_types, strict=True)
        if token is not None
    ][-max_events:]
    head = [vocabulary.control["history"], *_language(vocabulary, language)]
    if max_tokens is not None:
        keep = max(0, max_tokens - len(head))
        events = events[-keep:] if keep else []
    room = None if max_tokens is None else max_tokens - len(head) - len(events)
    head += _query_tokens(vocabulary, queries, room)
    return _with_types(
        vocabulary, [*head, *(token for token, _ in events)], [kind for _, kind in events]
    )


def reason_prompt(
    vocabulary: Vocabulary, item_id: str, words: Sequence[str], language: str | None
) -> Prompt:
    """The prompt for a sentence: the model goes on with text until `control["end"]`."""
    item = vocabulary.item_token(item_id)
    tokens = [*_language(vocabulary, language), *([] if item is None else [item])]
    for word in words:
        tokens += [vocabulary.control["words"], *encode_word(vocabulary, word)[:MAX_WORD_TOKENS]]
    return _with_types(vocabulary, [*tokens, vocabulary.control["reason"]], [])


def title_prompt(vocabulary: Vocabulary, text: str) -> Prompt:
    """The prompt of a title; the logits at its last position score the title's item."""
    tokens = vocabulary.encode_text(text)[:MAX_TITLE_TOKENS]
    control = vocabulary.control
    return _with_types(vocabulary, [control["title"], *tokens, control["history"]], [])


def name_prompt(vocabulary: Vocabulary, item_id: str) -> Prompt:
    """The prompt of an item; the model goes on with its title."""
    item = vocabulary.item_token(item_id)
    tokens = [] if item is None else [item]
    return _with_types(vocabulary, [*tokens, vocabulary.control["title"]], [])


def encode_word(vocabulary: Vocabulary, word: str) -> list[int]:
    """A phrase's tokens as they stand in the middle of a sentence."""
    spaced = word.replace(" ", "") if _SPACELESS.match(word) else f" {word}"
    return vocabulary.encode_text(spaced)


def _language(vocabulary: Vocabulary, tag: str | None) -> list[int]:
    token = vocabulary.language_token(tag)
    return [] if token is None else [token]


def _query_tokens(vocabulary: Vocabulary, queries: Sequence[str], room: int | None) -> list[int]:
    """The newest queries that fit, oldest first."""
    kept: list[list[int]] = []
    for query in reversed(queries[-MAX_QUERIES:]):
        text = vocabulary.encode_text(query.strip())[:MAX_QUERY_TOKENS]
        if not text:
            continue
        if room is not None:
            if len(text) + 1 > room:
                break
            room -= len(text) + 1
        kept.append([vocabulary.control["query"], *text])
    return [token for query_tokens in reversed(kept) for token in query_tokens]


def _with_types(vocabulary: Vocabulary, token_ids: list[int], tail_types: list[int]) -> Prompt:
    """A prompt whose last tokens have the given types and whose others are text."""
    n_text = len(token_ids) - len(tail_types)
    return Prompt(token_ids, [vocabulary.control["text"]] * n_text + tail_types)

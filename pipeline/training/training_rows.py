"""What the model learns from: sequences, and the positions at which it is asked for the next token.

Four kinds of row, all made of `pipeline.model.prompt`'s prompts so that training sees what
generation will:

- `history`: a user's past up to and excluding the held-out event; the next item at every event.
- `query`: the same with the user's last queries before it; the next item at every event that
  came after the last of them, so that no query tells of an item it came after.
- `title`: a title, then its item; and an item, then its title.
- `reason`: an item, words and a language, then a sentence of a review that uses the words.

An item is chosen among item tokens only, a word among text tokens and `end` only: the two kinds
of target are normalised apart, and are never mixed in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.model.prompt import (
    MAX_TITLE_TOKENS,
    Prompt,
    history_prompt,
    name_prompt,
    title_prompt,
)
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainingRow:
    """At `positions[n]` the row is asked for `targets[n]`: items, or text where `is_text`."""

    token_ids: list[int]
    type_ids: list[int]
    positions: list[int]
    targets: list[int]
    is_text: bool

    def __len__(self) -> int:
        return len(self.token_ids)


def history_rows(
    vocabulary: Vocabulary, users: Iterable[UserHistory], max_events: int, max_tokens: int
) -> list[TrainingRow]:
    """One row per user with at least one known event."""
    rows = []
    for user in users:
        prompt = history_prompt(
            vocabulary,
            user.known_items,
            user.known_event_types,
            (),
            user.language,
            max_events,
            max_tokens=max_tokens,
        )
        rows.append(_next_items(vocabulary, prompt, first_event=0))
    return [row for row in rows if row.targets]


def query_rows(
    vocabulary: Vocabulary, users: Iterable[UserHistory], max_events: int, max_tokens: int
) -> list[TrainingRow]:
    """One row per user who searched and then did something."""
    rows = []
    for user in users:
        queries = user.known_queries
        if not queries:
            continue
        prompt = history_prompt(
            vocabulary,
            user.known_items,
            user.known_event_types,
            queries,
            user.language,
            max_events,
            max_tokens=max_tokens,
        )
        typed = user.query_times[len(queries) - 1]
        n_after = sum(
            time >= typed and vocabulary.item_token(item) is not None
            for item, time in zip(user.known_items, user.event_times, strict=False)
        )
        n_events = sum(token >= vocabulary.first_item_token for token in prompt.token_ids)
        rows.append(_next_items(vocabulary, prompt, first_event=max(0, n_events - n_after)))
    return [row for row in rows if row.targets]


def title_rows(vocabulary: Vocabulary, titles: Sequence[tuple[str, str]]) -> list[TrainingRow]:
    """Title to item, and item to title, for each (item_id, title)."""
    rows = []
    for item_id, title in titles:
        token = vocabulary.item_token(item_id)
        if token is None or not title.strip():
            continue
        prompt = title_prompt(vocabulary, title)
        rows.append(
            TrainingRow(prompt.token_ids, prompt.type_ids, [len(prompt) - 1], [token], False)
        )
        text = vocabulary.encode_text(title)[:MAX_TITLE_TOKENS]
        rows.append(text_row(vocabulary, name_prompt(vocabulary, item_id), text))
    return rows


def text_row(vocabulary: Vocabulary, prompt: Prompt, text: list[int]) -> TrainingRow:
    """A prompt and the text that the model should go on with, `end` last."""
    kind = vocabulary.control["text"]
    start = len(prompt) - 1
    return TrainingRow(
        prompt.token_ids + text,
        prompt.type_ids + [kind] * len(text),
        list(range(start, start + len(text) + 1)),
        [*text, vocabulary.control["end"]],
        True,
    )


def _next_items(vocabulary: Vocabulary, prompt: Prompt, first_event: int) -> TrainingRow:
    """Ask for every event's item but the first `first_event` ones, at the token before it."""
    places = [
        place
        for place, token in enumerate(prompt.token_ids)
        if token >= vocabulary.first_item_token
    ][first_event:]
    # The last token is only ever a target: nothing is asked after it.
    return TrainingRow(
        prompt.token_ids[:-1],
        prompt.type_ids[:-1],
        [place - 1 for place in places],
        [prompt.token_ids[place] for place in places],
        False,
    )

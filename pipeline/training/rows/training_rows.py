"""What the model learns from: sequences, and the positions at which it is asked for the next token.

Six kinds of row, all made of `pipeline.model.prompt`'s prompts so that training sees what
generation will:

- `history`: a user's past up to and excluding the held-out event; the next item at every event.
- `query`: the same with the user's last queries before it; the next item at every event that
  came after the last of them, so that no query tells of an item it came after.
- `asked`: a query alone, then the item of the next event within `ANSWERED_WITHIN`.
- `need`: an item's category, its brand with it, or its title as if they had been typed, then the
  item: what makes an item nobody has met yet answer to words.
- `title`: a title, then its item; and an item, then its title.
- `reason`: an item, words and a language, then a sentence of a review that uses the words.

An item is chosen among item tokens only, a word among text tokens and `end` only: the two kinds
of target are normalised apart, and are never mixed in a row.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.model.catalogue import CatalogueItem
from pipeline.model.prompt import (
    MAX_TITLE_TOKENS,
    Prompt,
    history_prompt,
    name_prompt,
    title_prompt,
)
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary

# A search that led to nothing within so long was not about what came after it.
ANSWERED_WITHIN = dt.timedelta(minutes=30)


@dataclass(frozen=True)
class TrainingRow:
    """At `positions[n]` the row is asked for `targets[n]`: items, or text where `is_text`.

    `is_past`: the targets are what a shopper went on to, not what words describe. `about`: the
    vocabulary's number of the item whose catalogue entry the row is made of, if it is.
    """

    token_ids: list[int]
    type_ids: list[int]
    positions: list[int]
    targets: list[int]
    is_text: bool
    is_past: bool = False
    about: int | None = None

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


def asked_rows(
    vocabulary: Vocabulary, users: Iterable[UserHistory], max_tokens: int
) -> list[TrainingRow]:
    """One row per query that led to an item: the query as all that is known of the shopper."""
    rows = []
    for user in users:
        times = user.event_times[: user.n_known]
        for query, typed in zip(user.known_queries, user.query_times, strict=False):
            place = bisect.bisect_left(times, typed)
            if place < len(times) and times[place] - typed <= ANSWERED_WITHIN:
                token = vocabulary.item_token(user.item_ids[place])
                if token is not None:
                    rows.append(_said(vocabulary, query, user.language, token, max_tokens))
    return rows


def need_rows(
    vocabulary: Vocabulary, catalogue: Iterable[CatalogueItem], max_tokens: int
) -> list[TrainingRow]:
    """Up to three rows an item: its last category, its brand before that, and its title."""
    rows = []
    for item in catalogue:
        token = vocabulary.item_token(item.item_id)
        kind = item.category.rpartition(">")[2].strip()
        said = {kind, f"{item.brand} {kind}".strip(), item.title.strip()} - {"", item.brand}
        if token is not None:
            about = token - vocabulary.first_item_token
            rows += [
                replace(_said(vocabulary, words, None, token, max_tokens), about=about)
                for words in sorted(said)
            ]
    return rows


def _said(
    vocabulary: Vocabulary, words: str, language: str | None, token: int, max_tokens: int
) -> TrainingRow:
    prompt = history_prompt(vocabulary, (), (), [words], language, 1, max_tokens=max_tokens)
    return TrainingRow(prompt.token_ids, prompt.type_ids, [len(prompt) - 1], [token], False)


def title_rows(vocabulary: Vocabulary, titles: Sequence[tuple[str, str]]) -> list[TrainingRow]:
    """Title to item, and item to title, for each (item_id, title)."""
    rows = []
    for item_id, title in titles:
        token = vocabulary.item_token(item_id)
        if token is None or not title.strip():
            continue
        prompt = title_prompt(vocabulary, title)
        asked = TrainingRow(prompt.token_ids, prompt.type_ids, [len(prompt) - 1], [token], False)
        text = vocabulary.encode_text(title)[:MAX_TITLE_TOKENS]
        named = text_row(vocabulary, name_prompt(vocabulary, item_id), text)
        about = token - vocabulary.first_item_token
        rows += [replace(asked, about=about), replace(named, about=about)]
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
        True,
    )

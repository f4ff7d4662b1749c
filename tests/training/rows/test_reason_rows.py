"""Which sentences may be learned from."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.lake import Lake, Run
from pipeline.model.prompt import reason_prompt
from pipeline.model.vocabulary import build_vocabulary
from pipeline.training.rows.reason_rows import (
    Review,
    complaint_weights,
    is_complaint,
    read_reviews,
    reason_rows,
    sentences,
)
from tests.lake_rows import user_id_of, write_rows
from tests.small_shop import NIGHT, review_row

V = build_vocabulary(["A"], ["en"], ["quiet kettle"] * 3, text_vocab_size=300)


def rows_of(review: Review, words: list[str], max_new_tokens: int = 40) -> list[str]:
    rows = reason_rows(
        V,
        [review],
        {("A", "en"): words, ("A", "zh"): ["很安静"]},
        max_prompt_words=2,
        max_new_tokens=max_new_tokens,
    )
    written = [V.decode_text(row.targets) for row in rows]
    assert written[::2] == written[1::2]  # a prompt of all the words, and one of a single word
    return written[::2]


def test_only_sentences_that_use_a_word_of_the_item() -> None:
    review = Review("A", "en", "It is quiet. Unquiet times! You like it.\nQuiet, and red")
    assert rows_of(review, ["quiet"]) == ["It is quiet.", "Quiet, and red"]
    assert rows_of(review, []) == []


def test_the_prompt_holds_the_words_used_most_telling_first() -> None:
    row, alone = reason_rows(
        V,
        [Review("A", "en", "It is red, quiet and solid.")],
        {("A", "en"): ["solid", "cheap", "quiet", "red"]},
        max_prompt_words=2,
        max_new_tokens=40,
    )
    prompt = reason_prompt(V, "A", ["solid", "quiet"], "en")
    assert row.token_ids[: len(prompt)] == prompt.token_ids
    singles = [reason_prompt(V, "A", [word], "en") for word in ("solid", "quiet", "red")]
    assert sum(alone.token_ids[: len(one)] == one.token_ids for one in singles) == 1


def test_chinese_words_stand_inside_clauses() -> None:
    assert rows_of(Review("A", "zh", "这个壶真的很安静！价格便宜。"), []) == ["这个壶真的很安静！"]


def test_a_sentence_too_long_to_finish_is_left_out() -> None:
    review = Review("A", "en", "It is quiet.")
    n_tokens = len(V.encode_text("It is quiet."))
    assert rows_of(review, ["quiet"], n_tokens + 1) == ["It is quiet."]
    assert rows_of(review, ["quiet"], n_tokens) == []


@pytest.mark.parametrize(
    "text",
    [
        "It cost 12 euro.",
        "Write to [email] now.",
        "me@shop.example is quiet",
        "See https://shop.example for it",
        "<b>quiet</b> indeed",
        "Only ３ left",
        "Broken \ufffd letters",
        "x" * 200,
        "ok.",
        "",
        "bell \x07 and all",
        "turned \u202e about",
    ],
)
def test_what_must_not_be_learned(text: str) -> None:
    assert list(sentences(text)) == []


def test_what_a_shop_would_not_say() -> None:
    review = Review("A", "en", "My quiet kettle. It is quiet, but red. It is quiet.")
    assert rows_of(review, ["quiet"]) == ["It is quiet."]
    assert rows_of(Review("A", "en", "It is quiet.", satisfied=False), ["quiet"]) == []


def test_a_complaint_in_a_satisfied_review_is_known_by_its_words() -> None:
    reviews = [
        *[Review("A", "en", "The lid is tight and quiet.")] * 4,
        *[Review("A", "en", "The lid leaks.", satisfied=False)] * 3,
        Review("A", "en", "The lid leaks. The lid is quiet."),
    ]
    weights = complaint_weights(reviews)["en"]
    assert is_complaint("The lid leaks.", weights)
    assert not is_complaint("The lid is quiet.", weights)
    assert not is_complaint("Nothing known.", weights)
    rows = reason_rows(
        V,
        reviews[-1:] + reviews[:-1],
        {("A", "en"): ["lid"]},
        max_prompt_words=2,
        max_new_tokens=40,
    )
    written = {V.decode_text(row.targets) for row in rows}
    assert written == {"The lid is quiet.", "The lid is tight and quiet."}


def test_only_satisfied_consenting_past_reviews_each_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rows = [review_row(n) for n in range(4)]
    rows[1]["rating"] = 3.5  # neither satisfied nor not
    rows[2]["review_date"] = NIGHT + dt.timedelta(days=1)
    write_rows(lake, "cleaned_reviews", Run(NIGHT, "a"), rows)
    again = review_row(0) | {"text": "A later delivery of the same review."}
    write_rows(lake, "cleaned_reviews", Run(NIGHT + dt.timedelta(days=1), "a"), [again])
    consenting = {user_id_of(f"user {n}") for n in (0, 1, 2)}
    (found,) = read_reviews(lake, NIGHT + dt.timedelta(days=1), consenting - {rows[2]["user_id"]})
    assert (found.item_id, found.language, found.text) == ("i00", "en", rows[0]["text"])
    assert [review.item_id for review in read_reviews(lake, NIGHT, consenting)] == ["i00"]

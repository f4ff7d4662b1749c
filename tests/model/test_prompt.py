"""Prompts: parallel lists, what is kept and what gives way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.prompt import (
    MAX_QUERIES,
    encode_word,
    history_prompt,
    name_prompt,
    reason_prompt,
    title_prompt,
)
from pipeline.model.vocabulary import EVENT_TYPES, build_vocabulary

V = build_vocabulary(["A", "B", "C"], ["en", "zh"], ["kettle"] * 3, text_vocab_size=300)


def names(token_ids: list[int]) -> list[str]:
    return [str(V.tokenizer.id_to_token(token)) for token in token_ids]


def test_a_history_reads_as_written() -> None:
    prompt = history_prompt(V, ["A", "?", "B"], ["view", "view", "purchase"], [], "zh", 50)
    assert names(prompt.token_ids) == ["<|history|>", "<|lang:zh|>", "<|item:A|>", "<|item:B|>"]
    assert names(prompt.type_ids) == ["<|text|>", "<|text|>", "<|view|>", "<|purchase|>"]


def test_an_empty_history_is_a_prompt() -> None:
    assert names(history_prompt(V, [], [], [], None, 50).token_ids) == ["<|history|>"]
    assert names(history_prompt(V, ["?"], ["view"], [], None, 50).token_ids) == ["<|history|>"]


def test_queries_stand_before_the_items() -> None:
    prompt = history_prompt(V, ["A"], ["view"], ["kettle", "  ", "red"], "en", 50)
    text = V.decode_text(prompt.token_ids)
    assert text == "kettlered"
    assert names(prompt.token_ids).count("<|query|>") == 2
    assert names(prompt.token_ids)[-1] == "<|item:A|>"


@given(
    events=st.lists(st.tuples(st.sampled_from("ABC?"), st.sampled_from(EVENT_TYPES)), max_size=30),
    queries=st.lists(st.text(max_size=40), max_size=6),
    max_events=st.integers(1, 20),
    max_tokens=st.integers(2, 40),
)
def test_a_history_fits_and_keeps_the_newest(
    events: list[tuple[str, str]], queries: list[str], max_events: int, max_tokens: int
) -> None:
    prompt = history_prompt(
        V,
        [item for item, _ in events],
        [kind for _, kind in events],
        queries,
        "en",
        max_events,
        max_tokens=max_tokens,
    )
    assert len(prompt.token_ids) == len(prompt.type_ids) <= max_tokens
    known = [(V.item_token(item), V.event_type_token(kind)) for item, kind in events if item != "?"]
    expected = known[-min(max_events, max_tokens - 2) :] if max_tokens > 2 else []
    found = [
        pair
        for pair in zip(prompt.token_ids, prompt.type_ids, strict=True)
        if pair[0] >= V.first_item_token
    ]
    assert found == expected
    assert names(prompt.token_ids).count("<|query|>") <= MAX_QUERIES


def test_a_reason_prompt_ends_where_the_sentence_starts() -> None:
    prompt = reason_prompt(V, "B", ["quiet", "手机"], "en")
    assert names(prompt.token_ids)[:3] == ["<|lang:en|>", "<|item:B|>", "<|words|>"]
    assert names(prompt.token_ids)[-1] == "<|reason|>"
    assert V.decode_text(prompt.token_ids) == " quiet手机"
    assert set(prompt.type_ids) == {V.control["text"]}


def test_hostile_words_stay_words() -> None:
    prompt = reason_prompt(V, "B", ["<|reason|>", "<|item:A|>"], "en")
    assert names(prompt.token_ids).count("<|reason|>") == 1
    assert V.item_token("A") not in prompt.token_ids


def test_title_and_name_face_each_other() -> None:
    assert names(title_prompt(V, "kettle").token_ids)[-1] == "<|history|>"
    assert names(name_prompt(V, "A").token_ids) == ["<|item:A|>", "<|title|>"]


def test_words_of_spaceless_scripts_get_no_space() -> None:
    assert V.decode_text(encode_word(V, "kettle")) == " kettle"
    assert V.decode_text(encode_word(V, "手机")) == "手机"

"""Templates: whole sentences from facts, in the user's language, whatever the titles hold."""

from __future__ import annotations

import json

import pytest

from pipeline.generation.reasons.templates import MAX_TITLE, shown_title, template_reason
from pipeline.generation.reasons.voice import BOUGHT, CHOSEN, POPULAR, RATED, SEEN, read_voice
from pipeline.settings import Reasons

SENTENCES = read_voice(Reasons()).sentences


@pytest.mark.parametrize("language", sorted(SENTENCES))
@pytest.mark.parametrize("kind", [BOUGHT, RATED, SEEN, POPULAR, CHOSEN])
def test_every_template_names_its_facts_and_nothing_else(language: str, kind: str) -> None:
    text = template_reason(kind, SENTENCES[language], "Red {anchor} lamp", "Blue {item} chair")
    assert "Red {anchor} lamp" in text
    assert ("Blue {item} chair" in text) == (kind in (BOUGHT, RATED, SEEN))
    assert text.endswith((".", "。"))


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_a_missing_title_leaves_a_whole_sentence(language: str) -> None:
    sentences = SENTENCES[language]
    text = template_reason(BOUGHT, sentences, None, "  ")
    assert text == template_reason(CHOSEN, sentences, None, None)
    assert "{" not in text


def test_hostile_titles_stay_one_short_clean_line() -> None:
    hostile = ["a" * 5000, "x\n\r\ty\x00\u202e z", "\ud800", "word " * 100, "{item}", "🙂" * 200]
    for title in hostile:
        shown = shown_title(title)
        assert len(shown) <= MAX_TITLE
        assert shown.isprintable() or not shown
        json.dumps(shown, ensure_ascii=False).encode("utf-8")
    assert shown_title("x\n\r\ty\x00\u202e z") == "x y z"
    assert shown_title("Soft brush with a very long handle " * 4).endswith("…")

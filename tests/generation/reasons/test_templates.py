"""Templates: whole sentences from facts, in the user's language, whatever the titles hold."""

from __future__ import annotations

import json

import pytest

from pipeline.generation.reasons.templates import (
    BOUGHT,
    CHOSEN,
    MAX_TITLE,
    POPULAR,
    RATED,
    SEEN,
    TEMPLATE_LANGUAGES,
    shown_title,
    template_language,
    template_reason,
)


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en-GB", "en"),
        ("zh-Hans-CN", "zh"),
        ("DE_at", "de"),
        ("fr", "en"),
        (None, "en"),
        ("", "en"),
        (" de", "de"),
        ("deutsch", "en"),
    ],
)
def test_template_language(tag: str | None, language: str) -> None:
    assert template_language(tag) == language


@pytest.mark.parametrize("language", TEMPLATE_LANGUAGES)
@pytest.mark.parametrize("kind", [BOUGHT, RATED, SEEN, POPULAR, CHOSEN])
def test_every_template_names_its_facts_and_nothing_else(language: str, kind: str) -> None:
    text = template_reason(kind, language, "Red {anchor} lamp", "Blue {item} chair")
    assert "Red {anchor} lamp" in text
    assert ("Blue {item} chair" in text) == (kind in (BOUGHT, RATED, SEEN))
    assert text.endswith((".", "。"))


@pytest.mark.parametrize("language", TEMPLATE_LANGUAGES)
def test_a_missing_title_leaves_a_whole_sentence(language: str) -> None:
    text = template_reason(BOUGHT, language, None, "  ")
    assert text == template_reason(CHOSEN, language, None, None)
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

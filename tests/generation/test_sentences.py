"""What a shopper may be shown: every rule, both ways."""

from __future__ import annotations

import json

import pytest

from pipeline.generation.sentences import (
    BOUGHT,
    CHOSEN,
    MAX_TITLE,
    POPULAR,
    RATED,
    SEEN,
    TEMPLATE_LANGUAGES,
    brand_words,
    fault,
    first_sentence,
    primary_language,
    shown_title,
    template_language,
    template_reason,
)

BRANDS = brand_words(["Borsta", "Nord & Süd", "Glatt"])


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("The brush is soft and kind to skin.", ["soft"]),
        ("It’s so Soft!", ["soft"]),
        ("刷子非常柔软。", ["柔软"]),
        ("Die Borsten sind weich…", ["hart", "weich"]),
        ("A Borsta brush is soft.", ["soft"]),
        ("So glatt and soft.", ["glatt"]),  # a given word that is also a brand
    ],
)
def test_accepted(sentence: str, words: list[str]) -> None:
    assert fault(sentence, words, BRANDS, "borsta") is None


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("not_clean", "The brush is so\ufffd soft."),
        ("not_clean", "The brush is \u202esoft."),
        ("not_clean", "The brush\x00 is soft."),
        ("too_short", "So soft."),
        ("too_short", ""),
        ("number", "It is soft for 3 weeks."),
        ("number", "It is soft for ٣ weeks."),
        ("number", "It is ½ soft and kind."),
        ("currency", "It is soft for a few €."),
        ("address", "It is soft, ask me@shop."),
        ("address", "So soft, see www.shop for more."),
        ("address", "It is soft, see shop.com today."),
        ("placeholder", "The {item} is soft."),
        ("placeholder", "The <|brush|> is soft."),
        ("placeholder", "The XXX is soft."),
        ("other_brand", "It is soft like Nord & Süd."),
        ("other_brand", "Soft and glatt it is."),
        ("word_missing", "The brush is nice."),
        ("word_missing", "The brush is softer."),
        ("repeats", "It is soft and it is soft and kind."),
        ("repeats", "The the brush is soft."),
        ("repeats", "The bristle is soft and the bristle."),
        ("repeats", "Soft, , and kind."),
        ("repeats", "刷子非常 soft，，很好。"),
        ("personal", "A soft gift for my brother."),
        ("contrast", "It is soft, but heavy."),
        ("no_end", "The brush is soft"),
    ],
)
def test_refused(rule: str, sentence: str) -> None:
    assert fault(sentence, ["soft"], BRANDS, "Borsta") == rule


def test_no_given_word_is_never_mentioned() -> None:
    assert fault("The brush is soft.", []) == "word_missing"
    assert fault("The brush is soft.", [" "]) == "word_missing"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (" I love it. And you", "I love it."),
        ("I love\n it! Really! ", "I love it!"),
        ("很好。真的很好。", "很好。"),
        ("no end at all", "no end at all"),
        ("It is v.2 soft. Yes", "It is v.2 soft."),
        ("", ""),
    ],
)
def test_only_the_first_sentence_is_taken(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en-GB", "en"),
        ("zh-Hans-CN", "zh"),
        ("DE_at", "de"),
        ("fr", "en"),
        (None, "en"),
        ("", "en"),
    ],
)
def test_template_language(tag: str | None, language: str) -> None:
    assert template_language(tag) == language


def test_an_unknown_language_is_und() -> None:
    assert [primary_language(tag) for tag in (None, "", "pt-BR")] == ["und", "und", "pt"]


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


def test_nothing_is_said_that_shoppers_say_of_other_items_only() -> None:
    assert fault("The brush is soft and steady.", ["soft"], untold={"steady"}) == "untold"
    assert fault("刷子很软，不占地方。", ["很软"], untold={"不占地方"}) == "untold"
    assert fault("The brush is soft and steady.", ["soft"], untold={"stead"}) is None


def test_a_character_twice_is_a_word_in_chinese() -> None:
    assert fault("尺寸刚刚好。", ["尺寸刚刚好"]) is None

"""Which of the model's sentences are refused: every rule, both ways."""

from __future__ import annotations

import pytest

from pipeline.generation.reasons.sentence_checks import brand_words, fault, first_sentence

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


def test_what_reviews_say_of_other_items_only_is_refused() -> None:
    assert fault("The brush is soft and steady.", ["soft"], unsupported={"steady"}) == "unsupported"
    assert fault("刷子很软，不占地方。", ["很软"], unsupported={"不占地方"}) == "unsupported"
    assert fault("The brush is soft and steady.", ["soft"], unsupported={"stead"}) is None


def test_a_character_twice_is_a_word_in_chinese() -> None:
    assert fault("尺寸刚刚好。", ["尺寸刚刚好"]) is None

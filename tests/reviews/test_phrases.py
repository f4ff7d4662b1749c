"""Phrases and aspects, against sentences whose phrases were written down by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.reviews.phrases import MAX_PHRASES, phrases

# Sentence -> "phrase/aspect", of a review of five stars.
ENGLISH = {
    "The autofocus is quick and quiet.": "autofocus/autofocus quick_autofocus/autofocus "
    "quiet_autofocus/autofocus",
    "It's a little amp with low noise.": "amp/amp little_amp/amp noise/noise low_noise/noise",
    "The sound quality is great and the battery life is amazing.": "sound_quality/sound_quality "
    "battery_life/battery_life",
    "the corners are well protected": "corners/corner well_protected_corners/corner",
    "The zipper runs smoothly.": "zipper/zipper zipper_runs_smoothly/zipper",
    "the braided cable feels solid": "cable/cable braided_cable/cable solid_cable/cable",
    "It is almost silent": "silent/silent",
    "It is easy to clean.": "easy_to_clean/clean",
    "The buckle is not heavy": "buckle/buckle not_heavy_buckle/buckle",
    "Great product, I love it for the price!": "",
    "My brother bought it as a gift for two weeks.": "",
    "Good quality.": "",
}
GERMAN = {
    "Der Reißverschluss läuft leicht.": "reißverschluss/reißverschluss "
    "reißverschluss_läuft_leicht/reißverschluss",
    "Sehr leiser Lüfter und lange Akkulaufzeit.": "lüfter/lüfter leiser_lüfter/lüfter "
    "akkulaufzeit/akkulaufzeit lange_akkulaufzeit/akkulaufzeit",
    "Die Bilder sind scharf.": "bilder/bild bilder_scharf/bild",
    "Ein tolles Produkt, mein Bruder ist zufrieden.": "",
}
CHINESE = {
    "音质非常好。": "音质/音质 音质_好/音质",
    "屏幕在阳光下也很清晰": "屏幕/屏幕 屏幕_清晰/屏幕",
    "清晰的屏幕和舒服的手感": "屏幕/屏幕 屏幕_清晰/屏幕 手感/手感 手感_舒服/手感",
    "速度很快，声音清脆": "速度/速度 速度_快/速度 声音/声音 声音_清脆/声音",
    "拿在手里很轻": "很轻/轻",
    "一点也不滑": "不滑/不滑",
    "没有异味": "异味/异味 没有异味/异味",
    "充电很快": "充电_快/充电",
    "性价比很高，推荐购买": "",
    "弟弟很喜欢": "",
}


@pytest.mark.parametrize(
    ("language", "sentence", "expected"),
    [
        (language, *pair)
        for language, table in (("en", ENGLISH), ("de", GERMAN), ("zh", CHINESE))
        for pair in table.items()
    ],
)
def test_the_phrases_of_a_sentence(language: str, sentence: str, expected: str) -> None:
    wanted = [tuple(text.replace("_", " ").split("/")) for text in expected.split()]
    found = phrases(None, sentence, language, 5.0)
    assert {(phrase.phrase, phrase.aspect) for phrase in found} == set(wanted)
    assert {phrase.polarity for phrase in found} <= {1}
    assert phrases(None, sentence, language, 5.0) == found


@pytest.mark.parametrize(
    ("language", "text", "rating", "expected"),
    [
        ("en", "The cable is sturdy.", 5.0, {"cable": 1, "sturdy cable": 1}),
        ("en", "The cable is sturdy.", 1.0, {"cable": -1, "sturdy cable": -1}),
        ("en", "The cable is sturdy.", 3.0, {"cable": 0, "sturdy cable": 0}),
        ("en", "The cable is too short.", 5.0, {"cable": 1, "too short cable": -1}),
        (
            "en",
            "The strap is soft, but the buckle is flimsy.",
            5.0,
            {"strap": 1, "soft strap": 1, "buckle": 0, "flimsy buckle": 0},
        ),
        (
            "en",
            "The strap is soft, but the buckle is flimsy.",
            1.0,
            {"strap": 0, "soft strap": 0, "buckle": -1, "flimsy buckle": -1},
        ),
        (
            "zh",
            "音质好，但是电池不耐用",
            5.0,
            {"音质": 1, "音质 好": 1, "电池": 0, "电池 不耐用": 0},
        ),
    ],
)
def test_praise_and_blame(
    language: str, text: str, rating: float, expected: dict[str, int]
) -> None:
    found = phrases(None, text, language, rating)
    assert {phrase.phrase: phrase.polarity for phrase in found} == expected


def test_other_languages_give_words_that_are_not_common() -> None:
    spanish = phrases("Batería", "La cremallera es muy suave y no me arrepiento.", "es", 5.0)
    assert [phrase.phrase for phrase in spanish] == ["batería", "cremallera", "suave"]
    assert phrases(None, "とても静か。", "ja", 5.0)[0].phrase == "とても静か"
    unknown = phrases(None, "The cremallera und der Lüfter", "und", 5.0)
    assert [phrase.phrase for phrase in unknown] == ["cremallera", "lüfter"]


@pytest.mark.parametrize("language", ["en", "de", "zh", "es", "und"])
def test_nothing_hostile_comes_through(language: str, shared_data: Path) -> None:
    naughty = json.loads((shared_data / "hostile_strings" / "blns.json").read_text("utf-8"))
    private = ["write to jane.doe@example.com or A4x", "see https://shop.example/x?quiet [phone]"]
    n = 0
    for text in [*naughty, *private, "\ud800 lone", "", "n't", "'s", "a" * 5000, "好" * 5000]:
        found = phrases(text, text, language, 5.0)
        assert found == phrases(text, text, language, 5.0)
        assert len(found) <= MAX_PHRASES
        for phrase in found:
            n += 1
            assert 1 <= len(phrase.phrase) <= 40
            assert phrase.aspect
            assert not any(
                letter.isdigit() or letter in "@<>[]\x00\x1b\ufffd" for letter in phrase.phrase
            ), phrase
    assert n > 5

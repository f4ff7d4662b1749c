"""In which language a shopper is written to, and what a shop's own file may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.generation.reasons.sentence_checks import fault
from pipeline.generation.reasons.templates import template_reason
from pipeline.generation.reasons.voice import BOUGHT, CHOSEN, read_voice
from pipeline.settings import Reasons

SWEDISH = """\
[sv]
bought = "Du köpte {anchor}, så vi valde {item} åt dig."
rated = "Du recenserade {anchor}, så vi valde {item} åt dig."
seen = "Du tittade på {anchor}, så vi valde {item} åt dig."
popular = "Många av våra kunder väljer {item}."
chosen = "Vi valde {item} åt dig."
this_item = "den här varan"
"""


def own(tmp_path: Path, text: str, default: str = "") -> Reasons:
    path = tmp_path / "voice.toml"
    path.write_text(text, encoding="utf-8")
    return Reasons(voice=str(path), default_language=default)


def test_nine_languages_are_shipped() -> None:
    shipped = {"en", "de", "es", "fr", "it", "pt", "pt-pt", "nl", "zh", "zh-hant", "ja"}
    assert set(read_voice(Reasons()).sentences) == shipped


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en-GB", "en"),
        ("zh-Hans-CN", "zh"),
        ("zh-Hans-HK", "zh"),
        ("zh-TW", "zh-hant"),
        ("zh_Hant_HK", "zh-hant"),
        ("pt_BR", "pt"),
        ("pt-PT", "pt-pt"),
        (" de", "de"),
        ("sv", None),
        ("deutsch", None),
        ("", None),
        (None, None),
    ],
)
def test_nobody_is_written_to_in_another_language(tag: str | None, language: str | None) -> None:
    assert read_voice(Reasons()).language(tag) == language
    assert read_voice(Reasons(default_language="pt-BR")).language(tag) == (language or "pt")


def test_a_shop_changes_a_sentence_and_keeps_the_others(tmp_path: Path) -> None:
    voice = read_voice(own(tmp_path, '[de]\nchosen = "Passt zu dir: {item}."\n'))
    assert template_reason(CHOSEN, voice.sentences["de"], "Bürste", None) == "Passt zu dir: Bürste."
    assert "Weil Sie" in template_reason(BOUGHT, voice.sentences["de"], "Bürste", "Kamm")
    assert voice.forbidden["de"] == read_voice(Reasons()).forbidden["de"]


def test_a_table_of_a_longer_tag_has_the_shorter_ones_entries(tmp_path: Path) -> None:
    voice = read_voice(own(tmp_path, '[de-at]\nthis_item = "dieses Stück"\n'))
    assert (voice.language("de_AT"), voice.language("de-DE")) == ("de-at", "de")
    assert template_reason(CHOSEN, voice.sentences["de-at"], None, None).endswith("dieses Stück.")


def test_forbidden_words_come_to_the_shipped_ones(tmp_path: Path) -> None:
    text = '[en]\nforbidden = ["awesome"]\nallowed = ["warrant*"]\n'
    words = read_voice(own(tmp_path, text)).forbidden["en"]
    assert {"awesome", "guarant*"} <= set(words)
    assert "warrant*" not in words


def test_a_shop_adds_a_language(tmp_path: Path) -> None:
    voice = read_voice(own(tmp_path, SWEDISH, "sv"))
    assert voice.language("sv-SE") == "sv"
    assert voice.language("english") == "sv"
    assert voice.language("fr") == "fr"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[de]\nchosen = 'Für Sie.'", r"voice\.toml: \[de\] chosen: expected {item}, each once"),
        ("[de]\nbought = 'Zu {item}.'", r"\[de\] bought: expected {anchor} and {item}"),
        ("[de]\nchosen = '{item} {item}'", r"\[de\] chosen: expected {item}, each once"),
        ("[de]\nchosen = '{item} {price}'", r"\[de\] chosen: expected {item}, each once"),
        ("[de]\nchosen = '{item} {'", r"\[de\] chosen: a brace without its other one"),
        ("[de]\nthis_item = '{item}'", r"\[de\] this_item: expected no {place}"),
        ("[de]\nchosen = ''", r"\[de\] chosen: expected a text"),
        ("[de]\nchosen = 3", r"\[de\] chosen: expected a text"),
        ("[de]\nchosen = 'a\\n{item}'", None),
        ('[de]\nchosen = "a\\n{item}"', r"\[de\] chosen: expected one line"),
        (f"[de]\nchosen = '{'x' * 200} {{item}}'", r"\[de\] chosen: expected one line of at most"),
        ("[de]\nchoosen = '{item}'", r"\[de\] choosen: unknown entry; did you mean 'chosen'"),
        ("[de]\nforbidden = 'gratis'", r"\[de\] forbidden: expected a list of words"),
        ("[de]\nforbidden = ['']", r"\[de\] forbidden: expected a list of words"),
        ("[de-AT]\nchosen = '{item}'", r"\[de-AT\]: expected a BCP 47 tag in lower case"),
        ("[german]\nchosen = '{item}'", r"\[german\]: expected a BCP 47 tag in lower case"),
        ("[de]\nallowed = ['billig']", r"\[de\] allowed: 'billig' is not forbidden; these are"),
        ("[de]\nforbidden = ['*']", r"\[de\] forbidden: expected a list of words"),
        ("[sv]\nchosen = '{item}'", r"\[sv\]: bought, rated, seen, popular, this_item missing"),
        ("chosen = '{item}'", r"expected a table a language"),
        ("[de", r"reasons\.voice: cannot read .*voice\.toml"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, message: str | None) -> None:
    if message is None:
        read_voice(own(tmp_path, text))
        return
    with pytest.raises(SettingsError, match=message):
        read_voice(own(tmp_path, text))


def test_a_default_without_sentences_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no sentences in 'sv'.*known are de, en, es"):
        read_voice(Reasons(default_language="sv"))


@pytest.mark.parametrize(
    ("language", "sentence", "word"),
    [
        ("en", "The brush has the lowest price and soft hair.", "soft"),
        ("en", "A soft brush with a Guarantee.", "soft"),
        ("de", "Die weiche Bürste heilt die Haut.", "weiche"),
        ("pt", "A escova macia tem o melhor preço.", "macia"),
        ("zh", "刷子柔软，全网最低。", "柔软"),
        ("de", "Die weiche Bürste der günstigsten Marke.", "weiche"),
        ("de", "Weiche Borsten mit Garantien.", "weiche"),
        ("es", "Cerdas suaves con descuentos.", "suaves"),
        ("fr", "Des poils doux et des garanties.", "doux"),
        ("it", "Setole morbide e prodotti garantiti.", "morbide"),
        ("nl", "Zachte haren met kortingen.", "zachte"),
    ],
)
def test_claims_are_refused_by_name(language: str, sentence: str, word: str) -> None:
    never = read_voice(Reasons()).forbidden[language]
    assert fault(sentence, [word], forbidden=never) == "forbidden"
    assert fault(sentence, [word]) is None


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "The healthy treats are soft."),
        ("de", "Die Bürste ist wunderbar weich."),
        ("it", "Le setole sono fatte con cura."),
        ("nl", "De lamp verlicht de kamer mooi."),
        ("es", "La comida sana es suave."),
    ],
)
def test_ordinary_words_are_not(language: str, sentence: str) -> None:
    word = sentence.rstrip(".").split()[-1]
    assert fault(sentence, [word], forbidden=read_voice(Reasons()).forbidden[language]) is None

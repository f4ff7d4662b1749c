"""A review's words with their part of speech, for English, German and Chinese.

English and German are tagged by HanTa (a hidden Markov model over morphemes, trained on the BNC and
on TIGER), Chinese is cut and tagged by jieba (its Rust build, with the ICTCLAS tags). Their models
lie inside the packages; each is loaded at its first use in a process, never at import. The three
tag sets are mapped to the few kinds that `phrases` needs.

Gives up: other languages have no tags here. Traditional characters are cut by the dictionary of
simplified ones, less well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

# A break ends a clause; a turn ("but") ends one and turns the writer's opinion.
Kind = Literal[
    "noun", "verb", "participle", "adjective", "adverb", "copula", "not", "too", "and", "of",
    "preposition", "pronoun", "break", "turn", "other",
]  # fmt: skip


class Word(NamedTuple):
    """A word as it stands, in lower case; its kind; what it is a form of."""

    text: str
    kind: Kind
    base: str


TAGGED_LANGUAGES = ("de", "en", "zh")

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(r"[^\W\d_]+|[’'][a-z]{1,2}\b|[^\w\s]", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?…;])\s+|\n+")
# BNC's words: do + n't, it + 's.
_NEGATED = re.compile(r"(?i)\b([a-z]+)n['’]t\b")
_MAX_SENTENCE_WORDS = 80
_MAX_WORD_LETTERS = 32


def _all(kind: Kind, words: str) -> dict[str, Kind]:
    return dict.fromkeys(words.split(), kind)


_ENGLISH: dict[str, Kind] = {
    "NN0": "noun", "NN1": "noun", "NN2": "noun", "NP0": "noun",
    "AJ0": "adjective", "AJC": "adjective", "AJS": "adjective",
    "VVN": "participle", "VVD": "participle", "AV0": "adverb", "XX0": "not", "CJC": "and", "PRF": "of", "PRP": "preposition",
    "PNP": "pronoun", "PNI": "pronoun", "DPS": "pronoun",
    "VBZ": "copula", "VBD": "copula", "VBB": "copula", "VBI": "copula", "VBN": "copula",
    "PUN": "break", "PUL": "break", "PUR": "break", "PUQ": "break",
}  # fmt: skip
_ENGLISH_WORDS: dict[str, Kind] = {
    **dict.fromkeys(("but", "however", "although", "though", "except", "unfortunately"), "turn"),
    **dict.fromkeys(("too",), "too"),
    **dict.fromkeys(("no", "not", "n't", "never", "without", "hardly"), "not"),
    **_all("copula", "look looks looked feel feels felt sound sounds sounded seem seems seemed stay stays stayed remain remains smell smells taste tastes"),
}  # fmt: skip
_GERMAN: dict[str, Kind] = {
    "NN": "noun", "NE": "noun", "ADJ(A)": "adjective", "ADJ(D)": "adjective", "ADV": "adverb",
    "PTKNEG": "not", "PTKA": "too", "KON": "and", "APPR": "preposition", "APPRART": "preposition",
    "PPER": "pronoun", "VA(FIN)": "copula", "$.": "break", "$,": "break", "$(": "break",
}  # fmt: skip
_GERMAN_WORDS: dict[str, Kind] = {
    **dict.fromkeys(("aber", "jedoch", "leider", "obwohl", "allerdings"), "turn"),
    **dict.fromkeys(("nicht", "kein", "keine", "keinen", "ohne", "nie"), "not"),
    **_all("copula", "wirkt wirken bleibt bleiben klingt klingen sieht sehen fühlt riecht"),
}  # fmt: skip
_CHINESE: dict[str, Kind] = {
    "n": "noun", "nz": "noun", "vn": "noun", "ng": "noun", "nr": "noun", "ns": "noun",
    "nrt": "noun", "nrfg": "noun", "an": "noun", "l": "noun", "eng": "other",
    "a": "adjective", "ad": "adjective", "b": "adjective", "z": "adjective",
    "d": "adverb", "zg": "adverb", "v": "verb", "vg": "verb", "c": "and", "uj": "of",
    "p": "preposition", "r": "pronoun", "x": "break", "y": "break",
}  # fmt: skip
_CHINESE_WORDS: dict[str, Kind] = {
    **_all("turn", "但 但是 可惜 不过 就是 可是 然而 只是"),
    **_all("preposition", "在 到 对 跟 比 从 给"),
    **_all("not", "不 没 没有 无 别 不会 不够"),
    **_all("adverb", "很 非常 特别 十分 挺 真的 超 超级 超好 也 都 还 更 比较 相当 刚刚 太"),
    **_all("other", "是 有 了 着 过 能 会 要 让 用 买 说 想 觉得 感觉 看 看起来 起来 下来 没想到"),
    **_all("adjective", "快 慢 轻 重 亮 暗 薄 厚 长 短 滑 软 硬 稳 静 省电 耐用 防滑 清楚 很快 很慢 很轻 很重 很亮 很好 很棒"),
    **dict.fromkeys(("和", "与", "及", "、"), "and"),
}  # fmt: skip


def tagged(text: str, language: str) -> Iterator[list[Word]]:
    """The tagged words of each sentence of a text.

    Args:
        text: without digits, addresses and markup; `phrases.readable` sees to it.
        language: one of `TAGGED_LANGUAGES`.
    """
    if language == "zh":
        for line in text.split("\n"):
            yield _chinese(line)
        return
    for sentence in _SENTENCE_END.split(text):
        words = _words(sentence, language)
        if words:
            yield words


def _words(sentence: str, language: str) -> list[Word]:
    if language == "en":
        sentence = _NEGATED.sub(r"\1 n't", sentence)
    tokens = [
        token
        for token in re.findall(r"n't|" + _TOKEN.pattern, sentence, re.IGNORECASE)
        if len(token) <= _MAX_WORD_LETTERS
    ][:_MAX_SENTENCE_WORDS]
    if not any(token.isalpha() for token in tokens):
        return []
    tags = _hanta(language).tag_sent(tokens, taglevel=0)
    kinds, fixed = (_ENGLISH, _ENGLISH_WORDS) if language == "en" else (_GERMAN, _GERMAN_WORDS)
    made = []
    for token, tag in zip(tokens, tags, strict=True):
        lower = token.lower()
        kind = kinds.get(tag) or ("verb" if tag.startswith("V") else "other")
        fixed_kind = fixed.get(lower, kind)
        # "sounds great" describes the item; "the sound" is a noun like any other.
        if fixed_kind != "copula" or tag.startswith("V"):
            kind = fixed_kind
        elif lower == "sound":
            kind = "noun"
        if not lower[0].isalpha() and not lower.startswith(("'", "’")):
            kind = "break"
        lower = "not" if lower == "n't" else lower
        made.append(Word(lower, kind, _base(token, tag, language) if kind == "noun" else lower))
    return made


def _chinese(line: str) -> list[Word]:
    import rjieba

    made: list[Word] = []
    for word, tag in rjieba.tag(line):
        if not word.strip():
            made.append(Word(word, "break", word))
        elif not re.match(f"[{_HAN}]", word):
            made.append(Word(word, "break" if not word[0].isalnum() else "other", word))
        else:
            kind = _CHINESE_WORDS.get(word) or _CHINESE.get(tag, "other")
            made.append(Word(word, kind, word))
    return made


@lru_cache(maxsize=100_000)
def _base(token: str, tag: str, language: str) -> str:
    """The lemma; the word itself where the tagger knows none."""
    lemma = _hanta(language).analyze(token, pos=tag)[0]
    return str(lemma).lower() or token.lower()


@cache
def _hanta(language: str) -> Any:
    """HanTa's tagger of a language: 0.1 s and 60 MB, once a process."""
    from HanTa.HanoverTagger import HanoverTagger

    return HanoverTagger({"en": "morphmodel_en.pgz", "de": "morphmodel_ger.pgz"}[language])

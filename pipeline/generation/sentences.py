"""The words a first recommendation is presented with: what is accepted of the model, templates.

A sentence the model wrote is shown to a shopper only if it keeps to every rule of `fault`;
otherwise a template says why the item is there, from the catalogue's and the history's facts.
The model never gets to state a number, a price, an address or a brand, and neither way has
anything of a person in it but what they bought or looked at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from pipeline.model.phrase import UNSPACED as _SPACELESS
from pipeline.model.phrase import is_unspaced, stands_in
from pipeline.model.voice import is_contrast, is_personal

TEMPLATE_LANGUAGES = ("en", "zh", "de", "es")
DEFAULT_LANGUAGE = "en"
MIN_WORDS = 3
MAX_TITLE = 80

# Why an item is there, as far as the templates can say it.
BOUGHT, RATED, SEEN, POPULAR, CHOSEN = "bought", "rated", "seen", "popular", "chosen"

_TEMPLATES = {
    "en": {
        BOUGHT: "Because you bought {anchor}, we picked {item} for you.",
        RATED: "Because you reviewed {anchor}, we picked {item} for you.",
        SEEN: "Because you looked at {anchor}, we picked {item} for you.",
        POPULAR: "Many of our shoppers choose {item}.",
        CHOSEN: "We picked {item} for you.",
        "item": "this item",
    },
    "zh": {
        BOUGHT: "因为您买过{anchor}，我们为您挑选了{item}。",
        RATED: "因为您评价过{anchor}，我们为您挑选了{item}。",
        SEEN: "因为您看过{anchor}，我们为您挑选了{item}。",
        POPULAR: "很多顾客都选择{item}。",
        CHOSEN: "我们为您挑选了{item}。",
        "item": "这件商品",
    },
    "de": {
        BOUGHT: "Weil Sie {anchor} gekauft haben, empfehlen wir Ihnen {item}.",
        RATED: "Weil Sie {anchor} bewertet haben, empfehlen wir Ihnen {item}.",
        SEEN: "Weil Sie sich {anchor} angesehen haben, empfehlen wir Ihnen {item}.",
        POPULAR: "Viele unserer Kunden entscheiden sich für {item}.",
        CHOSEN: "Für Sie ausgesucht: {item}.",
        "item": "diesen Artikel",
    },
    "es": {
        BOUGHT: "Como compró {anchor}, hemos elegido {item} para usted.",
        RATED: "Como valoró {anchor}, hemos elegido {item} para usted.",
        SEEN: "Como miró {anchor}, hemos elegido {item} para usted.",
        POPULAR: "Muchos de nuestros clientes eligen {item}.",
        CHOSEN: "Hemos elegido {item} para usted.",
        "item": "este artículo",
    },
}

# A word is a run of letters; in scripts without spaces every character counts as one.
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W\d_{_SPACELESS}]+(?:['’][^\W\d_{_SPACELESS}]+)*")
_FIRST_SENTENCE = re.compile(r".*?(?:[.!?…]+(?=\s|$)|[。！？]+)", re.DOTALL)
_ADDRESS = re.compile(r"https?:|www\.|@|\w\.(?:com|net|org|de|es|cn|co|uk|io)\b", re.IGNORECASE)
# A run of letters; in scripts without spaces that is a clause.
_RUN = re.compile(r"[^\W\d_]+")
_DOUBLED_MARK = re.compile(r"[^\w\s]\s*[^\w\s]")
# Shorter ones ("the", "und", "que") may well come twice in a good sentence.
LONG_WORD = 4
_PLACEHOLDER = re.compile(r"[<>\[\]{}|_*#\\~^]|xxx", re.IGNORECASE)


def first_sentence(text: str) -> str:
    """The first sentence of a continuation; the whole of it where none ends."""
    collapsed = " ".join(text.split())
    match = _FIRST_SENTENCE.match(collapsed)
    return match.group() if match else collapsed


def fault(
    sentence: str,
    words: Sequence[str],
    brands: frozenset[tuple[str, ...]] = frozenset(),
    own_brand: str = "",
    untold: Collection[str] = frozenset(),
) -> str | None:
    """The first rule that a model's sentence breaks, or none: it may be shown.

    Args:
        words: phrases that the model was asked to say; one at least must be there whole.
        brands: every brand of the shop; only the item's own and the given words may be named.
        own_brand: the item's.
        untold: what shoppers say of other items and not of this one; none of it may be said.
    """
    found = _words(sentence)
    checks = (
        ("not_clean", _unclean(sentence)),
        ("too_short", len(found) < MIN_WORDS),
        ("number", any(unicodedata.category(char)[0] == "N" for char in sentence)),
        ("currency", any(unicodedata.category(char) == "Sc" for char in sentence)),
        ("address", bool(_ADDRESS.search(sentence))),
        ("placeholder", bool(_PLACEHOLDER.search(sentence))),
        ("other_brand", _names_any(found, brands - brand_words([own_brand, *words]))),
        ("word_missing", not any(stands_in(word, sentence) for word in words)),
        ("personal", is_personal(sentence)),
        ("contrast", is_contrast(sentence)),
        ("repeats", _repeats(found) or bool(_DOUBLED_MARK.search(sentence))),
        ("untold", _tells(sentence, untold)),
        ("no_end", not sentence.endswith((".", "!", "?", "…", "。", "！", "？"))),
    )
    return next((name for name, broken in checks if broken), None)


def runs(text: str) -> set[str]:
    """The words of a text; in scripts without spaces, its clauses."""
    return set(_RUN.findall(text.casefold()))


def _tells(sentence: str, untold: Collection[str]) -> bool:
    """Whether one of the words stands in the sentence, anywhere in scripts without spaces."""
    if not runs(sentence).isdisjoint(untold):
        return True
    return is_unspaced(sentence) and any(
        len(word) > 1 and word in sentence for word in untold if is_unspaced(word)
    )


def brand_words(brands: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """Brands as tuples of words, for `fault`."""
    return frozenset(tuple(_words(brand)) for brand in brands) - {()}


def template_language(tag: str | None) -> str:
    """The language of a template for a user: their primary language, else English."""
    primary = primary_language(tag)
    return primary if primary in TEMPLATE_LANGUAGES else DEFAULT_LANGUAGE


def primary_language(tag: str | None) -> str:
    """`zh` of `zh-Hans-CN`; `und` where nothing is known."""
    return re.split(r"[-_]", (tag or "").strip().lower())[0] or "und"


def template_reason(kind: str, language: str, item: str | None, anchor: str | None) -> str:
    """A sentence from facts.

    Args:
        kind: `BOUGHT`, `RATED` and `SEEN` need an anchor with a title; without one it is `CHOSEN`.
        language: one of `TEMPLATE_LANGUAGES`.
        item: the recommended item's title, if it has one.
        anchor: the title of what the user bought or looked at.
    """
    words = _TEMPLATES[language]
    anchor_name = shown_title(anchor)
    if kind in (BOUGHT, RATED, SEEN) and not anchor_name:
        kind = CHOSEN
    # One pass, so that a title that says "{item}" stays a title.
    names = {"anchor": anchor_name, "item": shown_title(item) or words["item"]}
    return re.sub(r"\{(anchor|item)\}", lambda found: names[found.group(1)], words[kind])


def shown_title(title: str | None) -> str:
    """A title on one line, without control characters, cut at a word or at `MAX_TITLE`."""
    text = "".join(char for char in (title or "") if char.isspace() or not _invisible(char))
    text = " ".join(text.split())
    if len(text) <= MAX_TITLE:
        return text
    cut = text[: MAX_TITLE - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[MAX_TITLE // 2 :] else cut).rstrip(" ,;:-") + "…"


def _invisible(char: str) -> bool:
    """Control characters, lone surrogates and what turns the direction of text around."""
    return unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn") or char in _DIRECTION


_DIRECTION = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"


def _unclean(sentence: str) -> bool:
    return "\ufffd" in sentence or any(_invisible(char) for char in sentence)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _names_any(words: Sequence[str], brands: frozenset[tuple[str, ...]]) -> bool:
    longest = max(map(len, brands), default=0)
    return any(
        tuple(words[start : start + n]) in brands
        for n in range(1, longest + 1)
        for start in range(len(words) - n + 1)
    )


def _repeats(words: Sequence[str]) -> bool:
    """A word twice in a row, three words twice, or a long word twice: small models' stutter."""
    threes = list(zip(words, words[1:], words[2:], strict=False))
    long = [word for word in words if len(word) >= LONG_WORD]
    return (
        len(set(threes)) < len(threes)
        or len(set(long)) < len(long)
        or any(one == other and not _HAN.match(one) for one, other in pairwise(words))
    )


# 慢慢, 刚刚: in Chinese a character twice is a word.
_HAN = re.compile(f"[{_SPACELESS}]")

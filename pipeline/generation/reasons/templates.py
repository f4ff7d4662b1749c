"""The templates of reasons: sentences from the catalogue's and the history's facts.

A template is shown where no sentence of the model was accepted (`sentence_checks`). It says why the
item is recommended; only titles are filled in. There are four languages. Pure.
"""

from __future__ import annotations

import re

from pipeline.generation.reasons.sentence_checks import is_invisible
from pipeline.language_tag import primary_language

TEMPLATE_LANGUAGES = ("en", "zh", "de", "es")
DEFAULT_LANGUAGE = "en"
MAX_TITLE = 80

# Why an item is recommended, as far as the templates can say it.
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


def template_language(tag: str | None) -> str:
    """The language of a template for a user: their primary language, else English."""
    primary = primary_language(tag)
    return primary if primary in TEMPLATE_LANGUAGES else DEFAULT_LANGUAGE


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
    text = "".join(char for char in (title or "") if char.isspace() or not is_invisible(char))
    text = " ".join(text.split())
    if len(text) <= MAX_TITLE:
        return text
    cut = text[: MAX_TITLE - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[MAX_TITLE // 2 :] else cut).rstrip(" ,;:-") + "…"

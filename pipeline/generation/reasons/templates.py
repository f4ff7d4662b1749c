"""The templates of reasons: sentences from the catalogue's and the history's facts.

A template is shown where no sentence of the model was accepted (`sentence_checks`). It says why the
item is recommended; only titles are filled in. The sentences are those of `voice`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.generation.reasons.sentence_checks import is_invisible
from pipeline.generation.reasons.voice import BOUGHT, CHOSEN, RATED, SEEN, THIS_ITEM

MAX_TITLE = 80


def template_reason(
    kind: str, sentences: Mapping[str, str], item: str | None, anchor: str | None
) -> str:
    """A sentence from facts.

    Args:
        kind: `BOUGHT`, `RATED` and `SEEN` need an anchor with a title; without one it is `CHOSEN`.
        sentences: those of a language (`Voice.sentences`).
        item: the recommended item's title, if it has one.
        anchor: the title of what the user bought or looked at.
    """
    anchor_name = shown_title(anchor)
    if kind in (BOUGHT, RATED, SEEN) and not anchor_name:
        kind = CHOSEN
    # One pass, so that a title that says "{item}" stays a title.
    names = {"anchor": anchor_name, "item": shown_title(item) or sentences[THIS_ITEM]}
    return re.sub(r"\{(anchor|item)\}", lambda found: names[found.group(1)], sentences[kind])


def shown_title(title: str | None) -> str:
    """A title on one line, without control characters, cut at a word or at `MAX_TITLE`."""
    text = "".join(char for char in (title or "") if char.isspace() or not is_invisible(char))
    text = " ".join(text.split())
    if len(text) <= MAX_TITLE:
        return text
    cut = text[: MAX_TITLE - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[MAX_TITLE // 2 :] else cut).rstrip(" ,;:-") + "…"

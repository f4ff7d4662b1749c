"""The style of a shop's reason: no reviewer who speaks of themselves, no "but".

A reviewer speaks of themselves ("a gift for my brother") and weighs things ("bright, but heavy"); a
reason is the shop's and does neither. The same test decides which sentences the model learns from
and which of its sentences are shown. All languages are tested together, so that a wrong language
tag hides nothing; a word that is common in another language (Spanish `me`, German `mir`) is listed
with that in mind. Pure.

Gives up: languages other than English, German, Spanish and Chinese; irony.
"""

from __future__ import annotations

import re

_PERSONAL = re.compile(
    r"(?<!\w)(?:i|i['’](?:m|ve|ll|d)|my|mine|myself|me|we|our|ours|us"
    r"|ich|mein|meine|meinem|meinen|meiner|meines|mich|mir|wir|uns|unser|unsere|unserem|unseren"
    r"|yo|mi|mis|mí|nos|nosotros|nuestro|nuestra|nuestros|nuestras|estoy|llevo|tuve|volvería"
    r"|noto|esperaba|compré)(?!\w)|我|咱|俺|弟弟|朋友|全家",
    re.IGNORECASE,
)
_CONTRAST = re.compile(
    r"(?<!\w)(?:but|however|although|though|except|unfortunately"
    r"|aber|jedoch|leider|obwohl|allerdings|nur"
    r"|pero|aunque|lástima)(?!\w)|但|可惜|不过|就是",
    re.IGNORECASE,
)


def is_personal(sentence: str) -> bool:
    """Whether a person speaks of themselves."""
    return _PERSONAL.search(sentence) is not None


def is_contrast(sentence: str) -> bool:
    """Whether the sentence has a reservation."""
    return _CONTRAST.search(sentence) is not None

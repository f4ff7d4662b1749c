"""Whether a sentence can stand as a shop's reason: no reviewer speaking, no "but".

Reviews are written by somebody ("a gift for my brother") and weigh things ("bright, but heavy");
a reason is written by the shop and does neither. The same test decides what the model learns from
and what of its sentences is shown. Reads and writes nothing. Languages are read together, so that
a wrong language tag hides nothing; the few words that would forbid another language's common ones
(Spanish `me`, German `mir`) are chosen with that in mind.

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
    """Whether somebody speaks of themselves."""
    return _PERSONAL.search(sentence) is not None


def is_contrast(sentence: str) -> bool:
    """Whether a reservation is made."""
    return _CONTRAST.search(sentence) is not None

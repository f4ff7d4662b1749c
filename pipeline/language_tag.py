"""What a retailer writes where a language tag belongs, and which language that is.

A tag is one of BCP 47 (RFC 5646): `de`, `en-GB`, `zh-Hans-CN`. Its case means nothing; `_` is taken
for `-` (`de_AT`, as POSIX writes it) and white space around it is left off. Its primary language is
the first subtag, where that has two or three letters.

Anything else is no tag and says nothing: the name of a language (`english`), a private or
grandfathered tag (`x-klingon`, `i-default`), `???`, nothing at all. The language is then `und`, the
tag that BCP 47 has for a language that is not known. A source that writes names maps them to tags
in its YAML.

Gives up: `eng` and `ger` are not turned into `en` and `de`, which BCP 47 asks of whoever writes
a tag; what is tagged so meets only what is tagged so too.

Everything that compares languages goes through here (reviews, item words, lists, promotions, the
model's tokens), so that they all mean the same. Pure; standard library only.
"""

from __future__ import annotations

import re

UNKNOWN = "und"

_PRIMARY = re.compile(r"[a-z]{2,3}(?=-|$)")
_WELL_FORMED = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*")


def primary_language(tag: str | None) -> str:
    """`zh` of `zh-Hans-CN`, `de` of ` DE_at `; `und` of what is no tag."""
    found = _PRIMARY.match(_normal(tag))
    return found.group() if found else UNKNOWN


def tag_and_primary(tag: str | None) -> tuple[str, ...]:
    """The tag in lower case with hyphens, then its primary language where that is another.

    Nothing of what is no tag. What follows a primary language and is no subtag is left off.
    """
    whole = _normal(tag)
    found = _PRIMARY.match(whole)
    if found is None:
        return ()
    primary = found.group()
    return (whole, primary) if whole != primary and _WELL_FORMED.fullmatch(whole) else (primary,)


def _normal(tag: str | None) -> str:
    return (tag or "").strip().lower().replace("_", "-")

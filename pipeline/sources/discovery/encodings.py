"""In which encoding a text is written, as far as its bytes tell. Standard library only."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encoding -> what its texts hold beside ASCII.
_LETTERS = {
    "gb18030": r"[\u4e00-\u9fa5\u3000-\u303f\uff00-\uffef]",
    "big5": r"[\u4e00-\u9fa5\u3000-\u303f\uff00-\uffef]",
    "shift_jis": r"[\u3040-\u30ff\u4e00-\u9fa5\u3000-\u303f\uff00-\uffef]",
    "euc_kr": r"[\uac00-\ud7a3]",
    "windows-1251": r"[\u0400-\u045f]",
    "windows-1250": r"[ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŇŘŠŤÚŮÝŽőűŐŰ]",
}
_LATIN = r"[À-ÿŒœŠšŽžŸ€‚-”•–—™…´°«»¿¡ºª·£§©®²³½¼¾\u00a0]"


def encoding_of(samples: Sequence[bytes]) -> tuple[str, str]:
    """The encoding by Python's name, and what is doubtful about it (empty where nothing is)."""
    first = samples[0]
    for mark, name in _MARKS:
        if first.startswith(mark):
            return name, ""
    some = b"\n".join(samples)
    if first[1:400:2].count(0) > 100 or (len(first) > 8 and not any(first[1:8:2])):
        return "utf-16-le", ""
    if first[0:400:2].count(0) > 100:
        return "utf-16-be", ""
    strange = sum(1 for sample in samples if not _is_utf_8(sample))
    if not strange:
        return "utf-8", ""
    lines = some.split(b"\n")
    broken = sum(1 for line in lines[:-1] if not _is_utf_8(line))
    if broken <= 0.01 * len(lines):
        return "utf-8", f"{broken:,} lines of the sample hold bytes that are not UTF-8"
    return _legacy(some)


def _is_utf_8(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _legacy(data: bytes) -> tuple[str, str]:
    """By the letters that the bytes would be: of Western texts, high bytes mostly stand alone."""
    doubt = "the encoding is a guess from the letters: look at names with accents in the rows"
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", data)]
    if sum(1 for run in runs if run == 1) > 0.6 * len(runs):
        polish = _share("windows-1250", data, _LETTERS["windows-1250"])
        western = _share("windows-1252", data, _LATIN)
        return ("windows-1250" if polish > western + 0.2 else "windows-1252"), doubt
    shares = {name: _share(name, data, letters) for name, letters in _LETTERS.items()}
    shares["shift_jis"] += 0.05 if _share("shift_jis", data, r"[\u3040-\u30ff]") > 0.2 else -0.3
    best = max(shares, key=lambda name: (shares[name], -list(shares).index(name)))
    return (best if shares[best] > 0.7 else "windows-1252"), doubt


def _share(encoding: str, data: bytes, letters: str) -> float:
    """How many of the characters beside ASCII are such letters; 0 where the bytes are no text."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return 0.0
    other = [letter for letter in text if letter > "\x7f"]
    return sum(1 for letter in other if re.match(letters, letter)) / len(other) if other else 0.0

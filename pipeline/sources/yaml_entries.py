"""Checks of single entries of a source YAML; errors name what was expected and the nearest word.

Pure; every function raises ContractError with the place in the YAML. Standard library only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.errors import ContractError


def name_list(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A list of names, none twice. Only `columns` has to be there."""
    value = entry.get(key, [] if key != "columns" else None)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        has_yes = isinstance(value, list) and any(isinstance(name, bool) for name in value)
        quotes = "; write no, yes, on and off in quotes" if has_yes else ""
        raise ContractError(f"{where}: {key} must be a list of names, found {value!r:.80}{quotes}")
    repeated = sorted({name for name in value if value.count(name) > 1})
    if repeated:
        raise ContractError(f"{where}: {key} names {', '.join(repeated)} more than once")
    return tuple(value)


def text_of(entry: Mapping[str, Any], key: str, where: str) -> str:
    """A text that is there and not blank."""
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ContractError(f"{where}: {key} must be text, found {value!r:.80}")
    return value.strip()


def choice_of(value: Any, known: tuple[str, ...], where: str) -> str:
    """One of the known words."""
    if value not in known:
        raise ContractError(f"{where}: found {value!r}, expected one of {', '.join(known)}")
    return str(value)


def checked(value: Any, known: Iterable[str], where: str) -> dict[str, Any]:
    """A mapping whose keys are all known, or an error with the nearest known one."""
    known = tuple(known)
    if not isinstance(value, dict):
        raise ContractError(
            f"{where}: expected a mapping with keys {', '.join(known)}; found {value!r:.60}"
        )
    for key in value:
        if key not in known:
            raise ContractError(f"{where}: unknown key {key!r};{nearest(str(key), known)}")
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is closest to one that is not, as the end of a sentence."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f" did you mean {close[0]!r}?" if close else f" known: {', '.join(known[:12])}."

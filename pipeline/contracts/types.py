"""The small language of column types in contracts, read into a neutral tree.

`string int bigint double boolean date timestamp array<T> map<K,V> struct<name:T,…>`: a subset of
Spark's DDL, so that a contract's type can be pasted into Spark SQL. The Spark and the Arrow schema
are both built from this tree, which is what keeps them equivalent. Standard library only.

Gives up: nullability inside arrays, maps and structs is not part of the type; a contract that
forbids a null there says so with a row rule.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

SCALARS = ("string", "int", "bigint", "double", "boolean", "date", "timestamp")
NUMBERS = ("int", "bigint", "double")

_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[<>,:])")


@dataclass(frozen=True)
class Scalar:
    """A single value; `name` is one of `SCALARS`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Array:
    """A list of values of one type."""

    element: Type

    def __str__(self) -> str:
        return f"array<{self.element}>"


@dataclass(frozen=True)
class Map:
    """Values by key."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"map<{self.key},{self.value}>"


@dataclass(frozen=True)
class Struct:
    """Named fields, in order."""

    fields: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return f"struct<{','.join(f'{name}:{kind}' for name, kind in self.fields)}>"


Type = Scalar | Array | Map | Struct


def parse_type(text: str) -> Type:
    """Read a type.

    Raises:
        ValueError: what is wrong and, for an unknown word, the nearest known type. The caller
            knows the file and the column, and names them.
    """
    tokens = _tokens(text)
    kind = _type(tokens, text)
    if tokens:
        raise ValueError(f"{text!r} goes on after a complete type: {''.join(tokens)!r}")
    return kind


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"{text!r} has an unexpected character {text[at:].strip()[0]!r}")
        tokens.append(match.group(1))
        at = match.end()
    return tokens


def _type(tokens: list[str], text: str) -> Type:
    word = _take(tokens, text)
    if word in SCALARS:
        return Scalar(word)
    if word == "array":
        _expect(tokens, "<", text)
        element = _type(tokens, text)
        _expect(tokens, ">", text)
        return Array(element)
    if word == "map":
        _expect(tokens, "<", text)
        key = _type(tokens, text)
        _expect(tokens, ",", text)
        value = _type(tokens, text)
        _expect(tokens, ">", text)
        return Map(key, value)
    if word == "struct":
        return _struct(tokens, text)
    known = (*SCALARS, "array", "map", "struct")
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    raise ValueError(f"unknown type {word!r} in {text!r}; {hint}")


def _struct(tokens: list[str], text: str) -> Struct:
    _expect(tokens, "<", text)
    fields: list[tuple[str, Type]] = []
    while True:
        name = _take(tokens, text)
        if name in dict(fields):
            raise ValueError(f"{text!r} names the field {name!r} twice")
        _expect(tokens, ":", text)
        fields.append((name, _type(tokens, text)))
        mark = _take(tokens, text)
        if mark == ">":
            return Struct(tuple(fields))
        if mark != ",":
            raise ValueError(f"{text!r}: expected ',' or '>' after field {name!r}, found {mark!r}")


def _take(tokens: list[str], text: str) -> str:
    if not tokens:
        raise ValueError(f"{text!r} ends in the middle of a type")
    return tokens.pop(0)


def _expect(tokens: list[str], mark: str, text: str) -> None:
    found = _take(tokens, text)
    if found != mark:
        raise ValueError(f"{text!r}: expected {mark!r}, found {found!r}")

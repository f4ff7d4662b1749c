"""The keys of a JSON Lines file, compared with the source's: none unknown, none missing.

The objects of the file's first lines are parsed. A key among them that the source does not name is
refused: the retailer delivers something new, and a person should decide whether it is wanted. A
column that none of them has is looked for in the rest of the file, as text, before it is missing.

Gives up: a new key that only later lines have is not seen; nothing that is mapped is lost by it.
`nightcart source check` asks every line it reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO

from pipeline.errors import InputError
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import SourceDataset

_CHUNK_CHARACTERS = 1024 * 1024


def check_keys(dataset: SourceDataset, file: DeliveredFile, head: str, rest: IO[str]) -> None:
    """Refuse a file with a key that the source does not name, or without one that it does.

    Args:
        head: the beginning of the file; a line that is cut off at its end is left out.
        rest: the whole file again, as text; read only where a key is missing from the head.

    Raises:
        InputError: naming the file and the key.
    """
    keys = [key for row in _objects(head) for key in row]
    wanted = ",".join(dataset.columns)
    unknown = [key for key in keys if key not in dataset.columns]
    if unknown:
        raise InputError(
            f"{file.path}: key {unknown[0]!r} is not expected. {dataset.where} expects the keys "
            f"{wanted}; add it to columns if the retailer now delivers it"
            f"{differ_a_little(unknown[:1], dataset.columns)}"
        )
    absent = {*dataset.columns} - {*keys} - {*dataset.may_be_absent}
    gone = _not_in(absent, rest) if keys and absent else set()
    if gone:
        names = ", ".join(name for name in dataset.columns if name in gone)
        raise InputError(
            f"{file.path}: key {names} is missing from every line. {dataset.where} expects it; "
            "correct the file, or name it under may_be_absent"
        )


def differ_a_little(found: Iterable[str], wanted: Iterable[str]) -> str:
    """Names that are those of the source but for case and blanks, as the end of a message."""
    ours = {"".join(name.casefold().split()): name for name in wanted}
    pairs = {name: ours.get("".join(name.casefold().split())) for name in found}
    said = [f"{name!r} is not {own!r}" for name, own in pairs.items() if own and own != name]
    return f" (case and blanks count: {', '.join(said[:12])})" if said else ""


def _objects(head: str) -> Iterator[dict[str, object]]:
    for line in head.split("\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the reader refuses it, line by line
        if isinstance(row, dict):
            yield row


def _not_in(names: Iterable[str], text: IO[str]) -> set[str]:
    """The names that do not occur in quotation marks."""
    left = {json.dumps(name, ensure_ascii=False): name for name in names}
    longest = max(map(len, left))
    before = ""
    while left and (chunk := text.read(_CHUNK_CHARACTERS)):
        window = before + chunk
        left = {quoted: name for quoted, name in left.items() if quoted not in window}
        before = window[-longest:]
    return {*left.values()}

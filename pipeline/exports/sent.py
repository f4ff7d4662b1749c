"""What stands beside the files of an export: what the tool has now, and notes on rows.

`.sent.parquet` has each id that the tool was sent, and a digest of its record with the day until
which that holds: the next export compares with it. `.before.parquet` is what this export was
compared with; only a second export of the same lists reads it. They have no pseudonym. `notes.csv`
says of rows that were altered or left out whose they are (the pseudonym), the column, what was done
and why. It has no value and no raw id.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DamagedError
from pipeline.exports.files import private_file
from pipeline.exports.folder import BEFORE, SENT, Made
from pipeline.exports.profile import Fact, Profile
from pipeline.exports.records import Note, Record
from pipeline.exports.shapes import json_text
from pipeline.intact import file_sha256

_DATES = (Fact.DATE, Fact.VALID_UNTIL)
_DIGEST_BYTES = 16
_DAY_BYTES = 4
_FIELDS: Any = [("key", pa.string()), ("digest", pa.binary(_DIGEST_BYTES + _DAY_BYTES))]
_SCHEMA = pa.schema(_FIELDS)
_NO_DIGEST = bytes(_DIGEST_BYTES + _DAY_BYTES)  # of whoever is to be sent or told again


def digest_of(profile: Profile, record: Record) -> bytes:
    """What tells two records apart, but for the night that they are of; then until when it holds.

    A record that does not say it holds for ever.
    """
    dates = {column.name: column.fact for column in profile.columns if column.fact in _DATES}
    values = {name: value for name, value in record.values.items() if name not in dates}
    until = dt.date.max
    for name, fact in dates.items():
        if fact is Fact.VALID_UNTIL and record.values[name] is not None:
            until = dt.date.fromisoformat(str(record.values[name]))
    text = json_text([values, record.items])
    digest = hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
    return digest + until.toordinal().to_bytes(_DAY_BYTES, "big")


def is_unchanged(sent: bytes | None, digest: bytes, day: dt.date) -> bool:
    """Whether the tool has the same record, and it holds on a day: else it is to be sent again."""
    if sent is None or sent[:_DIGEST_BYTES] != digest[:_DIGEST_BYTES]:
        return False
    return int.from_bytes(sent[_DIGEST_BYTES:], "big") >= day.toordinal()


def sent_before(before: Made | None) -> dict[str, bytes]:
    """What the tool has after an export: each id, and the digest of its record.

    Raises:
        DamagedError: it is not there, or is not what was written.
    """
    return {} if before is None else _read(before, SENT, "sent")


def compared_with(before: Made | None, *, again: bool) -> dict[str, bytes]:
    """What an export is compared with.

    Args:
        before: the last export.
        again: it is of the same lists. Maybe it was loaded and maybe not, so whatever differs from
            it, or differed then, is to be sent again.

    Raises:
        DamagedError: what an export says that it sent is not there, or is not what was written.
    """
    sent = sent_before(before)
    if before is None or not again:
        return sent
    earlier = _read(before, BEFORE, "before") if (before.path / BEFORE).exists() else {}
    return {
        key: sent[key] if sent.get(key) == earlier.get(key) else _NO_DIGEST
        for key in sent.keys() | earlier.keys()
    }


def _read(before: Made, name: str, said_in: str) -> dict[str, bytes]:
    sent: dict[str, bytes] = {}
    path = before.path / name
    if not path.exists() or file_sha256(path) != before.manifest.get(said_in):
        raise DamagedError(
            f"{path} is {'damaged' if path.exists() else 'not there'}. It says what the tool was "
            "sent, so without it nobody can be told who has left. Bring it back, or remove "
            f"{before.path.parent} and export everything"
        )
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            columns: Any = batch.to_pydict()
            sent.update(zip(columns["key"], map(_known, columns["digest"]), strict=True))
    return sent


def _known(digest: bytes | None) -> bytes:
    """A digest; of one that another version wrote, one that no record has: it is sent once more."""
    return digest if digest is not None and len(digest) == len(_NO_DIGEST) else _NO_DIGEST


def put_sent(path: Path, sent: Mapping[str, bytes]) -> None:
    """In the order of the ids, so that it says nothing of the order of pseudonyms."""
    keys = sorted(sent)
    table = pa.table({"key": keys, "digest": [sent[key] for key in keys]}, schema=_SCHEMA)
    with private_file(path) as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())


class NotesFile:
    """The file of notes, on the disk when the block ends well."""

    def __init__(self, path: Path) -> None:
        self._file = private_file(path)
        self._text = io.TextIOWrapper(self._file, "utf-8", newline="", write_through=True)
        self._csv = csv.writer(self._text, lineterminator="\n")
        self._csv.writerow(["user_id", "column", "action", "why"])

    def __enter__(self) -> NotesFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._text.flush()
                os.fsync(self._file.fileno())
        finally:
            self._text.close()

    def add(self, note: Note) -> None:
        """One more line."""
        self._csv.writerow([note.user_id, note.column, note.action, note.why])

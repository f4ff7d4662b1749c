"""Files that are no tables: what of them holds a user is taken out, or the file is removed.

| file | what happens |
|--|--|
| `.jsonl`, `.log`, `.txt`, `.md` | the lines that hold the user go |
| `.json` | each text in it that holds the user becomes "(erased)" |
| `.csv` | the rows that hold the user go; of other rows, sentences that must go become empty |
| `.html` | a page in its place says why it is gone |
| `.parquet` that no run's directory holds | the file is removed |
| anything else, also compressed | the file is removed |

`.gz`, `.zst` and `.bz2` files are looked into. Sealed JSON, the ledger and `views.sql` say no id,
and Nightcart relies on them: a word in them that looks like an id is another, so ids in clear are
not looked for there. Standard library and pyarrow, for zstd.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import html
import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.erasure.tables import SUFFIX, rows_with_users
from pipeline.erasure.wanted import Wanted

ERASED_WORD = "(erased)"
_HEAD = 65_536
_SEAL = re.compile(rb'"seal": "[0-9a-f]{64}"')  # of `pipeline.intact`
LINES = (".jsonl", ".log", ".txt", ".md", ".sql")


def _from_zstd(content: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        return bytes(stream.read())


_COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".zst": _from_zstd,
}
_PAGE = (
    "<!doctype html>\n<meta charset=utf-8>\n<title>Removed</title>\n<p>This page showed a shopper "
    "who has been erased since. It can be made again for its night: "
    "<code>nightcart redo --from report</code> makes the report.\n"
)


@dataclass(frozen=True)
class Changed:
    """A file's new content, or none where it is removed; how many parts went, and why."""

    content: bytes | None
    parts: int
    why: str


def without_users(
    name: str,
    content: bytes,
    wanted: Wanted,
    sentences: Collection[str] = (),
    *,
    ids_in_clear: bool = True,
) -> Changed | None:
    """What becomes of a file; none where it stays as it is.

    Args:
        name: of the file; its ending says what it is.
        content: of the file.
        wanted: whom to look for.
        sentences: others' reasons that must go, see `pipeline.erasure.words`.
        ids_in_clear: ids are looked for too, unless the file is sealed JSON.

    Raises:
        pyarrow.ArrowException: it is a table, and damaged.
    """
    ending = Path(name).suffix
    if ending == SUFFIX:
        held = rows_with_users(pa.BufferReader(content), wanted, ids=False).rows
        return Changed(None, held, "a table that is in no run's directory") if held else None
    plain = _plain(ending, content)
    # In other bytes ids in clear would be found by chance.
    pseudonyms = wanted.in_bytes(plain)
    if ids_in_clear and _is_text(plain) and not (ending == ".json" and _SEAL.search(plain)):
        ids = wanted.ids_in(plain)
    else:
        ids = set()
    said = _sentences_in(plain, sentences)
    if not pseudonyms and not ids and not said:
        return None

    def holds(part: str) -> bool:
        content = part.encode("utf-8", "surrogatepass")
        return bool(
            (pseudonyms and wanted.in_bytes(content))
            or (ids and wanted.ids_in(content))
            or (ending != ".csv" and any(sentence in part for sentence in said))
        )

    try:
        text = plain.decode("utf-8")
        if ending in LINES:
            return _lines(text, holds)
        if ending in _KINDS:
            changed = _KINDS[ending](text, holds, said)
            # What looked like an id was a number in JSON.
            return changed if changed.parts or said else None
    except ValueError:  # not what its name says
        return Changed(None, 1, "a file that cannot be read as what it is")
    return Changed(None, 1, "a file of another kind")


def _plain(ending: str, content: bytes) -> bytes:
    unpack = _COMPRESSED.get(ending)
    if unpack is None:
        return content
    try:
        return unpack(content)
    except (OSError, EOFError, ValueError):
        return content


def _is_text(content: bytes) -> bool:
    if b"\0" in content[:_HEAD]:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _sentences_in(content: bytes, sentences: Collection[str]) -> set[str]:
    """The sentences that stand in a file, as they are, or as JSON, CSV or HTML writes them."""
    return {
        sentence
        for sentence in sentences
        if any(form.encode() in content for form in _forms(sentence))
    }


def _forms(sentence: str) -> set[str]:
    return {
        sentence,
        json.dumps(sentence)[1:-1],
        json.dumps(sentence, ensure_ascii=False)[1:-1],
        sentence.replace('"', '""'),
        html.escape(sentence),
        html.escape(sentence).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    }


def _lines(text: str, holds: Callable[[str], bool]) -> Changed:
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not holds(line)]
    return Changed("".join(kept).encode(), len(lines) - len(kept), "lines that held a user")


def _json(text: str, holds: Callable[[str], bool], _said: Collection[str]) -> Changed:
    value, parts = json.loads(text), 0

    def cleared(part: Any) -> Any:
        nonlocal parts
        if isinstance(part, str):
            if not holds(part):
                return part
            parts += 1
            return ERASED_WORD
        if isinstance(part, dict):
            return {cleared(name): cleared(within) for name, within in part.items()}
        return [cleared(within) for within in part] if isinstance(part, list) else part

    written = json.dumps(cleared(value), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    return Changed(written.encode(), parts, "texts that held a user")


def _csv(text: str, holds: Callable[[str], bool], said: Collection[str]) -> Changed:
    kept, parts, why = [], 0, "rows of a user"
    for record in _records(text):
        if holds(record):
            parts += 1
        elif any(form in record for sentence in said for form in _forms(sentence)):
            kept.append(_emptied(record, said))
        else:
            kept.append(record)
    if said:
        why = "rows of a user, and sentences that said what only a user had said"
    return Changed("".join(kept).encode(), parts, why)


def _records(text: str) -> Iterator[str]:
    """The rows of a CSV, each as it is written: a line break inside quotes ends none."""
    start, inside = 0, False
    for match in re.finditer(r'"|\n', text):
        if match.group() == '"':
            inside = not inside
        elif not inside:
            yield text[start : match.end()]
            start = match.end()
    if start < len(text):
        yield text[start:]


def _emptied(record: str, said: Collection[str]) -> str:
    (fields,) = csv.reader([record])
    ending = "\r\n" if record.endswith("\r\n") else "\n"
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=ending)
    # A spreadsheet-safe export may have put a mark before the sentence.
    writer.writerow("" if field.lstrip("'\t") in said else field for field in fields)
    return out.getvalue()


def _html(_text: str, _holds: Callable[[str], bool], _said: Collection[str]) -> Changed:
    return Changed(_PAGE.encode(), 1, "a page that showed a user")


_KINDS: dict[str, Callable[[str, Callable[[str], bool], Collection[str]], Changed]] = {
    ".json": _json,
    ".csv": _csv,
    ".html": _html,
}

"""Paths as SQL literals: a view and a table function take no prepared parameters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def sql_text(value: Path | str) -> str:
    """A SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def sql_files(files: Iterable[Path]) -> str:
    """A SQL list of files. Their names are taken literally, `*` and `[` included."""
    return "[" + ", ".join(sql_text(_literal(file)) for file in files) + "]"


def _literal(file: Path) -> str:
    """DuckDB expands `*`, `?` and `[…]` in a path; in brackets each stands for itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(file))

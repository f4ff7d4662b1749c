"""Names and strings as Spark SQL writes them. Standard library only."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A column name in backticks."""
    return f"`{name.replace('`', '``')}`"


def sql_string(text: str) -> str:
    """A Spark SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

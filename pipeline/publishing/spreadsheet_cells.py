"""Cells of a CSV that a spreadsheet would take for a formula, made harmless.

A title that begins with `=` is run by Excel and LibreOffice when the file is opened (OWASP, "CSV
Injection"). In the profile `spreadsheet` a text that begins with `= + - @`, their full-width forms,
a tab, a carriage return or a line feed gets an apostrophe before it, which a spreadsheet does not
show. Numbers stay numbers. In the profile `plain` every value is as it is stored: what programs are
to read.
"""

from __future__ import annotations

PLAIN, SPREADSHEET = "plain", "spreadsheet"
PROFILES = (PLAIN, SPREADSHEET)

DANGEROUS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def harmless(text: str) -> str:
    """A text as a cell of a spreadsheet.

    >>> harmless("=1+1"), harmless("Lamp = light")
    ("'=1+1", 'Lamp = light')
    """
    return f"'{text}" if text.startswith(DANGEROUS) else text


def harmless_sql(value: str) -> str:
    """`harmless` of a text column, as DuckDB's SQL; null stays null."""
    first = ", ".join(f"chr({ord(char)})" for char in DANGEROUS)
    return f"CASE WHEN {value}[1] IN ({first}) THEN chr(39) || {value} ELSE {value} END"

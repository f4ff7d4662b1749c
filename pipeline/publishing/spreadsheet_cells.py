"""Cells of a CSV that a spreadsheet would take for a formula, made harmless.

A title that begins with `=` is run by Excel and LibreOffice when the file is opened (OWASP, "CSV
Injection"). A text that begins with `= + - @`, their full-width forms,
a tab, a carriage return or a line feed gets an apostrophe before it, which a spreadsheet does not
show. Numbers stay numbers.
"""

from __future__ import annotations

DANGEROUS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def harmless(text: str) -> str:
    """A text as a cell of a spreadsheet.

    >>> harmless("=1+1"), harmless("Lamp = light")
    ("'=1+1", 'Lamp = light')
    """
    return f"'{text}" if text.startswith(DANGEROUS) else text

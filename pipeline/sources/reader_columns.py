"""The columns that every reader adds to a source's raw columns.

__file          path below the raw root
__day           the day that the file's name says; null in a dump
__line          the text of a line that could not be read; null for a row
__unknown_key   JSON Lines only: a key of the line that the source does not name

Rows that are joined or come of an array also have `__no_element`, `__broken` and, for each join,
`__found_<name>` (`joined_rows`).
"""

from __future__ import annotations

FILE, DAY, LINE, UNKNOWN_KEY = "__file", "__day", "__line", "__unknown_key"
READER_COLUMNS = (FILE, DAY, LINE)
BROKEN, NO_ELEMENT = "__broken", "__no_element"


def found_column(join: str) -> str:
    """Whether a row found its partner in a joined file."""
    return f"__found_{join}"

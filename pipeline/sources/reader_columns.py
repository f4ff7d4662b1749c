"""The columns that every reader adds to a source's raw columns.

__file          path below the raw root
__day           the day that the file's name says; null in a dump
__line          the text of a line that could not be read; null for a row
__unknown_key   JSON Lines only: a key of the line that the source does not name
"""

from __future__ import annotations

FILE, DAY, LINE, UNKNOWN_KEY = "__file", "__day", "__line", "__unknown_key"
READER_COLUMNS = (FILE, DAY, LINE)

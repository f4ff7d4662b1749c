"""SQL that makes an instant of a source's time, however it is written.

The first format of the list that fits wins; a text that none fits is null, which the mapping
reports as `<column>_unparsable`. A text without an offset is local time of the source's zone. In
the hour that clocks skip, it counts with the offset before the change (02:30 is 03:30); in the
hour that comes twice, it is the first of the two. Pure text.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.contracts.sql_text import sql_string
from pipeline.sources.time_formats import EPOCH, EPOCH_UNITS, ISO, has_zone

_WITHOUT_OFFSET = r"^\s*\d+(-\d+){0,2}([T ][0-9:.]*)?\s*$"  # a date and time, and nothing behind

# Below these it is seconds (until the year 5138), milliseconds (from March 1973), microseconds.
_EPOCH_SIZES = (("1e11", "* 1000000"), ("1e14", "* 1000"), ("1e17", ""), ("1e20", "/ 1000"))


def instant_sql(sql: str, formats: Sequence[str], zone: str) -> str:
    """SQL for an instant from SQL that gives a text, or a timestamp already.

    Args:
        sql: over the raw columns.
        formats: words and patterns of `sources.time_formats`.
        zone: of local times; empty for UTC.
    """
    text = f"CAST(({sql}) AS string)"
    tries = [_by_format(text, entry, zone if zone != "UTC" else "") for entry in formats]
    parsed = tries[0] if len(tries) == 1 else f"coalesce({', '.join(tries)})"
    # Spark folds typeof away: one of the two branches is left in the plan.
    return f"IF(typeof(({sql})) = 'string', {parsed}, try_cast(({sql}) AS timestamp))"


def _by_format(text: str, entry: str, zone: str) -> str:
    if entry == ISO:
        return _iso(text, zone)
    if entry == EPOCH:
        number = f"try_cast({text} AS decimal(26, 6))"
        cases = " ".join(
            f"WHEN abs({number}) < {limit} THEN {number} {scale}" for limit, scale in _EPOCH_SIZES
        )
        return f"timestamp_micros(try_cast((CASE {cases} END) AS bigint))"
    if entry in EPOCH_UNITS:
        # Past a million years there is nothing that a bigint of microseconds could hold.
        number = f"try_cast({text} AS decimal(26, 6)) * {EPOCH_UNITS[entry]}"
        return f"timestamp_micros(try_cast(({number}) AS bigint))"
    parsed = f"try_to_timestamp(trim({text}), {sql_string(entry)})"
    return _of_zone(parsed, zone) if zone and not has_zone(entry) else parsed


def _iso(text: str, zone: str) -> str:
    """Spark's own cast, for texts with a date.

    Spark takes '12:30' for half past twelve of the current day, and '-3600' for a year: a date has
    a dash behind the year, and before the first colon.
    """
    cast = f"try_cast({text} AS timestamp)"
    if zone:
        is_local = f"{text} RLIKE {sql_string(_WITHOUT_OFFSET)}"
        cast = f"IF({is_local}, {_of_zone(cast, zone)}, {cast})"
    dash, colon = f"instr({text}, '-')", f"instr({text}, ':')"
    return f"IF({dash} > 4 AND ({colon} = 0 OR {dash} < {colon}), {cast}, NULL)"


def _of_zone(timestamp: str, zone: str) -> str:
    return f"to_utc_timestamp({timestamp}, {sql_string(zone)})"

"""How the times of a column are written: words and patterns for the `times` of a source YAML.

Each text is read by its shape; where day and month could be either, other values of the column
decide, and if none does, nothing is said to be known. Standard library only.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_EPOCHS = (("epoch_seconds", 1, 10), ("epoch_millis", 10**3, 13), ("epoch_micros", 10**6, 16))
_NANOS_DIGITS = 19
_MOST_READ = 2000  # of a column's values, evenly spread
_FIRST, _LAST = dt.datetime(1990, 1, 1), dt.datetime(2100, 1, 1)  # noqa: DTZ001  # for sizes only

_DAY = re.compile(
    r"(?P<a>\d{4}|\d{1,2})(?P<s>[./-])(?P<b>\d{1,2}|[A-Za-z]{3,9})(?P=s)(?P<c>\d{4}|\d{1,2})"
    r"|(?P<dd>\d{1,2})\.? (?P<mon>[A-Za-z]{3,9})\.? (?P<yy>\d{4})"
    r"|(?P<mon2>[A-Za-z]{3,9})\.? (?P<dd2>\d{1,2}),? (?P<yy2>\d{4})"
    r"|(?P<mm3>\d{1,2}) (?P<dd3>\d{1,2}), (?P<yy3>\d{4})"
)
_CLOCK = re.compile(
    r"(?P<t>[T ]|, )(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<sec>\d{2})(?P<f>[.,]\d{1,9})?)?"
    r"(?P<ap> ?[AaPp][Mm])?"
)
_ZONE = re.compile(
    r"(?P<gap> ?)(?P<z>Z|[A-Z]{2,5}|[A-Z][A-Za-z]+/[A-Za-z_/]+|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


@dataclass(frozen=True)
class Times:
    """How a column's times are written."""

    formats: tuple[str, ...]
    share: float  # of the values: how many are times
    first: str
    last: str
    is_local: bool  # without an offset or zone
    is_date: bool = False  # whole days
    either: tuple[str, ...] = ()  # patterns of which the values fit both; then formats is empty
    zones: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Read:
    patterns: tuple[str, ...]  # more than one: day and month may be either
    time: str  # ISO, of the first pattern
    zone: str
    is_date: bool


def times_of(values: Sequence[str | None], *, name_says_time: bool = True) -> Times | None:
    """How times are written, or none where fewer than four fifths of the values are times.

    Args:
        values: of one column.
        name_says_time: whether whole numbers may be taken for times.
    """
    given = [value.strip() for value in values if value and value.strip()]
    given = given[:: max(1, len(given) // _MOST_READ)]
    if not given:
        return None
    epoch = _epoch(given) if name_says_time else None
    if epoch:
        return epoch
    read = [_read(value) for value in given]
    times = [one for one in read if one]
    if len(times) < 0.8 * len(given):
        return None
    formats = Counter(pattern for one in times for pattern in one.patterns)
    certain = {_shape(one.patterns[0]) for one in times if len(one.patterns) == 1}
    either: tuple[str, ...] = ()
    chosen: list[str] = []
    for pattern, _ in sorted(formats.items(), key=lambda one: (-one[1], one[0])):
        unclear = [
            one.patterns for one in times if pattern in one.patterns and len(one.patterns) > 1
        ]
        if unclear and _shape(pattern) not in certain:
            if not certain & {*map(_shape, unclear[0])}:
                either = unclear[0]
            continue  # the other order of day and month is the one that fits
        chosen.append(pattern)
    zones = tuple(sorted({one.zone for one in times if one.zone}))
    stamps = sorted(one.time for one in times)
    return Times(
        formats=() if either else _fewest(chosen),
        share=len(times) / len(given),
        first=stamps[0],
        last=stamps[-1],
        is_local=any(not one.zone for one in times),
        is_date=all(one.is_date for one in times),
        either=either,
        zones=zones[:5],
    )


def _fewest(patterns: Sequence[str]) -> tuple[str, ...]:
    """Without patterns that differ in leading zeros only: `d` reads 3 and 03."""
    by_shape: dict[str, list[str]] = {}
    for pattern in patterns:
        by_shape.setdefault(_shape(pattern), []).append(pattern)
    fewest = [alike[0] if len(alike) == 1 else shape for shape, alike in by_shape.items()]
    return tuple(fewest[:5])


def _shape(pattern: str) -> str:
    """A pattern without leading zeros."""
    return re.sub(r"dd|(?<!M)MM(?!M)|HH|hh", lambda found: found.group(0)[0], pattern)


def _epoch(given: Sequence[str]) -> Times | None:
    numbers = [value for value in given if re.fullmatch(r"\d{9,19}(\.\d*)?", value)]
    if len(numbers) < 0.8 * len(given):
        return None
    sizes = Counter(len(value.split(".")[0]) for value in numbers)
    units = [one for one in (*_EPOCHS, ("epoch", 10**9, _NANOS_DIGITS)) if one[2] in sizes]
    found = []
    for word, scale, digits in units:
        for value in numbers:
            if len(value.split(".")[0]) == digits:
                seconds = float(value) / scale
                if _FIRST.timestamp() <= seconds < _LAST.timestamp():
                    found.append((word, seconds))
    if len(found) < 0.8 * len(given):
        return None
    stamps = sorted(dt.datetime.fromtimestamp(s, dt.UTC).isoformat(" ")[:19] for _, s in found)
    words = {word for word, _ in found}
    return Times(
        formats=(words.pop(),) if len(words) == 1 else ("epoch",),
        share=len(found) / len(given),
        first=stamps[0],
        last=stamps[-1],
        is_local=False,
        is_date=all(seconds % 86400 == 0 for _, seconds in found),
    )


def _read(text: str) -> _Read | None:
    """The patterns that a text fits, or none where it is no time."""
    if re.fullmatch(r"(19|20)\d{12}|(19|20)\d{6}", text):
        return _compact(text)
    day = _DAY.match(text)
    if not day:
        return None
    rest = text[day.end() :]
    clock = _CLOCK.match(rest)
    rest = rest[clock.end() :] if clock else rest
    zone = _ZONE.match(rest) if rest else None
    if rest and not zone:
        return None
    days = _days(day)
    clocks, hour = _clock(clock)
    patterns, time = [], ""
    for pattern, year, month, number in days:
        try:
            clock_time = dt.time(*hour)
            stamp = dt.datetime.combine(dt.date(year, month, number), clock_time)
        except ValueError:
            continue
        time = time or stamp.isoformat(" ")
        patterns.append(pattern)
    if not patterns:
        return None
    mark = zone.group("z") if zone else ""
    if patterns == ["iso"] and _is_iso(clock, zone):
        return _Read(("iso",), time, mark, clock is None)
    written = tuple(
        ("yyyy-MM-dd" if pattern == "iso" else pattern) + clocks + _zone_pattern(zone)
        for pattern in dict.fromkeys(patterns)
    )
    return _Read(written, time, mark, clock is None)


def _is_iso(clock: re.Match[str] | None, zone: re.Match[str] | None) -> bool:
    """Whether Spark's own cast reads it."""
    if clock and (clock.group("ap") or clock.group("t") == ", "):
        return False
    if clock and clock.group("f") and clock.group("f")[0] == ",":
        return False
    mark = zone.group("z") if zone else ""
    return not zone or mark in ("Z", "UTC", "GMT") or bool(re.fullmatch(r"[+-]\d\d:\d\d", mark))


def _days(day: re.Match[str]) -> list[tuple[str, int, int, int]]:
    """Pattern, year, month and day, for each order that could be meant."""
    part = day.groupdict()
    if part["mon"]:
        return _named(part["mon"], part["dd"], part["yy"], "{d} {m} yyyy", day.group(0))
    if part["mon2"]:
        comma = "," if "," in day.group(0) else ""
        return _named(part["mon2"], part["dd2"], part["yy2"], f"{{m}} {{d}}{comma} yyyy", "")
    if part["mm3"]:
        pattern = f"{_digits('M', part['mm3'])} {_digits('d', part['dd3'])}, yyyy"
        return [(pattern, int(part["yy3"]), int(part["mm3"]), int(part["dd3"]))]
    first, second, third, mark = part["a"], part["b"], part["c"], part["s"]
    if not second.isdigit():
        year = "yyyy" if len(third) == 4 else "yy"
        return _named(second, first, third, f"{{d}}{mark}{{m}}{mark}{year}", "")
    if len(first) == 4:
        pattern = f"yyyy{mark}{_digits('M', second)}{mark}{_digits('d', third)}"
        if mark == "-" and len(second) == len(third) == 2:
            pattern = "iso"
        return [(pattern, int(first), int(second), int(third))]
    long_year = "yyyy" if len(third) == 4 else "yy"
    number = int(third) + (2000 if len(third) < 4 else 0)
    wide = "1" if len(first) == 1 or len(second) == 1 else "11"
    day_first = f"{_digits('d', wide)}{mark}{_digits('M', wide)}{mark}{long_year}"
    month_first = f"{_digits('M', wide)}{mark}{_digits('d', wide)}{mark}{long_year}"
    orders = [(day_first, number, int(second), int(first))]
    if mark != ".":  # with points the day always comes first
        orders.append((month_first, number, int(first), int(second)))
    return orders


def _named(
    month: str, day: str, year: str, pattern: str, text: str
) -> list[tuple[str, int, int, int]]:
    short = month[:3].lower()
    if short not in _MONTHS or "." in text:
        return []
    letters = "MMM" if len(month) == 3 else "MMMM"
    written = pattern.format(d=_digits("d", day), m=letters)
    number = int(year) + (2000 if len(year) < 4 else 0)
    return [(written, number, _MONTHS.index(short) + 1, int(day))]


def _digits(letter: str, text: str) -> str:
    return letter * (2 if len(text) == 2 and text[0] in "01" else 1) if text else letter


def _clock(clock: re.Match[str] | None) -> tuple[str, tuple[int, int, int]]:
    if clock is None:
        return "", (0, 0, 0)
    part = clock.groupdict()
    hour = int(part["h"])
    letter = "h" if part["ap"] else "H"
    pattern = (
        {"T": "'T'", " ": " ", ", ": ", "}[part["t"]]
        + letter
        + (letter if len(part["h"]) == 2 else "")
    )
    pattern += ":mm" + (":ss" if part["sec"] else "")
    if part["f"]:
        pattern += part["f"][0] + "S" * (len(part["f"]) - 1)
    if part["ap"]:
        pattern += " a" if part["ap"][0] == " " else "a"
        hour = hour % 12 + (12 if "p" in part["ap"].lower() else 0)
    return pattern, (hour, int(part["m"]), int(part["sec"] or 0))


def _zone_pattern(zone: re.Match[str] | None) -> str:
    if zone is None:
        return ""
    mark = zone.group("z")
    if re.fullmatch(r"[+-]\d{4}", mark):
        letters = "xx"
    elif re.fullmatch(r"[+-]\d{2}:\d{2}", mark):
        letters = "xxx"
    elif re.fullmatch(r"[+-]\d{2}", mark):
        letters = "x"
    elif mark == "Z":
        letters = "X"
    else:
        letters = "VV" if "/" in mark else "z"
    return zone.group("gap") + letters


def _compact(text: str) -> _Read | None:
    is_date = len(text) == 8
    try:
        stamp = dt.datetime.strptime(text, "%Y%m%d" if is_date else "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        return None
    pattern = "yyyyMMdd" if is_date else "yyyyMMddHHmmss"
    return _Read((pattern,), stamp.isoformat(" "), "", is_date)


def time_sql(sql: str, formats: Sequence[str]) -> str:
    """SQL by which rows can be ordered by a time: the text itself, where that has its order."""
    if formats == ("iso",):
        return sql
    if len(formats) == 1 and formats[0].startswith("epoch"):
        return f"try_cast({sql} AS decimal(26, 6))"
    patterns = [one for one in formats if one != "iso" and not one.startswith("epoch")]
    if not patterns:
        return sql
    tries = [f"try_to_timestamp({sql}, '" + p.replace("'", "\\'") + "')" for p in patterns]
    if "iso" in formats:
        tries.insert(0, f"try_cast({sql} AS timestamp)")
    return tries[0] if len(tries) == 1 else f"coalesce({', '.join(tries)})"

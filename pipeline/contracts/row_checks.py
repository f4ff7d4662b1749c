"""The checks of a single row, derived from a contract, in the order in which they apply.

Each check has the reason that a refused row is given, and the engine-neutral facts from which
`contracts.spark` makes SQL and `contracts.expectations` makes expectations, so that quarantine and
gate cannot disagree. Standard library only.

Order: the columns as the contract lists them and, per column, missing, unknown value, out of
range, malformed, too short, too long; then the contract's own rules. A null passes every check but
missing, and is never a good answer of a rule's predicate.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from pipeline.contracts.contract import Column, Contract

Kind = Literal["missing", "unknown_value", "out_of_range", "malformed", "too_short", "too_long"]

# Any character that is not white space; (?U) so that an ideographic or no-break space is blank.
NOT_BLANK = r"(?U)\S"

# NaN sorts above every number in Spark, and an infinity is no price: both fall outside these.
LARGEST_DOUBLE = sys.float_info.max


@dataclass(frozen=True)
class ColumnCheck:
    """One check of one column. Only the fields of its kind are set."""

    kind: Kind
    column: Column
    regexes: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    min_length: int | None = None
    max_length: int | None = None

    @property
    def reason(self) -> str:
        """What a row that breaks this check is refused for."""
        return f"{self.column.name}_{self.kind}"


def column_checks(contract: Contract) -> list[ColumnCheck]:
    """Every column check of a contract, in priority order."""
    return [check for column in contract.columns for check in _checks_of(column)]


def _checks_of(column: Column) -> list[ColumnCheck]:
    checks: list[ColumnCheck] = []
    needs_words = bool(column.min_length)
    if not column.nullable:
        blank = (NOT_BLANK,) if needs_words else ()
        checks.append(ColumnCheck("missing", column, regexes=blank))
    if column.values:
        checks.append(ColumnCheck("unknown_value", column))
    low, high = _range(column)
    if low is not None or high is not None:
        checks.append(ColumnCheck("out_of_range", column, min=low, max=high))
    if column.pattern is not None:
        checks.append(ColumnCheck("malformed", column, regexes=(whole(column.pattern),)))
    if needs_words and column.nullable:
        checks.append(
            ColumnCheck("too_short", column, regexes=(NOT_BLANK,), min_length=column.min_length)
        )
    elif column.min_length is not None and column.min_length > 1:
        checks.append(ColumnCheck("too_short", column, min_length=column.min_length))
    if column.max_length is not None:
        checks.append(ColumnCheck("too_long", column, max_length=column.max_length))
    return checks


def whole(pattern: str) -> str:
    r"""The pattern, made to match the whole value.

    Java's `$` also matches before a last line break, so that "…$" alone lets "abc\n" through.
    """
    return rf"^(?:{pattern})\z"


def _range(column: Column) -> tuple[float | None, float | None]:
    if column.type != "double":
        return column.min, column.max
    low = -LARGEST_DOUBLE if column.min is None else column.min
    high = LARGEST_DOUBLE if column.max is None else column.max
    return low, high

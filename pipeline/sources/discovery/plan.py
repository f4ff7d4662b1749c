"""What a dataset's entry in the source YAML will say: expressions, with why each is as it is.

A comment is a guess (it can be wrong, and somebody should look), or names what is to be filled in:
what nobody may guess, such as who has agreed and in which time zone a clock ran.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.sources.discovery.formats import Table
from pipeline.sources.discovery.joins import Join

FILL_IN = "FILL IN"


@dataclass
class Mapped:
    """A column of the contract: its expression, and what is said of it."""

    sql: str
    comment: str = ""


@dataclass
class Rule:
    """Rows to be removed."""

    rule: str
    when: str
    description: str


@dataclass
class Plan:
    """A dataset's entry."""

    dataset: str
    table: Table
    same_files_as: str = ""
    mapping: dict[str, Mapped] = field(default_factory=dict)
    commented: list[str] = field(default_factory=list)  # lines of `map` to be filled in
    times: dict[str, tuple[str, ...]] = field(default_factory=dict)
    commented_times: list[str] = field(default_factory=list)
    event_types: dict[str, str] = field(default_factory=dict)
    commented_event_types: list[str] = field(default_factory=list)
    numbers: dict[str, dict[str, str]] = field(default_factory=dict)
    strips_decimal: bool = False
    null_words: tuple[str, ...] = ()
    remove: list[Rule] = field(default_factory=list)
    latest_by: str = ""
    row_time: str = ""
    explode_empty: str = ""  # keep or remove, where it is said
    takes_whole_rows: bool = False  # of a table of elements: each row of the file once
    is_snapshot: bool = False
    is_optional: bool = False
    joins: list[Join] = field(default_factory=list)
    local_times: list[str] = field(default_factory=list)  # mapped times without an offset
    guesses: list[str] = field(default_factory=list)  # of the dataset as a whole
    to_fill: list[str] = field(default_factory=list)  # what a person has to say
    missing: list[str] = field(default_factory=list)  # without which the dataset cannot be read

    def map(self, column: str, sql: str, comment: str = "") -> None:
        """Map a column of the contract."""
        self.mapping[column] = Mapped(sql, comment)

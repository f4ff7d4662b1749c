"""What one tool takes: columns and their limits, files and theirs, how a value is cleared.

A profile is data. The same one is asked by who makes records (`records`), writes them (`files`) and
reads them back (`validator`). Lengths are in UTF-16 code units, in which Java and JavaScript count:
an emoji has two, so a tool that counts characters is never given too many.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property

from pipeline.settings_ranges import EXPORT_DATASETS

LISTS, TRIGGERS = EXPORT_DATASETS  # what is exported
RANK = "{n}"  # in the name of a column: the rank of the item


class Fact(Enum):
    """What of a published list stands in a column."""

    USER = "user"
    DATE = "date"  # the night of the list
    VALID_UNTIL = "valid_until"  # the last day on which to send the list
    COUNT = "count"  # items of the list that are in the record
    SPARES = "spares"  # further items behind these, for what sold out since
    LANGUAGE = "language"
    METHOD = "method"
    REASON = "reason"
    ITEM = "item_id"
    TITLE = "title"
    BRAND = "brand"
    CATEGORY = "category"
    PRICE = "price"
    SCORE = "score"
    KIND = "kind"  # and below: of a trigger
    PRICE_BEFORE = "price_before"
    LOWEST_PRICE = "lowest_price"


class Shape(Enum):
    """How the columns of a record stand in a file."""

    FLAT = "flat"  # a CSV row: one column for each column of each rank
    BRAZE = "braze"  # a key and a JSON string; items as parallel arrays
    KLAVIYO = "klaviyo"  # profile objects with flat properties
    MAILCHIMP = "mailchimp"  # member objects with flat merge fields
    PERSONALIZE = "personalize"  # what Amazon Personalize writes for a batch


class Form(Enum):
    """The kind of file."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    JSON = "json"  # one document a file
    PARQUET = "parquet"


class Left(Enum):
    """How the tool is told of somebody who is in the export no more."""

    CLEARED = "cleared"  # a record of which every value is cleared
    KEYS = "keys"  # a file of keys alone


@dataclass(frozen=True)
class Column:
    """One value of a record.

    Attributes:
        name: in the tool; `{n}` stands for the rank.
        fact: where the value is from.
        characters: at most so many UTF-16 code units; 0: no limit.
        bytes: at most so many bytes of UTF-8; 0: no limit.
        pattern: the whole value must match; a row with another value is left out.
        pattern_words: what the pattern asks for.
        is_id: an id, which is never altered: a row whose id would have to be is left out.
        is_number: a JSON number where the form has numbers.
        is_required: a row without the value is left out.
    """

    name: str
    fact: Fact
    characters: int = 0
    bytes: int = 0
    pattern: str = ""
    pattern_words: str = ""
    is_id: bool = False
    is_number: bool = False
    is_required: bool = False

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled."""
        return re.compile(self.pattern, re.ASCII)

    def of_rank(self, rank: int) -> str:
        """The column's name for a rank."""
        return _of_rank(self.name, rank)

    @cached_property
    def source(self) -> str:
        """The key of the fact in a row; an enumeration is asked more slowly than a dictionary."""
        return self.fact.value


@cache
def _of_rank(name: str, rank: int) -> str:
    """Asked for each value of each record: a fifth of an export before it was remembered."""
    return name.replace(RANK, str(rank))


@dataclass(frozen=True)
class TextRule:
    """Characters that the tool does not take, and what stands in their place."""

    pattern: str
    by: str
    words: str  # what was done, for the report

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled."""
        return re.compile(self.pattern)


@dataclass(frozen=True)
class FileForm:
    """A kind of file and its limits; 0 where there is none.

    Attributes:
        form: the kind.
        rows: at most so many records in a file.
        bytes: at most so many bytes in a file (of Parquet, before it is compressed).
        record_bytes: at most so many bytes in a record, as it is encoded.
        line_end: of CSV.
        quote_all: of CSV: every field in quotation marks.
        byte_order_mark: of CSV.
        head: of JSON: what stands before the first record.
        tail: of JSON: what stands after the last.
    """

    form: Form
    rows: int = 0
    bytes: int = 0
    record_bytes: int = 0
    line_end: str = "\n"
    quote_all: bool = False
    byte_order_mark: bool = False
    head: str = ""
    tail: str = ""

    @property
    def suffix(self) -> str:
        """Of a file's name."""
        return f".{self.form.value}"


@dataclass(frozen=True)
class Profile:
    """What one tool takes.

    Attributes:
        name: as a person calls it.
        tool: as its vendor calls it.
        load: how the files are loaded there, in a sentence.
        key: the column of the shopper's id.
        columns: of the list.
        item_columns: of each item; the first is the item's id.
        most_items: of a list; further ones are not in the export.
        file: the kind of file.
        shape: how a record stands in it.
        rules: characters that the tool does not take.
        empty: what stands where there is no value; none is JSON's null.
        left: how a deletion is said.
        key_is_text: the key may be altered as texts are: nobody loads these files.
        key_ignores_case: keys that differ only in their case are one to the tool.
        dataset: what the records are made of: lists, or triggers in the place of items.
    """

    name: str
    tool: str
    load: str
    key: Column
    columns: tuple[Column, ...]
    item_columns: tuple[Column, ...]
    most_items: int
    file: FileForm
    shape: Shape = Shape.FLAT
    rules: tuple[TextRule, ...] = ()
    empty: str | None = ""
    left: Left = Left.CLEARED
    key_is_text: bool = False
    key_ignores_case: bool = False
    dataset: str = LISTS

    @property
    def folder(self) -> str:
        """The name of the folder of its exports: each dataset has its own last export."""
        return self.name if self.dataset == LISTS else f"{self.name}-{self.dataset}"

    def same_key(self, key: str) -> str:
        """What two keys have in common that the tool takes for one."""
        return key.casefold() if self.key_ignores_case else key

    @cached_property
    def all_rules(self) -> tuple[TextRule, ...]:
        """The rules of every profile, then its own."""
        return (*EVERYWHERE, *self.rules)


# What breaks readers of text files, whoever wrote them, and nobody can see.
EVERYWHERE = (
    TextRule(
        "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufeff\ufdd0-\ufdef\ufffe\uffff]",
        "",
        "control characters removed",
    ),
    TextRule("[\u2028\u2029]", " ", "line separators made spaces"),
)


def units(text: str) -> int:
    """The length in UTF-16 code units.

    >>> units("tea"), units("🍵")
    (3, 2)
    """
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def fault_of(column: Column, text: str) -> str | None:
    """Which limit of its column a text breaks, in words; none if it keeps all."""
    if column.characters and units(text) > column.characters:
        return f"longer than {column.characters:,} characters"
    if column.bytes and len(text.encode()) > column.bytes:
        return f"longer than {column.bytes:,} bytes"
    if column.pattern and not column.regex.fullmatch(text):
        return column.pattern_words
    return None


def shortened(column: Column, text: str) -> str:
    """The beginning of a text that is too long, with `…` for the rest.

    >>> shortened(Column("title", Fact.TITLE, characters=4), "kettle")
    'ket…'
    """
    if column.characters and units(text) > column.characters:
        kept = text.encode("utf-16-le")[: 2 * (column.characters - 1)].decode("utf-16-le", "ignore")
        text = _without_joiner(kept) + "…"
    if column.bytes and len(text.encode()) > column.bytes:
        kept = text.encode()[: column.bytes - len("…".encode())].decode("utf-8", "ignore")
        text = _without_joiner(kept) + "…"
    return text


def _without_joiner(text: str) -> str:
    """Without a space or the half of a joined emoji at the end."""
    return text.rstrip(" \u200d\ufe0f")

"""Numbers and ids as a retailer writes them: decimal commas, thousands points, `1.0` for one.

A whole number may be written with a fraction of zeros (`2.0`, as pandas and spreadsheets write a
column that has gaps); `2.5` is none. The entry `numbers` of a source YAML says by column which
characters stand before the decimals and between the thousands; a text that is not built so is
`<column>_unparsable`, so that `1.299` is never taken for a little more than one. With
`ids: {strip_decimal: true}` ids lose a fraction of zeros, so that `17850.0` and `17850` are one.
Pure text; standard library only, beside the contracts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pipeline.contracts.contract import load_contract
from pipeline.contracts.sql_text import sql_string
from pipeline.errors import ContractError
from pipeline.sources.yaml_entries import checked

ID_COLUMNS = ("user_id", "item_id", "event_id", "review_id", "session_id")
WHOLE = ("int", "bigint")
KINDS = (*WHOLE, "double")

_WHOLE_NUMBER = r"^ *([+-]?[0-9]+)[.]0* *$"


def numbers_of(given: Any, dataset: str, mapped: Collection[str], where: str) -> dict[str, str]:
    """Of each column that `numbers` names: the decimal character, then that of the thousands.

    Raises:
        ContractError: a column is no mapped number, or a character cannot be meant.
    """
    columns = load_contract(f"raw_{dataset}").columns
    known = [one.name for one in columns if one.type in KINDS and one.name in mapped]
    found = {}
    for column, entry in checked(given or {}, known, f"{where}: numbers").items():
        place = f"{where}: numbers: {column}"
        marks = checked(entry, ("decimal", "group"), place)
        decimal, group = str(marks.get("decimal", ".")), str(marks.get("group", ""))
        if decimal not in (".", ","):
            raise ContractError(f"{place}: decimal must be '.' or ',', found {decimal!r}")
        if len(group) > 1 or re.fullmatch(r"[\w+-]", group) or group == decimal:
            raise ContractError(
                f"{place}: group must be one character between thousands, other than the decimal "
                f"character, or left out; found {group!r}"
            )
        found[column] = decimal + group
    return found


def number_sql(sql: str, kind: str, marks: str = "") -> str:
    """SQL for a number of a type, or null, from SQL that gives a text.

    Args:
        sql: over the raw columns.
        kind: one of `KINDS`.
        marks: as `numbers_of` gives them; empty for numbers as SQL writes them.
    """
    text = f"CAST(({sql}) AS string)"
    if marks:
        text = _as_sql_writes_it(text, marks[0], marks[1:])
    number = f"try_cast({text} AS {kind})"
    if kind not in WHOLE:
        return number
    whole = f"regexp_extract({text}, {sql_string(_WHOLE_NUMBER)}, 1)"
    return f"coalesce({number}, try_cast({whole} AS {kind}))"


def _as_sql_writes_it(text: str, decimal: str, group: str) -> str:
    digits = "[0-9]+"
    if group:
        digits = f"([0-9]+|[0-9]{{1,3}}([{_in_brackets(group)}][0-9]{{3}})+)"
    pattern = f"^ *[+-]?{digits}([{decimal}][0-9]*)? *$"
    plain = f"replace({text}, {sql_string(group)}, '')" if group else text
    plain = f"replace({plain}, {sql_string(decimal)}, '.')"
    return f"IF({text} RLIKE {sql_string(pattern)}, {plain}, NULL)"


def _in_brackets(character: str) -> str:
    return f"\\{character}" if character in r"\^[]&~" else character


def strips_decimal(given: Any, where: str) -> bool:
    """Whether `ids` says that ids lose a fraction of zeros.

    Raises:
        ContractError: the entry is another.
    """
    entry: Mapping[str, Any] = checked(given or {}, ("strip_decimal",), f"{where}: ids")
    value = entry.get("strip_decimal", False)
    if value not in (True, False):
        raise ContractError(f"{where}: ids: strip_decimal must be true or false, found {value!r}")
    return bool(value)


def id_sql(sql: str) -> str:
    """SQL for an id without a fraction of zeros."""
    return f"regexp_replace(CAST(({sql}) AS string), '^ *([0-9]+)[.]0+ *$', '$1')"

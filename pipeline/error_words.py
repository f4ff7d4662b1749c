"""What is said of an error that is not ours: its kind and its place, and no value of the data.

The message of an engine names the value that it failed on: "The value 'ann@example.com' of the type
"STRING" cannot be cast". A run record, an alert, an Airflow log and a mail would then hold what the
lake must not. So an error becomes words here and nowhere else: Spark's by its condition, the types
and the source's own SQL; another engine's by its type and what stands before the first colon or
quotation mark; Python's with what is quoted left out. Our own errors are written without values
(`pipeline.errors`) and stay as they are.

Gives up: for a fault of the engine the reader has the condition, and looks for the value in the raw
file himself. Standard library only: engines' errors are recognised by their module.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import Any

from pipeline.errors import NightcartError

_ENGINES = ("pyarrow", "duckdb", "pandas", "great_expectations", "json", "csv", "_csv", "polars")
_JVM = ("pyspark", "py4j")
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|“[^”\n]*”")
_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]")
_THROWABLE = re.compile(r"\b(?:[a-z][\w$]*\.)+([A-Z]\w*(?:Exception|Error))\b")
_PYTHON_ERROR = re.compile(r"^(?:[a-z_]\w*\.)*([A-Z]\w*(?:Error|Exception))(?::|$)", re.MULTILINE)
_KEY_FAULT = re.compile(r"NIGHTCART_KEY ([^\n]+)")
# Parameters of Spark's conditions that say something of the SQL, and nothing of a row.
_OF_THE_SQL = ("sourceType", "targetType", "expectedType", "functionName", "operator")
_LONGEST = 300


def in_words(error: BaseException) -> str:
    """One line about an error, without a value of the data."""
    if isinstance(error, NightcartError):
        return str(error)
    kind = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"{kind}: {error.strerror}{where}"[:_LONGEST]
    module = type(error).__module__.partition(".")[0]
    if module in _JVM:
        words = _of_the_jvm(error)
    elif module in _ENGINES:
        words = re.split(r"[:'\"`\n]", str(error), maxsplit=1)[0].strip()
    else:
        words = without_quoted(str(error))
    return f"{kind}: {words}"[:_LONGEST].rstrip(": ")


def key_fault(error: BaseException) -> str | None:
    """What classes of ours in the JVM say of a key file (pipeline/*.java); none of other errors."""
    found = _KEY_FAULT.search(str(error))
    return found[1].strip() if found else None


def without_quoted(text: str) -> str:
    """The first line of a message, with `…` for whatever it quotes."""
    return _QUOTED.sub("'…'", text.strip().partition("\n")[0])[:_LONGEST]


def traceback_without_values(error: BaseException) -> str:
    """A traceback for the log: the code that was reached, each error in words."""
    lines = []
    for each in _chain(error):
        lines += [*traceback.format_tb(each.__traceback__), f"{in_words(each)}\n"]
    return "".join(lines)


def conditions_of(error: BaseException) -> list[str]:
    """Spark's conditions that an error names, such as CAST_INVALID_INPUT; the first is its own."""
    own = getattr(error, "getCondition", None)
    condition = _asked(own)
    named = _CONDITION.findall(str(error))
    return list(dict.fromkeys([*([condition] if condition else []), *named]))


def _of_the_jvm(error: BaseException) -> str:
    conditions, text = conditions_of(error), str(error)
    words = ", ".join(conditions[:3])
    parameters = _asked(getattr(error, "getMessageParameters", None)) or {}
    said = [f"{name} {parameters[name]}" for name in _OF_THE_SQL if parameters.get(name)]
    if said:
        words += f" ({', '.join(said)})"
    sql = _sql_of(error)
    if sql:
        words += f" in {sql!r}"
    causes = [
        name
        for name in [*_THROWABLE.findall(text), *_PYTHON_ERROR.findall(text)]
        if name not in ("SparkException", type(error).__name__)
    ]
    if causes and not conditions:
        words += f"caused by {', '.join(dict.fromkeys(causes))}"
    return words


def _sql_of(error: BaseException) -> str:
    """The piece of the source's SQL that failed, if Spark knows it."""
    for context in _asked(getattr(error, "getQueryContext", None)) or ():
        fragment = _asked(getattr(context, "fragment", None))
        if isinstance(fragment, str) and fragment:
            return " ".join(fragment.split())[:120]
    return ""


def _asked(question: Any) -> Any:
    """What Spark answers about its error; nothing if its JVM is gone."""
    if question is None:
        return None
    try:
        return question()
    except Exception:
        return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error's causes, the first one first, then the error."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return reversed(found)

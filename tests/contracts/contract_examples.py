"""The example files below `examples/`, as typed rows. A new file is a new case; no code.

`<dataset>.v<version>.<case>.pass.json` holds `{"rows": […]}`: all good.
`<dataset>.v<version>.<case>.fail.json` holds `{"expect": <reason>, …}` and either its own `"rows"`
or `"like"`, a pass file, whose first row is taken once per mapping in `"change"`. Every row of a
fail file is refused for that reason; where the reason is one of the whole dataset (`key_repeats`,
a dataset rule), the rows are good and the dataset is not.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contracts.contract import Contract, load_contract
from pipeline.contracts.types import Array, Map, Scalar, Type, parse_type

EXAMPLES = Path(__file__).parent / "examples"


@dataclass(frozen=True)
class Example:
    """One file."""

    file: str
    contract: Contract
    rows: list[dict[str, Any]]
    expect: str | None

    @property
    def columns(self) -> list[tuple[str, Type]]:
        return columns_of(self.contract)


def columns_of(contract: Contract) -> list[tuple[str, Type]]:
    """The contract's columns, then those that only the cleaner knows."""
    return [(c.name, parse_type(c.type)) for c in (*contract.columns, *contract.context)]


def examples() -> list[Example]:
    """Every file, by name."""
    return [read_example(path) for path in sorted(EXAMPLES.glob("*.json"))]


def read_example(path: Path) -> Example:
    dataset, version, _case, outcome, _json = path.name.split(".")
    assert outcome in ("pass", "fail"), path.name
    contract = load_contract(dataset, int(version.removeprefix("v")))
    document = json.loads(path.read_text(encoding="utf-8"))
    assert ("expect" in document) == (outcome == "fail"), path.name
    rows = document.get("rows")
    if rows is None:
        first = json.loads((EXAMPLES / document["like"]).read_text(encoding="utf-8"))["rows"][0]
        rows = [first | change for change in document["change"]]
    columns = columns_of(contract)
    unknown = {name for row in rows for name in row} - {name for name, _ in columns}
    assert not unknown, f"{path.name}: {unknown} are not columns of {dataset}"
    typed = [{name: _typed(row.get(name), kind) for name, kind in columns} for row in rows]
    return Example(path.name, contract, typed, document.get("expect"))


def _typed(value: Any, kind: Type) -> Any:
    """A JSON value as the Python value that Spark takes for a type."""
    if value is None:
        return None
    if isinstance(kind, Array):
        return [_typed(inner, kind.element) for inner in value]
    if isinstance(kind, Map):
        return {_typed(key, kind.key): _typed(inner, kind.value) for key, inner in value.items()}
    if not isinstance(kind, Scalar):
        return {name: _typed(value[name], inner) for name, inner in kind.fields}
    if kind.name == "timestamp":
        return dt.datetime.fromisoformat(value)
    if kind.name == "date":
        return dt.date.fromisoformat(value)
    if kind.name == "double":
        return float(value)  # also of "NaN" and "Infinity", which JSON does not have
    return value

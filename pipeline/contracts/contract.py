"""A dataset's contract, read from `schemas/<dataset>.v<version>.yaml`.

The contract is the one definition: the Spark schema and predicates (`contracts.spark`), the Arrow
schema (`contracts.arrow`), the Great Expectations suite (`contracts.expectations`) and the
documentation page (`contracts.documentation`) are all derived from it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import yaml

from pipeline.contracts.types import NUMBERS, parse_type
from pipeline.errors import ContractError

T = TypeVar("T")

Severity = str
SEVERITIES = ("stop", "warn")  # "stop" ends the night, "warn" is reported


@dataclass(frozen=True)
class Column:
    """One column: its Spark DDL type and the checks that hold for every value."""

    name: str
    type: str
    description: str
    nullable: bool = True
    values: tuple[str, ...] = ()
    min: float | None = None
    exclusive_min: bool = False
    max: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    personal: bool = False  # may identify a user or hold their words: never shown in Data Docs


@dataclass(frozen=True)
class RowRule:
    """A Spark SQL predicate that is true for a good row; null counts as broken."""

    name: str
    predicate: str
    description: str


@dataclass(frozen=True)
class DatasetRule:
    """A Great Expectations expectation over the whole dataset."""

    name: str
    expectation: str
    kwargs: Mapping[str, Any]
    severity: Severity
    description: str


@dataclass(frozen=True)
class Contract:
    """A dataset's definition. Extra columns are as wrong as missing ones."""

    dataset: str
    version: int
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[RowRule, ...]
    dataset_rules: tuple[DatasetRule, ...]
    context: tuple[Column, ...] = ()
    partition_by: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in the contract's order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


@cache
def load_contract(dataset: str, version: int = 1) -> Contract:
    """The shipped contract of a dataset.

    Raises:
        ContractError: there is no such contract, or it is not one.
    """
    name = f"{dataset}.v{version}.yaml"
    file = resources.files("schemas") / name
    if not file.is_file():
        known = [contract.removesuffix(".yaml") for contract in contract_files()]
        near = difflib.get_close_matches(f"{dataset}.v{version}", known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ContractError(f"there is no contract schemas/{name}{hint}")
    return parse_contract(yaml.safe_load(file.read_text(encoding="utf-8")), f"schemas/{name}")


def contract_files() -> list[str]:
    """File names of all shipped contracts, sorted."""
    return sorted(
        entry.name for entry in resources.files("schemas").iterdir() if ".v" in entry.name
    )


def parse_contract(document: Any, where: str) -> Contract:
    """Build a contract from parsed YAML; every unknown or missing key is refused by name.

    Raises:
        ContractError: with the file and the entry at fault.
    """
    if not isinstance(document, dict):
        raise ContractError(f"{where}: a contract is a YAML mapping, found {document!r:.60}")
    fields = dict(document)
    try:
        contract = Contract(
            columns=tuple(_column(entry, where) for entry in fields.pop("columns")),
            context=tuple(_column(entry, where) for entry in fields.pop("context", ())),
            rules=tuple(_entry(RowRule, entry, where) for entry in fields.pop("rules")),
            dataset_rules=tuple(
                _entry(DatasetRule, entry, where) for entry in fields.pop("dataset_rules")
            ),
            key=tuple(fields.pop("key")),
            partition_by=tuple(fields.pop("partition_by", ())),
            **fields,
        )
    except KeyError as error:
        raise ContractError(f"{where}: the key {error} is missing") from None
    except TypeError as error:
        raise ContractError(f"{where}: {error}") from None
    _check_names(contract, where)
    return contract


def _check_names(contract: Contract, where: str) -> None:
    """Refuse names that are defined twice, and keys and severities that do not exist."""
    names = [column.name for column in (*contract.columns, *contract.context)]
    rules = [rule.name for rule in contract.rules]
    rules += [rule.name for rule in contract.dataset_rules]
    for what, defined in (("column", names), ("rule", rules)):
        twice = sorted({name for name in defined if defined.count(name) > 1})
        if twice:
            raise ContractError(f"{where}: {what} {', '.join(twice)} is defined more than once")
    for name in contract.key:
        if name not in contract.column_names:
            raise ContractError(f"{where}: the key names {name!r}, which is not a column")
    for rule in contract.dataset_rules:
        if rule.severity not in SEVERITIES:
            raise ContractError(
                f"{where}: rule {rule.name!r} has severity {rule.severity!r}; "
                f"known are {', '.join(SEVERITIES)}"
            )


def _column(entry: Mapping[str, Any], where: str) -> Column:
    column = _entry(Column, {**entry, "values": tuple(entry.get("values", ()))}, where)
    try:
        kind = str(parse_type(column.type))
    except ValueError as error:
        raise ContractError(f"{where}: column {column.name!r}: {error}") from None
    for_strings = (column.values, column.pattern, column.min_length, column.max_length)
    if kind != "string" and any(check not in (None, ()) for check in for_strings):
        raise ContractError(
            f"{where}: column {column.name!r} is {kind}; "
            "values, pattern, min_length and max_length are checks of a string"
        )
    if kind not in NUMBERS and (column.min is not None or column.max is not None):
        raise ContractError(
            f"{where}: column {column.name!r} is {kind}; min and max are checks of a number"
        )
    return column


def _entry(kind: type[T], entry: Mapping[str, Any], where: str) -> T:
    try:
        return kind(**entry)
    except TypeError as error:
        raise ContractError(f"{where}: entry {entry.get('name', entry)!r}: {error}") from None

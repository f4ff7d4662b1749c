"""A contract as a Great Expectations suite: the gate's checks and the text of Data Docs.

The checks are those of `contracts.row_checks`, which also make the quarantine's predicates, plus
what only a whole dataset can show: its columns and their order, its key, its dataset rules. Every
expectation carries in its `meta` the name of what it checks (a row that breaks it in the cleaner
is refused for the same `reason`), the contract's severity, and whether its values may be shown.

Row rules and keys are expectations of our own (`contracts.spark_expectations`). So are the drift
rules, which compare a delivery with the ones before it, over the delivery's profile
(`drift_suite`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.registry import get_expectation_impl

from pipeline.contracts.contract import Contract, DatasetRule, RowRule
from pipeline.contracts.day_profile import DayProfile
from pipeline.contracts.documentation import in_words
from pipeline.contracts.drift_expectations import drift_expectation
from pipeline.contracts.drift_rules import KINDS
from pipeline.contracts.row_checks import ColumnCheck, column_checks
from pipeline.contracts.spark import spark_type
from pipeline.contracts.spark_expectations import ExpectKeyToBeUnique, ExpectRowsToSatisfy
from pipeline.contracts.types import parse_type
from pipeline.errors import ContractError

# Great Expectations' own severities, by the contract's.
SEVERITY = {"stop": "critical", "warn": "warning"}


def expectation_suite(contract: Contract) -> gx.ExpectationSuite:
    """All checks of a contract over its dataset, in the contract's order.

    Raises:
        ContractError: a dataset rule names an expectation that Great Expectations does not have,
            or arguments that it does not take.
    """
    return gx.ExpectationSuite(
        name=f"{contract.dataset}.v{contract.version}",
        expectations=[
            _columns(contract),
            *_types(contract),
            *_key(contract),
            *(e for check in column_checks(contract) for e in _column_check(check, contract)),
            *(_row_rule(rule, contract) for rule in contract.rules),
            *(
                _dataset_rule(rule, contract)
                for rule in contract.dataset_rules
                if rule.expectation not in KINDS
            ),
        ],
        notes=[contract.description.strip()],
        meta={"dataset": contract.dataset, "version": contract.version},
    )


def drift_suite(
    contract: Contract,
    dataset: str,
    today: DayProfile,
    past: Sequence[DayProfile],
    only_warn: Collection[str] = (),
) -> gx.ExpectationSuite:
    """The dataset rules that compare a delivery with the ones before it, over its profile.

    Args:
        contract: of the dataset.
        dataset: its name in the lake.
        today: the delivery's profile.
        past: earlier deliveries' profiles, oldest first.
        only_warn: `<dataset>.<rule>` of rules that are not to stop this night.

    Raises:
        ContractError: a rule has arguments that its kind does not take.
    """
    return gx.ExpectationSuite(
        name=f"{contract.dataset}.v{contract.version}.drift",
        expectations=[
            _drift_rule(rule, contract, dataset, today, past, only_warn)
            for rule in contract.dataset_rules
            if rule.expectation in KINDS
        ],
    )


def _stated(
    contract: Contract, reason: str, why: str, *columns: str, severity: str = "stop"
) -> dict[str, Any]:
    """The arguments that every expectation gets; `why` are the contract's words, for the pages."""
    personal = any(column.personal for column in contract.columns if column.name in columns)
    return {
        "severity": SEVERITY[severity],
        "meta": {
            "reason": reason,
            "why": why,
            "severity": severity,
            "columns": list(columns),
            "personal": personal,
        },
    }


def _columns(contract: Contract) -> Any:
    return gxe.ExpectTableColumnsToMatchOrderedList(
        column_list=list(contract.column_names),
        **_stated(
            contract, "columns", "The contract's columns are there, in order, and no others."
        ),
    )


def _types(contract: Contract) -> list[Any]:
    """Checks of top-level types; `spark.check_columns` compares types in arrays and structs."""
    return [
        gxe.ExpectColumnTypeToBe(
            column=column.name,
            type_=type(spark_type(parse_type(column.type))).__name__,
            description=_plain(f"{column.description} ({column.type})"),
            **_stated(
                contract, f"{column.name}_wrong_type", f"Its type is {column.type}.", column.name
            ),
        )
        for column in contract.columns
    ]


def _key(contract: Contract) -> list[Any]:
    if not contract.key:
        return []
    why = f"No two rows have the same {', '.join(contract.key)}."
    stated = _stated(contract, "key_repeats", why, *contract.key)
    return [ExpectKeyToBeUnique(key=list(contract.key), description=_plain(why), **stated)]


def _column_check(check: ColumnCheck, contract: Contract) -> list[Any]:
    column = check.column.name
    words = in_words(check).replace("`", "")
    why = f"No row may be there whose {column} {words if check.kind == 'malformed' else f'is {words}'}."
    stated = _stated(contract, check.reason, why, column)
    expectations: list[Any] = []
    if check.kind == "missing":
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=column, **stated))
    if check.kind == "unknown_value":
        expectations.append(
            gxe.ExpectColumnValuesToBeInSet(
                column=column, value_set=list(check.column.values), **stated
            )
        )
    if check.kind == "out_of_range":
        expectations.append(
            gxe.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=check.min,
                max_value=check.max,
                strict_min=check.column.exclusive_min,
                **stated,
            )
        )
    expectations += [
        gxe.ExpectColumnValuesToMatchRegex(column=column, regex=regex, **stated)
        for regex in check.regexes
    ]
    if check.min_length is not None or check.max_length is not None:
        expectations.append(
            gxe.ExpectColumnValueLengthsToBeBetween(
                column=column, min_value=check.min_length, max_value=check.max_length, **stated
            )
        )
    return expectations


def _row_rule(rule: RowRule, contract: Contract) -> Any:
    # The rule is shown with the first column it speaks of; a rule of none, with the first of all.
    spoken = [n for n in contract.column_names if re.search(rf"\b{n}\b", rule.predicate)]
    column = (spoken or list(contract.column_names))[0]
    return ExpectRowsToSatisfy(
        column=column,
        predicate=rule.predicate,
        description=_plain(f"{rule.name}: {rule.description} ({rule.predicate})"),
        **_stated(contract, rule.name, rule.description, *(spoken or [column])),
    )


def _dataset_rule(rule: DatasetRule, contract: Contract) -> Any:
    where = f"{contract.dataset}.v{contract.version}: dataset rule {rule.name!r}"
    try:
        kind: Any = get_expectation_impl(rule.expectation)
    except gx.exceptions.ExpectationNotFoundError:
        raise ContractError(f"{where}: Great Expectations has no {rule.expectation!r}") from None
    stated = _stated(
        contract,
        rule.name,
        rule.description,
        *_columns_of(rule.kwargs),
        severity=rule.severity,
    )
    try:
        return kind(**rule.kwargs, description=_plain(f"{rule.name}: {rule.description}"), **stated)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{where}: {error}") from None


def _drift_rule(  # noqa: PLR0917  what drift_suite was given
    rule: DatasetRule,
    contract: Contract,
    dataset: str,
    today: DayProfile,
    past: Sequence[DayProfile],
    only_warn: Collection[str],
) -> Any:
    severity = "warn" if f"{dataset}.{rule.name}" in only_warn else rule.severity
    stated = _stated(
        contract, rule.name, rule.description, *_columns_of(rule.kwargs), severity=severity
    )
    # A rule's findings name values that a contract lists, never personal ones.
    stated["meta"] |= {"personal": False, "drift": True}
    description = _plain(f"{rule.name}: {rule.description}")
    try:
        return drift_expectation(rule, dataset, today, past, description=description, **stated)
    except TypeError as error:
        where = f"{contract.dataset}.v{contract.version}: dataset rule {rule.name!r}"
        raise ContractError(f"{where}: {error}") from None


def _columns_of(kwargs: Mapping[str, Any]) -> list[str]:
    named = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return [*named, *kwargs.get("column_list", ()), *kwargs.get("columns", ())]


def _plain(text: str) -> str:
    """Escaped: Great Expectations' renderer takes a description for a template and for HTML."""
    return html.escape(text.replace("$", "$$"), quote=False)

"""The documentation page of a contract, written from the contract and from nothing else.

`write_documentation` writes `docs/contracts/<dataset>.v<version>.md` for every shipped contract and
an index; a test fails when the committed pages are not what it would write now. Standard library
only, so that regenerating the pages starts no engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.contracts.contract import Column, Contract, contract_files, load_contract
from pipeline.contracts.row_checks import LARGEST_DOUBLE, ColumnCheck, column_checks

_MADE = "<!-- Made from schemas/ by `python -m pipeline.contracts.documentation`; do not edit. -->"


def contract_page(contract: Contract) -> str:
    """The Markdown page of one contract."""
    parts = [
        f"# {contract.dataset}, version {contract.version}",
        _MADE,
        contract.description.strip(),
        "One row per " + _listed(contract.key) + "." if contract.key else "No key.",
    ]
    if contract.partition_by:
        parts.append("Partitioned by " + _listed(contract.partition_by) + ".")
    parts += ["## Columns", _columns(contract)]
    if contract.context:
        parts += [
            "## Known to the cleaner",
            "Not delivered; the rules below may use them.",
            _table(
                ("column", "type", "meaning"),
                [(_code(c.name), _code(c.type), c.description) for c in contract.context],
            ),
        ]
    parts += ["## A row is refused when", _refusals(contract)]
    if contract.dataset_rules:
        parts += ["## The dataset as a whole", _dataset_rules(contract)]
    return "\n\n".join(parts) + "\n"


def write_documentation(directory: Path) -> list[Path]:
    """Write every contract's page and the index into a directory; returns what was written."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = {f"{name.removesuffix('.yaml')}.md": _load(name) for name in contract_files()}
    texts = {name: contract_page(contract) for name, contract in pages.items()}
    rows = [
        (f"[{contract.dataset}]({name})", str(contract.version), contract.description.strip())
        for name, contract in pages.items()
    ]
    texts["README.md"] = (
        f"# Contracts\n\n{_MADE}\n\nThe definition of every dataset. From each `schemas/*.yaml` "
        "come the Spark and the Arrow schema, the predicates that send a row to quarantine, the "
        "Great Expectations suite of the gate, and these pages.\n\n"
        + _table(("dataset", "version", "what it holds"), rows)
        + "\n"
    )
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in sorted(texts)]


def _load(file_name: str) -> Contract:
    dataset, version = file_name.removesuffix(".yaml").rsplit(".v", 1)
    return load_contract(dataset, int(version))


def _columns(contract: Contract) -> str:
    return _table(
        ("column", "type", "may be null", "meaning"),
        [
            (
                _code(column.name),
                _code(column.type),
                "yes" if column.nullable else "no",
                column.description
                + (" *Personal: no samples in Data Docs.*" if column.personal else ""),
            )
            for column in contract.columns
        ],
    )


def _refusals(contract: Contract) -> str:
    rows = [(_code(check.reason), in_words(check)) for check in column_checks(contract)]
    rows += [
        (_code(rule.name), f"not {_code(rule.predicate)}. {rule.description}")
        for rule in contract.rules
    ]
    return "The first that applies is the reason.\n\n" + _table(("reason", "when"), rows)


def _dataset_rules(contract: Contract) -> str:
    return _table(
        ("rule", "severity", "expectation", "why"),
        [
            (
                _code(rule.name),
                rule.severity,
                _code(f"{rule.expectation}({_arguments(rule.kwargs)})"),
                rule.description,
            )
            for rule in contract.dataset_rules
        ],
    )


def in_words(check: ColumnCheck) -> str:
    """What breaks a check, in Markdown."""
    column = check.column
    if check.kind == "missing":
        return "null, empty or blank" if check.regexes else "null"
    if check.kind == "unknown_value":
        return "not one of " + _listed(column.values)
    if check.kind == "out_of_range":
        return _rangein_words(check, column)
    if check.kind == "malformed":
        return f"does not match {_code(column.pattern or '')} as a whole"
    if check.kind == "too_short":
        return f"blank, or shorter than {check.min_length} character(s)"
    return f"longer than {check.max_length} characters"


def _rangein_words(check: ColumnCheck, column: Column) -> str:
    limits = []
    if check.min is not None and check.min != -LARGEST_DOUBLE:
        limits.append(f"{'not above' if column.exclusive_min else 'below'} {check.min:,.15g}")
    if check.max is not None and check.max != LARGEST_DOUBLE:
        limits.append(f"above {check.max:,.15g}")
    if column.type == "double":
        limits.append("not a finite number")
    return ", or ".join(limits)


def _arguments(kwargs: object) -> str:
    items = kwargs.items() if isinstance(kwargs, dict) else ()
    return ", ".join(f"{key}={value!r}" for key, value in items)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(_code(name) for name in names)


def _code(text: str) -> str:
    return f"`{text}`"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("--",) * len(header), *rows]
    # A bar would end the cell, also inside code.
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


if __name__ == "__main__":
    write_documentation(Path("docs/contracts"))

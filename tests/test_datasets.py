"""The names of datasets: the same in the code, in the contracts and in the documentation, once."""

from __future__ import annotations

import inspect

import pytest

from pipeline import datasets
from pipeline.lake import Lake
from tests.literals import REPOSITORY, files_of, spelled_out, spelled_out_in_calls

CONTRACTS = {path.name.removesuffix(".v1.yaml") for path in (REPOSITORY / "schemas").glob("*.yaml")}
RAW = {f"raw_{name}" for name in ("events", "items", "reviews", "users")}
# Beside the methods of `Lake`, what takes the name of a dataset.
ASKED_BY_NAME = {
    "LedgerLine",
    "before",
    "contract_columns",
    "directory",
    "increment_of",
    "input_of",
    "inputs_of",
    "inputs_upto",
    "line",
    "load_contract",
    "new",
    "read_deliveries",
    "read_past",
    "run_partition",
    "stored",
    "write_by_delivery",
    "write_empty",
}


@pytest.mark.parametrize("name", [*datasets.OF_A_DELIVERY, *datasets.OF_A_NIGHT])
def test_every_table_has_a_contract(name: str) -> None:
    assert datasets.contract_name(name) in CONTRACTS


def test_what_is_no_table_has_none() -> None:
    for name in datasets.NOT_TABLES:
        with pytest.raises(ValueError, match=f"{name} is no table"):
            datasets.contract_name(name)
    assert not CONTRACTS & {*datasets.NOT_TABLES, datasets.GENERATED}


def test_no_name_stands_for_two_datasets() -> None:
    assert len(set(datasets.ALL)) == len(datasets.ALL)


def test_every_contract_is_of_a_dataset() -> None:
    assert set(datasets.ALL) >= CONTRACTS - RAW
    assert CONTRACTS >= RAW


def test_the_architecture_lists_the_same_datasets() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = {
        name.strip(): said
        for name, said in (
            line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| ")
        )
    }

    def listed(row: str) -> set[str]:
        return {word for code in rows[row].split("`")[1::2] for word in code.split()}

    assert listed("the delivery day") == set(datasets.OF_A_DELIVERY)
    assert listed("the night") == set(datasets.OF_A_NIGHT)
    assert listed("the night, not a table") >= set(datasets.NOT_TABLES)


def test_the_code_asks_for_a_dataset_by_the_one_name() -> None:
    methods = {name for name, _ in inspect.getmembers(Lake, inspect.isfunction) if name[0] != "_"}
    assert not spelled_out_in_calls(datasets.ALL, ASKED_BY_NAME | methods - {"work"})


def test_what_is_published_is_spelled_out_once() -> None:
    found = files_of(spelled_out([datasets.RECOMMENDATIONS]))
    # The view of that name is for readers, who have no constants.
    assert found == {"pipeline/datasets.py", "pipeline/publishing/views.py"}

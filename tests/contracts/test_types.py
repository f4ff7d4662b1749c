"""The language of types: what it reads, it writes; what it does not know, it names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.contract import contract_files, load_contract, parse_contract
from pipeline.contracts.types import SCALARS, Array, Map, Scalar, Struct, parse_type
from pipeline.errors import ContractError

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
TYPES = st.recursive(
    st.sampled_from(SCALARS).map(Scalar),
    lambda inner: st.one_of(
        inner.map(Array),
        st.tuples(inner, inner).map(lambda pair: Map(*pair)),
        st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda f: f[0]).map(
            lambda fields: Struct(tuple(fields))
        ),
    ),
    max_leaves=6,
)


@given(TYPES, st.sampled_from(["", " ", "\n  "]))
def test_a_type_written_out_is_read_back(kind: Any, space: str) -> None:
    spaced = str(kind)
    for mark in "<>,:":
        spaced = spaced.replace(mark, f"{space}{mark}{space}")
    assert parse_type(spaced) == kind


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("strng", "did you mean 'string'"),
        ("varchar(10)", "unexpected character '('"),
        ("array<uuid>", "unknown type 'uuid'"),
        ("array", "ends in the middle"),
        ("array<int", "ends in the middle"),
        ("array<int>>", "goes on after a complete type"),
        ("map<string>", "expected ','"),
        ("struct<a int>", "expected ':'"),
        ("struct<a:int,a:int>", "names the field 'a' twice"),
        ("", "ends in the middle"),
        ("int int", "goes on after"),
    ],
)
def test_a_wrong_type_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=".*") as caught:
        parse_type(text)
    assert said in str(caught.value)


def document(**changes: Any) -> dict[str, Any]:
    column = {"name": "a", "type": "string", "description": "A."}
    return {
        "dataset": "d",
        "version": 1,
        "description": "D.",
        "key": ["a"],
        "columns": [column | changes.pop("column", {})],
        "rules": [],
        "dataset_rules": [],
    } | changes


RULE = {"name": "r", "expectation": "e", "kwargs": {}, "severity": "stop", "description": ""}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"column": {"type": "strng"}}, "column 'a': unknown type 'strng'"),
        ({"column": {"type": "int", "pattern": "x"}}, "checks of a string"),
        ({"column": {"type": "int", "values": ["x"]}}, "checks of a string"),
        ({"column": {"min": 0}}, "checks of a number"),
        ({"column": {"nulable": True}}, "nulable"),
        ({"key": ["b"]}, "names 'b', which is not a column"),
        ({"dataset_rules": [RULE | {"severity": "panic"}]}, "known are stop, warn"),
        ({"dataset_rules": [RULE, RULE]}, "rule r is defined more than once"),
        ({"columns": [{"name": "a", "type": "int", "description": ""}] * 2}, "column a is defined"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_contract_is_refused_by_file_and_entry(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_contract(document(**changes), "schemas/d.v1.yaml")
    assert said in str(caught.value)
    assert "schemas/d.v1.yaml" in str(caught.value)


def test_the_untouched_document_is_a_contract() -> None:
    assert parse_contract(document(), "d").column_names == ("a",)


def test_every_shipped_contract_is_named_as_its_file() -> None:
    for name in contract_files():
        dataset, version = name.removesuffix(".yaml").rsplit(".v", 1)
        contract = load_contract(dataset, int(version))
        assert (contract.dataset, contract.version) == (dataset, int(version))


def test_a_contract_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ContractError, match="did you mean histories.v1"):
        load_contract("history")

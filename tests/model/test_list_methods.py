"""The names of who made a list: the same in the code, in the contracts and in the report's page."""

from __future__ import annotations

import re

import pytest

from pipeline.contracts.contract import load_contract
from pipeline.datasets import METRICS, RECOMMENDATIONS
from pipeline.model import list_methods
from pipeline.publishing.list_rules import CHECKS
from tests.literals import REPOSITORY, files_of, spelled_out

METHODS = (
    "model",
    "last_night",
    "markov",
    "item_knn",
    "popularity",
    "gp_topfreq",
    "tifu_knn",
)


def values_of(dataset: str, column: str) -> list[str]:
    return next(list(c.values) for c in load_contract(dataset).columns if c.name == column)


def test_a_list_is_made_by_one_of_those_that_its_contract_names() -> None:
    assert METHODS == list_methods.METHODS
    assert list(METHODS) == values_of(RECOMMENDATIONS, "method")
    assert set(list_methods.WORDS) == {*METHODS} - {"model"}, "a fallback without words for people"


def test_a_reason_is_written_by_one_of_those_that_its_contract_names() -> None:
    assert values_of(RECOMMENDATIONS, "reason_method") == ["model", list_methods.TEMPLATE]


def test_whoever_is_measured_is_in_the_contract_of_metrics() -> None:
    assert sorted(values_of(METRICS, "model")) == sorted(list_methods.COMPARED_MODELS)


def test_the_last_check_before_publishing_knows_every_method() -> None:
    (check,) = [check for check in CHECKS if check.name == "method_unexplained"]
    known = re.findall(r"'(\w+)'", check.faults.partition("NOT IN")[2].partition(")")[0])
    assert known == list(METHODS)


@pytest.mark.parametrize(
    "name", ["last_night", "markov", "item_knn", "gp_topfreq", "tifu_knn", "candidate", "template"]
)
def test_each_is_spelled_out_once(name: str) -> None:
    assert files_of(spelled_out([name])) == {"pipeline/model/list_methods.py"}


def test_no_query_and_no_page_spells_one_out() -> None:
    quoted = re.compile(rf"""['"]({"|".join((*METHODS, "template"))})['"]""")
    texts = [
        *(REPOSITORY / "pipeline").rglob("*.j2"),
        *(REPOSITORY / "pipeline" / "publishing").glob("*.py"),
        *(REPOSITORY / "pipeline" / "report").glob("*.py"),
    ]
    found = {
        f"{path.name}: {word}"
        for path in texts
        for word in quoted.findall(path.read_text(encoding="utf-8"))
        if word != "model"  # also a column of metrics and a part of the page
    }
    by_model = re.compile(r"method *(=|<>|==|!=) *['\"]model['\"]")
    found |= {path.name for path in texts if by_model.search(path.read_text(encoding="utf-8"))}
    assert not found

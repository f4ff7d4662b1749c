"""The committed pages are what the contracts say today."""

from __future__ import annotations

from pathlib import Path

from pipeline.contracts.contract import Column, Contract, DatasetRule, RowRule
from pipeline.contracts.documentation import contract_page, write_documentation

COMMITTED = Path(__file__).parents[2] / "docs" / "contracts"


def test_the_committed_pages_are_up_to_date(tmp_path: Path) -> None:
    written = {path.name: path.read_text("utf-8") for path in write_documentation(tmp_path)}
    committed = {path.name: path.read_text("utf-8") for path in COMMITTED.glob("*.md")}
    assert committed == written, (
        "docs/contracts is not what the contracts say: "
        "run python -m pipeline.contracts.documentation and commit the pages"
    )


def test_a_page_says_everything_of_its_contract() -> None:
    contract = Contract(
        dataset="orders",
        version=3,
        description="What was ordered.\n",
        key=("id", "line"),
        columns=(
            Column("id", "string", "The id.", nullable=False, pattern="a|b", personal=True),
            Column("line", "int", "The line.", min=1, exclusive_min=True, max=10_000_000),
        ),
        rules=(RowRule("odd", "line % 2 = 1", "Lines are odd."),),
        dataset_rules=(DatasetRule("some", "expect_x", {"min_value": 1}, "warn", "Some."),),
        context=(Column("day_end", "timestamp", "End of the day."),),
        partition_by=("run_date",),
    )
    page = contract_page(contract)
    for text in (
        "# orders, version 3",
        "What was ordered.",
        "One row per `id`, `line`.",
        "Partitioned by `run_date`.",
        "| `id` | `string` | no | The id. *Personal: no samples in Data Docs.* |",
        "| `id_missing` | null |",
        r"| `id_malformed` | does not match `a\|b` as a whole |",
        "| `line_out_of_range` | not above 1, or above 10,000,000 |",
        "| `odd` | not `line % 2 = 1`. Lines are odd. |",
        "| `some` | warn | `expect_x(min_value=1)` | Some. |",
        "| `day_end` | `timestamp` | End of the day. |",
    ):
        assert text in page

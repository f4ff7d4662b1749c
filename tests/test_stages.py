"""The table of stages: whole, in an order that data can flow in, and the same everywhere."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from pipeline import datasets, stages
from pipeline.settings import Settings
from pipeline.stages import NAMES, STAGES, Engine, NightStage
from tests.literals import REPOSITORY, files_of, spelled_out, spelled_out_in_calls

PAGE = REPOSITORY / "docs" / "architecture.md"
TABLE_HEAD = ["| stage | by | reads | of nights before | writes |", "|--|--|--|--|--|"]
by_name = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def test_the_order_of_a_night() -> None:
    assert " ".join(NAMES) == (
        "wait_for_raw clean validate_cleaned build_histories validate_histories fine_tune "
        "evaluate generate target validate_generated publish report"
    )
    assert not set(NAMES) & set(stages.BESIDE)
    assert len({stage.title for stage in STAGES}) == len(set(NAMES)) == len(STAGES)


@by_name
def test_every_stage_has_a_job_that_can_be_started(stage: NightStage) -> None:
    source = REPOSITORY / "jobs" / f"{stage.job}.py"
    defined = {
        node.name
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert "main" in defined


def test_a_stage_reads_what_an_earlier_one_wrote() -> None:
    there = {stages.RAW}
    for stage in STAGES:
        assert set(stage.reads) <= there, stage.name
        there |= set(stage.writes)


def test_of_nights_before_it_reads_what_some_stage_writes() -> None:
    written = {name for stage in STAGES for name in stage.writes}
    for stage in STAGES:
        assert set(stage.reads_before) <= written, stage.name


def test_every_dataset_is_written_by_a_stage() -> None:
    written = {name for stage in STAGES for name in stage.writes}
    # Every job writes its record.
    assert written | {datasets.RUNS} == set(datasets.ALL)


def test_only_the_ledger_and_triggers_have_several_writers() -> None:
    """`publish` writes triggers again, without users who have withdrawn since."""
    writers = Counter(name for stage in STAGES for name in stage.writes)
    assert {name for name, n in writers.items() if n > 1} == {datasets.LEDGER, datasets.TRIGGERS}
    assert writers[datasets.TRIGGERS] == 2


def test_what_is_halved_for_want_of_memory_is_a_setting() -> None:
    values = Settings().values()
    halved = {stage.name: stage.batch for stage in STAGES if stage.batch}
    assert set(halved) == {"fine_tune", "generate"}
    for batch in halved.values():
        assert batch.smallest < int(values[batch.setting])


def test_a_stage_on_a_gpu_runs_a_model() -> None:
    assert {stage.engine for stage in STAGES if stage.gpu} == {Engine.TORCH}


def test_a_gate_checks_what_its_stage_reads() -> None:
    from pipeline.validation.dataset_group import GROUPS

    beside = {name: name for name in datasets.BESIDE_LISTS}
    assert GROUPS["generated"] == {"generated": "recommendations", **beside}
    assert list(GROUPS["histories"]) == ["catalogue", "histories", "item_words"]
    assert list(GROUPS["cleaned"]) == [*datasets.CLEANED, "quarantine"]
    # `jobs/validate.py` names the run's record so.
    assert [f"validate_{group}" for group in GROUPS] == [stage.name for stage in stages.gates()]


def test_what_comes_before_and_after() -> None:
    assert stages.names_before("clean") == ("wait_for_raw",)
    assert stages.names_from("publish") == ("publish", "report")
    with pytest.raises(KeyError):
        stages.stage_named("cleam")


def test_a_stages_name_is_spelled_out_once() -> None:
    names = {name for name in NAMES if "_" in name} | {stages.NIGHT_COMPLETE}
    assert files_of(spelled_out(names)) == {"pipeline/stages.py"}
    asked_by_name = {"stage_parser", "run_stage", "write_ledger", "stage_lines", "work", "index"}
    assert not spelled_out_in_calls([*NAMES, *stages.BESIDE], asked_by_name)


def test_the_architecture_has_the_same_table() -> None:
    def words(names: tuple[str, ...]) -> str:
        return f"`{' '.join(names)}`" if names else ""

    def cells(stage: NightStage) -> list[str]:
        by = stage.engine.value if stage.engine is not Engine.NONE else ""
        by += ", GPU" if stage.gpu else ""
        return [
            f"`{stage.name}`",
            by,
            *map(words, (stage.reads, stage.reads_before, stage.writes)),
        ]

    table = [*TABLE_HEAD, *(f"| {' | '.join(cells(stage))} |" for stage in STAGES)]
    assert "\n".join(table) in PAGE.read_text(encoding="utf-8"), "\n".join(table)

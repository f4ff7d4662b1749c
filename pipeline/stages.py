"""The stages of a night, in their order: the only table of them. Standard library only.

Read by the DAG (its tasks, their order and pool), by `dags.compute` (where a job runs), by
`dags.memory` (what a retry after want of memory gets), by the gates, by the command line and by the
report. A stage that is added here is a task of the DAG; it also needs `jobs/<job>.py`, a line in
the DAG's runbook and one in docs/architecture.md, and tests say so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from pipeline.datasets import (
    ACTS,
    BESIDE_LISTS,
    CATALOGUE,
    CATALOGUE_CHANGES,
    CHAMPIONS,
    CLEANED,
    CLEANED_EVENTS,
    CLEANED_REVIEWS,
    CLEANED_USERS,
    GENERATED,
    HISTORIES,
    ITEM_WORDS,
    LEDGER,
    METRICS,
    MODELS,
    PROFILES,
    QUARANTINE,
    RECOMMENDATIONS,
    REMOVED_EVENTS,
    RETRACTIONS,
    REVIEW_PHRASES,
    TRIGGERS,
    USER_ATTRIBUTES,
)

WAIT_FOR_RAW = "wait_for_raw"
CLEAN = "clean"
VALIDATE_CLEANED = "validate_cleaned"
BUILD_HISTORIES = "build_histories"
VALIDATE_HISTORIES = "validate_histories"
FINE_TUNE = "fine_tune"
EVALUATE = "evaluate"
GENERATE = "generate"
TARGET = "target"
VALIDATE_GENERATED = "validate_generated"
PUBLISH = "publish"
REPORT = "report"

# Tasks of the DAG that depend on the stages and are none: last night's lists where this night has
# none, the event that wakes the export, the one that fails where anything did, and the removal of
# what is too old.
DEGRADE, ANNOUNCE, NIGHT_COMPLETE = "degrade", "announce", "night_complete"
EXPIRE = "expire"
BESIDE = (DEGRADE, ANNOUNCE, NIGHT_COMPLETE, EXPIRE)

# The job of the other DAG, which writes files for mail tools, outside the lake.
EXPORT_LISTS = "export_lists"

# The job of every gate; `--dataset` says which.
VALIDATE = "validate"

# The shop's files. Not in the lake, and never written but for what is kept of its tables.
RAW = "raw"


class Engine(Enum):
    """What a stage's work is done by."""

    NONE = "none"
    SPARK = "spark"
    TORCH = "torch"


@dataclass(frozen=True)
class Batch:
    """The setting that is halved for a retry after want of memory, and where halving ends."""

    setting: str
    smallest: int


@dataclass(frozen=True)
class NightStage:
    """One stage of every night.

    Attributes:
        name: of the DAG's task, of the run record and in the ledger.
        title: for people.
        job: the module below `jobs`.
        arguments: further arguments of the job.
        engine: what does the work; Spark's stages can run on a cluster.
        gpu: whether it runs a model for so long that it is given a GPU: one at a time on a machine.
        batch: none for a stage whose memory does not grow with a setting.
        reads: datasets of the night, or of deliveries up to it, and what is current in the lake.
        reads_before: datasets of nights before, where there are any; also its own.
        writes: datasets that it commits, and the ledger. Every stage writes a run record, too.
    """

    name: str
    title: str
    job: str
    arguments: tuple[str, ...] = ()
    engine: Engine = Engine.NONE
    gpu: bool = False
    batch: Batch | None = None
    reads: tuple[str, ...] = ()
    reads_before: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


def _gate(
    name: str,
    title: str,
    checked: str,
    reads: tuple[str, ...],
    *,
    reads_before: tuple[str, ...] = (),
    writes: tuple[str, ...] = (),
) -> NightStage:
    arguments = ("--dataset", checked)
    return NightStage(
        name,
        title,
        VALIDATE,
        arguments,
        Engine.SPARK,
        reads=reads,
        reads_before=reads_before,
        writes=writes,
    )


STAGES = (
    NightStage(WAIT_FOR_RAW, "Wait for the shop's files and tables", WAIT_FOR_RAW, reads=(RAW,)),
    NightStage(
        CLEAN,
        "Clean",
        CLEAN,
        engine=Engine.SPARK,
        reads=(RAW,),
        reads_before=(*CLEANED, QUARANTINE, REMOVED_EVENTS, RETRACTIONS, CATALOGUE),
        writes=(*CLEANED, QUARANTINE, REMOVED_EVENTS, RETRACTIONS, LEDGER),
    ),
    _gate(
        VALIDATE_CLEANED,
        "Check the cleaned day",
        "cleaned",
        (*CLEANED, QUARANTINE),
        reads_before=(PROFILES,),
        writes=(PROFILES,),
    ),
    NightStage(
        BUILD_HISTORIES,
        "Build histories",
        BUILD_HISTORIES,
        engine=Engine.SPARK,
        reads=(*CLEANED, RETRACTIONS),
        reads_before=(
            ACTS,
            CATALOGUE,
            CATALOGUE_CHANGES,
            HISTORIES,
            REVIEW_PHRASES,
            USER_ATTRIBUTES,
        ),
        writes=(
            CATALOGUE,
            CATALOGUE_CHANGES,
            USER_ATTRIBUTES,
            ACTS,
            HISTORIES,
            REVIEW_PHRASES,
            ITEM_WORDS,
            LEDGER,
        ),
    ),
    _gate(
        VALIDATE_HISTORIES, "Check the histories", "histories", (CATALOGUE, HISTORIES, ITEM_WORDS)
    ),
    NightStage(
        FINE_TUNE,
        "Fine-tune the model",
        FINE_TUNE,
        engine=Engine.TORCH,
        gpu=True,
        batch=Batch("training.batch_tokens", 64),
        reads=(HISTORIES, CATALOGUE, ITEM_WORDS, CLEANED_REVIEWS),
        # What readers see: for the message where there is too little to train on.
        reads_before=(CHAMPIONS, MODELS, RECOMMENDATIONS),
        writes=(MODELS, LEDGER),
    ),
    NightStage(
        EVALUATE,
        "Compare and promote",
        EVALUATE,
        engine=Engine.TORCH,
        reads=(HISTORIES, CATALOGUE, MODELS),
        reads_before=(CHAMPIONS, MODELS),
        writes=(METRICS, CHAMPIONS, LEDGER),
    ),
    NightStage(
        GENERATE,
        "Make the lists",
        GENERATE,
        engine=Engine.TORCH,
        gpu=True,
        batch=Batch("generation.batch_users", 4),
        reads=(HISTORIES, CATALOGUE, ITEM_WORDS, CHAMPIONS, MODELS),
        reads_before=(GENERATED, HISTORIES, RECOMMENDATIONS),
        writes=(GENERATED, LEDGER),
    ),
    NightStage(
        TARGET,
        "Triggers and item lists",
        TARGET,
        # The two of users for consent by now.
        reads=(
            HISTORIES,
            ACTS,
            CATALOGUE,
            CATALOGUE_CHANGES,
            CHAMPIONS,
            MODELS,
            CLEANED_USERS,
            USER_ATTRIBUTES,
        ),
        reads_before=(RECOMMENDATIONS, TRIGGERS),
        writes=(*BESIDE_LISTS, LEDGER),
    ),
    _gate(VALIDATE_GENERATED, "Check the lists", "generated", (GENERATED, *BESIDE_LISTS)),
    NightStage(
        PUBLISH,
        "Publish",
        PUBLISH,
        # The last five for views.sql alone, which names their files.
        reads=(
            GENERATED,
            *BESIDE_LISTS,
            HISTORIES,
            CATALOGUE,
            CLEANED_USERS,
            USER_ATTRIBUTES,
            CLEANED_EVENTS,
            CLEANED_REVIEWS,
            RETRACTIONS,
            CATALOGUE_CHANGES,
            METRICS,
        ),
        reads_before=(RECOMMENDATIONS, *BESIDE_LISTS, LEDGER),
        # Triggers where someone has withdrawn since.
        writes=(RECOMMENDATIONS, TRIGGERS, LEDGER),
    ),
    NightStage(
        REPORT,
        "Write the report",
        REPORT,
        reads=(
            CATALOGUE,
            HISTORIES,
            MODELS,
            METRICS,
            CHAMPIONS,
            GENERATED,
            TRIGGERS,
            RECOMMENDATIONS,
            LEDGER,
        ),
    ),
)

NAMES = tuple(stage.name for stage in STAGES)


def stage_named(name: str) -> NightStage:
    """The stage of a name; `KeyError` for one that is none."""
    return _BY_NAME[name]


def gates() -> Iterator[NightStage]:
    """The stages that hold datasets to their contracts; what they read is what they check."""
    return (stage for stage in STAGES if stage.job == VALIDATE)


def names_before(name: str) -> tuple[str, ...]:
    """The stages that come before one."""
    return NAMES[: NAMES.index(name)]


def names_from(name: str) -> tuple[str, ...]:
    """A stage and those that come after it."""
    return NAMES[NAMES.index(name) :]


def command_that_makes(dataset: str, night: dt.date) -> str:
    """What a person runs to have a dataset of a night made again."""
    # Published files are links to the generated ones: what damaged those damaged both.
    made = GENERATED if dataset == RECOMMENDATIONS else dataset
    stage = next((stage.name for stage in STAGES if made in stage.writes), None)
    if stage is None:  # of another version
        return f"nightcart run --date {night}"
    return f"nightcart redo --date {night} --from {stage}"


_BY_NAME = {stage.name: stage for stage in STAGES}

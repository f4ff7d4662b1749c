"""Build the night's catalogue, user histories and item words.

Continues what an earlier night remembered (acts, catalogue, user_attributes) and reads the cleaned
days delivered since; where it cannot, or with --rebuild, it reads the whole past, with the same
result. Writes acts, catalogue, user_attributes, histories and item_words of the night, and
catalogue_changes and review_phrases of each delivery. Stops with exit code 65 if there would be
nobody to recommend to, or fewer sellable items than a list has.
"""

from __future__ import annotations

import argparse
import logging

from pipeline.histories.build import build
from pipeline.histories.consent_check import refuse_no_consent
from pipeline.ledger import write_ledger
from pipeline.spark_scratch import scratch_root
from pipeline.spark_session import open_spark
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import BUILD_HISTORIES

log = logging.getLogger("nightcart")


def work(stage: Stage, arguments: argparse.Namespace) -> Report:
    """Build the datasets and write what became of every row."""
    refuse_no_consent(stage.lake, stage.run.run_date)  # before an engine starts
    spark = open_spark(
        stage.settings.spark, f"{BUILD_HISTORIES} {stage.run.run_date}", scratch_root(stage.lake)
    )
    built = build(spark, stage.lake, stage.run, stage.settings, rebuild=arguments.rebuild)
    for line in built.ledger:
        log.info(str(line))
    write_ledger(stage.lake, stage.run, BUILD_HISTORIES, built.ledger)
    return built.report


def main(argv: list[str] | None = None) -> int:
    """Run the stage; returns the process's exit code."""
    parser = stage_parser(BUILD_HISTORIES, __doc__)
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="from the whole past, although an earlier night could be gone on from",
    )
    return run_stage(BUILD_HISTORIES, parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())

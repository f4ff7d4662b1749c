"""Build the night's catalogue, user histories and item words from all cleaned days up to it.

Reads cleaned_items, cleaned_users, cleaned_events and cleaned_reviews of the night and before;
writes catalogue, histories and item_words. Stops with exit code 65 if there would be nobody to
recommend to, or fewer sellable items than a list has.
"""

from __future__ import annotations

import argparse
import logging

from pipeline.histories.build import STAGE, build
from pipeline.ledger import write_ledger
from pipeline.spark_session import open_spark
from pipeline.stage import Report, Stage, run_stage, stage_parser

log = logging.getLogger("nightcart")


def work(stage: Stage, _arguments: argparse.Namespace) -> Report:
    """Build the three datasets and write what became of every row."""
    spark = open_spark(stage.settings.spark, f"{STAGE} {stage.run.run_date}")
    built = build(spark, stage.lake, stage.run, stage.settings)
    for line in built.ledger:
        log.info(str(line))
    write_ledger(stage.lake, stage.run, STAGE, built.ledger)
    return built.report


def main(argv: list[str] | None = None) -> int:
    """Run the stage; returns the process's exit code."""
    return run_stage(STAGE, stage_parser(STAGE, __doc__), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())

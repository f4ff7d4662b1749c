"""Hold a night's datasets to their contracts with Great Expectations, inside Spark.

`--dataset cleaned` looks at the events, reviews, items and users that the day's delivery brought,
`histories` at the catalogue, histories and item words, `generated` at the recommendations before
they are published. Writes Data Docs to the run's record directory. Fails, naming dataset, check,
column and what was observed, when a check whose severity is `stop` does not hold; a retry cannot
help then. Checks of severity `warn` are logged and kept in the stage's record.
"""

from __future__ import annotations

import argparse
from typing import Any

from pipeline.spark_scratch import scratch_root
from pipeline.spark_session import open_spark
from pipeline.stage import Stage, run_stage, stage_parser
from pipeline.stages import VALIDATE
from pipeline.validation.dataset_group import GROUPS, validate_group


def validate(stage: Stage, arguments: argparse.Namespace) -> dict[str, Any]:
    """The stage's work."""
    spark = open_spark(stage.settings.spark, stage.name, scratch_root(stage.lake))
    return validate_group(spark, stage.lake, stage.run, arguments.dataset, stage.settings)


def main(argv: list[str] | None = None) -> int:
    """Run the stage; each group of datasets has its own run record, `validate_<dataset>`."""
    parser = stage_parser(VALIDATE, __doc__)
    parser.add_argument(
        "--dataset", choices=sorted(GROUPS), required=True, help="which gate of the night"
    )
    name = f"validate_{parser.parse_args(argv).dataset}"
    return run_stage(name, parser, validate, argv)


if __name__ == "__main__":
    raise SystemExit(main())

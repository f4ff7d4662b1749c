"""Measure the night's model against the baselines and the champion, and promote it or not.

Reads the date's histories, catalogue and models, and the champion of the night before; writes the
datasets `metrics` and `champions`. It always ends with an outcome: a model that is missing,
damaged or not good enough is not promoted, and champion.json says why.
"""

from __future__ import annotations

import argparse
import logging

from pipeline.datasets import HISTORIES
from pipeline.evaluation.evaluate import evaluate
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import EVALUATE

log = logging.getLogger("nightcart")


def measure(stage: Stage, arguments: argparse.Namespace) -> Report:
    """Measure and decide, then account for every history."""
    made = evaluate(stage.lake, stage.run, stage.settings, no_candidate=arguments.no_candidate)
    line = LedgerLine(
        run_date=stage.run.run_date,
        run_id=stage.run.run_id,
        stage=stage.name,
        dataset=HISTORIES,
        rows_in=made.n_histories,
        rows_out=made.n_measured,
        removed={
            rule: n
            for rule, n in {
                "no_consent": made.n_histories - made.n_consenting,
                "nothing_to_measure": made.n_consenting - made.n_measured,
            }.items()
            if n
        },
    )
    write_ledger(stage.lake, stage.run, stage.name, [line])
    log.info("%s", line)
    return made.report


def main(argv: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    parser = stage_parser(EVALUATE, __doc__)
    parser.add_argument(
        "--no-candidate", metavar="WHY", help="look at no model of this night: none was trained"
    )
    return run_stage(EVALUATE, parser, measure, argv)


if __name__ == "__main__":
    raise SystemExit(main())

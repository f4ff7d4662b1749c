"""Fine-tune the night's GPT-2 on what shoppers did and wrote.

Reads the date's histories, catalogue and item_words, the reviews of the past, and the champion of
the night before; writes the dataset `models`. Too little to train on (shoppers, events to
predict, items, days) ends the night (exit code 65): the message says what is there, what is needed
and which setting asks for it; readers keep the last lists. A model that breaks in training (a loss
that is no number, exploding gradients, no item to learn) is not saved: the night goes on with the
champion, and evaluate and the report say why.
"""

from __future__ import annotations

import argparse
import logging

from pipeline.errors import BrokenModelError
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.model.training_fault import clear_fault, write_fault
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.training.fine_tune import fine_tune

log = logging.getLogger("nightcart")


def train(stage: Stage, _arguments: argparse.Namespace) -> Report:
    """Train, then account for every history."""
    clear_fault(stage.lake, stage.run)
    try:
        made = fine_tune(stage.lake, stage.run, stage.settings)
    except BrokenModelError as error:
        log.error("no model tonight, the champion stays: %s", error)
        write_fault(stage.lake, stage.run, str(error))
        return {"fault": str(error)}
    line = LedgerLine(
        run_date=stage.run.run_date,
        run_id=stage.run.run_id,
        stage=stage.name,
        dataset="histories",
        rows_in=made.n_histories,
        rows_out=made.n_users,
        removed={
            rule: n
            for rule, n in {
                "no_consent": made.n_histories - made.n_consenting,
                "nothing_before_holdout": made.n_consenting - made.n_users,
            }.items()
            if n
        },
    )
    write_ledger(stage.lake, stage.run, stage.name, [line])
    log.info("%s", line)
    return made.report


def main(argv: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    return run_stage("fine_tune", stage_parser("fine_tune", __doc__), train, argv)


if __name__ == "__main__":
    raise SystemExit(main())

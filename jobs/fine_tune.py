"""Fine-tune the night's GPT-2 on what shoppers did and wrote.

Reads the date's histories, catalogue and item_words, the reviews of the past, and the champion of
the night before; writes the dataset `models`. Too little to train on (shoppers, events to
predict, items, days) ends the night (exit code 65): the message says what is there, what is needed
and which setting asks for it; readers keep the last lists. A model that breaks in training (a loss
that is no number, exploding gradients, no item to learn) is not saved: the night goes on with the
champion, and evaluate and the report say why.

With training.processes above 1 this process only starts the others, by torchrun on this machine or
by Spark's TorchDistributor (training.launcher), and hands on how they ended. A retry of a run that
was killed goes on from where it stood.
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys

from jobs.training_processes import launch
from pipeline.datasets import HISTORIES
from pipeline.encryption.keyring import use
from pipeline.errors import OK, BrokenModelError, NightcartError, SettingsError
from pipeline.lake import Lake, Run, run_id_of
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.model.training_fault import clear_fault, write_fault
from pipeline.settings import load_settings
from pipeline.settings_files import chosen_config
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import FINE_TUNE
from pipeline.training.fine_tune import fine_tune, follow
from pipeline.training.loop.process_group import (
    ALONE,
    ProcessGroup,
    is_member,
    join_group,
    leave_group,
)

log = logging.getLogger("nightcart")


def train(stage: Stage, _arguments: argparse.Namespace, group: ProcessGroup = ALONE) -> Report:
    """Train, then account for every history."""
    clear_fault(stage.lake, stage.run)
    try:
        made = fine_tune(stage.lake, stage.run, stage.settings, group)
    except BrokenModelError as error:
        log.error("no model tonight, the champion stays: %s", error)
        write_fault(stage.lake, stage.run, str(error))
        return {"fault": str(error)}
    line = LedgerLine(
        run_date=stage.run.run_date,
        run_id=stage.run.run_id,
        stage=stage.name,
        dataset=HISTORIES,
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


def train_along(arguments: argparse.Namespace, group: ProcessGroup) -> int:
    """Train as one of several; the first of them writes and says what is to be said."""
    settings = load_settings(chosen_config(arguments.config, os.environ), os.environ)
    use(settings)
    run = Run(arguments.date, run_id_of(arguments.run_id))
    try:
        follow(Lake(settings.paths.lake), run, settings, group)
    except BrokenModelError:
        return OK
    except NightcartError as error:
        return error.exit_code
    return OK


def main(argv: list[str] | None = None) -> int:
    """Run the stage, or start those who do, or train along; return the exit code."""
    parser = stage_parser(FINE_TUNE, __doc__)
    if not is_member(os.environ):
        given = sys.argv[1:] if argv is None else argv
        arguments = parser.parse_args(given)
        try:
            settings = load_settings(chosen_config(arguments.config, os.environ), os.environ)
        except SettingsError:
            settings = None  # run_stage says what is wrong
        if settings is not None and settings.training.processes > 1:
            return launch(settings, Run(arguments.date, run_id_of(arguments.run_id)), given)
        return run_stage(FINE_TUNE, parser, train, argv)
    group = join_group(os.environ)
    try:
        if not group.is_first:
            return train_along(parser.parse_args(argv), group)
        return run_stage(FINE_TUNE, parser, functools.partial(train, group=group), argv)
    finally:
        leave_group()


if __name__ == "__main__":
    raise SystemExit(main())

"""Check the lists this run generated and publish them: immutable files, manifest, then pointers.

Reads generated of the same run, histories, catalogue, cleaned_users and user_attributes; writes
recommendations, views.sql and a ledger line. Stops with exit code 65 if any list is not fit to be
published, and with 75 if the disk or a permission refuses; the message says what readers then see.
"""

from __future__ import annotations

import argparse
import logging

from pipeline.publishing.publish import publish
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import PUBLISH

log = logging.getLogger("nightcart")


def work(stage: Stage, _arguments: argparse.Namespace) -> Report:
    """Publish, and say what became of every list."""
    published = publish(stage.lake, stage.run, stage.settings)
    log.info(str(published.ledger))
    return published.report


def main(argv: list[str] | None = None) -> int:
    """Run the stage; returns the process's exit code."""
    return run_stage(PUBLISH, stage_parser(PUBLISH, __doc__), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())

"""Write a published night's lists as CSV for a mail tool.

Reads the night's recommendations and every shopper entry delivered so far; writes the dataset
`mail_lists` (one `mail_list.csv`) and a ledger line. A shopper who has withdrawn consent since the
night is left out.
"""

from __future__ import annotations

import logging
from argparse import Namespace

from pipeline.datasets import RECOMMENDATIONS
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.publishing.mail_list import export_mail_list
from pipeline.publishing.spreadsheet_cells import PLAIN, PROFILES
from pipeline.stage import Report, Stage, run_stage, stage_parser

log = logging.getLogger("nightcart")


def work(stage: Stage, arguments: Namespace) -> Report:
    """Export, then account for every list."""
    exported = export_mail_list(stage.lake, stage.run, arguments.csv)
    line = LedgerLine(
        run_date=stage.run.run_date,
        run_id=stage.run.run_id,
        stage=stage.name,
        dataset=RECOMMENDATIONS,
        rows_in=exported.lists,
        rows_out=exported.partition.rows,
        removed={"consent_withdrawn": exported.withdrawn} if exported.withdrawn else {},
    )
    write_ledger(stage.lake, stage.run, stage.name, [line])
    log.info("%s", line)
    return {"path": str(exported.partition.paths[0]), "shoppers": exported.partition.rows}


def main(argv: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    parser = stage_parser("export_lists", __doc__)
    parser.add_argument(
        "--csv",
        choices=PROFILES,
        default=PLAIN,
        help="plain: every value as it is stored (default); spreadsheet: a text that a spreadsheet "
        "would run as a formula gets an apostrophe before it",
    )
    return run_stage("export_lists", parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())

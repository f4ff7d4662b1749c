"""Files that cannot be read: a night stops for them, or goes on without them and warns.

With `cleaning.on_corrupt_file = "continue"` such a file is quarantined whole, by name: one row of
quarantine under the reason `corrupt_file`. The row stands for the rows of the file that could be
read and one more for the rest, which cannot be counted. The ledger counts the same number in and
refused, so that it balances and the file shows, even if not one row could be read.

The lines of a file that is mostly unreadable lines are quarantined one by one, and the same setting
decides. When the file is delivered again (in another size, or after `nightcart quarantine
release`), its day is cleaned again.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import QUARANTINE
from pipeline.encryption.parquet_files import write_table
from pipeline.errors import InputError
from pipeline.lake import storage_errors
from pipeline.sources.damage import FileDamageError

log = logging.getLogger("nightcart")

REASON = "corrupt_file"
CONTINUE = "continue"


def refuse_or_warn(faults: Sequence[InputError], on_corrupt_file: str) -> None:
    """Warn of the files that cannot be used, or refuse the night for them.

    Raises:
        InputError: there are any, and the setting says stop.
    """
    if faults and on_corrupt_file != CONTINUE:
        more = f" ({len(faults) - 1} more files are corrupt)" if len(faults) > 1 else ""
        raise InputError(
            f"{faults[0]}{more}. Deliver it again; or let nights go on without such files, which "
            'quarantine then names: cleaning.on_corrupt_file = "continue"'
        )
    for fault in faults:
        log.warning("%s", fault)


def rows_of(damage: FileDamageError) -> int:
    """The rows that a damaged file stands for: those that could be read, and one for the rest."""
    return damage.readable_rows + 1


def write_damaged(
    damaged: Sequence[FileDamageError],
    dataset: str,
    source: str,
    night: dt.date,
    directory: Path,
) -> None:
    """Write the quarantine rows of damaged files beside those that Spark wrote, by delivery day.

    Args:
        night: the day of a file of a dump, which names none.
        directory: where the dataset's refused rows wait.
    """
    schema = arrow_schema(load_contract(QUARANTINE))
    for day in sorted({damage.file.date or night for damage in damaged}):
        rows = [
            {
                "dataset": dataset,
                "source": source,
                "file": damage.file.relative,
                "reason": REASON,
                "raw": json.dumps(
                    {
                        "fault": damage.fault,
                        "bytes": damage.file.path.stat().st_size,
                        "readable_rows": damage.readable_rows,
                    },
                    ensure_ascii=False,
                ),
                "rows": rows_of(damage),
            }
            for damage in damaged
            if (damage.file.date or night) == day
        ]
        target = directory / f"run_date={day.isoformat()}"
        with storage_errors(f"cannot write {target}"):
            target.mkdir(parents=True, exist_ok=True)
            # Behind Spark's own part-00000-…: files are moved in the order of their names.
            write_table(
                pa.Table.from_pylist(rows, schema=schema), target / "part-corrupt-files.parquet"
            )

"""Whether anybody agrees to be written to, told from the cleaned files before histories are made.

Reads one column's smallest and largest value from the footers of `cleaned_users`, newest first,
and the column itself only where a footer has none; ends at the first user who agrees. Gives up:
somebody who agreed once and refused later counts here (`pipeline.training.sufficiency` says that).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow.compute as pc

from pipeline.datasets import cleaned
from pipeline.encryption.parquet_files import open_parquet
from pipeline.errors import GateError
from pipeline.lake import Lake


def refuse_no_consent(lake: Lake, run_date: dt.date) -> None:
    """Stop where no user of any delivery up to the night agrees.

    Raises:
        GateError: nobody does; says how many rows of users there are, and what to map.
    """
    rows = 0
    for partition in reversed(lake.past(cleaned("users"), run_date)):
        for file in partition.files:
            if _somebody_agrees(file):
                return
        rows += partition.rows
    raise GateError(
        f"nobody may be written to: none of the {rows:,} rows of users delivered up to {run_date} "
        "has consent. Look at the column that users.map.consent of the source YAML reads (an answer "
        "that is missing or cannot be read is a refusal; nightcart source check shows mapped rows)"
    )


def _somebody_agrees(path: Path) -> bool:
    with open_parquet(path) as file:
        column = file.schema_arrow.get_field_index("consent")
        for group in range(file.metadata.num_row_groups):
            known = file.metadata.row_group(group).column(column).statistics
            if known is not None and known.has_min_max:
                if known.max:
                    return True
            elif pc.any(file.read_row_group(group, columns=["consent"])["consent"]).as_py():
                return True
    return False

"""A published night as one CSV: a header, then one row a shopper, for mail tools.

Columns: `user_id language method reason`, then `item_id_N title_N price_N` for each rank. Rows are
in the order of `user_id`; the same night and consents give the same bytes. Quotes, commas and line
breaks in titles are quoted as RFC 4180 says.

In the profile `plain` values that a spreadsheet would run as a formula are left as they are: a mail
tool must get the title that the shop wrote. In `spreadsheet` they are made harmless
(`spreadsheet_cells`).
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.datasets import CLEANED_USERS, MAIL_LISTS, RECOMMENDATIONS
from pipeline.errors import StorageError
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.publishing.consent import known_until
from pipeline.publishing.list_rules import VIEWS
from pipeline.publishing.spreadsheet_cells import PLAIN, SPREADSHEET, harmless_sql
from pipeline.publishing.sql_values import sql_files, sql_text

FILE = "mail_list.csv"
TEXTS = ("user_id", "language", "method", "reason")
FACTS = ("item_id", "title", "price")


@dataclass(frozen=True)
class Exported:
    """What was written, and who was left out."""

    partition: Partition
    lists: int
    withdrawn: int


def export_mail_list(lake: Lake, run: Run, profile: str = PLAIN) -> Exported:
    """Export what is published for a date; consent counts as of every delivery in the lake.

    Args:
        lake: where the export goes, too.
        run: of the export; its date is the night's.
        profile: one of `spreadsheet_cells.PROFILES`.

    Raises:
        InputError: nothing is published for the date.
        StorageError: the disk or a permission refuses; the last export stays.
    """
    with lake.writing(MAIL_LISTS, run):
        return _export(lake, run, profile)


def _export(lake: Lake, run: Run, profile: str) -> Exported:
    published = lake.require(RECOMMENDATIONS, run.run_date)
    newest = known_until(lake, run.run_date)
    users = [file for part in lake.past(CLEANED_USERS, newest) for file in part.files]
    directory = lake.begin(MAIL_LISTS, run)
    cell = harmless_sql if profile == SPREADSHEET else str
    columns = [f"{cell(name)} AS {name}" for name in TEXTS]
    for rank in range(1, int(published.manifest["k"]) + 1):
        for fact in FACTS:
            value = f"items[{rank}].{fact}"
            columns.append(f"{value if fact == 'price' else cell(value)} AS {fact}_{rank}")
    with storage_errors(f"cannot write {directory}"), duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW lists AS FROM read_parquet({sql_files(published.files)})")
        entries = (
            f"FROM read_parquet({sql_files(users)}, hive_partitioning = true)"
            if users
            else "SELECT '' AS user_id, false AS consent, '' AS run_date WHERE false"
        )
        connection.execute(f"CREATE VIEW users AS {entries}")
        connection.execute(f"CREATE VIEW consenting AS {VIEWS['consenting']}")
        select = f"SELECT {', '.join(columns)} FROM lists SEMI JOIN consenting USING (user_id)"  # noqa: S608
        target = sql_text(directory / FILE)
        try:
            written = connection.execute(
                f"COPY ({select} ORDER BY user_id) TO {target} (FORMAT csv, HEADER)"
            ).fetchone()
        except duckdb.IOException as error:
            raise StorageError(f"cannot write {directory / FILE}: {error}") from error
    rows = int(written[0]) if written else 0
    partition = lake.close(
        MAIL_LISTS,
        run,
        rows=rows,
        exported=published.directory_id,
        profile=profile,
        consent_until=newest.isoformat(),
    )
    lake.publish(MAIL_LISTS, partition)
    return Exported(partition, published.rows, published.rows - rows)

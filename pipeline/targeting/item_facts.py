"""Items as the night knows them, and as they were before: price, stock, whether they are new.

Tonight is the night's `catalogue`. Before is the end of an earlier day, by `catalogue_changes`:
each item as its newest row up to that day says. Where no delivery is so old, nothing is known of
before, and nothing dropped, came back or is new.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import duckdb

from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.lake import Partition
from pipeline.sql_values import sql_text

# What shops in the EU must name beside a price cut (Directive 98/6/EC, article 6a).
LOWEST_OF_DAYS = 30

_ITEMS = """
CREATE TEMP TABLE items AS
WITH versions AS ({versions}), spans AS (
    SELECT *, lead(changed_date) OVER (PARTITION BY item_id ORDER BY changed_date) AS until
    FROM versions
), was AS (
    SELECT item_id,
        arg_max(
            in_assortment AND listed AND coalesce(stock, 1) > 0, changed_date
        ) AS was_sellable,
        min(price) FILTER (until IS NULL OR until > {before} - {price_days} + 1) AS compared_price,
        min(price) FILTER (
            until IS NULL OR until > {before} - {lowest_of_days} + 1
        ) AS lowest_price
    FROM spans GROUP BY item_id
)
SELECT item_id, title, brand, category, price, sellable,
    coalesce(was_sellable, true) AS was_sellable, compared_price, lowest_price,
    was.item_id IS NULL AND EXISTS (FROM was) AS is_new
FROM {catalogue} LEFT JOIN was USING (item_id)
"""

_NO_VERSIONS = """
SELECT NULL::VARCHAR AS item_id, NULL::DATE AS changed_date, NULL::DOUBLE AS price,
    NULL::INTEGER AS stock, NULL::BOOLEAN AS listed, NULL::BOOLEAN AS in_assortment WHERE false"""


def make_items(
    connection: duckdb.DuckDBPyConnection,
    catalogue: Partition,
    changes: Iterable[Partition],
    before: dt.date,
    price_days: int,
) -> None:
    """Make the table `items`.

    Args:
        connection: gets the table.
        catalogue: of the night.
        changes: `catalogue_changes` of the deliveries up to `before`.
        before: the day that tonight is compared with.
        price_days: a price is compared with the lowest one of so many days up to `before`.
    """
    files = [file for part in changes if part.rows for file in part.files]
    versions = _NO_VERSIONS
    if files:
        versions = f"""
            SELECT item_id, changed_date, price, stock, listed, in_assortment
            FROM {parquet_source(files, "hive_partitioning = false")}"""  # noqa: S608
    made = _ITEMS.format(
        versions=versions,
        before=f"DATE {sql_text(before.isoformat())}",
        price_days=price_days,
        lowest_of_days=LOWEST_OF_DAYS,
        catalogue=parquet_source(catalogue.files),
    )
    connection.execute(bring(connection, made))

"""Who has withdrawn consent, as of everything that the lake knows now.

Reads the `user_attributes` of the newest night that was made from the deliveries as they are, and
`cleaned_users` delivered since; where there is no such night, every delivery. A refusal wins over
an agreement of the same delivery. Lists of any night are shown without those users, also where the
night itself is older than the withdrawal.
"""

from __future__ import annotations

import datetime as dt

import duckdb

from pipeline.datasets import CLEANED_USERS, USER_ATTRIBUTES
from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.lake import Lake, Partition
from pipeline.lineage import lineage_of

# Should two entries of one delivery meet, the refusal counts: '1' sorts after '0'.
_BY_NEWEST_ENTRY = """
    SELECT user_id FROM (
        SELECT user_id, consent, run_date::VARCHAR AS run_date FROM {source}
    ) GROUP BY user_id
    HAVING {condition} arg_max(consent, run_date || (NOT consent)::INTEGER)"""


def known_until(lake: Lake, night: dt.date) -> dt.date:
    """The newest delivery of users in the lake; the night where that is later."""
    return max([*lake.dates(CLEANED_USERS), night])


def refusing(lake: Lake) -> str | None:
    """A SELECT of the users whose newest entry refuses; none where nobody was ever asked."""
    return _by_newest_entry(lake, "NOT")


def withdrawn_from(lake: Lake, lists: Partition) -> list[str]:
    """Users of some lists who have withdrawn by now, ascending."""
    hash_entries(lake)
    select = refusing(lake)
    return [] if select is None else _users(lists, f"SEMI JOIN ({select}) AS refusing")


def not_agreeing(lake: Lake, lists: Partition) -> list[str]:
    """Users of some lists whose newest entry is no agreement, ascending: for what leaves the house.

    Beside those who have withdrawn it has whoever the lake knows no entry of any more.
    """
    hash_entries(lake)
    select = _by_newest_entry(lake, "")
    return _users(lists, f"ANTI JOIN ({select}) AS agreeing" if select else "")


def _users(lists: Partition, join: str) -> list[str]:
    using = f"{join} USING (user_id)" if join else ""
    sql = f"SELECT user_id FROM {parquet_source(lists.files)} {using} ORDER BY user_id"  # noqa: S608
    with duckdb.connect() as connection:
        return [user_id for (user_id,) in connection.execute(bring(connection, sql)).fetchall()]


def _by_newest_entry(lake: Lake, condition: str) -> str | None:
    paths = [path.resolve() for part in _entries(lake) for path in part.paths]
    if not paths:
        return None
    source = parquet_source(
        paths, "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
    )
    return _BY_NEWEST_ENTRY.format(source=source, condition=condition)


def hash_entries(lake: Lake) -> None:
    """Hash what `refusing` reads, before its SELECT is executed.

    Raises:
        DamagedError: a file of it is not as it was written.
    """
    for part in _entries(lake):
        _ = part.files


def _entries(lake: Lake) -> list[Partition]:
    deliveries = lake.pointers(CLEANED_USERS, dt.date.max)
    known, since = _newest_attributes(lake, deliveries)
    later = [date for date in deliveries if since is None or date > since]
    return [*known, *(lake.partition(CLEANED_USERS, date, deliveries[date]) for date in later)]


def _newest_attributes(
    lake: Lake, deliveries: dict[dt.date, str]
) -> tuple[list[Partition], dt.date | None]:
    """The newest night's users, if no delivery that it was made from was cleaned again since."""
    for date in lake.dates(USER_ATTRIBUTES)[-1:]:
        found = lake.whole(USER_ATTRIBUTES, date)
        lineage = lineage_of(found) if found else None
        now = {day.isoformat(): name for day, name in deliveries.items() if day <= date}
        if found and lineage and lineage.inputs.get(CLEANED_USERS) == now:
            return [found], date
    return [], None

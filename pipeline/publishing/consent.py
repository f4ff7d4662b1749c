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
from pipeline.lake import Lake, Partition
from pipeline.lineage import lineage_of
from pipeline.publishing.sql_values import sql_files

# Should two entries of one delivery meet, the refusal counts: '1' sorts after '0'.
_REFUSING = """
    SELECT user_id FROM (
        SELECT user_id, consent, run_date::VARCHAR AS run_date FROM read_parquet({files},
            hive_partitioning = true, hive_types_autocast = false, union_by_name = true)
    ) GROUP BY user_id
    HAVING NOT arg_max(consent, run_date || (NOT consent)::INTEGER)"""


def known_until(lake: Lake, night: dt.date) -> dt.date:
    """The newest delivery of users in the lake; the night where that is later."""
    return max([*lake.dates(CLEANED_USERS), night])


def refusing(lake: Lake) -> str | None:
    """A SELECT of the users whose newest entry refuses; none where nobody was ever asked."""
    paths = [path.resolve() for part in _entries(lake) for path in part.paths]
    return _REFUSING.format(files=sql_files(paths)) if paths else None


def withdrawn_from(lake: Lake, lists: Partition) -> list[str]:
    """Users of some lists who have withdrawn by now, ascending."""
    for part in _entries(lake):
        _ = part.files  # hashed, because they are read here
    select = refusing(lake)
    if select is None:
        return []
    sql = (
        f"SELECT user_id FROM read_parquet({sql_files(lists.files)}) "  # noqa: S608
        f"SEMI JOIN ({select}) AS refusing USING (user_id) ORDER BY user_id"
    )
    with duckdb.connect() as connection:
        return [user_id for (user_id,) in connection.execute(sql).fetchall()]


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

"""Who may be written to, by everything that the lake knows now; and who asked to be left in peace.

A shopper may be who is in the night's histories, active and agreeing as of the night, has not
withdrawn since, and is not on the shop's quiet list. Erased shoppers are in no history.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.errors import InputError, QuietListError
from pipeline.lake import Lake, Partition
from pipeline.lake_key import key_of_lake
from pipeline.pseudonym import PSEUDONYM_LENGTH, pseudonym
from pipeline.publishing.consent import hash_entries, refusing
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

# Why a shopper of the histories gets nothing; the first that holds. `due` has the others.
INACTIVE, NO_CONSENT = "inactive", "no_consent"
WITHDRAWN, ON_QUIET_LIST = "consent_withdrawn", "on_quiet_list"

_SHOPPERS = """
CREATE TEMP TABLE shoppers AS
SELECT user_id, CASE
    WHEN NOT active THEN 'inactive'
    WHEN NOT consent THEN 'no_consent'
    WHEN user_id IN (SELECT user_id FROM ({refused})) THEN 'consent_withdrawn'
    WHEN user_id IN (SELECT user_id FROM quiet) THEN 'on_quiet_list'
END AS fate
FROM {histories};
CREATE TEMP TABLE agreeing AS
SELECT user_id FROM {histories} ANTI JOIN ({refused}) USING (user_id) WHERE consent;
CREATE TEMP VIEW due AS SELECT user_id FROM shoppers WHERE fate IS NULL
"""


@dataclass(frozen=True)
class QuietList:
    """Whom a file names.

    Attributes:
        path: of the file; none where the setting is empty.
        lines: for each that is not blank the pseudonyms that it may mean.
    """

    path: Path | None = None
    lines: tuple[frozenset[str], ...] = ()

    @property
    def ids(self) -> set[str]:
        """All pseudonyms that may be meant."""
        return set().union(*self.lines)


def make_shoppers(
    connection: duckdb.DuckDBPyConnection, lake: Lake, histories: Partition, quiet: set[str]
) -> dict[str, int]:
    """Make `shoppers`, `due` and `agreeing` (active or not).

    Returns:
        how many get nothing, by reason.

    Raises:
        DamagedError: a file that says who has consented is not as it was written.
    """
    quiet_ids = pa.table({"user_id": pa.array(sorted(quiet), pa.string())})
    connection.register("quiet", quiet_ids)
    hash_entries(lake)
    refused = refusing(lake) or "SELECT NULL::VARCHAR AS user_id WHERE false"
    made = _SHOPPERS.format(refused=refused, histories=parquet_source(histories.files))
    connection.execute(bring(connection, made))
    counted = connection.execute(
        "SELECT fate, count(*) FROM shoppers WHERE fate IS NOT NULL GROUP BY fate ORDER BY fate"
    )
    return dict(counted.fetchall())


def unknown_lines(connection: duckdb.DuckDBPyConnection, quiet: QuietList) -> int:
    """How many lines of the list name no shopper; `make_shoppers` comes before.

    Raises:
        InputError: there are shoppers, and no line names one: the ids are not the mapped ones.
    """
    there = connection.execute("SELECT user_id FROM shoppers SEMI JOIN quiet USING (user_id)")
    known = {user_id for (user_id,) in there.fetchall()}
    n = sum(line.isdisjoint(known) for line in quiet.lines)
    if n and not known and connection.execute("FROM shoppers LIMIT 1").fetchone():
        raise InputError(
            f"none of the {n:,} lines of the quiet list {quiet.path} (triggers.quiet_list) names a "
            "shopper of the histories, so who asked for quiet cannot be told. Write the ids as the "
            "source maps user_id, or clear the setting"
        )
    if n:
        log.warning(
            "%s of the %s lines of the quiet list %s name no shopper of the histories",
            f"{n:,}",
            f"{len(quiet.lines):,}",
            quiet.path,
        )
    return n


def read_quiet_list(lake: Lake, settings: Settings) -> QuietList:
    """A file of the shop's own ids, one a line, as the source maps them.

    A line that is a pseudonym of the lake counts as such. Blank lines do not count, nor does
    space around an id, unless the id itself has it.

    Raises:
        QuietListError: the file is not there, or is no text.
        SettingsError: there is no key, or another one.
    """
    if not settings.triggers.quiet_list:
        return QuietList()
    path = Path(settings.triggers.quiet_list)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise QuietListError(
            f"cannot read the quiet list {path} (triggers.quiet_list): {why}. Without it shoppers "
            "who asked for quiet would be written to; bring the file, or clear the setting"
        ) from None
    ids = [line for line in lines if line.strip()]
    if not ids:
        return QuietList(path)
    key = key_of_lake(lake, settings.privacy.key_file)
    return QuietList(path, tuple(_meant_by(name, key) for name in ids))


def _meant_by(name: str, key: bytes) -> frozenset[str]:
    stripped = name.strip()
    own = {pseudonym(name, key), pseudonym(stripped, key)}
    return frozenset(own | ({stripped} if _is_pseudonym(stripped) else set()))


def _is_pseudonym(text: str) -> bool:
    return len(text) == PSEUDONYM_LENGTH and set(text) <= set("0123456789abcdef")

"""Users who are no customers (testers, staff, monitors): the `internal_users` of a source YAML.

Their rows are removed from every dataset that names a user, by a rule `internal_user` that comes
before the source's own ones. Ids are compared as the retailer writes them, before they are
hashed. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contracts.sql_text import sql_string
from pipeline.errors import ContractError
from pipeline.sources.yaml_entries import checked, name_list

RULE = "internal_user"
MAX_IDS = 10_000  # they become part of the query


@dataclass(frozen=True)
class InternalUsers:
    """Whose rows are removed: by id, and by regular expressions over the id."""

    ids: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def condition(self, user_sql: str) -> str:
        """SQL that is true of their rows."""
        user = f"CAST(({user_sql}) AS string)"
        conditions = [f"{user} RLIKE {sql_string(pattern)}" for pattern in self.patterns]
        if self.ids:
            conditions.insert(0, f"{user} IN ({', '.join(map(sql_string, self.ids))})")
        return " OR ".join(conditions)


def internal_users_of(given: Any, where: str) -> InternalUsers:
    """The internal users that a source YAML names.

    Args:
        given: the entry's value, or none.
        where: the YAML's path; `file` is looked for beside it.

    Raises:
        ContractError: an entry is wrong, the file cannot be read, or there are too many ids.
    """
    if given is None:
        return InternalUsers()
    place = f"{where}: internal_users"
    entry: Mapping[str, Any] = checked(given, ("ids", "patterns", "file"), place)
    ids = [*name_list(entry, "ids", place)]
    if "file" in entry:
        ids += _ids_in(Path(where).parent / str(entry["file"]), place)
    if len(ids) > MAX_IDS:
        raise ContractError(
            f"{place}: {len(ids):,} ids, at most {MAX_IDS:,} are taken; "
            "write a pattern that they have in common, or a remove rule over another column"
        )
    patterns = name_list(entry, "patterns", place)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ContractError(f"{place}: patterns: {pattern!r}: {error}") from None
    return InternalUsers(tuple(dict.fromkeys(ids)), patterns)


def _ids_in(path: Path, where: str) -> list[str]:
    """One id a line; blank lines and those that begin with # are skipped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{where}: file {path} cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

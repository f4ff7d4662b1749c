"""Who was erased from a lake, as digests that name nobody, and which models had learned from them.

`<lake>/erasures/erased.json` holds three things. `digests`: of each erased user HMAC-SHA-256 of a
fixed text and the pseudonym, by the lake's key, and the day. Raw files are the retailer's and may
still have the user, so cleaning compares each row's digest and removes rows whose digest is here.
`user_ids`: a digest of how the source made user ids at the newest erasure; made in another way, ids
have other pseudonyms, and the digests know nobody. `models`: the model directories that were there
when a user was erased who may have been among those they learned from. No later model starts from
their weights.

The digests are one-way: with the key one can ask whether a given user was erased, and without it
nothing. Standard library only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline import durable
from pipeline.errors import DamagedError
from pipeline.intact import FaultError, read_sealed_json, sealed_json
from pipeline.lake import Lake, Run, storage_errors
from pipeline.pseudonym import pseudonym

ERASURES = "erasures"  # the folder in the lake: this file, and the proofs
ERASED_FILE = "erased.json"
UNDER_WAY, USERS_FILE = ".under_way", "users.json"  # of an erasure that has not ended
# What goes before a pseudonym in the text of a digest; in Spark too (`cleaning.rows.row_rules`).
DIGEST_PREFIX = "nightcart: erased: "


@dataclass(frozen=True)
class Erased:
    """Digest -> day of the erasure; `<date>/<directory>` of a model -> day; both ISO 8601.

    And `Source.user_ids_digest` at the newest erasure; empty where nobody said.
    """

    digests: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    user_ids: str = ""

    def learned_from(self, model: Run) -> str | None:
        """The day on which somebody was erased from whom a model may have learned, or none."""
        return self.models.get(model_name(model.run_date, model.run_id))


def model_name(run_date: dt.date, directory_id: str) -> str:
    """How a model's directory is called in the file."""
    return f"{run_date.isoformat()}/{directory_id}"


def digest_of(user: str, key: bytes) -> str:
    """The one-way digest of a pseudonym."""
    return pseudonym(f"{DIGEST_PREFIX}{user}", key)


def read_erased(lake: Lake) -> Erased:
    """What the file says; nothing where nobody was ever erased.

    Raises:
        DamagedError: it is not what was written. No row may be cleaned then.
        StorageError: it cannot be read.
    """
    path = _path(lake)
    if not path.exists():
        return Erased()
    try:
        said = read_sealed_json(path)
        return Erased(dict(said["digests"]), dict(said["models"]), str(said.get("user_ids", "")))
    except (FaultError, KeyError, TypeError) as error:
        raise DamagedError(
            f"{path} says who must stay erased, and cannot be relied on ({error}). Bring it back "
            "from a backup; without one, remove it and erase the same users again "
            "(nightcart erase)"
        ) from None


def is_under_way(lake: Lake) -> bool:
    """Whether an erasure was begun and has not ended."""
    return (lake.root / ERASURES / UNDER_WAY / USERS_FILE).exists()


def add_erased(
    lake: Lake, digests: Iterable[str], models: Iterable[str], day: dt.date, user_ids: str = ""
) -> None:
    """Note further users and models; what is noted already keeps its day.

    Args:
        user_ids: `Source.user_ids_digest`; empty leaves what is noted.
    """
    known, today = read_erased(lake), day.isoformat()
    _write(
        lake,
        Erased(
            dict.fromkeys(digests, today) | dict(known.digests),
            dict.fromkeys(models, today) | dict(known.models),
            user_ids or known.user_ids,
        ),
    )


def lift_erased(lake: Lake, digests: Iterable[str]) -> int:
    """Let users be cleaned again from now on; how many of them were noted."""
    known, back = read_erased(lake), set(digests)
    kept = {digest: day for digest, day in known.digests.items() if digest not in back}
    if len(kept) < len(known.digests):
        _write(lake, replace(known, digests=kept))
    return len(known.digests) - len(kept)


def _write(lake: Lake, erased: Erased) -> None:
    path = _path(lake)
    with storage_errors(f"cannot write {path}"), durable.in_place(path) as file:
        said = {"digests": erased.digests, "models": erased.models, "user_ids": erased.user_ids}
        file.write(sealed_json(said))


def _path(lake: Lake) -> Path:
    return lake.root / ERASURES / ERASED_FILE

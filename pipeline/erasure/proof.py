"""The proof of an erasure: what was searched, what was changed, and with which code.

`<lake>/erasures/<when>.json`, sealed. It says how many users were erased and names none: no id, no
pseudonym, no text.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.code_version import code_version
from pipeline.datasets import MODELS
from pipeline.erased import ERASED_FILE, ERASURES
from pipeline.erasure.plan import Plan
from pipeline.erasure.wanted import Wanted
from pipeline.intact import FaultError, read_sealed_json, sealed_json
from pipeline.lake import Lake


@dataclass(frozen=True)
class Proof:
    """What is kept of an erasure.

    Args:
        name: of the file, without its ending.
        facts: what is in it.
    """

    name: str
    facts: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        noted: Mapping[str, Any],
        plan: Plan,
        entries: list[dict[str, Any]],
        wanted: Wanted,
        ended: dt.datetime,
        *,
        exports: Mapping[str, int],
        doubts: Iterable[str] = (),
    ) -> Proof:
        """From the journal of all attempts and the plan of the last one.

        Args:
            exports: how many of them each mail tool was sent, and has until it is told.
            doubts: copies of tables of which not all rows of a user may have been found.
        """
        started = str(noted["facts"]["started"])
        rows, changed = Counter[str](), Counter[str]()
        for entry in entries:
            rows[entry["of"]] += entry["rows"]
            changed[entry["of"]] += entry["changed"]
        facts = {
            "users": len(wanted.pseudonyms),
            "found": len(noted["found"]),
            "ids_looked_for_in_clear": len(wanted.ids),
            "started": started,
            "ended": ended.isoformat(timespec="seconds"),
            "attempts": noted["attempts"],
            "code": code_version(),
            "searched": {name: asdict(of) for name, of in sorted(plan.searched.items())},
            "rows": _more_than_none(rows),
            "changed": _more_than_none(changed),
            "models": {
                "dropped": _directories(entries, MODELS),
                "not_gone_on_from": noted["learned"],
            },
            "exports": dict(sorted(exports.items())),
            "tables_in_doubt": list(doubts),
            "files": entries,
        }
        return cls(f"{started[:19].replace(':', '-')}Z", facts)


def write_proof(lake: Lake, proof: Proof) -> Path:
    """Keep a proof, under a name of its own."""
    path = lake.root / ERASURES / f"{proof.name}.json"
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{proof.name}.{number}.json")
    with durable.in_place(path) as file:
        file.write(sealed_json(proof.facts))
    return path


def proofs(lake: Lake) -> list[Proof]:
    """All proofs of a lake, oldest first; one that is damaged says nothing but that."""
    found = []
    for path in sorted((lake.root / ERASURES).glob("*.json")):
        if path.name == ERASED_FILE:
            continue
        try:
            found.append(Proof(path.stem, read_sealed_json(path)))
        except FaultError as error:
            found.append(Proof(path.stem, {"damaged": str(error)}))
    return found


def _more_than_none(counted: Counter[str]) -> dict[str, int]:
    return {name: n for name, n in sorted(counted.items()) if n}


def _directories(entries: Iterable[Mapping[str, Any]], dataset: str) -> list[str]:
    """The directories of a dataset of which files were removed."""
    paths = (entry["path"] for entry in entries if entry["of"] == dataset and not entry["after"])
    return sorted({"/".join(path.split("/")[:3]) for path in paths})

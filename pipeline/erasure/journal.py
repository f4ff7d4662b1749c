"""What an erasure that is under way needs to be finished by the next one, whatever ended it.

`<lake>/erasures/.under_way/` (mode 0700) holds `users.json` (mode 0600): the ids that were given,
for without them nobody could go on; and `done.jsonl`: a line for each file that was written again
or removed, from before it is put in its place, for the proof. Both are removed when the erasure
ends. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline import durable
from pipeline.erased import ERASURES, UNDER_WAY, USERS_FILE, is_under_way
from pipeline.errors import DamagedError
from pipeline.intact import FaultError, read_sealed_json, sealed_json
from pipeline.lake import Lake

Facts = Mapping[str, Any]

_DONE = "done.jsonl"


class Journal:
    """The notes of one erasure."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.directory = lake.root / ERASURES / UNDER_WAY

    @property
    def is_open(self) -> bool:
        """Whether an erasure has begun and not ended."""
        return is_under_way(self.lake)

    def begin(
        self, ids: Iterable[str], found: Iterable[str], learned: Iterable[str], facts: Facts
    ) -> dict[str, Any]:
        """Note who is erased; with an erasure that has not ended, both are one from now on.

        Args:
            ids: the retailer's, of this erasure and the one that has not ended.
            found: pseudonyms that the lake holds.
            learned: models that no night is to go on from.
            facts: what is to be remembered of the lake before anything is changed; what was
                remembered stays.

        Returns:
            All that is noted.
        """
        before = self.read()
        said = {
            "ids": sorted(set(ids)),
            "found": sorted({*before.get("found", ()), *found}),
            "learned": sorted({*before.get("learned", ()), *learned}),
            "attempts": before.get("attempts", 0) + 1,
            "facts": {**facts, **before.get("facts", {})},
        }
        durable.make_directory(self.directory)
        self.directory.chmod(0o700)
        if not before:  # an erasure that was killed when its proof was written left its notes
            (self.directory / _DONE).unlink(missing_ok=True)
        with durable.in_place(self.directory / USERS_FILE, durable.PRIVATE) as file:
            file.write(sealed_json(said))
        return said

    def read(self) -> dict[str, Any]:
        """What was noted by an erasure that has not ended."""
        if not self.is_open:
            return {}
        try:
            return read_sealed_json(self.directory / USERS_FILE)
        except FaultError as error:
            raise DamagedError(
                f"an erasure was begun and its notes cannot be read: {error}. Remove "
                f"{self.directory} and erase the same users again"
            ) from None

    def note(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Note what is about to be put in place, or removed."""
        # What a kill cut off is ended first.
        lines = "\n" + "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in entries)
        descriptor = os.open(
            self.directory / _DONE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, durable.PRIVATE
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def noted(self) -> list[dict[str, Any]]:
        """All of it, of each file the newest; a line that a kill cut off is left out."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self._entries():
            first = found.get(entry["path"])
            found[entry["path"]] = entry if first is None else _joined(first, entry)
        return [found[name] for name in sorted(found)]

    def earlier_sums(self, now: Mapping[str, str]) -> dict[str, set[str]]:
        """What files were before they became what they are.

        Args:
            now: path, as noted -> SHA-256 of what is there.

        Returns:
            Path -> SHA-256 of each content that came before.
        """
        known = {path: {sum_now} for path, sum_now in now.items()}
        for entry in reversed(self._entries()):
            sums = known.get(entry["path"], set())
            if sums and entry["after"] and entry["after"]["sha256"] in sums:
                sums.add(entry["before"]["sha256"])
        return {path: sums - {now[path]} for path, sums in known.items()}

    def _entries(self) -> list[dict[str, Any]]:
        path, entries = self.directory / _DONE, []
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return entries

    def end(self) -> None:
        """The erasure is done: who was erased is forgotten."""
        (self.directory / USERS_FILE).unlink(missing_ok=True)
        durable.sync_directory(self.directory)
        shutil.rmtree(self.directory)


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two notes of one file: what the first says came about only if the second begins with it."""
    if first["before"] == second["before"] or first["after"] != second["before"]:
        return dict(second)
    return {**second, "before": first["before"], "rows": first["rows"] + second["rows"]}

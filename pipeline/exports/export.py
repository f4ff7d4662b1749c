"""One export: the lists that readers see, or their triggers, for one tool, whole or not at all.

Reads a published night and who has agreed to be written to by now. Writes a directory of
`paths.exports` (`folder`): files that the tool takes, a file of who has left since the last export
to it, notes on rows that were altered or left out, and a manifest with counts and checksums. The
files are read back (`validator`) before anybody can see them.

Every published list has one fate, and the counts add up: exported, unchanged, without consent, of
an unknown id, or left out because the tool would refuse it. Nobody without consent is in a file.
Who was in the last export and is not in this one is in `left-*`: whatever the reason, the tool is
not to go on with an old list. A second export of the same lists compares with what the first
compared with, and with the first: whoever loads only the newest export misses nothing.

Memory holds two ids and two digests of each shopper, and of lists one batch.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.errors import GateError, InputError
from pipeline.exports.files import (
    Encoded,
    NumberedFiles,
    csv_line,
    encoder,
    header_of,
)
from pipeline.exports.folder import BEFORE, NOTES, SENT, Made, ToolFolder
from pipeline.exports.profile import TRIGGERS, Fact, Left, Profile
from pipeline.exports.records import (
    LEFT_OUT,
    Note,
    RecordMaker,
    RowError,
    cleared,
)
from pipeline.exports.sent import (
    NotesFile,
    compared_with,
    digest_of,
    is_unchanged,
    put_sent,
)
from pipeline.exports.trigger_rows import trigger_rows
from pipeline.exports.validator import LEFT, PART, Validator
from pipeline.intact import file_sha256
from pipeline.lake import Lake, Partition
from pipeline.list_validity import last_valid_day
from pipeline.progress import no_progress
from pipeline.publishing.consent import not_agreeing
from pipeline.publishing.list_origin import PER_SHOPPER

log = logging.getLogger("nightcart")

EXPIRED = "expired"  # the fate of who has triggers, none of which holds any more
_BATCH = 2000
_COLUMNS = ("user_id", "items", "spares", "valid_until", "language", "method", "reason")


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Attributes:
        profile: of the tool.
        lists: a published night; for a profile of triggers, the triggers of it.
        ids: "own" or "pseudonym"; each is compared with its own last export.
        known: the retailer's own ids by pseudonym; none to export pseudonyms.
        only_changed: leave out who has the same list as in the last export.
        dry_run: do everything and leave nothing.
        now: when the export is made, in UTC.
        keep_days: after so many its files are removed.
        run_id: of the run that exports; empty for a person.
        today: of the shop; triggers that hold no more are left out.
    """

    profile: Profile
    lists: Partition
    ids: str
    known: Mapping[str, str] | None
    only_changed: bool
    dry_run: bool
    now: dt.datetime
    keep_days: int
    run_id: str = ""
    today: dt.date = dt.date.min


@dataclass(frozen=True)
class Exported:
    """What was done; `made` has no files if it was a dry run."""

    made: Made
    notes: list[Note]  # the first ones
    expired: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """The fate of every published list, and who has left."""
        return dict(self.made.manifest["counts"])


def export(
    lake: Lake, root: Path, order: Order, progress: Callable[[int], None] = no_progress
) -> Exported:
    """Make one export.

    Args:
        lake: of the lists.
        root: the folder of exports.
        order: what is asked for.
        progress: told how many lists are done.

    Raises:
        InputError: the tool would refuse every list.
        GateError: what was written does not keep to the tool's limits; nothing was exported.
        StorageError: the folder cannot be written, or has no room; the last export stays.
    """
    without_consent = set(not_agreeing(lake, order.lists))
    folder = ToolFolder(root, order.profile.folder)
    with folder.writing(dry=order.dry_run) as aside:
        before = folder.newest(order.ids)
        work = _Work(order, aside, _compared_with(order, before))
        try:
            work.write(without_consent, progress)
        finally:
            work.abandon()
        work.refuse_if_nothing_is_left()
        manifest = work.manifest(before)
        faults = Validator(order.profile, work.width).check(aside, manifest["files"])
        if faults:
            raise GateError(
                f"the files for {order.profile.tool} do not keep to its limits, nothing was "
                f"exported: {'; '.join(faults)}"
            )
        if order.dry_run:
            return Exported(Made(aside, manifest), work.first_notes, [])
        made = folder.place(aside, order.lists.run_date, order.ids, manifest)
        return Exported(made, work.first_notes, folder.expire(order.now, order.keep_days))


def already_exported(root: Path, order: Order) -> Exported | None:
    """What the same run has exported of the same lists before; none if its files are not there.

    Raises:
        DamagedError: the newest export cannot be read.
    """
    made = ToolFolder(root, order.profile.folder).newest(order.ids)
    if made is None or not order.run_id or not _is_of(made, order.lists):
        return None
    same = {"run_id": order.run_id, "only": _only(order)}
    if any(made.manifest.get(name) != value for name, value in same.items()):
        return None
    return Exported(made, [], []) if all(file.exists() for file in made.files) else None


def check_export(made: Made, profile: Profile) -> list[str]:
    """What is wrong with an export's files; none if they are whole and keep all limits."""
    width = int(made.manifest["items_a_row"])
    return Validator(profile, width).check(made.path, made.manifest["files"])


def _compared_with(order: Order, before: Made | None) -> dict[str, bytes]:
    again = before is not None and _is_of(before, order.lists)
    if before is not None and again and not (before.path / BEFORE).exists():
        n = before.manifest["counts"]["left"]
        if n:
            log.warning(
                "the files of %s are not there any more: load the left-* files of this export "
                "too, but the %s who had left then are not told again",
                before.path,
                f"{n:,}",
            )
    return compared_with(before, again=again)


def _is_of(made: Made, lists: Partition) -> bool:
    said = made.manifest.get("run_date"), made.manifest.get("lists")
    return said == (lists.run_date.isoformat(), lists.directory_id)


def _only(order: Order) -> str:
    return "changed" if order.only_changed else "all"


@dataclass
class _Work:
    """An export that is being written."""

    order: Order
    aside: Path
    before: dict[str, bytes]
    counts: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    first_notes: list[Note] = field(default_factory=list)
    now_sent: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        profile, said = self.order.profile, self.order.lists.manifest
        # A tool that could not tell spares from the list gets none.
        marks = any(column.fact is Fact.SPARES for column in profile.columns)
        self.expires = profile.dataset == TRIGGERS  # item by item
        if self.expires:
            n = int(said.get(PER_SHOPPER, 0)) or profile.most_items
        else:
            n = int(said["k"]) + (int(said.get("spares", 0)) if marks else 0)
        self.width = min(n, profile.most_items)
        self.day = last_valid_day(self.order.lists.run_date, 1)  # on which it is used
        self.encode = encoder(profile, self.width)
        self.maker = RecordMaker(profile, self.order.lists.run_date, self.width)
        header = header_of(profile, self.width)
        keys = Counter(map(profile.same_key, (self.order.known or {}).values()))
        self.shared = {key for key, n in keys.items() if n > 1 and profile.key_ignores_case}
        keys_only = profile.left is Left.KEYS
        self.parts = NumberedFiles(self.aside, PART, profile, header)
        self.left = NumberedFiles(self.aside, LEFT, profile, header[:1] if keys_only else header)

    def write(self, without_consent: set[str], progress: Callable[[int], None]) -> None:
        with ExitStack() as stack:
            notes = stack.enter_context(NotesFile(self.aside / NOTES))
            for row in self._rows(progress):
                self.counts["published"] += 1
                if row["user_id"] in without_consent:
                    self.counts["consent_withdrawn"] += 1
                    continue
                if self.expires and not row["items"]:
                    self.counts[EXPIRED] += 1
                    continue
                key = self._key_of(row["user_id"])
                if key is None:
                    self.counts["id_unknown"] += 1
                    self._note(notes, Note(row["user_id"], self._key_name, LEFT_OUT, _UNKNOWN))
                    continue
                self._write_row(row, key, notes)
            self.parts.close()
            same = self.order.profile.same_key
            stay = {same(key) for key in self.now_sent}
            for key in sorted(key for key in self.before if same(key) not in stay):
                self.left.add(self._encoded_left(key))
                self.counts["left"] += 1
            self.left.close()
        put_sent(self.aside / SENT, self.now_sent)
        put_sent(self.aside / BEFORE, self.before)

    def _rows(self, progress: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        if self.expires:
            return trigger_rows(self.order.lists, self.order.today, progress)
        return _rows(self.order.lists, progress)

    def _write_row(self, row: Mapping[str, Any], key: str, notes: NotesFile) -> None:
        try:
            record, done = self.maker.record(row, key)
            if self.order.profile.same_key(record.key) in self.shared:
                # Nobody knows whose consent counts.
                raise RowError(self._key_name, "is another shopper's too, but for its case")
            if record.key in self.now_sent:
                raise RowError(self._key_name, "is another shopper's too, as it is written here")
            encoded = self.encode(record)
        except RowError as refused:
            self.counts[LEFT_OUT] += 1
            self.refused[f"{refused.column} {refused.why}"] += 1
            self._note(notes, Note(row["user_id"], refused.column, LEFT_OUT, refused.why))
            return
        digest = digest_of(self.order.profile, record)
        self.now_sent[record.key] = digest
        sent = self.before.get(record.key)
        if self.order.only_changed and is_unchanged(sent, digest, self.day):
            assert sent is not None
            self.now_sent[record.key] = sent  # until when the record holds that the tool has
            self.counts["unchanged"] += 1
            return
        for note in done:
            self._note(notes, note)
        self.parts.add(encoded)
        self.counts["exported"] += 1

    def refuse_if_nothing_is_left(self) -> None:
        """Stop where the tool would refuse every list: all that it has would be cleared."""
        counts = self.counts
        if counts[LEFT_OUT] and not counts["exported"] and not counts["unchanged"]:
            why, n = self.refused.most_common(1)[0]
            profile = self.order.profile
            raise InputError(
                f"{profile.tool} would refuse all {counts[LEFT_OUT]:,} {profile.dataset} of "
                f"{self.order.lists.run_date}, {n:,} of them because {why}. Nothing was exported; "
                "docs/exports.md says what the tool takes"
            )

    def abandon(self) -> None:
        self.parts.abandon()
        self.left.abandon()

    def manifest(self, before: Made | None) -> dict[str, Any]:
        order, lists = self.order, self.order.lists
        rows = {**self.parts.rows, **self.left.rows}
        fates = ["exported", "unchanged", "consent_withdrawn", "id_unknown", LEFT_OUT]
        fates += [EXPIRED] if self.expires else []
        counts = {name: self.counts[name] for name in ("published", *fates, "left")}
        assert counts["published"] == sum(counts[name] for name in fates)
        assert self.expires or counts["published"] == lists.rows
        return {
            "profile": order.profile.name,
            "dataset": order.profile.dataset,
            "tool": order.profile.tool,
            "load": order.profile.load,
            "run_date": lists.run_date.isoformat(),
            "lists": lists.directory_id,
            "ids": order.ids,
            "only": _only(order),
            "run_id": order.run_id,
            "compared_with": before.path.name if before else None,
            "made": order.now.isoformat(timespec="seconds"),
            "expires": (order.now + dt.timedelta(days=order.keep_days)).date().isoformat(),
            "items_a_row": self.width,
            "counts": counts,
            "notes": dict(sorted(self.noted.items())),
            "files": [_entry(path, n) for path, n in rows.items()],
            "sent": file_sha256(self.aside / SENT),
            "before": file_sha256(self.aside / BEFORE),
        }

    @property
    def _key_name(self) -> str:
        return self.order.profile.key.name

    def _key_of(self, user_id: str) -> str | None:
        known = self.order.known
        return user_id if known is None else known.get(user_id)

    def _encoded_left(self, key: str) -> Encoded:
        profile = self.order.profile
        if profile.left is Left.CLEARED:
            return self.encode(cleared(profile, key))
        return Encoded(csv_line(profile, [key]))

    def _note(self, notes: NotesFile, note: Note) -> None:
        notes.add(note)
        column = "".join("N" if letter.isdigit() else letter for letter in note.column)
        self.noted[f"{note.action}: {column}: {note.why}"] += 1
        if len(self.first_notes) < _SHOWN_NOTES:
            self.first_notes.append(note)


_UNKNOWN = "no raw file knows the shopper"
_SHOWN_NOTES = 10


def _rows(lists: Partition, progress: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    for path in lists.files:
        with pq.ParquetFile(path) as file:
            # Nights of before there were spares have no column of them.
            columns = [name for name in _COLUMNS if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                yield from batch.to_pylist()
                progress(batch.num_rows)


def _entry(path: Path, rows: int) -> dict[str, Any]:
    return {
        "path": path.name,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "rows": rows,
    }

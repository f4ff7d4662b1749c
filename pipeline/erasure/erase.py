"""Erasing users from a lake, so that afterwards no byte of it holds them.

Everything that holds one of them is written again without them, in place: a closed directory keeps
its name, so manifests that name it, pointers and `views.sql` stay true, and it is exchanged with
its new content in one step. A reader sees the old files or the new ones. All directories count,
also those that no pointer names any more. What users share with nobody goes from what others see
(`words`), models that quote them are dropped (`models`), scratch goes as a whole.

First of all the users are noted (`pipeline.erased`), so that no delivery brings them back. An
erasure that was killed is finished by the next one: the journal knows whom it was about, and what
is written again already holds nobody. At the end everything is looked at once more.

Nobody else uses the lake meanwhile (`Lake.rewriting`).

Gives up: blocks of the disk, backups, what readers copied out, raw files but the copies of tables
that are made here (`kept_tables`). The weights of models
that stay.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.arrow_columns import compute as pc
from pipeline.cleaning.late.late_dependencies import DEPENDENCIES, LateDependencies
from pipeline.datasets import ITEM_WORDS, QUARANTINE, cleaned
from pipeline.erased import add_erased, digest_of, model_name
from pipeline.erasure.directories import (
    NewFile,
    RunDirectory,
    begin_again,
    link_or_copy,
    may_say_ids,
    remake,
    sum_of,
)
from pipeline.erasure.exchange import restore
from pipeline.erasure.exported import ToolExports, exports_of, remove_exports
from pipeline.erasure.journal import Journal
from pipeline.erasure.kept_snapshots import Kept, kept_of, remove_kept, sweep_kept
from pipeline.erasure.kept_tables import (
    KeptTable,
    NamingManifests,
    RawTables,
    kept_tables,
    remove_from_table,
    sweep_tables,
    table_files,
)
from pipeline.erasure.models import drop_model
from pipeline.erasure.plan import LISTS, Plan, Progress, gone_of, make_plan, nights_of
from pipeline.erasure.proof import Proof, write_proof
from pipeline.erasure.tables import SUFFIX, rewrite, write_without
from pipeline.erasure.texts import Changed, without_users
from pipeline.erasure.wanted import Wanted
from pipeline.erasure.words import without_phrases, without_sentences
from pipeline.errors import DamagedError, InputError
from pipeline.intact import FaultError, file_sha256, sealed_json
from pipeline.lake import MANIFEST, Lake, Partition, storage_errors
from pipeline.lake_key import key_of_lake, lake_fingerprint
from pipeline.sources.snapshots import all_snapshots
from pipeline.sources.source import TIME_COLUMN
from pipeline.spark_scratch import scratch_root, sweep

Clock = Callable[[], dt.datetime]


@dataclass(frozen=True)
class Asked:
    """Who is to be erased, from where.

    Args:
        lake: the lake.
        key: its key.
        ids: the retailer's, as the source's mapping gives them.
        logs: directories of logs beside the lake.
        exports: where files for mail tools are; none where there never were any.
        user_ids: `Source.user_ids_digest` of the source whose ids these are; empty: not known.
        snapshots: where files that the shop overwrites are kept; none where there never were any.
        tables: copies of the shop's tables below the raw root; none where there never were any.
    """

    lake: Lake
    key: bytes
    ids: tuple[str, ...]
    logs: tuple[Path, ...] = ()
    exports: Path | None = None
    user_ids: str = ""
    snapshots: Path | None = None
    tables: RawTables | None = None

    def tabled(self) -> list[KeptTable]:
        """The copies of tables that hold the users."""
        if self.tables is None:
            return []
        return kept_tables(self.tables, Wanted.of_ids(self.ids, self.key))

    def kept(self) -> list[Kept]:
        """The kept snapshots that hold the users."""
        if self.snapshots is None:
            return []
        return kept_of(self.snapshots, Wanted.of_ids(self.ids, self.key))

    def exported(self) -> list[ToolExports]:
        """What exports hold of the users."""
        if self.exports is None:
            return []
        return exports_of(self.exports, Wanted.of_ids(self.ids, self.key))


def ask(
    lake: Lake,
    key_file: Path | str,
    ids: Iterable[str],
    logs: Iterable[Path] = (),
    exports: Path | None = None,
    *,
    user_ids: str = "",
    snapshots: Path | None = None,
    tables: RawTables | None = None,
) -> Asked:
    """What is to be erased, together with what an erasure that was cut off has left.

    Raises:
        InputError: nobody is named, or nothing was ever cleaned into the lake.
        SettingsError: the key is not there, or not the lake's.
    """
    if lake_fingerprint(lake) is None:
        raise InputError(
            f"{lake.root} has no key yet: nothing was cleaned into it, so it holds nobody"
        )
    key = key_of_lake(lake, key_file)
    all_ids = sorted({*ids, *Journal(lake).read().get("ids", ())})
    if not all_ids:
        raise InputError("nobody to erase: name a user's id, or a file of ids by --file")
    return Asked(lake, key, tuple(all_ids), tuple(logs), exports, user_ids, snapshots, tables)


def look(asked: Asked, progress: Progress = lambda _: None) -> Plan:
    """What an erasure would do; nothing is changed."""
    with asked.lake.in_use(), storage_errors(f"cannot read {asked.lake.root}"):
        return make_plan(asked.lake, Wanted.of_ids(asked.ids, asked.key), asked.logs, progress)


def erase(asked: Asked, clock: Clock, progress: Progress = lambda _: None) -> Proof:
    """Erase, and write the proof.

    Raises:
        DamagedError: some files could not be read, or are not what was written, so that they were
            left as they are; all else is done.
        StorageError: the disk or a permission refuses; the next erasure goes on.
    """
    with asked.lake.rewriting(), storage_errors(f"cannot erase in {asked.lake.root}"):
        return _Erasure(asked, clock, progress).run()


class _Erasure:
    def __init__(self, asked: Asked, clock: Clock, progress: Progress) -> None:
        self.lake, self.asked = asked.lake, asked
        self.clock, self.progress = clock, progress
        self.wanted = Wanted.of_ids(asked.ids, asked.key)
        self.journal = Journal(asked.lake)
        self.faults: list[str] = []
        # New files by the old one's checksum and what was done: a link is a link again.
        self.made: dict[tuple[str, str], tuple[Path, NewFile]] = {}

    def run(self) -> Proof:
        started = self.clock()
        for date in self.lake.root.glob("*/run_date=*/"):
            restore(date)
        plan = make_plan(self.lake, self.wanted, self.asked.logs, self._doing("looking at"))
        fresh = _fresh_dependencies(self.lake)
        facts = {
            "started": started.isoformat(timespec="seconds"),
            "dependencies": [[name, day.isoformat()] for name, day in fresh],
        }
        learned = [model_name(of.date, of.directory_id) for of in plan.learned]
        noted = self.journal.begin(self.asked.ids, plan.found, learned, facts)
        digests = (digest_of(user, self.asked.key) for user in self.wanted.pseudonyms)
        add_erased(self.lake, digests, learned, started.date(), self.asked.user_ids)
        self._apply(plan)
        self._kept(plan)
        self._tables(plan)
        exported = self.asked.exported()
        for found in exported:
            assert self.asked.exports is not None
            self.progress(f"removing exports for {found.tool}")
            remove_exports(self.asked.exports, found)
        exports = {**noted["facts"].get("exports", {}), **{of.tool: of.sent for of in exported}}
        _renew_dependencies(self.lake, noted["facts"]["dependencies"])
        after = make_plan(self.lake, self.wanted, self.asked.logs, self._doing("looking again at"))
        faults = list(dict.fromkeys([*self.faults, *after.faults]))
        if not faults and not after.is_clean:
            faults = [f"{of.path} still holds somebody" for of in after.directories] or [
                f"{path} still holds somebody" for path in after.texts
            ]
        if not faults:
            faults = [
                f"{path} still holds somebody"
                for of in self.asked.exported()
                for path in of.holding
            ]
        if not faults:
            faults = [f"the snapshot of {of.name} still holds somebody" for of in self.asked.kept()]
        if not faults:
            faults = [
                f"{path} still holds somebody" for of in self.asked.tabled() for path in of.rows
            ]
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise DamagedError(
                f"the erasure is not complete: {faults[0]}{more}. All else is done; then run "
                "`nightcart erase` again, which goes on with the same users"
            )
        proof = Proof.of(
            noted,
            plan,
            self.journal.noted(),
            self.wanted,
            self.clock(),
            exports=exports,
            doubts=self.asked.tables.doubts() if self.asked.tables else (),
        )
        write_proof(self.lake, proof)
        self.journal.end()
        return proof

    def _doing(self, what: str) -> Progress:
        return lambda where: self.progress(f"{what} {where}")

    # -- in order: what is derived first, so that a kill loses no connection ---------------

    def _apply(self, plan: Plan) -> None:
        for model in plan.drop:
            self.progress(f"dropping the model of {model.date}")
            self._note_removed(model.files(), model.dataset, "words that only erased users wrote")
            drop_model(self.lake, model)
        for file in plan.texts:
            self._text(file, plan)
        for directory in plan.unclosed:
            self._note_removed(directory.files(), directory.dataset, "never closed")
            shutil.rmtree(directory.path)
        for path in plan.scratch:
            if path == scratch_root(self.lake):
                sweep(path)  # what living processes have there is empty between stages
            else:
                shutil.rmtree(path)
        for directory in plan.directories:
            self.progress(f"writing {directory.dataset} {directory.date} again")
            self._directory(directory, plan)

    def _kept(self, plan: Plan) -> None:
        if self.asked.snapshots is None:
            return
        sweep_kept(self.asked.snapshots)
        for store in all_snapshots(self.asked.snapshots):
            searched = plan.searched[f"snapshots of {store.root.name}"]
            for path in store.snapshots():
                files = store.named(path.name).files
                searched.directories += 1
                searched.files += len(files)
                searched.bytes += sum(file.stat().st_size for file in files)
        for found in self.asked.kept():
            self.progress(f"writing the snapshot of {found.name} again")
            with found.store.alone():
                before = {file: sum_of(file) for file in found.rows}
                remove_kept(found, self.wanted)
                self.journal.note(
                    {
                        "path": f"snapshots/{found.store.root.name}/{found.snapshot.name}/{file.name}",
                        "before": before[file],
                        "after": sum_of(file),
                        "rows": rows,
                        "changed": 0,
                        "of": f"snapshots of {found.store.root.name}",
                        "why": "rows of users",
                    }
                    for file, rows in found.rows.items()
                )

    def _tables(self, plan: Plan) -> None:
        tables = self.asked.tables
        if tables is None:
            return
        sweep_tables(tables)
        manifests = NamingManifests(self.lake, tables.raw)
        self._tell_what_a_kill_left(tables, manifests)
        for folder in tables.folders():
            searched, files = plan.searched[f"tables of {folder.root.name}"], table_files(folder)
            searched.directories += len(folder.days())
            searched.files += len(files)
            searched.bytes += sum(file.stat().st_size for file in files)
        for found in self.asked.tabled():
            self.progress(f"writing the copies of the table of {found.name} again")

            def note(file: Path, new: Path, found: KeptTable = found) -> None:
                self.journal.note(
                    [
                        {
                            "path": _name_of_copy(tables, file),
                            "before": sum_of(file),
                            "after": sum_of(new),
                            "rows": found.rows[file],
                            "changed": 0,
                            "of": f"tables of {found.name}",
                            "why": "rows of users",
                        }
                    ]
                )

            remove_from_table(found, self.wanted, manifests, note)

    def _tell_what_a_kill_left(self, tables: RawTables, manifests: NamingManifests) -> None:
        """Files that were put in their place, perhaps without the word to the manifests."""
        noted = {entry["path"] for entry in self.journal.noted()}
        files = {
            name: file
            for folder in tables.folders()
            for file in table_files(folder)
            if (name := _name_of_copy(tables, file)) in noted
        }
        sums = self.journal.earlier_sums({name: file_sha256(file) for name, file in files.items()})
        for name, file in files.items():
            manifests.tell(file, sums[name])

    def _directory(self, directory: RunDirectory, plan: Plan) -> None:
        try:
            aside = begin_again(directory)
        except FaultError as error:
            self.faults.append(f"{error}: make it again, or remove {directory.path}")
            return
        held = {
            *plan.rows.get(directory, ()),
            *plan.lists.get(directory, ()),
            *plan.words.get(directory, ()),
            *plan.texts_in.get(directory, ()),
        }
        made: dict[Path, NewFile | None] = {}
        twins: dict[tuple[str, str], tuple[Path, NewFile]] = {}
        for file in sorted(held):
            target = aside / file.relative_to(directory.path)
            twin = (file_sha256(file), _kind(directory))
            if twin in self.made:
                link_or_copy(self.made[twin][0], target)
                made[file] = self.made[twin][1]
                continue
            made[file] = new = self._new_file(directory, file, target, plan)
            if new is not None:
                twins[twin] = (file, new)
        remade = remake(self.lake, directory, made)
        self.journal.note({**entry, "of": directory.dataset} for entry in remade.entries)
        remade.put()
        self.made |= twins

    def _new_file(
        self, directory: RunDirectory, file: Path, target: Path, plan: Plan
    ) -> NewFile | None:
        if file.suffix != SUFFIX:
            changed = self._without_users(file, file.read_bytes(), plan)
            assert changed is not None, file
            if changed.content is None:
                return None
            target.write_bytes(changed.content)
            return NewFile(0, changed.parts)
        return self._new_table(directory, file, target, plan)

    def _new_table(self, directory: RunDirectory, file: Path, target: Path, plan: Plan) -> NewFile:
        changed = 0
        if directory.dataset == ITEM_WORDS:
            support = plan.support(directory.date)

            def fewer_words(rows: Any) -> Any:
                nonlocal changed
                made, gone = without_phrases(rows, support)
                changed += len(gone)
                return made

            before, after = rewrite(file, target, fewer_words)
            return NewFile(before - after, changed)
        if directory.dataset not in LISTS:
            removed = write_without(file, target, self.wanted, ids=directory.dataset == QUARANTINE)
            return NewFile(removed)
        gone = gone_of(plan, directory)

        def without(rows: Any) -> Any:
            nonlocal changed
            theirs = pc.is_in(rows["user_id"], value_set=self.wanted.values)
            rows = rows.filter(pc.invert(theirs))
            made, _ = without_sentences(rows, gone, plan.theirs)
            changed += rows["reason"].drop_null().length() - made["reason"].drop_null().length()
            return made

        before, after = rewrite(file, target, without)
        return NewFile(before - after, changed)

    def _text(self, file: Path, plan: Plan) -> None:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return
        changed = self._without_users(file, content, plan)
        if changed is None:
            return
        before = sum_of(file)
        after = None
        if changed.content is not None:
            after = _sum_of_bytes(changed.content)
        entry = {"path": self._name(file), "before": before, "after": after, "rows": 0}
        self.journal.note([{**entry, "changed": changed.parts, "of": "texts", "why": changed.why}])
        if changed.content is None:
            file.unlink()
            durable.sync_directory(file.parent)
            return
        mode = file.stat().st_mode & 0o777
        with durable.in_place(file) as target:
            target.write(changed.content)
        file.chmod(mode)

    def _without_users(self, file: Path, content: bytes, plan: Plan) -> Changed | None:
        ids = may_say_ids(self.lake, file)
        return without_users(file.name, content, self.wanted, plan.sentences, ids_in_clear=ids)

    def _note_removed(self, files: Iterable[Path], dataset: str, why: str) -> None:
        self.journal.note(
            {
                "path": self._name(file),
                "before": sum_of(file),
                "after": None,
                "rows": 0,
                "changed": 0,
                "of": dataset,
                "why": why,
            }
            for file in files
        )

    def _name(self, file: Path) -> str:
        for root, name in (
            (self.lake.root, ""),
            *((log, f"{log.name}/") for log in self.asked.logs),
        ):
            if file.is_relative_to(root):
                return f"{name}{file.relative_to(root).as_posix()}"
        return file.name


def _kind(directory: RunDirectory) -> str:
    """What is done to a file beside its content: files of one kind and content become the same."""
    if directory.dataset in LISTS:
        return f"lists of {sorted(nights_of(directory))}"
    return f"{directory.dataset} of {directory.date}"


def _name_of_copy(tables: RawTables, file: Path) -> str:
    """A copy of a table, as notes name it."""
    return f"raw/{file.relative_to(tables.raw).as_posix()}"


def _sum_of_bytes(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _fresh_dependencies(lake: Lake) -> list[tuple[str, dt.date]]:
    """The deliveries with late rows whose manifests name what is there: no need to clean again."""
    dependencies = LateDependencies(lake)
    return [
        (name, part.run_date)
        for name in TIME_COLUMN
        for part in lake.past_whole(cleaned(name), dt.date.max)
        if part.manifest.get(DEPENDENCIES) and not dependencies.is_out(name, part.run_date)
    ]


def _renew_dependencies(lake: Lake, fresh: Collection[list[str]]) -> None:
    """Have them name the files as they are now; else the next night would clean them again."""
    dependencies = LateDependencies(lake)
    for name, day_text in fresh:
        day = dt.date.fromisoformat(day_text)
        part = lake.whole(cleaned(name), day)
        said = part.manifest.get(DEPENDENCIES) if part else None
        if part is None or not said:
            continue
        now = dependencies.of_delivery(name, day, _oldest(said))
        if now != said:
            _put_manifest(part, {**part.manifest, DEPENDENCIES: now})


def _oldest(said: dict[str, Any]) -> dt.date:
    return dt.date.fromisoformat(said["oldest"])


def _put_manifest(part: Partition, manifest: dict[str, Any]) -> None:
    with durable.in_place(part.path / MANIFEST) as file:
        file.write(sealed_json(manifest))

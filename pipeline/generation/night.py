"""A night's generation from end to end: lists shard by shard, reasons, rows, one commit.

Reads `champions`, `histories`, `catalogue` and `item_words` of the date and the champion's model
directory. Writes the dataset `generated` (rows of `schemas/recommendations.v1.yaml`) and keeps
its shards in `<lake>/work/generate/` until that is committed. Guarantees: the same inputs give
the same bytes, however often the process was killed on the way (everything is made in batches
that depend on the inputs only, and what has been committed is not made again); a user whose
prompt fails gets the fallback; nothing is published by halves.

Gives up: bytes may differ between machines whose matrix products round differently, and between
different numbers of threads; scores are rounded so that values seldom do.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.errors import GateError
from pipeline.generation.audience import Audience, count_audience
from pipeline.generation.figures import Figures
from pipeline.generation.inputs import NightInputs
from pipeline.generation.lists import EMPTY_LISTS, ERRORS, KEPT, SHORT_LISTS
from pipeline.generation.progress import Progress, unheard
from pipeline.generation.ranking import DEADLINE
from pipeline.generation.reasons import Pair, pairs_of, write_reasons
from pipeline.generation.recommendations import recommendation_rows
from pipeline.generation.shards import Shards, alone, write_parquet
from pipeline.lake import Lake, Partition, Run, file_sha256, storage_errors
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

DATASET = "generated"
LOCK = ".lock"
PAIRS_PER_SHARD = 4096

Sentences = Mapping[Pair, str]


@dataclass(frozen=True)
class Generated:
    """What a night made: the committed partition, who it was for, and the figures."""

    partition: Partition
    audience: Audience
    report: dict[str, Any]


class Night:
    """One run of generation.

    Args:
        lake: where everything is read and written.
        run: the night and the attempt.
        settings: `generation`, `reasons`, `histories.max_events` and `training.threads`.
        deadline: from then on nothing more is asked of the model: lists are those of the night
            before or the fallback's, marked, and reasons templates. A retry that has time left
            makes such shards again. None: there is time.
    """

    def __init__(
        self, lake: Lake, run: Run, settings: Settings, deadline: dt.datetime | None = None
    ) -> None:
        self.lake = lake
        self.run = run
        self.settings = settings
        self.deadline = deadline
        self.inputs = NightInputs(lake, run, settings)
        self.shards = Shards(self.inputs.scratch, self.inputs.fingerprint)
        self.names = [f"shard-{n:05d}" for n in range(self.inputs.n_shards)]

    def generate(self) -> Generated:
        """Do what remains to be done and commit the night.

        One process a date: of two that are told to make the same run, the second waits and then
        finds it made.

        Raises:
            GateError: nothing is sellable, nobody is due, or too many users had errors.
            StorageError: the disk refuses; a rerun goes on from the shards that are there.
        """
        lock = self.shards.directory.parent / LOCK
        with alone(lock, f"generating {self.run.run_date}"):
            return self._generate()

    def _generate(self) -> Generated:
        started = time.monotonic()
        if self.settings.training.threads:
            torch.set_num_threads(self.settings.training.threads)
        # What was killed while it wrote aside; nobody else writes, the date is locked.
        for aside in self.inputs.scratch.glob(".*.tmp"):
            shutil.rmtree(aside, ignore_errors=True)
        audience = self._audience()
        committed = self._committed()
        if committed is not None:
            log.info("%s is already there, made from the same inputs", committed.path)
            shutil.rmtree(self.shards.directory, ignore_errors=True)
            return Generated(committed, audience, dict(committed.manifest["report"]))
        _ = self.inputs.champion  # whatever is wrong with its device is said before lists are made
        counts = self._rank(audience)
        self._check(counts, audience)
        unknown = self._items_unknown()
        self.inputs.forget_engine()
        sentences, faults = self._sentences()
        report = self._write_rows(sentences)
        report |= {
            "model_version": self.inputs.champion.model_version,
            "short_lists": counts[SHORT_LISTS],
            "nothing_left": counts[EMPTY_LISTS],
            "kept": counts[KEPT],
            "items_unknown_to_model": unknown,
            "reason_faults": faults,
        }
        partition = self.lake.commit(
            DATASET,
            self.run,
            rows=report["users"],
            model_version=report["model_version"],
            methods=report["methods"],
            inputs=self.inputs.fingerprint,
            list_key=self.inputs.list_key,
            made_from={
                "histories": self.inputs.histories.directory_id,
                "catalogue": self.inputs.catalogue.directory_id,
            },
            report=report,
        )
        shutil.rmtree(self.shards.directory, ignore_errors=True)
        seconds = time.monotonic() - started
        speed = {"seconds": round(seconds, 1), "users_per_s": round(audience.due / seconds, 1)}
        return Generated(partition, audience, report | speed)

    def _audience(self) -> Audience:
        audience = count_audience(self.inputs.histories.files)
        if audience.due == 0:
            raise GateError(
                f"none of the {audience.rows:,} users of {self.inputs.histories.path} is both "
                f"active and consenting ({audience.inactive:,} inactive, {audience.no_consent:,} "
                "without consent), so there is nobody to recommend to; look at the consent column "
                "of the user files and at histories.active_days"
            )
        log.info("%s of %s users are due", f"{audience.due:,}", f"{audience.rows:,}")
        return audience

    def _committed(self) -> Partition | None:
        """What an earlier attempt of this run closed, pointed at if it did not get that far."""
        for partition in reversed(self.lake.attempts(DATASET, self.run)):
            manifest = partition.manifest
            if manifest.get("inputs") != self.inputs.fingerprint:
                continue
            with storage_errors(f"cannot read {partition.path}"):
                whole = all(
                    path.is_file() and file_sha256(path) == entry["sha256"]
                    for path, entry in zip(partition.files, manifest["files"], strict=True)
                )
            if whole:
                self.lake.point(partition)
                return partition
        return None

    def _rank(self, audience: Audience) -> Counter[str]:
        """Make the missing shards; return the counts of all."""
        counts: Counter[str] = Counter()
        progress = Progress("users", audience.due)
        if self.settings.generation.runner == "spark":
            # Only then is Spark needed at all.
            from pipeline.generation.spark_shards import make_on_spark

            make_on_spark(self, progress)
            progress = Progress("users", audience.due)
        for number, name in enumerate(self.names):
            said = self.made(name)
            if said is None:
                said = self.make_shard(number, progress.add)
            else:
                log.info("%s is already there (%s users)", name, f"{said['users']:,}")
                progress.skip(said["users"])
            counts.update(said)
        return counts

    def is_late(self) -> bool:
        """Whether the deadline is past."""
        return self.deadline is not None and dt.datetime.now(dt.UTC) >= self.deadline

    def made(self, name: str) -> dict[str, int] | None:
        """The counts of a shard that needs no more work; none if there is some to do."""
        said = self.shards.counts(name)
        hurried = said is not None and said.get(DEADLINE, 0) > 0
        return None if hurried and not self.is_late() else said

    def make_shard(self, number: int, done: Callable[[int], None] = unheard) -> dict[str, int]:
        """Make and commit one shard; return its counts. Twice at once does no harm."""
        users = self.inputs.users.read(number).sort_by("user_id").combine_chunks()
        self.inputs.list_maker.is_late = self.is_late
        table, said = self.inputs.list_maker.make(users, done)
        said["users"] = users.num_rows
        self.shards.commit(self.names[number], table, said)
        return said

    def _check(self, counts: Counter[str], audience: Audience) -> None:
        """Refuse a night on which the model failed too many users, or nobody gets anything."""
        if counts[EMPTY_LISTS] == audience.due:
            raise GateError(
                f"all {audience.due:,} users already own everything that is sellable "
                f"({len(self.inputs.candidates):,} items of {self.inputs.catalogue.path}), so "
                "there is nothing to recommend and nothing was published; deliver more items, or "
                "set generation.exclude_owned to false"
            )
        errors = {reason: counts[reason] for reason in ERRORS if counts[reason]}
        share = sum(errors.values()) / audience.due
        allowed = self.settings.generation.max_error_share
        if share > allowed:
            found = ", ".join(f"{n:,} {reason}" for reason, n in errors.items())
            raise GateError(
                f"generation failed for {share:.1%} of {audience.due:,} users ({found}); "
                f"generation.max_error_share allows {allowed:.1%}. Nothing was published; look at "
                "the histories and the champion of this date, or raise the setting"
            )
        if counts[DEADLINE]:
            log.warning(
                "the deadline %s came before %s of %s users had a list of tonight's model: they "
                "get last night's, or the fallback's",
                self.deadline,
                f"{counts[DEADLINE]:,}",
                f"{audience.due:,}",
            )
        if counts[SHORT_LISTS] or counts[EMPTY_LISTS]:
            log.info(
                "%s users get fewer than %s items and %s get none: they own the rest",
                f"{counts[SHORT_LISTS]:,}",
                self.settings.generation.k,
                f"{counts[EMPTY_LISTS]:,}",
            )

    def _sentences(self) -> tuple[Sentences | None, dict[str, int]]:
        """The model's accepted sentences, each pair written once for the whole night."""
        if not self.settings.reasons.enabled:
            return None, {}
        if self.inputs.champion.checkpoint is None:
            return {}, {}
        found: set[Pair] = set()
        for name in self.names:
            found |= pairs_of(self.shards.read(name))
        pairs = sorted(found)
        progress = Progress("reasons", len(pairs))
        sentences: dict[Pair, str] = {}
        faults: Counter[str] = Counter()
        for number, start in enumerate(range(0, len(pairs), PAIRS_PER_SHARD)):
            name = f"reasons-{number:05d}"
            some = pairs[start : start + PAIRS_PER_SHARD]
            if self.is_late() and self.shards.counts(name) is None:
                faults[DEADLINE] += len(some)
                continue
            faults.update(self._write_reasons(name, some, progress))
            sentences |= {
                (row["item_id"], row["language"]): row["sentence"]
                for row in self.shards.read(name).to_pylist()
                if row["sentence"] is not None
            }
        return sentences, dict(sorted(faults.items()))

    def _write_reasons(self, name: str, pairs: list[Pair], progress: Progress) -> dict[str, int]:
        """Make one shard of reasons if it is missing; return the count of its faults."""
        said = self.shards.counts(name)
        if said is not None:
            progress.skip(len(pairs))
            return said
        checkpoint = self.inputs.champion.checkpoint
        assert checkpoint is not None
        table, faults = write_reasons(
            checkpoint,
            pairs,
            self.inputs.words,
            max_prompt_words=self.settings.reasons.max_prompt_words,
            max_new_tokens=self.settings.reasons.max_new_tokens,
            batch_rows=self.settings.generation.batch_users,
            precision=self.inputs.champion.precision,
            done=progress.add,
        )
        self.shards.commit(name, table, faults)
        return faults

    def _write_rows(self, sentences: Sentences | None) -> dict[str, Any]:
        """Rows of every shard into the run directory, which the caller commits."""
        directory = self.lake.begin(DATASET, self.run)
        figures = Figures(len(self.inputs.candidates))
        for number, name in enumerate(self.names):
            rows = recommendation_rows(
                self.shards.read(name),
                self.inputs.candidates,
                self.inputs.titles,
                sentences,
                self.inputs.champion.model_version,
            )
            with storage_errors(f"cannot write {directory}"):
                write_parquet(directory / f"part-{number:05d}.parquet", rows)
            figures.add(rows)
        return figures.report()

    def _items_unknown(self) -> int | None:
        """Sellable items that are new since the model was trained; none where there is no model."""
        known = self.inputs.list_maker.known
        return None if known is None else len(self.inputs.candidates) - len(known.places_N)

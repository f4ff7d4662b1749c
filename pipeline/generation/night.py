"""A night's generation from end to end: lists shard by shard, reasons, rows, one commit.

Reads `champions`, `histories`, `catalogue` and `item_words` of the date and the champion's model
directory. Writes the dataset `generated` (rows of `schemas/recommendations.v1.yaml`) and keeps its
shards in `<lake>/work/generate/` until that is committed.

Guarantees: the same inputs give the same bytes, however often the process was killed on the way
(everything is made in batches that depend on the inputs only, and what has been committed is not
made again); a user whose prompt fails gets the fallback's list; nobody sees half a night.

Gives up: bytes may differ between machines whose matrix products round differently, and between
different numbers of threads; scores are rounded so that values seldom do.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.datasets import CATALOGUE, GENERATED, HISTORIES
from pipeline.engine.ranker import DEADLINE
from pipeline.errors import GateError
from pipeline.generation.audience import Audience, count_audience
from pipeline.generation.list_stats import ListStats
from pipeline.generation.lists.list_maker import EMPTY_LISTS, REUSED, SHORT_LISTS
from pipeline.generation.lists.model_lists import ERRORS
from pipeline.generation.reason_shards import Sentences, night_sentences
from pipeline.generation.recommendation_rows import recommendation_rows, without_words
from pipeline.generation.shard_maker import Clock, ShardMaker, utc_now
from pipeline.generation.shards import write_parquet
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.language_tag import UNKNOWN
from pipeline.lineage import Lineage, inputs_of
from pipeline.list_validity import last_valid_day
from pipeline.locks import alone
from pipeline.progress import Progress
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

LOCK = ".lock"


@dataclass(frozen=True)
class Generated:
    """A night's result: the committed partition, whom it was for, and the report."""

    partition: Partition
    audience: Audience
    report: dict[str, Any]


class Night:
    """One run of generation.

    Args:
        lake: where everything is read and written.
        run: the night and the attempt.
        settings: `generation`, `reasons`, `training.threads`, `shop.timezone`, and of `histories`
            `max_events` and `target_event_types`.
        deadline: from then on nothing more is asked of the model: lists are those of the night
            before or the fallback's, marked, and reasons templates. A retry that has time left
            makes such shards again. None: there is time.
        clock: the time that the deadline is compared with.
    """

    def __init__(
        self,
        lake: Lake,
        run: Run,
        settings: Settings,
        deadline: dt.datetime | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.lake = lake
        self.run = run
        self.settings = settings
        self.deadline = deadline
        self.shard_maker = ShardMaker(lake, run, settings, deadline, clock)
        self.inputs = self.shard_maker.inputs
        self.shards = self.shard_maker.shards
        self.names = self.shard_maker.names

    def generate(self) -> Generated:
        """Do what remains to be done and commit the night.

        One process a date: where two are started for the same run, the second waits and then finds
        it made.

        Raises:
            GateError: nothing is sellable, nobody is due, or too many users had errors.
            StorageError: the disk refuses; a rerun goes on from the shards that are there.
        """
        lock = self.shards.directory.parent / LOCK
        with ExitStack() as held:
            with storage_errors(f"cannot lock {lock}"):
                held.enter_context(alone(lock, f"generating {self.run.run_date}"))
            return self._generate()

    def _generate(self) -> Generated:
        started = time.monotonic()
        if self.settings.training.threads:
            torch.set_num_threads(self.settings.training.threads)
        # Left by a process that was killed while it wrote; nobody else writes, the date is locked.
        for aside in self.inputs.scratch.glob(".*.tmp"):
            shutil.rmtree(aside, ignore_errors=True)
        audience = self._audience()
        committed = self._committed()
        if committed is not None:
            log.info("%s is already there, made from the same inputs", committed.path)
            shutil.rmtree(self.shards.directory, ignore_errors=True)
            return Generated(committed, audience, dict(committed.manifest["report"]))
        _ = self.inputs.champion  # a device that is missing is noticed before lists are made
        counts = self._rank(audience)
        self._check(counts, audience)
        unknown = self._items_unknown()
        self.inputs.forget_engine()
        sentences, faults = night_sentences(self.shard_maker)
        report = self._write_rows(sentences)
        report |= {
            "model_version": self.inputs.champion.model_version,
            "short_lists": counts[SHORT_LISTS],
            "nothing_left": counts[EMPTY_LISTS],
            "reused": counts[REUSED],
            "items_unknown_to_model": unknown,
            "reason_faults": faults,
        }
        lineage = Lineage(
            inputs_of({HISTORIES: self.inputs.histories, CATALOGUE: self.inputs.catalogue})
        )
        partition = self.lake.commit(
            GENERATED,
            self.run,
            rows=report["users"],
            model_version=report["model_version"],
            methods=report["methods"],
            inputs=self.inputs.fingerprint,
            list_key=self.inputs.list_key,
            report=report,
            **lineage.facts(),
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
        """The partition of an earlier attempt of this run; the date then points at it."""
        for partition in reversed(self.lake.attempts(GENERATED, self.run)):
            manifest = partition.manifest
            if manifest.get("inputs") != self.inputs.fingerprint:
                continue
            if partition.is_intact():
                self.lake.point(partition)
                return partition
        return None

    def _rank(self, audience: Audience) -> Counter[str]:
        """Make the missing shards; return the counts of all."""
        counts: Counter[str] = Counter()
        progress = Progress("users", audience.due)
        if self.settings.generation.runner == "spark":
            # Imported only where it is used: it loads Spark.
            from pipeline.generation.spark_shards import make_on_spark

            make_on_spark(self.shard_maker, progress)
            progress = Progress("users", audience.due)
        for number, name in enumerate(self.names):
            shard_counts = self.shard_maker.finished(number)
            if shard_counts is None:
                shard_counts = self.shard_maker.make(number, progress.add)
            else:
                log.info("%s is already there (%s users)", name, f"{shard_counts['users']:,}")
                progress.skip(shard_counts["users"])
            counts.update(shard_counts)
        return counts

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

    def _write_rows(self, sentences: Sentences | None) -> dict[str, Any]:
        """Rows of every shard into the run directory, which the caller commits."""
        directory = self.lake.begin(GENERATED, self.run)
        stats = ListStats(len(self.inputs.candidates))
        valid_until = last_valid_day(self.run.run_date, self.settings.generation.valid_days)
        wordless: Counter[str] = Counter()
        for number, name in enumerate(self.names):
            ranked = self.shards.read(name)
            if sentences is not None:
                wordless += without_words(ranked, self.inputs.voice)
            rows = recommendation_rows(
                ranked,
                self.inputs.candidates,
                self.inputs.titles,
                sentences,
                voice=self.inputs.voice,
                model_version=self.inputs.champion.model_version,
                k=self.settings.generation.k,
                valid_until=valid_until,
            )
            with storage_errors(f"cannot write {directory}"):
                write_parquet(directory / f"part-{number:05d}.parquet", rows)
            stats.add(rows)
        return stats.report() | _no_words(wordless)

    def _items_unknown(self) -> int | None:
        """Sellable items that are new since the model was trained; none where there is no model."""
        known = self.inputs.list_maker.model_lists.known
        return None if known is None else len(self.inputs.candidates) - len(known.places_N)


def _no_words(by_language: Counter[str]) -> dict[str, Any]:
    """The count of users who get no words, and the warning that says what to do."""
    if not by_language:
        return {}
    named = ", ".join(f"{name} {n:,}" for name, n in by_language.most_common(5))
    text = (
        f"{by_language.total():,} shoppers get no words, because nothing is written in their "
        f"language ({named}; {UNKNOWN}: not known): map language of users in the source YAML, "
        "set reasons.default_language, or add the language to the file of reasons.voice"
    )
    log.warning("%s", text)
    return {"without_words": dict(sorted(by_language.items())), "warnings": [text]}

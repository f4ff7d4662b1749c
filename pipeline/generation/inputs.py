"""Everything a night is made from, read when it is first needed, and a fingerprint of it all."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.evaluation.best_baseline import DEFAULT
from pipeline.generation.audience import users_by_shard
from pipeline.generation.candidates import Candidates, sellable_candidates
from pipeline.generation.champion import Champion, identity, load_champion, read_champion
from pipeline.generation.columns import column, compute
from pipeline.generation.fallback import fit_fallback
from pipeline.generation.lists import ListMaker, ListRules
from pipeline.generation.promotions import as_facts, read_promotions
from pipeline.generation.reasons import ItemWords, Pair
from pipeline.generation.sent import Before
from pipeline.generation.shards import fingerprint
from pipeline.generation.slates import Slates
from pipeline.generation.unchanged import Unchanged
from pipeline.lake import Lake, Run, storage_errors
from pipeline.settings import Settings, shop_timezone

# Part of the fingerprint: raise it when the same inputs come to mean other rows.
FORMAT = 5
# As many shards as the setting asks for, doubled until none has more users: what bounds memory.
USERS_PER_SHARD = 20_000
# Settings that change nothing in a list: who makes it, with how many others, and how long it may
# take (a list made too late is marked as such).
_NOT_IN_LISTS = ("runner", "deadline_minutes", "reuse")
_NOT_IN_A_LIST = (*_NOT_IN_LISTS, "shards", "batch_users", "max_error_share")

_WORD_COLUMNS = ["item_id", "language", "words", "aspects"]
_CATALOGUE_COLUMNS = ["item_id", "title", "brand", "category", "price", "sellable"]


def shards_for(n_users: int, at_least: int) -> int:
    """How many shards so many users make.

    Doubled, not divided to fit: the number stays the same on most nights as a shop grows, and a
    night's lists are read again in the shards that they were written in.
    """
    shards = max(1, at_least)
    while n_users > shards * USERS_PER_SHARD:
        shards *= 2
    return shards


class NightInputs:
    """The partitions of a night.

    Raises:
        InputError: histories, catalogue or champions of the date are missing.
    """

    def __init__(self, lake: Lake, run: Run, settings: Settings) -> None:
        self.lake = lake
        self.run = run
        self.settings = settings
        self.histories = lake.require("histories", run.run_date)
        self.catalogue = lake.require("catalogue", run.run_date)
        self.item_words = lake.current("item_words", run.run_date)
        self.champion_record = read_champion(lake, run.run_date)
        generation = settings.generation
        self.promotions = read_promotions(generation.promotions, run.run_date, generation.k)
        self.n_shards = shards_for(self.histories.rows, generation.shards)
        self.scratch = lake.work("generate", run)
        self.users = users_by_shard(self.histories, self.n_shards, self.scratch)
        self.before = Before(
            lake,
            run.run_date,
            shop_timezone(settings),
            generation.no_repeat_nights,
            self.n_shards,
            self.scratch,
        )

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same files, champion and settings, and for nothing else."""
        partitions = (self.histories, self.catalogue, self.item_words)
        return fingerprint(
            {
                "format": FORMAT,
                "files": [
                    partition.manifest["files"] if partition else None for partition in partitions
                ],
                "champion": identity(self.lake, self.champion_record),
                "generation": self._generation(_NOT_IN_LISTS),
                "promotions": as_facts(self.promotions),
                "sent": [partition.manifest["files"] for partition in self.before.partitions],
                "reasons": asdict(self.settings.reasons),
                "max_events": self.settings.histories.max_events,
            }
        )

    @cached_property
    def list_key(self) -> str:
        """The same where a user whose past has not changed would get the same list."""
        shop = hashlib.sha256()
        for name in ("item_id", "category"):
            for text in self.candidates.facts.column(name).to_pylist():
                shop.update(f"{text}\0".encode())
        return fingerprint(
            {
                "format": FORMAT,
                "model": identity(self.lake, self.champion_record)["model_files"],
                "shop": shop.hexdigest(),
                "generation": self._generation(_NOT_IN_A_LIST),
                "promotions": as_facts(self.promotions),
                "max_events": self.settings.histories.max_events,
            }
        )

    def _generation(self, leave_out: tuple[str, ...]) -> dict[str, Any]:
        settings = asdict(self.settings.generation) | {"promotions": None}
        return {key: value for key, value in settings.items() if key not in leave_out}

    @cached_property
    def champion(self) -> Champion:
        """Who generates."""
        return load_champion(self.lake, self.champion_record, self.settings.generation)

    @cached_property
    def candidates(self) -> Candidates:
        """What may be sold tonight."""
        return sellable_candidates(self._catalogue_table, str(self.catalogue.path))

    @cached_property
    def titles(self) -> dict[str, str]:
        """Titles of the whole catalogue."""
        return self._texts("title")

    @cached_property
    def list_maker(self) -> ListMaker:
        """The engine with all it needs."""
        generation = self.settings.generation
        rules = ListRules(
            k=generation.k,
            exclude_owned=generation.exclude_owned,
            batch_users=generation.batch_users,
            max_events=self.settings.histories.max_events,
        )
        item_ids = column(self._catalogue_table, "item_id")
        baseline = self.champion_record.fallback or DEFAULT
        return ListMaker(
            self.champion,
            self.candidates,
            self.titles,
            lambda: fit_fallback(self.histories.files, item_ids, self.candidates, baseline),
            rules,
            slates=Slates(
                self.candidates,
                self._texts("category"),
                self.promotions,
                k=generation.k,
                per_category=generation.max_per_category,
                diversity=generation.diversity,
            ),
            before=self.before,
            unchanged=self.unchanged,
        )

    def forget_engine(self) -> None:
        """Once all lists are made: what the fallback has counted may be as large as the model."""
        self.__dict__.pop("list_maker", None)

    @cached_property
    def unchanged(self) -> Unchanged | None:
        """What may be kept of the night before; nothing where each night must differ from it."""
        generation = self.settings.generation
        if not generation.reuse or generation.no_repeat_nights:
            return None
        return Unchanged(self.lake, self.run.run_date, self.list_key, self.n_shards, self.scratch)

    def set_apart(self) -> None:
        """Set the rows of each shard apart, of all that a shard reads; nothing that is there yet."""
        before = [self.before.sharded(night) for night in self.before.partitions]
        for rows in (self.users, *before, *(self.unchanged.sharded if self.unchanged else ())):
            rows.prepare()

    @cached_property
    def words(self) -> ItemWords:
        """The words that reasons are written from; none where there are no reviews."""
        words: dict[Pair, list[str]] = {}
        aspects: dict[Pair, list[str]] = {}
        for path in self.item_words.files if self.item_words else ():
            with storage_errors(f"cannot read {path}"):
                rows = pq.read_table(path, columns=_WORD_COLUMNS).to_pylist()
            for row in rows:
                pair = row["item_id"], row["language"]
                words[pair] = row["words"]
                aspects[pair] = [told["aspect"] for told in row["aspects"]]
        return ItemWords(words, self._texts("brand"), self._texts("title"), aspects)

    @cached_property
    def _catalogue_table(self) -> pa.Table:
        with storage_errors(f"cannot read {self.catalogue.path}"):
            files = self.catalogue.files
            tables = [pq.read_table(path, columns=_CATALOGUE_COLUMNS) for path in files]
        return pa.concat_tables(tables).sort_by("item_id")

    def _texts(self, name: str) -> dict[str, str]:
        """A text column by item id, where there is something in it."""
        catalogue = self._catalogue_table
        texts = compute.utf8_trim_whitespace(compute.fill_null(column(catalogue, name), ""))
        pairs = zip(column(catalogue, "item_id").to_pylist(), texts.to_pylist(), strict=True)
        return {item_id: text for item_id, text in pairs if text}

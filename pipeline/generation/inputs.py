"""Everything that a night is made from, read when it is first needed, and its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import Any

import pyarrow as pa

from pipeline.arrow_columns import column, compute
from pipeline.code_digest import code_digest
from pipeline.datasets import CATALOGUE, HISTORIES, ITEM_WORDS
from pipeline.encryption.parquet_files import read_table
from pipeline.generation.audience import users_by_shard
from pipeline.generation.champion import Champion, identity, load_champion, read_champion
from pipeline.generation.lists.candidates import Candidates, sellable_candidates
from pipeline.generation.lists.earlier_lists import EarlierLists
from pipeline.generation.lists.fallback import fit_fallback
from pipeline.generation.lists.list_maker import ListMaker
from pipeline.generation.lists.model_lists import ModelLists
from pipeline.generation.lists.promotions import as_facts, read_promotions
from pipeline.generation.lists.reranker import Reranker
from pipeline.generation.lists.reused_lists import ReusedLists
from pipeline.generation.reasons.reason_writer import ItemWords, Pair
from pipeline.generation.reasons.voice import NO_VOICE, read_voice
from pipeline.generation.shards import fingerprint
from pipeline.lake import Lake, Run, storage_errors
from pipeline.ranking.best_baseline import DEFAULT
from pipeline.settings import Settings, shop_timezone
from pipeline.stages import GENERATE

# The number of shards is the setting's, doubled until none has more users: this bounds memory.
USERS_PER_SHARD = 20_000
# Settings that change nothing in a list: which runner makes it, how long it may take (a list made
# too late is marked as such), whether lists are reused; for one list also how users are batched,
# and until when it holds, which each night says anew.
_NOT_IN_LISTS = ("runner", "deadline_minutes", "reuse")
_NOT_IN_A_LIST = (*_NOT_IN_LISTS, "shards", "batch_users", "max_error_share", "valid_days")

_WORD_COLUMNS = ["item_id", "language", "words", "aspects"]
_CATALOGUE_COLUMNS = ["item_id", "title", "brand", "category", "price", "sellable"]


def shards_for(n_users: int, at_least: int) -> int:
    """The number of shards for so many users.

    The number is doubled, not fitted: it stays the same on most nights as a shop grows, and a
    night's lists are read again in the shards that they were written in.
    """
    shards = max(1, at_least)
    while n_users > shards * USERS_PER_SHARD:
        shards *= 2
    return shards


class NightInputs:
    """The partitions of a night.

    Args:
        is_late: whether the night's deadline is past; lists then are last night's or a fallback's.

    Raises:
        InputError: histories, catalogue or champions of the date are missing.
    """

    def __init__(
        self, lake: Lake, run: Run, settings: Settings, is_late: Callable[[], bool]
    ) -> None:
        self.lake = lake
        self.run = run
        self.settings = settings
        self.is_late = is_late
        self.histories = lake.require(HISTORIES, run.run_date)
        self.catalogue = lake.require(CATALOGUE, run.run_date)
        self.item_words = lake.current(ITEM_WORDS, run.run_date)
        self.champion_record = read_champion(lake, run.run_date)
        generation = settings.generation
        self.promotions = read_promotions(generation.promotions, run.run_date, generation.k)
        self.voice = read_voice(settings.reasons) if settings.reasons.enabled else NO_VOICE
        self.n_shards = shards_for(self.histories.rows, generation.shards)
        self.scratch = lake.work(GENERATE, run)
        self.users = users_by_shard(self.histories, self.n_shards, self.scratch)
        self.earlier = EarlierLists(
            lake,
            run.run_date,
            shop_timezone(settings),
            generation.no_repeat_nights,
            self.n_shards,
            self.scratch,
        )

    @cached_property
    def fingerprint(self) -> str:
        """Equal for the same files, champion, settings and code, and different for any others."""
        partitions = (self.histories, self.catalogue, self.item_words)
        return fingerprint(
            {
                "code": code_digest("pipeline.generation.night"),
                "files": [
                    partition.manifest["files"] if partition else None for partition in partitions
                ],
                "champion": identity(self.lake, self.champion_record),
                "generation": self._generation(_NOT_IN_LISTS),
                "promotions": as_facts(self.promotions),
                "sent": [partition.manifest["files"] for partition in self.earlier.partitions],
                "reasons": asdict(self.settings.reasons) | {"voice": self.voice.facts()},
                "max_events": self.settings.histories.max_events,
                # The next two decide the fallback's lists, and what was touched since it was sent.
                "target_event_types": sorted(self.settings.histories.target_event_types),
                "timezone": self.settings.shop.timezone,
            }
        )

    @cached_property
    def list_key(self) -> str:
        """Equal on two nights where a user with the same past would get the same list of the model.

        Only the model's lists are kept, so what decides the fallback's alone is no part of it.
        """
        shop = hashlib.sha256()
        for name in ("item_id", "category"):
            for text in self.candidates.facts.column(name).to_pylist():
                shop.update(f"{text}\0".encode())
        return fingerprint(
            {
                "code": code_digest(__name__),
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
        """The model that generates."""
        return load_champion(self.lake, self.champion_record, self.settings.generation)

    @cached_property
    def candidates(self) -> Candidates:
        """The items that may be sold tonight."""
        return sellable_candidates(self._catalogue_table, str(self.catalogue.path))

    @cached_property
    def titles(self) -> dict[str, str]:
        """Titles of the whole catalogue."""
        return self._texts("title")

    @cached_property
    def list_maker(self) -> ListMaker:
        """The maker of lists, with everything it needs."""
        generation = self.settings.generation
        models = ModelLists(
            self.champion,
            self.candidates,
            k=generation.k,
            max_events=self.settings.histories.max_events,
            batch_users=generation.batch_users,
            is_late=self.is_late,
        )
        item_ids = column(self._catalogue_table, "item_id")
        baseline = self.champion_record.fallback or DEFAULT
        return ListMaker(
            models,
            self.candidates,
            self.titles,
            lambda: fit_fallback(
                self.histories.files,
                item_ids,
                self.candidates,
                self.settings.histories.target_event_types,
                baseline,
            ),
            k=generation.k,
            spares=generation.spares,
            exclude_owned=generation.exclude_owned,
            reranker=Reranker(
                self.candidates,
                self._texts("category"),
                self.promotions,
                k=generation.k,
                spares=generation.spares,
                per_category=generation.max_per_category,
                diversity=generation.diversity,
            ),
            earlier=self.earlier,
            reused=self.reused,
        )

    def forget_engine(self) -> None:
        """Free memory once all lists are made: the fallback may be as large as the model."""
        self.__dict__.pop("list_maker", None)

    @cached_property
    def reused(self) -> ReusedLists | None:
        """Lists of the night before, to be reused; none where each night must differ from it."""
        generation = self.settings.generation
        if not generation.reuse or generation.no_repeat_nights:
            return None
        return ReusedLists(self.lake, self.run.run_date, self.list_key, self.n_shards, self.scratch)

    def set_apart(self) -> None:
        """Set the rows of each shard apart in everything that a shard reads, unless it was done."""
        earlier = [self.earlier.sharded(night) for night in self.earlier.partitions]
        for rows in (self.users, *earlier, *(self.reused.sharded if self.reused else ())):
            rows.prepare()

    @cached_property
    def words(self) -> ItemWords:
        """The words that reasons are written from; none where there are no reviews."""
        words: dict[Pair, list[str]] = {}
        aspects: dict[Pair, list[str]] = {}
        for path in self.item_words.files if self.item_words else ():
            with storage_errors(f"cannot read {path}"):
                rows = read_table(path, columns=_WORD_COLUMNS).to_pylist()
            for row in rows:
                pair = row["item_id"], row["language"]
                words[pair] = row["words"]
                aspects[pair] = [entry["aspect"] for entry in row["aspects"]]
        return ItemWords(
            words, self._texts("brand"), self._texts("title"), aspects, self.voice.forbidden
        )

    @cached_property
    def _catalogue_table(self) -> pa.Table:
        with storage_errors(f"cannot read {self.catalogue.path}"):
            files = self.catalogue.files
            tables = [read_table(path, columns=_CATALOGUE_COLUMNS) for path in files]
        return pa.concat_tables(tables).sort_by("item_id")

    def _texts(self, name: str) -> dict[str, str]:
        """A text column by item id, where there is something in it."""
        catalogue = self._catalogue_table
        texts = compute.utf8_trim_whitespace(compute.fill_null(column(catalogue, name), ""))
        pairs = zip(column(catalogue, "item_id").to_pylist(), texts.to_pylist(), strict=True)
        return {item_id: text for item_id, text in pairs if text}

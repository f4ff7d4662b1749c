"""One shard of a night: whether it still has to be made, and making and committing it.

Reads the night's inputs; writes shards of ranked lists (`pipeline.generation.lists.ranked_table`).
The night's own process and Spark's workers use the same code. Guarantees: a shard depends on the
inputs alone, and on the deadline; two processes that make the same shard at once do no harm. A
shard that was made after the deadline counts as missing for an attempt that has time left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from pipeline.engine.ranker import DEADLINE
from pipeline.generation.inputs import NightInputs
from pipeline.generation.shards import Shards
from pipeline.lake import Lake, Run
from pipeline.progress import no_progress
from pipeline.settings import Settings

Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The time, in UTC."""
    return dt.datetime.now(dt.UTC)


class ShardMaker:
    """The shards of one run.

    Args:
        lake: where everything is read and written.
        run: the night and the attempt.
        settings: `generation`, `reasons`, `histories.max_events` and `training.threads`.
        deadline: from then on nothing more is asked of the model; None: there is time.
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
        self.clock = clock
        self.inputs = NightInputs(lake, run, settings, self.is_late)
        self.shards = Shards(self.inputs.scratch, self.inputs.fingerprint)
        self.names = [f"shard-{n:05d}" for n in range(self.inputs.n_shards)]

    def is_late(self) -> bool:
        """Whether the deadline is past."""
        return self.deadline is not None and self.clock() >= self.deadline

    def finished(self, number: int) -> dict[str, int] | None:
        """The counts of a shard that needs no more work; none if there is some to do."""
        counts = self.shards.counts(self.names[number])
        hurried = counts is not None and counts.get(DEADLINE, 0) > 0
        return None if hurried and not self.is_late() else counts

    def missing(self) -> list[int]:
        """The numbers of the shards that have yet to be made."""
        return [number for number in range(len(self.names)) if self.finished(number) is None]

    def make(self, number: int, done: Callable[[int], None] = no_progress) -> dict[str, int]:
        """Make and commit one shard; return its counts. Twice at once does no harm."""
        users = self.inputs.users.read(number).sort_by("user_id").combine_chunks()
        table, counts = self.inputs.list_maker.make(users, done)
        counts["users"] = users.num_rows
        self.shards.commit(self.names[number], table, counts)
        return counts

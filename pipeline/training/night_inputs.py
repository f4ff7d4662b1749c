"""Everything a night's training reads from the lake, in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.datasets import HISTORIES
from pipeline.lake import Lake, Run
from pipeline.model.catalogue import CatalogueItem, read_catalogue
from pipeline.model.user_history import UserHistory, read_histories
from pipeline.settings import Training
from pipeline.training.rows.reason_rows import Review, read_item_words, read_reviews
from pipeline.training.sufficiency import material, refuse_too_little


@dataclass(frozen=True)
class NightInputs:
    """Consenting users, the catalogue, decided reviews of theirs, and the items' words.

    `history_rows` counts the histories read; those of users who do not consent are not kept.
    """

    users: list[UserHistory]
    catalogue: list[CatalogueItem]
    reviews: list[Review]
    item_words: Mapping[tuple[str, str], list[str]]
    history_rows: int

    @property
    def n_trainable(self) -> int:
        """Users with an event before the held-out one."""
        return sum(user.n_known >= 1 for user in self.users)


def read_inputs(
    lake: Lake, run: Run, training: Training, target_event_types: Sequence[str]
) -> NightInputs:
    """Read a night.

    Args:
        training: its thresholds of what is too little.
        target_event_types: the events that are to be predicted.

    Raises:
        GateError: there is too little to train on.
        InputError: the night has no histories or no catalogue.
    """
    users = read_histories(lake, run.run_date)
    history_rows = lake.require(HISTORIES, run.run_date).rows
    # Before the rest is read: of a large shop that takes minutes.
    refuse_too_little(
        material(users, target_event_types),
        histories=history_rows,
        consenting=len(users),
        lake=lake,
        run=run,
        training=training,
        target_event_types=target_event_types,
    )
    return NightInputs(
        users=users,
        catalogue=read_catalogue(lake, run.run_date),
        reviews=read_reviews(lake, run.run_date, {user.user_id for user in users}),
        item_words=read_item_words(lake, run.run_date),
        history_rows=history_rows,
    )

"""Everything a night's training reads from the lake, in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import GateError
from pipeline.lake import Lake, Run
from pipeline.model.catalogue import CatalogueItem, read_catalogue
from pipeline.model.user_history import UserHistory, read_histories
from pipeline.training.reason_rows import Review, read_item_words, read_reviews


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


def read_inputs(lake: Lake, run: Run, min_users: int) -> NightInputs:
    """Read a night.

    Raises:
        GateError: fewer than `min_users` users can be trained on.
        InputError: the night has no histories or no catalogue.
    """
    users = read_histories(lake, run.run_date)
    inputs = NightInputs(
        users=users,
        catalogue=read_catalogue(lake, run.run_date),
        reviews=read_reviews(lake, run.run_date, {user.user_id for user in users}),
        item_words=read_item_words(lake, run.run_date),
        history_rows=lake.require("histories", run.run_date).rows,
    )
    if inputs.n_trainable < min_users:
        raise GateError(
            f"{inputs.n_trainable} users of {run.run_date} can be trained on, training.min_users "
            f"asks for {min_users}: of {inputs.history_rows} histories {len(users)} are of users "
            f"who agree to personalised marketing, and {len(users) - inputs.n_trainable} of those "
            "have nothing before the held-out event. Look at the consent column of the user files, "
            "clean more days, or lower training.min_users"
        )
    return inputs

"""Whether there is enough to train on, asked before anything is spent on training.

Counts what a model may see: of consenting shoppers, the events before the held-out one. Too little
ends the night here: no model is trained, nothing is evaluated, generated or published, and readers
keep what was published last. A model from a handful of events would not be better than none, and a
night that quietly goes on without training would hide that the data stopped coming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.datasets import RECOMMENDATIONS
from pipeline.errors import GateError
from pipeline.lake import Lake, Run
from pipeline.model.user_history import UserHistory
from pipeline.settings import Training


@dataclass(frozen=True)
class Material:
    """What there is to train on."""

    users: int
    target_events: int
    items: int
    days: int


def material(users: Sequence[UserHistory], target_event_types: Sequence[str]) -> Material:
    """Count what may be seen of consenting users.

    Args:
        users: all consenting users; those with nothing before the held-out event count nowhere.
        target_event_types: the events that are to be predicted.
    """
    targets = frozenset(target_event_types)
    return Material(
        users=sum(user.n_known >= 1 for user in users),
        target_events=sum(kind in targets for user in users for kind in user.known_event_types),
        items=len({item for user in users for item in user.known_items}),
        days=len({time.date() for user in users for time in user.event_times[: user.n_known]}),
    )


def refuse_too_little(
    there: Material,
    *,
    histories: int,
    consenting: int,
    lake: Lake,
    run: Run,
    training: Training,
    target_event_types: Sequence[str],
) -> None:
    """End the night if anything of the material is below its threshold.

    Raises:
        GateError: everything that is too little, with what is there, what is needed, the setting,
            and what readers go on seeing.
    """
    targets = " or ".join(target_event_types)
    needs = (
        ("users with a history before the held-out event", there.users, "min_users"),
        (f"events to predict ({targets}) in them", there.target_events, "min_target_events"),
        ("items that anyone did anything with", there.items, "min_items"),
        ("days with events", there.days, "min_days"),
    )
    short = [
        f"{found:,} {what}, training.{key} asks for {getattr(training, key):,}"
        for what, found, key in needs
        if found < getattr(training, key)
    ]
    if not short:
        return
    readers = lake.whole_latest(RECOMMENDATIONS)
    seen = f"the lists of {readers.run_date}" if readers else "nothing, for none was published yet"
    raise GateError(
        f"too little to train on for {run.run_date}: {'; '.join(short)}. Of {histories:,} histories "
        f"{consenting:,} are of users who agree to personalised marketing. No model is trained and "
        f"the night ends here; readers go on seeing {seen}. Look at the consent column of the user "
        "files, clean more days, or lower the setting"
    )

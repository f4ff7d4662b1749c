"""What a source must have for a night to end with lists. Standard library only."""

from __future__ import annotations

from pipeline.errors import ContractError
from pipeline.sources.source import Source


def missing_datasets(source: Source) -> list[str]:
    """Faults of a source that lacks what no night publishes a list without."""
    faults = []
    if "users" not in source.datasets:
        faults.append(
            "users is not among datasets: nobody's consent is known, so nobody may be written to "
            "and a night ends without a list. Map users with user_id and consent; where the "
            'events name them, same_files_as: events with consent: "true" if all have agreed'
        )
    elif "consent" not in source.datasets["users"].mapping:
        faults.append(
            "users maps no consent: an answer that is missing counts as a refusal, so nobody may "
            'be written to. Map consent to the column that says it, or to "true" if all have agreed'
        )
    if "items" not in source.datasets:
        faults.append(
            "items is not among datasets: without a catalogue there is nothing to recommend. Map "
            "items with item_id and title; where the events name them, same_files_as: events"
        )
    return faults


def refuse_missing_datasets(source: Source) -> None:
    """End a night before it begins, if it could publish no list.

    Raises:
        ContractError: what is missing, and what to map.
    """
    if faults := missing_datasets(source):
        raise ContractError(f"source {source.name!r}: {'; '.join(faults)}")

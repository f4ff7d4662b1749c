"""A retailer's words for event types, translated into ours: the `event_types` of a source YAML.

Case, blanks, underscores and hyphens make no difference, and our own words need not be named. An
unnamed word stays as it is, so that the contract refuses it under its own reason and quarantine
shows it. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.contracts.contract import load_contract
from pipeline.contracts.sql_text import sql_string
from pipeline.errors import ContractError
from pipeline.sources.yaml_entries import choice_of

_IGNORED = " \t_-"


def event_types_of(given: Any, dataset: str, where: str) -> dict[str, str]:
    """The retailer's words and ours, from the YAML.

    Raises:
        ContractError: it is no mapping, a word of ours is unknown, or two entries contradict.
    """
    if given is None:
        return {}
    if dataset != "events":
        raise ContractError(f"{where}: event_types belongs to the dataset events")
    if not isinstance(given, dict) or not given:
        raise ContractError(
            f"{where}: event_types must map the retailer's words to ours, such as "
            f"add_to_cart: cart; found {given!r:.80}"
        )
    ours = load_contract("raw_events").column("event_type").values
    means = {_plain(word): word for word in ours}
    for word, meaning in given.items():
        choice_of(meaning, ours, f"{where}: event_types: {word}")
        if means.setdefault(_plain(str(word)), meaning) != meaning:
            raise ContractError(
                f"{where}: event_types: {word!r} would be both {means[_plain(str(word))]} and "
                f"{meaning} (case, blanks, _ and - make no difference)"
            )
    return {str(word): meaning for word, meaning in given.items()}


def event_type_sql(sql: str, event_types: Mapping[str, str]) -> str:
    """SQL for our word from SQL that gives the retailer's."""
    ours = {word: word for word in load_contract("raw_events").column("event_type").values}
    words = {**ours, **event_types}
    # Nearly every row has a word as it is spelled here, and needs no more than a comparison.
    text = f"CAST(({sql}) AS string)"
    exact = _cases(text, words)
    spelled = f"translate(lower({text}), {sql_string(_IGNORED)}, '')"
    return f"coalesce({exact}, {_cases(spelled, {_plain(w): o for w, o in words.items()})}, {text})"


def _cases(sql: str, words: Mapping[str, str]) -> str:
    cases = (f"WHEN {sql_string(word)} THEN {sql_string(ours)}" for word, ours in words.items())
    return f"CASE {sql} {' '.join(cases)} END"


def _plain(word: str) -> str:
    return word.lower().translate(dict.fromkeys(map(ord, _IGNORED)))

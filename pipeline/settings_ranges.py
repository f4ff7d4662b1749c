"""Which values a setting may have: one table, and the few rules that join two settings.

Reads flat `section.key -> value`; guarantees that a value which no night could run with is
refused before one starts, by name. Standard library only, so that a DAG may import it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

# What may stand in a history (the histories contract); a search names no item to recommend.
EVENT_TYPES = ("view", "wishlist", "cart", "purchase", "return", "rating")
# What a shopper's click can be (the cleaned_events contract).
CLICKS = ("view", "wishlist", "cart", "purchase", "return", "search")

# What an export can be written for: the tools of pipeline/exports/profiles.py.
EXPORT_PROFILES = (
    "braze",
    "klaviyo",
    "salesforce",
    "iterable",
    "hubspot",
    "mailchimp",
    "customerio",
    "emarsys",
    "personalize",
    "csv",
    "spreadsheet",
)
EXPORT_DATASETS = ("lists", "triggers")  # what can be exported
# What a trigger can be (the triggers contract), best first.
TRIGGER_KINDS = (
    "cart_left",
    "back_in_stock",
    "price_drop",
    "due_again",
    "new_arrival",
    "win_back",
)
OWN, PSEUDONYM = "own", "pseudonym"  # the ids that an export may carry


@dataclass(frozen=True)
class Allowed:
    """What a value must be, for the program and in words."""

    words: str
    holds: Callable[[Any], bool]


# A comparison with nan is false, so nan is refused everywhere; infinity has to be asked for.
def _at_least(low: int) -> Allowed:
    return Allowed(f"must be at least {low}", lambda value: low <= value < math.inf)


def _matching(pattern: str, words: str) -> Allowed:
    return Allowed(words, lambda value: re.fullmatch(pattern, value) is not None)


MOST_DAYS = 36_500  # a hundred years, of which any night can be counted back
SHARE = Allowed("must be between 0 and 1", lambda value: 0 <= value <= 1)

ALLOWED: Mapping[str, Allowed] = {
    "seed": _at_least(0),
    "spark.master": _matching(r"\S+", "must be a Spark master such as 'local[*]'"),
    "spark.driver_memory": _matching(r"[1-9]\d*[kmgtKMGT][bB]?", "must be a size such as '2g'"),
    "spark.shuffle_partitions": _at_least(1),
    "cleaning.late_horizon_days": _at_least(0),
    "cleaning.bot_max_events_per_day": _at_least(1),
    "cleaning.bot_max_items_per_day": _at_least(1),
    "cleaning.bot_no_dwell_min_events": _at_least(2),
    "cleaning.bot_no_dwell_seconds": _at_least(0),
    "cleaning.near_duplicate_seconds": _at_least(0),
    "cleaning.near_duplicate_types": Allowed(
        f"must be some of {', '.join(CLICKS)}", lambda value: set(value) <= set(CLICKS)
    ),
    "cleaning.on_corrupt_file": _matching("stop|continue", 'must be "stop" or "continue"'),
    "reviews.copied_min_characters": _at_least(1),
    "reviews.copied_min_reviews": _at_least(2),
    "reviews.bomb_min_reviews": _at_least(2),
    "reviews.bomb_times_usual": _at_least(1),
    "histories.active_days": _at_least(1),
    "histories.max_events": _at_least(1),
    "histories.words_per_item": _at_least(1),
    "histories.session_gap_minutes": _at_least(1),
    "histories.cancellation_days": _at_least(0),
    "histories.target_event_types": Allowed(
        f"must be some of {', '.join(EVENT_TYPES)}",
        lambda value: len(value) > 0 and set(value) <= set(EVENT_TYPES),
    ),
    "model.n_layer": _at_least(1),
    "model.n_head": _at_least(1),
    "model.n_embd": _at_least(1),
    "model.n_positions": _at_least(1),
    "model.dropout": Allowed("must be at least 0 and below 1", lambda value: 0 <= value < 1),
    "model.text_vocab_size": _at_least(1),
    "training.max_epochs": _at_least(1),
    "training.patience": _at_least(1),
    "training.batch_tokens": _at_least(1),
    "training.learning_rate": Allowed(
        "must be a number above 0", lambda value: 0 < value < math.inf
    ),
    "training.weight_decay": _at_least(0),
    "training.sampled_items": _at_least(0),
    "training.catalogue_items": _at_least(0),
    "training.later_weight": _at_least(0),
    "training.new_item_quantile": Allowed(
        "must be at least 0 and below 1", lambda value: 0 <= value < 1
    ),
    "training.text_weight": _at_least(0),
    "training.text_epochs": _at_least(0),
    "training.min_users": _at_least(1),
    "training.min_target_events": _at_least(1),
    "training.min_items": _at_least(1),
    "training.min_days": _at_least(1),
    "training.accumulate": _at_least(1),
    "training.checkpoint_seconds": _at_least(0),
    "training.processes": _at_least(1),
    "training.launcher": Allowed(
        "must be torchrun or spark", lambda value: value in ("torchrun", "spark")
    ),
    "training.threads": _at_least(0),
    "training.canaries": _at_least(0),
    "training.warm_rate": Allowed(
        "must be a number above 0 and at most 1", lambda value: 0 < value <= 1
    ),
    "evaluation.k": _at_least(1),
    "evaluation.max_users": _at_least(1),
    "evaluation.champion_tolerance": _at_least(0),
    "generation.k": _at_least(1),
    "generation.spares": _at_least(0),
    "generation.valid_days": Allowed(
        f"must be between 1 and {MOST_DAYS:,}", lambda value: 1 <= value <= MOST_DAYS
    ),
    "generation.shards": _at_least(1),
    "generation.batch_users": _at_least(1),
    "generation.max_per_category": _at_least(0),
    "generation.diversity": _at_least(0),
    "generation.no_repeat_nights": _at_least(0),
    "generation.deadline_minutes": _at_least(0),
    "generation.device": _matching("cpu|cuda", "must be 'cpu' or 'cuda'"),
    "generation.precision": _matching(
        "float32|bfloat16|int8", "must be 'float32', 'bfloat16' or 'int8'"
    ),
    "generation.runner": _matching("process|spark", "must be 'process' or 'spark'"),
    "compute.gpus": _at_least(1),
    "alerts.webhook": _matching(r"|https?://\S+", "must be empty or an http(s) address"),
    "alerts.deadline_minutes": _at_least(1),
    "night.degrade_after_minutes": _at_least(0),
    "exports.profiles": Allowed(
        f"must be some of {', '.join(EXPORT_PROFILES)}",
        lambda value: set(value) <= set(EXPORT_PROFILES) and len(set(value)) == len(value),
    ),
    "exports.datasets": Allowed(
        f"must be some of {', '.join(EXPORT_DATASETS)}",
        lambda value: set(value) <= set(EXPORT_DATASETS) and len(set(value)) == len(value),
    ),
    "exports.ids": _matching("own|pseudonym", 'must be "own" or "pseudonym"'),
    "exports.keep_days": _at_least(1),
    "triggers.kinds": Allowed(
        f"must be some of {', '.join(TRIGGER_KINDS)}",
        lambda value: set(value) <= set(TRIGGER_KINDS) and len(set(value)) == len(value),
    ),
    "triggers.per_shopper": _at_least(0),
    "triggers.per_kind": _at_least(0),
    "triggers.per_item": _at_least(0),
    "triggers.valid_days": _at_least(1),
    "triggers.interest_days": _at_least(1),
    "triggers.price_drop_value": _at_least(0),
    "triggers.price_days": _at_least(1),
    "triggers.cart_left_days": _at_least(1),
    "triggers.due_early_days": _at_least(0),
    "triggers.due_min_gaps": _at_least(1),
    "triggers.follow_events": _at_least(1),
    "triggers.win_back_times": _at_least(1),
    "triggers.win_back_min_days": _at_least(1),
    "triggers.win_back_min_visits": _at_least(3),
    "triggers.quiet_days": Allowed(
        f"must be between 0 and {MOST_DAYS:,}", lambda value: 0 <= value <= MOST_DAYS
    ),
    "item_lists.similar": _at_least(0),
    "item_lists.together": _at_least(0),
    "item_lists.min_buyers": _at_least(1),
    "item_lists.max_items": _at_least(1),
    "reasons.max_new_tokens": _at_least(1),
    "reasons.max_prompt_words": _at_least(1),
}


def allowed_of(key: str) -> Allowed | None:
    """What a setting is held to by itself; none for names, paths and switches."""
    if key.startswith("retention.") and key.endswith("_days"):
        return Allowed(
            f"must be between 0 and {MOST_DAYS:,} (0: for ever)",
            lambda value: 0 <= value <= MOST_DAYS,
        )
    return SHARE if key.endswith("_share") else ALLOWED.get(key)


def fault(values: Mapping[str, Any]) -> tuple[str, str] | None:  # noqa: PLR0911
    """The first setting that no run could mean, and what it must be; none if all may be."""
    for key, value in values.items():
        allowed = allowed_of(key)
        if allowed is not None and not allowed.holds(value):
            return key, allowed.words
    zone = values["shop.timezone"]
    if zone not in available_timezones():
        near = difflib.get_close_matches(zone, available_timezones(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return "shop.timezone", f"must be an IANA time zone{hint}"
    if values["model.n_embd"] % values["model.n_head"]:
        return "model.n_embd", f"must be a multiple of n_head={values['model.n_head']}"
    if values["generation.precision"] == "int8" and values["generation.device"] != "cpu":
        return "generation.precision", "must be float32 or bfloat16 where generation.device is cuda"
    for key in ("encryption.kms_key", "encryption.spark_kms_class"):
        if values["encryption.kms"] and not values[key]:
            return key, "must be set where encryption.kms is, for both engines to read"
    if values["histories.max_events"] + 8 > values["model.n_positions"]:
        return "model.n_positions", "must exceed histories.max_events by 8 or more"
    return None

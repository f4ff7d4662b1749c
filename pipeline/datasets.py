"""The datasets of the lake: each name once. Standard library only.

A dataset's name is its folder, `<lake>/<name>/run_date=D/run_id=R/`, and the name of its contract,
`schemas/<name>.v1.yaml`. `contract_name` says the exceptions. Which stage reads and writes what is
in `pipeline.stages`.
"""

from __future__ import annotations

# -- one partition a delivery day --------------------------------------------------------------

CLEANED_EVENTS = "cleaned_events"
CLEANED_REVIEWS = "cleaned_reviews"
CLEANED_ITEMS = "cleaned_items"
CLEANED_USERS = "cleaned_users"
CLEANED = (CLEANED_EVENTS, CLEANED_REVIEWS, CLEANED_ITEMS, CLEANED_USERS)
ACTED = (CLEANED_EVENTS, CLEANED_REVIEWS)  # what shoppers did and wrote
QUARANTINE = "quarantine"  # rows that were refused, with their reason
REMOVED_EVENTS = "removed_events"  # by a rule: duplicates, bots
RETRACTIONS = "retractions"  # rows of earlier deliveries that this one took back
PROFILES = "profiles"
REVIEW_PHRASES = "review_phrases"
CATALOGUE_CHANGES = "catalogue_changes"

OF_A_DELIVERY = (
    *CLEANED,
    QUARANTINE,
    REMOVED_EVENTS,
    RETRACTIONS,
    PROFILES,
    REVIEW_PHRASES,
    CATALOGUE_CHANGES,
)

# What of a delivery is removed when it is too old (`pipeline.retention`). Not the others: who has
# agreed or withdrawn must be known as long as anybody is written to; items and counts are of no
# person, and later nights are made from all of them.
EXPIRING_DELIVERIES = (
    CLEANED_EVENTS,
    CLEANED_REVIEWS,
    QUARANTINE,
    REMOVED_EVENTS,
    RETRACTIONS,
    REVIEW_PHRASES,
)

# -- one partition a night ---------------------------------------------------------------------

CATALOGUE = "catalogue"
USER_ATTRIBUTES = "user_attributes"
ACTS = "acts"  # what must be remembered of each user's past
HISTORIES = "histories"
ITEM_WORDS = "item_words"
METRICS = "metrics"
GENERATED = "generated"  # the lists that a run made
SIMILAR_ITEMS = "similar_items"  # what may be offered in an item's place
BOUGHT_TOGETHER = "bought_together"
TRIGGERS = "triggers"  # why to write to whom today
RECOMMENDATIONS = "recommendations"  # the lists that readers see
LEDGER = "ledger"  # what became of every row, a file a stage

OF_A_NIGHT = (
    CATALOGUE,
    USER_ATTRIBUTES,
    ACTS,
    HISTORIES,
    ITEM_WORDS,
    METRICS,
    GENERATED,
    TRIGGERS,
    SIMILAR_ITEMS,
    BOUGHT_TOGETHER,
    RECOMMENDATIONS,
    LEDGER,
)

# Made by the stage `target`, and published beside the lists.
BESIDE_LISTS = (TRIGGERS, SIMILAR_ITEMS, BOUGHT_TOGETHER)

# -- of a night, and no tables: no contract ----------------------------------------------------

MODELS = "models"  # a Hugging Face directory
CHAMPIONS = "champions"  # champion.json: which model generates, and which baseline where it cannot
RUNS = "runs"  # what each stage did

NOT_TABLES = (MODELS, CHAMPIONS, RUNS)

ALL = (*OF_A_DELIVERY, *OF_A_NIGHT, *NOT_TABLES)


def contract_name(dataset: str) -> str:
    """The contract of a table; `ValueError` for what is none.

    >>> contract_name("histories"), contract_name("generated")
    ('histories', 'recommendations')
    """
    if dataset in NOT_TABLES:
        raise ValueError(f"{dataset} is no table and has no contract")
    return RECOMMENDATIONS if dataset == GENERATED else dataset


def cleaned(source_dataset: str) -> str:
    """What `events`, `reviews`, `items` or `users` of a shop's source are cleaned into.

    >>> cleaned("events")
    'cleaned_events'
    """
    return f"{_CLEANED}{source_dataset}"


def source_of(cleaned_dataset: str) -> str:
    """What of the source a cleaned dataset is made from; any other name as it is.

    >>> source_of("cleaned_events"), source_of("quarantine")
    ('events', 'quarantine')
    """
    return cleaned_dataset.removeprefix(_CLEANED)


_CLEANED = "cleaned_"

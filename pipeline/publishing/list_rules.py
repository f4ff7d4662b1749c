"""What must hold of a night's lists before anybody sees them, each as a query for its faults.

Text only: `checks` gives the queries their tables (`generated`, `histories`, `catalogue`, `users`,
and the views here) and the words in braces, and runs them.

Consent is read again here, from the newest entry of each user delivered up to the night, because
hours pass between building the histories and publishing, and a shop may clean a withdrawal again
in between. It is consent as of the night, like everything of a backfilled date, and a list against
it is a fault. Who has withdrawn since the night is no fault; `consent` leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.model.list_methods import IS_FALLBACK, METHODS
from pipeline.sql_values import sql_text


@dataclass(frozen=True)
class Check:
    """A query that returns one row per fault, its first column naming it, and what that means."""

    name: str
    meaning: str
    faults: str


# Users with less than the shop has left for them: sellable items, but for those they own. Only the
# few users that `less` selects have their owned items looked up.
_LEFT_FOR = """
    WITH less AS (
        SELECT user_id, coalesce(n_items, 0) AS n_items, owned_item_ids
        FROM due LEFT JOIN generated USING (user_id) WHERE {less}
    ), owned AS (
        SELECT user_id, count(*) AS n_owned
        FROM (SELECT user_id, unnest(owned_item_ids) AS item_id FROM less WHERE {{exclude_owned}})
        SEMI JOIN sellable USING (item_id) GROUP BY user_id
    )
    SELECT user_id FROM less LEFT JOIN owned USING (user_id)
    WHERE n_items < least({{k}}, {{n_sellable}} - coalesce(n_owned, 0))
"""

CHECKS = (
    Check(
        "null_value",
        "a column that must have a value is null",
        "SELECT user_id FROM generated WHERE {null_value}",
    ),
    Check(
        "user_repeated",
        "a user has more than one row",
        "SELECT user_id FROM generated GROUP BY user_id HAVING count(*) > 1",
    ),
    Check(
        "user_missing",
        "a user who is active, has consented and has something left to buy has no row",
        _LEFT_FOR.format(less="generated.user_id IS NULL"),
    ),
    Check(
        "user_not_due",
        "a user has a row but is unknown, not active or has not consented",
        "SELECT user_id FROM generated ANTI JOIN due USING (user_id)",
    ),
    Check(
        "consent_withdrawn",
        "the newest users entry does not consent, or there is none",
        "SELECT user_id FROM generated ANTI JOIN consenting USING (user_id)",
    ),
    Check(
        "list_length",
        "n_items is not the list's length, or not between 1 and K = {k}",
        """
        SELECT user_id FROM generated
        WHERE n_items <> len(items) OR n_items NOT BETWEEN 1 AND {k}
        """,
    ),
    Check(
        "list_too_short",
        "a list has fewer than K = {k} items though the shop has more to offer this user",
        _LEFT_FOR.format(less="generated.n_items < {k}"),
    ),
    Check(
        "spares_wrong",
        "a list has more than M = {spares} spares, or has fewer than K = {k} items and some",
        """
        SELECT user_id FROM generated
        WHERE spares IS NULL OR len(spares) > {spares} OR (len(spares) > 0 AND n_items < {k})
        """,
    ),
    Check(
        "valid_until_wrong",
        "valid_until is not {valid_until}, the last day of this night's lists",
        "SELECT user_id FROM generated WHERE valid_until IS DISTINCT FROM DATE '{valid_until}'",
    ),
    Check(
        "rank_wrong",
        "ranks do not run 1, 2, 3 …, on through the spares",
        """
        SELECT user_id FROM generated
        WHERE list_transform(list_concat(items, spares), lambda entry: entry.rank::BIGINT)
            IS DISTINCT FROM range(1, len(list_concat(items, spares)) + 1)
        """,
    ),
    Check(
        "item_repeated",
        "an item is twice in a list and its spares",
        """
        SELECT user_id FROM generated
        WHERE list_unique(list_transform(list_concat(items, spares), lambda entry: entry.item_id))
            <> len(list_concat(items, spares))
        """,
    ),
    Check(
        "item_not_sellable",
        "an item is not in the night's catalogue, or not sellable",
        """
        SELECT user_id || ' gets ' || coalesce(item_id, 'null') FROM entries
        ANTI JOIN sellable USING (item_id)
        """,
    ),
    Check(
        "item_owned",
        "a user gets what they already bought or rated",
        """
        SELECT user_id || ' gets ' || item_id FROM entries
        SEMI JOIN (
            SELECT user_id, unnest(owned_item_ids) AS item_id FROM due WHERE {exclude_owned}
        ) AS owned USING (user_id, item_id)
        """,
    ),
    Check(
        "facts_wrong",
        "title, brand, category or price is not the catalogue's",
        """
        SELECT user_id || ' gets ' || item_id FROM entries JOIN catalogue USING (item_id)
        WHERE entries.title IS DISTINCT FROM catalogue.title
            OR entries.brand IS DISTINCT FROM catalogue.brand
            OR entries.category IS DISTINCT FROM catalogue.category
            OR entries.price IS DISTINCT FROM catalogue.price
        """,
    ),
    Check(
        "score_not_finite",
        "a score is null, infinite or not a number",
        """
        SELECT user_id || ' gets ' || item_id FROM entries
        WHERE score IS NULL OR NOT isfinite(score)
        """,
    ),
    Check(
        "method_unexplained",
        "a method is unknown or not this night's own, or a fallback does not say why",
        f"""
        SELECT user_id FROM generated
        WHERE method NOT IN ({", ".join(map(sql_text, METHODS))})
            OR ({IS_FALLBACK} AND fallback_reason IS NULL)
        """,  # noqa: S608
    ),
)

VIEWS = {
    "due": "SELECT user_id, owned_item_ids FROM histories WHERE active AND consent",
    # Should two entries of one delivery meet, the refusal counts: '1' sorts after '0'.
    "consenting": """
        SELECT user_id FROM users GROUP BY user_id
        HAVING arg_max(consent, run_date::VARCHAR || (NOT consent)::INTEGER)
    """,
    "sellable": "SELECT item_id FROM catalogue WHERE sellable",
    "listed": "SELECT user_id, unnest(items, recursive := true) FROM generated",
    # A spare may be sent too, so what an item is held to holds for spares.
    "entries": """
        SELECT user_id, unnest(list_concat(items, spares), recursive := true) FROM generated
    """,
}

"""The rules of triggers, as SQL over one shard of acts. Text only: `triggers` runs it in DuckDB.

Tables that are there before a shard: `due` (shoppers who may get any), `items` (the catalogue as of
the night, and what it said before), `rebuys` (the usual days between purchases of an item), `past`
(what was sent before). Table of a shard: `acts`.

What a shopper did *meanwhile* counts everywhere: a view, a wish or a cart before the shopper's
last purchase of the item is no interest any more, also where the item went back: who has had it
does not wait for it. Only what was kept is due again. A rating stands for a purchase where the
shopper has none of the item.
"""

from __future__ import annotations

# Columns of a candidate, in this order. `strength` orders those of one kind.
_COLUMNS = (
    "user_id",
    "kind",
    "item_id",
    "because",
    "since",
    "price_before",
    "lowest_price",
    "usual_days",
    "valid_until",
    "strength",
)

ACTS = """
CREATE OR REPLACE TEMP TABLE acts AS
SELECT user_id, item_id, event_type, event_time, event_date, cancelled, settled
FROM {files} SEMI JOIN {users} USING (user_id)
WHERE event_date <= {night}
"""

# A purchase a day: two of one day are one errand. After a settled one, others are forgotten.
GAPS = """
INSERT INTO gaps
SELECT item_id, gap, count(*) AS n FROM (
    SELECT item_id, event_date - lag(event_date) OVER (
        PARTITION BY user_id, item_id ORDER BY event_date
    ) AS gap
    FROM (
        SELECT DISTINCT user_id, item_id, event_date FROM acts
        WHERE event_type = 'purchase' AND NOT cancelled AND NOT settled
    )
) WHERE gap IS NOT NULL GROUP BY ALL
"""

# The median: the first gap that half of all gaps do not exceed.
REBUYS = """
CREATE TEMP TABLE rebuys AS
SELECT item_id, min(gap)::DOUBLE AS usual FROM (
    SELECT item_id, gap,
        sum(n) OVER (PARTITION BY item_id ORDER BY gap) AS upto,
        sum(n) OVER (PARTITION BY item_id) AS total
    FROM (SELECT item_id, gap, sum(n) AS n FROM gaps GROUP BY ALL)
) WHERE 2 * upto >= total AND total >= {min_gaps} GROUP BY item_id
"""

SHARD = """
CREATE OR REPLACE TEMP TABLE bought AS
SELECT user_id, item_id,
    coalesce(
        max(event_time) FILTER (event_type = 'purchase'), max(event_time)
    ) AS bought_at,
    max(event_time) FILTER (event_type = 'purchase' AND NOT cancelled) AS kept_at,
    max(event_date) FILTER (event_type = 'purchase' AND NOT cancelled) AS kept_on
FROM acts WHERE event_type IN ('purchase', 'rating') GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE looked AS
SELECT user_id, item_id,
    CASE WHEN bool_or(event_type = 'cart') THEN 'cart'
        WHEN bool_or(event_type = 'wishlist') THEN 'wishlist' ELSE 'view' END AS because,
    coalesce(
        max(event_time) FILTER (event_type = 'cart'),
        max(event_time) FILTER (event_type = 'wishlist'),
        max(event_time)
    ) AS since,
    max(event_date) FILTER (event_type = 'cart') AS cart_on,
    min(event_date) AS first_on
FROM acts LEFT JOIN bought USING (user_id, item_id)
WHERE event_type IN ('view', 'wishlist', 'cart') AND event_date > {night} - {interest_days}
    AND (bought_at IS NULL OR event_time > bought_at)
GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE needed AS
WITH gaps AS (
    SELECT user_id, item_id, median(gap) AS own, count(gap) AS n FROM (
        SELECT user_id, item_id, event_date - lag(event_date) OVER (
            PARTITION BY user_id, item_id ORDER BY event_date
        ) AS gap
        FROM (
            SELECT DISTINCT user_id, item_id, event_date FROM acts
            WHERE event_type = 'purchase' AND NOT cancelled AND NOT settled
        )
    ) GROUP BY ALL
), known AS (
    SELECT user_id, item_id, kept_at AS since, kept_on,
        CASE WHEN n >= 2 THEN own ELSE coalesce(usual, own) END AS usual
    FROM bought JOIN gaps USING (user_id, item_id) LEFT JOIN rebuys USING (item_id)
    WHERE kept_on IS NOT NULL
)
SELECT user_id, item_id, since, usual, kept_on, kept_on + ceil(usual)::INTEGER AS due_on
FROM known
WHERE usual IS NOT NULL
    AND {night} >= kept_on + ceil(usual)::INTEGER - {due_early_days}
    AND {night} <= kept_on + ceil(1.5 * usual)::INTEGER + {due_early_days};

CREATE OR REPLACE TEMP TABLE wanted AS
SELECT user_id, item_id, because, since, first_on FROM looked
UNION ALL
SELECT user_id, item_id, 'purchase', since, kept_on FROM needed
ANTI JOIN looked USING (user_id, item_id);
"""

_CART_LEFT = """
SELECT user_id, 'cart_left' AS kind, item_id, 'cart' AS because, since,
    NULL AS price_before, NULL AS lowest_price, NULL AS usual_days, {last_day} AS valid_until,
    epoch(since) AS strength
FROM looked JOIN items USING (item_id)
WHERE sellable AND cart_on > {night} - {cart_left_days}
"""

_BACK_IN_STOCK = """
SELECT user_id, 'back_in_stock', item_id, because, since,
    NULL, NULL, NULL, {last_day}, (because <> 'view')::INTEGER
FROM wanted JOIN items USING (item_id)
WHERE sellable AND NOT was_sellable AND first_on <= {before}
"""

_PRICE_DROP = """
SELECT user_id, 'price_drop', item_id, because, since,
    compared_price, lowest_price, NULL, {last_day}, 1 - price / compared_price
FROM wanted JOIN items USING (item_id)
WHERE sellable AND first_on <= {before} AND price < compared_price AND (
    ({share} = 0 AND {value} = 0)
    OR ({share} > 0 AND compared_price - price >= {share} * compared_price - 1e-9)
    OR ({value} > 0 AND compared_price - price >= {value} - 1e-9)
)
"""

_DUE_AGAIN = """
SELECT user_id, 'due_again', item_id, 'purchase', since,
    NULL, NULL, usual, greatest({last_day}, due_on), -usual
FROM needed JOIN items USING (item_id)
WHERE sellable
"""

# At most five new items of a brand or category for a shopper: an import of a whole catalogue is no
# arrival of thousands. What the shopper has looked at or owns is not new to them.
_NEW_ARRIVAL = """
SELECT user_id, 'new_arrival', item_id, because, since, NULL, NULL, NULL, {last_day}, strength
FROM (
    WITH of_past AS (
        SELECT user_id, brand, category, event_time FROM acts JOIN items USING (item_id)
        WHERE NOT settled AND event_type <> 'return'
    ), followed AS (
        SELECT user_id, 'brand' AS because, brand AS name, count(*) AS n, max(event_time) AS since
        FROM of_past WHERE brand IS NOT NULL GROUP BY ALL HAVING n >= {follow_events}
        UNION ALL
        SELECT user_id, 'category', category, count(*) AS n, max(event_time)
        FROM of_past WHERE category IS NOT NULL GROUP BY ALL HAVING n >= {follow_events}
    ), fresh AS (
        SELECT 'brand' AS because, brand AS name, item_id FROM items WHERE is_new AND sellable
        UNION ALL
        SELECT 'category', category, item_id FROM items WHERE is_new AND sellable
    ), few AS (
        FROM fresh QUALIFY row_number() OVER (PARTITION BY because, name ORDER BY item_id) <= 5
    )
    SELECT user_id, item_id, min(because) AS because, max(since) AS since, sum(n) AS strength
    FROM followed JOIN few USING (because, name)
    ANTI JOIN (SELECT DISTINCT user_id, item_id FROM acts) AS met USING (user_id, item_id)
    GROUP BY user_id, item_id
)
"""

# Once, when the silence becomes longer than that.
_WIN_BACK = """
SELECT user_id, 'win_back', NULL, 'visits', since, NULL, NULL, usual, {last_day}, 0
FROM (
    SELECT user_id, max(event_time) AS since, max(event_date) AS last_on,
        median(gap)::DOUBLE AS usual, count(*) AS visits
    FROM (
        SELECT user_id, event_date, max(event_time) AS event_time, event_date
            - lag(event_date) OVER (PARTITION BY user_id ORDER BY event_date) AS gap
        FROM acts WHERE NOT settled GROUP BY user_id, event_date
    ) GROUP BY user_id
) WHERE visits >= {win_back_min_visits}
    AND {night} - last_on > greatest({win_back_times} * usual, {win_back_min_days})
    AND {before} - last_on <= greatest({win_back_times} * usual, {win_back_min_days})
"""

_RULES = {
    "cart_left": _CART_LEFT,
    "back_in_stock": _BACK_IN_STOCK,
    "price_drop": _PRICE_DROP,
    "due_again": _DUE_AGAIN,
    "new_arrival": _NEW_ARRIVAL,
    "win_back": _WIN_BACK,
}

# The caps, one after the other: each sees what the one before has left. A kind is quiet about an
# item for some days; about one purchase or one silence it speaks once.
CHOSEN = """
CREATE OR REPLACE TEMP TABLE chosen AS
WITH candidates AS ({candidates}),
placed AS (
    SELECT *, list_position({kinds}, kind) AS place, EXISTS (
        FROM past WHERE past.user_id = candidates.user_id AND past.kind = candidates.kind
            AND past.item_id IS NOT DISTINCT FROM candidates.item_id
            AND (past.run_date > {night} - {quiet_days}
                OR (past.since = candidates.since AND past.kind IN ('due_again', 'win_back')))
    ) AS is_quiet
    FROM candidates
), per_item AS (
    SELECT *, row_number() OVER (
        PARTITION BY user_id, coalesce(item_id, kind), is_quiet ORDER BY place
    ) AS n_item FROM placed
), per_kind AS (
    SELECT *, row_number() OVER (
        PARTITION BY user_id, kind, is_quiet, n_item <= {per_item}
        ORDER BY strength DESC, since DESC, item_id
    ) AS n_kind FROM per_item
), per_shopper AS (
    SELECT *, row_number() OVER (
        PARTITION BY user_id, is_quiet, n_item <= {per_item}, n_kind <= {per_kind}
        ORDER BY place, n_kind
    ) AS n FROM per_kind
)
SELECT *, CASE
    WHEN is_quiet THEN 'sent_before'
    WHEN n_item > {per_item} THEN 'over_per_item'
    WHEN n_kind > {per_kind} THEN 'over_per_kind'
    WHEN n > {per_shopper} THEN 'over_per_shopper'
END AS left_out
FROM per_shopper
"""

ROWS = """
SELECT user_id, n::INTEGER AS rank, kind, item_id, title, brand, category, price, because,
    since, price_before, chosen.lowest_price, usual_days, {night} + 1 AS valid_from, valid_until
FROM chosen LEFT JOIN items USING (item_id)
WHERE left_out IS NULL ORDER BY user_id, n
"""


def candidates(kinds: tuple[str, ...], names: dict[str, str]) -> str:
    """A SELECT of the candidates of some kinds; of none where none is asked for."""
    if not kinds:
        nothing = ", ".join(f"NULL AS {name}" for name in _COLUMNS)
        return f"SELECT {nothing} WHERE false"
    # The first names the columns, whichever kinds are asked for.
    head = _CART_LEFT if "cart_left" in kinds else f"{_CART_LEFT} AND false"
    rest = [rule for kind, rule in _RULES.items() if kind in kinds and kind != "cart_left"]
    return "\nUNION ALL\n".join([head, *rest]).format(**names)

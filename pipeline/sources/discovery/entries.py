"""From a table with known columns to the entries of its datasets.

Consent and time zones are never guessed: until somebody fills them in, nobody agrees and the
shop's zone counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.sources.discovery.joins import joined
from pipeline.sources.discovery.plan import FILL_IN, Plan, Rule
from pipeline.sources.discovery.ready import header_sql
from pipeline.sources.discovery.roles import Known
from pipeline.sources.discovery.times import Times, time_sql
from pipeline.sources.discovery.words import (
    NO_WORDS,
    PURCHASE_TABLES,
    WISH_TABLES,
    YES_WORDS,
    plain,
    tokens,
)

OURS = ("view", "wishlist", "cart", "purchase", "return", "search")
_FEW = 0.002  # of the rows: fewer without a user are left to quarantine


def plans_of(
    tables: Mapping[str, Known], others: Sequence[Known] = (), consent: str = ""
) -> list[Plan]:
    """The entries for the chosen tables; items and users from the rows of others, where needed.

    Args:
        tables: by dataset.
        others: all tables, for what the rows of one lack and another says.
        consent: SQL over the users' columns that the reader gave; empty: nobody has agreed.
    """
    plans = []
    tables = dict(tables)
    for dataset, make in (("events", _events), ("reviews", _reviews)):
        if dataset in tables:
            found = joined(dataset, tables[dataset], others)
            tables[dataset] = found.known
            plan = make(found.known)
            plan.joins, plan.guesses = found.joins, [*plan.guesses, *found.said]
            plans.append(plan)
    main = next((name for name in ("events", "reviews") if name in tables), "")
    if "items" in tables:
        plans.append(_items(tables["items"], ""))
    elif main:
        plans.append(_items(tables[main], main))
    if "users" in tables:
        plans.append(_users(tables["users"], "", consent))
    elif main:
        plans.append(_users(tables[main], main, consent))
    for plan in plans:
        # Without a time of its own, what is not exploded is read as one in any case.
        is_state = plan.dataset in ("items", "users") and not plan.same_files_as
        undated = not plan.table.group.has_date and not plan.row_time
        plan.is_snapshot = is_state and undated and plan.table.exploded is None
    return plans


def _events(known: Known) -> Plan:
    plan = Plan("events", known.table)
    _map_time(plan, known, "event_time")
    _map_event_type(plan, known)
    _map_user(plan, known)
    _map_id(plan, known, "item_id", "item_id")
    _map_session(plan, known)
    _map_event_id(plan, known)
    _map_quantity(plan, known)
    _map_price(plan, known)
    if (
        known.has("query") and "search" in {*known.of("event_type").event_words.values()}
        if (known.has("event_type"))
        else False
    ):
        plan.map("query", known.roles["query"].sql)
    if known.has("sequence"):
        plan.map("sequence", known.roles["sequence"].sql)
    exploded = known.table.exploded
    if exploded:
        plan.guesses.append(
            f"each element of {exploded.array} is a row of its own, called {exploded.alias}; in the "
            f"sample {exploded.full:,} of {exploded.rows:,} rows have any"
        )
        if "query" in plan.mapping:
            plan.explode_empty = "keep"
            plan.guesses.append("a row without an element stays, because a search has no item")
    _finish(plan, known)
    return plan


def _reviews(known: Known) -> Plan:
    plan = Plan("reviews", known.table)
    if known.has("review_id") and known.of("review_id").unlike == 1:
        plan.map("review_id", known.roles["review_id"].sql)
    _map_time(plan, known, "review_time")
    _map_user(plan, known)
    _map_id(plan, known, "item_id", "item_id")
    _map_rating(plan, known)
    for column, role in (("title", "review_title"), ("text", "review_text")):
        if known.has(role):
            plan.map(column, known.roles[role].sql)
    if known.has("language"):
        plan.map("language", known.roles["language"].sql)
    if "text" not in plan.mapping and "title" not in plan.mapping:
        plan.guesses.append("no column holds the words of a review: ratings only")
    _finish(plan, known)
    return plan


def _items(known: Known, shared: str) -> Plan:
    plan = Plan("items", known.table, same_files_as=shared)
    if shared and known.table.exploded:
        plan.explode_empty = "remove"
    if shared:
        plan.guesses.append(f"no file is a catalogue: items are what the rows of {shared} name")
    _map_id(plan, known, "item_id", "item_id")
    title = "" if shared == "reviews" else "title"
    if title and known.has(title):
        plan.map("title", known.roles["title"].sql)
    elif _wordy(known):
        plan.map("title", *_title_of_others(known))
    else:
        plan.guesses.append("no column looks like a title: lists will show ids")
    if known.has("brand"):
        plan.map("brand", known.roles["brand"].sql)
    _map_category(plan, known)
    if shared != "reviews":
        _map_price(plan, known)
    for role in ("stock", "listed"):
        if known.has(role) and not shared:
            _map_listed_or_stock(plan, known, role)
    _order_rows(plan, known, "item_id", shared)
    _finish(plan, known)
    return plan


def _wordy(known: Known) -> list[str]:
    return [r for r in ("brand", "category") if known.has(r) and not known.of(r).numbers]


def _title_of_others(known: Known) -> tuple[str, str]:
    """A title from a brand and a category, where no column is one; and what is said of it."""
    words = []
    for role in _wordy(known):
        sql = known.roles[role].sql
        has_lines = any("_" in text for text in known.of(role).given[:1000])
        words.append(f"replace({sql}, '_', ' ')" if has_lines else sql)
    said = f"guess: no column is a title; {' and '.join(_wordy(known))} stand for one"
    if len(words) == 1:
        return words[0], said.replace("stand", "stands")
    return f"nullif(concat_ws(' ', {', '.join(words)}), '')", said


def _users(known: Known, shared: str, consent: str) -> Plan:
    plan = Plan("users", known.table, same_files_as=shared)
    if shared and known.table.exploded:
        known, plan.takes_whole_rows = _of_whole_rows(known), True
    if shared:
        plan.guesses.append(f"no file tells of shoppers: users are whom the rows of {shared} name")
    _map_user(plan, known)
    if consent:
        plan.map("consent", consent, "as given on the command line")
    else:
        _leave_consent_open(plan, known, shared)
    for column in ("language", "region"):
        if known.has(column) and not (shared == "reviews" and column == "language"):
            plan.map(column, known.roles[column].sql)
    _order_rows(plan, known, "user_id", shared)
    _finish(plan, known)
    return plan


def _of_whole_rows(known: Known) -> Known:
    """The table without what is said of its elements: each row of the file once."""
    exploded = known.table.exploded
    if exploded is None:
        return known
    roles = {role: one for role, one in known.roles.items() if not exploded.is_of_element(one.sql)}
    return replace(known, roles=roles, rivals={})


# -- single columns ----------------------------------------------------------------------------


def _map_time(plan: Plan, known: Known, column: str) -> None:
    times = known.time()
    if times is None:
        plan.missing.append(
            f"{column}: no column of {known.table.group.pattern} is a time; a night must know "
            "when it was"
        )
        return
    one = known.roles["time"]
    said = f"{times.first[:10]} to {times.last[:10]} in the sample"
    if "time" in known.rivals:
        said += f"; {known.rivals['time']} is a time, too"
    plan.map(column, one.sql, said)
    if times.is_local:
        plan.local_times.append(one.name)
    _say_formats(plan, column, times)


def _say_formats(plan: Plan, column: str, times: Times) -> None:
    if times.either:
        day_first, month_first = times.either[:2]
        plan.commented_times = [
            f'{column}: ["{day_first}"]    # {FILL_IN}: this one where the day comes first,',
            f'{column}: ["{month_first}"]    # or this one where the month does',
        ]
        plan.to_fill.append(
            f"{plan.dataset}: times: {column}: no value of the sample tells {day_first} from "
            f"{month_first}"
        )
    elif times.formats != ("iso",):
        plan.times[column] = times.formats


def _map_event_type(plan: Plan, known: Known) -> None:
    negative = ""
    if known.has("quantity"):
        numbers = known.of("quantity").numbers
        if numbers and numbers.negatives:
            negative = f"try_cast({known.roles['quantity'].sql} AS double) < 0"
    if not known.has("event_type"):
        _say_constant_type(plan, known, negative)
        return
    one, values = known.roles["event_type"], known.of("event_type")
    plan.map("event_type", one.sql)
    words = values.event_words
    plan.event_types = {
        word: meaning for word, meaning in words.items() if meaning and plain(word) not in OURS
    }
    idle = sorted(word for word, meaning in words.items() if not meaning)
    if idle:
        listed = ", ".join("'" + _quoted(word.lower()) + "'" for word in idle)
        plan.remove.append(
            Rule(
                "other_event",
                f"lower(trim({one.sql})) IN ({listed})",
                "guess: no act on a product that Nightcart knows.",
            )
        )
    unknown = [(word, n) for word, n in values.counts.most_common() if word not in words]
    if unknown:
        some = ", ".join(f"{word} ({n:,} rows)" for word, n in unknown[:8])
        plan.to_fill.append(f"events: event_types: what do these mean: {some}?")
        plan.commented_event_types = [
            f"{_yaml_word(word)}: view    # {FILL_IN}: {n:,} rows; one of {', '.join(OURS)}"
            for word, n in unknown[:20]
        ]


def _say_constant_type(plan: Plan, known: Known, negative: str) -> None:
    words = {*tokens(known.table.name)}
    is_sale = (
        bool(words & PURCHASE_TABLES) or known.has("order_id") or known.has("quantity", "price")
    )
    if words & WISH_TABLES and not known.has("order_id"):
        plan.map("event_type", "'wishlist'", "guess: by the name of the file")
    elif negative:
        plan.map(
            "event_type",
            f"CASE WHEN {negative} THEN 'return' ELSE 'purchase' END",
            "guess: rows of orders; a quantity below zero is a return",
        )
    elif is_sale:
        plan.map("event_type", "'purchase'", "guess: rows of orders")
    else:
        said = "cart" if words & {"cart", "carts", "basket"} else "view"
        plan.map("event_type", f"'{said}'", f"guess: no column says what was done ({FILL_IN})")
        plan.to_fill.append(
            f"events: event_type: no column says what was done; all rows are taken for '{said}'"
        )


def _map_user(plan: Plan, known: Known) -> None:
    if not known.has("user_id"):
        if known.has("session_id") and plan.dataset == "events":
            plan.map(
                "user_id",
                known.roles["session_id"].sql,
                f"guess: no column names a shopper, so each session is one ({FILL_IN})",
            )
            plan.to_fill.append("events: user_id: no column names a shopper")
            return
        plan.missing.append(f"user_id: no column of {known.table.group.pattern} names a shopper")
        return
    _map_id(plan, known, "user_id", "user_id")
    values, sql = known.of("user_id"), known.roles["user_id"].sql
    empty = 1 - values.filled
    if empty > _FEW:
        plan.remove.append(
            Rule(
                "no_user",
                f"trim(coalesce({sql}, '')) = ''",
                f"guess: {empty:.0%} of the sample's rows name no shopper; they are in nobody's "
                "history.",
            )
        )


def _map_id(plan: Plan, known: Known, role: str, column: str) -> None:
    if not known.has(role):
        plan.missing.append(
            f"{column}: no column of {known.table.group.pattern} names the {column[:-3]}"
        )
        return
    values, comment = known.of(role), ""
    if role in known.rivals:
        comment = f"guess: {known.rivals[role]} may be meant instead"
    if role in known.by_position:
        comment = f"guess: by its place, for the file has no header ({FILL_IN} if it is another)"
        if not plan.same_files_as:
            plan.to_fill.append(
                f"{plan.dataset}: {column}: guessed by its place in a file without header"
            )
    if values.with_point_zero:
        plan.strips_decimal = True
        comment = _also(comment, "written like 17850.0")
    if values.scientific:
        plan.to_fill.append(
            f"{plan.dataset}: {column}: {values.scientific:,} ids of the sample are written like "
            "2.82E+18; digits are lost: export the column as text"
        )
        comment = _also(comment, f"{FILL_IN}: digits are lost, as in 2.82E+18; export it as text")
    plan.map(column, known.roles[role].sql, comment)


def _map_event_id(plan: Plan, known: Known) -> None:
    if not known.has("event_id"):
        return
    one, values, exploded = known.roles["event_id"], known.of("event_id"), known.table.exploded
    if exploded is None or exploded.is_of_element(one.sql):
        if values.unlike == 1:
            plan.map("event_id", one.sql)
    elif len(values.counts) == exploded.rows:
        position = f"{exploded.alias}_position"
        plan.map("event_id", f"concat_ws('.', {one.sql}, {position})", "one for each element")


def _map_session(plan: Plan, known: Known) -> None:
    for role in ("session_id", "order_id"):
        if known.has(role):
            said = "" if role == "session_id" else "guess: an order is a visit"
            plan.map("session_id", known.roles[role].sql, said)
            return


def _map_quantity(plan: Plan, known: Known) -> None:
    if not known.has("quantity"):
        return
    sql, numbers = known.roles["quantity"].sql, known.of("quantity").numbers
    if numbers and numbers.negatives:
        plan.map("quantity", f"abs(try_cast({sql} AS double))", "always positive; see event_type")
    else:
        plan.map("quantity", sql)
    _say_marks(plan, known, "quantity")


def _map_price(plan: Plan, known: Known) -> None:
    if not known.has("price"):
        return
    sql, numbers = known.roles["price"].sql, known.of("price").numbers
    name, comment = known.roles["price"].name, ""
    if numbers and numbers.has_currency:
        sql = f"regexp_replace({sql}, '[^0-9.,+-]', '')"
        comment = "without its currency"
    if numbers and numbers.zeros:
        sql = f"IF({sql} RLIKE '^[0.,]+$', NULL, {sql})"
        comment = _also(comment, "guess: 0 stands for a price not known")
    if {*tokens(name)} & {"value", "amount", "revenue", "total"}:
        comment = _also(comment, "guess: of one unit; divide it if it is of the whole line")
    plan.map("price", sql, comment)
    _say_marks(plan, known, "price")


def _say_marks(plan: Plan, known: Known, role: str) -> None:
    numbers = known.of(role).numbers
    if numbers is None:
        return
    marks = {"decimal": numbers.decimal} if numbers.decimal != "." else {}
    if numbers.group:
        marks["group"] = numbers.group
    if marks and not plan.mapping[role].sql.startswith("abs("):
        plan.numbers[role] = marks
    if numbers.doubt:
        plan.to_fill.append(f"{plan.dataset}: numbers: {role}: {numbers.doubt}")


def _map_category(plan: Plan, known: Known) -> None:
    if not known.has("category"):
        return
    sql, values = known.roles["category"].sql, known.of("category")
    for mark in (".", "|", "/", ":"):
        with_mark = sum(1 for text in values.given if mark in text.strip(mark))
        if with_mark > 0.5 * len(values.given) and not values.numbers:
            sql = f"replace({sql}, '{mark}', ' > ')"
            plan.map("category", sql, f"guess: {mark} stands between levels")
            return
    plan.map("category", sql)


def _map_rating(plan: Plan, known: Known) -> None:
    sql, numbers = known.roles["rating"].sql, known.of("rating").numbers
    if numbers is None or numbers.high <= 5:
        plan.map("rating", sql)
        if numbers and numbers.low < 1:
            plan.map("rating", f"greatest(1, try_cast({sql} AS double))", "guess: 0 is one star")
        return
    scale = 10 if numbers.high <= 10 else 100
    plan.map(
        "rating",
        f"greatest(1, try_cast({sql} AS double) / {scale // 5})",
        f"guess: of {scale}, made 1 to 5",
    )


def _map_listed_or_stock(plan: Plan, known: Known, role: str) -> None:
    sql, values = known.roles[role].sql, known.of(role)
    if role == "stock":
        numbers = values.numbers
        if numbers and numbers.negatives:
            plan.map("stock", f"greatest(0, try_cast({sql} AS double))", "below zero is none")
        else:
            plan.map("stock", sql)
            _say_marks(plan, known, "stock")
        return
    answers = values.yes_and_no
    if answers:
        plan.map("listed", _answer_sql(sql, answers[0]), f"guess: for sale where {_or(answers[0])}")


def _answer_sql(sql: str, yes: Sequence[str]) -> str:
    words = ", ".join(
        "'" + _quoted(word.lower()) + "'"
        for word in dict.fromkeys(w.lower() for w in yes)
        for word in [word]
    )
    return f"coalesce(lower(trim({sql})) IN ({words}), false)"


def _leave_consent_open(plan: Plan, known: Known, shared: str) -> None:
    """Nobody agrees until somebody who answers for it says which column is the answer."""
    plan.map(
        "consent",
        '"false"',
        f"{FILL_IN}: nobody is written to until this says who has agreed",
    )
    plan.mapping["consent"].sql = "false"
    for role in ("consent", "refusal"):
        if not known.has(role):
            continue
        one, values = known.roles[role], known.of(role)
        yes = [word for word in values.counts if plain(word) in YES_WORDS]
        no = [word for word in values.counts if plain(word) in NO_WORDS]
        sure = yes if role == "consent" else no
        sql = _answer_sql(one.sql, sorted(sure) or sorted(values.counts)[:1])
        seen = ", ".join(f"{word} ({n:,})" for word, n in values.counts.most_common(6))
        plan.commented.append(f'consent: "{sql}"    # {FILL_IN}? {one.name} holds: {seen}')
        plan.to_fill.append(
            f"users: consent: {one.name} looks like it ({seen}); does it say who agrees to "
            "personalised marketing? If so, use the commented line"
        )
    if not plan.commented:
        where = known.table.group.pattern if not shared else "your files"
        plan.commented.append(
            f"consent: \"opted_in = 'yes'\"    # {FILL_IN}: the column that records the answer"
        )
        plan.to_fill.append(
            f"users: consent: no column of {where} looks like an answer. Map the one that is; or, "
            'only if all have agreed, write consent: "true"'
        )


# -- a dataset as a whole ----------------------------------------------------------------------


def _order_rows(plan: Plan, known: Known, key: str, shared: str) -> None:
    """Which of several rows of one item or user is the latest, and which day a dump's row is of."""
    times = known.time()
    if times is None or not (times.formats or times.either):
        if known.has(key) and known.of(key).unlike < 1 and not shared:
            plan.guesses.append(
                f"several rows of the sample have one {key} and no time says which is the latest; "
                "rows that differ are refused until latest_by says it"
            )
        return
    sql = known.roles["time"].sql
    repeats = known.has(key) and known.of(key).unlike < 1
    if shared or repeats:
        plan.latest_by = time_sql(sql, times.formats)
    if shared and not known.table.group.has_date:
        plan.row_time = sql
        _say_formats(plan, "row_time", times)


def _finish(plan: Plan, known: Known) -> None:
    if known.table.header_row:
        when = header_sql(known.table.header_row)
        plan.remove.insert(0, Rule("header_line", when, "The header, which is read as a row."))
    used = [known.roles[role] for role in known.roles]
    words = {word for one in used for word in known.values[one.name].null_words}
    plan.null_words = tuple(sorted(words))


def _also(comment: str, more: str) -> str:
    return f"{comment}; {more}" if comment else more


def _or(words: Sequence[str]) -> str:
    return " or ".join(words[:4])


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace("'", "\\'")


def _yaml_word(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"

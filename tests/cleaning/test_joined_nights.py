"""Nights of sources whose rows are joined or hold arrays: late parents, corrections, the ledger."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.cleaning.rows.row_rules import ACCEPTED, QUARANTINED
from pipeline.cleaning.tally import Count, refuse_too_many_quarantined
from pipeline.errors import GateError, InputError
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.settings import Settings
from pipeline.sources.source_yaml import parse_source

FIRST, SECOND, THIRD = (dt.date(2026, 3, day) for day in (1, 2, 3))
SHOP = """
source: shop
description: Lines of orders of customers.
datasets:
  events:
    files: "lines_{date}.csv"
    format: csv
    columns: [line, order, sku]
    with:
      orders: {files: "orders_{date}.csv", columns: [id, who, at], on: {order: id}, kind: inner}
      people: {files: "people.csv", columns: [id, person, agrees], on: {orders.who: id}}
    map:
      event_id: line
      event_time: orders.at
      event_type: "'purchase'"
      user_id: people.person
      item_id: sku
      session_id: order
"""


def shop_of(settings: Settings, folder: Path, text: str, zone: str = "UTC") -> Settings:
    (folder / "shop.yaml").write_text(text)
    shop = dataclasses.replace(settings.shop, source=str(folder / "shop.yaml"), timezone=zone)
    return dataclasses.replace(settings, shop=shop)


def lines_of(night: CleanedNight, dataset: str) -> dict[dt.date, LedgerLine]:
    for line in night.lines:
        line.check()
    return {line.run_date: line for line in night.lines if line.dataset == dataset}


def items_in(lake: Lake, day: dt.date) -> list[str]:
    files = lake.require("cleaned_events", day).files
    return sorted(i for f in files for i in pq.ParquetFile(f).read(["item_id"])[0].to_pylist())


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / name).write_text("\n".join(lines) + "\n")


def test_a_late_order_and_a_corrected_customer(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    """A line waits in quarantine for its order; only days whose rows change are made again."""
    shop = shop_of(settings, tmp_path, SHOP)
    raw = Path(shop.paths.raw)
    raw.mkdir()
    write(raw, "people.csv", "id,person,agrees", "c1,p1,y", "c2,p2,y")
    write(raw, f"lines_{FIRST}.csv", "line,order,sku", "1,o1,i1", "2,o2,i2", "3,,i3")
    write(raw, f"orders_{FIRST}.csv", "id,who,at", f"o1,c1,{FIRST} 10:00:00")
    night = clean_night(spark, shop, lake, Run(FIRST, "r1"))
    line = lines_of(night, "events")[FIRST]
    assert (line.rows_in, line.rows_out, line.quarantined) == (3, 1, {"orders_unmatched": 2})
    orders = lines_of(night, "events_with_orders")[FIRST]
    assert (orders.rows_in, orders.rows_out) == (3, 1)
    refused = pq.read_table(lake.require("quarantine", FIRST).files[0]).to_pylist()
    texts = [json.loads(row["raw"]) for row in refused]
    assert {row["reason"] for row in refused} == {"orders_unmatched"}
    assert {text["sku"] for text in texts} == {"i2", "i3"}
    key = read_or_make_key(shop.privacy.key_file)
    assert [text["order"] for text in texts if "order" in text] == [pseudonym("o2", key)]

    # The order comes a day later, and its line is taken in where it belongs.
    write(raw, f"lines_{SECOND}.csv", "line,order,sku", "4,o3,i4")
    late = f"o2,c2,{FIRST} 11:00:00"
    write(raw, f"orders_{SECOND}.csv", "id,who,at", late, f"o3,c2,{SECOND} 10:00:00")
    night = clean_night(spark, shop, lake, Run(SECOND, "r2"))
    assert night.days == [FIRST, SECOND]
    assert items_in(lake, FIRST) == ["i1", "i2"]
    assert lines_of(night, "events")[FIRST].quarantined == {"orders_unmatched": 1}

    # The same number of bytes; nothing that is read of c2 is another.
    write(raw, "people.csv", "id,person,agrees", "c1,p9,y", "c2,p2,n")
    write(raw, f"lines_{THIRD}.csv", "line,order,sku", "5,o3,i5")
    write(raw, f"orders_{THIRD}.csv", "id,who,at")
    night = clean_night(spark, shop, lake, Run(THIRD, "r3"))
    assert night.days == [FIRST, THIRD]
    users = pq.ParquetFile(lake.require("cleaned_events", FIRST).files[0]).read(["user_id"])
    assert pseudonym("p9", key) in users[0].to_pylist()

    # What cannot be made again stays: an order file of the first day was cleared away.
    write(raw, "people.csv", "id,person,agrees", "c1,p8,y", "c2,p2,n")
    (raw / f"orders_{FIRST}.csv").unlink()
    assert clean_night(spark, shop, lake, Run(THIRD, "r4")).days == [THIRD]
    (raw / "people.csv").unlink()
    with pytest.raises(InputError, match=r"people\.csv"):
        clean_night(spark, shop, lake, Run(THIRD, "r5"))


DUMPS = """
source: shop
description: Lines of all orders, and a catalogue that is overwritten.
datasets:
  events:
    files: "lines.csv"
    format: csv
    delivery: dump
    columns: [line, order, sku]
    with: {orders: {files: "orders.csv", columns: [id, who, at], on: {order: id}}}
    map: {event_id: line, event_time: orders.at, event_type: "'purchase'", user_id: orders.who,
          item_id: sku}
  items:
    files: "items.csv"
    format: csv
    delivery: snapshot
    columns: [sku, title]
    map: {item_id: sku, title: title}
"""


def test_what_a_corrected_date_leaves_behind_is_delivered_by_the_next_day(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    """The first day of all, which a typing error made, had delivered the catalogue."""
    shop = shop_of(settings, tmp_path, DUMPS)
    raw = Path(shop.paths.raw)
    raw.mkdir()
    write(raw, "items.csv", "sku,title", "i1,Lamp", "i2,Vase")
    write(raw, "lines.csv", "line,order,sku", "1,o1,i1", "2,o2,i2", "3,o3,i2")
    orders = [f"o{n},u{n},{day} 10:00:00" for n, day in enumerate((FIRST, SECOND), 2)]
    write(raw, "orders.csv", "id,who,at", "o1,u1,2026-02-01 10:00:00", *orders)
    assert len(clean_night(spark, shop, lake, Run(SECOND, "r1")).days) == 3
    write(raw, "orders.csv", "id,who,at", f"o1,u1,{SECOND} 10:00:00", *orders)
    night = clean_night(spark, shop, lake, Run(SECOND, "r2"))
    items = lines_of(night, "items")
    assert {day: line.rows_out for day, line in items.items() if line.rows_out} == {FIRST: 2}


def test_lines_that_wait_for_their_orders_are_a_share_of_the_whole_dump() -> None:
    """They all lie in the first day, which they must not stop; of a dated day they are as ever."""
    dump = parse_source(DUMPS, "shop.yaml").datasets["events"]
    waiting = Count(FIRST, "lines.csv", QUARANTINED, "undated", 30, 0)
    counts = [Count(FIRST, "", ACCEPTED, "", 3, 0), waiting]
    refuse_too_many_quarantined(counts, dump, 0.1, rows_of_dump=1000)
    for reason in ("undated", "orders_unmatched", "orders_ambiguous"):
        of_it = [counts[0], dataclasses.replace(waiting, reason=reason)]
        with pytest.raises(GateError, match=r"\(all days\): 30 of 200 rows"):
            refuse_too_many_quarantined(of_it, dump, 0.1, rows_of_dump=200)
    dated = dataclasses.replace(dump, row_time="line")
    of_day = [counts[0], dataclasses.replace(waiting, reason="orders_unmatched")]
    with pytest.raises(GateError, match=f"{FIRST}: 30 of 33 rows"):
        refuse_too_many_quarantined(of_day, dated, 0.1, rows_of_dump=1000)


GA4 = """
source: ga4
description: An export of events that hold their items.
datasets:
  items:
    same_files_as: events
    map: {item_id: item.item_id, title: item.item_name, price: item.price}
    latest_by: event_timestamp
  events:
    files: "events_{date:%Y%m%d}.parquet"
    format: parquet
    columns: [event_timestamp, event_name, user_pseudo_id, event_params, items]
    explode: {items: item}
    derive:
      words: "from_json(event_params, 'array<struct<key:string,value:struct<string_value:string>>>')"
    map:
      event_id: concat(event_timestamp, user_pseudo_id, event_name, item_position)
      event_time: event_timestamp
      event_type: event_name
      user_id: user_pseudo_id
      item_id: item.item_id
      price: item.price
      quantity: item.quantity
      session_id: "filter(words, one -> one.key = 'ga_session_id')[0].value.string_value"
    times: {event_time: [epoch_micros]}
    event_types: {view_item: view, add_to_cart: cart, purchase: purchase}
"""


def test_an_export_with_arrays_of_items(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    """Raw rows and the rows of their items are counted apart, and both balance."""
    shop = shop_of(settings, tmp_path, GA4)
    raw = Path(shop.paths.raw)
    raw.mkdir()
    begin = int(dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC).timestamp() * 1_000_000)
    lamp = {"item_id": "i1", "item_name": "Lamp", "price": 9.5, "quantity": 1}
    desk = {"item_id": "i2", "item_name": "Desk", "price": 120.0, "quantity": 2}
    params = [{"key": "ga_session_id", "value": {"string_value": "s1"}}]
    named = [("purchase", [lamp, desk]), ("view_item", [lamp]), ("page_view", []), ("x", None)]
    rows = [
        {
            "event_timestamp": begin + n * 60_000_000,
            "event_name": name,
            "user_pseudo_id": f"u{n % 2}",
            "event_params": params,
            "items": items,
        }
        for n, (name, items) in enumerate(named)
    ]
    pq.write_table(pa.Table.from_pylist(rows), raw / f"events_{FIRST:%Y%m%d}.parquet")
    night = clean_night(spark, shop, lake, Run(FIRST, "r"))
    events = lines_of(night, "events")[FIRST]
    assert (events.rows_in, events.rows_out, events.removed) == (5, 3, {"no_item": 2})
    arrays = lines_of(night, "events_arrays")[FIRST]
    assert (arrays.rows_in, arrays.rows_out, arrays.removed) == (4, 2, {"no_item": 2})
    assert items_in(lake, FIRST) == ["i1", "i1", "i2"]
    (file,) = lake.require("cleaned_events", FIRST).files
    cleaned = pq.ParquetFile(file).read(["item_id", "quantity", "price", "session_id"]).to_pylist()
    assert {(row["item_id"], row["quantity"], row["price"]) for row in cleaned} == {
        ("i1", 1, 9.5),
        ("i2", 2, 120.0),
    }
    session = pseudonym("s1", read_or_make_key(shop.privacy.key_file))
    assert {row["session_id"] for row in cleaned} == {session}
    assert lines_of(night, "items")[FIRST].rows_out == 2


OWN_JOIN = """
source: own_join
description: User and time are in one file, item and price in the other.
datasets:
  events:
    files: order_items.csv
    format: csv
    delivery: dump
    columns: [order_id, order_item_id, product_id, price]
    with:
      orders:
        files: orders.csv
        columns: [order_id, customer_id, order_status, purchased_at]
        on: {order_id: order_id}
        kind: inner
    map:
      event_time: orders.purchased_at
      event_type: "'purchase'"
      user_id: orders.customer_id
      item_id: product_id
      price: price
"""


def test_the_awkward_folder_of_two_files(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path, shared_data: Path
) -> None:
    """A dump that has its time in the joined file is dated by it."""
    shop = shop_of(settings, tmp_path, OWN_JOIN)
    folder = shared_data / "awkward_files" / "own_join"
    shop = dataclasses.replace(shop, paths=dataclasses.replace(shop.paths, raw=str(folder)))
    day = dt.date(2018, 8, 10)
    night = clean_night(spark, shop, lake, Run(day, "r"))
    assert (night.days, lines_of(night, "events")[day].rows_out) == ([day], 2)
    assert items_in(lake, day) == ["p1", "p2"]


OLIST = """
source: olist
description: Olist's tables as they are delivered.
datasets:
  events:
    files: olist_order_items_dataset.csv
    format: csv
    delivery: dump
    columns: &lines
      [order_id, order_item_id, product_id, seller_id, shipping_limit_date, price, freight_value]
    with:
      orders: &orders
        files: olist_orders_dataset.csv
        format: csv
        columns:
          - order_id
          - customer_id
          - order_status
          - order_purchase_timestamp
          - order_approved_at
          - order_delivered_carrier_date
          - order_delivered_customer_date
          - order_estimated_delivery_date
        on: {order_id: order_id}
        kind: inner
      customers: &customers
        files: olist_customers_dataset.csv
        format: csv
        columns: &people
          [customer_id, customer_unique_id, customer_zip_code_prefix, customer_city, customer_state]
        on: {orders.customer_id: customer_id}
        kind: inner
    map:
      event_id: concat(order_id, '-', order_item_id)
      event_time: orders.order_purchase_timestamp
      event_type: "'purchase'"
      user_id: customers.customer_unique_id
      item_id: product_id
      session_id: order_id
      price: price
      sequence: order_item_id
    remove:
      - rule: not_sold
        when: orders.order_status IN ('canceled', 'unavailable')
        description: Nothing was sold.
  reviews:
    files: olist_order_reviews_dataset.csv
    format: csv
    options: {multiline: true}
    delivery: dump
    columns:
      - review_id
      - order_id
      - review_score
      - review_comment_title
      - review_comment_message
      - review_creation_date
      - review_answer_timestamp
    with:
      orders: *orders
      customers: *customers
      lines:  # a review is of an order; of several lines it is put to the first
        files: olist_order_items_dataset.csv
        format: csv
        columns: *lines
        on: {order_id: order_id}
        latest_by: -try_cast(order_item_id AS int)
        kind: inner
    map:
      review_id: concat(review_id, '-', order_id)
      review_time: review_creation_date
      user_id: customers.customer_unique_id
      item_id: lines.product_id
      rating: review_score
      title: review_comment_title
      text: review_comment_message
      language: "'pt'"
"""
OLIST_SQL = """
    CREATE VIEW {name} AS SELECT * FROM read_csv('{folder}/olist_{name}_dataset.csv',
        all_varchar = true, header = true, quote = '"', escape = '"')
"""
SOLD = """
    SELECT c.customer_unique_id, i.product_id, o.order_purchase_timestamp, i.price::DOUBLE
    FROM order_items i JOIN orders o USING (order_id) JOIN customers c USING (customer_id)
    WHERE o.order_purchase_timestamp[:10] BETWEEN ? AND ?
      AND o.order_status NOT IN ('canceled', 'unavailable')
"""
REVIEWED = """
    SELECT c.customer_unique_id, arg_min(i.product_id, i.order_item_id::INT),
        r.review_creation_date, r.review_score::DOUBLE
    FROM order_reviews r JOIN orders o USING (order_id) JOIN customers c USING (customer_id)
        LEFT JOIN order_items i USING (order_id)
    WHERE r.review_creation_date[:10] BETWEEN ? AND ?
    GROUP BY r.review_id, r.order_id, c.customer_unique_id, r.review_creation_date, r.review_score
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_olists_tables_are_joined_to_the_row(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path, shared_data: Path
) -> None:
    """What DuckDB makes of the raw tables is what the lake has: who, what, when, for how much."""
    folder, zone = shared_data / "olist_sample", ZoneInfo("America/Sao_Paulo")
    first, night = dt.date(2018, 5, 18), dt.date(2018, 5, 20)
    shop = shop_of(settings, tmp_path, OLIST, zone.key)
    shop = dataclasses.replace(shop, paths=dataclasses.replace(shop.paths, raw=str(folder)))
    cleaned = clean_night(spark, shop, lake, Run(night, "r"), first)
    key = read_or_make_key(shop.privacy.key_file)
    connection = duckdb.connect()
    for name in ("order_items", "orders", "customers", "order_reviews"):
        connection.execute(OLIST_SQL.format(name=name, folder=folder))

    def raw(sql: str) -> list[tuple[str, str | None, str, float]]:
        return connection.execute(sql, [str(first), str(night)]).fetchall()

    def stored(name: str, *columns: str) -> Counter[tuple[str, str, dt.datetime, float]]:
        files = [f for day in cleaned.days for f in lake.require(f"cleaned_{name}", day).files]
        rows = [row for f in files for row in pq.ParquetFile(f).read(columns).to_pylist()]
        return Counter(tuple(row[name] for name in columns) for row in rows)

    def expected(sql: str) -> Counter[tuple[str, str, dt.datetime, float]]:
        return Counter(
            (
                pseudonym(who, key),
                what,
                dt.datetime.fromisoformat(when).replace(tzinfo=zone).astimezone(dt.UTC),
                number,
            )
            for who, what, when, number in raw(sql)
            if what is not None
        )

    sold = expected(SOLD)
    assert sold.total() > 30
    assert stored("events", "user_id", "item_id", "event_time", "price") == sold
    reviewed = expected(REVIEWED)
    assert reviewed.total() > 30
    assert stored("reviews", "user_id", "item_id", "review_time", "rating") == reviewed
    without = sum(what is None for _, what, *_ in raw(REVIEWED))
    lines = lines_of(cleaned, "reviews").values()
    refused = sum((Counter(line.quarantined) for line in lines), Counter[str]())
    assert refused == +Counter({"lines_unmatched": without})
    assert sum(line.rows_in for line in lines) == reviewed.total() + without

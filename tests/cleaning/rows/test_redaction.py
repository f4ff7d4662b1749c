"""What quarantine keeps of a row: no raw id, wherever in the row it stands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.cleaning.rows.redaction import GIVEN, PSEUDONYM, kept_columns, redacted_row
from pipeline.pseudonym import KeyFile, pseudonym
from pipeline.sources.reader_columns import LINE
from pipeline.sources.source import SourceDataset
from pipeline.sources.source_yaml import load_source, parse_source
from tests.key_files import key_file

KEY = b"k" * 32
USER, EVENT, VISIT = "ann-7", "ev.1+", "s|9"
EVENTS = load_source("simulator").datasets["events"]
WHOLE = f'"event_id": "{EVENT}", "user": "{USER}", "session": "{VISIT}"'

LINES = {
    "cut off": "{" + WHOLE + ', "ts": "2026-03-01T10:',
    "each key twice": "{" + WHOLE + f', "user": "bob", "session": "visit-2", "user": "{USER}"',
    "two objects": "{" + WHOLE + '}{"event_id": "event-2", "user": "bob", "session": "visit-2"',
    "elsewhere, too": "{" + WHOLE + f', "url": "/u/{USER}?v={VISIT}&e={EVENT}"',
    "other quotes": f"{{'event_id': '{EVENT}', 'user': '{USER}', session: {VISIT}, x}}",
    "no quote at the end": f'{{"event_id": "{EVENT}", "session": "{VISIT}", "user": "{USER}',
    "a number": f'{{"event_id": 17, "user": 1, "session": "{VISIT}", "n": 1, "at": 1712',
    "a fragment": f'n-7", "user": "{USER}", "session": "{VISIT}", "e": "{EVENT}"}}',
    "an object": f'{{"event_id": "{EVENT}", "session": "s", "user": {{"id": "{USER}"}}',
    "a broken key": f'{{"event_id": "{EVENT}", "session": "{VISIT}", "us\ufffder": "{USER}"}}',
}


def redacted(spark: SparkSession, dataset: SourceDataset, line: str | None, **given: str) -> str:
    """The text that quarantine has of one row, or of a line that was not read."""
    raw = T.StructType([T.StructField(name, T.StringType()) for name in dataset.columns])
    made = [T.StructField(name, T.StringType()) for name in kept_columns(dataset)]
    schema = T.StructType(
        [
            T.StructField(GIVEN, raw),
            T.StructField(LINE, T.StringType()),
            T.StructField(PSEUDONYM, T.StringType()),
            *made,
        ]
    )
    values = Row(*(given.get(name) for name in dataset.columns))
    row = (values, line, None, *(f"mapped {field.name}" for field in made))
    frame = spark.createDataFrame([row], schema)
    with TemporaryDirectory() as directory:
        key = key_file(Path(directory), KEY)
        (found,) = frame.select(redacted_row(dataset, key, F.lit(True)).alias("raw")).collect()
    return str(found["raw"])


@pytest.mark.parametrize("case", LINES)
def test_no_id_is_left_in_a_line_that_was_not_read(spark: SparkSession, case: str) -> None:
    """Not one letter or digit of the line, in whichever of its parts an id may stand."""
    found = redacted(spark, EVENTS, LINES[case])
    assert found == "".join(
        "9" if c.isdigit() else "x" if c.isalpha() or not c.isascii() else c for c in LINES[case]
    )


def test_a_line_of_csv_is_an_outline(spark: SparkSession) -> None:
    """One delimiter too many moves each field; the columns say nothing any more."""
    (events,) = [load_source("online_retail").datasets["events"]]
    line = f'536365,"a",b,c,6,1/12/2010 8:26,2.55,{USER},France'
    assert redacted(spark, events, line) == '999999,"x",x,x,9,9/99/9999 9:99,9.99,xxx-9,xxxxxx'


def test_what_a_parser_swallowed_is_an_outline(spark: SparkSession) -> None:
    """A field of multi-line CSV with a line break, unless it is the free text of its own row."""
    reviews = replace(load_source("amazon_reviews").datasets["reviews"], latest_by="")
    swallowed = f"B01\n{USER},B02,Good"
    row = {"asin": swallowed, "reviewText": "One.\nTwo.", "reviewerID": USER}
    found = json.loads(redacted(spark, reviews, None, **row))
    assert found["asin"] == "x99\nxxx-9,x99,xxxx"
    assert found["reviewText"] == "One.\nTwo."


def test_a_line_of_a_catalogue_without_ids_stays(spark: SparkSession) -> None:
    items = load_source("simulator").datasets["items"]
    assert redacted(spark, items, "i1,Lamp,4,5,6 a@b.example") == "i1,Lamp,4,5,6 [email]"


def test_a_row_has_hashes_and_what_was_read_from_ids(spark: SparkSession) -> None:
    """InvoiceNo is the visit, and its first letter says what the event is."""
    events = load_source("online_retail").datasets["events"]
    found = json.loads(
        redacted(spark, events, None, InvoiceNo="C5", CustomerID="17850", StockCode="22")
    )
    assert found["InvoiceNo"] == pseudonym("C5", KEY)
    assert found["CustomerID"] == pseudonym("17850", KEY)
    assert found["StockCode"] == "22"
    assert {name for name in found if name.startswith("__")} == {
        "__event_id",
        "__event_type",
        "__session_id",
    }


def test_an_id_of_another_dataset_of_the_same_files_is_one_here(spark: SparkSession) -> None:
    """The items of a sale's file know nothing of its customer, who stands in each row."""
    items = load_source("online_retail").datasets["items"]
    found = json.loads(redacted(spark, items, None, InvoiceNo="C5", CustomerID="17850"))
    assert found == {"InvoiceNo": pseudonym("C5", KEY), "CustomerID": pseudonym("17850", KEY)}
    alone = replace(items, users_elsewhere=(), acts_elsewhere=())
    assert "17850" in redacted(spark, alone, None, CustomerID="17850")


def test_contacts_are_replaced_by_what_their_column_holds(spark: SparkSession) -> None:
    """Texts lose all contacts, other columns e-mails only."""
    item, text = "4111 1111 1111 1111 of a@b.example", 'ruf 0171 1234567, a＠b.example, ÄÖ "x"\t'
    found = json.loads(redacted(spark, EVENTS, None, item=item, query=text))
    assert found["query"] == 'ruf [phone], [email], ÄÖ "x"\t'
    assert found["item"] == "4111 1111 1111 1111 of [email]"


def test_rows_that_are_not_refused_are_not_redacted(spark: SparkSession) -> None:
    schema = T.StructType(
        [
            T.StructField(
                GIVEN, T.StructType([T.StructField(n, T.StringType()) for n in EVENTS.columns])
            ),
            T.StructField(LINE, T.StringType()),
            T.StructField(PSEUDONYM, T.StringType()),
            *(T.StructField(name, T.StringType()) for name in kept_columns(EVENTS)),
        ]
    )
    nothing = (Row(*EVENTS.columns), None, None, *("x" for _ in kept_columns(EVENTS)))
    frame = spark.createDataFrame([nothing], schema)
    nowhere = KeyFile("no such file", "")
    (found,) = frame.select(redacted_row(EVENTS, nowhere, F.lit(False)).alias("raw")).collect()
    assert found["raw"] is None


BATCHES = """
source: shop
description: Events of several users in one line.
datasets:
  events:
    files: "lines_{date}.jsonl"
    format: jsonl
    columns: [batch, at, note]
    explode: {ARRAY: e}
    map: {event_id: e.id, event_time: at, event_type: e.type, user_id: e.userId, item_id: e.sku}
  reviews:
    same_files_as: events
    map: {review_time: at, user_id: e.userId, item_id: e.sku, rating: e.stars, text: note}
  items:
    same_files_as: events
    explode: {ARRAY: product}
    map: {item_id: product.sku, title: product.userId}
  users:
    same_files_as: events
    explode: null
    map: {user_id: note, consent: "true"}
"""


@pytest.mark.parametrize("array", ["batch", "concat('[', batch, ']')"])
@pytest.mark.parametrize("name", ["events", "reviews", "items", "users"])
def test_an_array_and_its_element_hold_no_id(spark: SparkSession, name: str, array: str) -> None:
    """Nor under the name that another dataset gives it, nor in one that does not explode it."""
    text = BATCHES.replace("ARRAY", f'"{array}"')
    dataset = parse_source(text, "shop.yaml").datasets[name]
    element = '{"userId":"4711","sku":"i1","id":"ev4711"}'
    of_element = {"userId": "4711", "sku": "i1", "id": "ev4711"}
    given = {"batch": f"[{element}]", "e": element, "product": element} | {
        f"{name}.{field}": value for name in ("e", "product") for field, value in of_element.items()
    }
    row = {column: given[column] for column in dataset.columns if column in given}
    found = redacted(spark, dataset, None, **row)
    assert "4711" not in found
    assert json.loads(found)["batch"].startswith('[{"xxxxXx":"9999"'.lower())
    assert name == "users" or "i1" in found
    assert "4711" not in redacted(spark, dataset, element)


def test_a_call_without_products_has_no_order_in_its_element(spark: SparkSession) -> None:
    """The whole of `properties` is its element, and its order is its visit."""
    dataset = load_source("segment").datasets["events"]
    properties = '{"order_id":"50314b8e","query":"lamp"}'
    row = {"properties": properties, "product": properties, "product.sku": "i1"}
    found = json.loads(redacted(spark, dataset, None, **row))
    assert "50314" not in json.dumps(found)
    assert (found["product.sku"], found["__query"]) == ("i1", "mapped query")

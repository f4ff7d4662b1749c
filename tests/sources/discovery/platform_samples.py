"""Small files of each platform, written after the schema that its source YAML names.

Where the vendor's own sample is among the public data sets, the test reads that as well; these have
what a sample of a few rows lacks: later lines of an order, several products, refunds, searches.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from pipeline.sources.source_yaml import load_source

MARCH_1 = 1772359200  # 2026-03-01 10:00 UTC


def rows_of(name: str, dataset: str, rows: list[dict[str, Any]], *, header: bool = True) -> str:
    """CSV with all columns of a shipped source's dataset; what a row does not name is empty."""
    of = load_source(name).datasets[dataset]
    columns = [*(getattr(of, "own_columns", ()) or of.columns)]
    unknown = {key for row in rows for key in row} - {*columns}
    assert not unknown, unknown
    out = io.StringIO()
    plain = of.options.get("quote") == ""
    quoting = {"quoting": csv.QUOTE_NONE, "quotechar": None} if plain else {}
    writer = csv.writer(
        out, delimiter=of.options.get("delimiter", ","), lineterminator="\n", **quoting
    )
    if header:
        writer.writerow(columns)
    writer.writerows([[row.get(column, "") for column in columns] for row in rows])
    return out.getvalue()


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def shopify_orders(root: Path) -> None:
    """Order-level fields stand on an order's first line only."""
    first = {
        "Financial Status": "paid",
        "Accepts Marketing": "yes",
        "Created at": "2026-09-03 10:14:00 -0400",
        "Billing Country": "US",
        "Notes": "ring\ntwice",
        "Id": "1",
    }
    rows = [
        {"Name": "#1001", "Email": "Ann@x.test", **first, **_line("2", "Red Mug", "9.50", "M-1")},
        {"Name": "#1001", **_line("1", "Blue Mug", "8.00", "")},
        {"Name": "#1002", "Email": "bob@x.test", **first, "Accepts Marketing": "no"}
        | {"Id": "2", **_line("1", "Red Mug", "0.00", "M-1")},
        {
            "Name": "#1003",
            "Email": "bob@x.test",
            **first,
            "Cancelled at": "2026-09-04 10:00:00 -0400",
            "Accepts Marketing": "no",
        }
        | {"Id": "3", **_line("1", "Red Mug", "9.50", "M-1")},
    ]
    (root / "orders_export_1.csv").write_text(rows_of("shopify_orders", "events", rows))


def _line(quantity: str, name: str, price: str, sku: str) -> dict[str, str]:
    return {
        "Lineitem quantity": quantity,
        "Lineitem name": name,
        "Lineitem price": price,
        "Lineitem sku": sku,
        "Vendor": "Mugs",
    }


def shopify_tables(root: Path) -> None:
    """As the vendor's sample, with keys that meet."""
    line = {"order_id": "5", "quantity": "2", "original_total_set_shop_amount": "20.00"}
    _write(root, "shopify_tables", "events", "order_line_data.csv", [
        {"id": "1", "product_id": "10", **line},
        {"id": "2", "product_id": "11", **line, "order_id": "6"},
        {"id": "3", "product_id": "11", **line, "order_id": "77"},
    ])  # fmt: skip
    (root / "order_data.csv").write_text(
        "id,customer_id,created_at,processed_at,cancelled_at,test,app_id,_fivetran_deleted\n"
        "5,100,2026-03-01 09:00:00,2026-03-01 10:00:00, ,FALSE,1,FALSE\n"
        "6,101,2026-03-01 09:00:00,,2026-03-02 10:00:00,FALSE,1,FALSE\n"
    )
    _write(root, "shopify_tables", "items", "product_data.csv", [
        {"id": "10", "title": "Mug", "status": "ACTIVE", "_fivetran_deleted": "FALSE"},
        {"id": "11", "title": "Cup", "status": "ARCHIVED", "_fivetran_deleted": "FALSE"},
    ])  # fmt: skip
    _write(root, "shopify_tables", "users", "customer_data.csv", [
        {"id": "100", "email_marketing_consent_state": "SUBSCRIBED"},
        {"id": "101", "email_marketing_consent_state": "PENDING"},
    ])  # fmt: skip


def woocommerce(root: Path) -> None:
    sale = {"order_id": "7", "customer_id": "3", "date_created": "2026-03-01 10:00:00"}
    _write(root, "woocommerce", "events", "wp_wc_order_product_lookup.csv", [
        {"order_item_id": "1", "product_id": "20", "product_qty": "2", "product_net_revenue": "9", **sale},
        {"order_item_id": "2", "product_id": "20", "product_qty": "-1", "product_net_revenue": "-4.5", **sale},
        {"order_item_id": "3", "product_id": "0", "product_qty": "1", "product_net_revenue": "5", **sale},
    ])  # fmt: skip
    _write(root, "woocommerce", "items", "wc-product-export-1-3-2026.csv", [
        {"ID": "20", "Type": "simple", "Name": "Mug", "Published": "1", "In stock?": "1"}
        | {"Regular price": "5", "Sale price": "4.5", "Categories": "Home > Mugs, Gifts"},
        {"ID": "21", "Type": "variation", "Name": "Mug - red", "Published": "1"},
    ])  # fmt: skip
    _write(root, "woocommerce", "users", "wp_wc_customer_lookup.csv", [
        {"customer_id": "3", "email": "ann@x.test", "country": "DE"}
    ])  # fmt: skip


def ga4_flat(root: Path) -> None:
    event = {"user_pseudo_id": "p1", "ga_session_id": "9", "event_timestamp": MARCH_1 * 10**6}
    item = {"item_id": "a", "item_name": "Mug", "item_brand": "(not set)", "price": "4.5"}
    _write(root, "ga4_flat", "events", "events_20260301.csv", [
        {"event_name": "view_item", **event, **item},
        {"event_name": "add_to_wishlist", **event, **item},
        {"event_name": "purchase", "user_id": "u1", "quantity": "2", **event, **item},
        {"event_name": "view_search_results", "search_term": "mug", **event, **item},
        {"event_name": "page_view", **event},
    ])  # fmt: skip


def ga4_export(root: Path) -> None:
    """Whole numbers come as texts, as BigQuery writes them into JSON."""

    def event(name: str, items: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        params = [{"key": "ga_session_id", "value": {"int_value": "9"}}]
        params += [{"key": "search_term", "value": {"string_value": "mug"}}] * (name == "search")
        return {
            "event_date": "20260301",
            "event_timestamp": str(MARCH_1 * 10**6),
            "event_name": name,
            "event_params": params,
            "user_pseudo_id": "p1",
            "privacy_info": {"ads_storage": "Yes"},
            "geo": {"country": "Germany"},
            "device": {"language": "de-de"},
            "items": items,
        } | more

    mug = {"item_id": "a", "item_name": "Mug", "item_brand": "(not set)", "price": 4.5}
    cup = {"item_id": "b", "item_name": "Cup", "quantity": "2", "price": 3}
    rows = [
        event("view_item", [mug]),
        event("add_to_wishlist", [mug]),
        event("purchase", [mug, cup], user_id="u1"),
        event("search", []),
        event("page_view", []),
    ]
    (root / "events_20260301.json").write_text(json_lines(rows))


def segment(root: Path) -> None:
    def call(event: str, number: int, **properties: Any) -> dict[str, Any]:
        return {
            "messageId": f"m{number}",
            "anonymousId": "anon",
            "userId": "u1" if number > 1 else None,
            "type": "track",
            "event": event,
            "timestamp": f"2026-03-01T10:00:0{number}.000Z",
            "properties": properties,
            "context": {"locale": "de-DE"},
        }

    mug = {"product_id": "a", "name": "Mug", "price": 4.5, "quantity": 1}
    rows = [
        call("Product Viewed", 1, **mug),
        call("Order Completed", 2, order_id="o1", products=[mug, mug | {"product_id": "b"}]),
        call("Products Searched", 3, query="mug"),
        call("Checkout Started", 4, order_id="o1"),
        call("Product Added to Wishlist", 6, **mug),
        call("Wishlist Product Added to Cart", 7, **mug),
        call("Product Removed from Wishlist", 8, **mug),
        call("Product Viewed", 5, **mug) | {"type": "page", "event": None},
    ]
    (root / "events_2026-03-01.jsonl").write_text(json_lines(rows))


def snowplow(root: Path) -> None:
    def event(number: int, kind: str, *products: str) -> dict[str, str]:
        schema = "iglu:com.snowplowanalytics.snowplow.ecommerce/product/jsonschema/1-0-0"
        entities = [
            {"schema": schema, "data": {"id": one, "name": "Mug", "price": 4.5, "category": "a/b"}}
            for one in products
        ]
        entities.append({"schema": "iglu:x/web_page/jsonschema/1-0-0", "data": {"id": "w"}})
        action = {"schema": "s", "data": {"schema": "t", "data": {"type": kind}}}
        return {
            "app_id": "shop",
            "event": "unstruct" if kind else "page_view",
            "event_id": f"e{number}",
            "collector_tstamp": "2026-03-01 10:00:00.000",
            "derived_tstamp": f"2026-03-01 10:00:0{number}.000",
            "domain_userid": "d1",
            "domain_sessionid": "s1",
            "contexts": json.dumps({"schema": "c", "data": entities}),
            "unstruct_event": json.dumps(action) if kind else "",
            "br_lang": "de-DE",
        }

    rows = [event(1, "product_view", "a"), event(2, "transaction", "a", "b"), event(3, "")]
    rows.append({**event(4, ""), "event": "transaction_item", "ti_sku": "c", "ti_quantity": "3"})
    text = rows_of("snowplow", "events", rows, header=False)
    (root / "enriched_2026-03-01.tsv").write_text(text)


def _write(root: Path, name: str, dataset: str, file: str, rows: list[dict[str, Any]]) -> None:
    (root / file).write_text(rows_of(name, dataset, rows))

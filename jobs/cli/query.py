"""`nightcart query`: SQL over what is published."""

from __future__ import annotations

import argparse
import sys

from jobs.cli.settings_choice import add_config_argument, chosen_settings

EXAMPLES = """\
views: recommendations_latest (one row per shopper and rank), recommendations (every night),
       recommendations_wide_latest (one row per shopper), catalogue_latest, histories_latest,
       events, reviews (all that was cleaned and stands, by delivery as run_date),
       ledger, metrics, catalogue_changes (what each delivery changed),
       item_versions (what each item was, and on which days)

examples:
  nightcart query "SELECT user_id, rank, title, price FROM recommendations_latest LIMIT 20"
  nightcart query "SELECT category, count(*) FROM recommendations_latest
                   WHERE rank = 1 GROUP BY 1 ORDER BY 2 DESC"
  nightcart query --format csv "SELECT * FROM recommendations_latest" > campaign.csv
  nightcart query --format spreadsheet "FROM catalogue_latest" > for_excel.csv
  nightcart query "SELECT item_id, price, stock FROM item_versions WHERE
                   DATE '2026-03-01' BETWEEN valid_from AND coalesce(valid_to, DATE '9999-12-31')"
  nightcart query "DESCRIBE recommendations_latest"
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`query`."""
    parser = subparsers.add_parser(
        "query",
        help="SQL over what is published",
        description="Answer one SELECT over the published recommendations, with DuckDB. Nothing "
        "is changed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sql", metavar="SQL", help="one SELECT; - reads it from standard input")
    parser.add_argument(
        "--format",
        choices=("table", "csv", "spreadsheet", "json"),
        default="table",
        help="a table for people (default), CSV as it is stored, CSV in which a spreadsheet finds no "
        "formula, or one JSON object a line",
    )
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    from jobs.cli.terminal import WIDTH_OF_A_FILE
    from pipeline.lake import Lake
    from pipeline.publishing.query import run_query, write_result

    sql = sys.stdin.read() if arguments.sql == "-" else arguments.sql
    result = run_query(Lake(chosen_settings(arguments).paths.lake), sql)
    width = None if sys.stdout.isatty() else WIDTH_OF_A_FILE
    write_result(result, arguments.format, sys.stdout, width=width)
    return 0

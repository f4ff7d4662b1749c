"""`nightcart recommend --say SENTENCE`: what the shop has for it."""

from __future__ import annotations

import argparse
import json
import math

from jobs.cli.settings_choice import add_config_argument, chosen_settings

EXAMPLES = """\
examples:
  nightcart recommend --say "我想买一款新的手机"
  nightcart recommend --say "quiet kettle" --count 5
  nightcart recommend --say "Kopfhörer" --json
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`recommend`."""
    parser = subparsers.add_parser(
        "recommend",
        help="what the shop has for a sentence of need",
        description="Answer a sentence in any of the shop's languages from the newest catalogue: "
        "items that can be bought now, by the model that generates.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--say", metavar="SENTENCE", required=True, help="what is wanted")
    parser.add_argument("--count", type=_count, default=10, help="how many items (default: 10)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 1000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")


def execute(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    from rich.table import Table
    from rich.text import Text

    from jobs.cli.terminal import console
    from pipeline.generation.query_answer import answer_query
    from pipeline.lake import Lake
    from pipeline.publishing.plain_text import visible

    settings = chosen_settings(arguments)
    made = answer_query(Lake(settings.paths.lake), arguments.say, arguments.count)
    if arguments.json:
        print(json.dumps(made.as_json(), ensure_ascii=False))
        return 0
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "item", "brand", "category", "price", "match"):
        table.add_column(name, justify="right" if name in {"", "price", "match"} else "left")
    for item in made.items:
        price = "–" if item.price is None else f"{item.price:,.2f} {settings.shop.currency}"
        table.add_row(
            str(item.rank),
            Text(visible(item.title, 60) if item.title else f"({visible(item.item_id, 20)})"),
            Text(visible(item.brand, 30) if item.brand else "–"),
            Text(visible(item.category, 40) if item.category else "–", style="dim"),
            price.rstrip(),
            f"{math.exp(item.score):.1%}",
        )
    out.print(table)
    language = f"heard as {made.language}, " if made.language else ""
    out.print(
        Text(
            f"{language}answered by model {made.model_version} from the catalogue of {made.run_date}; "
            "match: the model's share for the item among all that is sold",
            style="dim",
        )
    )
    return 0

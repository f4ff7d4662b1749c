"""`nightcart show USER`: one shopper's past, recommendations and reason."""

from __future__ import annotations

import argparse
from pathlib import Path

from jobs.cli.settings_choice import add_config_argument, chosen_settings

EXAMPLES = """\
examples:
  nightcart show 17850                  the retailer's own id
  nightcart show 0f3a…                  the pseudonym, as the published files have it
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`show`."""
    parser = subparsers.add_parser(
        "show",
        help="one shopper's past, recommendations and reason",
        description="Print what a shopper did, what they get as of the latest published night, "
        "and why. Times are those of the shop (shop.timezone). The retailer's own ids can be looked up where the key of the pseudonyms "
        "(privacy.key_file) is.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("user", metavar="USER", help="the retailer's id, or a pseudonym")
    parser.add_argument("--past", type=int, default=15, help="events to print (default: 15)")
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Print the page."""
    from jobs.cli.terminal import console
    from pipeline.lake import Lake
    from pipeline.lake_key import key_of_lake, lake_fingerprint
    from pipeline.publishing.show import print_page, show_user
    from pipeline.settings import shop_timezone

    settings = chosen_settings(arguments)
    key_file = Path(settings.privacy.key_file)
    lake = Lake(settings.paths.lake)
    # Who has no key can still ask by pseudonym. A lake without a fingerprint gets none from here.
    known = key_file.exists() and lake_fingerprint(lake) is not None
    key = key_of_lake(lake, key_file) if known else None
    page = show_user(lake, arguments.user, key)
    print_page(
        page,
        console(),
        currency=settings.shop.currency,
        past=arguments.past,
        timezone=shop_timezone(settings),
    )
    return 0

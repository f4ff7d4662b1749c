"""`nightcart key`: which key a lake's pseudonyms are made with, and what changing it would take."""

from __future__ import annotations

import argparse
from pathlib import Path

from jobs.cli.settings_choice import add_config_argument, chosen_settings

EXAMPLES = """\
examples:
  nightcart key show       where the key is, and whether it is this lake's
  nightcart key rotate     why a lake's key cannot be changed, and what to do instead
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`key show` and `key rotate`."""
    parser = subparsers.add_parser(
        "key",
        help="the key of the pseudonyms",
        description="The key that turns a retailer's ids into pseudonyms. The key itself is never "
        "printed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, help_, execute in (
        ("show", "where the key is, and whether it is this lake's", _show),
        ("rotate", "why it cannot be changed in place, and what to do instead", _rotate),
    ):
        action = actions.add_parser(name, help=help_)
        add_config_argument(action)
        action.set_defaults(execute=execute)


def _show(arguments: argparse.Namespace) -> int:
    from pipeline.lake import Lake
    from pipeline.lake_key import lake_fingerprint
    from pipeline.pseudonym import key_fingerprint, read_key

    settings = chosen_settings(arguments)
    lake, path = Lake(settings.paths.lake), Path(settings.privacy.key_file)
    found = key_fingerprint(read_key(path)) if path.exists() else None
    known = lake_fingerprint(lake)
    print(f"key file  {path}, {f'fingerprint {found}' if found else 'not there'}")
    print(f"lake      {lake.root}, {f'made with {known}' if known else 'no key yet'}")
    if known is None or found == known:
        return 0
    print("This is not the lake's key: no night will run with it. Bring the lake's key back.")
    return 1


def _rotate(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments)
    print(
        "A lake's key is not changed in place. The lake holds pseudonyms and no ids, and a "
        "pseudonym of the new key can be made from an id alone, so that the lake would have to be "
        "made again from the raw files in any case:\n"
        "  1. Copy the settings file; give the copy another paths.lake and another "
        "privacy.key_file. The key is made by the first night.\n"
        f"  2. Run the newest night with the copy. It takes in every delivery that is still in "
        f"{settings.paths.raw}.\n"
        "  3. Have readers use the new lake, then remove the old one and its key.\n"
        "What was delivered and is no longer in paths.raw is not in the new lake."
    )
    return 0

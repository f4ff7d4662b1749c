"""`nightcart export`: the published lists as files that a mail tool loads."""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.settings_choice import add_config_argument, chosen_settings
from pipeline.errors import DATA_ERROR, OK, InputError, NightcartError
from pipeline.settings_ranges import EXPORT_DATASETS, EXPORT_PROFILES, OWN, PSEUDONYM
from pipeline.stage import iso_date

if TYPE_CHECKING:
    from pipeline.exports.export import Exported

log = logging.getLogger("nightcart")

EXAMPLES = f"""\
tools: {", ".join(EXPORT_PROFILES)}
       (docs/exports.md: what each takes, and what is done about it)

examples:
  nightcart export --to braze                      the night that readers see, by your own ids
  nightcart export --to klaviyo --only changed     what differs from the last export to Klaviyo,
                                                   and who has left
  nightcart export --to csv --ids pseudonym        without the key, by the ids of the lake
  nightcart export --to mailchimp --dry-run        say what would be written and left out
  nightcart export --to braze --dataset triggers   why to write to whom today, and who has no
                                                   reason any more
  nightcart export                                 for each tool of exports.profiles; one that
                                                   fails does not keep the others
  nightcart export --check exports/braze/2026-03-01
                                                   read files back against the tool's limits
exit codes:
  0   written (or checked, and good)
  65  the data or the settings are at fault, or a checked export is
  75  the folder cannot be written; the last export stays
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`export`."""
    parser = subparsers.add_parser(
        "export",
        help="lists and triggers as files that a mail tool loads",
        description="Write the published lists, or triggers, for a mail tool, by the retailer's own ids, into "
        "paths.exports. Shoppers who do not agree to be written to are in no file. Files are read "
        "back against the tool's limits before they are put in their place.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--to", metavar="TOOL", help="which tool (default: exports.profiles)")
    parser.add_argument(
        "--dataset",
        choices=EXPORT_DATASETS,
        help="what: the lists, or the night's triggers (default: lists; without --to "
        "exports.datasets)",
    )
    parser.add_argument(
        "--date", type=iso_date, metavar="YYYY-MM-DD", help="the night (default: what readers see)"
    )
    parser.add_argument(
        "--only",
        choices=("changed",),
        help="leave out who has the same as in the last export to the tool",
    )
    parser.add_argument(
        "--ids", choices=(OWN, PSEUDONYM), help="whose ids (default: exports.ids, which is own)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="do everything, say what came out, leave nothing"
    )
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER", help="only read an export's files back"
    )
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Export, and say what came of every list."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    if arguments.check is not None:
        return _check(arguments.check)
    from jobs.export_lists import ids_by_spark
    from pipeline.exports.export import Order, export
    from pipeline.exports.folder import exports_root
    from pipeline.exports.lookup import exported_partition, known_ids, published_lists
    from pipeline.exports.trigger_profiles import profile_for, profiles_for
    from pipeline.lake import Lake
    from pipeline.progress import Progress
    from pipeline.settings import shop_timezone

    settings = chosen_settings(arguments)
    asked = settings.exports
    names = [arguments.to] if arguments.to else asked.profiles
    datasets = asked.datasets if not arguments.to else EXPORT_DATASETS[:1]
    if arguments.dataset:
        datasets = (arguments.dataset,)
    if arguments.to:
        profiles = [profile_for(arguments.to, dataset) for dataset in datasets]
    else:
        profiles = profiles_for(names, datasets)
    if not profiles:
        raise InputError(
            f"exports.profiles names no tool; say --to TOOL: {', '.join(EXPORT_PROFILES)}"
            if not names
            else f"exports.datasets names nothing; say --dataset {' or '.join(EXPORT_DATASETS)}"
        )
    root, lake = exports_root(settings), Lake(settings.paths.lake)
    ids = arguments.ids or asked.ids
    failures: list[NightcartError] = []
    with lake.in_use():
        lists = published_lists(lake, arguments.date)
        parts = {name: exported_partition(lake, lists, name) for name in datasets}
        known = known_ids(lake, settings, [*parts.values()], ids, ids_by_spark(settings))
        now = dt.datetime.now(dt.UTC)
        for profile in profiles:
            part = parts[profile.dataset]
            order = Order(
                profile,
                part,
                ids,
                known,
                only_changed=asked.only_changed or arguments.only == "changed",
                dry_run=arguments.dry_run,
                now=now,
                keep_days=asked.keep_days,
                today=now.astimezone(shop_timezone(settings)).date(),
            )
            progress = Progress(f"{profile.dataset} for {profile.name}", part.rows)
            try:
                done = export(lake, root, order, progress.add)
            except NightcartError as error:
                failures.append(error)
                if profile is not profiles[-1]:
                    log.error("%s: %s", profile.name, error)
                continue
            _say(done, dry_run=arguments.dry_run)
    if failures:
        raise type(failures[0])("; ".join(map(str, failures)))
    return OK


def _say(done: Exported, *, dry_run: bool) -> None:
    from pipeline.exports.export import EXPIRED
    from pipeline.exports.profile import TRIGGERS

    manifest, counts = done.made.manifest, done.counts
    would = "would be " if dry_run else ""
    of_triggers = manifest["dataset"] == TRIGGERS
    whose = "shoppers' triggers" if of_triggers else "lists"
    print(
        f"{manifest['profile']} {manifest['run_date']}: {counts['exported']:,} of "
        f"{counts['published']:,} {whose} {would}written in {_files(len(manifest['files']))}, read "
        f"back and within the limits of {manifest['tool']}"
    )
    for name, words in (
        ("unchanged", "the same as in the last export, not written again"),
        (
            "left",
            "have none any more; those of before are cleared"
            if of_triggers
            else "left since the last export; their lists are cleared",
        ),
        (EXPIRED, "have none that still holds"),
        ("consent_withdrawn", "do not agree to be written to"),
        ("id_unknown", "no raw file knows their id"),
        ("left_out", "the tool would refuse them"),
    ):
        if counts.get(name):
            print(f"  {counts[name]:>9,}  {words}")
    for what, n in manifest["notes"].items():
        print(f"  {n:>9,}  {what}")
    for note in done.notes:
        print(f"             {note.user_id} {note.column}: {note.action}, {note.why}")
    if not dry_run:
        for path in done.made.files:
            print(f"  {path}")
        print(f"  {done.made.path / 'manifest.json'}, kept until {manifest['expires']}")
        print(f"  to load: {manifest['load']}")
    for name in done.expired:
        print(f"  removed: the files of {name}, older than exports.keep_days")


def _files(n: int) -> str:
    return f"{n:,} file{'' if n == 1 else 's'}"


def _check(folder: Path) -> int:
    from pipeline.exports.export import check_export
    from pipeline.exports.folder import read_export
    from pipeline.exports.trigger_profiles import profile_for

    made = read_export(folder)
    dataset = made.manifest.get("dataset", EXPORT_DATASETS[0])
    profile = profile_for(str(made.manifest.get("profile")), dataset)
    if made.is_only_sent:
        print(
            f"{folder} has no files any more: they have expired (exports.keep_days), or went with "
            "a shopper who was erased"
        )
        return OK
    faults = check_export(made, profile)
    for fault in faults:
        print(f"FAULT: {fault}")
    rows = sum(entry["rows"] for entry in made.manifest["files"])
    print(
        f"{_files(len(made.files))}, {rows:,} records for {profile.tool}: "
        f"{len(faults) or 'no'} {'fault' if len(faults) == 1 else 'faults'}"
    )
    return DATA_ERROR if faults else OK

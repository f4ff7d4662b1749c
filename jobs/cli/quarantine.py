"""`nightcart quarantine`: refused rows and the reasons; `release`: clean them again after a fix."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.cli.invocation import command_line
from jobs.cli.settings_choice import add_config_argument, chosen_config, chosen_settings
from pipeline.stage import iso_date

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from pipeline.cleaning.deliveries.refused_rows import Refusal, RefusedFilter
    from pipeline.cleaning.deliveries.releases import Plan
    from pipeline.lake import Lake
    from pipeline.settings import Settings

SHOWN_CHARACTERS = 300

EXAMPLES = """\
examples:
  nightcart quarantine
  nightcart quarantine --dataset events --from 2026-03-01 --by-day
  nightcart quarantine --reason item_unknown --samples 20 --json
  nightcart quarantine release --reason price_unparsable --dry-run
  nightcart quarantine release --reason event_type_unknown_value --from 2026-03-01 --now
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`quarantine` and `quarantine release`."""
    parser = subparsers.add_parser(
        "quarantine",
        help="what was refused and why; release it after a fix",
        description="The refused rows by dataset and reason, the most first, with some of them to "
        "look at. Ids in them are pseudonyms and texts are scrubbed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_choice(parser)
    parser.add_argument("--reason", default="", help="only rows refused for this reason")
    parser.add_argument(
        "--samples", type=int, default=2, metavar="N", help="rows to show a reason (default: 2)"
    )
    parser.add_argument("--by-day", action="store_true", help="a line for each delivery day")
    parser.add_argument("--json", action="store_true", help="one JSON object a reason and dataset")
    add_config_argument(parser)
    parser.set_defaults(execute=execute)
    actions = parser.add_subparsers(metavar="ACTION", required=False)
    release = actions.add_parser(
        "release",
        help="clean the days that hold such rows again",
        description="After the source YAML, a setting or the catalogue was put right: have the "
        "delivery days that hold rows of a reason cleaned again from their raw files, by the next "
        "night or at once. Rows that pass now land in their day; the others stay in quarantine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    release.add_argument("--reason", required=True, help="which rows are meant")
    _add_choice(release)
    release.add_argument("--dry-run", action="store_true", help="say what it would do, do nothing")
    release.add_argument("--now", action="store_true", help="clean them at once, not next night")
    add_config_argument(release)
    release.set_defaults(execute=execute_release)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", default="", help="only events, reviews, items or users")
    parser.add_argument(
        "--from", dest="first", type=iso_date, metavar="DATE", help="the first delivery day"
    )
    parser.add_argument(
        "--to", dest="last", type=iso_date, metavar="DATE", help="the last delivery day"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print what quarantine holds."""
    from jobs.cli.terminal import console
    from pipeline.cleaning.deliveries.refused_rows import refusals
    from pipeline.lake import Lake

    lake = Lake(chosen_settings(arguments).paths.lake)
    asked = _asked(arguments)
    found = refusals(lake, asked, samples=arguments.samples)
    if arguments.json:
        for refusal in found:
            sys.stdout.write(json.dumps(_as_json(refusal), ensure_ascii=False) + "\n")
        return 0
    shown = console()
    days = asked.days(lake)
    if not found:
        what = f"of {len(days)} delivery days" if days else "because nothing was cleaned yet"
        shown.print(f"No refused row in {lake.root}, {what}.", markup=False)
        return 0
    _print_counts(shown, found, by_day=arguments.by_day)
    for refusal in found if arguments.samples else ():
        shown.print(f"\n{refusal.dataset}, {refusal.reason}", markup=False, style="bold")
        for row in refusal.samples:
            raw = row["raw"]
            cut = raw if len(raw) <= SHOWN_CHARACTERS else raw[:SHOWN_CHARACTERS] + " …"
            shown.print(f"  {row['file']}: {_printable(cut)}", markup=False)
    return 0


def execute_release(arguments: argparse.Namespace) -> int:
    """Mark the days, and with `--now` clean them."""
    from jobs.cli.terminal import console
    from pipeline.cleaning.deliveries.refused_rows import refusals
    from pipeline.cleaning.deliveries.releases import mark, plan_release
    from pipeline.errors import InputError
    from pipeline.lake import Lake
    from pipeline.sources.shop_source import shop_source

    settings = chosen_settings(arguments)
    lake = Lake(settings.paths.lake)
    asked = _asked(arguments)
    found = refusals(lake, asked)
    if not found:
        raise InputError(_nothing_found(lake, asked))
    plan = plan_release(lake, settings.paths.raw, shop_source(settings), found)
    shown = console()
    _print_plan(shown, found, plan)
    if not plan.days:
        raise InputError(
            f"none of the {len(plan.gone)} days can be cleaned again, because raw files of theirs "
            "are gone or of another name than the source's "
            f"(the first: {next(iter(plan.gone.values()))} below {settings.paths.raw}); "
            "put them back"
        )
    if arguments.dry_run:
        shown.print("Nothing was done (--dry-run).")
        return 0
    mark(lake, plan)
    if not arguments.now:
        shown.print("The next night cleans them again. To do it at once, add --now.")
        return 0
    return _clean_now(shown, settings, chosen_config(arguments), lake, asked)


def _clean_now(
    shown: Console, settings: Settings, config: Path | None, lake: Lake, asked: RefusedFilter
) -> int:
    """Clean the newest night again, which takes the marked days with it."""
    from pathlib import Path

    from jobs import clean
    from jobs.cli.airflow_home import night_lock
    from pipeline.cleaning.deliveries.refused_rows import refusals
    from pipeline.datasets import QUARANTINE

    newest = lake.dates(QUARANTINE)[-1]
    before = sum(refusal.rows for refusal in refusals(lake, asked))
    run_id = f"release-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    command = ["--date", newest.isoformat(), "--run-id", run_id]
    command += ["--config", str(config)] if config is not None else []
    with night_lock(Path(settings.paths.airflow)):
        code = clean.main(command)
    if code:
        return code
    after = sum(refusal.rows for refusal in refusals(lake, asked))
    shown.print(f"{before:,} rows were refused for {asked.reason}, now {after:,}.", markup=False)
    again = command_line("run", "--date", newest.isoformat())
    shown.print(f"The next night learns from them; to have this one do so: {again}", markup=False)
    return 0


def _asked(arguments: argparse.Namespace) -> RefusedFilter:
    from pipeline.cleaning.deliveries.refused_rows import RefusedFilter
    from pipeline.errors import InputError
    from pipeline.sources.source import DATASETS
    from pipeline.sources.yaml_entries import nearest

    if arguments.dataset not in ("", *DATASETS):
        raise InputError(
            f"--dataset: there is no {arguments.dataset!r};{nearest(arguments.dataset, DATASETS)}"
        )
    return RefusedFilter(arguments.dataset, arguments.reason, arguments.first, arguments.last)


def _nothing_found(lake: Lake, asked: RefusedFilter) -> str:
    from dataclasses import replace

    from pipeline.cleaning.deliveries.refused_rows import refusals
    from pipeline.sources.yaml_entries import nearest

    others = {refusal.reason for refusal in refusals(lake, replace(asked, reason=""))}
    there = nearest(asked.reason, sorted(others)) if others else " quarantine holds none there."
    return f"no row was refused for {asked.reason!r} there;{there}"


def _print_counts(shown: Console, found: list[Refusal], *, by_day: bool) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in ("dataset", "reason", "rows", *(("day",) if by_day else ("days", "first", "last"))):
        right = name in ("rows", "days")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for refusal in found:
        if by_day:
            for day, rows in refusal.days.items():
                table.add_row(refusal.dataset, refusal.reason, f"{rows:,}", str(day))
            continue
        days = [*refusal.days]
        row = (f"{refusal.rows:,}", f"{len(days):,}", str(days[0]), str(days[-1]))
        table.add_row(refusal.dataset, refusal.reason, *row)
    shown.print(table)


def _print_plan(shown: Console, found: list[Refusal], plan: Plan) -> None:
    for refusal in found:
        again = [day for day in refusal.days if day in plan.days]
        rows = sum(refusal.days[day] for day in again)
        shown.print(
            f"{refusal.dataset}: {rows:,} rows refused for {refusal.reason}, in {len(again):,} "
            f"delivery days{f', {again[0]} to {again[-1]}' if again else ''}",
            markup=False,
        )
    for day, file in plan.gone.items():
        shown.print(
            f"  {day} stays as it is: its raw file {file} is gone or of another name than the "
            "source's",
            markup=False,
        )


def _as_json(refusal: Refusal) -> dict[str, object]:
    return {
        "dataset": refusal.dataset,
        "reason": refusal.reason,
        "rows": refusal.rows,
        "days": {day.isoformat(): rows for day, rows in refusal.days.items()},
        "samples": refusal.samples,
    }


def _printable(text: str) -> str:
    """Without what would move the cursor: the rows are whatever somebody sent."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )

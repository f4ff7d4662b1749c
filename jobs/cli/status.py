"""`nightcart status`: what the last nights did, from the lake's run records."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import TYPE_CHECKING

from jobs.cli.invocation import command_line
from jobs.cli.readers import unseen_lines
from jobs.cli.settings_choice import add_config_argument, chosen_settings
from pipeline.stages import EVALUATE, PUBLISH, WAIT_FOR_RAW

if TYPE_CHECKING:
    from rich.console import Console

    from jobs.cli.stage_records import NightRecord
    from pipeline.lake import Lake
    from pipeline.settings import Settings

SHOWN_WARNINGS = 5  # of a night

EXAMPLES = """\
examples:
  nightcart status
  nightcart status --nights 30 --stages
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`status`."""
    parser = subparsers.add_parser(
        "status",
        help="what the last nights did",
        description="The last nights: how long they took, how many shoppers got a list, how many "
        "lists are fallbacks, and whether each was published or why not.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nights", type=int, default=10, help="how many runs (default: 10)")
    parser.add_argument("--stages", action="store_true", help="every stage's time and rows, too")
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Print the table."""
    from jobs.cli.stage_records import last_nights
    from jobs.cli.terminal import console
    from pipeline.datasets import RECOMMENDATIONS
    from pipeline.lake import Lake
    from pipeline.night_dates import shops_today
    from pipeline.publishing.readers import unseen_nights

    settings = chosen_settings(arguments)
    lake = Lake(settings.paths.lake)
    shown = console()
    nights = last_nights(lake, arguments.nights)
    latest = lake.whole_latest(RECOMMENDATIONS)
    if latest is None:
        shown.print(f"Nothing is published in {lake.root} yet.", markup=False)
    else:
        shown.print(
            f"Readers see the night of {latest.run_date}: {latest.rows:,} shoppers, {latest.path}",
            markup=False,
        )
    today = shops_today(settings.shop.timezone, dt.datetime.now(dt.UTC))
    for line in unseen_lines(unseen_nights(lake, today)):
        shown.print(line, markup=False)
    if not nights:
        again = command_line("run", "--date", "YYYY-MM-DD")
        shown.print(f"No night has run. Try: {again}", markup=False)
        return 0
    _print_nights(shown, lake, nights)
    _print_outdated(shown, lake, settings.cleaning.late_horizon_days)
    _print_made_otherwise(shown, lake, settings)
    _print_snapshots(shown, settings)
    if arguments.stages:
        for night in nights:
            _print_stages(shown, lake, night)
    return 0


def _print_snapshots(shown: Console, settings: Settings) -> None:
    """What is kept of files that the shop overwrites."""
    from pipeline.sources.snapshots import all_snapshots

    for store in all_snapshots(settings.paths.snapshots):
        if said := store.said():
            shown.print(f"{store.root.name}: {said}", markup=False)


def _print_nights(shown: Console, lake: Lake, nights: list[NightRecord]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from jobs.cli.stage_records import fallback_share
    from pipeline.datasets import RECOMMENDATIONS

    table = Table(box=None, header_style="bold")
    names = ("night", "started (UTC)", "took", "stages", "NDCG", "shoppers", "fallback")
    for name in (*names, "published"):
        right = name in ("took", "NDCG", "shoppers", "fallback")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for night in nights:
        partition = lake.whole(RECOMMENDATIONS, night.run.run_date) if night.published else None
        share = fallback_share(partition) if partition is not None else None
        done = sum(stage["status"] == "done" for stage in night.stages.values())
        table.add_row(
            str(night.run.run_date),
            night.started[:16].replace("T", " "),
            f"{night.seconds:.0f} s",
            f"{done} done",
            _ndcg(night),
            f"{partition.rows:,}" if partition is not None else "",
            f"{share:.1%}" if share is not None else "",
            escape(_outcome(night)),
        )
    shown.print(table)
    for night in nights:
        for stage, warning in night.warnings[:SHOWN_WARNINGS]:
            shown.print(f"warning: {night.run.run_date}, {stage}: {warning}", markup=False)
        if len(night.warnings) > SHOWN_WARNINGS:
            more = len(night.warnings) - SHOWN_WARNINGS
            shown.print(f"warning: {night.run.run_date}: {more} more", markup=False)


def _ndcg(night: NightRecord) -> str:
    """The night's own model on the test half; in brackets the champion's where none was trained."""
    from pipeline.model.list_methods import CANDIDATE, CHAMPION

    report = night.stages.get(EVALUATE, {}).get("report") or {}
    values = report.get("ndcg") or {}
    for name, shown in ((CANDIDATE, "{:.3f}"), (CHAMPION, "({:.3f})")):
        value = values.get(name)
        if isinstance(value, int | float):
            return shown.format(value)
    return ""


def _print_outdated(shown: Console, lake: Lake, horizon_days: int) -> None:
    from pipeline.errors import DamagedError
    from pipeline.publishing.outdated import outdated_nights

    try:
        nights = outdated_nights(lake, horizon_days)
    except DamagedError as error:
        shown.print(f"\n{error}", markup=False)
        return
    if late := [night for night in nights if night.late]:
        shown.print(
            f"\nMade without rows that came late (events up to {horizon_days} days late are taken "
            "in; a night made again knows what it knew):",
            markup=False,
        )
        for night in late:
            shown.print(
                f"  {night.run_date}  {night}; nights from {night.complete_from} on have them",
                markup=False,
            )
    if changed := [night for night in nights if night.changed]:
        shown.print("\nTo be made again, deliveries were cleaned again since:", markup=False)
        for night in changed:
            again = command_line("run", "--date", str(night.run_date))
            days = ", ".join(map(str, night.changed[:3])) + (" …" if night.changed[3:] else "")
            shown.print(f"  {night.run_date}  {days}: {again}", markup=False)


def _print_made_otherwise(shown: Console, lake: Lake, settings: Settings) -> None:
    from pipeline.cleaning.deliveries.made_by import described
    from pipeline.errors import NightcartError

    try:
        lines = described(lake, settings)
    except NightcartError as error:
        lines = [str(error)]
    if lines:
        shown.print("\nCleaned by something else than the source YAML and settings say now:")
    for line in lines:
        shown.print(f"  {line}", markup=False)


def _outcome(night: NightRecord) -> str:
    from jobs.wait_for_raw import LOOKED_FOR_AGAIN

    if night.published and night.stands_in:
        return _stood_in(night)
    failed = night.failed_stage
    if failed == WAIT_FOR_RAW and LOOKED_FOR_AGAIN in (
        said := str(night.stages[failed].get("error"))
    ):
        return f"not yet: waiting, {said}"
    if failed is not None:
        kept = "yes, but " if night.published else "no: "
        return f"{kept}{failed} failed: {night.stages[failed].get('error', 'no reason recorded')}"
    if night.published:
        return "yes"
    if night.stages.get(PUBLISH, {}).get("status") == "done":
        return "replaced by a later run"
    last = night.in_order()[-1]
    what = "is running, or was stopped" if night.stages[last]["status"] == "running" else "ended"
    return f"no: {last} {what}; nothing after it has run"


def _stood_in(night: NightRecord) -> str:
    """Readers have another night's lists in place of this one's: which, and why."""
    stopped = next(
        (stage for stage in night.in_order() if night.stages[stage]["status"] != "done"), None
    )
    why = ""
    if stopped is not None:
        said = night.stages[stopped].get("error", "it was ended, the night's time was up")
        why = f": {stopped}: {said}"
    return f"no: the lists of {night.stands_in} stand in{why}"


def _print_stages(shown: Console, lake: Lake, night: NightRecord) -> None:
    from jobs.cli.stage_records import said_of

    shown.print(f"\n{night.run.run_date}  {night.run.run_id}", markup=False, style="bold")
    for stage in night.in_order():
        record = night.stages[stage]
        said = record.get("error") or said_of(lake, night.run, stage)
        shown.print(
            f"  {stage:<18} {record['status']:<8} {record.get('seconds', 0.0):8.1f} s  {said}",
            markup=False,
        )

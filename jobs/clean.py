"""Clean a day's raw files: events, reviews, items and users, whatever the shop's source has.

Reads the files that the source YAML (shop.source) names below paths.raw. Pseudonymises users,
scrubs free text, sends refused rows to quarantine with their reason, removes duplicates and bots,
and commits one partition per delivery day of cleaned_events, cleaned_reviews, cleaned_items,
cleaned_users, quarantine, removed_events and retractions. Late rows go into their own day, and
their user's day is resolved again. Delivered days before the date that the lake does not have yet
are taken in first, in the same pass. The ledger balances to the row, or nothing is committed.
"""

from __future__ import annotations

import argparse
from collections import Counter

from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.generation.reasons.voice import read_voice
from pipeline.spark_scratch import scratch_root
from pipeline.spark_session import open_spark
from pipeline.stage import Report, Stage, iso_date, log, run_stage, stage_parser
from pipeline.stages import CLEAN


def clean(stage: Stage, arguments: argparse.Namespace) -> Report:
    """Clean the night; its ledger lines are written with it."""
    if stage.settings.reasons.enabled:
        read_voice(stage.settings.reasons)  # a mistake in it is said before the night's work
    spark = open_spark(stage.settings.spark, CLEAN, scratch_root(stage.lake))
    night = clean_night(
        spark, stage.settings, stage.lake, stage.run, arguments.first, every=arguments.again
    )
    for line in night.lines:
        if line.run_date == stage.run.run_date:
            log.info(str(line))
    return report(night)


def report(night: CleanedNight) -> Report:
    """The figures that the run's record keeps: totals over the days that were cleaned."""
    datasets: dict[str, Report] = {}
    for name in dict.fromkeys(line.dataset for line in night.lines):
        lines = [line for line in night.lines if line.dataset == name]
        quarantined, removed = Counter[str](), Counter[str]()
        for line in lines:
            quarantined.update(line.quarantined)
            removed.update(line.removed)
        datasets[name] = {
            "rows_in": sum(line.rows_in for line in lines),
            "rows_out": sum(line.rows_out for line in lines),
            "quarantined": dict(quarantined.most_common()),
            "removed": dict(removed.most_common()),
        }
    return {
        "days": len(night.days),
        "first_day": night.days[0].isoformat(),
        "last_day": night.days[-1].isoformat(),
        "datasets": datasets,
        "bots": night.bots,
        "consent_unreadable_taken_as_no": night.consent_unread,
        "snapshots": night.snapshots,
        "warnings": night.warnings,
    }


def main(argv: list[str] | None = None) -> int:
    """The process's entry."""
    parser = stage_parser(CLEAN, __doc__)
    parser.add_argument(
        "--from",
        dest="first",
        type=iso_date,
        help="leave aside deliveries before this day (default: cleaning.first_day, or none)",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="clean every delivery up to the date again, such as after an update of the code",
    )
    return run_stage(CLEAN, parser, clean, argv)


if __name__ == "__main__":
    raise SystemExit(main())

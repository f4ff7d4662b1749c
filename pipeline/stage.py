"""What every job does around its work: arguments, a run record, one clear line on failure.

Writes `<lake>/runs/run_date=D/run_id=R/<stage>.json`: status (`running`, `done`, `failed`),
start and end in UTC, what the stage reported, and the error. Standard library only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import durable, file_modes
from pipeline.encryption import keyring
from pipeline.error_words import in_words, key_fault, traceback_without_values, without_quoted
from pipeline.errors import DATA_ERROR, OK, NightcartError, SettingsError, StorageError
from pipeline.lake import Lake, Run, run_id_of, storage_errors, write_json
from pipeline.open_files import ran_out, too_many_open_files
from pipeline.settings import Settings, load_settings
from pipeline.settings_files import CONFIG_HELP, chosen_config
from pipeline.stages import EXPIRE, WAIT_FOR_RAW

log = logging.getLogger("nightcart")


@dataclass(frozen=True)
class Stage:
    """One stage of one run: what a job's work function is given."""

    name: str
    run: Run
    settings: Settings
    lake: Lake

    @property
    def record_path(self) -> Path:
        """The stage's own record."""
        return self.lake.records(self.run) / f"{self.name}.json"


Report = dict[str, Any]


def stage_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The arguments every stage takes."""
    parser = argparse.ArgumentParser(
        prog=f"python -m jobs.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_arguments(parser)
    return parser


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """`--date`, `--config` and `--run-id`."""
    parser.add_argument(
        "--date", type=iso_date, required=True, help="the night, YYYY-MM-DD in the shop's zone"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help=CONFIG_HELP)
    parser.add_argument(
        "--run-id", default="manual", help="the attempt; a retry keeps it (default: manual)"
    )


def iso_date(text: str) -> dt.date:
    """A calendar date, for argparse."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2026-03-01") from None


def run_stage(
    name: str,
    parser: argparse.ArgumentParser,
    work: Callable[[Stage, argparse.Namespace], Report],
    argv: list[str] | None = None,
) -> int:
    """Parse, run `work`, record the outcome; return the process's exit code.

    A `NightcartError` is printed as one line and its exit code returned. Anything else is a
    fault of ours: its traceback goes to the log, without the values that an engine's message
    names (`error_words`), and it counts as worth a retry.
    """
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s {name} %(message)s",
        datefmt="%H:%M:%S",
    )
    try:
        settings = load_settings(chosen_config(arguments.config, os.environ), os.environ)
        run = Run(arguments.date, run_id_of(arguments.run_id))
    except SettingsError as error:
        print(f"{name} failed: {error}", file=sys.stderr)
        return DATA_ERROR
    stage = Stage(name, run, settings, Lake(settings.paths.lake))
    # A second process of the same stage and run waits for the first: they share their scratch.
    with ExitStack() as held:
        held.enter_context(file_modes.as_before())
        held.enter_context(keyring.as_before())
        file_modes.restrict(settings.paths.group_readable)
        return _run(stage, work, arguments, held)


def _run(
    stage: Stage,
    work: Callable[[Stage, argparse.Namespace], Report],
    arguments: argparse.Namespace,
    held: ExitStack,
) -> int:
    name, run = stage.name, stage.run
    try:
        with storage_errors(f"cannot write the run record {stage.record_path}"):
            durable.make_directory(stage.record_path.parent)
            # The one looks at the lake only when it is done with waiting; the other is to be alone.
            if name not in (WAIT_FOR_RAW, EXPIRE):
                held.enter_context(stage.lake.in_use())
            held.enter_context(stage.lake.writing(f"stage.{name}", run))
            record: Report = {"stage": name, "status": "running", "started": _utc_now()}
            write_json(stage.record_path, record)
    except StorageError as error:
        # Nothing can be recorded where nothing can be written: this line is all there is.
        print(f"{name} {run.run_date} failed: {error}", file=sys.stderr)
        return error.exit_code
    started = time.monotonic()
    code = OK
    try:
        if name != WAIT_FOR_RAW:  # it neither reads nor writes tables of the lake
            keys = keyring.use(stage.settings)
            if name != EXPIRE:  # it writes none
                keys.prepare()
        record |= {"report": work(stage, arguments), "status": "done"}
    except NightcartError as error:
        record |= {"status": "failed", "error": str(error)}
        code = error.exit_code
    except OSError as error:
        record |= {"status": "failed", "error": _explain_os_error(error)}
        code = 75
    except Exception as error:
        if fault := key_fault(error):
            record |= {"status": "failed", "error": fault}
            code = DATA_ERROR
        else:
            record |= {"status": "failed", "error": in_words(error)}
            print(traceback_without_values(error), end="", file=sys.stderr)
            code = 1
    record |= {"ended": _utc_now(), "seconds": round(time.monotonic() - started, 1)}
    _write_last_record(stage, record)
    if code:
        print(f"{name} {stage.run.run_date} failed: {record['error']}", file=sys.stderr)
    else:
        log.info("done in %.1f s", record["seconds"])
    return code


def _explain_os_error(error: OSError) -> str:
    if ran_out(error):
        return too_many_open_files()
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or without_quoted(str(error))}{where}"


def _write_last_record(stage: Stage, record: Report) -> None:
    """A full disk must not hide the error that filled it."""
    try:
        write_json(stage.record_path, record)
    except OSError as error:
        print(f"{stage.name}: the run record was not written: {error}", file=sys.stderr)


def _utc_now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")

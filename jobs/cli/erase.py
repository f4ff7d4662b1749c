"""`nightcart erase`: users are taken out of every file of the lake, with a proof."""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.cli.settings_choice import add_config_argument, chosen_settings

if TYPE_CHECKING:
    from pipeline.erasure.kept_tables import RawTables
    from pipeline.erasure.plan import Plan
    from pipeline.lake import Lake
    from pipeline.settings import Settings

SECONDS_BETWEEN_LINES = 2.0
MEGABYTE = 1_000_000

EXAMPLES = """\
examples:
  nightcart erase 4711 --dry-run      what would be done; nothing is changed
  nightcart erase 4711 --yes          one shopper, by your own id
  nightcart erase --file ids.txt      many at once, an id a line: they cost little more than one
  nightcart erase                     go on with an erasure that was cut off
  nightcart erase --list              what was erased so far: the proofs
  nightcart erase --lift 4711         take a shopper in again who has come back and agreed
An id is taken exactly as the source's map gives it: " 7" and "7" are two shoppers.
Nights wait while it runs, and it waits for the stage that is running.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`erase`."""
    parser = subparsers.add_parser(
        "erase",
        help="take shoppers out of every file of the lake, with a proof",
        description="Write every file of the lake that holds a shopper again without them: cleaned "
        "data, histories, lists, exports, quarantine, records, old runs, kept snapshots and "
        "copies of tables. Drop models that know "
        "words only they wrote, and keep them out when raw files bring them again. The proof of "
        "what was searched and changed lies in <lake>/erasures/.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("users", nargs="*", metavar="USER", help="the retailer's ids")
    parser.add_argument("--file", type=Path, metavar="F", help="a file of ids, one a line, UTF-8")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="say what would be done")
    what.add_argument("--list", action="store_true", help="the proofs of earlier erasures")
    what.add_argument(
        "--lift", action="store_true", help="let these shoppers be cleaned in again from now on"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Erase, or say what would be or was erased."""
    from pipeline.erasure.erase import ask, erase, look
    from pipeline.lake import Lake

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    settings = chosen_settings(arguments)
    lake = Lake(settings.paths.lake)
    if arguments.list:
        return _list(lake)
    ids = [*arguments.users, *(_ids_in(arguments.file) if arguments.file else ())]
    if arguments.lift:
        return _lift(lake, settings, ids)
    asked = ask(
        lake,
        settings.privacy.key_file,
        ids,
        _logs(settings),
        _exports(settings),
        user_ids=_user_ids(settings),
        snapshots=_snapshots(settings),
        tables=_tables(settings),
    )
    for doubt in asked.tables.doubts() if asked.tables else ():
        print(f"WARNING: {doubt}", file=sys.stderr)
    more = len(asked.ids) - len(set(ids))
    if more:
        print(f"An erasure of {more:,} others was cut off: it is finished with this one.")
    if arguments.dry_run:
        _print_plan(look(asked, _progress()), len(asked.ids))
        for of in asked.exported():
            print(f"Would be removed: the files of {len(of.holding):,} exports for {of.tool}.")
        for kept in asked.kept():
            print(f"{sum(kept.rows.values()):,} rows of the snapshot of {kept.name} would go.")
        for table in asked.tabled():
            print(
                f"{sum(table.rows.values()):,} rows of the copies of the table of {table.name} "
                "(paths.raw/tables) would go."
            )
        return 0
    if not arguments.yes and not _agreed(len(asked.ids)):
        print("Nothing was changed.")
        return 1
    proof = erase(asked, lambda: dt.datetime.now(dt.UTC), _progress())
    _print_proof(lake, proof.name, proof.facts)
    return 0


def _ids_in(path: Path) -> list[str]:
    """The lines of a file; blank ones are none."""
    from pipeline.errors import InputError

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text, an id a line: {error}") from None
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


def _logs(settings: Settings) -> list[Path]:
    logs = Path(settings.paths.airflow) / "logs"
    return [logs] if logs.is_dir() else []


def _exports(settings: Settings) -> Path | None:
    root = Path(settings.paths.exports)
    return root if root.is_dir() else None


def _snapshots(settings: Settings) -> Path | None:
    root = Path(settings.paths.snapshots)
    return root if root.is_dir() else None


def _tables(settings: Settings) -> RawTables | None:
    """Copies of the shop's tables; by telling ids alone where the source cannot be read."""
    from pipeline.erasure.kept_tables import RawTables
    from pipeline.errors import NightcartError
    from pipeline.sources.source_yaml import load_source

    raw = Path(settings.paths.raw)
    if not (raw / "tables").is_dir():
        return None
    try:
        return RawTables.of(raw, load_source(settings.shop.source))
    except NightcartError:  # it is said by `_user_ids`
        return RawTables.of(raw, None)


def _user_ids(settings: Settings) -> str:
    """How the source makes user ids; a source that cannot be read keeps nobody in the lake."""
    from pipeline.errors import NightcartError
    from pipeline.sources.source_yaml import load_source

    try:
        return load_source(settings.shop.source).user_ids_digest
    except NightcartError as error:
        print(f"Whether user ids are mapped as before is not noted: {error}", file=sys.stderr)
        return ""


def _agreed(users: int) -> bool:
    from pipeline.errors import InputError

    if not sys.stdin.isatty():
        raise InputError("erasing cannot be undone: give --yes, or look first with --dry-run")
    asked = f"Erase {users:,} {'shopper' if users == 1 else 'shoppers'} for good? [y/N] "
    return input(asked).strip().lower() in {"y", "yes"}


def _progress() -> Callable[[str], None]:
    said = time.monotonic()

    def progress(doing: str) -> None:
        nonlocal said
        if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            print(doing, file=sys.stderr, flush=True)

    return progress


def _lift(lake: Lake, settings: Settings, ids: list[str]) -> int:
    from pipeline.erased import digest_of, lift_erased
    from pipeline.lake_key import key_of_lake
    from pipeline.pseudonym import pseudonym

    key = key_of_lake(lake, settings.privacy.key_file)
    with lake.rewriting():
        lifted = lift_erased(lake, [digest_of(pseudonym(user, key), key) for user in ids])
    print(
        f"{lifted:,} of {len(set(ids)):,} had been erased and may be cleaned in again. Deliveries "
        "from now on bring them; earlier ones do when they are cleaned again (nightcart redo "
        "--date D --from clean)"
    )
    return 0


def _list(lake: Lake) -> int:
    from pipeline.erasure.proof import proofs

    found = proofs(lake)
    for proof in found:
        if "damaged" in proof.facts:
            print(f"{proof.name}  {proof.facts['damaged']}")
            continue
        facts = proof.facts
        print(
            f"{proof.name}  {facts['found']:,} of {facts['users']:,} shoppers found and erased, "
            f"{sum(facts['rows'].values()):,} rows, {len(facts['files']):,} files, "
            f"{len(facts['models']['dropped'])} models dropped"
        )
    if not found:
        print(f"Nobody was erased from {lake.root} so far.")
    return 0


def _print_plan(plan: Plan, users: int) -> None:
    print(f"{len(plan.found):,} of {users:,} shoppers are in the lake.")
    _print_searched({name: vars(of) for name, of in plan.searched.items()}, plan.rows_by_dataset())
    print(
        f"Would be written again: {len(plan.directories):,} directories and {len(plan.texts):,} "
        f"other files. Would go: {len(plan.unclosed):,} directories that were never closed, and "
        f"{len(plan.scratch):,} of scratch."
    )
    sentences = sum(len(files) for files in plan.lists.values())
    if plan.words or sentences:
        print(
            f"Words of items that only they said go from {len(plan.words):,} nights, sentences "
            f"for others that say them from {sentences:,} files."
        )
    for model in plan.drop:
        print(f"Would be dropped, for words that only they wrote: the model of {model.date}")
    if plan.learned:
        print(
            f"{len(plan.learned):,} models stay; no night starts from their weights any more "
            "(the next one trains from nothing)."
        )
    for fault in plan.faults:
        print(f"FAULT: {fault}")


def _print_proof(lake: Lake, name: str, facts: Mapping[str, Any]) -> None:
    from pipeline.erased import ERASURES

    print(f"{facts['found']:,} of {facts['users']:,} shoppers were in the lake and are erased.")
    _print_searched(facts["searched"], facts["rows"])
    for model in facts["models"]["dropped"]:
        print(f"Dropped, for words that only they wrote: {model}")
    if facts["models"]["not_gone_on_from"]:
        print("The next night trains from nothing: models before it had learned from them.")
    if left := facts["users"] - facts["ids_looked_for_in_clear"]:
        print(
            f"{left:,} ids cannot be told from other words and numbers: they were looked for by "
            "their pseudonym only."
        )
    for tool, sent in facts["exports"].items():
        print(f"Files of exports for {tool} that held them are removed.")
        if sent:
            print(
                f"{tool} was sent {sent:,} of them: nightcart export --to {tool} has it clear their "
                "lists. Until then their ids stay in what it was sent; what else the tool holds "
                "of them is to be removed there."
            )
    print(f"{len(facts['files']):,} files changed or removed; the proof: ", end="")
    print(lake.root / ERASURES / f"{name}.json")


def _print_searched(searched: Mapping[str, Mapping[str, int]], rows: Mapping[str, int]) -> None:
    print(f"{'dataset':20} {'directories':>11} {'files':>9} {'MB':>10} {'rows erased':>12}")
    for name, of in sorted(searched.items()):
        print(
            f"{name:20} {of['directories']:11,} {of['files']:9,} {of['bytes'] / MEGABYTE:10,.1f} "
            f"{rows.get(name, 0):12,}"
        )

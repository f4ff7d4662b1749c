"""`nightcart models`: list, compare, promote, roll back."""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import json
import sys
from typing import TYPE_CHECKING

from jobs.cli.settings_choice import add_config_argument, chosen_settings
from pipeline.datasets import CHAMPIONS
from pipeline.stage import iso_date

if TYPE_CHECKING:
    from pipeline.lake import Lake
    from pipeline.model.champion import ChampionRecord

EXAMPLES = """\
examples:
  nightcart models list
  nightcart models compare 2026-03-01 2026-03-02
  nightcart models rollback --why "lists full of gift cards"
  nightcart models promote 2026-02-27-0a1b2c3d --why "the one the shop liked"

A model is named by its version, by its night, or by night/run. A decision holds from its date on
(the newest evaluated night, unless --date says another) and is written beside the gate's: nothing
is erased. To publish a night again with it, run that night's generate and publish again.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`models` and its four."""
    parser = subparsers.add_parser(
        "models",
        help="list, compare, promote and roll back models",
        description="Which model generates, how good each night's was, and a person's word on it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    action = actions.add_parser("list", help="every night's model, its figures and the champion")
    action.add_argument("--json", action="store_true", help="one JSON object a line")
    _finish(action, _list)

    action = actions.add_parser("compare", help="two models on the same held-out shoppers")
    action.add_argument("first", metavar="A", help="a model")
    action.add_argument("second", metavar="B", help="another")
    action.add_argument("--date", type=iso_date, help="whose shoppers (default: the newer model's)")
    action.add_argument("--json", action="store_true", help="JSON")
    _finish(action, _compare)

    action = actions.add_parser("promote", help="make a model the champion")
    action.add_argument("model", metavar="RUN", help="the model")
    _add_decision(action)
    _finish(action, _promote)

    action = actions.add_parser("rollback", help="go back to the champion before")
    action.add_argument("--to", metavar="RUN", help="to this model instead")
    _add_decision(action)
    _finish(action, _rollback)


def _finish(parser: argparse.ArgumentParser, execute: object) -> None:
    add_config_argument(parser)
    parser.set_defaults(execute=execute)


def _add_decision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--why", required=True, help="the reason, for whoever reads the report")
    parser.add_argument("--by", help="who decides (default: the user who runs this)")
    parser.add_argument(
        "--date", type=iso_date, help="from which night on (default: the newest evaluated one)"
    )


def _list(arguments: argparse.Namespace) -> int:
    from rich.table import Table

    from jobs.cli.terminal import console
    from pipeline.evaluation.model_table import model_lines
    from pipeline.lake import Lake
    from pipeline.model.list_methods import COMPARED_MODELS, REPEAT_BASELINES

    lines = model_lines(Lake(chosen_settings(arguments).paths.lake))
    if arguments.json:
        for line in lines:
            print(json.dumps(line.as_json(), ensure_ascii=False))
        return 0
    if not lines:
        print("no model was trained yet; run a night first: nightcart run --date YYYY-MM-DD")
        return 0
    table = Table(box=None, pad_edge=False)
    heads = (
        "NDCG",
        "champion",
        "item-kNN",
        "Markov",
        "bestsellers",
        "own + bestsellers",
        "TIFU-KNN",
    )
    # The last two only where a night measured them: where items may be recommended again.
    measured = {name for line in lines for name in line.ndcg}
    shown = {
        name: head
        for name, head in zip(COMPARED_MODELS, heads, strict=True)
        if name not in REPEAT_BASELINES or name in measured
    }
    for head in ("night", "model", *shown.values(), "outcome"):
        table.add_column(head, no_wrap=head != "outcome")
    for line in lines:
        figures = {
            name: f"{mean:.4f}" + ("" if low is None else f" [{low:.4f}, {high:.4f}]")
            for name, (mean, low, high) in line.ndcg.items()
        }
        record = line.champion
        generates = (record.model_version or "the fallback") if record else "not evaluated"
        by_hand = f", {record.why}" if record and record.decided_by else ""
        is_its_own = record is not None and record.model_version == line.model_version
        table.add_row(
            line.run_date.isoformat(),
            line.model_version or "none",
            *(figures.get(n, "–") for n in shown),
            f"{'generates' if is_its_own else generates + ' generates'}{by_hand}",
        )
    console().print(table)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from rich.table import Table

    from jobs.cli.terminal import console
    from pipeline.evaluation.comparison import compare
    from pipeline.lake import Lake
    from pipeline.model.decisions import find_model

    settings = chosen_settings(arguments)
    lake = Lake(settings.paths.lake)
    first, second = find_model(lake, arguments.first), find_model(lake, arguments.second)
    date = arguments.date or max(first.run_date, second.run_date)
    made = compare(lake, first, second, date, settings)
    if arguments.json:
        said = {
            "first": made.versions[0],
            "second": made.versions[1],
            "run_date": made.run_date.isoformat(),
            "k": made.k,
            "n_users": made.n_users,
            "measures": {
                each.metric: {
                    "first": vars(each.first),
                    "second": vars(each.second),
                    "difference": vars(each.difference),
                    "better": each.verdict,
                }
                for each in made.measures
            },
        }
        print(json.dumps(said, ensure_ascii=False, indent=1))
        return 0
    print(f"{made.n_users:,} shoppers held out for the test of {made.run_date}; 95 % intervals")
    table = Table(box=None, pad_edge=False)
    for name in (f"at {made.k}", *made.versions, "difference", "better"):
        table.add_column(name, no_wrap=True)
    names = {"first": made.versions[0], "second": made.versions[1]}
    for each in made.measures:
        verdict = names.get(each.verdict, each.verdict)
        table.add_row(each.metric, str(each.first), str(each.second), str(each.difference), verdict)
    console().print(table)
    return 0


def _promote(arguments: argparse.Namespace) -> int:
    from pipeline.lake import Lake
    from pipeline.model.decisions import find_model, promote

    lake = Lake(chosen_settings(arguments).paths.lake)
    model = find_model(lake, arguments.model)
    date = arguments.date or _newest(lake)
    record = promote(lake, model, date, _by(arguments), _now(), arguments.why)
    return _say(record, date)


def _rollback(arguments: argparse.Namespace) -> int:
    from pipeline.lake import Lake
    from pipeline.model.decisions import find_model, rollback

    lake = Lake(chosen_settings(arguments).paths.lake)
    to = find_model(lake, arguments.to) if arguments.to else None
    date = arguments.date or _newest(lake)
    record = rollback(lake, to, date, _by(arguments), _now(), arguments.why)
    return _say(record, date)


def _newest(lake: Lake) -> dt.date:
    from pipeline.errors import InputError

    dates = lake.dates(CHAMPIONS)
    if not dates:
        raise InputError(f"no night of {lake.root} was evaluated yet; run one, or give --date")
    return dates[-1]


def _by(arguments: argparse.Namespace) -> str:
    return arguments.by or getpass.getuser()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _say(record: ChampionRecord, date: dt.date) -> int:
    print(f"champion from {date} on: {record.model_version} ({record.why})")
    print(
        "the next night starts from it; lists already published stay as they are", file=sys.stderr
    )
    return 0

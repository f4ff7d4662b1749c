"""`nightcart contracts`: the datasets' definitions, as a list, a page, or a folder of pages."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """\
examples:
  nightcart contracts list
  nightcart contracts show recommendations
  nightcart contracts docs --out docs/contracts
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`contracts list`, `contracts show` and `contracts docs`."""
    parser = subparsers.add_parser(
        "contracts",
        help="what each dataset is: columns, types, rules",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every dataset and what it holds")
    listing.set_defaults(execute=execute_list)
    show = actions.add_parser("show", help="one dataset's columns and rules")
    show.add_argument("dataset", help="such as recommendations")
    show.set_defaults(execute=execute_show)
    docs = actions.add_parser("docs", help="write every dataset's page (Markdown)")
    docs.add_argument("--out", type=Path, required=True, help="directory to write")
    docs.set_defaults(execute=execute_docs)


def execute_list(_arguments: argparse.Namespace) -> int:
    """Print the table of datasets."""
    from rich.table import Table

    from jobs.cli.terminal import console
    from pipeline.contracts.contract import contract_files, load_contract

    table = Table("dataset", "version", "what it holds", box=None, header_style="bold")
    for name in contract_files():
        dataset, version = name.removesuffix(".yaml").rsplit(".v", 1)
        contract = load_contract(dataset, int(version))
        table.add_row(dataset, version, " ".join(contract.description.split()))
    console().print(table)
    return 0


def execute_show(arguments: argparse.Namespace) -> int:
    """Print one dataset's page."""
    import sys

    from rich.markdown import Markdown

    from jobs.cli.terminal import console
    from pipeline.contracts.contract import load_contract
    from pipeline.contracts.documentation import contract_page

    page = contract_page(load_contract(arguments.dataset))
    if sys.stdout.isatty():
        console().print(Markdown(page))
    else:
        print(page)
    return 0


def execute_docs(arguments: argparse.Namespace) -> int:
    """Write the pages."""
    from pipeline.contracts.documentation import write_documentation

    for path in write_documentation(arguments.out):
        print(path)
    return 0

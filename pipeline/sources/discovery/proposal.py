"""A source YAML for a folder of a stranger's files, and what is to be said of it.

Reads names, and a sample of each kind of file (`formats`); the same folder gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import InputError
from pipeline.sources.discovery.arrays import with_elements
from pipeline.sources.discovery.datasets import chosen_tables
from pipeline.sources.discovery.entries import plans_of
from pipeline.sources.discovery.folder import look_at
from pipeline.sources.discovery.formats import (
    SAMPLE_BYTES,
    SAMPLE_FILES,
    SAMPLE_ROWS,
    NotReadError,
    read_table,
)
from pipeline.sources.discovery.plan import FILL_IN, Plan
from pipeline.sources.discovery.ready import Ready, made_to_fit, recognised
from pipeline.sources.discovery.roles import Known, known_columns
from pipeline.sources.discovery.yaml_text import comment_line, scalar, source_yaml

SAMPLE = (
    f"at most {SAMPLE_BYTES // 1024:,} KiB of the beginning of at most {SAMPLE_FILES} files of "
    f"each kind, and at most {SAMPLE_ROWS:,} rows"
)


@dataclass
class Proposal:
    """What `source new` found, and the YAML that it proposes."""

    name: str
    yaml: str
    tables: list[Known]
    plans: list[Plan]
    to_fill: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # without which no night can run
    left_out: list[tuple[str, str]] = field(default_factory=list)
    like: str = ""  # the ready mapping that it was made of


def propose(
    folder: Path,
    *,
    like: str = "",
    timezone: str = "",
    consent: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> Proposal:
    """Look at a folder and propose a source for it.

    Args:
        folder: where the shop's files lie.
        like: a ready mapping to start from; empty: one that is recognised, or none.
        timezone: of times without an offset, if the reader said it.
        consent: SQL for the users' consent, if the reader said it.
        say: is told what is being looked at.

    Raises:
        InputError: there is no folder, or no file in it that can be read.
    """
    tables, left_out = tables_of(folder, say)
    name = re.sub(r"\W+", "_", folder.resolve().name.lower()).strip("_") or "shop"
    if like or (like := recognised(tables)):
        ready = made_to_fit(like, tables, timezone=timezone, consent=consent)
        return _of_ready(name, ready, tables, left_out)
    tables = [with_elements(known) for known in tables]
    choice = chosen_tables(tables)
    plans = plans_of(choice.tables, tables, consent)
    used = {id(join.table) for plan in plans for join in plan.joins}
    unused = [one for one in choice.unused if id(one[0].table) not in used]
    left_out += [(known.table.group.pattern, why) for known, why in unused]
    missing = [f"{plan.dataset}: {text}" for plan in plans for text in plan.missing]
    if not any(plan.dataset in ("events", "reviews") for plan in plans):
        missing.append(
            "no file looks like events (a shopper, an item, a time) or like reviews (an item, a "
            "rating)"
        )
    to_fill = [text for plan in plans for text in plan.to_fill]
    zone, asked = zone_lines(plans, timezone)
    to_fill += asked
    heading = [
        f"Proposed by `nightcart source new` from {len(tables)} kinds of files. It read {SAMPLE}.",
        f"Each comment `guess` may be wrong; each {FILL_IN} is a question that only you can answer.",
        *(f"Missing: {text}." for text in missing),
        *(f"Not read: {path}: {why}." for path, why in left_out),
    ]
    text = source_yaml(name, f"The files of {name}, as they were found.", heading, zone, plans)
    return Proposal(name, text, tables, plans, to_fill, missing, left_out)


def _of_ready(
    name: str, ready: Ready, tables: list[Known], left_out: list[tuple[str, str]]
) -> Proposal:
    """The proposal that a ready mapping makes."""
    left_out += [
        (known.table.group.pattern, f"the mapping {ready.name} does not read it")
        for known in tables
        if known not in ready.used
    ]
    heading = [
        f"# From the ready mapping {ready.name}, by `nightcart source new`. It read {SAMPLE}.",
        f"# Each {FILL_IN} is a question that only you can answer.",
        *(comment_line(f"Missing: {text}.") for text in ready.missing),
        *(comment_line(f"Not read: {path}: {why}.") for path, why in left_out),
    ]
    text = re.sub(r"^source: .*$", f"source: {name}", ready.text, count=1, flags=re.MULTILINE)
    return Proposal(
        name,
        "\n".join(heading) + "\n" + text,
        tables,
        [],
        ready.to_fill,
        ready.missing,
        left_out,
        ready.name,
    )


def tables_of(
    folder: Path, say: Callable[[str], None]
) -> tuple[list[Known], list[tuple[str, str]]]:
    """The tables of a folder with what their columns are, and what was not read, with why.

    Raises:
        InputError: there is no folder, or no file in it that can be read.
    """
    found = look_at(folder)
    left_out = [one for one in found.left_out if one[1] != "no data"]
    tables = []
    for group in found.groups:
        say(f"looking at {group.pattern}")
        try:
            tables.append(known_columns(read_table(folder, group)))
        except NotReadError as error:
            left_out.append((group.pattern, str(error)))
        if group.doubt:
            left_out.append((group.pattern, group.doubt))
    if not tables:
        said = "; ".join(f"{path} {why}" for path, why in left_out[:5])
        raise InputError(f"{folder}: no file can be read{': ' if said else ''}{said}")
    return tables, left_out


def zone_lines(plans: Sequence[Plan], timezone: str) -> tuple[list[str], list[str]]:
    """The YAML's lines about the time zone, and what is to be filled in."""
    if timezone:
        return [f"timezone: {scalar(timezone)}    # as given on the command line"], []
    local = sorted({name for plan in plans for name in plan.local_times})
    if not local:
        said = "every time says its own offset" if plans else "no time is read"
        return [f"# timezone: not needed, for {said}"], []
    names = ", ".join(local)
    return (
        [
            f"# timezone: Europe/Berlin    # {FILL_IN}: where the clock of {names} ran; until then",
            "#                              # the shop's own zone counts (shop.timezone)",
        ],
        [
            f"timezone: {names} {'has' if len(local) == 1 else 'have'} no offset; in which zone did that clock run?"
        ],
    )

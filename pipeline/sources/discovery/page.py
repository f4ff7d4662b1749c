"""The page of `nightcart source new`: what was found, with samples of every column.

One file that needs nothing but itself. Names and values of a stranger's files are hostile input:
the template escapes everything, and the page's content security policy lets nothing run and
nothing load. It shows values of shoppers, so it is for who may see the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline import durable
from pipeline.printable_text import printable
from pipeline.sources.check import ACCEPTED, DatasetCheck
from pipeline.sources.discovery.proposal import SAMPLE, Proposal
from pipeline.sources.discovery.roles import Known

_MOST_SAMPLES = 5
_LONGEST = 80


@dataclass(frozen=True)
class Column:
    """A column (or a value within one) as the page shows it."""

    name: str
    role: str
    filled: float
    different: int
    samples: list[str]
    times: str


@dataclass(frozen=True)
class TablePart:
    """A kind of file as the page shows it."""

    pattern: str
    files: int
    days: str
    format: str
    rows: int
    is_whole: bool
    notes: list[str]
    columns: list[Column]


def render(proposal: Proposal, checks: Sequence[DatasetCheck]) -> str:
    """The page as HTML; the same proposal and checks give the same bytes."""
    environment = Environment(
        loader=PackageLoader("pipeline.sources.discovery", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "safe_text": printable,
        "count": lambda n: f"{n:,}",
        "percent": lambda share: f"{share:.0%}".replace("%", " %"),
    }
    return environment.get_template("page.html.j2").render(
        proposal=proposal,
        tables=[_table(known) for known in proposal.tables],
        checks=checks,
        accepted=ACCEPTED,
        yaml_lines=proposal.yaml.split("\n"),
        sample=SAMPLE,
    )


def write_page(path: Path, proposal: Proposal, checks: Sequence[DatasetCheck]) -> None:
    """Write the page, whole or not at all."""
    durable.put_text(path, render(proposal, checks))


def _table(known: Known) -> TablePart:
    table = known.table
    days = table.group.days
    roles = {one.name: role for role, one in known.roles.items()}
    return TablePart(
        pattern=table.group.pattern,
        files=len(table.group.paths),
        days=f"{days[0]} to {days[-1]}" if days else "",
        format=table.format,
        rows=table.rows,
        is_whole=table.is_whole,
        notes=[*table.guesses, *table.doubts],
        columns=[
            _column(known, name, roles.get(name, "")) for name in (f.name for f in table.fields)
        ],
    )


def _column(known: Known, name: str, role: str) -> Column:
    values, times = known.values[name], known.times.get(name)
    samples = [
        text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        for text, _ in values.counts.most_common(_MOST_SAMPLES)
    ]
    said = ""
    if times:
        said = ", ".join(times.formats) or "either " + " or ".join(times.either)
    return Column(name, role.replace("_", " "), values.filled, len(values.counts), samples, said)

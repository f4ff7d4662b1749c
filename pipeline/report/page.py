"""The report: one HTML page of a night that needs nothing but itself.

Reads what the other modules of this room read; writes `report.html` among the run's records, to a
temporary file that is then renamed. Titles, queries, reviews and error texts are hostile input: the
template escapes everything, and the page's content security policy lets nothing run and nothing
load. A part that is missing or cannot be read is left out and named on the page; a failed night has
a report too. The same lake gives the same bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import duckdb
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline import durable
from pipeline.datasets import CATALOGUE, CHAMPIONS, HISTORIES, METRICS, MODELS, TRIGGERS
from pipeline.error_words import in_words
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.ledger import read_ledger
from pipeline.model.list_methods import MODEL, POPULARITY, TEMPLATE, WORDS
from pipeline.printable_text import printable
from pipeline.ranking.best_baseline import DEFAULT
from pipeline.report.charts import (
    METRIC_NAMES,
    MODEL_COLOURS,
    MODEL_NAMES,
    ranking_chart,
    training_chart,
)
from pipeline.report.example_users import ExampleUser, read_example_users
from pipeline.report.learning import (
    Epoch,
    Membership,
    Promotion,
    Ranking,
    Segment,
    read_membership,
    read_promotion,
    read_rankings,
    read_segments,
    read_training_log,
)
from pipeline.report.lists import Lists, read_lists
from pipeline.report.night import (
    UNPUBLISHED,
    Funnel,
    Outcome,
    StageLine,
    funnels,
    lists_of,
    read_outcome,
    read_stages,
    run_partition,
)
from pipeline.report.triggers import TriggerCounts, read_triggers
from pipeline.settings import Settings

REPORT_FILE = "report.html"
DATA_DOCS = "data_docs/index.html"

T = TypeVar("T")


@dataclass
class Night:
    """Everything that the page shows; a part that is missing is none or empty."""

    run: Run
    stages: list[StageLine]
    outcome: Outcome
    funnels: list[Funnel] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    membership: Membership | None = None
    promotion: Promotion | None = None
    rankings: list[Ranking] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    lists: Lists | None = None
    lists_run_id: str | None = None
    lists_state: str = UNPUBLISHED
    example_users: list[ExampleUser] = field(default_factory=list)
    triggers: TriggerCounts | None = None
    data_docs: str | None = None
    airflow_run: str | None = None  # address of its page
    unreadable: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Time that the stages took."""
        return sum(stage.seconds or 0.0 for stage in self.stages)


def read_night(lake: Lake, run: Run, settings: Settings) -> Night:
    """Collect the parts of a run's page."""
    stages = read_stages(lake, run)
    night = Night(run, stages, Outcome(UNPUBLISHED, None, None, None))
    collect = _Collector(night.unreadable)

    def partition(name: str) -> Partition | None:
        return collect.part(name, lambda: run_partition(lake, name, run), None)

    night.outcome = collect.part(
        "what readers see", lambda: read_outcome(lake, run, stages), night.outcome
    )
    night.funnels = collect.part("the ledger", lambda: funnels(read_ledger(lake, run)), [])
    if models := partition(MODELS):
        night.epochs = collect.part("the training log", lambda: read_training_log(models), [])
        night.membership = collect.part(
            "the training report", lambda: read_membership(models), None
        )
    if metrics := partition(METRICS):
        k = settings.evaluation.k
        night.rankings = collect.part("the metrics", lambda: read_rankings(metrics, k), [])
        night.segments = collect.part("the segments", lambda: read_segments(metrics, k), [])
    if champions := partition(CHAMPIONS):
        night.promotion = collect.part("the champion", lambda: read_promotion(champions), None)
    catalogue, histories = partition(CATALOGUE), partition(HISTORIES)
    none: tuple[Partition | None, str] = (None, UNPUBLISHED)
    made, night.lists_state = collect.part("the lists", lambda: lists_of(lake, run), none)
    if made is not None:
        night.lists_run_id = made.run_id
        night.lists = collect.part("the lists", lambda: read_lists(made, catalogue), None)
        night.example_users = collect.part(
            "the shoppers",
            lambda: read_example_users(made, histories, catalogue, settings.seed),
            [],
        )
    if triggers := partition(TRIGGERS):
        night.triggers = collect.part(
            "the triggers", lambda: read_triggers(triggers, read_ledger(lake, run)), None
        )
    if (lake.records(run) / DATA_DOCS).is_file():
        night.data_docs = DATA_DOCS
    return night


def render(night: Night, settings: Settings) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Times are in the shop's zone, as on a marketer's clock.
    zone = ZoneInfo(settings.shop.timezone)
    environment.filters |= {
        "count": lambda n: f"{n:,}",
        "percent": _percent,
        "took": _took,
        "day": lambda date: f"{date:%A} {date.day} {date:%B %Y}",
        "when": lambda time: f"{time.astimezone(zone):%d %b %H:%M}",
        "clock": lambda time: f"{time.astimezone(zone):%H:%M:%S}",
        "price": lambda price: f"{price:,.2f} {settings.shop.currency}",
        "words": lambda text: text.replace("_", " "),
        "fallback_words": lambda method: WORDS.get(method, method),
        "safe_text": printable,
    }
    page = environment.get_template("page.html.j2")
    ranking = night.rankings[0] if night.rankings else None
    return page.render(
        night=night,
        shop=settings.shop,
        ranking=ranking,
        training_svg=Markup(training_chart(night.epochs) or ""),  # noqa: S704  # our own figures
        ranking_svg=Markup((ranking_chart(ranking) if ranking else None) or ""),  # noqa: S704
        by_model=MODEL,
        by_template=TEMPLATE,
        popularity=POPULARITY,
        usual_fallback=DEFAULT,
        model_names=MODEL_NAMES,
        metric_names=METRIC_NAMES,
        model_colours={name: f"m{place}" for place, name in enumerate(MODEL_COLOURS, 1)},
    )


def write_report(
    lake: Lake, run: Run, settings: Settings, airflow_run: str | None = None
) -> tuple[Path, Night]:
    """Write the page of a run; returns where it is and what it shows.

    Args:
        airflow_run: address of the run's page in Airflow, to be linked.
    """
    night = read_night(lake, run, settings)
    night.airflow_run = airflow_run
    text = render(night, settings)
    path = lake.records(run) / REPORT_FILE
    with storage_errors(f"cannot write {path}"):
        durable.put_text(path, text)
    return path, night


class _Collector:
    """Reads parts of the page; a part that cannot be read is noted, and the page goes on."""

    def __init__(self, unreadable: list[str]) -> None:
        self._unreadable = unreadable

    def part(self, name: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, duckdb.Error) as error:
            self._unreadable.append(f"{name}: {in_words(error)}")
            return otherwise


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    # 99.97 % is not "100 %": only the whole is written as 100 %.
    if 0.999 <= share < 1 or 0 < share < 0.001:
        return f"{share:.2%}".replace("%", " %")
    return f"{share:.1%}".replace(".0%", "%").replace("%", " %")


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = dt.timedelta(seconds=round(seconds))
    minutes, rest = divmod(int(whole.total_seconds()), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"

"""The page's charts, as SVG text that takes its colours and font from the page.

Pure: numbers in, SVG out; the same numbers give the same bytes. Text stays text, so that a phone
scales it and a screen reader reads it. Colours are CSS variables, so that a chart follows the
page's dark mode. Only our own numbers and words go in here, never the shop's.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.model.list_methods import CANDIDATE, CHAMPION, COMPARED_MODELS, SHORT_WORDS
from pipeline.report.learning import Epoch, Ranking

# Colours that matplotlib draws with; each is replaced in the SVG by a variable of the page.
INK, MUTED, GRID, FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, PAPER = (
    "#0a0101",
    "#0a0102",
    "#0a0103",
    "#0a0104",
    "#0a0105",
    "#0a0106",
    "#0a0107",
    "#0a0108",
    "#0a0109",
    "#0a010a",
    "#0a010b",
)
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    FIRST: "var(--c1)",
    SECOND: "var(--c2)",
    THIRD: "var(--c3)",
    FOURTH: "var(--c4)",
    FIFTH: "var(--c5)",
    SIXTH: "var(--c6)",
    SEVENTH: "var(--c7)",
    PAPER: "var(--card)",
}
_OF_MODELS = (FIRST, SECOND, FIFTH, THIRD, FOURTH, SIXTH, SEVENTH)
MODEL_COLOURS = dict(zip(COMPARED_MODELS, _OF_MODELS, strict=True))
MODEL_NAMES = {
    CANDIDATE: "tonight's model",
    CHAMPION: "champion before",
    **SHORT_WORDS,
}
METRIC_NAMES = {
    "ndcg": "NDCG",
    "recall": "Recall",
    "mrr": "MRR",
    "coverage": "Coverage",
    "novelty": "Novelty",
    "diversity": "Diversity",
    "tail_share": "Tail share",
    "gini": "Gini",
    "calibration_error": "Calibration error",
}
# Points; drawn about as wide as a phone, so that 11 points are 11 pixels there.
WIDTH = 4.2

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": GRID,
    "figure.facecolor": "none",
}


def training_chart(epochs: Sequence[Epoch]) -> str | None:
    """Loss and ranking quality by epoch, one above the other; none if there is nothing to draw."""
    losses = [(e.epoch, e.train_loss) for e in epochs if e.train_loss is not None]
    scores = [(e.epoch, e.validation_ndcg) for e in epochs if e.validation_ndcg is not None]
    panels = [
        (points, title, colour)
        for points, title, colour in (
            (losses, "Training loss (lower is better)", SECOND),
            (scores, "Ranking quality, NDCG (higher is better)", FIRST),
        )
        if points
    ]
    if not panels:
        return None
    with mpl.rc_context(_STYLE | {"svg.hashsalt": "training"}):
        figure = Figure(figsize=(WIDTH, 1.85 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (points, title, colour) in zip(axes, panels, strict=True):
            xs, ys = zip(*points, strict=True)
            ax.plot(xs, ys, color=colour, linewidth=2.2, marker="o", markersize=4)
            ax.set_title(title)
            ax.grid(axis="y", linewidth=0.8)
            ax.margins(x=0.07, y=0.34)
            ax.tick_params(length=0)
            ax.xaxis.get_major_locator().set_params(integer=True)
            best = ys.index(min(ys) if points is losses else max(ys))
            _say(ax, xs[best], ys[best], f"{ys[best]:.3f}", above=points is not losses)
        axes[-1].set_xlabel("epoch")
        return _svg(figure, "Training curve: loss and validation NDCG by epoch")


def ranking_chart(ranking: Ranking) -> str | None:
    """Every ranker's NDCG and recall as bars with their values; none without either."""
    metrics = [name for name in ("ndcg", "recall") if ranking.values.get(name)]
    if not metrics:
        return None
    models = ranking.models
    with mpl.rc_context(_STYLE | {"svg.hashsalt": "ranking"}):
        height = len(metrics) * (0.55 + 0.36 * len(models))
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(len(metrics), 1, squeeze=False)[:, 0]
        for ax, metric in zip(axes, metrics, strict=True):
            row = ranking.values[metric]
            shown = [name for name in models if name in row]
            values = [row[name] for name in shown]
            bars = ax.barh(
                [MODEL_NAMES[name] for name in shown],
                values,
                height=0.66,
                color=[MODEL_COLOURS[name] for name in shown],
            )
            ax.bar_label(bars, labels=[f"{value:.3f}" for value in values], padding=4)
            ax.set_title(f"{METRIC_NAMES[metric]}@{ranking.k}")
            ax.invert_yaxis()
            ax.set_xlim(0, max([*values, 1e-9]) * 1.18)
            ax.spines[["bottom", "left"]].set_visible(False)
            ax.tick_params(length=0)
            ax.tick_params(axis="y", labelcolor=INK)
            ax.set_xticks([])
        return _svg(
            figure,
            f"NDCG and recall at {ranking.k} of tonight's model, the champion and the baselines",
        )


def _say(ax: Axes, x: float, y: float, text: str, *, above: bool) -> None:
    ax.plot(
        [x],
        [y],
        linestyle="none",
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=INK,
        zorder=3,
    )
    ax.annotate(
        text,
        (x, y),
        xytext=(0, 9 if above else -9),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontweight="bold",
    )


def _svg(figure: Figure, label: str) -> str:
    """The figure as an `<svg>` element for a page: no prologue, metadata, date, size or font."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    # Two charts share a page: only the ids that a chart refers to (hashes, salted) stay.
    text = re.sub(r" id=\"[a-z]+[0-9a-z.]*_[^\"]*\"", "", text)
    text = re.sub(r"<svg ([^>]*?) ?width=\"[^\"]*\"", r"<svg \1", text, count=1)
    text = re.sub(r"<svg ([^>]*?) ?height=\"[^\"]*\"", r"<svg \1", text, count=1)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()

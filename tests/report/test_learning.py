"""Metrics and the training curve: read as written, drawn whatever is missing."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from pipeline.lake import Lake, Run
from pipeline.report.charts import ranking_chart, training_chart
from pipeline.report.learning import (
    Epoch,
    Ranking,
    rankings,
    read_promotion,
    read_rankings,
    read_segments,
    read_training_log,
)
from tests.lake_rows import commit_as_it_is


def row(model: str, metric: str, value: float, split: str = "test", k: int = 10) -> dict[str, Any]:
    return {"model": model, "split": split, "metric": metric, "k": k, "value": value, "n_users": 9}


def test_rankings_take_the_cut_off_asked_for_else_the_largest(good_night: Lake, run: Run) -> None:
    metrics = good_night.require("metrics", run.run_date)
    test, validation = read_rankings(metrics, k=5)
    assert (test.split, test.k, validation.split) == ("test", 5, "validation")
    assert read_rankings(metrics, k=7)[0].k == 10
    assert test.models == ("candidate", "champion", "item_knn", "markov", "popularity")
    assert test.values["ndcg"]["candidate"] == 0.064
    assert test.lift("ndcg", "popularity") == pytest.approx(3.2)


def test_segments_are_of_the_test_half_at_the_cut_off(good_night: Lake, run: Run) -> None:
    everybody, pans = read_segments(good_night.require("metrics", run.run_date), k=5)
    assert (everybody.name, everybody.n_users) == ("all", 480)
    assert (pans.name, pans.k, pans.n_users) == ("category:<b>Pans & Töpfe", 5, 40)
    assert pans.values["candidate"] == pytest.approx((0.064, 0.0576, 0.0704))
    assert list(pans.values) == ["candidate", "champion", "item_knn", "markov", "popularity"]
    # The other tables are of everybody.
    (test, _) = read_rankings(good_night.require("metrics", run.run_date), k=5)
    assert test.n_users == 480


def test_a_lift_over_nothing_is_not_a_number() -> None:
    (ranking,) = rankings([row("candidate", "ndcg", 0.1), row("popularity", "ndcg", 0.0)], 10)
    assert ranking.lift("ndcg", "popularity") is None
    assert ranking.lift("ndcg", "markov") is None
    assert ranking.lift("recall", "popularity") is None
    assert rankings([], 10) == []


def test_a_training_log_keeps_gaps_as_gaps(good_night: Lake, run: Run) -> None:
    models = good_night.require("models", run.run_date)
    assert [epoch.epoch for epoch in read_training_log(models)] == list(range(1, 11))
    log = [{"epoch": 2, "train_loss": math.nan, "seconds": 1}, {"epoch": 1, "train_loss": 3}]
    (models.path / "training_log.json").write_text(json.dumps(log), encoding="utf-8")
    models = commit_as_it_is(good_night, "models", Run(run.run_date, models.directory_id))
    assert read_training_log(models) == [Epoch(1, 3.0, None, None), Epoch(2, None, None, 1.0)]


def test_no_champion_is_a_promotion_that_says_why(good_night: Lake, run: Run) -> None:
    champions = good_night.require("champions", run.run_date)
    content = {"model_run_date": None, "model_run_id": None, "model_version": None}
    text = json.dumps(content | {"promoted": False, "why": "no better than popularity"})
    (champions.path / "champion.json").write_text(text, encoding="utf-8")
    champions = commit_as_it_is(good_night, "champions", Run(run.run_date, champions.directory_id))
    promotion = read_promotion(champions)
    assert (promotion.model_version, promotion.promoted) == (None, False)
    assert promotion.why == "no better than popularity"
    assert promotion.fallback is None, "as in nights before it was measured"


@pytest.mark.parametrize("n_epochs", [1, 2, 40])
@pytest.mark.parametrize("gap", [None, "train_loss", "validation_ndcg"])
def test_a_training_chart_draws_what_there_is(n_epochs: int, gap: str | None) -> None:
    epochs = [
        Epoch(
            number,
            None if gap == "train_loss" else 5.0 / number,
            None if gap == "validation_ndcg" else 0.01 * number,
            1.0,
        )
        for number in range(1, n_epochs + 1)
    ]
    svg = training_chart(epochs)
    assert svg is not None
    assert ("Training loss" in svg) == (gap != "train_loss")
    assert ("Ranking quality" in svg) == (gap != "validation_ndcg")
    # The best epoch is marked: the lowest loss, the highest NDCG.
    assert gap == "train_loss" or f">{5.0 / n_epochs:.3f}<" in svg
    assert gap == "validation_ndcg" or f">{0.01 * n_epochs:.3f}<" in svg
    assert svg == training_chart(epochs)


def test_charts_without_figures_are_none() -> None:
    assert training_chart([]) is None
    assert training_chart([Epoch(1, None, None, None)]) is None
    assert ranking_chart(Ranking("test", 10, 0, {"coverage": {"candidate": 0.5}})) is None


def test_a_ranking_chart_shows_every_ranker_with_its_value() -> None:
    found = rankings(
        [row("candidate", "ndcg", 0.123), row("popularity", "ndcg", 0.0), row("markov", "mrr", 1)],
        10,
    )
    svg = ranking_chart(found[0])
    assert svg is not None
    assert ">0.123<" in svg
    assert ">0.000<" in svg
    assert "bestsellers" in svg


def test_charts_take_colours_and_font_from_the_page() -> None:
    ranking = Ranking("test", 10, 5, {"ndcg": {"candidate": 0.2, "champion": 0.1}})
    for svg in (training_chart([Epoch(1, 2.0, 0.1, 1.0)]), ranking_chart(ranking)):
        assert svg is not None
        assert not re.search(r"#[0-9a-f]{6}", svg)
        assert "font-family" not in svg
        assert "var(--ink)" in svg
        assert "<svg" in svg
        assert "width=" not in svg[: svg.index(">")]

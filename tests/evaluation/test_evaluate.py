"""A night's evaluation: the same users and items for everybody, and always an outcome."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.evaluate import main
from pipeline.evaluation.evaluate import Evaluated, evaluate
from pipeline.evaluation.segments import segments
from pipeline.lake import Lake, Run
from pipeline.ledger import read_ledger
from pipeline.model.checkpoint import load_checkpoint, save_checkpoint
from pipeline.model.list_methods import BASELINES, REPEAT_BASELINES
from pipeline.model.user_history import UserHistory, held_out, read_histories
from pipeline.ranking import held_out_ranks
from pipeline.ranking.baselines import fit_popularity, known_events
from pipeline.ranking.held_out_ranks import Items, Ranks, measurable, rank_users
from pipeline.ranking.visit_baselines import visit_scorer
from pipeline.settings import Settings
from pipeline.training.fine_tune import fine_tune
from tests.lake_rows import commit_as_it_is, read_rows
from tests.small_shop import N_ITEMS, N_USERS, NIGHT, RUN, fill, item, quick, unchanged

GOOD = {"max_epochs": 20, "patience": 20, "learning_rate": 0.03}
TOMORROW = Run(NIGHT + dt.timedelta(days=1), "two")


def champion_file(lake: Lake, night: dt.date = NIGHT) -> dict[str, Any]:
    path = lake.require("champions", night).path / "champion.json"
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


@pytest.fixture
def good_night(lake: Lake, settings: Settings) -> Evaluated:
    """A model that knows the ring."""
    fill(lake)
    fine_tune(lake, RUN, quick(settings, **GOOD))
    return evaluate(lake, RUN, quick(settings))


def test_the_metrics_are_the_contract_s(good_night: Evaluated, lake: Lake) -> None:
    rows = read_rows(lake, "metrics", NIGHT)
    everybody = [row for row in rows if row["segment"] == "all"]
    found = {(row["model"], row["split"], row["metric"]): row["value"] for row in everybody}
    assert len(found) == len(everybody) == 4 * 2 * 12
    assert {row["n_users"] for row in everybody} == {N_USERS // 2}
    for row in rows:
        is_mean = row["metric"] not in ("coverage", "gini", "calibration_error")
        assert (row["low"] is not None) == is_mean
        assert not is_mean or row["low"] <= row["value"] <= row["high"]
    # Everybody has five known events, and every item is met often enough.
    parts = {row["segment"] for row in rows} - {"all"}
    assert parts == {"history:short", "item:known", "category:Kitchen"}
    assert found["candidate", "test", "map"] == pytest.approx(found["candidate", "test", "mrr"])
    recall, precision = (
        found["candidate", "test", "recall"],
        found["candidate", "test", "precision"],
    )
    assert precision == pytest.approx(recall / 10)
    assert found["candidate", "test", "ndcg"] > found["popularity", "test", "ndcg"]
    assert found["candidate", "test", "recall"] >= found["candidate", "test", "ndcg"]
    assert good_night.report["ndcg"]["candidate"] == round(found["candidate", "test", "ndcg"], 4)


def test_the_card_is_completed(good_night: Evaluated, lake: Lake) -> None:
    card = (lake.require("champions", NIGHT).path / "model_card.md").read_text(encoding="utf-8")
    assert card.count("## Measured\n") == 1
    assert good_night.champion.why.partition(";")[0] in card
    assert "| ndcg@10 | 30 | " in card
    assert "| history:short | 30 | " in card
    assert "a copy of it" not in card
    assert "## Use" in card
    assert "| `histories` | 2026-03-01 | `one` | 60 |" in card
    # What training wrote is closed and stays as it was.
    assert "are in the night's `metrics`" in (
        lake.require("models", NIGHT).path / "README.md"
    ).read_text(encoding="utf-8")


def test_segments_by_hand() -> None:
    users = [_user("p" * n + "x", "p" * (n + 1), "", n) for n in (2, 3, 9, 10)]
    index = {"p": 0, "x": 1}
    events = np.array([24.0, 4.0])
    found = segments(users, index, events, ["Kitchen > Pans", "Garden"])
    assert {name: inside.tolist() for name, inside in found.items()} == {
        "all": [True] * 4,
        "history:new": [True, False, False, False],
        "history:short": [False, True, True, False],
        "history:long": [False, False, False, True],
        "item:new": [True] * 4,
        "category:Garden": [True] * 4,
    }
    assert list(segments([], index, events, ["", ""])) == ["all"]


def test_a_model_that_does_not_win_is_not_promoted(lake: Lake, settings: Settings) -> None:
    fill(lake)
    fine_tune(lake, RUN, quick(settings, max_epochs=1, learning_rate=0.0))
    evaluate(lake, RUN, quick(settings))
    record = champion_file(lake)
    assert record["promoted"] is False
    assert record["model_version"] is record["model_run_date"] is record["model_run_id"] is None
    assert "does not beat" in record["why"]
    assert "no champion: generation uses the fallback" in record["why"]


def _handmade(lake: Lake, run: Run, settings: Settings, better_than_markov: bool) -> None:
    """A night whose baselines know nothing, and a model that knows the ring (or its reverse)."""
    fill(lake, run, user=unchanged if better_than_markov else _backwards)
    fine_tune(lake, run, quick(settings, **GOOD))
    # Training saw the ring; the evaluated histories hide it from the counters: each user's past
    # is one event, and nothing was ever seen to follow anything.
    fill(lake, run, user=_last_two)


def _backwards(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"item_ids": row["item_ids"][::-1]}


def _last_two(row: dict[str, Any]) -> dict[str, Any]:
    short = {name: row[name][-2:] for name in ("item_ids", "event_types", "event_times")}
    return row | short | {"holdout_index": 1, "owned_item_ids": sorted(row["item_ids"][-2:])}


def test_a_model_that_wins_is_promoted_and_stays_until_beaten(
    lake: Lake, settings: Settings
) -> None:
    _handmade(lake, RUN, settings, better_than_markov=True)
    first = evaluate(lake, RUN, quick(settings)).champion
    assert first.promoted, first.why
    assert (first.model_run_date, first.model_run_id) == (str(NIGHT), "one")
    version = load_checkpoint(lake.run_directory("models", RUN)).model_version
    assert champion_file(lake)["model_version"] == version

    _handmade(lake, TOMORROW, quick(settings, warm_start=False), better_than_markov=False)
    second = evaluate(lake, TOMORROW, quick(settings))
    assert not second.champion.promoted
    assert second.champion.model_version == version
    assert second.champion.model_run == RUN
    rows = read_rows(lake, "metrics", TOMORROW.run_date)
    assert {row["model"] for row in rows} == {
        "candidate",
        "champion",
        "popularity",
        "markov",
        "item_knn",
    }
    # The night after that still starts from the one that won.
    third = Run(NIGHT + dt.timedelta(days=2), "three")
    fill(lake, third)
    assert fine_tune(lake, third, quick(settings)).report["warm_start_from"] == version
    # An earlier night, run again, has no champion to meet.
    assert "champion" not in evaluate(lake, RUN, quick(settings)).report["ndcg"]


def test_no_model_at_all(lake: Lake, settings: Settings) -> None:
    fill(lake)
    evaluate(lake, RUN, quick(settings))
    assert "there is no model of 2026-03-01" in champion_file(lake)["why"]
    assert {row["model"] for row in read_rows(lake, "metrics", NIGHT)} == {
        "popularity",
        "markov",
        "item_knn",
    }


def _before_the_walk(row: dict[str, Any]) -> dict[str, Any]:
    """What the validation half is held out is the item before its walk, not the one after."""
    first, *rest = row["item_ids"][:5]
    held = row["item_ids"][5] if row["holdout_split"] == "test" else item(int(first[1:]) - 1)
    items = [first, *rest, held]
    return row | {"item_ids": items, "owned_item_ids": sorted(items)}


def test_the_fallback_is_the_best_on_validation_whatever_the_test_half_says(
    lake: Lake, settings: Settings
) -> None:
    fill(lake, user=_before_the_walk)
    made = evaluate(lake, RUN, quick(settings), no_candidate="a test")
    found = {
        (row["split"], row["model"]): row["value"]
        for row in read_rows(lake, "metrics", NIGHT)
        if (row["metric"], row["segment"]) == ("ndcg", "all")
    }
    assert found["test", "markov"] > found["test", "item_knn"]
    assert found["validation", "markov"] < found["validation", "item_knn"]
    assert champion_file(lake)["fallback"] == made.report["fallback"] == "item_knn"

    # Where the walk goes on for both halves the order says it.
    fill(lake, TOMORROW)
    evaluate(lake, TOMORROW, quick(settings), no_candidate="a test")
    assert champion_file(lake, TOMORROW.run_date)["fallback"] == "markov"


def test_too_few_shoppers_name_no_fallback(lake: Lake, settings: Settings) -> None:
    fill(lake, user=lambda row: row | {"consent": row["language"] == "en"})
    evaluate(lake, RUN, quick(settings), no_candidate="a test")
    assert champion_file(lake)["fallback"] is None


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_model_is_not_promoted(lake: Lake, settings: Settings, name: str) -> None:
    fill(lake)
    made = fine_tune(lake, RUN, quick(settings))
    path = made.partition.path / name
    path.write_bytes(path.read_bytes()[:100])
    evaluate(lake, RUN, quick(settings))
    record = champion_file(lake)
    assert record["promoted"] is False
    assert name in record["why"]


def test_weights_that_are_not_numbers_are_not_promoted(lake: Lake, settings: Settings) -> None:
    fill(lake)
    made = fine_tune(lake, RUN, quick(settings))
    with torch.no_grad():
        made.checkpoint.model.transformer.h[0].mlp.c_fc.weight[0, 0] = float("nan")
    save_checkpoint(made.partition.path, made.checkpoint.model, made.checkpoint.vocabulary, NIGHT)
    commit_as_it_is(lake, "models", RUN)
    evaluate(lake, RUN, quick(settings))
    assert "not finite numbers" in champion_file(lake)["why"]


def test_a_champion_that_was_lost_is_dropped_and_said(lake: Lake, settings: Settings) -> None:
    _handmade(lake, RUN, settings, better_than_markov=True)
    assert evaluate(lake, RUN, quick(settings)).champion.promoted
    (lake.run_directory("models", RUN) / "model.safetensors").unlink()
    fill(lake, TOMORROW)
    evaluate(lake, TOMORROW, quick(settings))
    why = champion_file(lake, TOMORROW.run_date)["why"]
    assert "previous champion cannot be used" in why
    assert "no champion: generation uses the fallback" in why


def test_nobody_held_out(lake: Lake, settings: Settings) -> None:
    fill(lake, user=lambda row: row | {"holdout_index": None, "holdout_split": None})
    fine_tune(lake, RUN, quick(settings))
    evaluate(lake, RUN, quick(settings))
    assert "nobody has a held-out event" in champion_file(lake)["why"]


def test_the_job_balances(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    fill(lake, user=lambda row: row | {"consent": row["language"] == "en"})
    config = tmp_path / "night.toml"
    config.write_text(f'[paths]\nlake = "{settings.paths.lake}"\n')
    assert main(["--date", str(NIGHT), "--config", str(config), "--run-id", "one"]) == 0
    (line,) = read_ledger(lake, RUN)
    assert (line.rows_in, line.rows_out, line.removed) == (N_USERS, 45, {"no_consent": 15})
    assert main(["--date", "2026-03-02", "--config", str(config)]) == 65


# -- ranking -------------------------------------------------------------------------------


def _user(items: str, kinds: str, owned: str, held: int) -> UserHistory:
    names = {"v": "view", "p": "purchase", "r": "return", "x": "purchase"}  # x: cancelled
    return UserHistory(
        user_id="u",
        item_ids=tuple(items),
        event_types=tuple(names[kind] for kind in kinds),
        event_times=(dt.datetime(2026, 3, 1, tzinfo=dt.UTC),) * len(items),
        queries=(),
        query_times=(),
        owned_item_ids=tuple(owned),
        language=None,
        holdout_index=held,
        holdout_split="test",
        cancelled=frozenset(place for place, kind in enumerate(kinds) if kind == "x"),
    )


@pytest.mark.parametrize(
    ("items", "kinds", "owned", "held", "expected"),
    [
        ("abc", "ppp", "abc", 2, "ab"),
        ("avc", "pvp", "ac", 2, "a"),  # a view owns nothing
        ("bac", "pxp", "bc", 2, "b"),  # nor does a cancelled purchase
        ("acab", "ppxp", "abc", 3, "ac"),  # which takes nothing away from an earlier one
        ("abcd", "pppp", "abcd", 2, "ab"),  # what came after was not owned yet
        ("abca", "pppp", "abc", 2, "ab"),  # bought again later, owned before
        ("bc", "pp", "abc", 1, "ab"),  # owned before the arrays begin
        ("aabc", "prpp", "abc", 3, "ab"),  # returned ones too
    ],
)
def test_what_was_owned_at_the_moment(
    items: str, kinds: str, owned: str, held: int, expected: str
) -> None:
    assert _user(items, kinds, owned, held).owned_before_holdout() == frozenset(expected)


def test_owned_and_unsellable_items_are_not_in_the_way() -> None:
    items = Items(tuple("abcdef"), np.array([True, True, True, True, False, True]))
    user = _user("abc", "ppp", "abc", 2)
    scores = np.array([[9.0, 8.0, 1.0, 2.0, 7.0, 0.5]])  # a, b owned; e not sold; d before c

    def ranked(**how: bool) -> Ranks:
        return rank_users(lambda users: scores[: len(users)], [user], items, 3, **how)

    ranks = ranked(mask_owned=True)
    assert ranks.rank_B.tolist() == [2]
    assert ranks.top_BK.tolist() == [[3, 2, 5]]
    # Of 2 + 1 + 0.5 that may be had.
    assert ranks.probability_BK.tolist() == [pytest.approx([2 / 3.5, 1 / 3.5, 0.5 / 3.5])]
    ranks = ranked(mask_owned=True, log_scores=True)
    mass = np.exp([2.0, 1.0, 0.5])
    assert ranks.probability_BK.tolist() == [pytest.approx((mass / mass.sum()).tolist())]


def test_a_held_out_item_that_is_no_longer_sold_is_not_measured() -> None:
    items = Items(tuple("abc"), np.array([True, True, False]))
    assert measurable([_user("abc", "ppp", "abc", 2)], items) == []
    assert measurable([_user("abx", "ppp", "abx", 2)], items) == []
    assert len(measurable([_user("acb", "ppp", "abc", 2)], items)) == 1


def test_ranking_does_not_depend_on_batches(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake)
    made = fine_tune(lake, RUN, quick(settings))
    users = held_out(read_histories(lake, NIGHT), "test")
    items = Items(tuple(item(n) for n in range(24)), np.ones(24, dtype=np.bool_))
    scorer = held_out_ranks.model_scorer(
        made.checkpoint.model, made.checkpoint.vocabulary, items, 50
    )
    whole = rank_users(scorer, users, items, 5, mask_owned=True)
    monkeypatch.setattr(held_out_ranks, "BATCH_USERS", 7)
    parts = rank_users(scorer, users, items, 5, mask_owned=True)
    assert whole.rank_B.tolist() == parts.rank_B.tolist()
    assert whole.top_BK.tolist() == parts.top_BK.tolist()


def _regular(row: dict[str, Any]) -> dict[str, Any]:
    """A day's purchase each: what this user always buys, between other things."""
    first, others = row["item_ids"][0], row["item_ids"][1:3]
    items = [first, others[0], first, others[1], first, row["item_ids"][5]]
    if row["queries"]:  # a third of the users
        items[5] = first
    times = [row["event_times"][0] + dt.timedelta(days=day) for day in range(6)]
    return row | {"item_ids": items, "event_times": times, "owned_item_ids": sorted(set(items))}


def test_where_items_come_again_counting_own_purchases_is_measured_too(
    lake: Lake, settings: Settings
) -> None:
    fill(lake, user=_regular)
    again = dataclasses.replace(settings.generation, exclude_owned=False)
    evaluate(lake, RUN, dataclasses.replace(settings, generation=again), no_candidate="none")
    rows = [row for row in read_rows(lake, "metrics", NIGHT) if row["metric"] == "ndcg"]
    found = {(row["model"], row["split"], row["segment"]): row["value"] for row in rows}
    assert {model for model, _, _ in found} == {*BASELINES}
    # What a regular buys again is their most frequent item; what is new to the others is not owned.
    assert found["gp_topfreq", "test", "target:repeat"] == 1.0
    assert (
        found["gp_topfreq", "test", "target:repeat"] > found["popularity", "test", "target:repeat"]
    )
    assert found["gp_topfreq", "test", "target:new"] < 1.0
    n = {row["segment"]: row["n_users"] for row in rows if row["split"] == "test"}
    assert n["target:repeat"] + n["target:new"] == n["all"] == N_USERS // 2
    assert champion_file(lake)["fallback"] in REPEAT_BASELINES


def test_where_no_item_comes_again_they_are_not(lake: Lake, settings: Settings) -> None:
    fill(lake)
    evaluate(lake, RUN, settings, no_candidate="none")
    rows = read_rows(lake, "metrics", NIGHT)
    assert not {row["model"] for row in rows} & {*REPEAT_BASELINES}
    assert not {row["segment"] for row in rows} & {"target:repeat", "target:new"}


def test_what_is_held_out_moves_no_baseline(lake: Lake, settings: Settings) -> None:
    """Another purchase after the known past, and every later one, changes no list."""
    fill(lake, user=_regular)
    items = Items(tuple(item(n) for n in range(N_ITEMS)), np.ones(N_ITEMS, dtype=np.bool_))
    users = read_histories(lake, NIGHT)
    others = [
        dataclasses.replace(
            user,
            item_ids=(*user.item_ids[:5], "i23", "i22"),
            event_types=(*user.event_types[:5], "purchase", "purchase"),
            event_times=(*user.event_times, user.event_times[-1]),
        )
        for user in users
    ]
    scores = []
    for known in (users, others):
        popularity = fit_popularity(*known_events(known, items.index, ["purchase"]), N_ITEMS)
        scores.append(
            [
                visit_scorer(name, known, items, popularity, ["purchase"])(known)
                for name in REPEAT_BASELINES
            ]
        )
    np.testing.assert_array_equal(*scores)

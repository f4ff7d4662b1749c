"""A night's training: it learns, it repeats to the bit, and it never sees what it must not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from jobs.fine_tune import main
from pipeline.erased import add_erased, model_name
from pipeline.errors import GateError, SettingsError
from pipeline.evaluation.evaluate import evaluate
from pipeline.lake import Lake, Run
from pipeline.ledger import read_ledger
from pipeline.model.champion import ChampionRecord, write_champion
from pipeline.model.checkpoint import load_checkpoint
from pipeline.model.prior import PRIOR_FILE, TRANSITIONS_FILE
from pipeline.model.vocabulary import ITEMS_FILE, TOKENIZER_FILE
from pipeline.settings import Settings
from pipeline.training.fine_tune import FineTuned, fine_tune
from tests.lake_rows import Row, write_rows
from tests.small_shop import N_ITEMS, N_USERS, NIGHT, RUN, fill, history_row, item, quick
from tests.training.tiny_base import save_tiny_base


def trained(root: Path, settings: Settings, **changes: Any) -> FineTuned:
    """A fresh lake, filled and trained on."""
    lake = Lake(root)
    fill(lake, **changes)
    return fine_tune(lake, RUN, settings)


def version(made: FineTuned) -> str:
    return made.checkpoint.model_version


def test_it_learns_what_comes_next(lake: Lake, settings: Settings) -> None:
    fill(lake)
    config = quick(settings, max_epochs=20, patience=20, learning_rate=0.03)
    made = fine_tune(lake, RUN, config)
    assert made.report["best_validation_ndcg"] > 0.9
    rows = {"history": 60, "query": 20, "asked": 20, "title": 48, "need": 72, "reason": 120}
    assert made.report["rows"] == rows
    log_lines = json.loads((made.partition.path / "training_log.json").read_text())
    assert [line["epoch"] for line in log_lines] == list(range(1, len(log_lines) + 1))
    assert set(log_lines[0]) == {"epoch", "train_loss", "validation_ndcg", "seconds"}
    assert log_lines[-1]["train_loss"] < log_lines[0]["train_loss"]


def test_same_inputs_same_weights(tmp_path: Path, settings: Settings) -> None:
    random_state = torch.random.get_rng_state()
    first = trained(tmp_path / "a", quick(settings))
    assert version(trained(tmp_path / "b", quick(settings))) == version(first)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    other = dataclasses.replace(quick(settings), seed=7)
    assert version(trained(tmp_path / "c", other)) != version(first)


def test_the_order_of_rows_does_not_matter(tmp_path: Path, settings: Settings) -> None:
    first = trained(tmp_path / "a", quick(settings))
    numbers = iter(reversed(range(N_USERS)))
    turned = trained(tmp_path / "b", quick(settings), user=lambda _: history_row(next(numbers)))
    assert version(turned) == version(first)


def test_validation_ranks_what_may_be_sent(lake: Lake, settings: Settings) -> None:
    """Owned items that may come again are in the held-out item's way, as they will be on lists."""
    fill(lake)
    still = quick(settings, max_epochs=1, text_epochs=0, learning_rate=1e-9)
    found = {}
    for exclude_owned in (True, False):
        generation = dataclasses.replace(still.generation, exclude_owned=exclude_owned)
        run = Run(NIGHT, f"excluded-{exclude_owned}")
        found[exclude_owned] = fine_tune(
            lake, run, dataclasses.replace(still, generation=generation)
        ).report["best_validation_ndcg"]
    assert 0 < found[False] < found[True]


def _held_out_changed(row: dict[str, Any]) -> Row:
    """Another held-out item, and events after it, in the test half."""
    if row["holdout_split"] != "test":
        return row
    later = [item(3), item(9)]
    return row | {
        "item_ids": [*row["item_ids"][:5], *later],
        "event_types": [*row["event_types"][:5], "purchase", "view"],
        "event_times": [*row["event_times"], row["event_times"][-1] + dt.timedelta(hours=1)],
        "queries": [*row["queries"], "after the fact"],
        "query_times": [*row["query_times"], row["event_times"][-1]],
        "owned_item_ids": sorted({*row["item_ids"][:5], item(3)}),
    }


def test_the_test_half_is_never_seen(tmp_path: Path, settings: Settings) -> None:
    first = trained(tmp_path / "a", quick(settings))
    second = trained(tmp_path / "b", quick(settings), user=_held_out_changed)
    assert version(second) == version(first)
    # The version is of the weights: vocabulary, counts and the prior's weight are looked at too.
    for name in (ITEMS_FILE, TOKENIZER_FILE, PRIOR_FILE, TRANSITIONS_FILE):
        before, after = (made.partition.path / name for made in (first, second))
        assert after.read_bytes() == before.read_bytes(), name


def test_shoppers_without_consent_are_not_trained_on(tmp_path: Path, settings: Settings) -> None:
    objectors = {history_row(n)["user_id"] for n in range(0, N_USERS, 5)}

    def objecting(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"consent": row["user_id"] not in objectors}

    def objecting_differently(row: dict[str, Any]) -> Row:
        change = {
            "item_ids": [item(n) for n in range(6)],
            "event_types": ["view"] * 6,
            "queries": ["secret wish"],
            "query_times": row["event_times"][:1],
            "language": "sw",
        }
        return objecting(row) | (change if row["user_id"] in objectors else {})

    def writing_differently(row: dict[str, Any]) -> Row:
        text = "A secret and quiet opinion." if row["user_id"] in objectors else row["text"]
        return row | {"text": text}

    first = trained(tmp_path / "a", quick(settings), user=objecting)
    second = trained(
        tmp_path / "b", quick(settings), user=objecting_differently, review=writing_differently
    )
    assert version(second) == version(first)
    assert second.n_users == N_USERS - len(objectors)


@pytest.mark.parametrize(
    ("text_epochs", "message"),
    [
        (0, r"training loss became nan in epoch \d+, step .*learning_rate"),
        (2, r"text loss became nan in epoch \d+.*learning_rate"),
    ],
)
def test_a_loss_that_is_not_a_number_ends_the_night(
    lake: Lake, settings: Settings, text_epochs: int, message: str
) -> None:
    fill(lake)
    with pytest.raises(GateError, match=message):
        fine_tune(lake, RUN, quick(settings, learning_rate=1e30, text_epochs=text_epochs))
    assert lake.current("models", NIGHT) is None


def test_nobody_in_the_validation_half(lake: Lake, settings: Settings) -> None:
    fill(lake, user=lambda row: row | {"holdout_split": "test"})
    made = fine_tune(lake, RUN, quick(settings, max_epochs=3, patience=1))
    assert made.report["epochs"] == 3


def test_a_shop_without_reviews_words_or_titles(lake: Lake, settings: Settings) -> None:
    write_rows(lake, "histories", RUN, [history_row(n) for n in range(N_USERS)])
    write_rows(
        lake,
        "catalogue",
        RUN,
        [{"item_id": item(n), "sellable": True, "first_seen_date": NIGHT} for n in range(N_ITEMS)],
    )
    made = fine_tune(lake, RUN, quick(settings))
    assert made.report["rows"]["title"] == made.report["rows"]["reason"] == 0


def _crown(lake: Lake, made: FineTuned) -> None:
    directory = lake.begin("champions", RUN)
    record = ChampionRecord(
        NIGHT.isoformat(), RUN.run_id, made.checkpoint.model_version, True, "by hand"
    )
    write_champion(directory, record)
    lake.commit("champions", RUN, rows=1)


def test_the_next_night_starts_from_the_champion(lake: Lake, settings: Settings) -> None:
    fill(lake)
    config = quick(settings, max_epochs=20, patience=20, learning_rate=0.03)
    made = fine_tune(lake, RUN, config)
    _crown(lake, made)
    tomorrow = Run(NIGHT + dt.timedelta(days=1), "two")
    fill(lake, tomorrow)
    # A learning rate of nothing: what comes out is what it started from.
    still = fine_tune(lake, tomorrow, quick(settings, max_epochs=1, learning_rate=0.0))
    assert still.report["warm_start_from"] == made.checkpoint.model_version
    assert still.report["best_validation_ndcg"] == made.report["best_validation_ndcg"]
    # The same night again does not see its own champion, nor does an earlier one.
    assert fine_tune(lake, RUN, quick(settings)).report["warm_start_from"] is None
    cold = quick(settings, warm_start=False)
    assert fine_tune(lake, tomorrow, cold).report["warm_start_from"] is None


def test_a_champion_that_learned_from_who_was_erased_is_not_gone_on_from(
    lake: Lake, settings: Settings
) -> None:
    made = trained(lake.root, quick(settings))
    _crown(lake, made)
    tomorrow = Run(NIGHT + dt.timedelta(days=1), "two")
    fill(lake, tomorrow)
    add_erased(lake, [], [model_name(RUN.run_date, RUN.run_id)], tomorrow.run_date)
    anew = fine_tune(lake, tomorrow, quick(settings))
    assert anew.report["warm_start_from"] is None
    why = f"the champion {version(made)} may have learned from shoppers who were erased on 2026-03"
    assert why in anew.report["trained_anew"]
    assert f"| started from | random weights ({why}" in (
        anew.partition.path / "README.md"
    ).read_text("utf-8")
    never = fine_tune(lake, tomorrow, quick(settings, warm_start=False))
    assert version(anew) == version(never), "bit for bit as if there were no champion"


def test_a_champion_of_other_held_out_rules_is_not_gone_on_from(
    lake: Lake, settings: Settings
) -> None:
    """Nor compared; it may generate where the night's model does not pass."""
    made = trained(lake.root, quick(settings))
    _crown(lake, made)
    tomorrow = Run(NIGHT + dt.timedelta(days=1), "two")
    fill(lake, tomorrow)
    repeats = quick(settings)
    repeats = dataclasses.replace(
        repeats,
        generation=dataclasses.replace(
            repeats.generation, exclude_owned=not repeats.generation.exclude_owned
        ),
    )
    anew = fine_tune(lake, tomorrow, repeats)
    assert anew.report["warm_start_from"] is None
    assert "another generation.exclude_owned" in anew.report["trained_anew"]
    evaluated = evaluate(lake, tomorrow, repeats)
    assert "champion" not in evaluated.report["ndcg"]
    assert "is not measured: it was trained under another" in evaluated.champion.why
    assert evaluated.champion.model_version in {made.checkpoint.model_version, version(anew)}


def test_a_champion_is_refined_at_a_lower_rate(lake: Lake, settings: Settings) -> None:
    fill(lake)
    first = fine_tune(lake, RUN, quick(settings, learning_rate=0.02))
    _crown(lake, first)
    tomorrow = Run(NIGHT + dt.timedelta(days=1), "two")
    fill(lake, tomorrow)
    warm = fine_tune(lake, tomorrow, quick(settings, learning_rate=0.02, warm_rate=0.25))
    cold = fine_tune(lake, tomorrow, quick(settings, learning_rate=0.02, warm_start=False))
    wider = quick(settings, learning_rate=0.02)
    wider = dataclasses.replace(wider, model=dataclasses.replace(wider.model, n_embd=32))
    other = fine_tune(lake, tomorrow, wider)
    assert other.report["warm_start_from"] is None
    rates = [made.report["learning_rate"] for made in (first, warm, cold, other)]
    assert rates == [0.02, 0.005, 0.02, 0.02]


def test_a_damaged_champion_does_not_stop_training(lake: Lake, settings: Settings) -> None:
    fill(lake)
    made = fine_tune(lake, RUN, quick(settings))
    _crown(lake, made)
    (made.partition.path / "model.safetensors").unlink()
    tomorrow = Run(NIGHT + dt.timedelta(days=1), "two")
    fill(lake, tomorrow)
    assert fine_tune(lake, tomorrow, quick(settings)).report["warm_start_from"] is None


def test_a_base_model_in_a_directory(lake: Lake, tmp_path: Path, settings: Settings) -> None:
    base = save_tiny_base(tmp_path / "base", n_embd=16)
    fill(lake)
    with_base = dataclasses.replace(
        quick(settings), model=dataclasses.replace(quick(settings).model, base_model=str(base))
    )
    made = fine_tune(lake, RUN, with_base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    words = "a quiet kettle"
    assert made.checkpoint.vocabulary.encode_text(words) == tokenizer(words)["input_ids"]
    assert made.checkpoint.model.config.n_layer == 3


def test_a_base_model_that_is_not_there(lake: Lake, tmp_path: Path, settings: Settings) -> None:
    fill(lake)
    missing = dataclasses.replace(settings.model, base_model=str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match=r"model.base_model .*nowhere.* no such directory"):
        fine_tune(lake, RUN, dataclasses.replace(quick(settings), model=missing))


def test_the_directory_is_plain_hugging_face(lake: Lake, settings: Settings) -> None:
    fill(lake)
    made = fine_tune(lake, RUN, quick(settings))
    directory = made.partition.path
    assert load_checkpoint(directory).model_version == made.checkpoint.model_version
    model = GPT2LMHeadModel.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    names = ["<|item:i03|>", "<|words|>", "<|reason|>"]
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(names)])
    assert model.generate(ids, max_new_tokens=3).shape[1] > 3
    card = (directory / "README.md").read_text(encoding="utf-8")
    assert made.checkpoint.model_version in card
    assert f"{made.report['parameters']:,}" in card
    assert made.partition.manifest["model_version"] == made.checkpoint.model_version


def test_the_job_records_and_balances(
    lake: Lake, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake, user=lambda row: row | {"consent": row["language"] == "en"})
    config = tmp_path / "night.toml"
    config.write_text(
        f'[paths]\nlake = "{settings.paths.lake}"\n[model]\nn_embd = 8\nn_layer = 1\n'
        "[training]\nmax_epochs = 1\ntext_epochs = 1\nbatch_tokens = 256\nthreads = 1\n"
    )
    assert main(["--date", str(NIGHT), "--config", str(config), "--run-id", "one"]) == 0
    record = json.loads((lake.records(RUN) / "fine_tune.json").read_text())
    assert record["report"]["users"] == 45
    (line,) = read_ledger(lake, RUN)
    assert (line.rows_in, line.rows_out, line.removed) == (N_USERS, 45, {"no_consent": 15})
    assert main(["--date", "2026-03-02", "--config", str(config)]) == 65

"""A run that is killed goes on to the weights of one that was not, bit for bit."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from transformers import GPT2LMHeadModel

from pipeline.model.checkpoint import small_config
from pipeline.model.prompt import reason_prompt
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Training
from pipeline.training.items import touched_rows
from pipeline.training.loop.phases import RunContext
from pipeline.training.loop.stepper import Stepper
from pipeline.training.loop.train_state import TrainCheckpoints, training_fingerprint
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.training_rows import TrainingRow, text_row
from pipeline.training.text_phase import fit_text

V = build_vocabulary(["A", "B", "C", "D"], ["en"], ["kettle"] * 3, text_vocab_size=300)
SETTINGS = Training(
    max_epochs=3, patience=3, batch_tokens=24, text_epochs=2, accumulate=2, sampled_items=2
)
FEATURES = sparse.csr_matrix(np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]))


def item_row(n: int) -> TrainingRow:
    items = [int(token) for token in V.item_token_ids]
    tokens = [V.control["history"], *(items[k % 4] for k in range(n))]
    return TrainingRow(
        tokens,
        [V.control["text"], *[V.control["view"]] * n],
        list(range(n + 1)),
        [*tokens[1:], items[n % 4]],
        False,
    )


ITEMS = [item_row(n % 9) for n in range(24)]
TEXTS = [
    text_row(V, reason_prompt(V, "AB"[k % 2], [f"w{k}"], "en"), V.encode_text("kettle ok"))
    for k in range(12)
]


def model() -> GPT2LMHeadModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = small_config(V, n_layer=1, n_head=2, n_embd=8, n_positions=64, dropout=0.3)
        return GPT2LMHeadModel(config).eval()


def train(
    checkpoints: TrainCheckpoints | None = None,
) -> tuple[dict[str, torch.Tensor], list[float], int]:
    """Both phases; the weights, every epoch's loss, and which was kept."""
    gpt2 = model()
    context = RunContext(checkpoints=checkpoints or TrainCheckpoints())
    written = fit_text(
        gpt2, V, TEXTS[3:], TEXTS[:3], ITEMS, settings=SETTINGS, seed=1, context=context
    )
    fitted = fit_ranking(
        gpt2,
        V,
        [*ITEMS, *TEXTS[3:]],
        lambda current: float(current.transformer.wte.weight.detach().abs().sum() % 1),
        settings=SETTINGS,
        seed=1,
        features_IF=FEATURES,
        context=context,
    )
    losses = [line.train_loss for line in (*written.epochs, *fitted.epochs)]
    return gpt2.state_dict(), losses, fitted.best_epoch


def killed(work: Callable[[], object], after_steps: int) -> bool:
    """Do the work in a process that SIGKILL ends after so many steps; whether it came to that."""
    child = os.fork()
    if child == 0:
        steps = 0
        step = Stepper.step

        def counted(self: Stepper, *arguments: object) -> float:
            nonlocal steps
            if steps == after_steps:
                os.kill(os.getpid(), signal.SIGKILL)
            steps += 1
            return step(self, *arguments)  # type: ignore[arg-type]

        Stepper.step = counted  # type: ignore[assignment,method-assign]
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A forked process has none of the threads that its parent's pool had."""
    torch.set_num_threads(1)


@pytest.mark.parametrize("few", [False, True])
def test_killed_five_times_and_the_same_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: bool
) -> None:
    """Also where a step reads and moves only some rows of the table."""
    monkeypatch.setattr(touched_rows, "MIN_ITEMS", 0 if few else 10**9)
    weights, losses, best = train()
    draw = random.Random(20260301)
    kills = 0
    for _ in range(5):
        # Every attempt gets a little further than the one before.
        checkpoints = TrainCheckpoints(tmp_path, "same", 0)
        kills += killed(lambda checkpoints=checkpoints: train(checkpoints), draw.randint(1, 6))  # type: ignore[misc]
    assert kills == 5
    resumed, resumed_losses, resumed_best = train(TrainCheckpoints(tmp_path, "same", 0))
    assert resumed.keys() == weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, resumed[name]), name
    assert (resumed_losses, resumed_best) == (losses, best)


def test_a_bookmark_of_something_else_or_a_damaged_one_is_left_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights, _, _ = train()
    for name, fingerprint, spoil in (
        ("other", "other", False),
        ("damaged", "same", True),
    ):
        directory = tmp_path / name
        assert killed(lambda d=directory: train(TrainCheckpoints(d, "same", 0)), 9)  # type: ignore[misc]
        for path in directory.glob("*.pt"):
            if spoil:
                path.write_bytes(path.read_bytes()[:-100])
        resumed, _, _ = train(TrainCheckpoints(directory, fingerprint, 0))
        assert all(torch.equal(weights[key], resumed[key]) for key in weights)


def test_a_finished_phase_is_not_trained_again(tmp_path: Path) -> None:
    weights, losses, _ = train(TrainCheckpoints(tmp_path, "same", 3600))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.pt", "training.pt"]
    assert not killed(lambda: train(TrainCheckpoints(tmp_path, "same", 0)), 0)  # no step is made
    again, losses_again, _ = train(TrainCheckpoints(tmp_path, "same", 0))
    assert losses_again == losses
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_the_fingerprint_is_of_everything() -> None:
    state = model().state_dict()
    same = training_fingerprint({"a": 1}, ITEMS, state)
    assert training_fingerprint({"a": 1}, list(ITEMS), model().state_dict()) == same
    other = {**state, "transformer.wte.weight": state["transformer.wte.weight"] + 1}
    assert (
        len(
            {
                same,
                training_fingerprint({"a": 2}, ITEMS, state),
                training_fingerprint({"a": 1}, ITEMS[1:], state),
                training_fingerprint({"a": 1}, ITEMS[::-1], state),
                training_fingerprint({"a": 1}, ITEMS, other),
            }
        )
        == 5
    )

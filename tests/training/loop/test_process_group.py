"""Two processes learn what one learns: in forked processes, by torchrun and by Spark."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from pyspark.ml.torch import distributor
from pyspark.sql import SparkSession
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher import api

from jobs import fine_tune as job
from jobs.training_processes import launch
from pipeline.lake import Lake, Run, write_json
from pipeline.settings import Settings, Training, load_settings
from pipeline.training.loop.phases import RunContext
from pipeline.training.loop.process_group import ProcessGroup, is_member
from pipeline.training.ranking_phase import fit_ranking
from tests.small_shop import NIGHT, fill
from tests.training.loop.test_train_state import FEATURES, ITEMS, TEXTS, V, model

SETTINGS = Training(max_epochs=3, patience=3, batch_tokens=48)


def curve(group: ProcessGroup) -> tuple[list[float], torch.Tensor]:
    """Losses and weights of a model without dropout: what each process draws differs."""
    gpt2 = model()
    for module in gpt2.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    fitted = fit_ranking(
        gpt2,
        V,
        [*ITEMS, *TEXTS],
        # Only the first process can measure; the others must be told.
        (lambda _: 0.5) if group.is_first else (lambda _: 1 / 0),
        settings=SETTINGS,
        seed=1,
        features_IF=FEATURES,
        context=RunContext(group=group),
    )
    return [line.train_loss for line in fitted.epochs], gpt2.transformer.wte.weight.detach()


def test_two_processes_make_the_steps_of_one(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    losses, weight = curve(ProcessGroup())
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            try:
                dist.init_process_group(
                    "gloo",
                    init_method=f"file://{tmp_path / 'meeting'}",
                    rank=rank,
                    world_size=2,
                    timeout=dt.timedelta(minutes=2),
                )
                torch.save(curve(ProcessGroup(rank, 2)), tmp_path / f"{rank}.pt")
            except BaseException:
                (tmp_path / f"{rank}.txt").write_text(traceback.format_exc())
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert [path.read_text() for path in tmp_path.glob("*.txt")] == []
    for rank in range(2):
        theirs, their_weight = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert theirs == pytest.approx(losses, rel=1e-4)
        torch.testing.assert_close(their_weight, weight, rtol=1e-3, atol=1e-4)


def test_who_is_a_member() -> None:
    assert is_member({"RANK": "0", "WORLD_SIZE": "2"})
    assert not is_member({"RANK": "0", "WORLD_SIZE": "1"})
    assert not is_member({})


CONFIG = """\
[paths]
lake = "lake"
[spark]
master = "local[2]"
driver_memory = "1g"
[model]
n_layer = 1
n_head = 1
n_embd = 16
n_positions = 64
text_vocab_size = 300
dropout = 0.0
[training]
max_epochs = 2
text_epochs = 0
min_users = 10
"""


def losses_of(home: Path, launcher: str, patch: pytest.MonkeyPatch) -> list[float]:
    """The job's training losses, by one process (`alone`) or two."""
    if launcher != "alone":
        patch.setenv("NIGHTCART_TRAINING__PROCESSES", "2")
        patch.setenv("NIGHTCART_TRAINING__LAUNCHER", launcher)
    config = home / "nightcart.toml"
    given = ["--date", str(NIGHT), "--config", str(config), "--run-id", launcher]
    assert job.main(given) == 0
    committed = Lake(home / "lake").committed("models", Run(NIGHT, launcher))
    assert committed is not None
    lines = json.loads((committed.path / "training_log.json").read_text(encoding="utf-8"))
    return [line["train_loss"] for line in lines]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """A night's inputs, and the losses of one process."""
    home = tmp_path_factory.mktemp("group")
    (home / "nightcart.toml").write_text(CONFIG, encoding="utf-8")
    fill(Lake(home / "lake"))
    with pytest.MonkeyPatch.context() as patch:
        return home, losses_of(home, "alone", patch)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_job_by_torchrun(
    shop: tuple[Path, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, alone = shop
    assert len(alone) == 2
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert losses_of(home, "torchrun", monkeypatch) == pytest.approx(alone, rel=1e-3)
    # torch's launcher leaves its own in the process that called it.
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_job_by_spark(
    spark: SparkSession, shop: tuple[Path, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, alone = shop
    assert losses_of(home, "spark", monkeypatch) == pytest.approx(alone, rel=1e-3)
    assert spark.range(3).count() == 3  # the session that was there is still there


@pytest.mark.parametrize(("exit_code", "handed_on"), [(65, 65), (1, 1), (-9, 1)])
def test_how_the_processes_ended_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, exit_code: int, handed_on: int
) -> None:
    def failing(_config: object, _program: str) -> Callable[..., None]:
        def run(*_arguments: str) -> None:
            failure = ProcessFailure(0, 1, exit_code, "nowhere")
            raise ChildFailedError("jobs.fine_tune", {0: failure})

        return run

    monkeypatch.setattr(api, "elastic_launch", failing)
    settings = Settings(training=Training(processes=2))
    assert launch(settings, Run(NIGHT, "one"), []) == handed_on


@pytest.mark.parametrize("says", ["done", "running", "failed", None])
def test_spark_s_wrapper_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession, says: str | None
) -> None:
    """It ends with 0 however the processes ended; the stage's own record says how they did."""
    settings = load_settings(
        None,
        {
            "NIGHTCART_PATHS__LAKE": str(tmp_path),
            "NIGHTCART_TRAINING__PROCESSES": "2",
            "NIGHTCART_TRAINING__LAUNCHER": "spark",
        },
    )
    run = Run(NIGHT, "one")
    record = Lake(tmp_path).records(run) / "fine_tune.json"
    write_json(record, {"status": "done"})  # of an attempt before

    def ran(*_arguments: object) -> None:
        assert not record.exists()
        if says is not None:
            write_json(record, {"status": says})

    monkeypatch.setattr(distributor.TorchDistributor, "run", ran)
    assert launch(settings, run, []) == (0 if says == "done" else 1)

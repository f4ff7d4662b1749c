"""Never lost, never twice: processes that the system ends at any moment, two at once."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tqdm.auto import tqdm

from pipeline import lake
from pipeline.generation import night as night_module
from pipeline.generation import sharded_rows, shards
from pipeline.generation.night import Night
from tests.generation_shop import NIGHT, Shop, checksums

RANDOM_KILLS = 12


def in_a_child(work: Callable[[], object]) -> int:
    """Start a process that does the work; its pid."""
    child = os.fork()
    if child:
        return child
    try:
        # Its own lock is a semaphore that the parent shares: killed with it, a child keeps it.
        tqdm.set_lock(threading.RLock())
        work()
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)


def end_of(child: int) -> tuple[int, float]:
    """Exit status, negative for a signal, and the processor seconds it took."""
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def kill_after(child: int, cpu_seconds: float) -> None:
    """SIGKILL, once the process has had so much processor time (a busy machine changes nothing)."""
    used = Path(f"/proc/{child}/schedstat")
    while int(used.read_text().split()[0]) < cpu_seconds * 1e9:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_file(table, file, **options):  # type: ignore[no-untyped-def]
    file.write(b"PAR1 half of it")
    file.flush()
    die()


def at_call(place: object, name: str, number: int, instead: Callable[..., object] = die) -> None:
    """Let the call of that number be the process's last."""
    real, calls = getattr(place, name), [0]

    def called(*args: object, **kwargs: object) -> object:
        calls[0] += 1
        return (instead if calls[0] == number else real)(*args, **kwargs)

    setattr(place, name, called)


# Three shards and one of reasons are written before the three files of the run directory.
MOMENTS: dict[str, Callable[[], None]] = {
    "users of one shard are set apart": lambda: at_call(sharded_rows, "_append", 4),
    "users are set apart and not renamed": lambda: at_call(Path, "rename", 1),
    "users are set apart, no shard is made": lambda: at_call(pq, "write_table", 1),
    "half of the first shard is written": lambda: at_call(pq, "write_table", 1, half_a_file),
    "half of the last shard is written": lambda: at_call(pq, "write_table", 3, half_a_file),
    "a shard is written and not flushed": lambda: at_call(os, "fsync", 3),
    "a shard is renamed and has no sidecar": lambda: at_call(shards, "write_json", 2),
    "a sidecar is written and not flushed": lambda: at_call(os, "fsync", 4),
    "half of the reasons are written": lambda: at_call(pq, "write_table", 4, half_a_file),
    "half of a published file is written": lambda: at_call(pq, "write_table", 6, half_a_file),
    "files without a manifest": lambda: at_call(lake, "_put_sealed", 1),
    "a manifest without a pointer": lambda: at_call(lake, "_put_sealed", 2),
    "committed, its scratch still there": lambda: at_call(night_module.shutil, "rmtree", 1),
}


def rerun_is_undisturbed(shop: Shop, run_id: str, undisturbed: list[str]) -> None:
    """Rerun what was killed; nothing differs, nothing is there twice, nothing is left over."""
    made = shop.generate(run_id)
    assert checksums(made) == undisturbed
    assert made.report["users"] == 30
    current = shop.lake.current("generated", NIGHT)
    assert current is not None
    assert checksums(type(made)(current, made.audience, {})) == undisturbed
    made_by_it = current.path.parent.glob(f"run_id={run_id}*")
    assert [path.name for path in made_by_it] == [f"run_id={run_id}"] == [current.path.name]
    assert not shop.lake.work("generate", shop.night(run_id).run).exists()


def test_kills_at_every_step_of_a_commit_each_followed_by_a_rerun(shop: Shop) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))
    for number, moment in enumerate(MOMENTS):

        def work(number: int = number, moment: str = moment) -> None:
            MOMENTS[moment]()
            shop.generate(f"R{number}")

        status, _ = end_of(in_a_child(work))
        assert status == -signal.SIGKILL, moment
        rerun_is_undisturbed(shop, f"R{number}", undisturbed)


def test_kills_at_random_moments_each_followed_by_a_rerun(shop: Shop) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))
    status, seconds = end_of(in_a_child(lambda: shop.generate("timed")))
    assert status == 0
    rng = np.random.default_rng(20)
    kills = 0
    began: list[int] = []
    for attempt in range(2 * RANDOM_KILLS):
        if kills == RANDOM_KILLS:
            break
        run_id = f"R{attempt}"
        child = in_a_child(lambda run_id=run_id: shop.generate(run_id))
        kill_after(child, seconds * rng.uniform(0.02, 0.95))
        status, _ = end_of(child)
        kills += status == -signal.SIGKILL
        night = shop.night(run_id)
        began.append(sum(night.shards.counts(name) is not None for name in night.names))
        rerun_is_undisturbed(shop, run_id, undisturbed)
    assert kills == RANDOM_KILLS
    # What the test is about: some died before the first shard, some between shards.
    assert len(set(began)) > 1, began


def test_two_at_once_make_one_correct_output(shop: Shop) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))
    children = [in_a_child(lambda: shop.generate("R")) for _ in range(2)]
    assert [end_of(child)[0] for child in children] == [0, 0]
    directory = shop.lake.run_directory("generated", shop.night("R").run)
    assert [path.name for path in directory.parent.glob("run_id=R*")] == ["run_id=R"]
    assert checksums(shop.generate("R")) == undisturbed


def test_two_runs_of_one_date_at_once_are_both_whole(shop: Shop) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))
    children = [in_a_child(lambda name=name: shop.generate(name)) for name in ("A", "B")]
    assert [end_of(child)[0] for child in children] == [0, 0]
    current = shop.lake.current("generated", NIGHT)
    assert current is not None
    assert current.run_id in ("A", "B")
    for run_id in ("A", "B"):
        assert checksums(shop.generate(run_id)) == undisturbed


def test_a_date_is_locked_while_it_is_made(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    night = shop.night("R")
    lock = night.shards.directory.parent / night_module.LOCK

    def looks(self: Night) -> None:
        # Another open file is as another process to the system.
        with lock.open("a") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setattr(Night, "_generate", looks)
    night.generate()
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

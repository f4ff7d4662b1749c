"""An erasure that is killed at any of its steps is finished by the next one, proof and all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.erasure import exchange
from pipeline.erasure.erase import ask, erase
from pipeline.erasure.journal import Journal
from pipeline.erasure.proof import proofs
from pipeline.verification import verify_lake
from tests.erasure.byte_scan import places
from tests.erasure.conftest import copy_of
from tests.erasure.erasure_shop import GO, Shop, clock, contents

KILLS = 20
KILLED = 77
# All that changes a name below the lake.
STEPS = ("replace", "rename", "unlink", "rmdir", "link", "mkdir")


def erase_in_a_child(shop: Shop, last: float, count: Path | None = None) -> int:
    """Erase in a process that ends before a step; its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    steps = 0

    def stepping(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > last:
                os._exit(KILLED)
            return real(*args, **kwargs)

        return step

    for name in STEPS:
        setattr(os, name, stepping(getattr(os, name)))
    exchange._exchange = stepping(exchange._exchange)
    os.fsync = lambda _: None  # power cuts are another test's matter
    code = 1
    try:
        erase(shop.asked(), clock)
        if count is not None:
            count.write_text(str(steps))
        code = 0
    finally:
        os._exit(code)


@pytest.mark.timeout(600)
def test_kills_at_every_kind_of_step_heal(
    built: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "undisturbed").mkdir()
    undisturbed = copy_of(built, tmp_path / "undisturbed")
    counted = tmp_path / "steps"
    assert erase_in_a_child(undisturbed, np.inf, counted) == 0
    expected, steps = contents(undisturbed), int(counted.read_text())
    assert steps > 10 * KILLS
    (of_undisturbed,) = proofs(undisturbed.lake)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    going_on = 0
    for number in np.linspace(1, steps - 1, KILLS).astype(int):
        root = tmp_path / f"killed-{number}"
        root.mkdir()
        shop = copy_of(built, root)
        assert erase_in_a_child(shop, number) == KILLED
        found = verify_lake(shop.lake)
        assert found.faults == [], f"at step {number} every directory is whole"
        begun, proved = Journal(shop.lake).is_open, bool(proofs(shop.lake))
        going_on += begun
        proof = erase(
            ask(shop.lake, shop.settings.privacy.key_file, () if begun else GO, [shop.logs]), clock
        )
        assert places(shop.lake.root, shop.secrets()) == [], number
        assert places(shop.logs, shop.secrets()) == [], number
        assert contents(shop) == expected, number
        if begun or not proved:
            assert (proof.facts["users"], proof.facts["found"]) == (3, 3)
            assert proof.facts["attempts"] == (2 if begun else 1)
            assert proof.facts["files"] == of_undisturbed.facts["files"], number
    assert going_on > KILLS // 2

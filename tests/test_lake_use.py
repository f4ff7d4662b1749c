"""Who rewrites the lake waits for those who use it, and they for it."""

from __future__ import annotations

import threading
from pathlib import Path

from pipeline.lake import Lake


def test_several_use_it_and_one_rewrites_it(tmp_path: Path) -> None:
    lake, order = Lake(tmp_path / "lake"), []
    begun = threading.Event()

    def rewrite() -> None:
        begun.set()
        with lake.rewriting():
            order.append("rewritten")

    with lake.in_use(), lake.in_use():
        thread = threading.Thread(target=rewrite)
        thread.start()
        begun.wait()
        thread.join(0.2)  # it cannot end before we leave
        assert thread.is_alive()
        order.append("used")
    thread.join()
    assert order == ["used", "rewritten"]
    with lake.rewriting():
        user = threading.Thread(target=lambda: _use(lake, order))
        user.start()
        user.join(0.2)
        order.append("rewritten again")
    user.join()
    assert order[2:] == ["rewritten again", "used again"]


def _use(lake: Lake, order: list[str]) -> None:
    with lake.in_use():
        order.append("used again")

"""What tells a process of the server that does nothing any more from one that is only slow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jobs.server.stalls import (
    API_SERVER,
    LOOK_SECONDS,
    STALLED_VARIABLE,
    START_SECONDS,
    Heartbeats,
    StallWatch,
    read_heartbeats,
    stalled_seconds,
)
from pipeline.errors import SettingsError

EVERYTHING = {"api-server": 0.0, "scheduler": 0.0, "dag-processor": 0.0}
STARTED = START_SECONDS  # by then each of them has had its time to start


class Story:
    """A health page and a clock that a test turns."""

    def __init__(self) -> None:
        self.now = STARTED
        self.page: Heartbeats | None = {"scheduler": "t0", "dag-processor": "t0"}
        self.watch = StallWatch(100, lambda: self.page, lambda: self.now)

    def after(
        self, seconds: float, page: Heartbeats | None, running: Mapping[str, float] = EVERYTHING
    ) -> list[str]:
        """What is found at the end, by a watch that looks all the while."""
        self.page = page
        end = self.now + seconds
        while self.now + LOOK_SECONDS < end:
            self.now += LOOK_SECONDS
            self.watch.stalled(running)
        self.now = end
        self.watch.looked = end - LOOK_SECONDS  # the last step may be short
        return self.watch.stalled(running)


def test_a_heartbeat_that_does_not_move_ends_its_process_and_no_other() -> None:
    story = Story()
    assert story.after(0, {"scheduler": "t0", "dag-processor": "t0"}) == []
    assert story.after(60, {"scheduler": "t0", "dag-processor": "t1"}) == []
    assert story.after(60, {"scheduler": "t0", "dag-processor": "t2"}) == ["scheduler"]


def test_a_process_that_was_just_started_is_given_its_time() -> None:
    story = Story()
    story.after(0, {"scheduler": "t0"})
    just_now = {"scheduler": STARTED + 50, "api-server": STARTED + 50}
    assert story.after(200, None, just_now) == []
    assert story.after(START_SECONDS + 101 - 150, None, just_now) == [API_SERVER]


def test_while_the_database_or_the_page_is_away_no_scheduler_is_blamed() -> None:
    story = Story()
    story.after(0, {"scheduler": "t0"})
    for _ in range(5):
        assert story.after(60, {}) == [], "an answer without heartbeats: the database is away"
    assert story.after(60, {"scheduler": "t0"}) == [], "the same heartbeat: its wait starts again"
    assert story.after(101, {"scheduler": "t0"}) == ["scheduler"]


def test_a_page_that_never_answers_ends_the_api_server_alone() -> None:
    story = Story()
    assert story.after(60, None) == []
    assert story.after(60, None) == [API_SERVER]
    assert story.watch.stalled({"scheduler": 0.0}) == [], "it is not running any more"


def test_a_process_that_does_not_run_is_not_ended() -> None:
    story = Story()
    story.after(0, {"scheduler": "t0"})
    assert story.after(500, {"scheduler": "t0"}, {}) == []


@pytest.mark.parametrize("page", [None, {}, {"scheduler": "t0", "dag-processor": "t0"}], ids=str)
def test_after_a_freeze_of_everything_each_has_its_time_again(page: Heartbeats | None) -> None:
    """A paused container: the clock went on, the heartbeats did not, and no look was taken."""
    story = Story()
    assert story.after(50, {"scheduler": "t0", "dag-processor": "t0"}) == []
    story.now += 10_000
    story.page = page
    assert story.watch.stalled(EVERYTHING) == []
    assert story.after(90, page) == []
    assert story.after(11, {"scheduler": "t0", "dag-processor": "t0"}) == (
        ["scheduler", "dag-processor"] if page else []
    ), "what does not come back to life is still found"


@pytest.fixture
def page() -> Iterator[tuple[str, dict[str, bytes | int]]]:
    """A server on loopback that answers what the test says."""
    answer: dict[str, bytes | int] = {"status": 200, "body": b"{}"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(answer["status"]))
            self.end_headers()
            self.wfile.write(bytes(answer["body"]))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answer
    server.shutdown()
    server.server_close()


def test_the_page_as_airflow_writes_it(page: tuple[str, dict[str, bytes | int]]) -> None:
    from airflow.api_fastapi.core_api.datamodels.monitor import HealthInfoResponse

    url, answer = page
    parts = {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-11-30T01:02:03"},
        "triggerer": {"status": None, "latest_triggerer_heartbeat": None},
        "dag_processor": {"status": None, "latest_dag_processor_heartbeat": None},
    }
    # Airflow's own model, so that a field that it renames is noticed here.
    answer["body"] = HealthInfoResponse.model_validate(parts).model_dump_json().encode()
    assert read_heartbeats(url) == {"scheduler": "2026-11-30T01:02:03"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, b"{}", {}),
        (200, b"no json", None),
        (200, b"[]", {}),
        (200, json.dumps({"scheduler": "odd"}).encode(), {}),
    ],
)
def test_odd_answers(
    page: tuple[str, dict[str, bytes | int]], status: int, body: bytes, expected: object
) -> None:
    url, answer = page
    answer |= {"status": status, "body": body}
    assert read_heartbeats(url) == expected


def test_nobody_answers() -> None:
    assert read_heartbeats("http://127.0.0.1:9") is None


@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan"])
def test_a_time_that_is_none_is_refused_by_name(value: str) -> None:
    with pytest.raises(SettingsError, match=STALLED_VARIABLE):
        stalled_seconds({STALLED_VARIABLE: value})


def test_the_time_has_a_default() -> None:
    assert stalled_seconds({}) == 300.0
    assert stalled_seconds({STALLED_VARIABLE: "45"}) == 45.0

"""Alerts: what they say, by webhook and by mail, and that they never make things worse."""

from __future__ import annotations

import datetime as dt
import email
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.lake import Lake, Run, run_id_of
from pipeline.ledger import LedgerLine, write_ledger
from tests.lake_rows import point_latest

NIGHT = dt.date(2026, 3, 1)
AIRFLOW_RUN = "scheduled__2026-03-02T00:00:00+00:00"
RUN = Run(NIGHT, run_id_of(AIRFLOW_RUN))


@contextmanager
def serving(server: Any) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def posted() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A webhook's port, and what was posted to it."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server's word
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield port, bodies


@pytest.fixture
def mailed() -> Iterator[tuple[int, list[str]]]:
    """A mail server's port, and the messages that it took."""
    messages: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 test\r\n")
            for line in self.rfile:
                word = line.split()[0].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = list(iter(self.rfile.readline, b".\r\n"))
                    messages.append(b"".join(lines).decode())
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield port, messages


@pytest.fixture
def shop(airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "shop.toml"
    config.write_text('[shop]\nname = "Tea & Co"\n[paths]\nraw = "raw"\nlake = "lake"\n')
    monkeypatch.setenv("NIGHTCART_CONFIG", str(config))
    lake = Lake(tmp_path / "lake")
    (lake.begin("recommendations", Run(NIGHT - dt.timedelta(days=1), "r0")) / "a").write_text("")
    lake.close("recommendations", Run(NIGHT - dt.timedelta(days=1), "r0"), rows=1234)
    point_latest(lake, "recommendations", Run(NIGHT - dt.timedelta(days=1), "r0"))
    line = LedgerLine(NIGHT, RUN.run_id, "clean", "raw_events", 10, 7, {"bad_time": 3})
    write_ledger(lake, RUN, "clean", [line])
    return tmp_path


def notify(exception: str | None = "clean failed: <b>too much</b> was refused") -> None:
    from dags.alerts import NightAlert

    context: Any = {
        "params": {},
        "exception": RuntimeError(exception) if exception else None,
        "ti": SimpleNamespace(task_id="clean", log_url="http://airflow/log"),
        "dag_run": SimpleNamespace(
            run_id=AIRFLOW_RUN,
            data_interval_end=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
            run_after=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
        ),
    }
    NightAlert(zone="UTC").notify(context)


def test_a_webhook_is_told_everything_that_an_operator_needs(
    shop: Path, posted: tuple[int, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, bodies = posted
    monkeypatch.setenv("NIGHTCART_ALERTS__WEBHOOK", f"http://127.0.0.1:{port}/hook")
    notify()
    (body,) = bodies
    assert body["subject"] == "Tea & Co: the night of 2026-03-01 failed at clean"
    assert (body["night"], body["stage"]) == ("2026-03-01", "clean")
    assert body["reason"] == "clean failed: <b>too much</b> was refused"
    assert "10" in body["ledger"]
    assert "bad_time" in body["ledger"]
    assert body["published"] == "the night of 2026-02-28, 1,234 shoppers"
    assert body["redo"] == "nightcart redo --date 2026-03-01"
    assert body["airflow"] == "http://airflow/log"
    assert all(str(value) in body["text"] for value in body.values() if value is not body["text"])


def test_it_is_mailed_with_strangers_text_escaped(
    shop: Path, mailed: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, messages = mailed
    monkeypatch.setenv("NIGHTCART_ALERTS__EMAIL_TO", "ops@shop.example,boss@shop.example")
    monkeypatch.setenv(
        "AIRFLOW_CONN_SMTP_DEFAULT",
        f"smtp://127.0.0.1:{port}/?disable_ssl=true&disable_tls=true&from_email=night%40shop.example",
    )
    notify()
    (message,) = map(email.message_from_string, messages)
    assert message["To"] == "ops@shop.example, boss@shop.example"
    assert message["Subject"] == "Tea & Co: the night of 2026-03-01 failed at clean"
    text = "".join(
        part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        for part in message.walk()
        if part.get_content_maintype() == "text"
    )
    assert "&lt;b&gt;too much&lt;/b&gt;" in text
    assert "nightcart redo --date 2026-03-01" in text


def test_a_task_that_was_killed_outright_is_explained_by_its_record(
    shop: Path, posted: tuple[int, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, bodies = posted
    monkeypatch.setenv("NIGHTCART_ALERTS__WEBHOOK", f"http://127.0.0.1:{port}/hook")
    notify(exception=None)
    record = Lake(shop / "lake").records(RUN) / "clean.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text('{"status": "failed", "error": "no events.jsonl"}')
    notify(exception=None)
    assert [body["reason"] for body in bodies] == [
        "the task's process ended without a word (killed?)",
        "no events.jsonl",
    ]


def test_an_alert_that_reaches_nobody_raises_nothing(
    shop: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NIGHTCART_ALERTS__WEBHOOK", "http://127.0.0.1:9/nobody")
    monkeypatch.setenv("NIGHTCART_ALERTS__EMAIL_TO", "ops@shop.example")
    monkeypatch.setenv(
        "AIRFLOW_CONN_SMTP_DEFAULT", "smtp://127.0.0.1:9/?disable_ssl=true&timeout=1"
    )
    notify()
    assert "was not posted" in caplog.text
    assert "was not mailed" in caplog.text

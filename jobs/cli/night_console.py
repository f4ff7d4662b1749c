"""What a person sees of a night as it goes on: one line per task, and what the job says meanwhile.

On a terminal the running task has a live line with its time and the job's last words; elsewhere
(CI, a pipe) every line is plain, and a running job is quoted at most every ten seconds.
"""

from __future__ import annotations

import re
import time

from rich.console import Console
from rich.markup import escape

from jobs.cli.night import Event, Night
from jobs.cli.stage_records import said_of
from pipeline.errors import DATA_ERROR
from pipeline.lake import Lake, Run
from pipeline.stages import EXPIRE

QUOTE_SECONDS = 10.0
# "12:01:44 fine_tune epoch 3 …": the console says the time and the stage itself.
_VERDICT = re.compile(r"^\S+ \d{4}-\d\d-\d\d failed: ")
_PREFIX = re.compile(r"^\d\d:\d\d:\d\d \S+ ")


class NightConsole:
    """Prints a night's events; remembers its run and its first failure."""

    def __init__(self, console: Console, lake: Lake) -> None:
        self.console = console
        self.lake = lake
        self.run_id: str | None = None
        self.failed_task: str | None = None
        self.reason = ""
        self._task = ""
        self._started = 0.0
        self._last_line = ""
        self._quoted = ("", 0.0)

    def show(self, night: Night) -> None:
        """Print until the night's process ends."""
        with self.console.status("starting Airflow …") as status:
            for event in night.follow():
                if event is not None:
                    self._show_event(night, event)
                if self._task:
                    status.update(self._live_line())
                    self._quote()
                elif self.run_id:
                    status.update("Airflow …")

    def _show_event(self, night: Night, event: Event) -> None:
        self.run_id = event["run_id"]
        if event["state"] == "started":
            self._task, self._started, self._last_line = event["task"], time.monotonic(), ""
            self._quoted = ("", self._started)
            again = f", attempt {event['attempt']}" if event["attempt"] > 1 else ""
            if not self.console.is_terminal or again:
                self.console.print(f"[dim]▸[/] {self._task}{again}")
        elif event["state"] == "line":
            # What a job logs starts with the time; what else is there is its engine's chatter.
            if _PREFIX.match(event["line"]):
                self._last_line = _PREFIX.sub("", event["line"])
        elif event["state"] == "ended":
            self._show_end(night, event)
            self._task = ""

    def _show_end(self, night: Night, event: Event) -> None:
        task, code, seconds = event["task"], event["code"], event["seconds"]
        if code:
            reason = _VERDICT.sub("", event["reason"])
            # What cannot be retried is said in full at the end.
            said = "" if code == DATA_ERROR and task != EXPIRE else escape(reason)
            self.console.print(f"[bold red]✗[/] {task:<18} {seconds:7.1f} s  {said}".rstrip())
            if self.failed_task in (None, task) and task != EXPIRE:
                self.failed_task, self.reason = task, reason
            return
        if self.failed_task == task:
            self.failed_task, self.reason = None, ""  # a retry made it good
        run = Run(night.run_date, event["run_id"])
        said = said_of(self.lake, run, task)
        self.console.print(f"[bold green]✓[/] {task:<18} {seconds:7.1f} s  {escape(said)}".rstrip())

    def _live_line(self) -> str:
        seconds = time.monotonic() - self._started
        return f"{self._task} {seconds:.0f} s  [dim]{escape(self._last_line[:120])}[/]"

    def _quote(self) -> None:
        text, at = self._quoted
        now = time.monotonic()
        if self.console.is_terminal or now - at < QUOTE_SECONDS or self._last_line in (text, ""):
            return
        self._quoted = (self._last_line, now)
        self.console.print(f"    {escape(self._last_line)}", style="dim")

"""What became of the late rows of a pass, counted by the delivery that decides it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.cleaning.late.late_rows import KEPT, RESTORED, RETRACTED
from pipeline.cleaning.rows.row_rules import ACCEPTED, QUARANTINED, REMOVED
from pipeline.ledger import LedgerLine


@dataclass(frozen=True)
class LateCount:
    """Rows with the same outcome and reason, by one delivery's decision."""

    as_of: dt.date
    outcome: str
    released: bool
    reason: str
    rows: int


@dataclass(frozen=True)
class LateRows:
    """The outcomes of the late rows of a pass, by the delivery that decides."""

    counts: list[LateCount] = field(default_factory=list)
    oldest: Mapping[dt.date, dt.date] = field(default_factory=dict)  # of the user days touched

    def removed(self, day: dt.date, *, released: bool) -> Counter[str]:
        """Rows that a delivery brought and that a rule took out."""
        return self._by_reason(day, REMOVED, released)

    def released_in(self, day: dt.date) -> int:
        """Rows of a delivery's files that came out of quarantine."""
        return self._rows(day, (ACCEPTED,), released=True)

    def restored(self, day: dt.date) -> int:
        """Rows of a delivery's files that an earlier one had brought, and a rule taken out."""
        return self._rows(day, (RESTORED,))

    def lines(self, dataset: str, day: dt.date, run_id: str) -> list[LedgerLine]:
        """Ledger lines of rows that the delivery's own files did not bring; none without any.

        `<dataset>_released` are rows that came out of quarantine. `<dataset>_judged_again` are the
        rows that stood in the user days that late rows touched, and those that were restored.
        """
        released = LedgerLine(
            run_date=day,
            run_id=run_id,
            stage="clean",
            dataset=f"{dataset}_released",
            rows_in=self._rows(day, (ACCEPTED, QUARANTINED, REMOVED), released=True),
            rows_out=self.released_in(day),
            quarantined=dict(self._by_reason(day, QUARANTINED, released=True)),
            removed=dict(self.removed(day, released=True)),
        )
        again = LedgerLine(
            run_date=day,
            run_id=run_id,
            stage="clean",
            dataset=f"{dataset}_judged_again",
            rows_in=self._rows(day, (KEPT, RESTORED, RETRACTED)),
            rows_out=self._rows(day, (KEPT, RESTORED)),
            removed=dict(self._by_reason(day, RETRACTED, None)),
        )
        return [line for line in (released, again) if line.rows_in]

    def _rows(self, day: dt.date, outcomes: tuple[str, ...], released: bool | None = None) -> int:
        return sum(count.rows for count in self._chosen(day, outcomes, released))

    def _by_reason(self, day: dt.date, outcome: str, released: bool | None) -> Counter[str]:
        found: Counter[str] = Counter()
        for count in self._chosen(day, (outcome,), released):
            found[count.reason] += count.rows
        return found

    def _chosen(
        self, day: dt.date, outcomes: tuple[str, ...], released: bool | None
    ) -> list[LateCount]:
        return [
            count
            for count in self.counts
            if count.as_of == day
            and count.outcome in outcomes
            and released in (None, count.released)
        ]

"""What the gate found of one dataset: each check that did not hold, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COLUMNS = "expect_table_columns_to_match_ordered_list"


@dataclass(frozen=True)
class Failure:
    """One check that did not hold."""

    dataset: str
    reason: str
    expectation: str
    columns: tuple[str, ...]
    severity: str
    observed: str
    drift: bool = False  # found by comparing with earlier deliveries

    def __str__(self) -> str:
        where = f" on {', '.join(self.columns)}" if self.columns else ""
        return f"{self.dataset}: {self.reason}{where} ({self.expectation}): {self.observed}"


@dataclass(frozen=True)
class Outcome:
    """What the gate saw of one dataset."""

    dataset: str
    rows: int
    checks: int
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def stops(self) -> tuple[Failure, ...]:
        """The failures that end the night."""
        return tuple(failure for failure in self.failures if failure.severity == "stop")

    @property
    def warnings(self) -> tuple[Failure, ...]:
        """The failures that are only reported."""
        return tuple(failure for failure in self.failures if failure.severity != "stop")


def failure_of(dataset: str, found: Any, fault: str) -> Failure:
    """A check that did not hold; `fault` says what is wrong with the columns."""
    meta = found.expectation_config.meta
    kind = found.expectation_config.type
    return Failure(
        dataset=dataset,
        reason=meta["reason"],
        expectation=kind,
        columns=tuple(meta["columns"]),
        severity=meta["severity"],
        observed=fault if kind == COLUMNS else observed(found),
        drift=meta.get("drift", False),
    )


def observed(found: Any) -> str:
    """What was seen, in words and without personal values."""
    result = found.result or {}
    if "unexpected_count" in result:
        n, rows = result["unexpected_count"], result["element_count"]
        samples = result.get("partial_unexpected_list") or []
        shown = ", ".join(dict.fromkeys(f"{value!r:.60}" for value in samples))
        return f"{n:,} of {rows:,} rows" + (f", such as {shown}" if shown else "")
    if "observed_value" in result:
        value = result["observed_value"]
        return value if isinstance(value, str) else f"observed {value!r:.200}"
    messages = [message for message in _exceptions(found.exception_info) if message]
    return f"could not be checked: {messages[0]:.300}" if messages else "not met"


def _exceptions(info: Any) -> list[str]:
    """Messages from an exception record, which may be one or a mapping of them by metric."""
    if not isinstance(info, dict):
        return []
    if "exception_message" in info:
        return [str(info["exception_message"] or "").split("\n", 1)[0]]
    return [message for entry in info.values() for message in _exceptions(entry)]

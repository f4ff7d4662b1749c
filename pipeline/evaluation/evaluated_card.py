"""The candidate's model card, completed with its measures and the gate's decision. Pure text.

Training's card lies in the model's directory, which is committed and does not change. The completed
card lies beside `champion.json` of the night that evaluated the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.evaluation.promotion_gate import Decision
from pipeline.evaluation.segments import ALL
from pipeline.model.list_methods import COMPARED_MODELS

TRAINING_CARD = "README.md"
SECTION = "## Measured\n"


def evaluated_card(
    directory: Path, rows: Sequence[Mapping[str, Any]], decision: Decision
) -> str | None:
    """Training's card with its section on figures filled in; none where there is no such card.

    Args:
        rows: of `metrics.v1`, of one night.
    """
    try:
        card = (directory / TRAINING_CARD).read_text(encoding="utf-8")
    except OSError:
        return None
    head, section, tail = card.partition(SECTION)
    _, further, rest = tail.partition("\n## ")
    word = "Promoted" if decision.promoted else "Not promoted"
    measured = f"{section or SECTION}{word}: {decision.why}.\n\n{_tables(rows)}"
    return f"{head}{measured}{further}{rest}"


def _tables(rows: Sequence[Mapping[str, Any]]) -> str:
    test = [row for row in rows if row["split"] == "test"]
    parts = [_table("Everybody in the test half", [row for row in test if row["segment"] == ALL])]
    of_ndcg = [row for row in test if row["metric"] == "ndcg" and row["segment"] != ALL]
    if of_ndcg:
        parts.append(_table("NDCG by segment", of_ndcg, by="segment"))
    return "\n".join(parts)


def _table(title: str, rows: Sequence[Mapping[str, Any]], by: str = "metric") -> str:
    models = [name for name in COMPARED_MODELS if any(row["model"] == name for row in rows)]
    names = list(dict.fromkeys((row[by], row["k"], row["n_users"]) for row in rows))
    lines = [
        f"{title} (in brackets: 95 % bootstrap interval over users)\n",
        f"| | users | {' | '.join(models)} |",
        f"|--|--|{'--|' * len(models)}",
    ]
    for name, k, n_users in names:
        cells = [
            next((_cell(r) for r in rows if r[by] == name and r["model"] == model), "–")
            for model in models
        ]
        label = f"{name}@{k}" if by == "metric" else name
        lines.append(f"| {label} | {n_users:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['value']:.4f}"
    return f"{row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"

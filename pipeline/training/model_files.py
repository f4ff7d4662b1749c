"""The files of a night's model beside the checkpoint: both phases' logs, the report, the card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.lake import Run, write_json
from pipeline.settings import Settings
from pipeline.training import ranking_phase, text_phase
from pipeline.training.loop.phases import Trained
from pipeline.training.model_card import model_card
from pipeline.training.provenance import settings_used

TRAINING_LOG = "training_log.json"
TEXT_LOG = "text_log.json"
TRAINING_REPORT = "training_report.json"
MODEL_CARD = "README.md"


def write_model_files(
    directory: Path,
    run: Run,
    settings: Settings,
    *,
    ranking: Trained,
    text: Trained | None,
    report: Mapping[str, Any],
) -> None:
    """Write them into the model's directory.

    Args:
        text: none where there was no text phase; its log is an empty list then.
    """
    _write_log(directory / TRAINING_LOG, ranking, ranking_phase.SCORE_NAME)
    _write_log(directory / TEXT_LOG, text, text_phase.SCORE_NAME)
    write_json(directory / TRAINING_REPORT, {**report, "settings": settings_used(settings)})
    card = model_card(run, settings, report)
    (directory / MODEL_CARD).write_text(card, encoding="utf-8")


def _write_log(path: Path, trained: Trained | None, score_name: str) -> None:
    """One object an epoch, the score under its own name."""
    lines = []
    for epoch in trained.epochs if trained else []:
        line = asdict(epoch)
        score = line.pop("score")
        lines.append({**line, score_name: score})
    path.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")

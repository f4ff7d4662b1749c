"""Who may speak in a reason."""

from __future__ import annotations

import pytest

from pipeline.model.reason_style import is_contrast, is_personal


@pytest.mark.parametrize(
    "sentence",
    [
        "I hardly notice the weight.",
        "A gift for my brother.",
        "Ein Geschenk für meinen Bruder.",
        "Cabe en mi bolso.",
        "我爱上了女主角。",
        "It's what I've wanted.",
    ],
)
def test_a_reviewer_speaks(sentence: str) -> None:
    assert is_personal(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["The bass is deep.", "Die Minute zählt.", "La letra no cansa la vista.", "屏幕很亮。", "In."],
)
def test_nobody_speaks(sentence: str) -> None:
    assert not is_personal(sentence)
    assert not is_contrast(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["Bright, but heavy.", "Hell, aber schwer.", "Clara, pero pesada.", "很亮，但是很重。"],
)
def test_a_reservation(sentence: str) -> None:
    assert is_contrast(sentence)

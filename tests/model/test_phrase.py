"""When a sentence says a phrase."""

from __future__ import annotations

import pytest

from pipeline.model.phrase import stands_in


@pytest.mark.parametrize(
    ("phrase", "sentence", "expected"),
    [
        ("quiet", "So QUIET!", True),
        ("quiet", "quietly", False),
        ("don't", "don't worry", True),
        ("low noise", "It has low noise.", True),
        ("low noise", "The noise is really low.", True),
        ("low noise", "The noise is loud.", False),
        ("low noise", "lowest noise", False),
        ("low noise", "Low price. The noise is gone.", False),
        ("low noise", "low " + "and " * 9 + "noise", False),
        ("手机", "这个手机很好", True),
        ("音质 好", "音质非常好。", True),
        ("音质 好", "好的音质", True),
        ("音质 好", "音质一般，价格好", False),
        ("音质 好", "音质一般", False),
        ("", "anything", False),
        ("a.c", "abc", False),
    ],
)
def test_its_words_stand_near_each_other(phrase: str, sentence: str, expected: bool) -> None:
    assert stands_in(phrase, sentence) is expected

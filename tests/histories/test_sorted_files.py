"""A dataset of a night has few files, and none too large to be held."""

from __future__ import annotations

import pytest

from pipeline.histories.sorted_files import file_count


@pytest.mark.parametrize(
    ("rows", "files"),
    [
        (0, 1),
        (250_001, 2),
        (3_000_000, 8),
        (16_000_000, 8),
        (16_000_001, 16),
        (200_000_000, 128),
    ],
)
def test_files_are_few_until_they_would_be_too_large_to_hold(rows: int, files: int) -> None:
    assert file_count(rows, 8) == files

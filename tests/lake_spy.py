"""Which datasets of any lake are looked at, and which are written, while something runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline import datasets
from pipeline.lake import Lake


@dataclass
class Seen:
    """Names of datasets."""

    touched: set[str] = field(default_factory=set)  # whose folder was asked for
    begun: set[str] = field(default_factory=set)  # in which a directory was made to be filled


@contextmanager
def lake_spy() -> Iterator[Seen]:
    """Note what this process does; every path of a lake is asked of `Lake.dataset`."""
    seen = Seen()
    folder, begin = Lake.dataset, Lake.begin

    def dataset(lake: Lake, name: str) -> Path:
        if name in datasets.ALL:
            seen.touched.add(name)
        return folder(lake, name)

    def beginning(lake: Lake, name: str, *arguments: Any) -> Path:
        seen.begun.add(name)
        return begin(lake, name, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "dataset", dataset)
        patch.setattr(Lake, "begin", beginning)
        yield seen

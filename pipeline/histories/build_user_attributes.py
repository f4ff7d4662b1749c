"""Writing the user attributes of a night, from those of an earlier night and the deliveries since.

The stage commits them with the night's other datasets. The module is apart from `build.py` because
`histories/night.py` names it: its source is in the digest that decides whether a night may continue
what an earlier one wrote.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets import CLEANED_USERS, USER_ATTRIBUTES
from pipeline.histories.night import HistoryNight
from pipeline.histories.sorted_files import write_sorted
from pipeline.histories.user_attributes import user_attributes_as_of


def write_user_attributes(night: HistoryNight) -> tuple[Path, int]:
    """Write the night's user attributes; returns their directory and the rows."""
    path, files = night.lake.begin(USER_ATTRIBUTES, night.run), night.files(night.user_attributes)
    frame = user_attributes_as_of(
        night.new(night.user_attributes, CLEANED_USERS),
        night.before(night.user_attributes, USER_ATTRIBUTES),
        files,
    )
    return path, write_sorted(frame, path, key="user_id", files=files)

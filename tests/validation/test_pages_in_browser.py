"""Data Docs in a browser: what is wrong is seen at once, and nothing runs off the page."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
from pathlib import Path

import matplotlib.image as mpl_image
import numpy as np
import numpy.typing as npt
import pytest
from pyspark.sql import SparkSession

from pipeline.errors import GateError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.validation.dataset_group import validate_group
from tests.lake_rows import write_rows

RUN = Run(dt.date(2026, 3, 1), "seen")
WIDTH, HEIGHT = 1200, 2400
STOP_COLOUR = np.array([0xB3, 0x26, 0x1E]) / 255
LONG = "averyveryverylongtypewithoutasingleblank" * 8


@pytest.fixture(scope="module")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        message = "there is no Chromium on the PATH; scripts/require_chromium.sh installs one"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def seen(chromium: str, page: Path, directory: Path) -> npt.NDArray[np.float64]:
    """The top of a page: height, width, red green blue from 0 to 1."""
    picture = directory / f"{page.stem}.png"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",  # it refuses to run as root otherwise; the page is our own, scripts are off
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--user-data-dir={directory / 'profile'}",
        f"--window-size={WIDTH},{HEIGHT}",
        f"--screenshot={picture}",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert picture.is_file(), done.stderr[-2000:]
    return np.asarray(mpl_image.imread(picture), dtype=np.float64)[..., :3]


@pytest.mark.browser
def test_what_stops_a_night_comes_first_and_all_of_it_fits(
    spark: SparkSession, lake: Lake, settings: Settings, chromium: str, tmp_path: Path
) -> None:
    noon = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    event = {
        "event_time": noon,
        "event_date": RUN.run_date,
        "event_type": LONG,
        "user_id": "0123456789abcdef" * 2,
        "item_id": "i1",
        "source": "simulator",
    }
    write_rows(lake, "cleaned_events", RUN, [event | {"event_id": f"e{n}"} for n in range(3)])
    with pytest.raises(GateError):
        validate_group(spark, lake, RUN, "cleaned", settings)
    site = lake.records(RUN) / "data_docs"
    (dataset,) = (site / "validations").rglob("*.html")

    for page in (site / "index.html", dataset):
        screen = seen(chromium, page, tmp_path)
        assert screen.shape[:2] == (HEIGHT, WIDTH)
        is_red = np.abs(screen - STOP_COLOUR).max(axis=2) < 0.02
        assert is_red[:400].sum() > 200, f"{page.name}: no stop badge at the top"
        assert (screen[:, -12:] > 0.99).all(), f"{page.name} runs off the right edge"
        ink = (screen.min(axis=2) < 0.6).mean()
        assert 0.005 < ink < 0.4, f"{page.name}: {ink:.1%} of the screen is ink"

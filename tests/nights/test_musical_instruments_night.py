"""A night of a real dump of reviews: 385 days of one file, from the file to the pointer.

The dump has ten years. Of 1,570 days each costs what one of these costs, so the last are enough
here.
"""

from __future__ import annotations

import csv
import datetime as dt
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine, read_ledger
from pipeline.pseudonym import pseudonym, read_or_make_key
from tests.night_runner import NightRunner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FIRST = dt.date(2013, 7, 1)
NIGHT = dt.date(2014, 7, 22)  # the newest review's day
RUN = Run(NIGHT, "whole")
K = 10

# What is proved is the night and its days: one epoch of text is enough to be fine-tuned.
CONFIG = """\
[shop]
name = "musical instruments"
source = "amazon_reviews"
[paths]
raw = "{raw}"
lake = "lake"
[privacy]
key_file = "user_id.key"
[spark]
master = "local[2]"
driver_memory = "1g"
shuffle_partitions = 2
[histories]
active_days = 365
[training]
max_epochs = 3
text_epochs = 1
[generation]
k = 10
"""


@dataclass(frozen=True)
class ReviewedShop:
    """The lake after the night, and the reviews as Python's csv reads them."""

    lake: Lake
    reviews: list[dict[str, str]]

    def lines(self, stage: str, dataset: str) -> list[LedgerLine]:
        return [
            line
            for line in read_ledger(self.lake, RUN)
            if (line.stage, line.dataset) == (stage, dataset)
        ]


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Path, run_night: NightRunner
) -> ReviewedShop:
    home = tmp_path_factory.mktemp("musical_instruments")
    with (shared_data / "musical_instruments" / "reviews.csv").open(
        newline="", encoding="utf-8"
    ) as file:
        reviews = [review for review in csv.DictReader(file) if day_of(review) >= FIRST]
    raw = home / "raw"
    raw.mkdir()
    with (raw / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, reviews[0])
        writer.writeheader()
        writer.writerows(reviews)
    config = home / "nightcart.toml"
    config.write_text(CONFIG.format(raw=raw))
    run_night(config, NIGHT, RUN.run_id)
    return ReviewedShop(Lake(home / "lake"), reviews)


def day_of(review: dict[str, str]) -> dt.date:
    return dt.datetime.fromtimestamp(int(review["unixReviewTime"]), dt.UTC).date()


def test_every_review_is_accounted_for_on_its_day(shop: ReviewedShop) -> None:
    lines = read_ledger(shop.lake, RUN)
    assert [line for line in lines if line.unaccounted] == []
    cleaned = shop.lines("clean", "reviews")
    assert {line.run_date: line.rows_in for line in cleaned} == Counter(map(day_of, shop.reviews))
    # Two have stars and no words.
    assert sum(not review["reviewText"] for review in shop.reviews) == 2
    assert [line for line in cleaned if line.quarantined or line.removed] == []
    # One review, one rating of a past: none is lost on the way to the histories.
    [acts] = shop.lines("build_histories", "acts")
    assert acts.rows_in == len(shop.reviews)


def test_who_reviewed_within_a_year_and_nobody_else_is_published(shop: ReviewedShop) -> None:
    latest = shop.lake.latest("recommendations")
    assert latest is not None
    assert (latest.run_date, latest.run_id) == (NIGHT, RUN.run_id)
    key = read_or_make_key(shop.lake.root.parent / "user_id.key")
    active = {
        pseudonym(review["reviewerID"], key)
        for review in shop.reviews
        if day_of(review) > NIGHT - dt.timedelta(days=365)
    }
    rows = ds.dataset([str(file) for file in latest.files]).to_table().to_pylist()
    assert sorted(row["user_id"] for row in rows) == sorted(active)
    catalogue = {review["asin"] for review in shop.reviews}
    for row in rows:
        names = {item["item_id"] for item in row["items"]}
        assert len(names) == K
        assert names <= catalogue


# Run with -I: neither the working directory nor PYTHONPATH is looked at.
_TRANSFORMERS_ALONE = """
import sys
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel
directory, *prompt = sys.argv[1:]
model = GPT2LMHeadModel.from_pretrained(directory)
tokenizer = AutoTokenizer.from_pretrained(directory)
ids = tokenizer.convert_tokens_to_ids(prompt)
assert None not in ids, ids
input_ids = torch.tensor([ids])
out = model.generate(
    input_ids,
    attention_mask=torch.ones_like(input_ids),
    max_new_tokens=5,
    min_new_tokens=5,
    do_sample=False,
)
assert out.shape == (1, len(prompt) + 5), out.shape
assert "pipeline" not in sys.modules
print(*tokenizer.convert_ids_to_tokens(out[0].tolist()))
"""


def test_transformers_alone_loads_the_nights_model_and_generates(
    shop: ReviewedShop, tmp_path: Path
) -> None:
    asins = sorted({review["asin"] for review in shop.reviews})[:2]
    # Items are no words of the text's tokeniser, so that a review cannot smuggle one in.
    prompt = ["<|history|>", *(f"<|item:{asin}|>" for asin in asins)]
    model = shop.lake.require("models", NIGHT).path
    done = subprocess.run(
        [sys.executable, "-I", "-c", _TRANSFORMERS_ALONE, str(model), *prompt],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split(" ")[: len(prompt)] == prompt

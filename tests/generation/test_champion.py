"""The champion on the device and in the precision that the settings ask for."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import SettingsError
from tests.generation_shop import Shop, rows_of


def test_a_night_is_generated_in_the_precision_that_is_set(shop: Shop) -> None:
    reference = rows_of(shop.generate("R1"))
    key = shop.night().inputs.list_key
    whole = shop.with_settings("generation", precision="int8")
    rows = rows_of(whole.generate("R2"))
    assert len(rows) == len(reference) == 30
    assert all(row["method"] == "model" and row["n_items"] == 5 for row in rows)
    assert [row["items"] for row in rows] != [row["items"] for row in reference]
    # What was kept of a night in another precision would not come out the same.
    assert whole.night().inputs.list_key != key


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_before_anything_is_made(shop: Shop) -> None:
    asked = shop.with_settings("generation", device="cuda")
    with pytest.raises(SettingsError, match=r"generation\.device is cuda and torch sees no GPU"):
        asked.generate()

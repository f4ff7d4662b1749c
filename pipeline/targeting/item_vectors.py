"""The champion's vectors of items: rows of the GPT-2's table of tokens. No torch.

Reads `champions` of the night, and of its model `items.json` and `model.safetensors`. An item that
the model does not know has zeros. Without a model that can be read all are zeros, and the log says
why: what is made of them does without.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pipeline.datasets import MODELS
from pipeline.errors import NightcartError
from pipeline.lake import Lake
from pipeline.model.champion import champion_of

log = logging.getLogger("nightcart")

NO_MODEL = "none"
_ITEMS, _WEIGHTS = "items.json", "model.safetensors"
_TABLE = "transformer.wte.weight"


def item_vectors(
    lake: Lake, night: dt.date, item_ids: Sequence[str]
) -> tuple[NDArray[np.float32], str]:
    """`vectors_ID` in the order of the ids, and the version of the model."""
    nothing = np.zeros((len(item_ids), 1), np.float32)
    try:
        record = champion_of(lake, night)
        run = record.model_run if record else None
        if record is None or run is None:
            return nothing, NO_MODEL
        model = lake.partition(MODELS, run.run_date, run.run_id)
        names, weights = model.verified([model.path / _ITEMS, model.path / _WEIGHTS])
        known = json.loads(names.read_text(encoding="utf-8"))["item_ids"]
        with safe_open(weights, framework="np") as file:
            table = file.get_slice(_TABLE)
            # Items are the last tokens, in this order (`pipeline.model.vocabulary`).
            first = table.get_shape()[0] - len(known)
            rows_KD = table[first:].astype(np.float32)
    except (NightcartError, SafetensorError, OSError, ValueError, KeyError) as error:
        log.warning("alternatives are found without the model's vectors: %s", error)
        return nothing, NO_MODEL
    place = {item_id: n for n, item_id in enumerate(known)}
    found = np.array([place.get(item_id, -1) for item_id in item_ids])
    vectors_ID = np.where(found[:, None] >= 0, rows_KD[found], np.float32(0))
    if not np.isfinite(vectors_ID).all():
        log.warning("alternatives are found without the model's vectors: they are not finite")
        return nothing, NO_MODEL
    return vectors_ID, str(record.model_version)

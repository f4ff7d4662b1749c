"""Who can have made a list other than the model.

The names are those of `method` in lists, of `model` in metrics and of `fallback` in `champion.json`.
"""

from __future__ import annotations

# What evaluation measures a model by, and what stands in for it.
BASELINES = ("popularity", "markov", "item_knn")

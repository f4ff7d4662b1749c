"""Who can have made a list other than the model: names and words.

The names are those of `method` in lists, of `model` in metrics and of `fallback` in `champion.json`.
"""

from __future__ import annotations

# What evaluation measures a model by, and what stands in for it.
BASELINES = ("popularity", "markov", "item_knn")

# What such a list holds.
WORDS = {
    "item_knn": "what shoppers with the same items also chose",
    "markov": "what others chose next",
    "popularity": "bestsellers",
    "last_night": "the list of the night before",
}
# The same where there is little room, as beside a picture's bars.
SHORT_WORDS = WORDS | {"item_knn": "chosen by the same"}

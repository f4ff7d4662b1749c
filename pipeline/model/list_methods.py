"""Who can have made a list, and who is measured: names and words. Standard library only.

The names are those of `method` and `reason_method` in lists, of `model` in metrics and of
`fallback` in `champion.json`; the contracts list them too.
"""

from __future__ import annotations

# -- `method`: who made a list -----------------------------------------------------------------

MODEL = "model"
LAST_NIGHT = "last_night"
MARKOV = "markov"
ITEM_KNN = "item_knn"
POPULARITY = "popularity"
# Of these two only where an item may be recommended again (`generation.exclude_owned = false`).
GP_TOPFREQ = "gp_topfreq"
TIFU_KNN = "tifu_knn"

METHODS = (MODEL, LAST_NIGHT, MARKOV, ITEM_KNN, POPULARITY, GP_TOPFREQ, TIFU_KNN)

# What evaluation measures a model by, and what stands in for it.
REPEAT_BASELINES = (GP_TOPFREQ, TIFU_KNN)
BASELINES = (POPULARITY, MARKOV, ITEM_KNN, *REPEAT_BASELINES)

# Of a row of lists, in SQL.
IS_FALLBACK = f"method <> '{MODEL}'"

# -- `reason_method`: who wrote the reason; the model, or nobody -------------------------------

TEMPLATE = "template"

# -- `model` of metrics: who was measured ------------------------------------------------------

CANDIDATE = "candidate"  # tonight's model
CHAMPION = "champion"  # the one that generated before it

TRAINED_MODELS = (CANDIDATE, CHAMPION)
# In the order of tables and pictures.
COMPARED_MODELS = (*TRAINED_MODELS, ITEM_KNN, MARKOV, POPULARITY, *REPEAT_BASELINES)

# -- words for people --------------------------------------------------------------------------

# What a list holds that the model did not make.
WORDS = {
    ITEM_KNN: "what shoppers with the same items also chose",
    MARKOV: "what others chose next",
    POPULARITY: "bestsellers",
    GP_TOPFREQ: "what they bought most often, then bestsellers",
    TIFU_KNN: "what they and similar shoppers buy often",
    LAST_NIGHT: "the list of the night before",
}
# The same where there is little room, as beside a picture's bars.
SHORT_WORDS = WORDS | {
    ITEM_KNN: "chosen by the same",
    GP_TOPFREQ: "own, then bestsellers",
    TIFU_KNN: "own and similar",
}

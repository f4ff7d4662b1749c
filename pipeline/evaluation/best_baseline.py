"""Which baseline makes the lists of shoppers whom the model cannot serve. Pure.

Judged on the validation half alone: what the test half says of a night must not choose anything in
it. `markov` stays unless the best of the others is better on the same users by more than the paired
bootstrap interval of the difference allows; which of the others is best, the mean alone says.

Shapes: B users, the same ones in the same order for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.evaluation.bootstrap import difference_interval
from pipeline.evaluation.metrics import Floats
from pipeline.model.list_methods import BASELINES

DEFAULT = "markov"
# Of fewer shoppers a bootstrap interval says too little: it knows no value that none of them had.
MIN_USERS = 30


def best_baseline(ndcg_B_of: Mapping[str, Floats], seed: int) -> str | None:
    """The one to fall back on; none where too few users were measured to tell.

    Args:
        ndcg_B_of: each user's NDCG@k of the validation half, by baseline; others are not looked at.
        seed: of the bootstrap.
    """
    default_B = ndcg_B_of[DEFAULT]
    if len(default_B) < MIN_USERS:
        return None
    best = max(BASELINES, key=lambda name: float(ndcg_B_of[name].mean()))
    better = difference_interval(ndcg_B_of[best], default_B, seed).low > 0
    return best if better else DEFAULT

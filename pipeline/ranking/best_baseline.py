"""Which baseline makes the lists of users whom the model cannot serve. Pure.

The validation half alone decides: the test half of a night must not choose anything in that night.
`markov` stays unless the best of the others is better on the same users by more than the paired
bootstrap interval of the difference allows. The mean alone says which of the others is best.

Shapes: B users, the same ones in the same order for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.model.list_methods import BASELINES, MARKOV
from pipeline.ranking.bootstrap import difference_interval
from pipeline.ranking.metrics import Floats

DEFAULT = MARKOV
# With fewer users a bootstrap interval says too little: it only knows the values that they had.
MIN_USERS = 30


def best_baseline(ndcg_B_of: Mapping[str, Floats], seed: int) -> str | None:
    """The one to fall back on; none where too few users were measured to tell.

    Args:
        ndcg_B_of: each user's NDCG@k of the validation half, by baseline; others are not looked at,
            and a baseline that was not measured is not chosen.
        seed: of the bootstrap.
    """
    default_B = ndcg_B_of[DEFAULT]
    if len(default_B) < MIN_USERS:
        return None
    measured = [name for name in BASELINES if name in ndcg_B_of]
    best = max(measured, key=lambda name: float(ndcg_B_of[name].mean()))
    better = difference_interval(ndcg_B_of[best], default_B, seed).low > 0
    return best if better else DEFAULT

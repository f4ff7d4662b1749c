"""The promotion gate: whether tonight's model generates, and why. Pure.

A candidate is promoted if its mean NDCG@k on the test half is above every baseline's
(`pipeline.ranking.baselines`: Markov, which is windowed counts of what follows what; item-kNN;
popularity; and where items may come again `pipeline.ranking.visit_baselines`: GP-TopFreq,
TIFU-KNN), and is no worse than the champion's on the same users. Beside the best baseline:

- It *beats* it if the 95 % paired bootstrap interval of the difference lies above 0.
- It is *level* with it if the interval holds 0. Then the mean decides: above, the candidate is
  promoted, for it also ranks what baselines cannot (new items, words); else it is not. The
  sentence says that it is level, and by how much.

It is worse than the champion if it is lower by more than a tolerance (a share of the champion's
NDCG) *and* by more than that interval allows. With few users the interval is wide, so little is
refused; with many the tolerance lets a loss pass that nobody would notice, for the sake of a
night's new items.

Shapes: B users, the same ones in the same order for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.model.list_methods import BASELINES, CANDIDATE, CHAMPION
from pipeline.ranking.bootstrap import difference_interval
from pipeline.ranking.metrics import Floats


@dataclass(frozen=True)
class Decision:
    """Whether the candidate is promoted, and why, as a sentence for the report."""

    promoted: bool
    why: str


def decide(ndcg_B_of: Mapping[str, Floats], tolerance: float, seed: int) -> Decision:
    """Decide on the candidate.

    Args:
        ndcg_B_of: each user's NDCG@k of the test half by model; `champion` only where there is one.
        tolerance: how much worse than the champion is still no worse, as a share.
        seed: of the bootstrap.
    """
    candidate_B = ndcg_B_of[CANDIDATE]
    n_users = len(candidate_B)
    if n_users == 0:
        return Decision(False, "nobody has a held-out event in the test half: nothing to judge by")
    candidate = float(candidate_B.mean())
    measured = [name for name in BASELINES if name in ndcg_B_of]
    best = max(measured, key=lambda name: float(ndcg_B_of[name].mean()))
    bar = float(ndcg_B_of[best].mean())
    above = difference_interval(candidate_B, ndcg_B_of[best], seed)
    level = above.low <= 0 <= above.high
    by = f"difference {above.mean:+.4f} [{above.low:+.4f}, {above.high:+.4f}]"
    if not candidate > bar:
        beside = f"is level with {best} {bar:.4f} and does not beat it" if level else ""
        return Decision(
            False,
            f"NDCG {candidate:.4f} {beside or f'does not beat {best} {bar:.4f}'} on {n_users:,} "
            f"users ({by})",
        )
    if level:
        beats = f"is level with the best baseline, {best} {bar:.4f} ({by}), above it in the mean"
    else:
        beats = f"beats the best baseline, {best} {bar:.4f} ({by})"
    if CHAMPION not in ndcg_B_of:
        return Decision(True, f"NDCG {candidate:.4f} {beats} on {n_users:,} users")
    champion = float(ndcg_B_of[CHAMPION].mean())
    difference = difference_interval(candidate_B, ndcg_B_of[CHAMPION], seed)
    seen = f"difference {difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
    if difference.mean < -tolerance * champion and difference.high < 0:
        return Decision(
            False,
            f"NDCG {candidate:.4f} is worse than the champion's {champion:.4f} by more than "
            f"{tolerance:.0%} and than noise on {n_users:,} users ({seen})",
        )
    return Decision(
        True,
        f"NDCG {candidate:.4f} {beats} and is no worse than the champion's "
        f"{champion:.4f} on {n_users:,} users ({seen})",
    )

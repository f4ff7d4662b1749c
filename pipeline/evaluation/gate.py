"""The promotion gate: whether tonight's model generates, and why. Pure.

A candidate is promoted if its NDCG@k on the test half beats popularity and Markov, and is no worse
than the champion's on the same users by more than a tolerance (a share of the champion's figure).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BASELINES = ("popularity", "markov")


@dataclass(frozen=True)
class Decision:
    """The gate's word and its reason, as a sentence for the report."""

    promoted: bool
    why: str


def decide(ndcg_of: Mapping[str, float], n_users: int, tolerance: float) -> Decision:
    """Judge the candidate.

    Args:
        ndcg_of: NDCG@k on the test half by model; `champion` only where there is one.
        n_users: how many users that half has.
        tolerance: how much worse than the champion is still no worse, as a share.
    """
    if n_users == 0:
        return Decision(False, "nobody has a held-out event in the test half: nothing to judge by")
    candidate = ndcg_of["candidate"]
    for baseline in BASELINES:
        if not candidate > ndcg_of[baseline]:
            return Decision(
                False,
                f"NDCG {candidate:.4f} does not beat {baseline} {ndcg_of[baseline]:.4f} "
                f"on {n_users:,} users",
            )
    beaten = ", ".join(f"{name} {ndcg_of[name]:.4f}" for name in BASELINES)
    if "champion" not in ndcg_of:
        return Decision(True, f"NDCG {candidate:.4f} beats {beaten} on {n_users:,} users")
    champion = ndcg_of["champion"]
    if candidate < champion * (1 - tolerance):
        return Decision(
            False,
            f"NDCG {candidate:.4f} is worse than the champion's {champion:.4f} by more than "
            f"{tolerance:.0%} on {n_users:,} users",
        )
    return Decision(
        True,
        f"NDCG {candidate:.4f} beats {beaten} and is no worse than the champion's "
        f"{champion:.4f} on {n_users:,} users",
    )

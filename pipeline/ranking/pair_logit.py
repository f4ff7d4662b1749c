"""A learned mixture of experts: how likely is it that this user buys this item next?

Two logistic regressions over features of pairs of a user and an item: one for items that the user
bought before, one for the others, since what is known of them and what it means differ. Both
predict log odds of "bought in the next visit", so that their scores are of one scale. The loss of a
pair is weighed by 1 / sqrt(what its user bought): a large order does not decide alone, and a small
one does not count as much.

Learned are the pairs that matter: what the user bought before, and the first `CANDIDATES` items by
each of some features. An item that none of these has is far below everything in a list, and a
target among them teaches nothing about the order of the others; it is left out.

Newton's method, without randomness; a ridge on the standardised weights keeps it finite where the
classes can be separated.

Shapes: B users of a batch, I items, F features, N pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.visits import Booleans, Floats

CANDIDATES = 150
MAX_STEPS = 50
_ROWS = 1 << 18


@dataclass(frozen=True)
class Logit:
    """log odds = bias + x weights."""

    weight_F: Floats
    bias: float


@dataclass(frozen=True)
class PairLogit:
    """The two regressions, and which features each looks at."""

    bought: Logit
    new: Logit
    names: tuple[str, ...]

    def scores(self, feature_BIF: NDArray[np.float32], bought_BI: Booleans) -> Floats:
        """`log_odds_BI` of every item."""
        found: Floats = (
            feature_BIF @ self.new.weight_F.astype(np.float32) + np.float32(self.new.bias)
        ).astype(np.float64)
        again_NF = feature_BIF[bought_BI].astype(np.float64)
        found[bought_BI] = again_NF @ self.bought.weight_F + self.bought.bias
        return found


@dataclass
class PairRows:
    """Pairs to learn from, gathered batch by batch.

    Args:
        ranked_by: features whose first items are candidates.
        pair_only: features that are 0 where an item was not bought.
    """

    names: tuple[str, ...]
    ranked_by: Sequence[str]
    pair_only: Sequence[str] = ()
    candidates: int = CANDIDATES
    rows: dict[bool, list[tuple[NDArray[np.float32], Booleans, Floats]]] = field(
        default_factory=lambda: {True: [], False: []}
    )

    def add(
        self,
        feature_BIF: NDArray[np.float32],
        bought_BI: Booleans,
        wanted_BI: Booleans,
        hidden_BI: Booleans | None = None,
    ) -> None:
        """The pairs of a batch of users.

        Args:
            hidden_BI: pairs that no list may hold, from which nothing is learned.
        """
        chosen_BI = bought_BI.copy()
        first = min(self.candidates, chosen_BI.shape[1])
        for name in self.ranked_by:
            column_BI = feature_BIF[:, :, self.names.index(name)]
            best_BK = np.argpartition(-column_BI, first - 1, axis=1)[:, :first]
            np.put_along_axis(chosen_BI, best_BK, True, axis=1)
        if hidden_BI is not None:
            chosen_BI &= ~hidden_BI
        weight_B = 1 / np.sqrt(np.maximum(wanted_BI.sum(axis=1), 1))
        weight_BI = np.broadcast_to(weight_B[:, None], chosen_BI.shape)
        for bought in (True, False):
            here_BI = chosen_BI & (bought_BI == bought)
            self.rows[bought].append((feature_BIF[here_BI], wanted_BI[here_BI], weight_BI[here_BI]))

    def fit(self, ridge: float = 1.0) -> PairLogit:
        """Learn both regressions.

        Args:
            ridge: the penalty of a squared weight of a standardised feature, in pairs.
        """
        new_F = np.array([name not in self.pair_only for name in self.names])
        every_F = np.ones(len(self.names), dtype=np.bool_)
        return PairLogit(
            _fit(self.rows[True], every_F, ridge), _fit(self.rows[False], new_F, ridge), self.names
        )


def _fit(
    rows: Sequence[tuple[NDArray[np.float32], Booleans, Floats]], used_F: Booleans, ridge: float
) -> Logit:
    """Newton steps, halved until the loss falls; ends where a step changes nothing that counts."""
    if not rows:
        return Logit(np.zeros(len(used_F)), 0.0)  # even odds
    x_NF = np.concatenate([x for x, _, _ in rows])[:, used_F]
    y_N = np.concatenate([y for _, y, _ in rows]).astype(np.float64)
    w_N = np.concatenate([w for _, _, w in rows])
    n_features = x_NF.shape[1]
    weight_F = np.zeros(len(used_F))
    positive, total = float(w_N @ y_N), float(w_N.sum())
    if positive in {0.0, total}:
        # Nobody did or everybody: the odds of one pair more or less, the same for all items.
        return Logit(weight_F, float(np.log((positive + 0.5) / (total - positive + 0.5))))
    mean_F = x_NF.mean(axis=0, dtype=np.float64)
    scale_F = x_NF.std(axis=0, dtype=np.float64)
    scale_F[scale_F < 1e-9] = np.inf  # a constant says nothing: its weight is 0
    x_NF = ((x_NF - mean_F) / scale_F).astype(np.float32)
    theta = np.zeros(n_features + 1)
    theta[-1] = np.log(positive / (total - positive))
    penalty = np.append(np.full(n_features, ridge), 0.0)
    loss = _loss(x_NF, y_N, w_N, theta, penalty)
    for _ in range(MAX_STEPS):
        step = _newton_step(x_NF, y_N, w_N, theta, penalty)
        for halving in range(20):
            tried = theta - step * 0.5**halving
            now = _loss(x_NF, y_N, w_N, tried, penalty)
            if now <= loss:
                break
        else:
            break
        theta, fell, loss = tried, loss - now, now
        if fell < 1e-7 * abs(loss):
            break
    weight_F[used_F] = theta[:-1] / scale_F
    return Logit(weight_F, float(theta[-1] - mean_F @ weight_F[used_F]))


def _loss(
    x_NF: NDArray[np.float32], y_N: Floats, w_N: Floats, theta: Floats, penalty: Floats
) -> float:
    odds_N = x_NF @ theta[:-1].astype(np.float32) + theta[-1]
    return float(w_N @ (np.logaddexp(0.0, odds_N) - y_N * odds_N) + 0.5 * penalty @ theta**2)


def _newton_step(
    x_NF: NDArray[np.float32], y_N: Floats, w_N: Floats, theta: Floats, penalty: Floats
) -> Floats:
    gradient: Floats = penalty * theta
    hessian: Floats = np.diag(penalty + 1e-9)
    for start in range(0, len(x_NF), _ROWS):
        here = slice(start, start + _ROWS)
        x1 = np.append(x_NF[here], np.ones((len(x_NF[here]), 1), np.float32), axis=1)
        odds_N = x_NF[here] @ theta[:-1].astype(np.float32) + theta[-1]
        share_N = 1 / (1 + np.exp(-odds_N))
        slope_N = w_N[here] * (share_N - y_N[here])
        gradient = np.add(gradient, x1.T @ slope_N, dtype=np.float64)
        curve_N = np.asarray(w_N[here] * share_N * (1 - share_N), dtype=np.float32)
        hessian = np.add(hessian, (x1 * curve_N[:, None]).T @ x1, dtype=np.float64)
    return np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)

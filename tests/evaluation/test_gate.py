"""The gate's table of outcomes."""

from __future__ import annotations

import pytest

from pipeline.evaluation.gate import decide


@pytest.mark.parametrize(
    ("candidate", "popularity", "markov", "champion", "promoted", "why"),
    [
        (0.30, 0.10, 0.20, None, True, "beats popularity 0.1000, markov 0.2000"),
        (0.30, 0.10, 0.20, 0.29, True, "no worse than the champion's 0.2900"),
        (0.30, 0.10, 0.20, 0.305, True, "no worse than the champion's"),  # within 2 %
        (0.30, 0.10, 0.20, 0.31, False, "worse than the champion's 0.3100 by more than 2%"),
        (0.30, 0.10, 0.30, None, False, "does not beat markov"),  # a tie is not a win
        (0.30, 0.40, 0.20, 0.10, False, "does not beat popularity 0.4000"),
        (0.00, 0.00, 0.00, None, False, "does not beat popularity"),
    ],
)
def test_outcomes(
    candidate: float,
    popularity: float,
    markov: float,
    champion: float | None,
    promoted: bool,
    why: str,
) -> None:
    ndcg_of = {"candidate": candidate, "popularity": popularity, "markov": markov}
    if champion is not None:
        ndcg_of["champion"] = champion
    decision = decide(ndcg_of, 50, tolerance=0.02)
    assert decision.promoted is promoted
    assert why in decision.why
    assert "50 users" in decision.why


def test_nobody_to_judge_by() -> None:
    decision = decide({"candidate": 0.0, "popularity": 0.0, "markov": 0.0}, 0, 0.02)
    assert not decision.promoted
    assert "nobody" in decision.why

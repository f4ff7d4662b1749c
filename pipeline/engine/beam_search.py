"""Beam search over a trie of items, for all users and beams of a batch at once.

A list's scores are log-probabilities. With `Normalise.ALLOWED` (what nights use) the logits of the
children that lead to an item the user may get go through one log-softmax at every step, so that the
probabilities of all items a user may get sum to one; for items of one token that is the softmax
over the allowed items. With `Normalise.VOCABULARY` the log-softmax is over the whole vocabulary, as
in transformers' `generate` with `prefix_allowed_tokens_fn` and `length_penalty=0`; a score is then
the model's own log-probability of the item's tokens.

With as many beams as the trie has nodes on its widest inner level nothing is cut and the list is
exact: whole items are scored. With fewer beams a good item may be lost behind a poor prefix, as in
any beam search (SimGR). In both cases exactly K distinct allowed items come out where there are
that many: prefixes that lead to no allowed item are never followed.

A prior of log-weights is added to the items' logits before the log-softmax. A prefix gets the
logarithm of its items' mean weight, so that a beam takes the prior into account early.

Shapes: B users, K beams (or the list's length), C children of a node, V different tokens of a
level, D width, M nodes of a level, P entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import torch

from pipeline.engine.decoder import Decoder
from pipeline.engine.item_trie import Entries, ItemTrie, Level
from pipeline.engine.kv_cache import BeamKeys, PromptKeys

# How many logits are made at a time: 1 MB of float32.
CACHED_LOGITS = 256 * 1024
# The sum over a vocabulary of 10^8 words at this logit still fits into a float32.
SAFE_LOGIT = 60.0


class Normalise(Enum):
    """The tokens over which a step's probabilities sum to one."""

    ALLOWED = "allowed"
    # For tests and benchmarks against the beam search of transformers, which has no other.
    VOCABULARY = "vocabulary"


@dataclass(frozen=True)
class UserRules:
    """A level's entries for some users: nodes that may not be followed, log-weights of others."""

    blocked: Entries
    favoured: Entries | None


@dataclass(frozen=True)
class BestItems:
    """The best items of B users (-1, -inf where there are fewer), and whose scores are finite."""

    items_BK: torch.Tensor
    scores_BK: torch.Tensor
    finite_B: torch.Tensor


@dataclass(frozen=True)
class _Beams:
    """Where the beams are: nodes (-1: no beam), log-probabilities, prior of the node."""

    nodes_BK: torch.Tensor
    scores_BK: torch.Tensor
    prior_BK: torch.Tensor


class BeamSearch:
    """The search over one trie with one model.

    Args:
        beams: prefixes followed a user; None follows all of them (exact).
        bias_M: added to the logits of every user, where items are of one token.
    """

    def __init__(
        self,
        decoder: Decoder,
        trie: ItemTrie,
        beams: int | None,
        normalise: Normalise = Normalise.ALLOWED,
        bias_M: torch.Tensor | None = None,
    ) -> None:
        assert bias_M is None or trie.n_levels == 1
        self.decoder = decoder
        self.trie = trie
        self.beams = trie.widest_inner if beams is None else min(beams, trie.widest_inner)
        self.normalise = normalise
        self.bias_M = bias_M
        self.rows = [decoder.words_VD[level.token_ids_V].contiguous() for level in trie.levels]

    @cached_property
    def vocabulary(self) -> _Vocabulary:
        """Used only where probabilities are over the whole vocabulary."""
        return _Vocabulary(self.decoder.words_VD)

    @property
    def cells(self) -> int:
        """How many logits the widest step makes of one user."""
        first = len(self.trie.levels[0])
        inner = (
            self.beams * max(len(level.token_ids_V), above.most_children)
            for above, level in zip(self.trie.levels, self.trie.levels[1:], strict=False)
        )
        return max(1, first, *inner)

    @torch.inference_mode()
    def best(
        self, hidden_BD: torch.Tensor, prompts: PromptKeys | None, rules: list[UserRules], k: int
    ) -> BestItems:
        """The K best items of each user.

        Args:
            prompts: needed for items of several tokens.
            rules: one a level.
        """
        n, last = len(hidden_BD), self.trie.n_levels - 1
        hidden_BKD = hidden_BD[:, None]
        nothing_BK = torch.zeros(n, 1, device=hidden_BD.device)
        beams = _Beams(nothing_BK.long(), nothing_BK, nothing_BK)
        finite_B = torch.ones(n, dtype=torch.bool, device=hidden_BD.device)
        own = BeamKeys(len(self.decoder.layers))
        for number, level in enumerate(self.trie.levels):
            children_BKC, scores_BKC, prior_BKC, step_finite_B = self._step(
                hidden_BKD, beams, number, rules[number]
            )
            finite_B &= step_finite_B
            width = scores_BKC.shape[2]
            wanted = k if number == last else self.beams
            # Nodes of the first level are in the order of their first items, as columns are.
            nodes = None if number == 0 else children_BKC.flatten(1)
            keys = (
                self.trie.item_of_leaf_M[nodes] if nodes is not None and number == last else nodes
            )
            best_BK, place_BK = best_in_order(scores_BKC.flatten(1), wanted, keys)
            there_BK = torch.isfinite(best_BK)
            nodes_BK = place_BK if nodes is None else nodes.gather(1, place_BK)
            if number == last:
                items_BK = self.trie.item_of_leaf_M[nodes_BK].masked_fill(~there_BK, -1)
                return BestItems(items_BK, best_BK, finite_B)
            prior_BK = torch.zeros_like(best_BK)
            if prior_BKC is not None:
                prior_BK = prior_BKC.flatten(1).gather(1, place_BK)
            beams = _Beams(nodes_BK.masked_fill(~there_BK, -1), best_BK, prior_BK)
            assert prompts is not None
            own.follow(place_BK // width)
            hidden_BKD = self.decoder.decode_beams(level.token_M[nodes_BK], number, prompts, own)
        raise AssertionError("a trie has a last level")

    def _step(
        self, hidden_BKD: torch.Tensor, beams: _Beams, number: int, rules: UserRules
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Every beam's children, their scores and priors, and which users' logits are finite."""
        level = self.trie.levels[number]
        n = len(hidden_BKD)
        logits_BKV = hidden_BKD @ self.rows[number].T
        if number == 0:
            # The first level's tokens are its nodes, in order: nothing to gather.
            children_BKC = torch.arange(len(level), device=hidden_BKD.device).expand(n, 1, -1)
            logits_BKC = logits_BKV if self.bias_M is None else logits_BKV + self.bias_M
        else:
            children_BKC, logits_BKC = self._children(logits_BKV, beams, number)
        alive_BK = beams.nodes_BK >= 0
        prior_BKC = None
        if rules.favoured is not None:
            prior_BKC = torch.zeros_like(logits_BKC)
            _add_entries(prior_BKC, rules.favoured, beams, level, number)
            logits_BKC = logits_BKC + prior_BKC
        _add_entries(logits_BKC, rules.blocked, beams, level, number)
        if self.normalise is Normalise.VOCABULARY:
            logits_BKC = logits_BKC - beams.prior_BK[:, :, None]
            total_BK = self.vocabulary.log_totals(hidden_BKD)
        else:
            # NaN spreads into the sum, +inf stays: one check of B x K numbers, not of all.
            total_BK = logits_BKC.logsumexp(dim=2)
        finite_B = (torch.isfinite(total_BK) | ~alive_BK).all(dim=1)
        scores_BKC = logits_BKC.add_((beams.scores_BK - total_BK)[:, :, None])
        if number:
            scores_BKC.masked_fill_(~alive_BK[:, :, None], -torch.inf)
        return children_BKC, scores_BKC, prior_BKC, finite_B

    def _children(
        self, logits_BKV: torch.Tensor, beams: _Beams, number: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Node numbers and logits of the children of every beam's node."""
        above, level = self.trie.levels[number - 1], self.trie.levels[number]
        nodes_BK = beams.nodes_BK.clamp(min=0)
        places_C = torch.arange(above.most_children, device=nodes_BK.device)
        children_BKC = above.first_child_M[nodes_BK][:, :, None] + places_C
        beyond_BKC = places_C >= above.n_children_M[nodes_BK][:, :, None]
        children_BKC = children_BKC.masked_fill(beyond_BKC, 0)
        logits_BKC = logits_BKV.gather(2, level.column_M[children_BKC])
        return children_BKC, logits_BKC.masked_fill(beyond_BKC, -torch.inf)


class _Vocabulary:
    """All words, for the log of the summed exponentials of their logits."""

    def __init__(self, words_VD: torch.Tensor) -> None:
        self.words_DV = words_VD.T.contiguous()
        self.longest = float(words_VD.norm(dim=1).max())
        self.step = max(1, CACHED_LOGITS // len(words_VD))

    def log_totals(self, hidden_BKD: torch.Tensor) -> torch.Tensor:
        """The value of each row, a few at a time: their logits stay in the processor's cache.

        2,560 rows of 4,768 logits take 14 ms (one core). With `logsumexp`, which makes a new tensor
        for every step, they take 23 ms; all at once, 74 ms. No logit exceeds the product of the two
        vectors' lengths: where that is small nothing can overflow, and no maximum has to be
        subtracted first.
        """
        hidden_ND = hidden_BKD.flatten(0, 1)
        largest = hidden_ND.norm(dim=1).max() * self.longest if len(hidden_ND) else 0.0
        logits = hidden_ND.new_empty(min(self.step, len(hidden_ND)), self.words_DV.shape[1])
        totals = [self._totals(some, logits, largest) for some in torch.split(hidden_ND, self.step)]
        return torch.cat(totals).view(hidden_BKD.shape[:2])

    def _totals(
        self, hidden_ND: torch.Tensor, logits: torch.Tensor, largest: torch.Tensor | float
    ) -> torch.Tensor:
        logits_NV = torch.mm(hidden_ND, self.words_DV, out=logits[: len(hidden_ND)])
        if largest < SAFE_LOGIT:
            return logits_NV.exp_().sum(dim=1).log_()
        most_N = logits_NV.amax(dim=1)
        return logits_NV.sub_(most_N[:, None]).exp_().sum(dim=1).log_().add_(most_N)


def _add_entries(
    into_BKC: torch.Tensor, entries: Entries, beams: _Beams, level: Level, number: int
) -> None:
    """Add the entries where one of the user's beams has the node among its children."""
    rows_P, nodes_P, values_P = entries.rows_P, entries.nodes_P, entries.values_P
    if number == 0:
        into_BKC[rows_P, 0, nodes_P] += values_P
        return
    # A node has one parent and a parent is on one beam at most: P x K comparisons find it.
    met_PK = beams.nodes_BK[rows_P] == level.parent_M[nodes_P][:, None]
    met_P, beam_P = met_PK.nonzero(as_tuple=True)
    into_BKC[rows_P[met_P], beam_P, level.offset_M[nodes_P[met_P]]] += values_P[met_P]


def best_in_order(
    scores_BN: torch.Tensor, k: int, keys_BN: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The K best of each row, best first, equal scores by their key (without keys, by column).

    `torch.topk` leaves open which of equal scores it takes. One score more than asked for shows the
    rows where that matters, and only those are sorted in full.
    """
    n = scores_BN.shape[1]
    if k >= n:
        return _sorted(scores_BN, keys_BN, n)
    values, columns = scores_BN.topk(k + 1, dim=1)
    cut_B = (values[:, k - 1] == values[:, k]) & torch.isfinite(values[:, k])
    columns_BK = columns[:, :k].sort(dim=1).values
    keys_BK = None if keys_BN is None else keys_BN.gather(1, columns_BK)
    values_BK, order_BK = _sorted(scores_BN.gather(1, columns_BK), keys_BK, k)
    columns_BK = columns_BK.gather(1, order_BK)
    if bool(cut_B.any()):
        keys = None if keys_BN is None else keys_BN[cut_B]
        values_BK[cut_B], columns_BK[cut_B] = _sorted(scores_BN[cut_B], keys, k)
    return values_BK, columns_BK


def _sorted(
    scores_BN: torch.Tensor, keys_BN: torch.Tensor | None, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores from the best and their columns, equal ones by key."""
    if keys_BN is None:
        ordered = torch.sort(scores_BN, dim=1, descending=True, stable=True)
        return ordered.values[:, :k], ordered.indices[:, :k]
    by_key_BN = keys_BN.argsort(dim=1, stable=True)
    ordered = torch.sort(scores_BN.gather(1, by_key_BN), dim=1, descending=True, stable=True)
    return ordered.values[:, :k], by_key_BN.gather(1, ordered.indices[:, :k])

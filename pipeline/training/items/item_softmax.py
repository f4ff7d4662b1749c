"""Cross-entropy over items: exact, a cache's worth of logits at a time, or over a sample of items.

The logits of a batch over all items are the largest thing training makes. Here they are made for
some rows at a time, turned into both gradients while they are in the processor's cache, and thrown
away: on one core 50 ms for 1,024 targets over 12,101 items at width 64, where torch's own
cross-entropy takes 150 (docs/experiments/training.md).

With `n_sampled` the softmax is over the batch's own targets and as many others drawn evenly from
the rest; the drawn ones count as many times as there are items for each, so that the sum they
stand for is right on average (Bengio & Senécal 2008). What is drawn comes from torch's random
state: the same seed, the same loss.

Items that are new and that nobody has met yet are not told from what shoppers went on to: that
nobody chose them says nothing, and as wrong answers at every place they would sink below all others
before their first night (docs/experiments/new-items.md).

Shapes: N places asked at, K targets of a place with a weight each (the next item and the one after
it), D width, I items, C candidates (items of a sample, or all).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

# Logits at a time: what fits in a core's second-level cache, and on an accelerator in its memory.
CPU_LOGITS = 768 * 1024
DEVICE_LOGITS = 256 * 1024 * 1024
# Of so many items a sample is drawn by numbers: putting all in a random order costs more.
MANY_ITEMS = 20_000


class _SoftmaxLoss(torch.autograd.Function):
    """Mean cross-entropy; both gradients are made in the forward pass."""

    @staticmethod
    def forward(  # noqa: PLR0917  torch passes them by position
        ctx: Any,
        hidden_ND: torch.Tensor,
        items_CD: torch.Tensor,
        bias_C: torch.Tensor | None,
        target_NK: torch.Tensor,
        weight_NK: torch.Tensor,
        apart_C: torch.Tensor | None,
        apart_N: torch.Tensor | None,
    ) -> torch.Tensor:
        n, n_items = len(hidden_ND), len(items_CD)
        most = CPU_LOGITS if hidden_ND.device.type == "cpu" else DEVICE_LOGITS
        step = max(1, most // n_items)
        hidden_gradient_ND = torch.empty_like(hidden_ND)
        items_gradient_CD = torch.zeros_like(items_CD)
        total = hidden_ND.new_zeros((), dtype=torch.float32)
        for start in range(0, n, step):
            some_BD = hidden_ND[start : start + step]
            target_BK = target_NK[start : start + step]
            weight_BK = weight_NK[start : start + step]
            logits_BC = some_BD @ items_CD.T
            if bias_C is not None:
                logits_BC += bias_C
            if apart_C is not None and apart_N is not None:
                apart_B1 = apart_N[start : start + step, None]
                logits_BC[:, apart_C] = logits_BC[:, apart_C].masked_fill(apart_B1, -torch.inf)
            wanted_B1 = (weight_BK * logits_BC.gather(1, target_BK)).sum(dim=1, keepdim=True)
            highest_B1 = logits_BC.amax(dim=1, keepdim=True)
            share_BC = logits_BC.sub_(highest_B1).exp_()
            sum_B1 = share_BC.sum(dim=1, keepdim=True)
            total += (sum_B1.log() + highest_B1 - wanted_B1).sum()
            share_BC.div_(sum_B1)
            # The gradient at the logits: the share of each candidate, less the targets' weights.
            share_BC.scatter_add_(1, target_BK, -weight_BK)
            torch.mm(share_BC, items_CD, out=hidden_gradient_ND[start : start + step])
            items_gradient_CD.addmm_(share_BC.T, some_BD)
        ctx.save_for_backward(hidden_gradient_ND / n, items_gradient_CD / n)
        return total / n

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_gradient_ND, items_gradient_CD = ctx.saved_tensors
        (gradient,) = gradients
        return gradient * hidden_gradient_ND, gradient * items_gradient_CD, *[None] * 5


@dataclass(frozen=True)
class Candidates:
    """The items that places are told from, and where their targets stand among them.

    `chosen_C`: item numbers, None for all items in their order. `bias_C`: the logarithm of how many
    items each stands for. `apart_C`: places of candidates that are apart (`item_cross_entropy`).
    """

    chosen_C: torch.Tensor | None
    place_NK: torch.Tensor
    bias_C: torch.Tensor | None
    apart_C: torch.Tensor | None


def draw_candidates(
    target_NK: torch.Tensor,
    n_items: int,
    n_sampled: int,
    is_apart_I: torch.Tensor | None = None,
) -> Candidates:
    """The targets and `n_sampled` other items; all items where that is 0 or there are no more."""
    device = target_NK.device
    targets_C, place_NK = torch.unique(target_NK, return_inverse=True)
    n_rest = n_items - len(targets_C)
    if not 0 < n_sampled < n_rest:
        return Candidates(None, target_NK, None, _places(is_apart_I))
    drawn_C = _drawn(targets_C, n_items, n_sampled)
    bias_C = torch.zeros(len(targets_C) + n_sampled, device=device)
    bias_C[len(targets_C) :] = math.log(n_rest / n_sampled)
    chosen_C = torch.cat([targets_C, drawn_C])
    apart_C = None if is_apart_I is None else is_apart_I[chosen_C]
    return Candidates(chosen_C, place_NK, bias_C, _places(apart_C))


def _drawn(targets_C: torch.Tensor, n_items: int, n_sampled: int) -> torch.Tensor:
    """`n_sampled` different items that are no targets, each set of them as likely as another."""
    device = targets_C.device
    if n_items >= MANY_ITEMS:
        draws = torch.unique(torch.randint(n_items, (2 * n_sampled,), device=device))
        draws = draws[~torch.isin(draws, targets_C)]
        if len(draws) >= n_sampled:  # of a large catalogue few are drawn twice
            mixed: torch.Tensor = draws[torch.randperm(len(draws), device=device)]
            return mixed[:n_sampled]
    is_rest_I = torch.ones(n_items, dtype=torch.bool, device=device)
    is_rest_I[targets_C] = False
    order_I = torch.randperm(n_items, device=device)
    return order_I[is_rest_I[order_I]][:n_sampled]


def item_cross_entropy(
    hidden_ND: torch.Tensor,
    items_ID: torch.Tensor,
    target_NK: torch.Tensor,
    weight_NK: torch.Tensor,
    n_sampled: int = 0,
    *,
    apart: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Mean over places of the cross-entropy between their targets and the softmax over all items.

    Args:
        items_ID: the items' rows of the embedding table.
        target_NK: item numbers from 0; any where the weight is 0.
        weight_NK: how much each counts; each row sums to 1.
        n_sampled: items drawn beside the targets; 0, or as many as there are: all items.
        apart: `is_apart_I`, and the places `apart_N` whose targets, none of them apart, are not
            told from those items.
    """
    apart_I, apart_N = apart if apart is not None else (None, None)
    drawn = draw_candidates(target_NK, len(items_ID), n_sampled, apart_I)
    items_CD = items_ID if drawn.chosen_C is None else items_ID[drawn.chosen_C]
    return candidates_cross_entropy(hidden_ND, items_CD, drawn, weight_NK, apart_N)


def candidates_cross_entropy(
    hidden_ND: torch.Tensor,
    items_CD: torch.Tensor,
    drawn: Candidates,
    weight_NK: torch.Tensor,
    apart_N: torch.Tensor | None,
) -> torch.Tensor:
    """The same where the candidates are drawn already: `items_CD` has their rows."""
    loss: torch.Tensor = _SoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        hidden_ND, items_CD, drawn.bias_C, drawn.place_NK, weight_NK, drawn.apart_C, apart_N
    )
    return loss


def _places(is_apart_C: torch.Tensor | None) -> torch.Tensor | None:
    """Where there are any; none where there is nothing to leave out."""
    if is_apart_C is None:
        return None
    places = torch.nonzero(is_apart_C).flatten()
    return places if len(places) else None

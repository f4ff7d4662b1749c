"""The item loss is torch's own cross-entropy, in value and in both gradients; samples are fair."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from pipeline.training.items import item_softmax
from pipeline.training.items.item_softmax import draw_candidates, item_cross_entropy


def loss_of(
    hidden: torch.Tensor, items: torch.Tensor, target: torch.Tensor, n_sampled: int = 0
) -> torch.Tensor:
    """One target a place."""
    return item_cross_entropy(hidden, items, target[:, None], torch.ones(len(target), 1), n_sampled)


def example(n: int = 37, n_items: int = 50) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    hidden = torch.randn(n, 8, generator=random, requires_grad=True)
    items = torch.randn(n_items, 8, generator=random, requires_grad=True)
    return hidden, items, torch.randint(0, n_items, (n,), generator=random)


@pytest.mark.parametrize("rows_at_a_time", [1, 5, 1000])
def test_it_is_torchs_own(rows_at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_softmax, "CPU_LOGITS", rows_at_a_time * 50)
    hidden, items, target = example()
    ours = loss_of(hidden, items, target)
    found = torch.autograd.grad(ours * 3, (hidden, items))
    theirs = cross_entropy(hidden @ items.T, target)
    expected = torch.autograd.grad(theirs * 3, (hidden, items))
    torch.testing.assert_close(ours, theirs)
    for gradient, other in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, other)


def test_logits_far_beyond_what_exp_can_take() -> None:
    hidden, items, target = example()
    loss = loss_of(hidden * 1000, items, target)
    torch.testing.assert_close(loss, cross_entropy(hidden * 1000 @ items.T, target))


def test_a_sample_of_all_items_is_all_items() -> None:
    hidden, items, target = example()
    torch.testing.assert_close(
        loss_of(hidden, items, target, n_sampled=50),
        loss_of(hidden, items, target),
    )


def test_the_sum_that_a_sample_stands_for_is_right_on_average() -> None:
    hidden, items, _ = example(1, 400)
    target = torch.tensor([3])
    exact = loss_of(hidden, items, target)
    torch.manual_seed(5)
    # exp(loss) is the sum over candidates divided by the target's own term: fair if unbiased.
    drawn = [loss_of(hidden, items, target, n_sampled=40).exp() for _ in range(3000)]
    assert torch.stack(drawn).mean().item() == pytest.approx(exact.exp().item(), rel=0.05)
    torch.manual_seed(5)
    again = loss_of(hidden, items, target, n_sampled=40).exp()
    assert torch.equal(again, drawn[0])


@pytest.mark.parametrize("n_sampled", [0, 50])
def test_two_targets_are_a_weighed_mean_of_two_losses(n_sampled: int) -> None:
    hidden, items, target = example()
    other = target.flip(0)
    weights = torch.tensor([[0.75, 0.25]]).expand(len(target), 2).clone()
    weights[5] = torch.tensor([1.0, 0.0])
    ours = item_cross_entropy(
        hidden, items, torch.stack([target, other], dim=1), weights, n_sampled
    )
    logits = hidden @ items.T
    first = cross_entropy(logits, target, reduction="none")
    second = cross_entropy(logits, other, reduction="none")
    theirs = (weights[:, 0] * first + weights[:, 1] * second).mean()
    torch.testing.assert_close(ours, theirs)
    for gradient, expected in zip(
        torch.autograd.grad(ours, (hidden, items)),
        torch.autograd.grad(theirs, (hidden, items)),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("rows_at_a_time", [1, 5, 1000])
def test_places_that_are_not_told_from_some_items(
    rows_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_softmax, "CPU_LOGITS", rows_at_a_time * 50)
    hidden, items, target = example()
    is_apart = torch.zeros(50, dtype=torch.bool)
    is_apart[[7, 8, 30]] = True
    place = torch.arange(len(target)) % 2 == 0
    target[place & is_apart[target]] = 1
    weights = torch.ones(len(target), 1)
    ours = item_cross_entropy(hidden, items, target[:, None], weights, apart=(is_apart, place))
    found = torch.autograd.grad(ours, (hidden, items))
    masked = (hidden @ items.T).masked_fill(place[:, None] & is_apart, -torch.inf)
    theirs = cross_entropy(masked, target)
    expected = torch.autograd.grad(theirs, (hidden, items))
    torch.testing.assert_close(ours, theirs)
    for gradient, other in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize("n_sampled", [0, 20])
def test_an_item_apart_is_not_pushed_away(n_sampled: int) -> None:
    hidden, items, target = example()
    target[target == 9] = 1
    is_apart, everywhere = torch.arange(50) == 9, torch.ones(len(target), dtype=torch.bool)
    weights = torch.ones(len(target), 1)
    for _ in range(5):
        loss = item_cross_entropy(
            hidden, items, target[:, None], weights, n_sampled, apart=(is_apart, everywhere)
        )
        (gradient,) = torch.autograd.grad(loss, items)
        assert not gradient[9].any()


@pytest.mark.parametrize("n_sampled", [7, 3000, 19_990])
def test_a_sample_of_many_items_has_each_once_and_no_target(n_sampled: int) -> None:
    torch.manual_seed(3)
    targets = torch.tensor([[4, 19_999], [0, 4]])
    drawn = draw_candidates(targets, 20_000, n_sampled)
    assert drawn.chosen_C is not None
    chosen = drawn.chosen_C.tolist()
    assert chosen[:3] == [0, 4, 19_999]
    assert len(set(chosen)) == len(chosen) == 3 + n_sampled
    assert 0 <= min(chosen) <= max(chosen) < 20_000
    assert torch.equal(drawn.chosen_C[drawn.place_NK], targets)

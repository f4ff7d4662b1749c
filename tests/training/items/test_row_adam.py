"""Rows that wait end where AdamW over the whole matrix has them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.training.items.row_adam import RowAdam

BETAS = (0.9, 0.98)
DECAY = 0.05


def rate_of(step: int) -> float:
    return 3e-3 * min(1.0, (step + 1) / 20) * (1 - step / 500)


@pytest.mark.parametrize("parts", [1, 2])
def test_rows_that_wait_are_where_adamw_has_them(parts: int) -> None:
    """A row is touched every 3rd step, another every 97th, the last one never."""
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(9, 4, generator=generator)
    whole = nn.Parameter(start.clone())
    slow = torch.optim.AdamW([whole], lr=1.0, betas=BETAS, weight_decay=DECAY)
    table = RowAdam(nn.Parameter(start.clone()), betas=BETAS, weight_decay=DECAY)
    every = [1, 2, 3, 5, 11, 29, 53, 97, 1000]
    for step in range(400):
        rows = torch.tensor([row for row, n in enumerate(every) if step % n == n - 1])
        wanted = torch.randn(len(rows), 4, generator=generator)
        for group in slow.param_groups:
            group["lr"] = rate_of(step)
        slow.zero_grad(set_to_none=False)
        ((whole[rows] - wanted) ** 2).sum().backward()  # type: ignore[no-untyped-call]
        if whole.grad is not None:
            slow.step()
        for _ in range(parts):  # batches of one step may touch the same rows
            taken = table.take(rows)
            (((taken - wanted) ** 2).sum() / parts).backward()  # type: ignore[no-untyped-call]
        table.gradient(of_all=step % 10 == 0)
        table.step(rate_of(step))
    table.catch_up()
    torch.testing.assert_close(table.weight.detach(), whole.detach(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole.detach()[5], start[5], atol=1e-2)


def test_a_state_that_was_stored_goes_on_to_the_same_weights() -> None:
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(5, 3, generator=generator)
    one = RowAdam(nn.Parameter(start.clone()), betas=BETAS, weight_decay=DECAY)

    def steps(table: RowAdam, numbers: range) -> None:
        for step in numbers:
            taken = table.take(torch.tensor([step % 5, 5 - 1 if step % 5 != 4 else 0]).unique())
            (taken**2).sum().backward()  # type: ignore[no-untyped-call]
            table.gradient(of_all=False)
            table.step(rate_of(step))

    steps(one, range(30))
    other = RowAdam(nn.Parameter(one.weight.detach().clone()), betas=BETAS, weight_decay=DECAY)
    other.load_state_dict(
        {k: v.clone() if hasattr(v, "clone") else v for k, v in one.state_dict().items()}
    )
    for table in (one, other):
        steps(table, range(30, 50))
        table.catch_up()
    assert torch.equal(one.weight, other.weight)

"""How exactly a layer's matrix products are computed.

`float32` is the reference. `bfloat16` computes the layers in bfloat16 and is meant for GPUs; the
layers' output is float32 again, and so is every score. `int8` rounds the layers' weights by output
and their inputs by token, and adds up whole numbers (oneDNN); it is meant for wide models on
processors. It needs no calibration, and a token's result does not depend on its batch at all.
Costs and losses of each are measured in docs/experiments/precision.md.

Shapes: N tokens, D inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import torch

# Rows at a time. The intermediate results of so many rows stay in the processor's cache between
# two steps; int8 has several steps beside the matrix product.
CACHED_ROWS = 128
STEPS = 127  # of the layers' inputs, to either side of 0
ZERO = 128  # where 0 lies among unsigned bytes, which oneDNN multiplies fastest
# Steps of weights. Processors without VNNI add two products in 16 bits, where 2 x 255 x 127 does
# not fit; with half the steps all processors agree.
WEIGHT_STEPS = 63


class Precision(StrEnum):
    """The values of `generation.precision`."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"

    @property
    def states(self) -> torch.dtype:
        """The type of the states between layers."""
        return torch.bfloat16 if self is Precision.BFLOAT16 else torch.float32


def affine(
    weight_DO: torch.Tensor, bias_O: torch.Tensor | None, precision: Precision
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function `states_ND @ weight_DO + bias_O`; no bias is zero."""
    if precision is Precision.INT8:
        return _Int8(weight_DO, bias_O)
    weight_DO = weight_DO.to(precision.states)
    if bias_O is None:
        return lambda states_ND: states_ND @ weight_DO
    bias_O = bias_O.to(precision.states)
    return lambda states_ND: torch.addmm(bias_O, states_ND, weight_DO)


def in_parts(
    function: Callable[[torch.Tensor], torch.Tensor], states_ND: torch.Tensor, precision: Precision
) -> torch.Tensor:
    """The function, applied to as many rows at a time as its precision is fastest with."""
    if precision is not Precision.INT8 or len(states_ND) <= CACHED_ROWS:
        return function(states_ND)
    return torch.cat([function(part) for part in torch.split(states_ND, CACHED_ROWS)])


class _Int8:
    """The product in whole numbers: symmetric steps, one step size an output and one a token.

    Source: the scheme known as dynamic per-token quantisation with weights by channel.
    """

    def __init__(self, weight_DO: torch.Tensor, bias_O: torch.Tensor | None) -> None:
        self.bias_O = weight_DO.new_zeros(weight_DO.shape[1]) if bias_O is None else bias_O
        # The smallest number instead of 0, for a column or a token of nothing but zeros.
        self.tiny = torch.finfo(torch.float32).tiny
        self.steps_O = weight_DO.abs().amax(dim=0).clamp_(min=self.tiny) / WEIGHT_STEPS
        rounded_OD = (weight_DO / self.steps_O).round_().to(torch.int8).T.contiguous()
        self.packed = torch.ops.onednn.qlinear_prepack(rounded_OD, None)
        self.zeros_O = torch.zeros(len(self.steps_O), dtype=torch.int32)

    def __call__(self, states_ND: torch.Tensor) -> torch.Tensor:
        steps_N1 = states_ND.abs().amax(dim=1, keepdim=True).clamp_(min=self.tiny).div_(STEPS)
        # The conversion cuts off the fraction; half a step more makes it rounding.
        rounded_ND = (states_ND / steps_N1).add_(ZERO + 0.5).to(torch.uint8)
        product_NO = torch.ops.onednn.qlinear_pointwise(
            rounded_ND,
            1.0,
            ZERO,
            self.packed,
            self.steps_O,
            self.zeros_O,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        # NaN and infinity return through the step size, so that they are noticed in the scores.
        return torch.addcmul(self.bias_O, product_NO, steps_N1)

"""The cache of keys and values, which later tokens read instead of computing them again.

There are three caches: of prompts, which all beams of a user share; of the few tokens that beams
have added; and of rows of text, which has a fixed size and whose finished rows make room for new
ones.

Shapes: B prompts, R rows of text, T tokens, W tokens that a row has room for, K beams a prompt,
S tokens of a beam so far, H heads, E width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class PromptKeys:
    """The prompts' keys and values in every layer, once a user."""

    keys: list[torch.Tensor]  # a layer: [B, H, T, E]
    values: list[torch.Tensor]
    hidden_from_BT: torch.Tensor  # added to attention scores: 0 at tokens, -inf at padding
    lengths_B: torch.Tensor
    last_types_B: torch.Tensor

    def rows(self, part: slice) -> PromptKeys:
        """Some of the prompts; nothing is copied."""
        return PromptKeys(
            [keys[part] for keys in self.keys],
            [values[part] for values in self.values],
            self.hidden_from_BT[part],
            self.lengths_B[part],
            self.last_types_B[part],
        )


class BeamKeys:
    """The keys and values, in every layer, of the tokens that beams have added to their prompts."""

    def __init__(self, n_layers: int) -> None:
        self.keys: list[torch.Tensor | None] = [None] * n_layers  # a layer: [B, H, K, S, E]
        self.values: list[torch.Tensor | None] = [None] * n_layers

    def follow(self, parents_BK: torch.Tensor) -> None:
        """Let beam k of each prompt continue the beam that was `parents_BK[:, k]`."""
        for layers in (self.keys, self.values):
            for number, cached in enumerate(layers):
                if cached is not None:
                    where = parents_BK[:, None, :, None, None]
                    shape = (-1, cached.shape[1], -1, *cached.shape[3:])
                    layers[number] = cached.gather(2, where.expand(shape))

    def add(
        self, layer: int, keys_BHKE: torch.Tensor, values_BHKE: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One more token of each beam; all there are now."""
        for layers, new in ((self.keys, keys_BHKE), (self.values, values_BHKE)):
            old, one = layers[layer], new[:, :, :, None]
            layers[layer] = one if old is None else torch.cat([old, one], dim=3)
        keys, values = self.keys[layer], self.values[layer]
        assert keys is not None
        assert values is not None
        return keys, values


class RowKeys:
    """A cache of fixed size: R rows of W tokens a layer, allocated once.

    Args:
        like: keys of a prompt, for the number of layers and heads, the type and the device.
    """

    def __init__(self, like: PromptKeys, n_rows: int, width: int) -> None:
        first = like.keys[0]
        shape = (n_rows, first.shape[1], width, first.shape[3])
        self._keys = [first.new_zeros(shape) for _ in like.keys]
        self._values = [first.new_zeros(shape) for _ in like.keys]
        self._places_W = torch.arange(width, device=first.device)
        self._all_R = torch.arange(n_rows, device=first.device)
        self.lengths_R = torch.zeros(n_rows, dtype=torch.long, device=first.device)
        self._width = 0

    def admit(self, rows_B: torch.Tensor, prompts: PromptKeys) -> None:
        """Put prompts where rows were finished."""
        width = prompts.keys[0].shape[2]
        for layers, new in ((self._keys, prompts.keys), (self._values, prompts.values)):
            for number, admitted in enumerate(new):
                layers[number][rows_B, :, :width] = admitted
        self.lengths_R[rows_B] = prompts.lengths_B

    def keep(self, rows_R: torch.Tensor) -> None:
        """Drop all rows but these."""
        for layers in (self._keys, self._values):
            for number, cached in enumerate(layers):
                layers[number] = cached[rows_R]
        self.lengths_R = self.lengths_R[rows_R]
        self._all_R = self._all_R[: len(rows_R)]

    def make_room(self) -> torch.Tensor:
        """The mask of each row's next token, up to the longest row: 0 is attended to, -inf not."""
        self._width = int(self.lengths_R.max()) + 1
        beyond_RW = self._places_W[: self._width] > self.lengths_R[:, None]
        mask_RW = torch.zeros(beyond_RW.shape, dtype=self._keys[0].dtype, device=beyond_RW.device)
        return mask_RW.masked_fill_(beyond_RW, -torch.inf)

    def add(
        self, layer: int, keys_RHE: torch.Tensor, values_RHE: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one more token of every row; all there are, up to the longest row."""
        self._keys[layer][self._all_R, :, self.lengths_R] = keys_RHE
        self._values[layer][self._all_R, :, self.lengths_R] = values_RHE
        return self._keys[layer][:, :, : self._width], self._values[layer][:, :, : self._width]

"""GPT-2's layers as generation runs them: a prompt once, then tokens that share its keys.

Computes from a checkpoint's own weights what `transformers` computes, with less work: the last
layer's attention and feed-forward only at each prompt's last token, GELU in one kernel, no
dropout, no mask where right padding makes it unnecessary. The keys and values of a prompt are kept
once a user, however many beams read them. Guarantees, in float32: the result equals the library's
forward pass within float rounding, and a row does not depend on its batch beyond that. The other
precisions are in `pipeline.engine.precision`; the returned states are float32 in all of them.

Gives up: GPT-2 with cross-attention (refused).

Shapes: B prompts, T tokens, K beams a prompt, S tokens of a beam so far, D width, H heads,
E width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from transformers import GPT2LMHeadModel
from transformers.activations import ACT2FN

from pipeline.engine.batches import Batch
from pipeline.engine.kv_cache import BeamKeys, PromptKeys, RowKeys
from pipeline.engine.precision import Precision, affine, in_parts
from pipeline.errors import InputError

# The library spells the same function out in several kernels.
_FUSED = {"gelu_new", "gelu_pytorch_tanh", "gelu_fast"}


class Layer:
    """One block's products and its parts."""

    def __init__(
        self, block: Any, act: Callable[[torch.Tensor], torch.Tensor], precision: Precision
    ) -> None:
        attention, mlp = block.attn, block.mlp
        self.act = act
        self.precision = precision
        self.n_heads = int(attention.num_heads)
        self.scale = float(attention.scaling)
        self._before_attention = _Norm(block.ln_1, precision)
        self._before_mlp = _Norm(block.ln_2, precision)
        self._qkv, self._out, self._up, self._down = (
            affine(part.weight.detach(), part.bias.detach(), precision)
            for part in (attention.c_attn, attention.c_proj, mlp.c_fc, mlp.c_proj)
        )

    def qkv(self, states_ND: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values side by side, of as many tokens as are given."""
        return in_parts(
            lambda some: self._qkv(self._before_attention(some)), states_ND, self.precision
        )

    def rest(self, attended_ND: torch.Tensor, states_ND: torch.Tensor) -> torch.Tensor:
        """The layer's output from its attention's output and its input."""
        out_ND = in_parts(self._out, attended_ND, self.precision)
        return in_parts(self._with_mlp, out_ND.add_(states_ND), self.precision)

    def _with_mlp(self, states_ND: torch.Tensor) -> torch.Tensor:
        return states_ND + self._down(self.act(self._up(self._before_mlp(states_ND))))


class Decoder:
    """A GPT-2 that reads whole prompts (`prefill`) and then goes on token by token (`decode_…`).

    Args:
        model: in evaluation mode, float32.
        precision: of the layers' products.

    Raises:
        InputError: the model is not a plain GPT-2.
    """

    def __init__(self, model: GPT2LMHeadModel, precision: Precision = Precision.FLOAT32) -> None:
        config = model.config
        if config.add_cross_attention:
            raise InputError("a GPT-2 with cross-attention cannot generate; expected a plain one")
        name = config.activation_function
        act = _gelu_tanh if name in _FUSED else ACT2FN[name]
        body: Any = model.transformer
        self.layers = [Layer(block, act, precision) for block in body.h]
        self.words_VD: torch.Tensor = body.wte.weight.detach()
        self.places_PD: torch.Tensor = body.wpe.weight.detach()
        self._last_norm = _Norm(body.ln_f, Precision.FLOAT32)
        self._states = precision.states
        self.device = self.words_VD.device
        self.width = int(config.n_embd)
        self.n_positions = int(config.n_positions)

    @property
    def token_bytes(self) -> int:
        """The bytes of one token's keys and values in all layers."""
        return 2 * len(self.layers) * self.width * self._states.itemsize

    @torch.inference_mode()
    def prefill(self, batch: Batch, keep: bool) -> tuple[torch.Tensor, PromptKeys | None]:
        """The state at each prompt's last token, `hidden_BD`, and the keys if they are wanted."""
        token_ids_BT = batch.token_ids_BT.to(self.device)
        type_ids_BT = batch.type_ids_BT.to(self.device)
        n, width = token_ids_BT.shape
        last_B = batch.last_B.to(self.device)
        rows_B = torch.arange(n, device=self.device)
        padding_BT = torch.arange(width, device=self.device) > last_B[:, None]
        hidden_from_BT = torch.zeros(n, width, device=self.device, dtype=self._states)
        hidden_from_BT.masked_fill_(padding_BT, -torch.inf)
        states_BTD = F.embedding(token_ids_BT, self.words_VD) + self.places_PD[:width]
        states_BTD = states_BTD.add_(F.embedding(type_ids_BT, self.words_VD)).to(self._states)
        states_ND = states_BTD.view(n * width, -1)
        keys: list[torch.Tensor] = []
        values: list[torch.Tensor] = []
        for layer in self.layers[:-1]:
            q, k, v = self._heads(layer.qkv(states_ND), n, width, layer.n_heads)
            # No token attends to what is to its right, where all padding is.
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=layer.scale)
            states_ND = layer.rest(attended.transpose(1, 2).reshape(n * width, -1), states_ND)
            if keep:
                # In one piece: a matrix product would copy them anew at every step of the beams.
                keys.append(k.contiguous())
                values.append(v.contiguous())
        layer = self.layers[-1]
        qkv_ND = layer.qkv(states_ND)
        _, k, v = self._heads(qkv_ND, n, width, layer.n_heads)
        last_ND = rows_B * width + last_B
        q = qkv_ND[last_ND, : self.width].view(n, layer.n_heads, 1, -1)
        attended = F.scaled_dot_product_attention(
            q, k, v, attn_mask=hidden_from_BT[:, None, None], scale=layer.scale
        )
        hidden_BD = self._end(layer.rest(attended.reshape(n, -1), states_ND[last_ND]))
        if not keep:
            return hidden_BD, None
        last_types_B = type_ids_BT[rows_B, last_B]
        return hidden_BD, PromptKeys(
            [*keys, k.contiguous()],
            [*values, v.contiguous()],
            hidden_from_BT,
            last_B + 1,
            last_types_B,
        )

    @torch.inference_mode()
    def decode_beams(
        self, token_ids_BK: torch.Tensor, step: int, prompts: PromptKeys, beams: BeamKeys
    ) -> torch.Tensor:
        """The state after one more token of every beam: `hidden_BKD`.

        As in transformers' `generate` the token has the type of the prompt's last one. All beams
        of a prompt read its keys where they are: one matrix product of K rows a head.

        Args:
            step: how many tokens the beams have already.
        """
        n, k = token_ids_BK.shape
        places_B = prompts.lengths_B + step
        common_BD = F.embedding(prompts.last_types_B, self.words_VD) + self.places_PD[places_B]
        states_BKD = F.embedding(token_ids_BK, self.words_VD) + common_BD[:, None]
        states_ND = states_BKD.view(n * k, -1).to(self._states)
        for number, layer in enumerate(self.layers):
            q, keys, values = self._heads(layer.qkv(states_ND), n, k, layer.n_heads)
            own_keys, own_values = beams.add(number, keys, values)
            q = q * layer.scale
            of_prompt = q @ prompts.keys[number].transpose(2, 3)
            of_prompt = of_prompt + prompts.hidden_from_BT[:, None, None]
            of_beam = (own_keys @ q[..., None])[..., 0]
            weights = torch.cat([of_prompt, of_beam], dim=3).softmax(dim=3)
            n_prompt = of_prompt.shape[3]
            attended = weights[..., :n_prompt] @ prompts.values[number]
            attended = attended + (weights[..., None, n_prompt:] @ own_values)[..., 0, :]
            states_ND = layer.rest(attended.transpose(1, 2).reshape(n * k, -1), states_ND)
        return self._end(states_ND).view(n, k, -1)

    @torch.inference_mode()
    def decode_rows(
        self, token_ids_R: torch.Tensor, type_ids_R: torch.Tensor, rows: RowKeys
    ) -> torch.Tensor:
        """The state after one more token of every row, `hidden_RD`; the rows keep its keys."""
        n = len(token_ids_R)
        hidden_from_RW = rows.make_room()
        states_RD = F.embedding(token_ids_R, self.words_VD) + self.places_PD[rows.lengths_R]
        states_RD = (states_RD + F.embedding(type_ids_R, self.words_VD)).to(self._states)
        for number, layer in enumerate(self.layers):
            q, k, v = self._heads(layer.qkv(states_RD), n, 1, layer.n_heads)
            keys, values = rows.add(number, k[:, :, 0], v[:, :, 0])
            attended = F.scaled_dot_product_attention(
                q, keys, values, attn_mask=hidden_from_RW[:, None, None], scale=layer.scale
            )
            states_RD = layer.rest(attended.reshape(n, -1), states_RD)
        rows.lengths_R += 1
        return self._end(states_RD)

    def _end(self, states_ND: torch.Tensor) -> torch.Tensor:
        return self._last_norm(states_ND.float())

    def _heads(
        self, qkv_ND: torch.Tensor, n: int, width: int, n_heads: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values by head: each [B, H, T, E], views of one tensor."""
        parts = qkv_ND.view(n, width, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
        return parts[0], parts[1], parts[2]


class _Norm:
    """Layer normalisation in the type of the states."""

    def __init__(self, norm: Any, precision: Precision) -> None:
        self.shape, self.eps = tuple(norm.normalized_shape), float(norm.eps)
        self.weight_D = norm.weight.detach().to(precision.states)
        self.bias_D = norm.bias.detach().to(precision.states)

    def __call__(self, states_ND: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(states_ND, self.shape, self.weight_D, self.bias_D, self.eps)


def _gelu_tanh(states: torch.Tensor) -> torch.Tensor:
    return F.gelu(states, approximate="tanh")

"""A GPU that is not there: tensors that say `cuda`, compute on the processor, and refuse to mix.

Real kernels are not run and nothing is timed. What it does show, on any machine, is that all an
operation reads lies on one device, that nothing reaches for the memory of the other, and that what
comes back was fetched: what otherwise only fails on the first machine with a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

# The only other device that every build of torch has; without our mode it computes nothing.
GPU = torch.device("meta")
# PyTorch itself takes indices of either device, and numbers of no dimension.
_MAY_INDEX = ("index", "index_put", "index_put_", "_index_put_impl_")
_COPIES = ("_to_copy", "copy_", "lift_fresh")


class Pretended(torch.Tensor):
    """A tensor of the processor's, `inner`, that says it lies on a GPU."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Pretended:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=GPU,
            requires_grad=False,
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Pretended({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """What is made on the GPU without a tensor of the GPU's among the arguments."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _FromNumbers(TorchFunctionMode):
    """`torch.tensor(…, device=…)` copies where no mode sees it: it is made here, then moved."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor and "device" in kwargs:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func.overloadpacket.__name__
    given = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
    ours = [leaf for leaf in given if isinstance(leaf, Pretended)]
    theirs = [leaf for leaf in given if not isinstance(leaf, Pretended) and leaf.dim()]
    asked = kwargs.get("device")
    on_gpu = bool(ours) if asked is None else torch.device(asked) == GPU
    if name in _COPIES:
        on_gpu = on_gpu if name == "_to_copy" else isinstance(args[0], Pretended)
    elif ours and theirs and not (name in _MAY_INDEX and isinstance(args[0], Pretended)):
        raise RuntimeError(f"{func}: tensors on the GPU and on the processor")
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(
        lambda leaf: leaf.inner if isinstance(leaf, Pretended) else leaf, (args, kwargs)
    )
    # Tensors that were made in inference mode cannot be wrapped.
    with torch.inference_mode(mode=False):
        found = func(*args, **kwargs)
        if name.endswith("_") and not name.startswith("__") and ours:
            return ours[0]  # changed in place; not `__or__`
        return tree_map(
            lambda leaf: Pretended(leaf) if on_gpu and isinstance(leaf, torch.Tensor) else leaf,
            found,
        )


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Within it `cuda` can be asked for. Attention is spelt out: its kernels differ by device."""
    with _FromNumbers(), _Factories(), sdpa_kernel(SDPBackend.MATH):
        yield


def on_gpu(model: torch.nn.Module) -> torch.nn.Module:
    """A module whose weights are moved."""
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            moved = Pretended(weight.detach())
            setattr(module, name, torch.nn.Parameter(moved, requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = Pretended(buffer)
    return model

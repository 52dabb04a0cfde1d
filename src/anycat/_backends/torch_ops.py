"""Draws and checks as operations of PyTorch, for tensors without values.

They run when what PyTorch compiles, exports, traces or maps does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence  # noqa: TC003  (PyTorch reads the annotations)
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anycat._kernels.layout import Block

from . import registry
from .base import CHECKS
from .mapped import draw_each
from .torch_memory import is_compiling, is_exporting

if TYPE_CHECKING:
    from anycat._random import RandomBits

_LOWEST = -(2**63)


# --- draws --------------------------------------------------------------------------------------


@torch.library.custom_op("anycat::sample", mutates_args=())
def sample(
    params: Tensor, bits: Tensor, logits: bool, ndim: int, shape: Sequence[int], dtype: torch.dtype
) -> Tensor:
    """Draw for each element of the mapped axes, which come first in ``params`` and ``bits``."""
    backend = registry.backend_of(params)
    block, numpy_dtype = Block.all_of(tuple(shape)), backend.integer_dtype(dtype)

    def draw(params: Tensor, words: Any, cache: dict[str, Any]) -> Tensor:
        return backend.draw(params, logits, block, words.copy, numpy_dtype, cache)

    words = bits.numpy(force=True).view("<u4").astype("u8")
    mapped, draws = draw_each(draw, params, words, ndim)
    return torch.stack(draws).reshape(mapped + block.shape) if mapped else draws[0]


@sample.register_fake
def _(
    params: Tensor, bits: Tensor, logits: bool, ndim: int, shape: Sequence[int], dtype: torch.dtype
) -> Tensor:
    mapped = torch.broadcast_shapes(params.shape[: params.ndim - ndim], bits.shape[:-1])
    return params.new_empty((*mapped, *shape), dtype=dtype)


@sample.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], params: Tensor, bits: Tensor, *rest: Any
) -> tuple[Tensor, int]:
    params, bits = (
        x[None] if axis is None else x.movedim(axis, 0)
        for x, axis in zip((params, bits), in_dims, strict=False)
    )
    return sample(params, bits, *rest), 0


# --- random bits --------------------------------------------------------------------------------


def random_bits(bits: RandomBits) -> Tensor:
    """Return the bits of a call as two int64, which may be unknown yet."""
    rng = bits.rng
    if isinstance(rng, int) and rng < -_LOWEST:
        return _seed_bits(rng)
    if rng is not None and not bits.is_stateless and is_exporting():
        raise TypeError(
            "rng must be None or an int where PyTorch exports or traces: the bits of "
            f"{type(rng).__name__} would be taken once and for all"
        )
    if rng is None or (isinstance(rng, torch.Generator) and not is_compiling()):
        return _next_bits(rng)
    return _read(bits)


def _next_bits(rng: torch.Generator | None) -> Tensor:
    """Return what `random_` gives, by an operation that has rules for `vmap`."""
    device = "cpu" if rng is None else rng.device
    words = torch.randint(_LOWEST, -_LOWEST - 1, (2,), device=device, generator=rng)
    return words ^ _LOWEST


@torch.library.custom_op("anycat::seed_bits", mutates_args=())
def _seed_bits(seed: int) -> Tensor:
    """Return the bits of a seed that may be an argument of the compiled function."""
    return _as_tensor(registry.reader_of(seed).random_key(seed))


@_seed_bits.register_fake
def _(seed: int) -> Tensor:
    return torch.empty(2, dtype=torch.int64, device="cpu")


@torch.compiler.disable
def _read(bits: RandomBits) -> Tensor:
    """Read a generator between two compiled functions, as a compiled one cannot."""
    return _as_tensor(bits.key())


def _as_tensor(words: Any) -> Tensor:
    return torch.from_numpy(words.astype("<u4").view("<i8"))


# --- checks -------------------------------------------------------------------------------------


@torch.library.custom_op("anycat::check", mutates_args=())
def check(x: Tensor, name: str, num_categories: int) -> None:
    """Check the values of an argument."""
    CHECKS[name](x, num_categories)


with contextlib.suppress(ImportError):  # else the compiler drops the checks
    from torch._library.effects import EffectType

    check.register_effect(EffectType.ORDERED)


@check.register_fake
def _(x: Tensor, name: str, num_categories: int) -> None: ...


@check.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], x: Tensor, name: str, num_categories: int
) -> tuple[None, None]:
    check(x.movedim(in_dims[0], 0), name, num_categories)
    return None, None

"""Draws and checks as operations of PyTorch, for tensors without values.

They run when what PyTorch compiles, exports, traces or maps does. They are defined without
`torch.library.custom_op`, which loads PyTorch's compiler. This takes a second, and turns off the
checks of all `torch.distributions`.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import torch

from anycat._kernels.keys import key_of_flat
from anycat._kernels.layout import SAMPLE, Block
from anycat._messages import type_name
from anycat._random import RowSeeds

from . import registry
from .base import CHECKS, Backend
from .mapped import draw_each, draw_rows, draw_small
from .torch_memory import is_compiling, is_exporting, is_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycat._kernels.keys import Key
    from anycat._random import RandomBits

    Tensor = Any
    Axes = tuple[int | None, ...]

_LOWEST = -(2**63)

_library = torch.library.Library("anycat", "DEF")


def _define(schema: str, function: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Define an operation by what it does, and by what it gives for tensors without values."""
    name = schema.partition("(")[0]
    _library.define(schema)
    _library.impl(name, function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"anycat::{name}", fake, lib=_library)
    return getattr(torch.ops.anycat, name).default


# --- draws --------------------------------------------------------------------------------------


def _sample(
    params: Tensor,
    bits: Tensor,
    logits: bool,
    ndim: int,
    shape: Sequence[int],
    dtype: torch.dtype,
    first: int = 0,
    kind: str = SAMPLE,
) -> Tensor:
    """Draw for each element of the mapped axes, which come first in ``params`` and ``bits``.

    ``bits`` are two numbers of 64 bits, or the key of rows.
    """
    backend = registry.backend_of(params)
    block = Block.all_of(tuple(shape), first % 2**64, kind)
    numpy_dtype, whole = backend.integer_dtype(dtype), block.output_shape(params.shape[-1])

    def draw(params: Tensor, key: Any, block: Block, cache: dict[str, Any]) -> Tensor:
        def placed(module: Any) -> Key:
            return key_of_flat(module.asarray(backend.integers(key)) if of_rows else key)

        return backend.draw(params, logits, block, placed, numpy_dtype, cache)

    of_rows = bits.shape[-1] > 2
    keys = bits if of_rows else bits.numpy(force=True).view("<u4").astype("u8")
    if of_rows:
        if (found := draw_rows(draw, torch, params, keys, ndim, block)) is not None:
            return found
    elif (view := backend.on_cpu(params)) is not None:
        found = draw_small(view, keys, ndim, logits, block, numpy_dtype)
        if found is not None:
            return torch.from_numpy(found)
    mapped, draws = draw_each(draw, params, keys, ndim, block)
    return torch.stack(draws).reshape(mapped + whole) if mapped else draws[0]


def _fake_sample(
    params: Tensor,
    bits: Tensor,
    logits: bool,
    ndim: int,
    shape: Sequence[int],
    dtype: torch.dtype,
    first: int = 0,
    kind: str = SAMPLE,
) -> Tensor:
    mapped = torch.broadcast_shapes(params.shape[: params.ndim - ndim], bits.shape[:-1])
    whole = Block.all_of(tuple(shape), kind=kind).output_shape(params.shape[-1])
    return params.new_empty((*mapped, *whole), dtype=dtype)


def _map_sample(
    info: Any, in_dims: Axes, params: Tensor, bits: Tensor, *rest: Any
) -> tuple[Tensor, int]:
    params, bits = (
        x[None] if axis is None else x.movedim(axis, 0)
        for x, axis in zip((params, bits), in_dims, strict=False)
    )
    return sample(params, bits, *rest), 0


sample = _define(
    "sample(Tensor params, Tensor bits, bool logits, int ndim, SymInt[] shape, ScalarType dtype,"
    " SymInt first=0, str kind='sample') -> Tensor",
    _sample,
    _fake_sample,
)
torch.library.register_vmap(sample, _map_sample, lib=_library)


# --- truncation ---------------------------------------------------------------------------------


def _keep(params: Tensor, logits: bool, *arguments: Tensor | None) -> Tensor:
    """Tell which entries are kept."""
    backend = registry.backend_of(params)
    given = [x if x is None else x.expand(params.shape[:-1]) for x in arguments]
    # Not by the method of this backend, which would come back here.
    kept = Backend.truncate(backend, params, logits, given, {})
    return kept > (-math.inf if logits else 0)


def _map_keep(
    info: Any, in_dims: Axes, params: Tensor, logits: bool, *arguments: Tensor | None
) -> tuple[Tensor, int]:
    """Take the mapped axis as the first of the batch."""
    n, (axis, _, *axes) = info.batch_size, in_dims
    params = params.expand(n, *params.shape) if axis is None else params.movedim(axis, 0)
    batch = params.shape[:-1]

    def whole(x: Tensor | None, axis: int | None) -> Tensor | None:
        if x is None or axis is None:
            return x
        x = x.movedim(axis, 0)
        return x.reshape(n, *(1,) * (len(batch) - x.ndim), *x.shape[1:]).expand(batch)

    return keep(params, logits, *map(whole, arguments, axes)), 0


def as_tensor(argument: Any) -> Tensor | None:
    """Return an argument as a tensor."""
    if argument is None or isinstance(argument, torch.Tensor):
        return None if argument is None else argument.detach()
    dtype = torch.int64 if isinstance(argument, int) else torch.float64
    return torch.full((), min(argument, 2**63 - 1), dtype=dtype, device="cpu")


keep = _define(
    "keep(Tensor params, bool logits, Tensor? temperature, Tensor? top_k, Tensor? top_p,"
    " Tensor? min_p) -> Tensor",
    _keep,
    lambda params, *_: torch.empty_like(params, dtype=torch.bool),
)
torch.library.register_vmap(keep, _map_keep, lib=_library)


# --- random bits --------------------------------------------------------------------------------


def random_bits(bits: RandomBits | RowSeeds) -> Tensor:
    """Return the bits of a call as int64, two of them or the key of rows, maybe unknown yet."""
    if isinstance(bits, RowSeeds):
        return bits.words()
    rng = bits.rng
    if isinstance(rng, int) and rng < -_LOWEST:
        return _seed_bits(rng)
    if rng is not None and not bits.is_stateless and is_exporting():
        raise TypeError(
            "rng must be None or an int where PyTorch exports or traces; got "
            f"{type_name(rng)}, whose bits would be the same in each call"
        )
    if rng is None or (isinstance(rng, torch.Generator) and not is_compiling()):
        return _next_bits(rng)
    if not bits.is_stateless and is_mapping():
        raise TypeError(
            "rng must be None, an int or a torch.Generator under torch.func.vmap; got "
            f"{type_name(rng)}, whose bits would be the same for each element"
        )
    return _read_apart(bits) if is_compiling() else _read(bits)


def _next_bits(rng: torch.Generator | None) -> Tensor:
    """Return what `random_` gives, by an operation that has rules for `vmap`."""
    device = "cpu" if rng is None else rng.device
    words = torch.randint(_LOWEST, -_LOWEST - 1, (2,), device=device, generator=rng)
    return words ^ _LOWEST


def _read(bits: RandomBits) -> Tensor:
    return _as_tensor(bits.reader.random_key(bits.rng))


# Between two compiled functions, as a compiled one cannot read a generator.
_read_apart = torch._disable_dynamo(_read)
# Newer releases quote the reason in the error of a function that is compiled as a whole.
_REASON = "with fullgraph=True, rng must be None or an int below 2**63"
vars(_read_apart).update(_torchdynamo_disable=True, _torchdynamo_disable_msg=_REASON)


def _bits_of_seed(seed: int) -> Tensor:
    return _as_tensor(registry.reader_of(seed).random_key(seed))


def _as_tensor(words: Any) -> Tensor:
    return torch.from_numpy(words.astype("<u4").view("<i8"))


def traced_key(numbers: Sequence[Any], batch: Sequence[int]) -> Tensor:
    """Return the key of the seeds and positions of rows, on their device."""
    device = next((x.device for x in numbers if isinstance(x, torch.Tensor)), "cpu")
    parts = (_integers(x, device).expand(batch).reshape(-1) for x in numbers)
    return torch.cat([torch.zeros(4, dtype=torch.int64, device=device), *parts])


def _integers(x: Any, device: Any) -> Tensor:
    if isinstance(x, torch.Tensor):
        return x.to(torch.int64)
    if isinstance(x, int):
        return torch.full((), as_int64(x), dtype=torch.int64, device=device)
    return torch.as_tensor(x.astype("i8"), device=device)


def as_int64(n: int) -> int:
    """Return the integer of 64 bits that is a number modulo 2**64."""
    return n if n < -_LOWEST else n - 2**64


# Of a seed that may be an argument of the compiled function.
_seed_bits = _define(
    "seed_bits(SymInt seed) -> Tensor",
    _bits_of_seed,
    lambda _: torch.empty(2, dtype=torch.int64, device="cpu"),
)


# --- checks -------------------------------------------------------------------------------------


def _check(x: Tensor, name: str, num_categories: int) -> None:
    CHECKS[name](x, num_categories, {})


def _map_check(info: Any, in_dims: Axes, x: Tensor, *rest: Any) -> tuple[None, None]:
    check(x.movedim(in_dims[0], 0), *rest)
    return None, None


check = _define("check(Tensor x, str name, SymInt num_categories) -> ()", _check, lambda *_: None)
torch.library.register_vmap(check, _map_check, lib=_library)
with contextlib.suppress(ImportError, AttributeError):  # else the compiler drops the checks
    from torch._library.effects import EffectType

    torch.library._register_effectful_op(check, EffectType.ORDERED, lib=_library)

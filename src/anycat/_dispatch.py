"""The one place that knows the names of array libraries: from an array to its kernel room."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import array_api_compat as compat
import array_api_extra as xpx
import numpy as np

from . import _random
from ._kernels import Draws

if TYPE_CHECKING:
    from ._random import RNG

    Array = Any
    Namespace = Any

_CPU = 1  # DLPack's kDLCPU

broadcast_shapes = np.broadcast_shapes  # of tuples: the same for every library
# A context, or a decorator: NumPy does not warn of overflow and the like.
silence = functools.partial(np.errstate, all="ignore")


def default_namespace() -> Namespace:
    """Return the namespace in which lists and numbers become arrays."""
    return compat.array_namespace(np.empty(0))


def sample(
    xp: Namespace,
    params: Array,
    logits: bool,
    batch_shape: tuple[int, ...],
    sample_shape: tuple[int, ...],
    rng: RNG,
    dtype: np.dtype[Any],
    cache: dict[str, Any],
) -> Array:
    """Draw an array of shape ``sample_shape + batch_shape``, as the library of ``params`` has them.

    ``params`` has the shape ``(..., K)``, of which ``...`` broadcasts to ``batch_shape``. Bits are
    taken from ``rng`` when nothing can fail any more.
    """
    shape = sample_shape + batch_shape
    on_host = as_numpy(params)
    lattice = lattice_of(on_host.shape[:-1], batch_shape)
    if lattice is None:  # rows repeat in a pattern of its own: let strides tell it
        on_host = np.broadcast_to(on_host, (*batch_shape, on_host.shape[-1]))
        lattice = (1, math.prod(batch_shape), 1)
    outer, rows, repeats = lattice
    draws = Draws(math.prod(sample_shape) * outer, rows, repeats, 0, rows * repeats)
    from ._kernels import cpu

    out = np.empty(shape, dtype)
    if out.size:
        flat = out.reshape(draws[:3])
        cpu.sample(on_host, logits, _random.key(rng), draws, flat, cache)
    else:
        _random.key(rng)
    if compat.is_numpy_namespace(xp):
        return out
    return compat.to_device(xp.from_dlpack(out), compat.device(params))


def refuse_masks(name: str, x: Array) -> None:
    """Raise TypeError for NumPy's masked arrays, whose masks would be lost on the way."""
    if type(x).__module__.startswith("numpy.ma"):
        raise TypeError(f"{name} must be a plain array; got {type(x).__name__}: fill it first")


def as_numpy(x: Array) -> np.ndarray[Any, Any]:
    """Return a CPU array of any library as a NumPy array on the same memory."""
    if compat.is_numpy_array(x):
        return np.asarray(x)
    if compat.is_torch_array(x):
        x = x.detach()  # draws are integers: no gradient goes through them
    try:
        kind = int(x.__dlpack_device__()[0])
    except AttributeError:
        kind = 0
    if kind != _CPU:
        raise TypeError(
            f"anycat draws from arrays in CPU memory so far; this {type(x).__module__} array is on "
            f"device {compat.device(x)}: move it to the CPU first"
        )
    return np.from_dlpack(x)


@functools.cache
def index_dtype(xp: Namespace, device: Any) -> Any:
    """Return the dtype that a library has for indices, in its own terms."""
    return xpx.default_dtype(xp, "indexing", device=device)


def numpy_dtype(xp: Namespace, dtype: Any) -> np.dtype[Any]:
    """Return NumPy's name for an integer dtype."""
    try:
        found = np.dtype(dtype if compat.is_numpy_namespace(xp) else str(dtype).split(".")[-1])
    except (TypeError, ValueError):
        found = None
    if found is None or found.kind not in "iu" or not found.isnative:
        raise TypeError(f"dtype must be an integer dtype; got {dtype!r}")
    return found


def lattice_of(base: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Tell how rows of shape ``base`` repeat in ``batch``, to which they broadcast.

    Returns (outer, rows, repeats) if the batch, in C order, is ``outer`` times all rows, each
    ``repeats`` times in turn; None if they lie in another way.
    """
    base = (1,) * (len(batch) - len(base)) + base
    kinds = [n == m for n, m in zip(base, batch, strict=True) if m != 1]
    inner = len(kinds)
    while inner and not kinds[inner - 1]:
        inner -= 1
    outer = 0
    while outer < inner and not kinds[outer]:
        outer += 1
    if not all(kinds[outer:inner]):
        return None
    sizes = [m for m in batch if m != 1]
    return math.prod(sizes[:outer]), math.prod(sizes[outer:inner]), math.prod(sizes[inner:])

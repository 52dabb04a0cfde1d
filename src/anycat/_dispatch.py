"""The one place that knows the names of array libraries: from an array to its kernel room."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import array_api_compat as compat
import array_api_extra as xpx
import numpy as np

from ._kernels import Draws

if TYPE_CHECKING:
    from ._random import Key

    Array = Any
    Namespace = Any

_CPU = 1  # DLPack's kDLCPU

broadcast_shapes = np.broadcast_shapes  # of tuples: the same for every library


def default_namespace() -> Namespace:
    """Return the namespace in which lists and numbers become arrays."""
    return compat.array_namespace(np.empty(0))


def silence() -> np.errstate:
    """Return a context in which NumPy does not warn of overflow and the like."""
    return np.errstate(all="ignore")


def sample(
    params: Array,
    logits: bool,
    batch_shape: tuple[int, ...],
    sample_shape: tuple[int, ...],
    key: Key,
    dtype: np.dtype[Any],
    cache: dict[str, Any],
) -> Array:
    """Draw an array of shape ``sample_shape + batch_shape``, as the library of ``params`` has them.

    ``params`` has the shape ``(..., K)``, of which ``...`` broadcasts to ``batch_shape``.
    """
    xp = compat.array_namespace(params)
    shape = sample_shape + batch_shape
    on_host = as_numpy(params)
    lattice = lattice_of(on_host.shape[:-1], batch_shape)
    if lattice is None:  # rows repeat in a pattern of its own: let strides tell it
        on_host = np.broadcast_to(on_host, (*batch_shape, on_host.shape[-1]))
        lattice = (1, math.prod(batch_shape), 1)
    outer, rows, repeats = lattice
    draws = Draws(math.prod(sample_shape) * outer, rows, repeats, 0, rows * repeats)
    from ._kernels import cpu

    out = cpu.sample(on_host, logits, key, draws, dtype, cache)
    out = out.reshape(shape)
    return out if compat.is_numpy_namespace(xp) else xp.from_dlpack(out)


def as_numpy(x: Array) -> np.ndarray[Any, Any]:
    """Return a CPU array of any library as a NumPy array on the same memory."""
    if compat.is_numpy_array(x):
        return np.asarray(x)
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


def index_dtype(params: Array, dtype: Any) -> np.dtype[Any]:
    """Return NumPy's name for the dtype of draws; None is the index dtype of the library."""
    xp = compat.array_namespace(params)
    if dtype is None:
        dtype = xpx.default_dtype(xp, "indexing", device=compat.device(params))
    try:
        found = np.dtype(dtype if compat.is_numpy_namespace(xp) else str(dtype).split(".")[-1])
    except TypeError:
        found = None
    if found is None or found.kind not in "iu":
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

"""NumPy: its arrays, which kernels take as they are, and its random number generators."""

from __future__ import annotations

import ctypes
import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat import _kernels
from anycat._random import split_words

from .base import Backend, isdtype

if TYPE_CHECKING:
    from collections.abc import Hashable

    from anycat._random import RNG

    Array = np.ndarray[Any, Any]

_FLOATS = np.dtype(np.float32), np.dtype(np.float64)
_PLAIN = np.ndarray, np.memmap
_REMEDIES = (np.ma.MaskedArray, "call its filled()"), (np.matrix, "call numpy.asarray")
_STATEFUL = np.random.Generator, np.random.BitGenerator


class NumPyBackend(Backend):
    """NumPy."""

    def _traits_key(self, x: Array) -> tuple[Hashable, ...]:
        return ("cpu",)

    def check_supported(self, name: str, x: Array) -> None:
        """Refuse arrays with rules of their own, and dtypes of too few bits."""
        for cls, remedy in _REMEDIES:
            if isinstance(x, cls):
                raise TypeError(f"{name} is a {type(x).__name__}: {remedy} first")
        if isinstance(x, np.ndarray):  # a table is converted later
            super().check_supported(name, x)

    # NumPy's own functions, where its namespace need not be loaded for more.

    def isdtype(self, dtype: Any, kind: str | tuple[str, ...]) -> bool:
        """Tell whether a dtype is of a kind."""
        return isdtype(np, dtype, kind)

    def asarray(self, values: Any, like: Array | None = None) -> Array:
        """Return numbers as an array."""
        return np.asarray(values)

    def search(self, rows: Array, x: Array) -> Any:
        """Search each row by NumPy, unless few numbers are sought in each of many."""
        batch, many = rows.shape[:-1], x.size >= 16 * math.prod(rows.shape[:-1])
        if type(rows) not in _PLAIN or x.shape[x.ndim - len(batch) :] != batch or not many:
            return super().search(rows, x)
        rows = rows.astype(self.traits(rows).compute, copy=False)
        found = np.empty(x.shape, np.int64)
        for place in np.ndindex(batch):
            found[..., *place] = rows[place].searchsorted(x[..., *place])
        return np.minimum(found, rows.shape[-1] - 1)

    def on_cpu(self, x: Array) -> Array | None:
        """Return the array itself, unless it is of a class for other memory."""
        return x if type(x) in _PLAIN else super().on_cpu(x)

    def untracked(self, x: Array) -> Array | None:
        """Return the array, unless its class may have other operations."""
        return x if type(x) in _PLAIN else None

    def to_kernel(self, x: Array, module: Any) -> Array:
        """Return the array itself."""
        view: Array = module.asarray(x)
        return view

    def from_kernel(self, out: Array, params: Array) -> Any:
        """Return the draws or values themselves."""
        return self.result(out)

    def result(self, x: Array) -> Any:
        """Return an array; a scalar if it has no axes."""
        return x if x.ndim else x[()]

    def small(self, x: Array) -> Array | None:
        """Return the numbers of a small array, in one axis."""
        if type(x) is not np.ndarray or not x.ndim:
            return None
        if not 0 < x.size <= _kernels.SMALL_MAX_SIZE and not _kernels.is_small(x.shape):
            return None
        if x.dtype not in _FLOATS:
            if x.dtype.kind not in "biu":
                return None
            x = x.astype(np.float64)  # as kernels do
        flat = x.ravel()
        return flat if flat.flags.carray else flat.copy()

    def small_index(self, value: Any) -> Array | None:
        """Return an array of int64."""
        return value if type(value) is np.ndarray and value.dtype == np.int64 else None

    # --- random bits ----------------------------------------------------------------------------

    def reads(self, rng: Any) -> bool:
        """Tell whether ``rng`` is a seed, a BitGenerator or a Generator."""
        if isinstance(rng, (*_STATEFUL, np.random.SeedSequence)):
            return True
        is_array = getattr(rng, "ndim", 0) > 0  # of PyTorch, it may be an index
        return not (is_array or isinstance(rng, bool | np.bool_)) and _is_index(rng)

    def is_stateless(self, rng: Any) -> bool:
        """Tell whether ``rng`` is a seed."""
        return not isinstance(rng, _STATEFUL)

    def random_words(self, rng: RNG) -> Any:
        """Take 128 bits: the next two 64-bit outputs of a generator."""
        bit_generator = _bit_generator(rng)
        interface = bit_generator.ctypes
        next_uint64, state = interface.next_uint64, interface.state
        with bit_generator.lock:  # the same way for generators of 32 and of 64 bits
            # By `map`, since no interrupt can come between its two calls.
            return split_words(*map(next_uint64, (state, state)))

    def random_source(self, rng: RNG) -> tuple[Any, int, int] | None:
        """Return the lock, the function and the state of one of NumPy's own bit generators."""
        bit_generator = rng.bit_generator if isinstance(rng, np.random.Generator) else rng
        function = _NEXT_UINT64.get(type(bit_generator))
        if function is None:
            return None
        return bit_generator.lock, function, bit_generator.ctypes.state_address


def _address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value


# The function of each class of NumPy's own; other classes may have one for each object.
_NEXT_UINT64: dict[type, int | None] = {
    cls: _address(cls(0).ctypes.next_uint64)
    for cls in (
        *(np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox),
        np.random.SFC64,
    )
}


def _is_index(rng: object) -> bool:
    try:
        operator.index(rng)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _bit_generator(rng: Any) -> np.random.BitGenerator:
    if isinstance(rng, np.random.Generator):
        return rng.bit_generator
    if isinstance(rng, np.random.BitGenerator):
        return rng
    if isinstance(rng, np.random.SeedSequence):
        return np.random.PCG64(rng)
    seed = operator.index(rng)
    if seed < 0:
        raise ValueError(f"rng must not be negative; got {seed}")
    return np.random.PCG64(seed)

"""Rows of parameters: their type as kernels see it, and pieces of many of them."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .compile import C_TYPES
from .diagnose import array_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    Array = Any

TILE = 4096  # categories that share an exponent: part of the definition of the draw


class RowType(NamedTuple):
    """What launches need to know of rows, and of the device they are on."""

    size: int
    """The number of categories."""
    dtype: Any
    """Of the parameters as kernels read them."""
    c_type: str
    logits: bool
    multiprocessors: int

    @classmethod
    def of(cls, params: Array, logits: bool) -> RowType:
        """Return the type of the rows of an array; real dtypes without kernels become float64."""
        known = params.dtype.name in C_TYPES
        dtype = params.dtype if known else np.dtype(np.float64)
        size, device = params.shape[-1], params.device.id
        return cls(size, dtype, C_TYPES[dtype.name], logits, multiprocessors(device))

    @property
    def tiles(self) -> int:
        """The number of tiles of a row."""
        return -(-self.size // TILE)

    @property
    def weight_bytes(self) -> int:
        """The bytes of a weight in registers or shared memory."""
        return 8 if self.c_type == "double" else 4

    @property
    def row_bytes(self) -> int:
        """The bytes of a row of weights."""
        return self.size * self.weight_bytes

    def is_zero_copy(self, x: Array) -> bool:
        """Tell whether kernels can read an array as it is."""
        return bool(x.dtype == self.dtype and x.flags.c_contiguous)

    def contiguous(self, x: Array) -> Array:
        """Return an array as kernels read it: itself or a copy."""
        return array_module().ascontiguousarray(x, self.dtype)


@functools.cache
def multiprocessors(device: int) -> int:
    """Return the number of multiprocessors of a device."""
    return int(array_module().cuda.Device(device).attributes["MultiProcessorCount"])


def pieces(x: Array, max_elements: int, begin: int = 0) -> Iterator[tuple[int, Array]]:
    """Yield pieces of ``x`` in order, each with the number of rows before it.

    A piece has at most ``max_elements`` elements, but at least one row.
    """
    rows, size = math.prod(x.shape[1:-1]), math.prod(x.shape[1:])
    if x.ndim > 2 and size > max_elements:
        for i, part in enumerate(x):
            yield from pieces(part, max_elements, begin + i * rows)
    elif x.ndim > 1:
        step = max(1, max_elements // size)
        yield from ((begin + i * rows, x[i : i + step]) for i in range(0, len(x), step))
    else:
        yield begin, x

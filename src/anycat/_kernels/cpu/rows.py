"""Rows of parameters as kernels want them: C-contiguous float32 or float64.

Other rows are converted block by block, each just before it is read, so that there is never a
second copy of the whole input.
"""

from __future__ import annotations

import copy
import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.grid import split

from .jit.widen import widen
from .sizes import FLOAT32, FLOAT64, TILE
from .threads import parallel_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Array = np.ndarray[Any, Any]

CONVERTED_ELEMENTS = 1 << 19  # elements that are converted at once
NS_PER_CONVERTED_ELEMENT = 1.0


class Rows:
    """The rows of an array, in blocks as kernels want them."""

    def __init__(self, params: Array, dtype: Any = None) -> None:
        self.params = params
        self.first = 0
        self.size: int = params.shape[-1]
        self.count = math.prod(params.shape[:-1])
        self.dtype = compute_dtype(params.dtype) if dtype is None else dtype
        self.is_zero_copy = is_zero_copy(params, self.dtype)

    def block(self, begin: int, end: int, workspace: Array | None = None) -> Array:
        """Return rows ``begin`` to ``end``, one after the other, in ``workspace`` if converted."""
        block = self._contiguous(self.first + begin, self.first + end)
        if not is_zero_copy(block, self.dtype):
            out = np.empty(block.size, self.dtype) if workspace is None else workspace[: block.size]
            for at in range(0, block.size, CONVERTED_ELEMENTS):  # an interrupt may come in between
                part = slice(at, at + CONVERTED_ELEMENTS)
                _convert(block[part], out[part])
            block = out
        return read_only(block)

    def _contiguous(self, begin: int, end: int) -> Array:
        if self.params.flags.c_contiguous:
            return self.params.reshape(-1)[begin * self.size : end * self.size]
        batch = self.params.shape[:-1]
        index = np.unravel_index(np.arange(begin, end), batch) if batch else ...
        return self.params[index].reshape(-1)

    def groups(self) -> Iterable[Rows]:
        """Return the rows in groups whose tile statistics are no larger than some rows."""
        if self.size <= TILE or self.count <= TILE:
            yield self
            return
        for begin, end in split(0, self.count, -(-self.count // TILE)):
            group = copy.copy(self)
            group.first, group.count = begin, end - begin
            yield group

    def each_block(self, task: Callable[[Array, int], None], cost: float, min_rows: int) -> None:
        """Call ``task(block, first row)`` for blocks of ``min_rows`` or more.

        ``cost`` is that of a row, in nanoseconds.
        """

        def part(begin: int, end: int) -> None:
            if self.is_zero_copy:
                task(self.block(begin, end), begin)
                return
            blocks = -(-(end - begin) * self.size // CONVERTED_ELEMENTS)
            blocks = max(1, min(blocks, (end - begin) // min_rows))
            workspace = None
            if self.params.dtype != self.dtype:
                workspace = np.empty(-(-(end - begin) // blocks) * self.size, self.dtype)
            for a, b in split(begin, end, blocks):
                task(self.block(a, b, workspace), a)

        if not self.is_zero_copy:
            cost += NS_PER_CONVERTED_ELEMENT * self.size
        parallel_for(part, self.count, cost * self.count, min_rows)


def read_only(view: Array) -> Array:
    """Make a view read-only, as kernels take their input.

    Numba compiles a function for read-only arrays, and for others once more.
    """
    view.flags.writeable = False
    return view


def is_zero_copy(x: Array, dtype: Any) -> bool:
    """Tell whether kernels can take an array as it is."""
    return x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned


@functools.cache
def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which kernels take numbers of a dtype."""
    narrow = dtype.itemsize <= 4 and dtype.kind == "f"
    return FLOAT32 if narrow or is_bfloat16(dtype) else FLOAT64


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is bfloat16: that of ml_dtypes, or its two bytes without a name."""
    return dtype.kind == "V" and dtype.itemsize == 2


def _convert(x: Array, out: Array) -> None:
    """Store numbers in ``out``, as kernels want them."""
    half = x.dtype.type is np.float16 and x.dtype.isnative
    if half or is_bfloat16(x.dtype):
        widen(read_only(np.require(x, None, ["C", "A"]).view(np.uint16)), half, out)
    else:
        out[...] = x

"""Launches of kernels, and their arguments in the form that CuPy passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .compile import kernel

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawGrid
    from anycat._kernels.keys import Key

    from .rows import RowType

    Array = Any

BLOCK_THREADS = 256  # of all kernels but `draw_short_rows`
WARP_SCRATCH_BYTES = 16 * BLOCK_THREADS // 32  # shared memory in which warps exchange values
GRID_STRUCT = np.dtype("V120")
_LOW_64 = (1 << 64) - 1


class Output(NamedTuple):
    """Where outcomes go."""

    array: Array
    itemsize: int
    """The bytes of an outcome. Outcomes without bytes are counted."""


def launch(
    name: str,
    blocks: tuple[int, ...],
    row_type: RowType,
    x: Array,
    rows: int,
    *args: Any,
    threads: int = BLOCK_THREADS,
    shared_bytes: int = WARP_SCRATCH_BYTES,
) -> None:
    """Queue a kernel on the current stream; all kernels begin with ``x``, K and the rows."""
    function = kernel(name, row_type.c_type, row_type.logits)
    sizes = np.uint64(row_type.size), np.uint64(rows)
    function(blocks, (threads,), (x, *sizes, *args), shared_mem=shared_bytes)


def grid_struct(grid: DrawGrid, key: Key) -> Array:
    """Return the struct ``DrawGrid`` of ``grid.cuh``: CuPy passes it by value."""
    words, *of_rows = key
    k0, k1, s0, s1 = map(int, words)
    pointers = (x.__cuda_array_interface__["data"][0] if x.size else 0 for x in of_rows)
    strides = *grid.counter_strides, *grid.out_strides
    ends = grid.runs, grid.draws, *pointers, of_rows[0].size
    fields = k0 | k1 << 32, s0 | s1 << 32, *strides, *ends
    return np.array([field & _LOW_64 for field in fields], np.uint64).view(GRID_STRUCT)

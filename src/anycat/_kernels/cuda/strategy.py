"""The kernels that draw from rows without a table, and the geometry of their launches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .launch import BLOCK_THREADS, WARP_SCRATCH_BYTES
from .tiles import reduce_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .rows import RowType

    Array = Any

SHORT_ROWS_THREADS = 128  # of a block, and rows that it takes
LANE_BYTES = 128  # of a row that a lane of `draw_rows` holds in registers


class Geometry(NamedTuple):
    """A number of blocks, the shared memory of each, and arguments that only one kernel takes."""

    blocks: int
    shared_bytes: int
    args: tuple[Any, ...] = ()


class Strategy(NamedTuple):
    """A way to draw from rows: a kernel and its launch."""

    kernel: str
    max_row_bytes: float
    """Of the weights of a row."""
    threads: int
    """Of a block."""
    bytes_in_progress: int
    """Of the rows that a multiprocessor works on at a time."""
    ns_per_draw: float
    """The time from one draw of a row to the next."""
    geometry: Callable[[RowType, Array, int], Geometry]

    def rows_in_progress(self, row_type: RowType) -> int:
        """Return how many rows the device works on at a time."""
        return row_type.multiprocessors * self.bytes_in_progress // row_type.row_bytes or 1


def select_strategy(row_type: RowType, strategies: Iterable[Strategy]) -> Strategy:
    """Return the first strategy for rows of a size."""
    return next(s for s in strategies if row_type.row_bytes <= s.max_row_bytes)


def _thread_per_row(row_type: RowType, x: Array, rows: int) -> Geometry:
    values = SHORT_ROWS_THREADS * row_type.size
    padded = values + values // 32  # to avoid bank conflicts
    return Geometry(-(-rows // SHORT_ROWS_THREADS), padded * row_type.weight_bytes)


def lanes_per_row(row_type: RowType, x: Array, rows: int) -> Geometry:
    """Return the geometry for a group of lanes for each row; a kernel takes their number."""
    lanes = 1 << (-(-row_type.row_bytes // LANE_BYTES) - 1).bit_length()
    return Geometry(-(-rows * lanes // BLOCK_THREADS), WARP_SCRATCH_BYTES, (np.uint32(lanes),))


def _block_per_row(row_type: RowType, x: Array, rows: int) -> Geometry:
    return Geometry(rows, WARP_SCRATCH_BYTES, reduce_tiles(row_type, x, rows))


STRATEGIES = (
    Strategy("draw_short_rows", 128, SHORT_ROWS_THREADS, 1 << 16, 3000.0, _thread_per_row),
    Strategy("draw_rows", 32 * LANE_BYTES, BLOCK_THREADS, 1 << 16, 200.0, lanes_per_row),
    Strategy("draw_long_rows", math.inf, BLOCK_THREADS, 3 << 14, 3000.0, _block_per_row),
)

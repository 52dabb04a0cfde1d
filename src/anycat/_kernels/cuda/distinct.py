"""`sample_distinct`: draws without replacement."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.grid import DrawGrid
from anycat._progress import ignore

from .diagnose import array_module
from .draw import draw_directly
from .launch import BLOCK_THREADS, WARP_SCRATCH_BYTES, Output
from .rows import RowType
from .strategy import LANE_BYTES, Geometry, Strategy, lanes_per_row, select_strategy
from .tiles import reduce_tiles

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawRange
    from anycat._kernels.keys import Key
    from anycat._progress import Done

    Array = Any

PACK = 8  # categories whose removal a byte tells


def sample_distinct(
    params: Array,
    logits: bool,
    key: Key,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Draw from each row without replacement: see the docstring of `anycat._kernels`.

    All draws are reported as done once their kernels are launched.
    """
    with params.device:
        row_type = RowType.of(params, logits)
        # One of the two axes has one element: that of runs.
        grid = DrawGrid.of(draws, samples_inside=draws.samples > draws.repeats)
        strategy = select_strategy(row_type, STRATEGIES)
        output = Output(out.reshape(-1), out.itemsize)
        draw_directly(row_type, params, strategy, grid, key, output)
    done(out.size)


def _block_per_row(row_type: RowType, x: Array, rows: int) -> Geometry:
    module = array_module()
    workspace, reduced = reduce_tiles(row_type, x, rows)
    sums = module.empty(rows * row_type.tiles, np.uint64)
    removed = module.zeros(rows * -(-row_type.size // PACK), np.uint8)
    return Geometry(rows, WARP_SCRATCH_BYTES, (workspace, reduced, sums, removed))


# Draws of a row always follow each other, so that nothing is chosen by cost.
STRATEGIES = (
    Strategy("draw_distinct_rows", 32 * LANE_BYTES, BLOCK_THREADS, 1 << 16, 0.0, lanes_per_row),
    Strategy("draw_distinct_long_rows", math.inf, BLOCK_THREADS, 3 << 14, 0.0, _block_per_row),
)

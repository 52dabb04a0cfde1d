"""The grid of draws as compiled kernels take it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.grid import DrawGrid

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawRange

    Array = np.ndarray[Any, Any]


@functools.lru_cache
def grid_of(draws: DrawRange) -> DrawGrid:
    """Return the grid of a range, the longer axis inside."""
    return DrawGrid.of(draws, samples_inside=draws.repeats == 1)


@functools.lru_cache
def grid_args(grid: DrawGrid) -> tuple[Array, Array, np.uint64, np.uint64]:
    """Return the arguments of kernels that describe a grid; strides are modulo 2**64."""
    counter_strides, out_strides = (
        np.array([stride % 2**64 for stride in strides], np.uint64)
        for strides in (grid.counter_strides, grid.out_strides)
    )
    return counter_strides, out_strides, np.uint64(grid.runs), np.uint64(grid.draws)

"""Counts of draws, of which only so many are in memory at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.grid import DrawRange
from anycat._progress import ignore

from .draw import sample
from .rows import Rows

if TYPE_CHECKING:
    from anycat._progress import Done

    Array = np.ndarray[Any, Any]

DRAWS_AT_ONCE = 1 << 16


def sample_counts(
    params: Array,
    logits: bool,
    key: Array,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Count the draws of each row: see the docstring of `anycat._kernels`."""
    rows, n = Rows(params), draws.samples * draws.repeats
    stride = 1 if draws.samples == 1 else draws.sample_stride
    out[...] = 0
    for r in range(rows.count):
        row, kept = rows.block(r, r + 1)[None], cache if rows.count == 1 else {}
        for begin in range(0, n, DRAWS_AT_ONCE):
            count = min(DRAWS_AT_ONCE, n - begin)
            first = draws.first + r * draws.row_stride + begin * stride
            found = np.empty(count, np.int64)
            part = DrawRange(count, 1, 1, first, stride, 0)
            sample(row, logits, key, part, found, kept, done)
            if found[0] < 0:
                out[r] = -1
                break
            out[r] += np.bincount(found, minlength=rows.size)

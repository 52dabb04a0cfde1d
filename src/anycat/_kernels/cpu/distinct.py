"""Draws without replacement: one after the other, each from what is left of the row."""

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


def sample_distinct(
    params: Array,
    logits: bool,
    key: Array,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Draw from each row without replacement: see the docstring of `anycat._kernels`."""
    rows, removed = Rows(params), -np.inf if logits else 0.0
    left = rows.block(0, rows.count).reshape(-1, rows.size).copy()
    stride = draws.sample_stride if draws.repeats == 1 else 1
    for i in range(draws.samples * draws.repeats):
        found = np.empty(rows.count, np.int64)
        first = draws.first + i * stride
        sample(
            left, logits, key, DrawRange(1, rows.count, 1, first, 0, draws.row_stride), found, {}
        )
        drawn = np.flatnonzero(found >= 0)
        left[drawn, found[drawn]] = removed
        out[(i, slice(None), 0) if draws.repeats == 1 else (0, slice(None), i)] = found
        done(rows.count)

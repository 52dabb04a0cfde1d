"""Checks and values of rows, each in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .costs import NS_PER_ELEMENT_CHECKED, NS_PER_GATHER
from .jit import stats as kernels
from .jit.tiles import split_exponentials
from .rows import Rows, is_zero_copy
from .sizes import FLOAT32, FLOAT64, LANES, TILE
from .threads import parallel_for
from .tiles import tile_stats

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

# Categories up to which LANES rows are taken together.
SHORT_ROW_STATS_MAX_K = {FLOAT32: 112, FLOAT64: 36}


def rows_valid(params: Array, logits: bool, cache: dict[str, Any]) -> bool:
    """Tell whether all rows are certainly valid.

    For long rows that is found from their tile statistics, except for logits of float64: to
    normalize them takes another pass anyway.
    """
    rows = Rows(params)
    if rows.size > TILE and rows.count <= TILE and (rows.dtype == FLOAT32 or not logits):
        return _long_rows_valid(rows, logits, cache)
    found = []

    def check(x: Array, row: int) -> None:
        suspect = kernels.first_suspect_row(x, np.uint64(rows.size), logits)
        found.append(suspect == x.size // rows.size)

    rows.each_block(check, NS_PER_ELEMENT_CHECKED * rows.size, 1)
    return all(found)


def _long_rows_valid(rows: Rows, logits: bool, cache: dict[str, Any]) -> bool:
    stats = tile_stats(rows, logits, cache)
    terms = 1 if logits else 2 * rows.size  # so that no sum is infinite
    limit = np.finfo(rows.dtype).max / terms
    return bool((stats.tile_offset[:, -1] > 0).all() and (stats.tile_max[:, -1] <= limit).all())


def normalizer(params: Array, logits: bool, cache: dict[str, Any]) -> tuple[Array, ...]:
    """Return what normalizes each row, as a `Form` has it, if tile statistics give it; else ().

    They do for long rows in float32: in float64 it would not be precise enough.
    """
    rows = Rows(params)
    if rows.size <= TILE or rows.dtype != FLOAT32:
        return ()
    stats = [tile_stats(group, logits, cache if group is rows else {}) for group in rows.groups()]
    maxima, units, totals = (
        np.concatenate([x[:, -1] for x in xs]) for xs in zip(*stats, strict=True)
    )
    sums, units = np.where(totals > 0, totals, np.nan), units.astype(np.intc)
    if not logits:
        results: tuple[Array, ...] = (np.ldexp(sums, units),)
    else:
        powers, fractions = np.empty_like(units), np.empty_like(maxima)
        split_exponentials(maxima.astype(FLOAT32), fractions, powers)
        sums = np.ldexp(sums / fractions, units - powers)
        results = maxima, sums, np.log(sums)
    results = tuple(x.astype(FLOAT32).reshape(*params.shape[:-1], 1) for x in results)
    return () if np.isinf(results[-1]).any() else results  # a sum may be rounded to infinity


def row_stats(params: Array, logits: bool) -> tuple[Array, Array, Array, Array]:
    """Return of each row the maximum, the sum of its shares, the log of that, and the entropy.

    Shares are probabilities relative to the largest. Each result has the shape of ``params``, but
    with one category; NaN for invalid rows.
    """
    rows = Rows(params)
    results = tuple(np.empty(rows.count, rows.dtype) for _ in range(4))
    short = rows.size <= SHORT_ROW_STATS_MAX_K[rows.dtype] and rows.count >= LANES
    kernel = kernels.short_row_stats if short else kernels.row_stats

    def compute(x: Array, row: int) -> None:
        part = (result[row : row + x.size // rows.size] for result in results)
        kernel(x, np.uint64(rows.size), logits, *part)

    rows.each_block(compute, 10 + rows.size, LANES if short else 1)
    maxima, totals, logs, entropies = (x.reshape(*params.shape[:-1], 1) for x in results)
    return maxima, totals, logs, entropies


def gather(params: Array, values: Array) -> Array | None:
    """Return the rows' entries at values, whose shape ends with that of the batch.

    Returns None if they have another shape, or other values than categories.
    """
    rows, batch = Rows(params), params.shape[:-1]
    zero_copy = rows.is_zero_copy and is_zero_copy(values, np.int64)
    if not (zero_copy and values.shape[values.ndim - len(batch) :] == batch):
        return None
    flat, out, good = values.reshape(-1), np.empty(values.shape, params.dtype), []
    flat.flags.writeable = False
    x, entries = rows.block(0, rows.count), out.reshape(-1)

    def look_up(begin: int, end: int) -> None:
        part = np.uint64(begin), np.uint64(end)
        good.append(kernels.gather(x, np.uint64(rows.size), flat, *part, entries))

    parallel_for(look_up, flat.size, NS_PER_GATHER * flat.size)
    return out if all(good) else None

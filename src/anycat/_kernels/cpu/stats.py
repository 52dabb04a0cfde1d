"""Checks and values of the rows of a distribution; its cache keeps their statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import values
from .cache import kept
from .costs import NS_PER_ELEMENT_CHECKED
from .jit.check import first_suspect_row
from .jit.tiles import split_exponentials
from .rows import Rows, compute_dtype
from .sizes import FLOAT32, TILE
from .tiles import tile_stats

if TYPE_CHECKING:
    from .values import Normalizer, RowStats

    Array = np.ndarray[Any, Any]
    Cache = dict[str, Any]


def rows_valid(params: Array, logits: bool, cache: Cache) -> bool:
    """Tell whether all rows are certainly valid.

    For long rows that is found from their tile statistics, except for logits of float64: to
    normalize them takes another pass anyway.
    """
    rows = Rows(params)
    if rows.size > TILE and rows.count <= TILE and (rows.dtype == FLOAT32 or not logits):
        return _long_rows_valid(rows, logits, cache)
    found = []

    def check(x: Array, row: int) -> None:
        suspect = first_suspect_row(x, rows.size, logits)
        found.append(suspect * rows.size == x.size)

    rows.each_block(check, NS_PER_ELEMENT_CHECKED * rows.size, 1)
    return all(found)


def _long_rows_valid(rows: Rows, logits: bool, cache: Cache) -> bool:
    stats = tile_stats(rows, logits, cache)
    terms = 1 if logits else 2 * rows.size  # so that no sum is infinite
    limit = np.finfo(rows.dtype).max / terms
    return bool((stats.tile_offset[:, -1] > 0).all() and (stats.tile_max[:, -1] <= limit).all())


def row_stats(params: Array, logits: bool, cache: Cache) -> RowStats:
    """Return the statistics of rows."""
    if (found := cache.get("row stats")) is None:
        found = cache["row stats"] = values.fill_row_stats(params, logits)
    return values.RowStats.of(found)


def entropy(params: Array, logits: bool, cache: Cache) -> Array:
    """Return the entropy of each row."""
    found = row_stats(params, logits, cache).entropy.astype(compute_dtype(params.dtype))
    return found.reshape(params.shape[:-1])


def look_up(
    params: Array, logits: bool, cache: Cache, index: Array, log: bool, eps: float | None
) -> Array | None:
    """Return the probabilities at indices, or their logarithms: see `values.lookup`."""
    normalizer = _normalizer(params, logits, cache)
    return values.lookup(params, logits, normalizer, index, log=log, eps=eps)


def normalized(params: Array, logits: bool, cache: Cache, log: bool, eps: float | None) -> Array:
    """Return all probabilities, or their logarithms."""
    return values.every(params, logits, _normalizer(params, logits, cache), log=log, eps=eps)


def cumulative(params: Array, logits: bool, cache: Cache) -> Array:
    """Return the cumulative probabilities of each row."""
    return values.cumulative(params, logits, _normalizer(params, logits, cache))


def mode(params: Array, logits: bool, cache: Cache) -> Array:
    """Return the first most probable category of each row, -1 if it is invalid."""
    return values.mode(params, logits).reshape(params.shape[:-1])


def _normalizer(params: Array, logits: bool, cache: Cache) -> Normalizer:
    """Return what normalizes each row.

    Tile statistics give it for long rows in float32: in float64 they would not be precise enough.
    """
    if params.shape[-1] > TILE and compute_dtype(params.dtype) == FLOAT32:
        rows = Rows(params)
        found = kept(cache, "normalizer", lambda: _from_tile_stats(rows, logits, cache))
        if found:
            return found
    return row_stats(params, logits, cache)[:3]


def _from_tile_stats(rows: Rows, logits: bool, cache: Cache) -> Normalizer | tuple[()]:
    """Return what normalizes rows in float32; nothing if a sum would be rounded to infinity."""
    stats = [tile_stats(group, logits, cache if group is rows else {}) for group in rows.groups()]
    maxima, units, totals = (
        np.concatenate([x[:, -1] for x in xs]) for xs in zip(*stats, strict=True)
    )
    sums, units = np.where(totals > 0, totals, np.nan), units.astype(np.intc)
    if logits:
        powers, fractions = np.empty_like(units), np.empty_like(maxima)
        split_exponentials(maxima.astype(FLOAT32), fractions, powers)
        sums = np.ldexp(sums / fractions, units - powers)
    else:
        sums = np.ldexp(sums, units)
    if (sums > np.finfo(FLOAT32).max).any():
        return ()
    return maxima, sums, np.log(sums)

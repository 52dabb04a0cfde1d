"""The fast path of small batches: compiled calls on one thread, and little Python around them.

Where `draw` chooses a strategy, cuts rows into blocks and allocates what kernels write into, these
functions call a kernel. They take the numbers of the rows as kernels do, the number of categories,
and the cache of the distribution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels import SMALL_MAX_DRAWS, SMALL_MAX_DRAWS_OF_LONG_ROWS, SMALL_MAX_SIZE
from anycat._kernels.float_env import is_default_float_env

from .cache import kept
from .jit.check import first_suspect_row_small
from .jit.lookup import look_up_small
from .jit.small import WORDS_ARE_THERE, draw_small, fill_words_by_keys, fill_words_by_seeds
from .jit.small_long import compute_tile_stats, draw_long_small
from .jit.values import row_stats_small, short_row_stats_small
from .sizes import TILE
from .tiles import TileStats
from .values import are_short, bounds

if TYPE_CHECKING:
    from anycat._random import RNG, RowSeeds

    Array = np.ndarray[Any, Any]
    Cache = dict[str, Any]

_NO_STATS: tuple[np.ndarray[Any, Any], ...] = ()
_INT64 = np.dtype(np.int64)
_WORKSPACE_SIZE = TILE + SMALL_MAX_DRAWS + 4  # for a cdf, random words and a key
# Kernels that draw keep the GIL: to get it back from a busy thread takes longer than they do. So
# one workspace serves all threads.
_workspace = np.empty(_WORKSPACE_SIZE, np.uint64)


def rows_valid(x: Array, size: int, logits: bool, cache: Cache) -> bool:
    """Tell whether all rows are certainly valid.

    As a draw needs the tile statistics of long rows, they are computed at once.
    """
    if size > TILE and is_default_float_env():
        stats = cache["tile stats"] = TileStats.empty(x.size // size, size)
        return _compute_tile_stats(x, size, logits, stats)
    suspect: int = first_suspect_row_small(x, size, logits)
    return suspect * size == x.size


def _compute_tile_stats(x: Array, size: int, logits: bool, stats: TileStats) -> bool:
    """Fill the statistics; return whether all rows are certainly valid."""
    weights = np.empty(TILE, x.dtype)
    rows = x.size // size
    return compute_tile_stats(x, size, logits, weights, *stats.part(0, rows))  # type: ignore[no-any-return]


def _tile_stats(x: Array, size: int, logits: bool) -> TileStats:
    stats = TileStats.empty(x.size // size, size)
    _compute_tile_stats(x, size, logits, stats)
    return stats


def draw(
    x: Array | None,
    size: int,
    logits: bool,
    cache: Cache,
    shape: tuple[int, ...],
    reader: Any,
    rng: RNG,
    seeds: RowSeeds | None = None,
) -> Array | None:
    """Draw an output of the given shape, which ends with that of the batch, if all is small.

    ``reader`` is the backend that reads ``rng``, in whose place there may be seeds of rows.
    """
    most = SMALL_MAX_DRAWS if size <= TILE else SMALL_MAX_DRAWS_OF_LONG_ROWS
    if x is None or math.prod(shape) > most or not is_default_float_env():
        return None
    source = None if seeds else reader.random_source(rng)
    if not source and (seeds.is_traced if seeds else reader.is_traced(rng)):
        return None
    kernel, stats = draw_small, _NO_STATS
    if size > TILE:
        known = kept(cache, "tile stats", lambda: _tile_stats(x, size, logits))
        kernel, stats = draw_long_small, known.part(0, x.size // size)
    try:
        out = np.empty(shape, _INT64)
    except ValueError:  # too many axes, or one that is too long beside an empty one
        return None
    flat = out if out.ndim == 1 else out.reshape(-1)
    if source:
        lock, function, state = source
        with lock:
            kernel(x, size, logits, function, state, _workspace, flat, *stats)
    else:
        workspace, function = np.empty(_WORKSPACE_SIZE, np.uint64), 0
        if seeds:
            fill_words_by_seeds(workspace, flat.size, seeds.key(np))
            function = WORDS_ARE_THERE
        else:
            workspace[-4:] = reader.random_key(rng)
        kernel(x, size, logits, function, 0, workspace, flat, *stats)
    return out


def draw_each(x: Array, logits: bool, samples: int, keys: Array) -> Array | None:
    """Draw from each element of ``x``, of shape (elements, rows, K), if elements are small.

    ``keys`` are the four words of each element. The result has shape (elements, samples, rows).
    """
    (elements, rows, size), draws = x.shape, samples * x.shape[1]
    if x.dtype.char not in "fd" or size > TILE or not draws or not is_default_float_env():
        return None
    step = min(SMALL_MAX_SIZE // (rows * size), SMALL_MAX_DRAWS // draws)
    if not step:
        return None
    out = np.empty((elements, samples, rows), np.int64)
    workspace = np.empty(_WORKSPACE_SIZE, np.uint64)
    for begin in range(0, elements, step):
        part = slice(begin, begin + step)
        numbers, words = np.array(x[part], order="C"), keys[part].astype(np.uint64, "C")
        found = np.empty(len(words) * draws, np.int64)
        fill_words_by_keys(workspace, words, np.uint64(samples), np.uint64(rows))
        draw_small(numbers.reshape(-1), size, logits, WORDS_ARE_THERE, 0, workspace, found)
        out[part] = found.reshape(samples, len(words), rows).swapaxes(0, 1)
    return out


def log_prob(
    x: Array, size: int, logits: bool, cache: Cache, values: Array, eps: float | None
) -> Array | None:
    """Return the log-probabilities of values, whose shape ends with that of the batch.

    Returns None if any is no category, or if rows are long.
    """
    if size > TILE or not is_default_float_env():
        return None
    stats, out = row_stats(x, size, logits, cache), np.empty(values.shape, x.dtype)
    index = values.ravel()
    index = index if index.flags.carray else index.copy()
    low, high = bounds(eps)
    good = look_up_small(x, size, logits, stats, low, high, index, out.reshape(-1))
    return out if good else None


def entropy(x: Array, size: int, logits: bool, cache: Cache) -> Array | None:
    """Return the entropy of each row, unless they are long."""
    if size > TILE or not is_default_float_env():
        return None
    return row_stats(x, size, logits, cache)[-(x.size // size) :].astype(x.dtype)


def row_stats(x: Array, size: int, logits: bool, cache: Cache) -> Array:
    """Return the statistics of rows: see `values.fill_row_stats`."""
    stats: Array | None = cache.get("row stats")
    if stats is None:
        n = x.size // size
        kernel = short_row_stats_small if are_short(size, n, x.dtype) else row_stats_small
        stats = np.empty(4 * n)
        kernel(x, size, logits, 0, n, stats)
        cache["row stats"] = stats  # now that it is complete: other threads may look for it
    return stats

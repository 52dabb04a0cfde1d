"""Single draws, for functions that users compile: `anycat.numba`.

Rows may have any layout, and change from draw to draw. So each is read for one draw alone, and of
its weights, only those of a block are kept, on the stack.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bits import borrowed, ceil_log2, multiply_high, on_stack
from .cdf import fill_row_cdf
from .constants import BLOCK, CHUNK, FRACTION_BITS, LOW, ONE, THREE, TILE, TWO, ZERO
from .entry import entry, inner
from .guide import fill_guide
from .philox import KEY_WORDS, philox
from .search import search_tiles
from .small_long import compute_tile_stats
from .table import first_beyond
from .tiles import tile_count
from .weights import (
    fill_weights,
    integer_scale,
    integer_weight,
    logit_offset,
    prescale,
    sum_weights,
    valid_max,
)

MIN_GUIDE_ENTRIES = np.uint64(64)


class Table(NamedTuple):
    """A row prepared for many draws."""

    cdf: NDArray[np.uint64]
    guide: NDArray[np.uint64]


@entry
def random_word(key, index):
    """Return the random word of a draw index."""
    if key.size != KEY_WORDS:
        raise ValueError("key must be what anycat.numba.key returns: 4 words")
    even, odd = philox(index >> ONE, key[ZERO], key[ONE], key[TWO], key[THREE])
    return odd if index & ONE else even


@entry
def draw_from_row(x, logits, word):
    """Return the category that a random word draws from a row; -1 if the row is invalid."""
    size = np.uint64(x.size)
    if size > TILE:
        return _draw_from_long_row(np.ascontiguousarray(x), size, logits, word)
    top = valid_max(x, ZERO, size, logits) if size else np.nan
    if not top > (-np.inf if logits else 0.0):
        return -1
    offset, weights, sums = logit_offset(top, logits), on_stack(x[ZERO], 64), on_stack(ZERO, 64)
    scale = 2.0**FRACTION_BITS if logits else integer_scale(top * prescale(top))
    are_weights = not logits and prescale(top) == 1.0
    last, total = (size - ONE) // BLOCK, ZERO
    for block in range(last + ONE):
        begin = block * BLOCK
        end = min(begin + BLOCK, size)
        if are_weights:
            total += sum_weights(x, begin, end, scale)
        else:
            fill_weights(x, begin, end, logits, top, offset, weights)
            total += sum_weights(weights, ZERO, end - begin, scale)
        sums[block] = total
    target, block = multiply_high(word, total), ZERO
    while block < last and sums[block] <= target:
        block += ONE
    begin = block * BLOCK
    end = min(begin + BLOCK, size)
    if are_weights or block < last:
        fill_weights(x, begin, end, logits, top, offset, weights)
    running, category = sums[block - ONE] if block else ZERO, begin
    for k in range(end - begin - ONE):  # without branches to mispredict
        running += integer_weight(weights[k], scale)
        category += np.uint64(running <= target)
    return np.int64(category)


@inner
def _stats_of_row(x, size, logits):
    """Return the tile statistics of a row, or none if it is short."""
    entries = tile_count(size) + ONE if size > TILE else ZERO
    tile_max, tile_shift = np.zeros(entries), np.empty(entries, np.int64)
    tile_offset = np.empty(entries, np.uint64)
    if entries:
        weights = np.empty(TILE, x.dtype)
        compute_tile_stats(x, size, logits, weights, tile_max, tile_shift, tile_offset)
    return tile_max, tile_shift, tile_offset


@inner
def _draw_from_long_row(x, size, logits, word):
    """Draw from a row of more than one tile."""
    tile_max, tile_shift, tile_offset = _stats_of_row(x, size, logits)
    total = tile_offset[tile_count(size)]
    if total == ZERO:
        return -1
    weights, block_sums = np.empty(CHUNK, x.dtype), np.empty(CHUNK // BLOCK, np.uint64)
    found = search_tiles(
        x, ZERO, size, logits, weights, block_sums, tile_max, tile_shift, tile_offset, ZERO,
        multiply_high(word, total),
    )  # fmt: skip
    return np.int64(found)


@entry
def prepare_row(x, logits):
    """Return the table of a contiguous row."""
    size = np.uint64(x.size)
    if size > LOW:
        raise ValueError("a table holds fewer than 2**32 categories")
    entries = max(size // TWO, MIN_GUIDE_ENTRIES)
    cdf = np.zeros(max(size, ONE), np.uint64)
    guide = np.empty(ONE << np.uint64(ceil_log2(entries)), np.uint64)
    if size:
        tile_max, tile_shift, tile_offset = _stats_of_row(x, size, logits)
        weights = np.empty(min(size, TILE), x.dtype)
        fill_row_cdf(
            x, ZERO, size, logits, ZERO, tile_count(size), weights,
            tile_max, tile_shift, tile_offset, ZERO, cdf,
        )  # fmt: skip
    if cdf[np.uint64(cdf.size) - ONE]:
        fill_guide(cdf, guide, ZERO, np.uint64(guide.size))
    else:  # the row is invalid
        guide[:] = ZERO
    return Table(cdf, guide)


@entry
def draw_from_table(cdf, guide, word):
    """Return the category that a random word draws from a prepared row."""
    total = cdf[np.uint64(cdf.size) - ONE]
    if total == ZERO:
        return -1
    unused = np.uint64(64 - ceil_log2(np.uint64(guide.size)))
    k = guide[word >> unused] & LOW
    return np.int64(first_beyond(cdf, k, multiply_high(word, total)))


# --- what is compiled in place of the functions of `anycat.numba` --------------------------------


def draw(probs, key, i):
    return draw_from_row(borrowed(probs), False, random_word(borrowed(key), np.uint64(i)))


def draw_logits(logits, key, i):
    return draw_from_row(borrowed(logits), True, random_word(borrowed(key), np.uint64(i)))


def prepare(probs):
    return prepare_row(np.ascontiguousarray(borrowed(probs)), False)


def prepare_logits(logits):
    return prepare_row(np.ascontiguousarray(borrowed(logits)), True)


def draw_prepared(table, key, i):
    word = random_word(borrowed(key), np.uint64(i))
    return draw_from_table(borrowed(table.cdf), borrowed(table.guide), word)

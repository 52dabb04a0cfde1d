"""What is known of the tiles of long rows: maxima, exponents and sums."""

import numpy as np

from .bits import bit_length, ceil_log2
from .constants import FRACTION_BITS, ONE, TILE, ZERO
from .entry import entry, inner
from .exponential import exp_parts
from .weights import (
    fill_weights,
    floor_log2,
    integer_scale,
    logit_offset,
    prescale,
    sum_weights,
    valid_max,
)


@inner
def tile_count(size):
    """Return the number of tiles of a row."""
    return (size + TILE - ONE) // TILE


@entry
def reduce_tiles(x, size, logits, begin, end, weights, tile_max, tile_shift, tile_offset):
    """Reduce each of tiles ``begin`` to ``end``, counted over all rows, to three numbers.

    For each row, the arrays have one entry for each tile and one for the row: ``tile_max`` holds
    the maxima, ``tile_shift`` the exponents E_j, ``tile_offset`` the sums S_j. The row's entry of
    ``tile_max`` is taken to be its maximum.
    """
    tiles = tile_count(size)
    for t in range(begin, end):
        r, j = t // tiles, t % tiles
        first, base = r * size, r * (tiles + ONE)
        low, high = first + j * TILE, first + min(j * TILE + TILE, size)
        tile_max[base + j] = top = valid_max(x, low, high, logits)
        if not logits and top > 0 and prescale(top) == 1.0:  # the values are the weights
            tile_shift[base + j], scale = floor_log2(top), integer_scale(top)
            tile_offset[base + j] = sum_weights(x, low, high, scale)
        else:
            offset = logit_offset(tile_max[base + tiles], logits)
            tile_shift[base + j], scale = fill_weights(x, low, high, logits, top, offset, weights)
            tile_offset[base + j] = sum_weights(weights, ZERO, high - low, scale) if scale else ZERO


@entry
def scan_tiles(size, logits, tile_max, tile_shift, tile_offset):
    """Scan the reduced tiles of each row; return whether the maxima of the rows were right.

    If not, they are now, and the tiles must be reduced again. ``tile_shift[j]`` becomes s_j, and
    the row's entry the exponent of the unit; ``tile_offset[j]`` becomes the sum of the tiles before
    j, and the row's entry T, or 0 where nothing can be drawn.
    """
    tiles = tile_count(size)
    right = True
    for begin in range(ZERO, np.uint64(tile_max.size), tiles + ONE):
        end = begin + tiles
        top, exponent = tile_max[begin], tile_shift[begin]
        for t in range(begin, end):
            if not tile_max[t] <= top:
                top = tile_max[t] if top == top else np.nan
            exponent = max(exponent, tile_shift[t])
        right = right and logit_offset(top, logits) == logit_offset(tile_max[end], logits)
        tile_max[end] = top
        headroom = ceil_log2(tiles)
        bound = tiles
        for t in range(begin, end):
            bound += tile_offset[t] >> np.uint64(min(exponent - tile_shift[t] + headroom, 63))
        headroom -= min(headroom, max(0, 62 - bit_length(bound)))
        total = ZERO
        for t in range(begin, end):
            tile_shift[t] = min(exponent - tile_shift[t] + headroom, 63)
            part = tile_offset[t] >> np.uint64(tile_shift[t]) if top == top else ZERO
            tile_offset[t], total = total, total + part
        tile_shift[end], tile_offset[end] = exponent + headroom - FRACTION_BITS, total
    return right


@entry
def split_exponentials(maxima, fractions, powers):
    """Split the weights of the largest logits of rows into g and n, of g * 2**n."""
    for r in range(np.uint64(maxima.size)):
        top = maxima[r]
        offset = maxima.dtype.type(logit_offset(np.float64(top), True))
        fractions[r], powers[r] = exp_parts(top - offset)

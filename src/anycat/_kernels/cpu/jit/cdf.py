"""The integer cdf of a row: the running sums of its integer weights."""

import numpy as np

from .constants import BEYOND_CDF, TILE, ZERO
from .entry import entry, inner
from .tiles import tile_count
from .weights import fill_weights, integer_weight, logit_offset, valid_max


@entry
def fill_cdf(x, logits, begin, end, weights, tile_max, tile_shift, tile_offset, cdf):
    """Fill the cdf of a row for its tiles ``begin`` to ``end``."""
    size = np.uint64(x.size)
    fill_row_cdf(
        x, ZERO, size, logits, begin, end, weights, tile_max, tile_shift, tile_offset, ZERO, cdf
    )


@inner
def fill_row_cdf(
    x, begin, size, logits, first, last, weights, tile_max, tile_shift, tile_offset, base, cdf
):
    """Fill the cdf of a row for its tiles ``first`` to ``last``; zeros in an invalid row.

    A row of one tile needs no tile statistics.
    """
    if size <= TILE:
        top = valid_max(x, begin, begin + size, logits)
        offset = logit_offset(top, logits)
        _fill_tile_cdf(x, begin, size, logits, top, offset, weights, ZERO, ZERO, cdf, ZERO)
        return
    row = base + tile_count(size)
    offset = logit_offset(tile_max[row], logits)
    for j in range(first, last):
        k, start, right = j * TILE, tile_offset[base + j], np.uint64(tile_shift[base + j])
        n, top = min(TILE, size - k), tile_max[base + j]
        if tile_offset[row] == ZERO:  # its tiles may have weights, which nothing is drawn from
            top = np.nan
        _fill_tile_cdf(x, begin + k, n, logits, top, offset, weights, start, right, cdf, k)


@inner
def _fill_tile_cdf(x, begin, n, logits, top, offset, weights, start, right, cdf, at):
    """Fill the cdf of a tile, from its entry ``at`` on."""
    _, scale = fill_weights(x, begin, begin + n, logits, top, offset, weights)
    running = ZERO
    for k in range(n):  # a loop of its own, which is vectorized
        cdf[at + k] = integer_weight(weights[k], scale) if scale else ZERO
    for k in range(at, at + n):
        running += cdf[k]
        cdf[k] = (start + (running >> right)) & BEYOND_CDF  # less, unless it has changed

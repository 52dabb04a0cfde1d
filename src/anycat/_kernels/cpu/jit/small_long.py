"""A few long rows in two calls: one for their tile statistics, one that draws."""

import numpy as np

from .bits import largest_finite, multiply_high
from .constants import BLOCK, CHUNK, ONE, TILE, ZERO
from .entry import entry
from .search import search_tiles
from .small import fill_words
from .tiles import reduce_tiles, scan_tiles, tile_count


@entry
def compute_tile_stats(x, size, logits, weights, tile_max, tile_shift, tile_offset):
    """Compute the tile statistics of rows; return whether all rows are certainly valid.

    The maxima of rows must have been set to zero.
    """
    size = np.uint64(size)
    rows, tiles = np.uint64(x.size) // size, tile_count(size)
    stats = tile_max, tile_shift, tile_offset
    reduce_tiles(x, size, logits, ZERO, rows * tiles, weights, *stats)
    if not scan_tiles(size, logits, *stats):
        reduce_tiles(x, size, logits, ZERO, rows * tiles, weights, *stats)
        scan_tiles(size, logits, *stats)
    # A sum may be infinite if the maximum is larger than this.
    limit, valid = np.float64(largest_finite(x[ZERO])), True
    if not logits:
        limit /= np.float64(2 * size)
    for r in range(rows):
        of_row = r * (tiles + ONE) + tiles
        valid &= tile_offset[of_row] > ZERO and tile_max[of_row] <= limit
    return valid


@entry(nogil=False)
def draw_long_small(
    x, size, logits, function, state, workspace, out, tile_max, tile_shift, tile_offset
):
    """Draw from each row until ``out`` is full, as `draw_small` does."""
    fill_words(function, state, workspace, np.uint64(out.size))
    size = np.uint64(size)
    rows, tiles = np.uint64(x.size) // size, tile_count(size)
    weights, block_sums = np.empty(CHUNK, x.dtype), np.empty(CHUNK // BLOCK, np.uint64)
    for index in range(np.uint64(out.size)):
        r = index % rows
        base, category = r * (tiles + ONE), np.int64(-1)
        total = tile_offset[base + tiles]
        if total:
            found = search_tiles(
                x, r * size, r * size + size, logits, weights, block_sums,
                tile_max, tile_shift, tile_offset, base,
                multiply_high(workspace[TILE + index], total),
            )  # fmt: skip
            category = np.int64(found)
        out[index] = category

"""Searches for the category whose integers contain a target: in a tile, a row or its cdf."""

import numpy as np

from .constants import BLOCK, CHUNK, ONE, TILE, ZERO
from .entry import inner
from .tiles import tile_count
from .weights import fill_weights, integer_weight, logit_offset, sum_blocks


@inner
def search_tile(weights, scale, block_sums, target):
    """Return the first category of a tile whose running sum exceeds ``target``."""
    block = ZERO
    running = ZERO
    while block_sums[block] <= target:
        running = block_sums[block]
        block += ONE
    k = block * BLOCK
    while True:
        running += integer_weight(weights[k], scale)
        if running > target:
            return k
        k += ONE


@inner
def search_tiles(
    x, begin, end, logits, weights, block_sums, tile_max, tile_shift, tile_offset, base, target
):
    """Return the category of a row with tile statistics whose integers contain ``target``.

    The row's entries in the tile statistics begin at ``base``.
    """
    tiles = tile_count(end - begin)
    j, after = ZERO, tiles
    while after - j > ONE:
        middle = (j + after) >> ONE
        if tile_offset[base + middle] <= target:
            j = middle
        else:
            after = middle
    low = begin + j * TILE
    high = min(low + TILE, end)
    offset = logit_offset(tile_max[base + tiles], logits)
    within = ((target - tile_offset[base + j] + ONE) << np.uint64(tile_shift[base + j])) - ONE
    for k in range(low, high, CHUNK):  # of which half need not be read, on average
        n = min(CHUNK, high - k)
        _, scale = fill_weights(x, k, k + n, logits, tile_max[base + j], offset, weights)
        total = sum_blocks(weights, n, scale, block_sums) if scale else ZERO
        if within < total:
            return k - begin + search_tile(weights, scale, block_sums, within)
        within -= total
    return j * TILE  # the row has changed since its statistics were computed


@inner
def rank(cdf, group_cdf, group, target):
    """Return the number of entries of a cdf up to ``target``: without branches to mispredict."""
    first = _count_up_to(group_cdf, ZERO, np.uint64(group_cdf.size), target) * group
    return first + _count_up_to(cdf, first, group, target)


@inner
def _count_up_to(cdf, begin, n, target):
    """Return how many of ``n`` entries are at most ``target``."""
    count = ZERO
    for k in range(n):  # signed, since AVX2 has no other comparison
        count += np.uint64(np.int64(cdf[begin + k]) <= np.int64(target))
    return count

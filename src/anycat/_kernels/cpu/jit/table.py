"""Draws from a prepared row: its cdf and the guide table."""

import numpy as np

from .bits import ceil_log2, multiply_high
from .constants import HALF, LOW, ONE, THREE, WORD_BUFFER, ZERO
from .entry import entry, inner
from .grid import grid_point
from .guide import BYTE, CELL, CELL_BITS, FIRST_THREE, HIGH_BITS, LOW_BITS
from .philox import fill_random_words

SPARSE = np.uint64(16)  # parts for each category


@entry
def draw_table(
    cdf, guide, key, counter_strides, out_strides, runs, draws, out, random_words, found, deferred
):
    """Draw from a prepared row."""
    invalid = cdf[np.uint64(cdf.size) - ONE] == ZERO
    step = out_strides[THREE]
    for j in range(runs):
        for begin in range(ZERO, draws, WORD_BUFFER):
            n = min(WORD_BUFFER, draws - begin)
            index = grid_point(counter_strides, ZERO, j, begin)
            position = grid_point(out_strides, ZERO, j, begin)
            if invalid:
                for i in range(n):
                    out[position + i * step] = -1
            else:
                skip = fill_random_words(random_words, n, key, index, counter_strides[THREE])
                search_table(
                    cdf, guide, random_words, skip, n, out, position, step, found, deferred
                )


@inner
def search_table(cdf, guide, random_words, skip, n, out, position, step, found, deferred):
    """Store the categories that random words draw from a prepared row.

    If most parts have no end of a category, the first category of a part is nearly always the
    right one. Else one look at the guide table finds most: in a loop that only waits for memory,
    and one of vector instructions. The others are deferred, so that no branch that is hard to
    predict delays the rest.
    """
    total = cdf[np.uint64(cdf.size) - ONE]
    unused = np.uint64(64 - ceil_log2(np.uint64(guide.size)))
    if np.uint64(cdf.size) * SPARSE <= np.uint64(guide.size):
        for i in range(n):
            k = guide[random_words[skip + i] >> unused] & LOW
            target = multiply_high(random_words[skip + i], total)
            out[position + i * step] = first_beyond(cdf, k, target)
        return
    for i in range(n):
        found[i] = guide[random_words[skip + i] >> unused]
    for i in range(n):
        packed, cell = found[i], (random_words[skip + i] >> (unused - CELL_BITS)) & CELL
        # Four comparisons at once: the highest bits of bytes tell whether the cell is an end's own
        # or after it, and then, whether it is after it. Where these differ, the cell does not tell.
        # The last of the four ends only tells that there may be more.
        reached = (cell * (LOW_BITS >> HALF) << HALF) + (HIGH_BITS | LOW) - packed
        passed = (reached - (LOW_BITS & FIRST_THREE)) & HIGH_BITS & FIRST_THREE
        count = (passed >> (HALF + CELL_BITS)) * np.uint64(0x010101) >> (BYTE + BYTE) & THREE
        k = (packed & LOW) + count
        found[i] = k if passed == reached & HIGH_BITS else ~k
    n_deferred = ZERO
    for i in range(n):
        k = found[i]
        out[position + i * step] = k
        deferred[n_deferred] = i
        n_deferred += k >> np.uint64(63)
    for j in range(n_deferred):
        i = np.uint64(deferred[j])
        target = multiply_high(random_words[skip + i], total)
        out[position + i * step] = first_beyond(cdf, ~found[i], target)


@inner
def first_beyond(cdf, k, target):
    """Return the first category from ``k`` on that ends beyond ``target``."""
    while cdf[k] <= target:
        k += ONE
    return k

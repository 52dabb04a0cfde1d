"""Draws without replacement from rows of one tile: a removed category's integer becomes 0.

The other integers stay right until the exponent of the tile changes, or the offset of the row. So
the *leaders* are counted: the categories that would give the tile the same ones if they were the
largest. When none is left, the tile is measured again.
"""

import numpy as np

from .bits import multiply_high
from .constants import FRACTION_BITS, ONE, THREE, WORD_BUFFER, ZERO
from .entry import entry, uncounted
from .exponential import exp_parts
from .grid import grid_point
from .philox import fill_random_words
from .weights import fill_weights, integer_weight, logit_offset, valid_max

BLOCK_BITS = np.uint64(6)
SHORT_BLOCK_BITS, SHORT_ROW = np.uint64(4), np.uint64(1024)  # shorter blocks of shorter rows
OFFSET_LIMIT = 2.0**20  # logits of a row are taken as they are if the largest lies within


@uncounted
def offset_line(top, logits):
    """Return what the largest value of a row must not fall below, or its offset changes."""
    if not logits:
        return -np.inf
    return top if logit_offset(top, logits) else -OFFSET_LIMIT


@uncounted
def leads(value, weight, logits, scale, top, offset, line):
    """Tell whether a category is a leader of a tile, with the largest value and scale of that.

    If that value is not below ``line``, then no leader is.
    """
    if logits:
        shift, highest = type(value)(offset), type(value)(top) - type(value)(offset)
        x, lowest = value - shift, highest - type(value)(80)
        same = exp_parts(x if x > lowest else lowest)[1] == exp_parts(highest)[1]
        return same & ((value >= line) | (top < line))
    return np.float64(weight) * scale >= 2.0**FRACTION_BITS


@uncounted
def count_leaders(values, weights, n, logits, scale, top, offset, line):
    """Return the number of leaders of a tile."""
    count = ZERO
    if logits:
        for k in range(n):
            count += np.uint64(leads(values[k], weights[k], True, scale, top, offset, line))
    else:
        for k in range(n):
            count += np.uint64(leads(values[k], weights[k], False, scale, top, offset, line))
    return count


@uncounted
def count_up_to(sums, begin, n, target):
    """Return how many of ``n`` running sums are at most ``target``."""
    count = ZERO
    for i in range(n):  # signed, since AVX2 has no other comparison
        count += np.uint64(np.int64(sums[begin + i]) <= np.int64(target))
    return count


@uncounted
def subtract_from(sums, begin, n, first, difference):
    """Subtract from the running sums from ``first`` on, of ``n`` from ``begin``."""
    for i in range(n):
        sums[begin + i] -= difference if i >= first else ZERO


@entry
def draw_distinct_rows(
    x, size, logits, key, counter_strides, out_strides, runs, draws, out,
    random_words, values, weights, integers, block_cdf,
):  # fmt: skip
    """Draw without replacement from rows of one tile: one run of draws each."""
    block_bits = SHORT_BLOCK_BITS if size <= SHORT_ROW else BLOCK_BITS
    padded, no_weight = np.uint64(values.size), x.dtype.type(-np.inf if logits else 0)
    blocks = ((size - ONE) >> block_bits) + ONE
    for k in range(size, padded):
        values[k] = no_weight
    for r in range(np.uint64(x.size) // size):
        begin, total, leaders = r * size, ZERO, ZERO
        top = scale = offset = line = 0.0
        for k in range(size):
            values[k] = x[begin + k]
        for first in range(ZERO, draws, WORD_BUFFER):
            n = min(WORD_BUFFER, draws - first)
            index = grid_point(counter_strides, r, ZERO, first)
            skip = fill_random_words(random_words, n, key, index, counter_strides[THREE])
            position = grid_point(out_strides, r, ZERO, first)
            for i in range(n):
                if leaders == ZERO:
                    top = valid_max(values, ZERO, padded, logits)
                    offset, line = logit_offset(top, logits), offset_line(top, logits)
                    scale = fill_weights(values, ZERO, padded, logits, top, offset, weights)[1]
                    total = ZERO
                    if scale:
                        total = _sum_integers(
                            weights, block_bits, blocks, scale, integers, block_cdf
                        )
                        leaders = count_leaders(
                            values, weights, padded, logits, scale, top, offset, line
                        )
                k = np.int64(-1)
                if total:
                    target = multiply_high(random_words[skip + i], total)
                    block = min(count_up_to(block_cdf, ZERO, blocks, target), blocks - ONE)
                    target -= block_cdf[block - ONE] if block else ZERO
                    found = block << block_bits
                    last = min(found + (ONE << block_bits), size) - ONE
                    running = integers[found]
                    while running <= target and found < last:
                        found += ONE
                        running += integers[found]
                    total -= integers[found]
                    subtract_from(block_cdf, ZERO, blocks, block, integers[found])
                    leaders -= np.uint64(
                        leads(values[found], weights[found], logits, scale, top, offset, line)
                    )
                    values[found], integers[found] = no_weight, ZERO
                    k = np.int64(found)
                out[position + i * out_strides[THREE]] = k


@uncounted
def _sum_integers(weights, block_bits, blocks, scale, integers, block_cdf):
    """Store the integer weights of a tile, and the running sums of blocks; return the sum."""
    for k in range(np.uint64(weights.size)):
        integers[k] = integer_weight(weights[k], scale)
    total = ZERO
    for block in range(blocks):
        for k in range(block << block_bits, (block + ONE) << block_bits):
            total += integers[k]
        block_cdf[block] = total
    return total

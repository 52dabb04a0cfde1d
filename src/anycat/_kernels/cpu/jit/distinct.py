"""Draws without replacement from rows of one tile: a removed category's integer becomes 0.

The other integers stay right until the exponent of the tile changes, or the offset of the row. So
the *leaders* are counted: the categories that would give the tile the same ones if they were the
largest. When none is left, the tile is measured again.
"""

import numpy as np

from . import weights as of_tile
from .bits import multiply_high
from .constants import (
    BLOCK,
    FRACTION_BITS,
    LANES,
    ONE,
    SPARE_WORDS,
    THREE,
    TILE,
    TWO,
    WORD_BUFFER,
    ZERO,
)
from .entry import entry, uncounted
from .exponential import exp_parts
from .grid import grid_point
from .philox import fill_random_words
from .weights import integer_weight, logit_offset, max_if_valid, prescale

extremes, fill_weights = (uncounted(f.py_func) for f in (of_tile.extremes, of_tile.fill_weights))
BLOCKS = TILE // BLOCK
EIGHT, SIXTEEN = np.uint64(8), np.uint64(16)  # categories of a block, in shorter rows
SHORT_ROW = TWO * EIGHT * EIGHT  # categories up to which rows are drawn from in groups
GROUP = np.uint64(8)
WORDS_OF_LANE = WORD_BUFFER // GROUP - SPARE_WORDS
PITCH = LANES + SPARE_WORDS
FEW_DRAWS = WORD_BUFFER // PITCH
OFFSET_LIMIT = 2.0**20  # logits of a row are taken as they are if the largest lies within


@uncounted
def offset_line(top, logits):
    """Return what the largest value of a row must not fall below, or its offset changes."""
    if not logits:
        return -np.inf
    return top if logit_offset(top, logits) else -OFFSET_LIMIT


@uncounted
def valid_max(x, begin, end, logits):
    """Return the largest value of a tile, or NaN if any value is invalid."""
    high, low = extremes(x, begin, end, logits)
    return np.float64(max_if_valid(high, low, logits))


@uncounted
def leads(value, logits, top, offset, line, scale):
    """Tell whether a value is a leader of a tile, with the largest value and scale of that.

    If that value is not below ``line``, then no leader is.
    """
    real = type(value)
    if logits:
        x, highest = value - real(offset), real(top) - real(offset)
        lowest = highest - real(80)
        same = exp_parts(x if x > lowest else lowest)[1] == exp_parts(highest)[1]
        return same & ((value >= line) | (top < line))
    return np.float64(value * real(prescale(top))) * scale >= 2.0**FRACTION_BITS


@uncounted
def count_leaders(values, begin, n, logits, top, offset, line, scale):
    """Return the number of leaders of a tile."""
    count = ZERO
    if logits:
        for k in range(begin, begin + n):
            count += np.uint64(leads(values[k], True, top, offset, line, scale))
    else:
        for k in range(begin, begin + n):
            count += np.uint64(leads(values[k], False, top, offset, line, scale))
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
    """Draw without replacement from rows of one tile: one run of draws each.

    The draws of GROUP short rows take turns: one need not wait for another row's.
    """
    rows, few = np.uint64(x.size) // size, draws <= FEW_DRAWS
    group = GROUP if size <= SHORT_ROW else ONE
    padded, no_weight = np.uint64(weights.size), x.dtype.type(-np.inf if logits else 0)
    totals, leaders = np.empty(GROUP, np.uint64), np.empty(GROUP, np.uint64)
    words, some_left = np.empty(GROUP, np.uint64), np.empty(GROUP, np.bool_)
    tops, scales = np.empty(GROUP, np.float64), np.empty(GROUP, np.float64)
    offsets, lines = np.empty(GROUP, np.float64), np.empty(GROUP, np.float64)
    for row in range(ZERO, rows, group):
        lanes = min(group, rows - row)
        for lane in range(lanes):
            totals[lane], leaders[lane], some_left[lane] = ZERO, ZERO, True
            for k in range(size):
                values[lane * padded + k] = x[(row + lane) * size + k]
            for k in range(size, padded):
                values[lane * padded + k] = no_weight
        if few and row % LANES == ZERO:
            n = min(LANES, rows - row)
            _fill_words_of_rows(random_words, n, row, draws, key, counter_strides)
        for first in range(ZERO, draws, WORDS_OF_LANE):
            n = min(WORDS_OF_LANE, draws - first)
            for lane in range(lanes):
                words[lane] = row % LANES + lane
                if not few:
                    at, step = lane * (WORDS_OF_LANE + SPARE_WORDS), counter_strides[THREE]
                    part = random_words[at : at + WORDS_OF_LANE + SPARE_WORDS]
                    index = grid_point(counter_strides, row + lane, ZERO, first)
                    words[lane] = at + fill_random_words(part, n, key, index, step)
            step = PITCH if few else ONE
            for i in range(first, first + n):
                for lane in range(lanes):
                    base = lane * padded
                    if leaders[lane] == ZERO and some_left[lane]:
                        tops[lane] = top = valid_max(values, base, base + padded, logits)
                        offset, line = logit_offset(top, logits), offset_line(top, logits)
                        scale = fill_weights(
                            values, base, base + padded, logits, top, offset, weights
                        )[1]
                        offsets[lane], lines[lane], scales[lane] = offset, line, scale
                        some_left[lane], totals[lane] = scale > 0, ZERO
                        if some_left[lane]:
                            totals[lane] = _sum_integers(
                                weights, size, scale, integers, base, block_cdf, lane
                            )
                            leaders[lane] = count_leaders(
                                values, base, padded, logits, top, offset, line, scale
                            )
                    k = np.int64(-1)
                    if totals[lane]:
                        word = random_words[words[lane] + (i - first) * step]
                        target = multiply_high(word, totals[lane])
                        found, q = _take(integers, base, block_cdf, lane, size, target)
                        totals[lane] -= q
                        value, values[base + found] = values[base + found], no_weight
                        leaders[lane] -= np.uint64(
                            leads(
                                value, logits, tops[lane], offsets[lane], lines[lane], scales[lane]
                            )
                        )
                        k = np.int64(found)
                    out[grid_point(out_strides, row + lane, ZERO, i)] = k


@uncounted
def _sum_integers(weights, size, scale, integers, base, block_cdf, lane):
    """Store the integer weights of a row, and the running sums of blocks; return the sum."""
    for k in range(np.uint64(weights.size)):
        integers[base + k] = integer_weight(weights[k], scale)
    if size <= SHORT_ROW:
        return _sum_blocks(integers, base, block_cdf, lane * TWO * EIGHT, TWO * EIGHT, EIGHT, size)
    if size <= BLOCKS * SIXTEEN:
        return _sum_blocks(integers, ZERO, block_cdf, ZERO, BLOCKS, SIXTEEN, size)
    return _sum_blocks(integers, ZERO, block_cdf, ZERO, BLOCKS, BLOCK, size)


@uncounted(forceinline=True)
def _sum_blocks(integers, base, block_cdf, at, blocks, block, size):
    total = ZERO
    for b in range(blocks):
        block_sum = ZERO
        if b * block < size:
            for k in range(base + b * block, base + b * block + block):
                block_sum += integers[k]
        total += block_sum
        block_cdf[at + b] = total
    return total


@uncounted(forceinline=True)
def _take(integers, base, block_cdf, lane, size, target):
    """Return the category whose integers contain ``target``, and its integer, which becomes 0."""
    if size <= SHORT_ROW:
        at = lane * TWO * EIGHT
        return _take_from(integers, base, block_cdf, at, TWO * EIGHT, EIGHT, size, target)
    if size <= BLOCKS * SIXTEEN:
        return _take_from(integers, ZERO, block_cdf, ZERO, BLOCKS, SIXTEEN, size, target)
    return _take_from(integers, ZERO, block_cdf, ZERO, BLOCKS, BLOCK, size, target)


@uncounted(forceinline=True)
def _take_from(integers, base, block_cdf, at, blocks, block, size, target):
    """Do what `_take` does, for constant numbers of blocks and of their categories."""
    b = min(count_up_to(block_cdf, at, blocks, target), blocks - ONE)
    target -= block_cdf[at + b - ONE] if b else ZERO
    found, running = b * block, ZERO
    for k in range(base + found, base + found + block):  # without branches to mispredict
        running += integers[k]
        found += np.uint64(np.int64(running) <= np.int64(target))
    found = min(found, size - ONE)
    q = integers[base + found]
    integers[base + found] = ZERO
    subtract_from(block_cdf, at, blocks, b, q)
    return found, q


@uncounted
def _fill_words_of_rows(random_words, n, r, draws, key, counter_strides):
    """Generate the random words of few draws from each of ``n`` rows: of a draw, PITCH apart."""
    for i in range(draws):
        words = random_words[i * PITCH : (i + ONE) * PITCH]
        index = grid_point(counter_strides, r, ZERO, i)
        skip = fill_random_words(words, n, key, index, counter_strides[ONE])
        for lane in range(n if skip else ZERO):
            words[lane] = words[lane + ONE]

"""Draws from short rows, LANES rows together, so that LLVM vectorizes across the rows."""

import numpy as np

from .bits import multiply_high
from .columns import load_columns
from .constants import FRACTION_BITS, LANES, ONE, SPARE_WORDS, ZERO
from .entry import entry
from .exponential import exp_parts, times_power
from .grid import grid_point
from .philox import fill_random_words
from .weights import integer_scale, integer_weight, logit_offset, prescale


@entry
def draw_short_rows(x, size, logits, key, counter_strides, out_strides, runs, draws, out):
    """Draw from LANES short rows together.

    There must be LANES rows or more; the last group overlaps the one before.
    """
    rows = np.uint64(x.size) // size
    real = x.dtype.type
    no_weight = real(-np.inf if logits else 0)
    weights, cdf = np.empty(size * LANES, x.dtype), np.empty(size * LANES, np.uint64)
    maxima, lowest = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    offsets, factors = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    scales, totals = np.empty(LANES, np.float64), np.empty(LANES, np.uint64)
    targets = np.empty(LANES, np.uint64)
    random_words, found = np.empty(LANES + SPARE_WORDS, np.uint64), np.empty(LANES, np.int64)
    for group in range(ZERO, rows, LANES):
        begin = min(group, rows - LANES)
        load_columns(x, begin, size, logits, weights, maxima, lowest)
        for b in range(LANES):
            totals[b] = ZERO
            top = np.float64(maxima[b])
            offsets[b] = logit_offset(top, logits)
            lowest[b] = maxima[b] - offsets[b] - real(80)
            factors[b], scales[b] = real(1), 2.0**FRACTION_BITS
            if not logits:
                factors[b], scales[b] = prescale(top), integer_scale(top * prescale(top))
        if logits:
            for k in range(size):
                for b in range(LANES):
                    value = weights[k * LANES + b] - offsets[b]
                    g, power = exp_parts(value if value > lowest[b] else lowest[b])
                    exponent = exp_parts(maxima[b] - offsets[b])[1]
                    weights[k * LANES + b] = times_power(g, power - exponent)
        for k in range(size):
            for b in range(LANES):
                totals[b] += integer_weight(weights[k * LANES + b] * factors[b], scales[b])
                cdf[k * LANES + b] = totals[b]
        for j in range(runs):
            for i in range(draws):
                first = grid_point(counter_strides, begin, j, i)
                skip = fill_random_words(random_words, LANES, key, first, counter_strides[ONE])
                for b in range(LANES):
                    targets[b], found[b] = multiply_high(random_words[skip + b], totals[b]), 0
                for k in range(size):
                    for b in range(LANES):
                        found[b] += np.int64(cdf[k * LANES + b]) <= np.int64(targets[b])
                position = grid_point(out_strides, begin, j, i)
                for b in range(LANES):
                    out[position + b * out_strides[ONE]] = found[b] if maxima[b] > no_weight else -1

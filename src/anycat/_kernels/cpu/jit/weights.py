"""A tile's parameters as weights, and these as integers."""

import numpy as np

from .bits import bits_of, flip_negative, fma, from_bits, largest_finite
from .constants import BLOCK, FRACTION_BITS, ZERO
from .entry import inner
from .exponential import exp_parts, times_power

EMPTY_EXPONENT = -(1 << 40)  # the exponent of a tile without weight
BITS_OF_2_52 = np.uint64(0x4330000000000000)  # below them, x + 2**52 holds x, rounded


@inner
def extremes(x, begin, end, logits):
    """Return the largest and the smallest value, as integers that sort as the values do.

    Where probabilities are negative they may not sort so, and -0.0 counts as 0.0.
    """
    if logits:
        high = low = flip_negative(bits_of(x[begin]))
        for k in range(begin, end):
            value = flip_negative(bits_of(x[k]))
            high, low = max(high, value), min(low, value)
    else:
        high = low = bits_of(x[begin] + x.dtype.type(0))
        for k in range(begin, end):
            value = bits_of(x[k] + x.dtype.type(0))
            high, low = max(high, value), min(low, value)
    return high, low


@inner
def valid_max(x, begin, end, logits):
    """Return the largest value of a tile, or NaN if any value is invalid."""
    high, low = extremes(x, begin, end, logits)
    return np.float64(max_if_valid(high, low, logits))


@inner
def max_if_valid(high, low, logits):
    """Return the largest value from the extremes, or NaN if any value is invalid."""
    limit = largest_finite(from_bits(high))
    lowest = flip_negative(bits_of(-limit)) - 1 if logits else 0  # -inf is allowed
    if low >= lowest and high <= bits_of(limit):
        return from_bits(flip_negative(high))
    return limit * np.nan


@inner
def prescale(top):
    """Return a factor for weights, without which 2**(49 - E) might be no float64."""
    return 2.0**512 if top < 2.0**-900 else 1.0


@inner
def floor_log2(top):
    """Return E = floor(log2(top))."""
    return (bits_of(top) >> 52) - 1023


@inner
def integer_scale(top):
    """Return 2**(49 - E)."""
    return from_bits((FRACTION_BITS - floor_log2(top) + 1023) << 52)


@inner
def weight_scale(top, logits):
    """Return 2**(49 - E) for what `fill_weights` computes of a tile with this maximum."""
    return 2.0**FRACTION_BITS if logits else integer_scale(top * prescale(top))


@inner
def logit_offset(top, logits):
    """Return what is subtracted from the logits of a row with this maximum."""
    return top if logits and 2.0**20 < abs(top) < np.inf else 0.0


@inner
def fill_weights(x, begin, end, logits, top, offset, weights):
    """Compute the weights of a tile; return their exponent E and 2**(49 - E)."""
    n = end - begin
    if logits:
        shift = x.dtype.type(offset)
        highest = x.dtype.type(top) - shift
        if not highest >= -(2.0**21):
            return EMPTY_EXPONENT, 0.0
        # exp(-80) of the largest weight is less than half a unit: it rounds to zero.
        lowest = highest - x.dtype.type(80)
        exponent = exp_parts(highest)[1]
        for k in range(n):
            value = x[begin + k] - shift
            g, power = exp_parts(value if value > lowest else lowest)
            weights[k] = times_power(g, power - exponent)
        return np.int64(exponent), weight_scale(top, logits)
    if not top > 0:
        return EMPTY_EXPONENT, 0.0
    factor = x.dtype.type(prescale(top))
    for k in range(n):
        weights[k] = x[begin + k] * factor
    exponent = floor_log2(top * factor) - (512 if factor > 1 else 0)
    return exponent, weight_scale(top, logits)


@inner
def _biased_integer(weight, scale):
    """Return weight * scale, which is below 2**51, rounded to an integer, plus BITS_OF_2_52."""
    return np.uint64(bits_of(fma(np.float64(weight), scale, 2.0**52)))


@inner
def integer_weight(weight, scale):
    """Return weight * scale, which is below 2**51, rounded to the nearest integer."""
    return _biased_integer(weight, scale) - BITS_OF_2_52


@inner
def sum_weights(weights, begin, end, scale):
    """Return the sum of the integer weights of a tile."""
    total = ZERO
    for k in range(begin, end):
        total += _biased_integer(weights[k], scale)
    return total - (end - begin) * BITS_OF_2_52


@inner
def sum_blocks(weights, n, scale, block_sums):
    """Store the running sum after each block of a tile in ``block_sums``; return the sum."""
    total = ZERO
    for block in range(ZERO, n, BLOCK):
        total += sum_weights(weights, block, min(block + BLOCK, n), scale)
        block_sums[block // BLOCK] = total
    return total

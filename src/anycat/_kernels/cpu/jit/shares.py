"""The terms of a row's sums, for float32 and float64."""

import numpy as np
from numba import types
from numba.extending import overload

from .bits import bits_of, from_bits
from .exponential import exp_parts, log_of, times_power


def unit_of(top, logits):
    """Return 1, or a power of 2 that makes the largest probability 1 to 2, or near that."""


@overload(unit_of)
def _unit_of_for(top, logits):
    real, integer = (np.float32, np.int32) if top is types.float32 else (np.float64, np.int64)
    mantissa, bias = np.finfo(real).nmant, integer(np.finfo(real).maxexp - 1)
    least, one = integer(1), real(1)

    def unit_of(top, logits):
        exponent = integer(bias + bias - (bits_of(top) >> mantissa))
        exponent = max(least, min(exponent, integer(bias + bias)))
        return one if logits else from_bits(integer(exponent << mantissa))

    return unit_of


def share_of(x, top, unit, log_top, logits):
    """Return exp(x - top) and x - top of logits, else x * unit, and its logarithm minus log_top.

    Nothing is left of a probability of zero, or of almost zero, and its logarithm is finite.
    """


@overload(share_of)
def _share_of_for(x, top, unit, log_top, logits):
    lowest = (np.float32 if x is types.float32 else np.float64)(-86)

    def share_of(x, top, unit, log_top, logits):
        if logits:
            log = x - top
            log = log if log > lowest else lowest
            g, power = exp_parts(log)
            least, least_power = exp_parts(lowest)  # subtracted, so that -inf gives exactly 0
            return times_power(g, power) - times_power(least, least_power), log
        share = x * unit
        return share, log_of(share) - log_top

    return share_of

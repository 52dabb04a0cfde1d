"""Probabilities and logarithms of single entries, so that loops over them vectorize."""

import math

import numpy as np
from numba import types
from numba.extending import overload

from .bits import from_bits
from .exponential import exp_parts, log_of, times_power


def exp_of(x):
    """Return exp(x) for x <= 0, rounded where it is subnormal."""


@overload(exp_of)
def _exp_of_for(x):
    real, integer, mantissa = (
        (np.float32, np.int32, 23) if x is types.float32 else (np.float64, np.int64, 52)
    )
    info = np.finfo(real)
    bias, lowest = info.maxexp - 1, real(math.log(info.smallest_subnormal) - 1)
    zero = real(0)

    def exp_of(x):
        g, power = exp_parts(lowest if x < lowest else x)
        half = power >> 1
        rest = from_bits(integer(integer(power - half + bias) << mantissa))
        return times_power(g, half) * rest + (zero if x == x else x)

    return exp_of


def log_of_quotient(x, total):
    """Return log(x / total), where the quotient may be subnormal; -inf for zero."""


@overload(log_of_quotient)
def _log_of_quotient_for(x, total):
    real, shift = (np.float32, 80) if x is types.float32 else (np.float64, 560)
    least, up, down = np.finfo(real).smallest_normal, real(2.0**shift), real(2.0**-shift)
    zero, none, logs = real(0), real(-np.inf), real(2 * shift * math.log(2))

    def log_of_quotient(x, total):
        quotient = x / total
        normal = quotient >= least
        quotient = quotient if normal else x * up / (total * down)
        log = log_of(quotient) - (zero if normal else logs)
        return (log if x > zero else none) + zero * total  # NaN stays NaN

    return log_of_quotient


def prob_of(x, top, total, logits):
    """Return the probability of an entry."""


@overload(prob_of)
def _prob_of_for(x, top, total, logits):
    return lambda x, top, total, logits: exp_of(x - top) / total if logits else x / total


def log_prob_of(x, top, total, low, high, logits):
    """Return the log-probability of an entry, clamped if ``low`` is positive.

    ``total`` is the sum of probabilities, but the logarithm of the sum of logits' shares.
    """


@overload(log_prob_of)
def _log_prob_of_for(x, top, total, low, high, logits):
    real = np.float32 if x is types.float32 else np.float64
    zero = real(0)

    def log_prob_of(x, top, total, low, high, logits):
        if logits:
            return x - top - total
        if not low > zero:
            return log_of_quotient(x, total)
        p = x / total
        p = low if p < low else p
        p = high if p > high else p
        return log_of(p) + zero * p  # NaN stays NaN

    return log_prob_of

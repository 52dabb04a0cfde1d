"""The exponential and the logarithm, for float32 and float64.

The type of the argument chooses the polynomial. Draws depend on each operation of the exponential:
none may be reordered or contracted, so there is no fastmath.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from .bits import bits_of, fma, from_bits


def exp_parts(x):
    """Return (g, n) with g * 2**n within an ulp of exp(x), g about 1, for abs(x) <= 2**21."""


_EXP_FLOAT32 = "1.6a2434p-10 1.1239e2p-7 1.5558f2p-5 1.555492p-3 1.fffffcp-2"
_EXP_FLOAT64 = (
    "1.ad7f6966eed54p-26 1.28ad72c46d724p-22 1.71df2555820b7p-19 1.a0199a0c7067bp-16 "
    "1.a01a012a56626p-13 1.6c16c1842a0e4p-10 1.1111111127be9p-7 1.555555555087dp-5 "
    "1.55555555554fap-3 1.000000000000ap-1"
)


@overload(exp_parts)
def _exp_parts_for(x):
    if x is types.float32:
        real, integer, mantissa, coefficients = np.float32, np.int32, 23, _EXP_FLOAT32
        ln2_high, ln2_low = "1.62e43p-1", "-1.05c61p-29"
        c6, c5, c4, c3, c2 = (real(float.fromhex(c)) for c in coefficients.split())

        def polynomial(r):
            return fma(fma(fma(fma(c6, r, c5), r, c4), r, c3), r, c2)

    else:
        real, integer, mantissa, coefficients = np.float64, np.int64, 52, _EXP_FLOAT64
        ln2_high, ln2_low = "1.62e42fefa39efp-1", "1.abc9e3b39803fp-56"
        c11, c10, c9, c8, c7, c6, c5, c4, c3, c2 = (
            real(float.fromhex(c)) for c in coefficients.split()
        )

        def polynomial(r):
            p = fma(fma(fma(fma(c11, r, c10), r, c9), r, c8), r, c7)
            return fma(fma(fma(fma(fma(p, r, c6), r, c5), r, c4), r, c3), r, c2)

    evaluate = register_jitable(polynomial)
    log2_e, one = real(math.log2(math.e)), real(1)
    minus_high, minus_low = -real(float.fromhex(ln2_high)), -real(float.fromhex(ln2_low))
    rounder = real(1.5 * 2.0**mantissa)  # x + rounder holds x, rounded, in its lowest bits
    rounder_bits = rounder.view(integer)

    def exp(x):
        rounded = fma(x, log2_e, rounder)
        n = rounded - rounder
        r = fma(n, minus_low, fma(n, minus_high, x))
        return fma(fma(evaluate(r), r, one), r, one), integer(bits_of(rounded) - rounder_bits)

    return exp


def times_power(g, n):
    """Return g * 2**n, for a normal g and a normal result."""


@overload(times_power)
def _times_power_for(g, n):
    integer, mantissa = (np.int32, 23) if g is types.float32 else (np.int64, 52)
    return lambda g, n: from_bits(integer(bits_of(g) + (n << mantissa)))


def log_of(x):
    """Return log(x) of a normal number, to a few units in the last place."""


_LOG_FLOAT32 = "1.2ee656p-2 1.997c2ep-2 1.55555cp-1"
_LOG_FLOAT64 = (
    "1.2b5900de53b32p-3 1.39fe51a7c18f9p-3 1.7462b51cb66b1p-3 1.c71c62e3f11e6p-3 "
    "1.2492492df281ap-2 1.99999999952d7p-2 1.5555555555558p-1"
)


@overload(log_of)
def _log_of_for(x):
    if x is types.float32:
        real, integer, mantissa = np.float32, np.int32, 23
        c7, c5, c3 = (real(float.fromhex(c)) for c in _LOG_FLOAT32.split())

        def polynomial(z):
            return fma(fma(c7, z, c5), z, c3)

    else:
        real, integer, mantissa = np.float64, np.int64, 52
        c15, c13, c11, c9, c7, c5, c3 = (real(float.fromhex(c)) for c in _LOG_FLOAT64.split())

        def polynomial(z):
            p = fma(fma(fma(c15, z, c13), z, c11), z, c9)
            return fma(fma(fma(p, z, c7), z, c5), z, c3)

    evaluate = register_jitable(polynomial)
    root, one, two, ln2 = real(math.sqrt(0.5)).view(integer), real(1), real(2), real(math.log(2))

    def log(x):
        n = (bits_of(x) - root) >> mantissa
        f = from_bits(integer(bits_of(x) - (n << mantissa))) - one
        s = f / (f + two)  # log((1 + s) / (1 - s)), an odd function
        return fma(real(n), ln2, fma(s * s * s, evaluate(s * s), s + s))

    return log

"""float16 and bfloat16 to float32, and back."""

import numpy as np
from numba import types
from numba.extending import overload

from .bits import bits_of, from_bits
from .entry import entry


@entry
def widen(bits, half, out):
    """Convert float16, or else bfloat16, given as their bits, to float32.

    Exact, and several times as fast as NumPy.
    """
    infinite, normal = np.int32(0x7C00 << 13), np.int32(1 << 23)
    smallest = from_bits(np.int32(113 << 23))  # 2**-14, the smallest normal number
    for i in range(np.uint64(bits.size)):
        if not half:
            out[i] = from_bits(np.int32(np.uint32(bits[i]) << 16))
            continue
        rest = np.int32((bits[i] & 0x7FFF) << 13)
        raised = from_bits(np.int32(rest + np.int32(224 << 23 if rest >= infinite else 112 << 23)))
        subnormal = from_bits(np.int32(rest + np.int32(113 << 23))) - smallest
        x = raised if rest >= normal else subnormal
        out[i] = -x if bits[i] >> 15 else x


def narrowed(x, half, out):
    """Return what an array takes for a float: itself, or its bits as float16, or else bfloat16.

    Exact for what has been widened, and for infinities and NaN.
    """


@overload(narrowed)
def _narrowed_for(x, half, out):
    if out.dtype is not types.uint16:
        return lambda x, half, out: x
    return _narrow_bits


def _narrow_bits(x, half, out):
    bits = np.uint32(bits_of(x))
    if not half:
        return np.uint16(bits >> 16)
    rest = np.uint32(bits & 0x7FFFFFFF)
    if rest < np.uint32(113 << 23):  # subnormal, or zero
        rest = np.uint32(abs(x) * np.float32(2.0**24))
    else:
        rest = min(np.uint32(rest - np.uint32(112 << 23)), np.uint32(31 << 23)) >> 13
    return np.uint16(((bits >> 16) & 0x8000) | rest | (0x200 if x != x else 0))

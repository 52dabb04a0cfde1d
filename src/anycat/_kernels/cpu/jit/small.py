"""Draws from a small batch in one call.

This does what `draw_rows` does. It is written in one piece, and without functions that Numba would
have to compile, because it is the first kernel that most processes need.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .bits import bits_of, flip_negative, from_bits, largest_finite, multiply_high
from .constants import BEYOND_CDF, BLOCK, FRACTION_BITS, HALF, LOW, ONE, THREE, TILE, TWO, ZERO
from .entry import entry, inner
from .exponential import exp_parts, times_power
from .philox import philox
from .weights import integer_weight


@intrinsic
def next_uint64(context, function, state):
    """Call the function of a bit generator that returns its next 64 bits."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.FunctionType(word, [word]).as_pointer())
        return builder.call(pointer, [args[1]])

    return types.uint64(types.int64, types.int64), codegen


@inner
def take_key(function, state, workspace):
    """Take the key from the ``function`` of a bit generator, or else the end of a workspace."""
    if function:
        low, high = next_uint64(function, state), next_uint64(function, state)
        return low & LOW, low >> HALF, high & LOW, high >> HALF
    at = np.uint64(workspace.size) - np.uint64(4)
    return workspace[at], workspace[at + ONE], workspace[at + TWO], workspace[at + THREE]


@entry(nogil=False)
def draw_small(x, size, logits, function, state, workspace, out):
    """Draw from each row until ``out`` is full; rows have one tile at most.

    The workspace has room for the cdf of a tile and for random words; then see `take_key`.
    """
    cdf, words = workspace, TILE
    k0, k1, s0, s1 = take_key(function, state, workspace)
    for block in range((np.uint64(out.size) + ONE) >> ONE):
        at = words + TWO * block
        workspace[at], workspace[at + ONE] = philox(block, k0, k1, s0, s1)
    size = np.uint64(size)
    rows, real = np.uint64(x.size) // size, x.dtype.type
    samples = np.uint64(out.size) // rows
    limit = bits_of(largest_finite(x[ZERO]))
    no_weight = ~limit - 1 if logits else 0
    lowest = no_weight if logits else -1
    for r in range(rows):
        begin, total = r * size, ZERO
        high = low = flip_negative(bits_of(x[begin]))
        for k in range(begin, begin + size):
            value = flip_negative(bits_of(x[k]))
            high = value if value > high else high
            low = value if value < low else low
        valid, top = lowest <= low and no_weight < high <= limit, from_bits(flip_negative(high))
        if valid and logits:
            offset = top if abs(top) > 2.0**20 else real(0)
            least = top - offset - real(80)
            exponent = exp_parts(top - offset)[1]
            for k in range(size):
                log = x[begin + k] - offset
                g, power = exp_parts(log if log > least else least)
                cdf[k] = integer_weight(times_power(g, power - exponent), 2.0**FRACTION_BITS)
        elif valid:
            factor = 2.0**512 if top < 2.0**-900 else 1.0
            exponent = (bits_of(np.float64(top) * factor) >> 52) - 1023
            scale = from_bits((FRACTION_BITS - exponent + 1023) << 52)
            for k in range(size):
                cdf[k] = integer_weight(x[begin + k] * real(factor), scale)
        for k in range(size if valid else ZERO):
            total += cdf[k]
            cdf[k] = total
        cdf[size - ONE] = total = total & BEYOND_CDF  # less, unless the row is changing
        for i in range(samples):
            index, category = i * rows + r, ZERO
            target = multiply_high(workspace[words + index], total)
            while category + BLOCK < size and cdf[category + BLOCK - ONE] <= target:
                category += BLOCK
            found, last = category, category + BLOCK
            for k in range(category, last if last < size else size):
                found += np.uint64(np.int64(cdf[k]) <= np.int64(target))
            out[index] = np.int64(found) if total else -1

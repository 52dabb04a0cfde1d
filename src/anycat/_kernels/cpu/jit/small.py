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
from .philox import fill_random_words, philox
from .weights import integer_weight

WORDS_ARE_THERE = -1  # in place of the address of a function


@intrinsic
def next_uint64(context, function, state):
    """Call the function of a bit generator that returns its next 64 bits."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.FunctionType(word, [word]).as_pointer())
        return builder.call(pointer, [args[1]])

    return types.uint64(types.int64, types.int64), codegen


@inner
def fill_words(function, state, workspace, n):
    """Store random words after the cdf of a tile, unless they are there.

    Their key is from the ``function`` of a bit generator, or else from the end of the workspace.
    """
    if function == WORDS_ARE_THERE:
        return
    at = np.uint64(workspace.size) - np.uint64(4)
    k0, k1, s0, s1 = workspace[at], workspace[at + ONE], workspace[at + TWO], workspace[at + THREE]
    if function:
        low, high = next_uint64(function, state), next_uint64(function, state)
        k0, k1, s0, s1 = low & LOW, low >> HALF, high & LOW, high >> HALF
    for block in range((n + ONE) >> ONE):
        at = TILE + TWO * block
        workspace[at], workspace[at + ONE] = philox(block, k0, k1, s0, s1)


@entry(nogil=False)
def fill_words_by_seeds(workspace, n, key):
    """Store the random words of rows with seeds where `fill_words` does."""
    n, words = np.uint64(n), workspace[TILE:]
    skip = fill_random_words(words, n, key, ZERO, ONE)
    for i in range(n):
        words[i] = words[skip + i]


@entry(nogil=False)
def fill_words_by_keys(workspace, keys, samples, rows):
    """Store random words as `fill_words` does, for elements of some rows that have a key each."""
    start, stride = TILE, np.uint64(keys.shape[0]) * rows
    for key in keys:
        for sample in range(samples):
            for row in range(rows):
                draw = sample * rows + row
                low, high = philox(draw >> ONE, key[0], key[1], key[2], key[3])
                workspace[start + sample * stride + row] = high if draw & ONE else low
        start += rows


@entry(nogil=False)
def draw_small(x, size, logits, function, state, workspace, out):
    """Draw from each row until ``out`` is full; rows have one tile at most.

    The workspace has room for the cdf of a tile and for random words: see `fill_words`.
    """
    cdf, words = workspace, TILE
    fill_words(function, state, workspace, np.uint64(out.size))
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

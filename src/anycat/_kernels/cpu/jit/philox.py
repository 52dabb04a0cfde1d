"""Random words: Philox4x32-10, one 64-bit word for each draw index.

A key has four 32-bit numbers; if rows have seeds, then the seed of each row, and then its position
of the first draw: see `anycat._kernels.keys`.
"""

import numpy as np
from numba import njit

from .constants import HALF, LOW, ONE, THREE, TWO, ZERO
from .entry import entry, inner

KEY_WORDS = np.uint64(4)
PAIRS = np.uint64(32)  # of blocks that are computed two at once
OF_SEEDS = np.uint64(1 << 63)  # of the block numbers: their highest bit is that of the counter


@njit(inline="always")
def philox(block, k0, k1, s0, s1):
    """Return the two words of a Philox4x32-10 block: of draw indices 2 block and 2 block + 1.

    Each 32-bit number is held in 64 bits, and masked where it is multiplied: LLVM's vectorizer
    then knows that a widening vector multiplication is enough. It must see the masks, so this is
    inlined.
    """
    c0, c1, c2, c3 = block, block >> HALF, s0, s1
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * (c0 & LOW), np.uint64(0xCD9E8D57) * (c2 & LOW)
        c0, c1, c2, c3 = (p1 >> HALF) ^ (c1 ^ k0), p1 & LOW, (p0 >> HALF) ^ (c3 ^ k1), p0 & LOW
        k0 = (k0 + np.uint64(0x9E3779B9)) & LOW
        k1 = (k1 + np.uint64(0xBB67AE85)) & LOW
    return c0 | (c1 << HALF), c2 | (c3 << HALF)


@entry
def fill_random_words(random_words, n, key, first, step):
    """Generate the random words of draw indices first, first + step, ...

    Returns where in ``random_words`` they begin; it must hold ``n + SPARE_WORDS``.
    """
    k0, k1, s0, s1 = key[ZERO], key[ONE], key[TWO], key[THREE]
    origin, rows = ZERO, (np.uint64(key.size) - KEY_WORDS) >> ONE
    if rows:
        along, across = divide(step, rows)
        if across:
            fill_words_of_rows(random_words, n, key, rows, first, along, across)
            return ZERO
        position, row = divide(first, rows)
        seed, start = key[KEY_WORDS + row], key[KEY_WORDS + rows + row]
        k0, k1, origin = seed & LOW, seed >> HALF, OF_SEEDS
        first, step = start + position, along
    if step == ONE:
        block, skip = origin + (first >> ONE), first & ONE
        half = (skip + n + THREE) >> TWO
        for i in range(half):  # two blocks at once: one alone waits for its own multiplications
            j = half + i
            random_words[TWO * i], random_words[TWO * i + ONE] = philox(block + i, k0, k1, s0, s1)
            random_words[TWO * j], random_words[TWO * j + ONE] = philox(block + j, k0, k1, s0, s1)
        return skip
    for i in range(n):
        index = first + i * step
        even, odd = philox(origin + (index >> ONE), k0, k1, s0, s1)
        random_words[i] = odd if index & ONE else even
    return ZERO


@inner
def divide(a, b):
    """Return quotient and remainder: at once in the usual cases, since a division takes long."""
    if a < b:
        return ZERO, a
    if b == ONE:
        return a, ZERO
    return a // b, a % b


@inner
def fill_words_of_rows(random_words, n, key, rows, first, along, across):
    """Do what `fill_random_words` does where each draw is of another row than the one before.

    From draw to draw, the row is ``across`` rows further, and the position ``along`` further.
    """
    position, row = divide(first, rows)
    i = ZERO
    while i < n:
        m = min(n - i, divide(rows - row + across - ONE, across)[0])  # draws up to the last row
        if along == ZERO and across == ONE and m >= TWO * PAIRS:  # the usual case
            m = TWO * PAIRS
            for j in range(PAIRS):  # two blocks at once, as above
                random_words[i + j] = word_of_row(key, rows, row + j, position)
                random_words[i + j + PAIRS] = word_of_row(key, rows, row + j + PAIRS, position)
        else:
            for j in range(m):
                at = row + j * across
                random_words[i + j] = word_of_row(key, rows, at, position + j * along)
        i, row, position = i + m, row + m * across, position + m * along
        if row >= rows:
            row, position = row - rows, position + ONE


@njit(inline="always")
def word_of_row(key, rows, row, position):
    """Return the random word of a row that has a seed; ``position`` counts from its first one."""
    seed, index = key[KEY_WORDS + row], key[KEY_WORDS + rows + row] + position
    even, odd = philox(OF_SEEDS + (index >> ONE), seed & LOW, seed >> HALF, ZERO, ZERO)
    return odd if index & ONE else even

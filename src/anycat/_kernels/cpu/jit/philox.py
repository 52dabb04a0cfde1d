"""Random words: Philox4x32-10, one 64-bit word for each draw index.

For the key, see `anycat._kernels.keys`.
"""

import numpy as np
from numba import njit

from .constants import HALF, LOW, ONE, THREE, TWO, ZERO
from .entry import inner, uncounted

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


@uncounted
def fill_random_words(random_words, n, key, first, step):
    """Generate the random words of draw indices first, first + step, ...

    Returns where in ``random_words`` they begin; it must hold ``n + SPARE_WORDS``.
    """
    words, seeds, starts = key
    k0, k1, s0, s1 = words[ZERO], words[ONE], words[TWO], words[THREE]
    origin, rows = ZERO, np.uint64(seeds.size)
    if rows:
        along, across = divide(step, rows)
        if across:
            fill_words_of_rows(random_words, n, key, first, along, across)
            return ZERO
        position, row = divide(first, rows)
        first, step = position + (starts[row] if starts.size else words[ZERO]), along
        k0, k1, origin = seeds[row] & LOW, seeds[row] >> HALF, OF_SEEDS
    elif starts.size:
        fill_words_of_part(random_words, n, key, first, step)
        return ZERO
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


@uncounted
def fill_words_of_rows(random_words, n, key, first, along, across):
    """Do what `fill_random_words` does where each draw is of another row than the one before.

    From draw to draw, the row is ``across`` rows further, and the position ``along`` further.
    """
    words, seeds, starts = key
    rows, each = np.uint64(seeds.size), np.uint64(starts.size) > ZERO
    position, row = divide(first, rows)
    position += words[ZERO]
    i = ZERO
    while i < n:
        m = min(n - i, divide(rows - row + across - ONE, across)[0])  # draws up to the last row
        usual = along == ZERO and across == ONE and m >= TWO * PAIRS
        if usual and not each:
            m = TWO * PAIRS
            for j in range(PAIRS):  # two blocks at once, as above
                k = j + PAIRS
                random_words[i + j] = word_of_seed(seeds[row + j], position)
                random_words[i + k] = word_of_seed(seeds[row + k], position)
        elif usual:
            m = TWO * PAIRS
            for j in range(PAIRS):
                k = j + PAIRS
                random_words[i + j] = word_of_seed(seeds[row + j], position + starts[row + j])
                random_words[i + k] = word_of_seed(seeds[row + k], position + starts[row + k])
        else:
            for j in range(m):
                at = row + j * across
                start = starts[at] if each else ZERO
                random_words[i + j] = word_of_seed(seeds[at], position + start + j * along)
        i, row, position = i + m, row + m * across, position + m * along
        if row >= rows:
            row, position = row - rows, position + ONE


@uncounted
def fill_words_of_part(random_words, n, key, first, step):
    """Do what `fill_random_words` does for rows that are a part of a batch: see `keys`."""
    words, _, starts = key
    rows, stride = np.uint64(starts.size), words[KEY_WORDS]
    k0, k1, s0, s1 = words[ZERO], words[ONE], words[TWO], words[THREE]
    along, across = divide(step, rows)
    position, row = divide(first, rows)
    i = ZERO
    while i < n:
        m = n - i  # draws up to the last row
        if across:
            m = min(m, divide(rows - row + across - ONE, across)[0])
        for j in range(m):
            index = starts[row + j * across] + (position + j * along) * stride
            even, odd = philox(index >> ONE, k0, k1, s0, s1)
            random_words[i + j] = odd if index & ONE else even
        i, row, position = i + m, row + m * across, position + m * along
        if row >= rows:
            row, position = row - rows, position + ONE


@njit(inline="always")
def word_of_seed(seed, position):
    """Return the random word of a seed at a position."""
    even, odd = philox(OF_SEEDS + (position >> ONE), seed & LOW, seed >> HALF, ZERO, ZERO)
    return odd if position & ONE else even

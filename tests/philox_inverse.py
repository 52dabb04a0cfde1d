"""Random states and draw indices that have any wanted random words.

For a given key, Philox4x32-10 is a bijection of its counter. Its inverse leads from the words of
two draws, an even one and the next, to a counter: a draw index and the words s0 and s1 of a random
state.
"""

from __future__ import annotations

from itertools import count

__all__ = ["find_word", "find_words", "unphilox4x32_10"]

M0, M2 = 0xD2511F53, 0xCD9E8D57
INVERSE_M0, INVERSE_M2 = (pow(m, -1, 2**32) for m in (M0, M2))
Words = tuple[int, int, int, int]


def unphilox4x32_10(words: Words, key: tuple[int, int]) -> Words:
    """Return the counter of which Philox4x32-10 makes these words."""
    c0, c1, c2, c3 = words
    for i in reversed(range(10)):
        k0, k1 = (key[0] + i * 0x9E3779B9) % 2**32, (key[1] + i * 0xBB67AE85) % 2**32
        b0, b2 = c3 * INVERSE_M0 % 2**32, c1 * INVERSE_M2 % 2**32
        c0, c1, c2, c3 = b0, c0 ^ (M2 * b2 >> 32) ^ k0, b2, c2 ^ (M0 * b0 >> 32) ^ k1
    return c0, c1, c2, c3


def find_words(even: int, odd: int, k1: int = 0) -> tuple[Words, int]:
    """Return a random state and an even draw index, with the words of that draw and the next."""
    words = even % 2**32, even >> 32, odd % 2**32, odd >> 32
    for k0 in count():
        c0, c1, s0, s1 = unphilox4x32_10(words, (k0, k1))
        if c1 < 2**31:  # the blocks of draws: half of all
            return (k0, k1, s0, s1), (c0 + (c1 << 32)) * 2
    raise AssertionError


def find_word(word: int, *, odd: bool, free: int = 0, k1: int = 0) -> tuple[Words, int]:
    """Return a random state and a draw index, odd or even, that has a given word.

    ``free`` is the word of the other draw of the block.
    """
    state, index = find_words(*((free, word) if odd else (word, free)), k1)
    return state, index + odd

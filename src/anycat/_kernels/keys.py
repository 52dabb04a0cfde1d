"""Keys: the random bits of a call as kernels take them.

A key is an array of uint64 that holds four 32-bit words: k0, k1 (Philox's key), s0, s1 (the upper
half of its counter). If rows have seeds, the words are 0, and followed by the seed of each row of
the whole batch, in C order, and then by the position of the first draw of each row.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    Array = Any


KEY_WORDS = 4


def key_of_rows(module: Any, numbers: Iterable[Array], batch: tuple[int, ...]) -> Array:
    """Return the key of seeds and positions, integers that broadcast to the batch, modulo 2**64.

    They are arrays, or Python's ints below 2**64, which a GPU needs no copy of.
    """
    rows = math.prod(batch)
    key = module.empty(KEY_WORDS + 2 * rows, np.uint64)
    key[:KEY_WORDS] = 0
    parts = key[KEY_WORDS : KEY_WORDS + rows], key[KEY_WORDS + rows :]
    for part, x in zip(parts, numbers, strict=True):
        part.reshape(batch)[...] = x if isinstance(x, int) else module.asarray(x)
    return key


def key_of_words(words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the key of words of 32 bits: of four, or of a longer key in halves, the low first."""
    if words.size == KEY_WORDS:
        return words.astype(np.uint64)
    return np.ascontiguousarray(words, "<u4").view("<u8").astype(np.uint64)

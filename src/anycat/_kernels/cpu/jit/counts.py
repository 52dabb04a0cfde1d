"""Counts of draws, which nothing else is stored of."""

import numpy as np

from .bits import ceil_log2, multiply_high
from .constants import ONE, THREE, WORD_BUFFER, ZERO
from .entry import entry, inner
from .grid import grid_point
from .philox import fill_random_words
from .table import search_table

SHARED_BIT = np.uint64(63)  # of a part's count: set if several categories share the part


@entry
def count_draws(found, n, size, row, counts):
    """Add ``n`` draws of each row of a block to its counts; -1 for the counts of invalid rows.

    ``found`` holds a draw of each row, then the next of each. So counts that are increased one
    after the other are seldom the same, which would have to wait for each other.
    """
    rows = np.uint64(found.size) // n
    begin = row * size
    for i in range(n):
        for r in range(rows):
            k = np.uint64(found[i * rows + r])
            if k < size:  # neither -1, nor of a row that has changed
                counts[begin + r * size + k] += 1
    for r in range(rows):
        if found[r] < 0:
            for k in range(size):
                counts[begin + r * size + k] = -1


@entry
def count_table(
    cdf, guide, key, counter_strides, runs, draws, parts, counts, random_words, found, deferred
):
    """Add draws from a prepared row to the counts of words in ``parts``, or else to ``counts``."""
    size = np.uint64(cdf.size)
    for j in range(runs):
        for begin in range(ZERO, draws, WORD_BUFFER):
            n = min(WORD_BUFFER, draws - begin)
            index = grid_point(counter_strides, ZERO, j, begin)
            skip = fill_random_words(random_words, n, key, index, counter_strides[THREE])
            if parts.size:
                n = _count_words(random_words, skip, n, parts)
            search_table(cdf, guide, random_words, skip, n, found, ZERO, ONE, found, deferred)
            for i in range(n):
                k = found[i]
                if k < size:
                    counts[k] += 1


@inner
def _count_words(random_words, skip, n, parts):
    """Count words by the part of their range that they are in; keep those in shared parts.

    Returns how many are kept, from ``skip`` on. There is no branch that is hard to predict.
    """
    down, kept = _bits_below(parts), skip
    for i in range(n):
        word = random_words[skip + i]
        count = parts[word >> down]
        parts[word >> down] = count + ONE
        random_words[kept] = word
        kept += count >> SHARED_BIT
    return kept - skip


@inner
def _bits_below(parts):
    """Return how many bits of a word do not tell in which of the equal parts it is."""
    return np.uint64(64 - ceil_log2(np.uint64(parts.size)))


@entry
def divide_words(cdf, parts, categories):
    """Find the first category of each part of the range of words; mark parts that have more."""
    total, down, k = cdf[np.uint64(cdf.size) - ONE], _bits_below(parts), ZERO
    for i in range(np.uint64(parts.size)):
        first = i << down
        while cdf[k] <= multiply_high(first, total):
            k += ONE
        categories[i] = k
        shared = cdf[k] <= multiply_high(first + ((ONE << down) - ONE), total)
        parts[i] = np.uint64(shared) << SHARED_BIT


@entry
def add_parts(parts, categories, counts):
    """Add the counts of the parts that are not shared to those of their categories."""
    for i in range(np.uint64(parts.size)):
        if not parts[i] >> SHARED_BIT:
            counts[categories[i]] += np.int64(parts[i])

"""The probabilities of values, and the most probable ones."""

import numpy as np

from .bits import largest_finite
from .columns import load_columns
from .constants import CHUNK, LANES, ONE, TWO, ZERO
from .entries import log_prob_of, prob_of
from .entry import entry, inner
from .weights import valid_max


@entry(error_model="numpy")
def look_up(x, size, logits, log, top, total, low, high, values, rows, begin, end, out):
    """Compute the probabilities, or log-probabilities, of some of the values, in float64.

    Value ``i`` is that of row ``rows[i]``, or ``i`` modulo the number of rows if that is empty.
    Returns whether all are categories.
    """
    size, begin, end = np.uint64(size), np.uint64(begin), np.uint64(end)
    count, listed, good = np.uint64(total.size), np.uint64(rows.size) > ZERO, True
    r = begin % count
    for i in range(begin, end):
        k = np.uint64(values[i])  # a negative one is large
        good &= k < size
        r = np.uint64(rows[i]) if listed else r
        entry = np.float64(x[r * size + (k if k < size else ZERO)])
        highest, of_row = np.float64(top[r]), np.float64(total[r])
        if log:
            out[i] = log_prob_of(entry, highest, of_row, low, high, logits)
        else:
            out[i] = prob_of(entry, highest, of_row, logits)
        r = r + ONE if r + ONE < count else ZERO
    return good


@entry(nogil=False, error_model="numpy")
def look_up_small(x, size, logits, stats, low, high, values, out):
    """Compute the log-probabilities of values from the statistics of rows, as `look_up` does."""
    size, count, good = np.uint64(size), np.uint64(stats.size) >> TWO, True
    of_row = count * (TWO if logits else ONE)
    r = ZERO
    for i in range(np.uint64(values.size)):
        k = np.uint64(values[i])
        good &= k < size
        entry = np.float64(x[r * size + (k if k < size else ZERO)])
        out[i] = log_prob_of(entry, stats[r], stats[of_row + r], low, high, logits)
        r = r + ONE if r + ONE < count else ZERO
    return good


@inner
def sum_overflows(x, begin, end, top, logits):
    """Tell whether the sum of weights, the largest of which is ``top``, is infinite in their type.

    Then the row is invalid. Few rows need be summed to tell.
    """
    if logits or not top > np.float64(largest_finite(x[begin])) / np.float64(TWO * (end - begin)):
        return False
    total = 0.0
    for k in range(begin, end):
        total += np.float64(x[k])
    return not x.dtype.type(total) < np.inf


@entry
def find_mode(x, size, logits, at, out):
    """Find the first largest entry of each row, -1 if it is invalid."""
    no_weight = -np.inf if logits else 0.0
    for r in range(np.uint64(x.size) // size):
        begin, end = r * size, r * size + size
        top, found = valid_max(x, begin, end, logits), np.int64(-1)
        valid = top > no_weight and not sum_overflows(x, begin, end, top, logits)
        for low in range(begin, end if valid else begin, CHUNK):
            high, equal = min(low + CHUNK, end), False
            for k in range(low, high):  # a loop that is vectorized, to find the chunk
                equal |= x[k] == top
            if equal:
                while x[low] != top and low + ONE < high:  # a bound, lest it has changed
                    low += ONE
                found = np.int64(low - begin)
                break
        out[at + r] = found


@entry
def find_short_mode(x, size, logits, at, out):
    """Do what `find_mode` does, for LANES rows together. There must be LANES rows or more."""
    rows = np.uint64(x.size) // size
    columns, found = np.empty(size * LANES, x.dtype), np.empty(LANES, np.int64)
    top, low = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    for group in range(ZERO, rows, LANES):
        begin = min(group, rows - LANES)
        load_columns(x, begin, size, logits, columns, top, low)
        for b in range(LANES):
            found[b] = -1
        for k in range(size):
            k = size - ONE - k  # backwards, since the first one counts
            for b in range(LANES):
                found[b] = k if columns[k * LANES + b] == top[b] else found[b]
        for b in range(LANES):
            out[at + begin + b] = found[b] if top[b] > (-np.inf if logits else 0.0) else -1
        for b in range(LANES):
            row = (begin + b) * size
            if sum_overflows(x, row, row + size, np.float64(top[b]), logits):
                out[at + begin + b] = -1

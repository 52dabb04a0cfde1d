"""Checks and values of rows in one pass.

No draw depends on these sums, so they may be reordered to be vectorized.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from .bits import bits_of, flip_negative, largest_finite
from .constants import CHUNK, LANES, ONE, TILE, TWO, ZERO
from .entry import entry
from .exponential import exp_parts, log_of, times_power
from .short_rows import load_columns
from .weights import extremes, valid_max


@entry
def first_suspect_row(x, size, logits):
    """Return the first row that may be invalid, or the number of rows if none may be.

    Rows are looked at one by one only where some values have no weight: zeros, or -inf. A row whose
    sum might be infinite is suspect too.
    """
    rows = np.uint64(x.size) // size
    largest = largest_finite(x[ZERO])
    limit, no_weight = bits_of(largest / x.dtype.type(TWO * size)), 0
    if logits:
        limit, no_weight = bits_of(largest), flip_negative(bits_of(-largest)) - 1
    together = max(ONE, TILE // size)
    for begin in range(ZERO, rows, together):
        end = min(begin + together, rows)
        high, low = extremes(x, begin * size, end * size, logits)
        if no_weight < low and high <= limit:
            continue
        for r in range(begin, end):
            if together > ONE:
                high, low = extremes(x, r * size, r * size + size, logits)
            if not (no_weight <= low and no_weight < high <= limit):
                return r
    return rows


def _share(x, top, logits):
    """Return a probability relative to the largest, and its logarithm."""


@overload(_share)
def _share_for(x, top, logits):
    real = np.float32 if x is types.float32 else np.float64
    lowest, least, zero = real(-80), np.finfo(real).smallest_normal, real(0)

    def share(x, top, logits):
        if logits:
            log = x - top
            log = log if log > lowest else lowest
            g, power = exp_parts(log)
            return times_power(g, power), log
        share = x / top
        normal = share >= least
        return (share if normal else zero), log_of(share if normal else least)

    return share


@njit(
    nogil=True,
    fastmath={"reassoc"},
    error_model="numpy",  # a test of each divisor would stop vectorization
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
def _add_shares(x, begin, end, top, logits):
    """Return the sums of shares and of shares times their logarithms."""
    total = weighted = x.dtype.type(0)
    if logits:  # two loops, each of which is vectorized
        for k in range(begin, end):
            share, log = _share(x[k], top, True)
            total += share
            weighted += share * log
    else:
        for k in range(begin, end):
            share, log = _share(x[k], top, False)
            total += share
            weighted += share * log
    return np.float64(total), np.float64(weighted)


@entry
def row_stats(x, size, logits, maxima, totals, logs, entropies):
    """Compute each row's maximum, the sum of its shares, the logarithm of that, the entropy."""
    real = x.dtype.type
    no_weight = -np.inf if logits else 0.0
    for r in range(np.uint64(x.size) // size):
        begin, end = r * size, r * size + size
        top, total, by_log = no_weight, 0.0, 0.0
        for low in range(begin, end, TILE):
            high = min(low + TILE, end)
            here = valid_max(x, low, high, logits)
            if np.isnan(here):
                top = here
                break
            if not here > no_weight:
                continue
            if here > top:
                if total:
                    log = top - here if logits else math.log(top) - math.log(here)
                    factor = math.exp(log)
                    by_log = factor * (by_log + log * total)
                    total *= factor
                top = here
            for k in range(low, high, CHUNK):  # a narrow sum has few terms
                t, v = _add_shares(x, k, min(k + CHUNK, high), real(top), logits)
                total += t
                by_log += v
        if not top > no_weight:
            total = np.nan
        log = math.log(total)
        maxima[r], totals[r], logs[r], entropies[r] = top, total, log, log - by_log / total


@entry(error_model="numpy")
def short_row_stats(x, size, logits, maxima, totals, logs, entropies):
    """Do what `row_stats` does, for LANES rows together.

    There must be LANES rows or more.
    """
    rows = np.uint64(x.size) // size
    real = x.dtype.type
    zero, no_weight = real(0), real(-np.inf if logits else 0)
    columns = np.empty(size * LANES, x.dtype)
    top, lows = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    total, by_log = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    for group in range(ZERO, rows, LANES):
        begin = min(group, rows - LANES)
        load_columns(x, begin, size, logits, columns, top, lows)
        for b in range(LANES):
            total[b] = by_log[b] = zero
        if logits:
            for k in range(size):
                for b in range(LANES):
                    share, log = _share(columns[k * LANES + b], top[b], True)
                    total[b] += share
                    by_log[b] += share * log
        else:
            for k in range(size):
                for b in range(LANES):
                    share, log = _share(columns[k * LANES + b], top[b], False)
                    total[b] += share
                    by_log[b] += share * log
        for b in range(LANES):
            missing = zero if top[b] > no_weight else real(np.nan)
            log = log_of(total[b])
            maxima[begin + b], totals[begin + b] = top[b] + missing, total[b] + missing
            logs[begin + b], entropies[begin + b] = log + missing, log - by_log[b] / total[b]


@entry
def gather(x, size, values, begin, end, out):
    """Gather entries into ``out``: value ``i`` is looked up in row ``i`` modulo the number of rows.

    Returns whether all values are categories.
    """
    rows = np.uint64(x.size) // size
    r, good = begin % rows, True
    for i in range(begin, end):
        k = np.uint64(values[i])  # a negative one is large
        good &= k < size
        out[i] = x[r * size + (k if k < size else ZERO)]
        r = r + ONE if r + ONE < rows else ZERO
    return good

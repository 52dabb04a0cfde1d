"""The statistics of rows: the largest entry, the sum, its logarithm, and the entropy.

No draw depends on these sums, so they may be reordered to be vectorized: a few terms are added in
the precision of the values, and such sums in float64.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from .columns import load_columns
from .constants import CHUNK, LANES, THREE, TILE, TWO, ZERO
from .entry import entry, inner
from .exponential import log_of
from .shares import share_of, unit_of
from .weights import valid_max

# That many terms are added in the precision of the values, of which a vector has several.
FEWER_TERMS = np.uint64(128)
TERMS_OF_SHORT_ROW = np.uint64(4)


@entry(error_model="numpy")
def row_stats(x, size, logits, at, count, out):
    """Compute the statistics of rows, one kind after the other in ``out``, for ``count`` rows.

    The first row given is row ``at`` of these.
    """
    size, at, count = np.uint64(size), np.uint64(at), np.uint64(count)
    real, no_weight = x.dtype.type, -np.inf if logits else 0.0
    terms = CHUNK if size > TILE else FEWER_TERMS  # errors of long rows average out
    for r in range(np.uint64(x.size) // size):
        begin, end = r * size, r * size + size
        top, unit, total, by_log = no_weight, 1.0, 0.0, 0.0
        for low in range(begin, end, TILE):
            high = min(low + TILE, end)
            here = valid_max(x, low, high, logits)
            if np.isnan(here):
                top = here
                break
            if not here > no_weight:
                continue
            if here > top:
                old, unit = unit, np.float64(unit_of(real(here), logits))
                if total:
                    # Not below what makes the factor 0: times the total, it must not overflow.
                    log = max(top - here, -1e3) if logits else math.log(max(top / here, 1e-300))
                    factor = math.exp(log) if logits else unit / old
                    total, by_log = factor * total, factor * (by_log + log * total)
                top = here
            scale, log_top = real(unit), log_of(real(top) * real(unit))
            for k in range(low, high, terms):
                sums = _add_shares(x, k, min(k + terms, high), real(top), scale, log_top, logits)
                total += sums[0]
                by_log += sums[1]
        _store(out, count, at + r, real(top), real(unit), total, by_log, logits)


@njit(nogil=True, fastmath={"reassoc"}, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _add_shares(x, begin, end, top, unit, log_top, logits):
    """Return the sums of shares and of shares times their logarithms."""
    total = by_log = x.dtype.type(0)
    if logits:  # two loops, each of which is vectorized
        for k in range(begin, end):
            share, log = share_of(x[k], top, unit, log_top, True)
            total += share
            by_log += share * log
    else:
        for k in range(begin, end):
            share, log = share_of(x[k], top, unit, log_top, False)
            total += share
            by_log += share * log
    return np.float64(total), np.float64(by_log)


@entry(error_model="numpy")
def short_row_stats(x, size, logits, at, count, out):
    """Do what `row_stats` does, for LANES rows together. There must be LANES rows or more."""
    size, at, count = np.uint64(size), np.uint64(at), np.uint64(count)
    rows = np.uint64(x.size) // size
    columns = np.empty(size * LANES, x.dtype)
    top, low = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    unit, log_top = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    part, part_by_log = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    total, by_log = np.empty(LANES, np.float64), np.empty(LANES, np.float64)
    for group in range(ZERO, rows, LANES):
        begin = min(group, rows - LANES)
        load_columns(x, begin, size, logits, columns, top, low)
        for b in range(LANES):
            total[b] = by_log[b] = 0.0
            unit[b] = unit_of(top[b], logits)
        if not logits:
            for b in range(LANES):
                log_top[b] = log_of(top[b] * unit[b])
        for first in range(ZERO, size, TERMS_OF_SHORT_ROW):
            last = min(first + TERMS_OF_SHORT_ROW, size)
            for b in range(LANES):
                part[b] = part_by_log[b] = x.dtype.type(0)
            if logits:
                for k in range(first, last):
                    for b in range(LANES):
                        entry = columns[k * LANES + b]
                        share, log = share_of(entry, top[b], unit[b], log_top[b], True)
                        part[b] += share
                        part_by_log[b] += share * log
            else:
                for k in range(first, last):
                    for b in range(LANES):
                        entry = columns[k * LANES + b]
                        share, log = share_of(entry, top[b], unit[b], log_top[b], False)
                        part[b] += share
                        part_by_log[b] += share * log
            for b in range(LANES):
                total[b] += part[b]
                by_log[b] += part_by_log[b]
        r = at + begin
        if logits:
            for b in range(LANES):
                _store(out, count, r + b, top[b], unit[b], total[b], by_log[b], True)
        else:
            for b in range(LANES):
                _store(out, count, r + b, top[b], unit[b], total[b], by_log[b], False)


def _log_of_sum(total, x):
    """Return the logarithm of a sum of values of the type of ``x``, to the precision of these."""


@overload(_log_of_sum)
def _log_of_sum_for(total, x):
    if x is types.float32:
        return lambda total, x: log_of(total)  # is vectorized
    return lambda total, x: math.log(total)


@inner
def _store(out, count, r, top, unit, total, by_log, logits):
    """Store the statistics of a row from its sums, which are in its unit; NaN if it is invalid."""
    log, log_unit, log_top, scale = _log_of_sum(total, top), 0.0, 0.0, np.float64(unit)
    if not logits:
        log_unit, log_top = log_of(scale), _log_of_sum(np.float64(top) * scale, top)
    given = total / scale
    valid = (top > (-np.inf if logits else 0.0)) & (type(top)(given) < np.inf)
    missing = 0.0 if valid else np.nan
    out[r], out[count + r] = top, given + missing
    out[TWO * count + r] = log - log_unit + missing
    out[THREE * count + r] = (log - log_top) - by_log / total + missing


row_stats_small = entry(row_stats.py_func, nogil=False, error_model="numpy")
short_row_stats_small = entry(short_row_stats.py_func, nogil=False, error_model="numpy")

"""The gradient of ``sum(by_log * log_total + by_entropy * entropy)`` with respect to rows."""

import numpy as np

from .bits import fma
from .constants import CHUNK, ONE, ZERO
from .elementwise import spread
from .entries import exp_of, log_of_quotient
from .entry import entry, inner


@inner
def _coefficients(total, log_total, entropy, by_log, by_entropy, logits):
    """Return the constant and the slope of a row, in float64.

    Relative to the share, the gradient is linear in the logarithm of the probability or the share.
    """
    log = np.float64(entropy) - (np.float64(log_total) if logits else 0.0)
    constant = np.float64(by_log) - np.float64(by_entropy) * log
    return constant / np.float64(total), np.float64(by_entropy) / np.float64(total)


@inner
def _of_logit(x, top, constant, slope):
    """Return the gradient of an entry."""
    real = type(x)
    log = x - top
    share = exp_of(log)
    log = log if share > 0 else real(0)
    return share * fma(-real(slope), log, real(constant))


@entry(error_model="numpy")
def fill_gradient(x, size, logits, at, top, total, log_total, entropy, by_log, by_entropy, out):
    """Compute the gradient of rows, the first of which is row ``at`` of all."""
    size, at = np.uint64(size), np.uint64(at)
    n, start, rows = np.uint64(x.size), at * size, np.uint64(x.size) // size
    real = x.dtype.type
    constant, slope = np.empty(rows), np.empty(rows)
    for r in range(rows):
        i = at + r
        constant[r], slope[r] = _coefficients(
            total[i], log_total[i], entropy[i], by_log[i], by_entropy[i], logits
        )
    of_rows, constants = np.empty(CHUNK, x.dtype), np.empty(CHUNK, x.dtype)
    slopes = np.empty(CHUNK, x.dtype)
    for begin in range(ZERO, n, CHUNK):
        end = min(begin + CHUNK, n)
        spread(constant, size, begin, end, constants)
        spread(slope, size, begin, end, slopes)
        if logits:
            spread(top, size, start + begin, start + end, of_rows)
            for k in range(begin, end):
                i = k - begin
                out[start + k] = _of_logit(x[k], of_rows[i], constants[i], slopes[i])
        else:
            spread(total, size, start + begin, start + end, of_rows)
            for k in range(begin, end):
                i = k - begin
                log = log_of_quotient(x[k], of_rows[i])
                # To the entropy, a probability of zero matters only by the sum.
                log = log if x[k] > real(0) else real(-1)
                out[start + k] = constants[i] - slopes[i] * log


@entry(error_model="numpy")
def add_terms(x, size, top, total, log_total, entropy, by_log, by_entropy, values, terms, out):
    """Add terms to the gradient of logits at values.

    Value ``i`` is one of row ``i`` modulo the number of rows. The first sum of each row is rounded
    once, as if the term had been there before the gradient was rounded.
    """
    rows, size, r = np.uint64(total.size), np.uint64(size), ZERO
    for i in range(np.uint64(values.size)):
        # The values have been checked, but may have changed since.
        at = r * size + min(np.uint64(values[i]), size - ONE)
        known = np.float64(out[at])
        if i < rows:
            constant, slope = _coefficients(
                total[r], log_total[r], entropy[r], by_log[r], by_entropy[r], True
            )
            known = _of_logit(x[at], x.dtype.type(top[r]), constant, slope)
        out[at] = known + np.float64(terms[i])
        r = r + ONE if r + ONE < rows else ZERO

"""What rows have for each entry: probabilities, log-probabilities, and their running sums.

Entries of several short rows are processed together, with what belongs to their rows spread out.
"""

import numpy as np

from .constants import CHUNK, ONE, ZERO
from .entries import log_prob_of, prob_of
from .entry import entry, inner


@entry(error_model="numpy")
def fill_log_probs(x, size, logits, at, top, total, low, high, out):
    """Compute all log-probabilities of rows, the first of which is row ``at`` of all.

    ``total`` is that of probabilities, but the logarithm of that of logits.
    """
    n, start, real = np.uint64(x.size), at * size, x.dtype.type
    tops, totals = np.empty(CHUNK, x.dtype), np.empty(CHUNK, x.dtype)
    for begin in range(ZERO, n, CHUNK):
        end = min(begin + CHUNK, n)
        spread(top, size, start + begin, start + end, tops)
        spread(total, size, start + begin, start + end, totals)
        for k in range(begin, end):
            i = k - begin
            out[start + k] = log_prob_of(x[k], tops[i], totals[i], real(low), real(high), logits)


@entry(error_model="numpy")
def fill_probs(x, size, logits, at, top, total, out):
    """Compute all probabilities of rows, the first of which is row ``at`` of all."""
    n, start = np.uint64(x.size), at * size
    tops, totals = np.empty(CHUNK, x.dtype), np.empty(CHUNK, x.dtype)
    for begin in range(ZERO, n, CHUNK):
        end = min(begin + CHUNK, n)
        spread(top, size, start + begin, start + end, tops)
        spread(total, size, start + begin, start + end, totals)
        for k in range(begin, end):
            out[start + k] = prob_of(x[k], tops[k - begin], totals[k - begin], logits)


@entry(error_model="numpy")
def accumulate(size, begin, end, out):
    """Turn the probabilities of rows into their running sums, divided by the last."""
    for r in range(begin, end):
        total = running = 0.0
        for k in range(r * size, (r + ONE) * size):
            total += out[k]
        for k in range(r * size, (r + ONE) * size):
            running += out[k]
            out[k] = running / total


@inner
def spread(values, size, begin, end, out):
    """Store what rows have in ``values`` for each of their entries ``begin`` to ``end``."""
    r, at = begin // size, begin
    while at < end:
        value, stop = values[r], min((r + ONE) * size, end)
        for k in range(at - begin, stop - begin):
            out[k] = value
        r, at = r + ONE, stop

"""The check of rows."""

import numpy as np

from .bits import bits_of, flip_negative, largest_finite
from .constants import TILE, TWO, ZERO
from .entry import entry


def _first_suspect_row(x, size, logits):
    """Return the first row that may be invalid, or the number of rows if none may be.

    Rows are looked at one by one only where some values have no weight: zeros, or -inf. A row whose
    sum might be infinite is suspect too.
    """
    n, size = np.uint64(x.size), np.uint64(size)
    largest = largest_finite(x[ZERO])
    limit = bits_of(largest if logits else largest / x.dtype.type(TWO * size))
    # As `flip_negative` has them: -inf, or 0.0; and below 0.0 stands -0.0, which is as good.
    no_weight = ~bits_of(largest) - 1 if logits else 0
    lowest = no_weight if logits else -1
    # Conditional expressions, since Numba would compile functions for `min` and `max`.
    together = TILE // size * size if size < TILE else size
    step, begin = together, ZERO
    while begin < n:
        end = begin + step if begin + step < n else n
        high = low = flip_negative(bits_of(x[begin]))
        for k in range(begin, end):
            value = flip_negative(bits_of(x[k]))
            high = value if value > high else high
            low = value if value < low else low
        if not (no_weight < low and high <= limit):
            if step > size:
                step = size
                continue
            if not (lowest <= low and no_weight < high <= limit):
                return begin // size
        begin = end
        if begin % together == ZERO:
            step = together
    return n // size


first_suspect_row = entry(_first_suspect_row)
first_suspect_row_small = entry(_first_suspect_row, nogil=False)

"""Guide tables: from the leading bits of a random word to the categories it may draw."""

import numpy as np

from .bits import ceil_log2, multiply_high
from .constants import HALF, LOW, ONE, ZERO
from .entry import entry, inner

BYTE = np.uint64(8)
CELL_BITS, CELL = np.uint64(7), np.uint64(127)
LOW_BITS, HIGH_BITS = np.uint64(0x01010101 << 32), np.uint64(0x80808080 << 32)  # of the bytes
FIRST_THREE = np.uint64(0xFFFFFF << 32)
VACANT = (CELL * LOW_BITS) | LOW  # the entry of a part where no category ends


@entry
def fill_guide(cdf, guide, begin, end):
    """Fill the entries ``begin`` to ``end`` of the guide table of a valid row.

    The table has an entry for each of so many equal parts of the range of words; a part has 128
    cells. The low half of an entry is the number of categories that end before the part; the four
    bytes above it are the cells in which the next four end, or the last cell if they end later.
    """
    n, size = np.uint64(cdf.size), np.uint64(guide.size)
    total = cdf[n - ONE]
    down, last = np.uint64(64 - ceil_log2(size)) - CELL_BITS, (size << CELL_BITS) - ONE
    cells = np.float64(np.int64(last + ONE)) / np.float64(np.int64(total))
    first = _first_from(begin, cdf, total, cells, last, down)
    after = n if end == size else _first_from(end, cdf, total, cells, last, down)
    for i in range(begin, end):
        guide[i] = VACANT
    for j in range(after - first):  # backwards, so that the first of a part is the one that stays
        k = after - ONE - j
        cell = cell_of(cdf[k], total, cells, last, down)
        i = cell >> CELL_BITS
        if begin <= i < end:  # always, but in the cdf of a row that changed
            guide[i] = guide[i] >> HALF << (HALF + BYTE) | (cell & CELL) << HALF | k
    for j in range(end - begin):
        i = end - ONE - j
        after = min(after, guide[i] & LOW)
        guide[i] = guide[i] & ~LOW | after


@inner
def _first_from(part, cdf, total, cells, last, down):
    """Return the first category that ends in a part or later; in the last part, some do."""
    low, high = ZERO, np.uint64(cdf.size)
    while low < high:
        middle = (low + high) >> ONE
        if cell_of(cdf[middle], total, cells, last, down) >> CELL_BITS < part:
            low = middle + ONE
        else:
            high = middle
    return low


@inner
def cell_of(end, total, cells, last, down):
    """Return the cell where a category ends: lower cells are within it, higher ones beyond."""
    end = min(end, total)  # it is at most that, but in the cdf of a row that changed
    position = np.float64(np.int64(end)) * cells
    cell = min(np.uint64(np.int64(position)), last)
    if abs(position - np.float64(np.int64(cell)) - 0.5) > 0.499:  # rounding may have moved it
        if cell < last and multiply_high((cell + ONE) << down, total) < end:
            return cell + ONE
        if end and multiply_high(cell << down, total) >= end:
            return cell - ONE
    return cell

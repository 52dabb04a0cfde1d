"""Masks of rows. Parameters are taken as bits, so one kernel does for all dtypes of a size."""

import numpy as np

from .constants import ONE, TILE, ZERO
from .entry import entry, inner

WORD, BYTE = np.uint64(32), np.uint64(8)  # bits of them
SPREAD, EACH = np.uint64(0x0101010101010101), np.uint64(0x8040201008040201)


@entry
def mask_rows(x, size, mask, row, none, counted, out, left):
    """Store ``none`` in place of the categories that a mask does not allow.

    The mask has a byte for each category, or a bit in words of 32; the first row is row ``row`` of
    it, unless it has a single one, for all rows. ``left`` tells whether any category of a row
    differs from ``none`` then, in the bits that are ``counted``.
    """
    size, row, bits = np.uint64(size), np.uint64(row), x.dtype.type
    packed, allowed = mask.itemsize > 1, np.empty(TILE, np.uint8)
    eights = allowed.view(np.uint64)
    stride = _words(size) if packed else size
    single = np.uint64(mask.size) == stride
    for r in range(np.uint64(x.size) // size):
        at, found = ZERO if single else (row + r) * stride, bits(0)
        if packed:
            for begin in range(ZERO, size, TILE):
                n = min(TILE, size - begin)
                _unpack(mask, at + begin // WORD, _words(n), eights)
                found |= _mask(x, r * size + begin, n, allowed, ZERO, none, out)
        else:
            found |= _mask(x, r * size, size, mask, at, none, out)
        left[r] = found & counted


@inner
def _words(n):
    """Return how many words have a bit for each of ``n`` categories."""
    return (n + WORD - ONE) // WORD


@inner
def _unpack(mask, begin, count, eights):
    """Store a byte for each bit of some words, eight at once: not zero if the bit is set."""
    each = WORD // BYTE
    for w in range(count):
        word = np.uint64(mask[begin + w])
        for j in range(each):
            byte = (word >> (j * BYTE)) & np.uint64(0xFF)
            eights[w * each + j] = (byte * SPREAD) & EACH


@inner
def _mask(x, begin, n, allowed, at, none, out):
    """Mask some entries; return in which bits any of them differs from ``none`` then."""
    bits = x.dtype.type
    found = bits(0)
    for k in range(n):
        value = x[begin + k] if allowed[at + k] else none
        out[begin + k] = value
        found = bits(found | (value ^ none))
    return found

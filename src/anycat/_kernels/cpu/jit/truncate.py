"""Truncation of rows: temperature, top_k, top_p and min_p, in that order.

What a row keeps is a list of its categories in their order, with their values and their keys.
"""

import numpy as np

from .bits import largest_finite, multiply_high
from .constants import BLOCK, HALF, ONE, TILE, ZERO
from .entry import entry, inner
from .select import key_of, select_count, select_mass
from .tiles import scan_tiles, tile_count
from .weights import EMPTY_EXPONENT, fill_weights, integer_weight, logit_offset, valid_max

TWO_44, TWO_64 = 2.0**44, 2.0**64


@entry
def truncate_rows(
    x, size, logits, row, temperature, top_k, top_p, min_p, out, written,
    all_max, all_shift, all_offset,
    values, indices, keys, rest, block_keys, integers, weights,
    exponents, before, above, equal, tile_max, tile_shift, tile_offset, counts, masses,
):  # fmt: skip
    """Truncate rows, of which the first is row ``row`` of all. Invalid rows stay as they are.

    ``written`` is ``out``, to be read. The arguments have an entry for each row, or one for all.
    Where one is out of its range, the row becomes NaN. ``all_max`` and the like take the tile
    statistics of all results. The other arrays are workspace.
    """
    size, row, real = np.uint64(size), np.uint64(row), x.dtype.type
    none, tiles = real(-np.inf if logits else 0), tile_count(size)
    for r in range(np.uint64(x.size) // size):
        begin, at = r * size, (row + r) * size
        heat, k = _of_row(temperature, row + r), _of_row(top_k, row + r)
        p, m = _of_row(top_p, row + r), _of_row(min_p, row + r)
        in_range = 0 <= heat < np.inf and k >= 1 and 0 < p <= 1 and 0 <= m <= 1
        heat = min(real(heat), largest_finite(real(0)))  # or -inf / heat would be NaN
        top = real(valid_max(x, begin, begin + size, logits))
        valid, tempered = in_range and top > none, heat != 0 and heat != 1
        n, source, start = ZERO, x, begin
        if valid:
            if tempered:
                for i in range(size):
                    out[at + i] = (x[begin + i] - top) / heat
                source, start, top = written, at, real(0)
            first = min(np.uint64(k), size) if heat != 0 else ONE
            n = _list_first(source, start, size, first, values, indices, keys, rest, block_keys)
        measured = ZERO
        if n and p < 1:
            _measure(
                values, indices, n, logits, top, integers, weights,
                exponents, tile_max, tile_shift, tile_offset,
            )  # fmt: skip
            measured = n
            target = max(_share(_units_of_top_p(p), tile_offset[tiles]), ONE)
            key, last = select_mass(
                keys, n, target, integers, indices, tile_shift, before, above, equal, rest,
                counts, masses,
            )  # fmt: skip
            n = _cut(values, indices, keys, n, key, last)
        if n and m > 0:
            if measured != n:
                _measure(
                    values, indices, n, logits, top, integers, weights,
                    exponents, tile_max, tile_shift, tile_offset,
                )  # fmt: skip
                measured = n
            n = _cut_small(values, indices, n, _units_of_min_p(m), integers, exponents)
        if measured != n or not valid:
            _measure(
                values, indices, n, logits, top, integers, weights,
                exponents, tile_max, tile_shift, tile_offset,
            )  # fmt: skip
        for t in range(tiles + ONE):
            entry_of_row = (row + r) * (tiles + ONE) + t
            all_max[entry_of_row] = tile_max[t]
            all_shift[entry_of_row] = tile_shift[t]
            all_offset[entry_of_row] = tile_offset[t]
        for i in range(size if n < size else ZERO):
            out[at + i] = none if valid else x[begin + i] if in_range else real(np.nan)
        for i in range(n):
            out[at + indices[i]] = values[i]


@inner
def _of_row(argument, r):
    """Return what a row has of an argument."""
    return argument[r if np.uint64(argument.size) > ONE else ZERO]


@inner
def _units_of_top_p(p):
    """Return max(p - 2**-20, 0) * 2**64, rounded up, for p < 1."""
    units = np.ceil(p * TWO_64)
    return _as_integer(units - TWO_44) if units > TWO_44 else ZERO


@inner
def _units_of_min_p(m):
    """Return m * (1 - 2**-20) * 2**64, rounded up.

    With m * 2**44 = w + f, of which w is an integer, this is w * (2**20 - 1) + f * (2**20 - 1).
    """
    whole = np.floor(m * TWO_44)
    f = m * TWO_44 - whole
    up = np.floor(f * 2.0**20)
    rest = np.uint64(np.int64(up)) + np.uint64(f * 2.0**20 - up > f)
    return _as_integer(whole) * np.uint64(2**20 - 1) + rest


@inner
def _as_integer(x):
    """Return a float below 2**64 that has no fraction as an integer."""
    high = np.floor(x * 2.0**-32)
    low = np.uint64(np.int64(x - high * 2.0**32))
    return (np.uint64(np.int64(high)) << HALF) + low


@inner
def _share(share, total):
    """Return share * total / 2**64, rounded up."""
    return multiply_high(share, total) + np.uint64(share * total != ZERO)


@inner
def _list_first(x, begin, size, count, values, indices, keys, rest, block_keys):
    """List the first ``count`` categories of a row by rank; return how many there are.

    Each block has at least its largest entry. So the ``count``-th largest of these is a lower bound
    of what is listed, and most blocks need not be searched.
    """
    blocks = (size + BLOCK - ONE) // BLOCK
    bounded = count < blocks
    if bounded:
        for b in range(blocks):
            highest = key_of(x[begin + b * BLOCK])
            for i in range(begin + b * BLOCK, begin + min(b * BLOCK + BLOCK, size)):
                highest = max(highest, key_of(x[i]))
            block_keys[b] = highest
        bound, _ = select_count(block_keys, blocks, count, rest)
    else:
        for i in range(size):
            values[i], indices[i], keys[i] = x[begin + i], i, key_of(x[begin + i])
    n = ZERO if bounded else size
    for b in range(blocks if bounded else ZERO):
        if np.int64(block_keys[b]) < bound:
            continue
        for i in range(b * BLOCK, min(b * BLOCK + BLOCK, size)):
            key = key_of(x[begin + i])
            values[n], indices[n], keys[n] = x[begin + i], i, key
            n += np.uint64(np.int64(key) >= bound)
    if n > count:
        key, last = select_count(keys, n, count, rest)
        n = _cut(values, indices, keys, n, key, last)
    return n


@inner
def _cut(values, indices, keys, n, key, last):
    """Keep the entries up to the one at ``last``, by rank; return how many there are."""
    kept = ZERO
    for i in range(n):
        here = np.int64(keys[i])
        stays = here > key or (here == key and i <= last)
        values[kept], indices[kept], keys[kept] = values[i], indices[i], keys[i]
        kept += np.uint64(stays)
    return kept


@inner
def _cut_small(values, indices, n, share, integers, exponents):
    """Keep the entries of a share of the largest or more; return how many there are."""
    top = exponents[np.uint64(exponents.size) - ONE]  # of the row
    largest = ZERO
    for i in range(n):
        if exponents[indices[i] // TILE] == top:
            largest = max(largest, integers[i])
    least, kept = max(_share(share, largest), ONE), ZERO
    for i in range(n):
        shift = np.uint64(min(top - exponents[indices[i] // TILE], 63))
        values[kept], indices[kept] = values[i], indices[i]
        kept += np.uint64((integers[i] >> shift) >= least)
    return kept


@inner
def _measure(
    values, indices, n, logits, top, integers, weights,
    exponents, tile_max, tile_shift, tile_offset,
):  # fmt: skip
    """Compute the integers of listed entries, and the statistics of the tiles of their row.

    ``exponents`` has those of the tiles, and then that of the row. Without entries, the row is
    invalid.
    """
    tiles = np.uint64(exponents.size) - ONE
    lowest = (-np.inf if logits else 0.0) if n else np.nan
    for t in range(tiles + ONE):
        exponents[t], tile_max[t], tile_offset[t] = EMPTY_EXPONENT, lowest, ZERO
    if n:
        tile_max[tiles] = top
    offset, i = logit_offset(np.float64(top), logits), ZERO
    while i < n:
        t = indices[i] // TILE
        end = min(i + TILE, n)  # if the list has all entries of the tile
        if indices[i] % TILE or indices[end - ONE] - indices[i] != end - ONE - i:
            end = i + ONE
            while end < n and indices[end] // TILE == t:
                end += ONE
        tile_max[t] = valid_max(values, i, end, logits)
        exponents[t], scale = fill_weights(values, i, end, logits, tile_max[t], offset, weights)
        exponents[tiles] = max(exponents[tiles], exponents[t])
        total = ZERO
        for j in range(i, end):
            integers[j] = integer_weight(weights[j - i], scale) if scale else ZERO
        for j in range(i, end):
            total += integers[j]
        tile_offset[t] = total
        i = end
    for t in range(tiles):
        tile_shift[t] = exponents[t]
    scan_tiles(tiles * TILE, logits, tile_max, tile_shift, tile_offset)

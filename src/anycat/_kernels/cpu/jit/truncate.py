"""Truncation of rows: temperature, top_k, top_p and min_p, in that order.

What may be kept of a row is listed: its categories, in their order, with their values. A lower
bound of these values is found first, so that a list is short, and most blocks are not searched.

A cut keeps the largest entry of a tile, or nothing of it. So no cut changes an exponent that
counts, and the integers of a list are computed once.

Rows are read more than once, and another thread may change them meanwhile. Then lists may be
shorter than expected, and results are arbitrary, but no index is out of range.
"""

import math

import numpy as np

from .bits import bits_of, flip_negative, from_bits, multiply_high
from .constants import BLOCK, FRACTION_BITS, HALF, ONE, TILE, ZERO
from .entry import entry, inner
from .select import empty_keys, key_of, largest_reached, select_count, select_mass, trailing_zeros
from .tiles import scan_tiles, tile_count
from .weights import (
    EMPTY_EXPONENT,
    fill_weights,
    integer_weight,
    logit_offset,
    max_if_valid,
    sum_weights,
    valid_max,
)
from .widen import narrowed

TWO_44, TWO_64 = 2.0**44, 2.0**64
SCATTER = np.uint64(37)  # odd, to sample no entry of each block at the same place
DEVIATIONS = 4.0  # of what a sample shows, on the safe side


@entry
def truncate_rows(
    x, size, logits, row, temperature, top_k, top_p, min_p, half, most, out,
    all_max, all_shift, all_offset,
):  # fmt: skip
    """Truncate rows, of which the first is row ``row`` of all.

    The arguments have an entry for each row of all, or a single one. A row becomes NaN if it is
    invalid, or if an argument is out of its range. Integers in ``out`` are the bits of float16 if
    ``half``, or else of bfloat16. At most ``most`` entries of a row are listed. ``all_max`` and the
    like take the tile statistics of the results, if rows are long.
    """
    size, row, real = np.uint64(size), np.uint64(row), x.dtype.type
    none, tiles = real(-np.inf if logits else 0), tile_count(size)
    weights, values = np.empty(min(size, TILE), x.dtype), np.empty(most, x.dtype)
    block_keys = empty_keys(values, (size + BLOCK - ONE) // BLOCK)
    indices, integers = np.empty(most, np.uint64), np.empty(most, np.uint64)
    rest, exponents = np.empty(most, np.uint64), np.empty(tiles + ONE, np.int64)
    before, above = np.empty(tiles, np.uint64), np.empty(tiles, np.uint64)
    equal = np.empty(tiles, np.uint64)
    tile_max, tile_shift = np.empty(tiles + ONE), np.empty(tiles + ONE, np.int64)
    tile_offset = np.empty(tiles + ONE, np.uint64)
    for r in range(np.uint64(x.size) // size):
        begin = r * size
        t, k = _of_row(temperature, row + r), _of_row(top_k, row + r)
        p, m = _of_row(top_p, row + r), _of_row(min_p, row + r)
        heat = real(t)
        fills = heat == 0 or np.uint64(k) < size or p < 1 or m > 0
        nothing = narrowed(none, half, out)
        peak = real(_fill_block_keys(x, begin, size, logits, block_keys, fills, nothing, out))
        in_range = 0 <= heat < np.inf and k >= 1 and 0 < p <= 1 and 0 <= m <= 1
        valid, listed, n, top = in_range and peak > none, True, ZERO, peak
        if valid:
            first = min(np.uint64(k), size) if heat != 0 else ONE
            listed, top = first < size or (p < 1 and tiles == ONE), _tempered(peak, peak, heat)
            _temper_keys(block_keys, peak, heat)
        if valid and listed:
            n = _list_first(
                x, begin, size, first, logits, peak, heat, block_keys,
                values, indices, integers, rest,
            )  # fmt: skip
            _weigh(values, indices, n, logits, top, weights, integers, exponents)
        if valid and p < 1:
            share = _units_of_top_p(p)
            if listed:
                _sum_tiles(
                    values, indices, integers, n, logits, exponents,
                    tile_max, tile_shift, tile_offset,
                )  # fmt: skip
            else:
                n = _list_mass(
                    x, begin, size, share, logits, peak, heat, block_keys, values, indices,
                    integers, weights, exponents, before, tile_max, tile_shift, tile_offset,
                )  # fmt: skip
            target = max(_share(share, tile_offset[tiles]), ONE)
            valid, listed = n > ZERO and tile_offset[tiles] >= target, True
            if valid:
                key, last = select_mass(
                    values, n, target, integers, indices, tile_shift, before, above, equal, rest
                )
                n = _cut(values, indices, integers, n, key, last)
        if valid and m > 0:
            if not listed:
                low = key_of(real(_bound_of_share(m, np.float64(top), logits)))
                n = _list(x, begin, size, low, size, peak, heat, block_keys, values, indices)
                _weigh(values, indices, n, logits, top, weights, integers, exponents)
            share = _units_of_min_p(m)
            listed, n = True, _cut_small(values, indices, integers, n, share, exponents)
        if tiles > ONE:
            if listed:
                _sum_tiles(
                    values, indices, integers, n, logits, exponents,
                    tile_max, tile_shift, tile_offset,
                )  # fmt: skip
            else:
                _measure_row(
                    x, begin, size, logits, peak, heat, values, weights,
                    exponents, tile_max, tile_shift, tile_offset,
                )  # fmt: skip
            for j in range(tiles + ONE):
                of_row = r * (tiles + ONE) + j
                all_max[of_row], all_shift[of_row] = tile_max[j], tile_shift[j]
                all_offset[of_row] = tile_offset[j]
        if listed:
            if not valid:
                _fill(out, begin, size, narrowed(real(np.nan), half, out))
            for i in range(n):
                out[begin + indices[i]] = narrowed(values[i], half, out)
        else:
            for i in range(begin, begin + size):
                out[i] = narrowed(_tempered(x[i], peak, heat), half, out)


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
def _fill_block_keys(x, begin, size, logits, block_keys, fills, nothing, out):
    """Store the largest key of each block; return the largest value, or NaN if any is invalid.

    If it ``fills``, store nothing of the row in ``out``: beside this work, it costs little.
    """
    high = low = flip_negative(bits_of(x[begin]))
    for b in range(np.uint64(block_keys.size)):
        at, n = begin + b * BLOCK, min(BLOCK, size - b * BLOCK)
        if n == BLOCK:  # loops of constant length, which are faster
            highest, lowest = _extreme_keys(x, at, BLOCK)
            if fills:
                _fill(out, at, BLOCK, nothing)
        else:
            highest, lowest = _extreme_keys(x, at, n)
            if fills:
                _fill(out, at, n, nothing)
        block_keys[b] = highest
        high, low = max(high, highest), min(low, lowest)
    for b in range(np.uint64(block_keys.size)):
        block_keys[b] = _without_sign_of_zero(block_keys[b])
    return max_if_valid(_without_sign_of_zero(high), _without_sign_of_zero(low), logits)


@inner
def _without_sign_of_zero(key):
    return key_of(from_bits(flip_negative(key)))


@inner
def _extreme_keys(x, begin, n):
    """Return the largest and the smallest key of some entries, of which -0.0 has its own."""
    highest = lowest = flip_negative(bits_of(x[begin]))
    for i in range(n):
        key = flip_negative(bits_of(x[begin + i]))
        highest, lowest = max(highest, key), min(lowest, key)
    return highest, lowest


@inner
def _tempered(x, top, heat):
    """Return a value of a row divided by the temperature."""
    return (x - top) / heat if heat != 0 and heat != 1 else x


@inner
def _fill(out, begin, size, x):
    """Store one number in all entries of a row."""
    for i in range(begin, begin + size):
        out[i] = x


@inner
def _temper_keys(keys, peak, heat):
    """Divide the values of keys by the temperature."""
    if heat != 0 and heat != 1:
        for b in range(np.uint64(keys.size)):
            keys[b] = key_of(_tempered(from_bits(flip_negative(keys[b])), peak, heat))


@inner
def _list(x, begin, size, low, most, peak, heat, block_keys, values, indices):
    """List the entries of a row whose keys are ``low`` or more; return how many there are.

    Of the blocks in which this key is the largest, only ``most`` are searched.
    """
    n, low, blocks = ZERO, np.int64(low), np.uint64(block_keys.size)
    for first in range(ZERO, blocks, BLOCK):
        found = ZERO  # a bit for each block, and then for each entry: such loops are vectorized
        for b in range(min(BLOCK, blocks - first)):
            found |= np.uint64(block_keys[first + b] >= low) << b
        while found:
            b = first + trailing_zeros(found)
            found &= found - ONE
            if block_keys[b] == low:
                if most == ZERO:
                    continue
                most -= ONE
            hits, width = ZERO, min(BLOCK, size - b * BLOCK)
            if n + width > np.uint64(values.size):  # the row has changed
                return n
            for i in range(width):
                value = _tempered(x[begin + b * BLOCK + i], peak, heat)
                hits |= np.uint64(key_of(value) >= low) << i
            while hits:
                i = b * BLOCK + trailing_zeros(hits)
                values[n], indices[n] = _tempered(x[begin + i], peak, heat), i
                n += ONE
                hits &= hits - ONE
    return n


@inner
def _list_first(
    x, begin, size, count, logits, peak, heat, block_keys, values, indices, integers, rest
):
    """List the first ``count`` categories of a row by rank; return how many there are.

    Each block has at least its largest entry. So the ``count``-th largest of these is a lower bound
    of what is listed, and ``count`` blocks have enough entries that equal it.
    """
    blocks = np.uint64(block_keys.size)
    low = lowest = np.int64(key_of(x.dtype.type(-np.inf if logits else 0)))
    if count < blocks:
        low = largest_reached(block_keys, blocks, count)
    elif count < size and size > TILE:
        sample = _fill_sample(x, begin, size, peak, heat, values)
        for i in range(sample):
            integers[i] = ONE
        expected = np.float64(count) * np.float64(sample) / np.float64(size)
        first = np.uint64(expected + DEVIATIONS * math.sqrt(expected))
        low = _bound_by_sample(values, integers, sample, sample - min(first, sample))
    n = _list(x, begin, size, low, count, peak, heat, block_keys, values, indices)
    if n < count and low > lowest:
        n = _list(x, begin, size, lowest, count, peak, heat, block_keys, values, indices)
    if n > count:
        key, last = select_count(values, n, count, rest)
        n = _cut(values, indices, integers, n, key, last)  # there are no integers yet
    return n


@inner
def _list_mass(
    x, begin, size, share, logits, peak, heat, block_keys, values, indices,
    integers, weights, exponents, before, tile_max, tile_shift, tile_offset,
):  # fmt: skip
    """List the largest entries of a long row, with a share of its mass; return how many there are.

    These are none if the row changes meanwhile, so that its entries have too little mass. The tile
    statistics become those of the row.
    """
    tiles, top = tile_count(size), _tempered(peak, peak, heat)
    lowest = np.int64(key_of(x.dtype.type(-np.inf if logits else 0)))
    _measure_row(
        x, begin, size, logits, peak, heat, values, weights,
        exponents, tile_max, tile_shift, tile_offset,
    )  # fmt: skip
    target = max(_share(share, tile_offset[tiles]), ONE)
    sample = _fill_sample(x, begin, size, peak, heat, values)
    offset = logit_offset(np.float64(top), logits)
    _, scale = fill_weights(values, ZERO, sample, logits, np.float64(top), offset, weights)
    for i in range(sample):
        integers[i] = integer_weight(weights[i], scale)
    headroom = tile_shift[tiles] + FRACTION_BITS - exponents[tiles]
    below = np.float64(tile_offset[tiles] - target) * 2.0**headroom  # in the unit of the sample
    below *= np.float64(sample) / np.float64(size) / (1 + 4 * DEVIATIONS / math.sqrt(sample))
    low = _bound_by_sample(values, integers, sample, np.uint64(min(below, 2.0**62)))
    while True:
        n = _list(x, begin, size, low, size, peak, heat, block_keys, values, indices)
        _weigh(values, indices, n, logits, top, weights, integers, exponents)
        if _mass(indices, integers, n, tile_shift, before) >= target:
            return n
        if low == lowest:  # the row has changed
            return ZERO
        low = lowest


@inner
def _fill_sample(x, begin, size, peak, heat, values):
    """Store a sample of a row; return how many entries that is."""
    n = min(size // BLOCK, TILE)
    step = size // n
    for i in range(n):
        values[i] = _tempered(x[begin + i * step + i * SCATTER % step], peak, heat)
    return n


@inner
def _bound_by_sample(values, integers, n, most):
    """Return the largest key such that the entries below it have a sum of ``most`` at most."""
    low = high = np.int64(key_of(values[ZERO]))
    for i in range(n):
        key = np.int64(key_of(values[i]))
        low, high = min(low, key), max(high, key)
    while low < high:
        middle, below = (low | high) - ((low ^ high) >> 1), ZERO
        for i in range(n):
            below += integers[i] if key_of(values[i]) < middle else ZERO
        if below <= most:
            low = middle
        else:
            high = middle - 1
    return low


@inner
def _bound_of_share(share, top, logits):
    """Return a value that entries with that share of the largest weight exceed.

    It is for a smaller share: weights are rounded. No value of a row is between the exact sum or
    product and what that is rounded to.
    """
    return top + (math.log(share) - 1.0) if logits else top * (0.25 * share)


@inner
def _cut(values, indices, integers, n, key, last):
    """Keep the entries up to the one at ``last``, by rank; return how many there are."""
    kept = ZERO
    for i in range(n):
        here = np.int64(key_of(values[i]))
        stays = here > key or (here == key and i <= last)
        values[kept], indices[kept], integers[kept] = values[i], indices[i], integers[i]
        kept += np.uint64(stays)
    return kept


@inner
def _cut_small(values, indices, integers, n, share, exponents):
    """Keep the entries of a share of the largest or more; return how many there are."""
    top = exponents[np.uint64(exponents.size) - ONE]  # of the row
    largest = ZERO
    for i in range(n):
        if exponents[indices[i] // TILE] == top:
            largest = max(largest, integers[i])
    least, kept = max(_share(share, largest), ONE), ZERO
    for i in range(n):
        shift = np.uint64(min(top - exponents[indices[i] // TILE], 63))
        values[kept], indices[kept], integers[kept] = values[i], indices[i], integers[i]
        kept += np.uint64((integers[i] >> shift) >= least)
    return kept


@inner
def _weigh(values, indices, n, logits, top, weights, integers, exponents):
    """Compute the integers of a list, and the exponents of tiles, and then that of the row."""
    tiles = np.uint64(exponents.size) - ONE
    for t in range(tiles + ONE):
        exponents[t] = EMPTY_EXPONENT
    offset, i = logit_offset(np.float64(top), logits), ZERO
    while i < n:
        t, end = indices[i] // TILE, i + ONE
        while end < n and indices[end] // TILE == t:
            end += ONE
        highest = valid_max(values, i, end, logits)
        exponents[t], scale = fill_weights(values, i, end, logits, highest, offset, weights)
        exponents[tiles] = max(exponents[tiles], exponents[t])
        for j in range(i, end):
            integers[j] = integer_weight(weights[j - i], scale) if scale else ZERO
        i = end


@inner
def _sum_tiles(values, indices, integers, n, logits, exponents, tile_max, tile_shift, tile_offset):
    """Compute the tile statistics of a row that has only what is listed: if nothing, no weight."""
    tiles = np.uint64(exponents.size) - ONE
    lowest = (-np.inf if logits else 0.0) if n else np.nan
    for t in range(tiles + ONE):
        tile_max[t], tile_shift[t], tile_offset[t] = lowest, EMPTY_EXPONENT, ZERO
    for i in range(n):
        t = indices[i] // TILE
        tile_max[t], tile_shift[t] = max(tile_max[t], np.float64(values[i])), exponents[t]
        tile_offset[t] += integers[i]
    scan_tiles(tiles * TILE, logits, tile_max, tile_shift, tile_offset)


@inner
def _measure_row(
    x, begin, size, logits, peak, heat, values, weights,
    exponents, tile_max, tile_shift, tile_offset,
):  # fmt: skip
    """Compute the tile statistics of a whole row, and the exponents as `_weigh` does."""
    tiles, top = tile_count(size), _tempered(peak, peak, heat)
    offset = logit_offset(np.float64(top), logits)
    exponents[tiles] = EMPTY_EXPONENT
    for t in range(tiles):
        n = min(TILE, size - t * TILE)
        for i in range(n):
            values[i] = _tempered(x[begin + t * TILE + i], peak, heat)
        tile_max[t] = valid_max(values, ZERO, n, logits)
        exponents[t], scale = fill_weights(values, ZERO, n, logits, tile_max[t], offset, weights)
        exponents[tiles] = max(exponents[tiles], exponents[t])
        tile_shift[t] = exponents[t]
        tile_offset[t] = sum_weights(weights, ZERO, n, scale) if scale else ZERO
    scan_tiles(size, logits, tile_max, tile_shift, tile_offset)


@inner
def _mass(indices, integers, n, shifts, before):
    """Return the mass of a list; ``before`` is workspace for the sums of tiles."""
    tiles, mass = np.uint64(before.size), ZERO
    for t in range(tiles):
        before[t] = ZERO
    for i in range(n):
        before[indices[i] // TILE] += integers[i]
    for t in range(tiles):
        mass += before[t] >> np.uint64(shifts[t])
    return mass

"""Selection without sorting: the entry of a row by which its first entries reach a target.

Entries rank by value, the largest first, and then by position, the first one first. Values are
compared as keys: integers that sort as the values do.

This is quickselect: each step compares the entries that are left with a pivot. After as many steps
as it should take, pivots halve the range of keys, so that no input is slow.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .bits import bit_length, bits_of, flip_negative
from .constants import ONE, TILE, TWO, ZERO
from .entry import inner

FEW = 256  # entries, to which quickselect is applied at once
HALVINGS = 12  # of the range of keys of more entries beforehand


@intrinsic
def trailing_zeros(context, n):
    """Return the number of zeros below the lowest one of an integer, which is not zero."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@inner
def key_of(value):
    """Return a value as an integer that sorts as values do; -0.0 counts as 0.0."""
    return flip_negative(bits_of(value + type(value)(0)))


def empty_keys(values, n):
    """Return an array for keys of values."""


@overload(empty_keys)
def _empty_keys_for(values, n):
    integer = {32: np.int32, 64: np.int64}[values.dtype.bitwidth]
    return lambda values, n: np.empty(n, integer)


@inner
def largest_reached(keys, n, count):
    """Return the largest number that ``count`` keys reach, by halving: its loops are vectorized."""
    low = high = np.int64(keys[ZERO])
    for i in range(n):
        low, high = min(low, np.int64(keys[i])), max(high, np.int64(keys[i]))
    while low < high:
        middle = (low | high) - ((low ^ high) >> 1)
        pivot, reached = keys.dtype.type(middle), keys.dtype.type(0)
        for i in range(n):
            reached = keys.dtype.type(reached + (keys[i] >= pivot))
        if np.uint64(reached) >= count:
            low = middle
        else:
            high = middle - 1
    return low


@inner
def select_count(values, n, target, rest):
    """Return the key and the position of the entry by which ``target`` entries are reached.

    ``rest`` is workspace for the positions of ``n`` entries.
    """
    for i in range(n):
        rest[i] = i
    low, high = _range(values, rest, n)
    left, steps, reached = n, TWO * bit_length(n), ZERO
    while True:
        pivot = _pivot(values, rest, left, low, high, steps)
        steps -= min(steps, ONE)
        above = equal = ZERO
        for i in range(left):
            key = np.int64(key_of(values[rest[i]]))
            above += np.uint64(key > pivot)
            equal += np.uint64(key == pivot)
        if reached + above >= target:
            low = pivot + 1
            left = _keep(values, rest, left, low, high)
        elif reached + above + equal < target:
            high = pivot - 1
            left = _keep(values, rest, left, low, high)
            reached += above + equal
        else:
            break
    reached += above
    at = rest[ZERO]
    for i in range(left):  # those of one value, one by one
        if key_of(values[rest[i]]) == pivot and reached < target:
            at = rest[i]
            reached += ONE
    return pivot, at


@inner
def select_mass(values, n, target, integers, indices, shifts, before, above, equal, rest):
    """Return the key and the position of the entry by which a sum of ``target`` is reached.

    The sum is that of a cdf: ``integers`` are summed for each tile, and these sums are shifted
    right by ``shifts``, and added. ``indices`` are categories, which tell the tiles. ``before``,
    ``above`` and ``equal`` are workspace, with an entry for each tile.
    """
    tiles = np.uint64(before.size)
    left = _narrow(values, n, target, integers, indices, shifts, before, equal, rest)
    low, high = _range(values, rest, left)
    steps = TWO * bit_length(left)
    while True:
        pivot = _pivot(values, rest, left, low, high, steps)
        steps -= min(steps, ONE)
        for t in range(tiles):
            above[t] = equal[t] = ZERO
        for i in range(left):
            at = rest[i]
            key = np.int64(key_of(values[at]))
            if key > pivot:
                above[indices[at] // TILE] += integers[at]
            elif key == pivot:
                equal[indices[at] // TILE] += integers[at]
        mass_above = mass = ZERO
        for t in range(tiles):
            above[t] += before[t]
            equal[t] += above[t]
            mass_above += above[t] >> shifts[t]
            mass += equal[t] >> shifts[t]
        if mass_above >= target:
            low = pivot + 1
            left = _keep(values, rest, left, low, high)
        elif mass < target:
            high = pivot - 1
            left = _keep(values, rest, left, low, high)
            for t in range(tiles):
                before[t] = equal[t]
        else:
            break
    last = rest[ZERO]
    for i in range(left):  # those of one value, one by one
        at = rest[i]
        if key_of(values[at]) == pivot and mass_above < target:
            t, last = indices[at] // TILE, at
            mass_above -= above[t] >> shifts[t]
            above[t] += integers[at]
            mass_above += above[t] >> shifts[t]
    return pivot, last


@inner
def _narrow(values, n, target, integers, indices, shifts, before, ends, rest):
    """List the entries among which the target is reached in ``rest``; return how many these are.

    ``before`` takes the sums of tiles over larger entries. Of many entries, the range of keys is
    halved some times beforehand, by vectorized loops over the entries of each tile. ``ends`` is
    workspace for where these end.
    """
    tiles, left = np.uint64(before.size), ZERO
    for t in range(tiles):
        before[t] = ends[t] = ZERO
    for i in range(n):
        ends[indices[i] // TILE] = i + ONE
        rest[i] = i
    low, high = _range(values, rest, n)
    for _ in range(HALVINGS if n > FEW else 0):
        if low == high:
            break
        middle, mass, i = (low | high) - ((low ^ high) >> 1), ZERO, ZERO
        for t in range(tiles):
            total = ZERO
            for j in range(i, ends[t]):
                total += integers[j] if key_of(values[j]) >= middle else ZERO
            mass += total >> np.uint64(shifts[t])
            i = max(i, ends[t])
        if mass >= target:
            low = middle
        else:
            high = middle - 1
    for i in range(n):
        key = np.int64(key_of(values[i]))
        if key > high:
            before[indices[i] // TILE] += integers[i]
        rest[left] = i
        left += np.uint64(low <= key <= high)
    return left


@inner
def _range(values, rest, left):
    """Return the smallest and the largest key."""
    low = high = np.int64(key_of(values[rest[ZERO]]))
    for i in range(left):
        key = np.int64(key_of(values[rest[i]]))
        low, high = min(low, key), max(high, key)
    return low, high


@inner
def _pivot(values, rest, left, low, high, steps):
    """Return the median of three keys, or once steps are used up, the middle of the range."""
    if steps == ZERO:
        return (low & high) + ((low ^ high) >> 1)
    a, b = key_of(values[rest[ZERO]]), key_of(values[rest[left // TWO]])
    return max(min(a, b), min(max(a, b), key_of(values[rest[left - ONE]])))


@inner
def _keep(values, rest, left, low, high):
    """Keep the entries in a range of keys, in their order; return how many these are."""
    n = ZERO
    for i in range(left):
        at = rest[i]
        rest[n] = at
        n += np.uint64(low <= key_of(values[at]) <= high)
    return n

"""Draws without replacement from long rows: a removal changes the sums above it.

What is left of a row is described by these arrays, which are kept up to date:

``tile_max``
    The largest value of each tile when it was measured, and then that of the row.
``records``
    Of each tile, the exponent E_j, the sum S_j, the number of its leaders (see `distinct`), and
    whether its largest value has been removed since it was measured.
``block_cdf``
    The running sums of the blocks of each tile.
``removed``
    A bit for each category. So the values are read where they are.
``tree``
    The running sums of the parts S_j >> s_j of the tiles, of as many nodes of these, and so on. The
    child of entry e is node e + 1.
``numbers``
    Of the row as a whole: see the names of the entries.
``left_weights``
    The weights of all tiles as they were measured, 0 where removed. It is empty if draws are few:
    then the weights of a block are computed for each.

A draw changes few sums, so the next one's block is searched before it is made, and prefetched. The
sums then tell whether it was the right one.

A tile is measured again where its last leader is removed. All shifts change where the exponent or
the headroom of the row does: that is one pass over the records. All tiles are measured again where
the offset of logits changes: beyond 2**20, with each removal of the largest of all. Those that are
too small to matter are left out, so this takes long only if few logits are equal and many are near
the largest.
"""

import numpy as np

from .bits import bit_length, ceil_log2, multiply_high, prefetch
from .constants import BLOCK, CHILDREN, ONE, THREE, TILE, WORD_BUFFER, ZERO
from .distinct import (
    BLOCKS,
    count_leaders,
    count_up_to,
    fill_weights,
    leads,
    offset_line,
    subtract_from,
    valid_max,
)
from .entry import entry, uncounted
from .grid import grid_point
from .philox import fill_random_words
from .tiles import tile_count
from .weights import (
    EMPTY_EXPONENT,
    integer_weight,
    logit_offset,
    prescale,
    sum_weights,
    weight_scale,
)

SERIAL_TILES = np.uint64(64)  # of rows that a kernel measures by itself
TILE_COST = 20  # to measure a tile takes as long as so many draws
CACHE_LINE = 64  # bytes
NEGLIGIBLE_LOGIT = -45.0  # below the largest of the row, a tile's integers are shifted to 0
BEYOND_BOUNDS = (1 << 63) - 1

# Fields of a record, and their number.
EXPONENT, SUM, LEADERS, STALE, FIELDS = (np.uint64(i) for i in range(5))
# Entries of `numbers`: the row and the draw to go on with, and the stage of the row; the sum of its
# parts; the upper bound of that, and the range in which it needs no other headroom; the exponent,
# the headroom, and what suffices for any row; the numbers of tiles that have that exponent, and
# that reach the `offset_line`.
ROW, DRAW, STAGE, TOTAL, BOUND, LEAST, BEYOND, HIGHEST, HEADROOM, ENOUGH, LEADING, ABOVE = (
    np.uint64(i) for i in range(12)
)
FRESH, CROSSED, MEASURED, READY = 0, 1, 2, 3  # stages; in the first two, tiles must be measured


@entry
def measure_tiles(
    x, size, logits, begin, end, values, weights,
    tile_max, records, block_cdf, removed, tree, numbers, left_weights,
):  # fmt: skip
    """Measure tiles ``begin`` to ``end`` of the row that is being drawn from."""
    first = np.uint64(numbers[ROW]) * size
    for j in range(begin, end):
        measure_tile(
            x, first, first + size, logits, j, values, weights,
            tile_max, records, block_cdf, removed, numbers, left_weights,
        )  # fmt: skip


@uncounted
def measure_tile(
    x, begin, end, logits, j, values, weights,
    tile_max, records, block_cdf, removed, numbers, left_weights,
):  # fmt: skip
    """Measure what is left of a tile."""
    row_max, record = tile_max[tile_count(end - begin)], j * FIELDS
    offset, line = logit_offset(row_max, logits), offset_line(row_max, logits)
    low, base, real = begin + j * TILE, j * BLOCKS, x.dtype.type
    records[record + EXPONENT] = EMPTY_EXPONENT
    records[record + SUM] = records[record + LEADERS] = 0
    crossed = numbers[STAGE] == CROSSED and offset  # maxima are known, and the row's exponent is 0
    if crossed and real(tile_max[j]) - real(offset) < NEGLIGIBLE_LOGIT:
        return
    n = min(TILE, end - low)
    blocks = (n + BLOCK - ONE) // BLOCK
    padded = blocks * BLOCK
    copy_tile(x, low, n, logits, removed, base, values)
    tile_max[j] = top = valid_max(values, ZERO, padded, logits)
    records[record + STALE] = 0
    exponent, scale = fill_weights(values, ZERO, padded, logits, top, offset, weights)
    if not scale:
        return
    total = ZERO
    for b in range(BLOCKS):
        if b < blocks:
            total += sum_weights(weights, b * BLOCK, b * BLOCK + BLOCK, scale)
        block_cdf[base + b] = total
    if left_weights.size:
        for k in range(padded):
            left_weights[j * TILE + k] = weights[k]
    leaders = count_leaders(values, ZERO, padded, logits, top, offset, line, scale)
    records[record + EXPONENT] = exponent
    records[record + SUM], records[record + LEADERS] = np.int64(total), np.int64(leaders)


@uncounted
def copy_tile(x, begin, n, logits, removed, base, values):
    """Copy what is left of a tile of ``n`` categories, padded to whole blocks."""
    blocks, any_removed = (n + BLOCK - ONE) // BLOCK, ZERO
    for b in range(blocks):
        any_removed |= removed[base + b]
    if not any_removed and n == blocks * BLOCK:
        for i in range(n):  # without blocks, this takes a fifth of the time
            values[i] = x[begin + i]
        return
    for b in range(blocks):
        k = b * BLOCK
        copy_left(x, begin + k, min(BLOCK, n - k), logits, removed[base + b], values, k)


@uncounted
def copy_left(x, begin, n, logits, removed, values, at):
    """Copy what is left of a block of ``n`` categories, padded."""
    no_weight = x.dtype.type(-np.inf if logits else 0)
    if n == BLOCK and removed == ZERO:
        for i in range(BLOCK):
            values[at + i] = x[begin + i]
    elif n == BLOCK:
        for i in range(BLOCK):
            value = x[begin + i]
            values[at + i] = no_weight if (removed >> i) & ONE else value
    else:
        for i in range(BLOCK):
            left = i < n and not (removed >> i) & ONE
            values[at + i] = x[begin + i] if left else no_weight


@uncounted
def scan(tiles, logits, tile_max, records, tree, numbers):
    """Prepare draws from a row whose tiles are measured, unless the maximum was not right."""
    top, was = tile_max[ZERO], tile_max[tiles]
    for j in range(tiles):
        if not tile_max[j] <= top:
            top = tile_max[j] if top == top else np.nan
    tile_max[tiles] = top
    if logit_offset(top, logits) != logit_offset(was, logits):
        numbers[STAGE] = CROSSED
        return
    line, numbers[ABOVE] = offset_line(top, logits), 0
    for j in range(tiles):
        numbers[ABOVE] += tile_max[j] >= line
    scale_tiles(tiles, records, tree, numbers)
    numbers[STAGE] = READY
    if top != top:
        numbers[TOTAL] = 0


@uncounted
def shift_of(exponent, headroom, numbers):
    """Return the shift of a tile, for some headroom."""
    return np.uint64(min(max(numbers[HIGHEST] - exponent + headroom, 0), 63))


@uncounted
def bound_of(exponent, tile_sum, numbers):
    """Return the term of a tile of the upper bound."""
    return tile_sum >> np.int64(shift_of(exponent, numbers[ENOUGH], numbers))


@uncounted
def scale_tiles(tiles, records, tree, numbers):
    """Compute the exponent and the headroom of a row, and the tree."""
    highest, leading = records[EXPONENT], 0
    for j in range(tiles):
        highest = max(highest, records[j * FIELDS + EXPONENT])
    enough = ceil_log2(tiles)
    numbers[HIGHEST], numbers[ENOUGH], bound = highest, enough, np.int64(tiles)
    for j in range(tiles):
        exponent = records[j * FIELDS + EXPONENT]
        leading += exponent == highest
        bound += bound_of(exponent, records[j * FIELDS + SUM], numbers)
    bits = bit_length(np.uint64(bound))
    headroom = enough - min(enough, max(0, 62 - bits))
    numbers[BOUND], numbers[LEADING], numbers[HEADROOM] = bound, leading, headroom
    numbers[LEAST] = np.int64(1) << (bits - 1) if headroom else 0
    numbers[BEYOND] = np.int64(1) << max(bits, 62 - enough) if bits < 62 else BEYOND_BOUNDS
    first, n = first_leaf(tiles), tiles
    for j in range(tiles):
        shift = shift_of(records[j * FIELDS + EXPONENT], headroom, numbers)
        tree[first * CHILDREN + j] = np.uint64(records[j * FIELDS + SUM]) >> shift
    while True:  # level by level
        nodes, total = (n + CHILDREN - ONE) // CHILDREN, ZERO
        for node in range(first, first + nodes):
            total = ZERO
            for i in range(node * CHILDREN, (node + ONE) * CHILDREN):
                total += tree[i] if i < first * CHILDREN + n else ZERO
                tree[i] = total
            if node:
                tree[node - ONE] = total
        if first == ZERO:
            break
        first, n = (first - ONE) // CHILDREN, nodes
    numbers[TOTAL] = np.int64(total)


@uncounted
def first_leaf(tiles):
    """Return the first node of the tree whose entries are tiles."""
    first, entries = ZERO, CHILDREN
    while entries < tiles:
        first, entries = first * CHILDREN + ONE, entries * CHILDREN
    return first


@uncounted
def subtract_part(tree, entry, difference):
    """Subtract from the part of a tile, and from all sums that contain it."""
    while True:
        node = entry // CHILDREN
        subtract_from(tree, node * CHILDREN, CHILDREN, entry % CHILDREN, difference)
        if node == ZERO:
            break
        entry = node - ONE


@uncounted
def find_max(x, begin, end, logits, values, tile_max, records, removed):
    """Find the largest value of what is left of a row."""
    tiles, top = tile_count(end - begin), -np.inf
    for j in range(tiles):
        if records[j * FIELDS + STALE]:
            low, base = begin + j * TILE, j * BLOCKS
            n = min(TILE, end - low)
            copy_tile(x, low, n, logits, removed, base, values)
            tile_max[j] = valid_max(values, ZERO, n, logits)
            records[j * FIELDS + STALE] = 0
        top = max(top, tile_max[j])
    return top


@uncounted
def sum_before(tree, entry):
    """Return the running sum of the entries of a node that come before one of them."""
    return tree[entry - ONE] if entry % CHILDREN else ZERO


@uncounted(forceinline=True)
def tile_shift(records, j, numbers):
    """Return the shift of tile ``j``."""
    return shift_of(records[j * FIELDS + EXPONENT], numbers[HEADROOM], numbers)


@uncounted(forceinline=True)
def locate(word, size, first, records, block_cdf, tree, numbers):
    """Return the tile and the block of a row in which a random word draws."""
    target, node = multiply_high(word, np.uint64(numbers[TOTAL])), ZERO
    while True:
        base = node * CHILDREN
        i = min(count_up_to(tree, base, CHILDREN, target), CHILDREN - ONE)
        target -= sum_before(tree, base + i)
        if node >= first:
            break
        node = base + i + ONE
    j = min(base + i - first * CHILDREN, tile_count(size) - ONE)
    blocks = (min(TILE, size - j * TILE) + BLOCK - ONE) // BLOCK
    target = ((target + ONE) << tile_shift(records, j, numbers)) - ONE
    return j, min(count_up_to(block_cdf, j * BLOCKS, BLOCKS, target), blocks - ONE)


@uncounted(forceinline=True)
def within_block(word, j, b, first, records, block_cdf, tree, numbers):
    """Return what remains of a random word's target in a block, and whether it lies there."""
    target, entry = multiply_high(word, np.uint64(numbers[TOTAL])), first * CHILDREN + j
    part = tree[entry] - sum_before(tree, entry)
    while True:
        target -= sum_before(tree, entry)
        if entry < CHILDREN:
            break
        entry = entry // CHILDREN - ONE
    found = target < part
    target = ((target + ONE) << tile_shift(records, j, numbers)) - ONE
    before = block_cdf[j * BLOCKS + b - ONE] if b else ZERO
    target -= before
    return target, found & (target < block_cdf[j * BLOCKS + b] - before)


@uncounted(forceinline=True)
def take(
    x, begin, end, logits, word, guess, first, values, weights,
    tile_max, records, block_cdf, removed, tree, numbers, left_weights,
):  # fmt: skip
    """Draw a category of a row, and remove it; ``guess`` is a tile and a block to try first."""
    tiles, (j, b) = tile_count(end - begin), guess
    if numbers[TOTAL] == 0:
        return np.int64(-1)
    target, found = within_block(word, j, b, first, records, block_cdf, tree, numbers)
    if not found:
        j, b = locate(word, end - begin, first, records, block_cdf, tree, numbers)
        target, _ = within_block(word, j, b, first, records, block_cdf, tree, numbers)
    record, base, low = j * FIELDS, j * BLOCKS, begin + j * TILE + b * BLOCK
    exponent, was = records[record + EXPONENT], records[record + SUM]
    shift = tile_shift(records, j, numbers)
    n, row_max, top = min(BLOCK, end - low), tile_max[tiles], tile_max[j]
    offset, line = logit_offset(row_max, logits), offset_line(row_max, logits)
    if left_weights.size:
        at, scale = low - begin, weight_scale(top, logits)
        k, q = search_block(left_weights, at, n, scale, target)
        value = x[low + k] if logits else unscaled(left_weights[at + k], top)
        left_weights[at + k] = 0
    else:
        copy_left(x, low, n, logits, removed[base + b], values, ZERO)
        scale = fill_weights(values, ZERO, BLOCK, logits, top, offset, weights)[1]
        k, q = search_block(weights, ZERO, n, scale, target)
        value = values[k]

    removed[base + b] |= ONE << k
    records[record + SUM] -= np.int64(q)
    records[record + STALE] |= value == top
    records[record + LEADERS] -= leads(value, logits, top, offset, line, scale)
    subtract_from(block_cdf, base, BLOCKS, b, q)
    numbers[BOUND] -= bound_of(exponent, was, numbers)
    if records[record + LEADERS] == 0:
        numbers[LEADING] -= exponent == numbers[HIGHEST]
        numbers[ABOVE] -= top >= line
        measure_tile(
            x, begin, end, logits, j, values, weights,
            tile_max, records, block_cdf, removed, numbers, left_weights,
        )  # fmt: skip
        exponent = records[record + EXPONENT]
        numbers[LEADING] += exponent == numbers[HIGHEST]
        numbers[ABOVE] += tile_max[j] >= line
    now = records[record + SUM]
    numbers[BOUND] += bound_of(exponent, now, numbers)
    fits = numbers[LEAST] <= numbers[BOUND] < numbers[BEYOND]
    if numbers[ABOVE] <= 0:
        tile_max[tiles] = find_max(x, begin, end, logits, values, tile_max, records, removed)
        numbers[STAGE] = CROSSED
    elif numbers[LEADING] <= 0 or exponent > numbers[HIGHEST] or not fits:
        scale_tiles(tiles, records, tree, numbers)
    else:
        part = np.uint64(was) >> shift
        part -= np.uint64(now) >> shift_of(exponent, numbers[HEADROOM], numbers)
        subtract_part(tree, first * CHILDREN + j, part)
        numbers[TOTAL] -= np.int64(part)
    return np.int64(low + k - begin)


@uncounted(forceinline=True)
def unscaled(weight, top):
    """Return the probability that `fill_weights` has turned into a weight."""
    return weight / type(weight)(prescale(top))


@uncounted
def search_block(weights, begin, n, scale, target):
    """Return the first category of a block whose running sum exceeds ``target``, and its integer.

    It is the last one if none does, as in a row that changes.
    """
    running, before, k = ZERO, ZERO, ZERO
    while True:
        before, running = running, running + integer_weight(weights[begin + k], scale)
        if running > target or k + ONE >= n:
            return k, running - before
        k += ONE


@entry
def draw_distinct_long_rows(
    x, size, logits, key, counter_strides, out_strides, runs, draws, out,
    budget, random_words, values, weights,
    tile_max, records, block_cdf, removed, tree, numbers, left_weights,
):  # fmt: skip
    """Draw without replacement from rows of several tiles; return whether all draws are made.

    If not, ``budget``, a number of draws, is spent, or a row of many tiles must be measured first.
    """
    rows, tiles = np.uint64(x.size) // size, tile_count(size)
    leaf, reads_values = first_leaf(tiles), logits or not left_weights.size
    while np.uint64(numbers[ROW]) < rows:
        r, first = np.uint64(numbers[ROW]), np.uint64(numbers[DRAW])
        begin, end = r * size, r * size + size
        if numbers[STAGE] < MEASURED:
            if tiles > SERIAL_TILES:
                return False
            for j in range(tiles):
                measure_tile(
                    x, begin, end, logits, j, values, weights,
                    tile_max, records, block_cdf, removed, numbers, left_weights,
                )  # fmt: skip
            numbers[STAGE] = MEASURED
            budget -= np.int64(tiles) * TILE_COST
        if numbers[STAGE] == MEASURED:
            scan(tiles, logits, tile_max, records, tree, numbers)
            continue
        n, i = min(WORD_BUFFER, draws - first), ZERO
        index = grid_point(counter_strides, r, ZERO, first)
        position = grid_point(out_strides, r, ZERO, first)
        skip = fill_random_words(random_words, n, key, index, counter_strides[THREE])
        following = ZERO, ZERO
        while i < n and numbers[STAGE] == READY:
            guess, word = following, random_words[skip + i + ONE]
            following = locate(word, size, leaf, records, block_cdf, tree, numbers)
            low = begin + following[0] * TILE + following[1] * BLOCK
            for k in range(low, low + BLOCK, np.uint64(CACHE_LINE // left_weights.itemsize)):
                prefetch(left_weights, k - begin)
                if reads_values:
                    prefetch(x, k)
            out[position + i * out_strides[THREE]] = take(
                x, begin, end, logits, random_words[skip + i], guess, leaf, values, weights,
                tile_max, records, block_cdf, removed, tree, numbers, left_weights,
            )  # fmt: skip
            i += ONE
        budget -= np.int64(n)
        numbers[DRAW] += np.int64(i)
        if np.uint64(numbers[DRAW]) >= draws:
            numbers[ROW] += 1
            numbers[DRAW], numbers[STAGE], tile_max[tiles] = 0, FRESH, 0.0
            for b in range(np.uint64(removed.size)):
                removed[b] = ZERO
        if budget < 0:
            return np.uint64(numbers[ROW]) >= rows
    return True

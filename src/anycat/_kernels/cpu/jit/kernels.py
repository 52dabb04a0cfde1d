"""The draw in Numba: stream version 1, as ``docs/draw.md`` defines it.

The type of the weights chooses the lane: float32 takes the float32 exponential, float64 the
float64 one. Nothing of which a draw depends may be reordered or contracted: no fastmath there.
Indices are unsigned and arrays are not sliced, since Numba's test for negative indices would stop
vectorisation, and its reference counts cost more than a short row.
"""

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable

from .entry import entry, inner

TILE = np.uint64(4096)  # categories that share an exponent: part of the definition
BLOCK = np.uint64(64)  # categories between two remembered partial sums of a tile
CHUNK = np.uint64(512)  # terms added in the precision of the values, or read again at once
LANES = np.uint64(64)  # short rows that are taken at once
WORDS = np.uint64(1024)  # random words made at once
SPARE = np.uint64(4)  # and what may be made beside them

EMPTY = -(1 << 40)  # the exponent of a tile without weight
FIXED = 49  # bits below the leading one of a tile's largest weight
MASK = np.uint64(0xFFFFFFFF)
HALF, BYTE = np.uint64(32), np.uint64(8)
ZERO, ONE, TWO, THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
BEYOND = np.uint64(2**63 - 1)  # more than any boundary
TWO_52 = np.uint64(0x4330000000000000)  # bits of 2**52: x + 2**52 holds x, rounded, below them


# --- bits -----------------------------------------------------------------------------------


@intrinsic
def _bits(context, x):
    """Return the bits of a float as a signed integer of its width."""
    integer = {types.float32: types.int32, types.float64: types.int64}[x]

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return integer(x), codegen


@intrinsic
def _from_bits(context, x):
    """Return the float with the bits of an integer of its width."""
    real = {32: types.float32, 64: types.float64}[x.bitwidth]

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return real(x), codegen


@intrinsic
def _fma(context, x, y, z):
    """Return ``x * y + z``, rounded once."""

    def codegen(context, builder, signature, args):
        t = args[0].type
        name = {types.float32: "llvm.fma.f32", types.float64: "llvm.fma.f64"}[x]
        function = ir.FunctionType(t, [t, t, t])
        return builder.call(cgutils.get_or_insert_function(builder.module, function, name), args)

    return x(x, x, x), codegen


@intrinsic
def _scale_word(context, word, total):
    """Return ``floor(word * total / 2**64)``."""

    def codegen(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(a, wide) for a in args))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


def _flip(bits):
    """Turn the bits of floats into integers that sort as the floats do, and back.

    0.0 is 0 and -0.0 is -1; NaN lies beyond both infinities.
    """


@overload(_flip)
def _flip_for(bits):
    integer = {32: np.int32, 64: np.int64}[bits.bitwidth]
    sign, rest = integer(bits.bitwidth - 1), np.iinfo(integer).max
    return lambda bits: integer(bits ^ ((bits >> sign) & integer(rest)))


def _largest_finite(x):
    """Return the largest finite number of the type of ``x``."""


@overload(_largest_finite)
def _largest_finite_for(x):
    largest = np.finfo(np.float32 if x is types.float32 else np.float64).max
    return lambda x: largest


@entry
def widen(bits, half, out):
    """Put the numbers with the bits of float16, or else of bfloat16, into ``out``, of float32.

    Exactly, and several times as fast as NumPy does it.
    """
    infinite, normal = np.int32(0x7C00 << 13), np.int32(1 << 23)
    least = _from_bits(np.int32(113 << 23))  # 2**-14, the least normal number
    for i in range(np.uint64(bits.size)):
        if not half:
            out[i] = _from_bits(np.int32(np.uint32(bits[i]) << 16))
            continue
        rest = np.int32((bits[i] & 0x7FFF) << 13)
        raised = _from_bits(np.int32(rest + np.int32(224 << 23 if rest >= infinite else 112 << 23)))
        subnormal = _from_bits(np.int32(rest + np.int32(113 << 23))) - least
        x = raised if rest >= normal else subnormal
        out[i] = -x if bits[i] >> 15 else x


# --- random words ---------------------------------------------------------------------------


@njit(inline="always")
def _philox(block, k0, k1, s0, s1):
    """Return the two words of a Philox4x32-10 block: those of draws 2 block and 2 block + 1.

    Each 32-bit number is held in 64 bits, and masked where it is multiplied: LLVM's vectoriser
    then knows that a widening vector multiply will do. It must see the masks, hence the inlining.
    """
    c0, c1, c2, c3 = block, block >> HALF, s0, s1
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * (c0 & MASK), np.uint64(0xCD9E8D57) * (c2 & MASK)
        c0, c1, c2, c3 = (p1 >> HALF) ^ (c1 ^ k0), p1 & MASK, (p0 >> HALF) ^ (c3 ^ k1), p0 & MASK
        k0 = (k0 + np.uint64(0x9E3779B9)) & MASK
        k1 = (k1 + np.uint64(0xBB67AE85)) & MASK
    return c0 | (c1 << HALF), c2 | (c3 << HALF)


@entry
def fill_words(words, n, key, first, step):
    """Make the words of draws first, first + step, ...; return where in ``words`` they begin.

    There must be room for ``n + SPARE`` words.
    """
    k0, k1, s0, s1 = key[ZERO], key[ONE], key[TWO], key[THREE]
    if step == ONE:
        skip = first & ONE
        half = (skip + n + THREE) >> TWO
        for i in range(half):  # two blocks at once: one alone waits for its own multiplications
            j = half + i
            words[TWO * i], words[TWO * i + ONE] = _philox((first >> ONE) + i, k0, k1, s0, s1)
            words[TWO * j], words[TWO * j + ONE] = _philox((first >> ONE) + j, k0, k1, s0, s1)
        return skip
    for i in range(n):
        number = first + i * step
        even, odd = _philox(number >> ONE, k0, k1, s0, s1)
        words[i] = odd if number & ONE else even
    return ZERO


# --- weights as integers --------------------------------------------------------------------


def _exp(x):
    """Return (g, n) with g * 2**n within an ulp of exp(x), g about 1, for abs(x) <= 2**21."""


_EXP_FLOAT32 = "1.6a2434p-10 1.1239e2p-7 1.5558f2p-5 1.555492p-3 1.fffffcp-2"
_EXP_FLOAT64 = (
    "1.ad7f6966eed54p-26 1.28ad72c46d724p-22 1.71df2555820b7p-19 1.a0199a0c7067bp-16 "
    "1.a01a012a56626p-13 1.6c16c1842a0e4p-10 1.1111111127be9p-7 1.555555555087dp-5 "
    "1.55555555554fap-3 1.000000000000ap-1"
)


@overload(_exp)
def _exp_for(x):
    if x is types.float32:
        real, integer, mantissa, coefficients = np.float32, np.int32, 23, _EXP_FLOAT32
        ln2_high, ln2_low = "1.62e43p-1", "-1.05c61p-29"
        c6, c5, c4, c3, c2 = (real(float.fromhex(c)) for c in coefficients.split())

        def polynomial(r):
            return _fma(_fma(_fma(_fma(c6, r, c5), r, c4), r, c3), r, c2)

    else:
        real, integer, mantissa, coefficients = np.float64, np.int64, 52, _EXP_FLOAT64
        ln2_high, ln2_low = "1.62e42fefa39efp-1", "1.abc9e3b39803fp-56"
        c11, c10, c9, c8, c7, c6, c5, c4, c3, c2 = (
            real(float.fromhex(c)) for c in coefficients.split()
        )

        def polynomial(r):
            p = _fma(_fma(_fma(_fma(c11, r, c10), r, c9), r, c8), r, c7)
            return _fma(_fma(_fma(_fma(_fma(p, r, c6), r, c5), r, c4), r, c3), r, c2)

    evaluate = register_jitable(polynomial)
    log2_e, one = real(math.log2(math.e)), real(1)
    minus_high, minus_low = -real(float.fromhex(ln2_high)), -real(float.fromhex(ln2_low))
    rounder = real(1.5 * 2.0**mantissa)  # x + rounder holds x, rounded, in its lowest bits
    rounder_bits = rounder.view(integer)

    def exp(x):
        rounded = _fma(x, log2_e, rounder)
        n = rounded - rounder
        r = _fma(n, minus_low, _fma(n, minus_high, x))
        return _fma(_fma(evaluate(r), r, one), r, one), integer(_bits(rounded) - rounder_bits)

    return exp


def _times_power(g, n):
    """Return g * 2**n, for a normal g and a normal result."""


@overload(_times_power)
def _times_power_for(g, n):
    integer, mantissa = (np.int32, 23) if g is types.float32 else (np.int64, 52)
    return lambda g, n: _from_bits(integer(_bits(g) + (n << mantissa)))


@inner
def _extremes(x, begin, end, logits):
    """Return the largest and the least of some values, as integers that sort as they do.

    Among those of probabilities that are negative they need not, and -0.0 counts as 0.0.
    """
    if logits:
        high = low = _flip(_bits(x[begin]))
        for k in range(begin, end):
            value = _flip(_bits(x[k]))
            high, low = max(high, value), min(low, value)
    else:
        high = low = _bits(x[begin] + x.dtype.type(0))
        for k in range(begin, end):
            value = _bits(x[k] + x.dtype.type(0))
            high, low = max(high, value), min(low, value)
    return high, low


@inner
def _top(x, begin, end, logits):
    """Return the largest value of a tile, or NaN if any value is no parameter."""
    high, low = _extremes(x, begin, end, logits)
    return np.float64(_sound(high, low, logits))


@inner
def _sound(high, low, logits):
    """Return the largest value by the extremes, or NaN if any value is no parameter."""
    largest = _largest_finite(_from_bits(high))
    least = _flip(_bits(-largest)) - 1 if logits else 0  # -inf is allowed
    return _from_bits(_flip(high)) if low >= least and high <= _bits(largest) else largest * np.nan


@inner
def _lift(top):
    """Return what weights are multiplied by first, lest 2**(49 - E) be no float64."""
    return 2.0**512 if top < 2.0**-900 else 1.0


@inner
def _exponent(top):
    """Return E = floor(log2(top))."""
    return (_bits(top) >> 52) - 1023


@inner
def _scale(top):
    """Return 2**(49 - E)."""
    return _from_bits((FIXED - _exponent(top) + 1023) << 52)


@inner
def _weigh(x, begin, end, logits, top, shift, tile):
    """Put the weights of a tile into ``tile``; return their exponent E and 2**(49 - E)."""
    n = end - begin
    if logits:
        offset = x.dtype.type(shift)
        highest = x.dtype.type(top) - offset
        if not highest >= -(2.0**21):
            return EMPTY, 0.0
        # exp(-80) of the largest weight is less than half a unit: it counts as nothing.
        lowest = highest - x.dtype.type(80)
        exponent = _exp(highest)[1]
        for k in range(n):
            value = x[begin + k] - offset
            g, power = _exp(value if value > lowest else lowest)
            tile[k] = _times_power(g, power - exponent)
        return np.int64(exponent), 2.0**FIXED
    if not top > 0:
        return EMPTY, 0.0
    factor = x.dtype.type(_lift(top))
    for k in range(n):
        tile[k] = x[begin + k] * factor
    return _exponent(top * factor) - (512 if factor > 1 else 0), _scale(top * factor)


@inner
def _integer_and_more(weight, scale):
    """Return weight * scale, which is below 2**51, rounded to the nearest integer, and TWO_52."""
    return np.uint64(_bits(_fma(np.float64(weight), scale, 2.0**52)))


@inner
def _integer(weight, scale):
    """Return weight * scale, which is below 2**51, rounded to the nearest integer."""
    return _integer_and_more(weight, scale) - TWO_52


@inner
def _sum(weights, begin, end, scale):
    """Return the sum of a tile."""
    total = ZERO
    for k in range(begin, end):
        total += _integer_and_more(weights[k], scale)
    return total - (end - begin) * TWO_52


@inner
def _sum_blocks(tile, n, scale, sums):
    """Put the running sum after each block of a tile into ``sums``; return the whole sum."""
    total = ZERO
    for block in range(ZERO, n, BLOCK):
        total += _sum(tile, block, min(block + BLOCK, n), scale)
        sums[block // BLOCK] = total
    return total


@inner
def _crossing(tile, scale, sums, target):
    """Return the first category of a tile whose running sum exceeds ``target``."""
    block = ZERO
    running = ZERO
    while sums[block] <= target:
        running = sums[block]
        block += ONE
    k = block * BLOCK
    while True:
        running += _integer(tile[k], scale)
        if running > target:
            return k
        k += ONE


# --- one row --------------------------------------------------------------------------------
#
# A row is the part of the flat array ``x`` from ``begin`` to ``end``.


@inner
def _shift(top, logits):
    """Return what the logits of a row with this largest one are shifted by."""
    return top if logits and 2.0**20 < abs(top) < np.inf else 0.0


@inner
def _bit_length(n):
    result = 0
    while n:
        n >>= ONE
        result += 1
    return result


@inner
def _ceil_log2(n):
    return _bit_length(n - ONE)


@inner
def _tiles(size):
    """Return the number of tiles of a row."""
    return (size + TILE - ONE) // TILE


@entry
def measure_tiles(x, size, logits, begin, end, tile, tops, shifts, starts):
    """Measure tiles ``begin`` to ``end`` of all tiles of all rows.

    Each row has a place for each tile, and one more: ``tops`` holds the largest values, ``shifts``
    the exponents E_j, ``starts`` the sums S_j. The last of ``tops`` is taken for the row's largest.
    """
    tiles = _tiles(size)
    for t in range(begin, end):
        r, j = t // tiles, t % tiles
        first, base = r * size, r * (tiles + ONE)
        low, high = first + j * TILE, first + min(j * TILE + TILE, size)
        tops[base + j] = top = _top(x, low, high, logits)
        if not logits and top > 0 and _lift(top) == 1.0:  # as they are
            shifts[base + j], scale = _exponent(top), _scale(top)
            starts[base + j] = _sum(x, low, high, scale)
        else:
            shift = _shift(tops[base + tiles], logits)
            shifts[base + j], scale = _weigh(x, low, high, logits, top, shift, tile)
            starts[base + j] = _sum(tile, ZERO, high - low, scale) if scale else ZERO


@entry
def lay_tiles(size, logits, tops, shifts, starts):
    """Lay the measured tiles of each row end to end; tell whether they were measured rightly.

    If not, the rows' largest logits had not been known, which are in their places now.
    ``shifts[j]`` becomes s_j, and the last one the exponent of the unit; ``starts[j]`` the sum of
    the tiles before j, and the last one T, or 0 where nothing can be drawn.
    """
    tiles = _tiles(size)
    right = True
    for begin in range(ZERO, np.uint64(tops.size), tiles + ONE):
        end = begin + tiles
        top, exponent = tops[begin], shifts[begin]
        for t in range(begin, end):
            if not tops[t] <= top:
                top = tops[t] if top == top else np.nan
            exponent = max(exponent, shifts[t])
        right = right and _shift(top, logits) == _shift(tops[end], logits)
        tops[end] = top
        room = _ceil_log2(tiles)
        bound = tiles
        for t in range(begin, end):
            bound += starts[t] >> np.uint64(min(exponent - shifts[t] + room, 63))
        room -= min(room, max(0, 62 - _bit_length(bound)))
        total = ZERO
        for t in range(begin, end):
            shifts[t] = min(exponent - shifts[t] + room, 63) if top == top else 63
            starts[t], total = total, total + (starts[t] >> np.uint64(shifts[t]))
        shifts[end], starts[end] = exponent + room - FIXED, total
    return right


@entry
def exponentials(tops, fractions, powers):
    """Split the weights of the largest logits of rows into g and n, of g * 2**n."""
    for r in range(np.uint64(tops.size)):
        top = tops[r]
        offset = tops.dtype.type(_shift(np.float64(top), True))
        fractions[r], powers[r] = _exp(top - offset)


@inner
def _find(x, begin, end, logits, tile, sums, tops, shifts, starts, base, target):
    """Return the category of a measured row whose integers hold ``target``.

    What is known of the row begins at ``base``.
    """
    tiles = _tiles(end - begin)
    j, after = ZERO, tiles
    while after - j > ONE:
        middle = (j + after) >> ONE
        if starts[base + middle] <= target:
            j = middle
        else:
            after = middle
    low = begin + j * TILE
    high = min(low + TILE, end)
    shift = _shift(tops[base + tiles], logits)
    within = ((target - starts[base + j] + ONE) << np.uint64(shifts[base + j])) - ONE
    for k in range(low, high, CHUNK):  # of which half need not be read, on average
        n = min(CHUNK, high - k)
        _, scale = _weigh(x, k, k + n, logits, tops[base + j], shift, tile)
        total = _sum_blocks(tile, n, scale, sums) if scale else ZERO
        if within < total:
            return k - begin + _crossing(tile, scale, sums, within)
        within -= total
    return j * TILE  # someone has changed the row since it was measured


@inner
def _fill_ends(x, begin, size, logits, first, last, tile, tops, shifts, starts, base, ends):
    """Put the boundaries C_k of a row's tiles ``first`` to ``last`` into ``ends``.

    They are zeros where nothing can be drawn. A row of one tile needs no places.
    """
    if size <= TILE:
        top = _top(x, begin, begin + size, logits)
        _fill_tile(x, begin, size, logits, top, _shift(top, logits), tile, ZERO, ZERO, ends, ZERO)
        return
    shift = _shift(tops[base + _tiles(size)], logits)
    for j in range(first, last):
        k, start, right = j * TILE, starts[base + j], np.uint64(shifts[base + j])
        n = min(TILE, size - k)
        _fill_tile(x, begin + k, n, logits, tops[base + j], shift, tile, start, right, ends, k)


@inner
def _fill_tile(x, begin, n, logits, top, shift, tile, start, right, ends, at):
    _, scale = _weigh(x, begin, begin + n, logits, top, shift, tile)
    running = ZERO
    for k in range(n):  # a loop of its own, which is vectorised
        ends[at + k] = _integer(tile[k], scale) if scale else ZERO
    for k in range(at, at + n):
        running += ends[k]
        ends[k] = start + (running >> right)


# --- draws ----------------------------------------------------------------------------------
#
# Draws form a lattice of rows, runs and draws: draw i of run j of row r has the number
# numbers[0] + r numbers[1] + j numbers[2] + i numbers[3], and goes to the place in ``out`` that
# ``places`` tells in the same way.


@inner
def _point(origin, r, j, i):
    return origin[ZERO] + r * origin[ONE] + j * origin[TWO] + i * origin[THREE]


CELL_BITS, CELL = np.uint64(7), np.uint64(127)
SPARSE = np.uint64(16)  # parts for each category
LOW_BITS, HIGH_BITS = np.uint64(0x01010101 << 32), np.uint64(0x80808080 << 32)
FIRST_THREE = np.uint64(0xFFFFFF << 32)
VACANT = (CELL * LOW_BITS) | MASK  # where no category ends


@entry
def fill_ends(x, logits, begin, end, tile, tops, shifts, starts, ends):
    """Put the boundaries of a row's tiles ``begin`` to ``end`` into ``ends``."""
    size = np.uint64(x.size)
    _fill_ends(x, ZERO, size, logits, begin, end, tile, tops, shifts, starts, ZERO, ends)


@entry
def fill_guide(ends, guide, begin, end):
    """Fill the entries ``begin`` to ``end`` of the guide for a row that can be drawn from.

    Boundaries cut the range of words too, of which the guide has an entry for each of so many equal
    parts, and a part has 128 cells. The low half of an entry is the number of categories that end
    before the part; the four bytes above it are the cells in which the next four end, or the last
    cell for what ends beyond.
    """
    n, size = np.uint64(ends.size), np.uint64(guide.size)
    total = ends[n - ONE]
    down, last = np.uint64(64 - _ceil_log2(size)) - CELL_BITS, (size << CELL_BITS) - ONE
    cells = np.float64(np.int64(last + ONE)) / np.float64(np.int64(total))
    first = _first_from(begin, ends, total, cells, last, down)
    after = n if end == size else _first_from(end, ends, total, cells, last, down)
    for i in range(begin, end):
        guide[i] = VACANT
    for j in range(after - first):  # backwards, so that the first of a part is the one that stays
        k = after - ONE - j
        cell = _cell(ends[k], total, cells, last, down)
        others = guide[cell >> CELL_BITS] >> HALF << (HALF + BYTE)
        guide[cell >> CELL_BITS] = others | (cell & CELL) << HALF | k
    for j in range(end - begin):
        i = end - ONE - j
        after = min(after, guide[i] & MASK)
        guide[i] = guide[i] & ~MASK | after


@inner
def _first_from(part, ends, total, cells, last, down):
    """Return the first category that ends in a part or beyond; in the last one, some do."""
    low, high = ZERO, np.uint64(ends.size)
    while low < high:
        middle = (low + high) >> ONE
        if _cell(ends[middle], total, cells, last, down) >> CELL_BITS < part:
            low = middle + ONE
        else:
            high = middle
    return low


@inner
def _cell(end, total, cells, last, down):
    """Return the cell where a category ends: words of lower cells are within, of higher beyond."""
    place = np.float64(np.int64(end)) * cells
    cell = min(np.uint64(np.int64(place)), last)
    if abs(place - np.float64(np.int64(cell)) - 0.5) > 0.499:  # rounding may have moved it
        if cell < last and _scale_word((cell + ONE) << down, total) < end:
            return cell + ONE
        if end and _scale_word(cell << down, total) >= end:
            return cell - ONE
    return cell


@entry
def draw_table(ends, guide, key, numbers, places, runs, draws, out, words, found, late):
    """Draw from a prepared row."""
    void = ends[np.uint64(ends.size) - ONE] == ZERO
    step = places[THREE]
    for j in range(runs):
        for begin in range(ZERO, draws, WORDS):
            n = min(WORDS, draws - begin)
            number, place = _point(numbers, ZERO, j, begin), _point(places, ZERO, j, begin)
            if void:
                for i in range(n):
                    out[place + i * step] = -1
            else:
                skip = fill_words(words, n, key, number, numbers[THREE])
                _look_up(ends, guide, words, skip, n, out, place, step, found, late)


@inner
def _look_up(ends, guide, words, skip, n, out, place, step, found, late):
    """Put the categories that words draw from a prepared row into ``out``.

    If in most parts none ends, then the first category of a part nearly always is the one. Else
    most are known by one look at the guide: a loop that just waits for memory, and one of vector
    instructions. The others are put off, lest a branch that cannot be predicted hold up the rest.
    """
    total = ends[np.uint64(ends.size) - ONE]
    unused = np.uint64(64 - _ceil_log2(np.uint64(guide.size)))
    if np.uint64(ends.size) * SPARSE <= np.uint64(guide.size):
        for i in range(n):
            k = guide[words[skip + i] >> unused] & MASK
            out[place + i * step] = _first_beyond(ends, k, _scale_word(words[skip + i], total))
        return
    for i in range(n):
        found[i] = guide[words[skip + i] >> unused]
    for i in range(n):
        entry, cell = found[i], (words[skip + i] >> (unused - CELL_BITS)) & CELL
        # Four comparisons at once: the highest bits of bytes tell whether the cell is an end's own
        # or after it, and then, whether it is after it. Where these differ, the cell does not tell.
        # The last of the four ends just tells that there may be more.
        reached = (cell * (LOW_BITS >> HALF) << HALF) + (HIGH_BITS | MASK) - entry
        passed = (reached - (LOW_BITS & FIRST_THREE)) & HIGH_BITS & FIRST_THREE
        count = (passed >> (HALF + CELL_BITS)) * np.uint64(0x010101) >> (BYTE + BYTE) & THREE
        k = (entry & MASK) + count
        found[i] = k if passed == reached & HIGH_BITS else ~k
    put_off = ZERO
    for i in range(n):
        k = found[i]
        out[place + i * step] = k
        late[put_off] = i
        put_off += k >> np.uint64(63)
    for j in range(put_off):
        i = np.uint64(late[j])
        target = _scale_word(words[skip + i], total)
        out[place + i * step] = _first_beyond(ends, ~found[i], target)


@inner
def _first_beyond(ends, k, target):
    """Return the first category from k on that ends beyond ``target``."""
    while ends[k] <= target:
        k += ONE
    return k


@entry
def draw_summed_rows(
    x, size, logits, key, numbers, places, runs, draws, out,
    words, tile, ends, lasts, tops, shifts, starts,
):  # fmt: skip
    """Draw from each row by its boundaries, which are in groups: for some draws a row.

    ``lasts`` has the last boundary of each group. Both it and ``ends`` are longer than they need
    be: whole groups of equal size, for loops without a remainder.
    """
    rows, skip = np.uint64(x.size) // size, ZERO
    tiles = _tiles(size)
    group = np.uint64(ends.size) // np.uint64(lasts.size)
    groups = (size + group - ONE) // group
    for k in range(size, np.uint64(ends.size)):
        ends[k] = BEYOND
    for g in range(groups, np.uint64(lasts.size)):
        lasts[g] = BEYOND
    for r in range(rows):
        begin, base = r * size, r * (tiles + ONE)
        _fill_ends(x, begin, size, logits, ZERO, tiles, tile, tops, shifts, starts, base, ends)
        total = ends[size - ONE]
        for g in range(groups):
            lasts[g] = ends[min(g * group + group, size) - ONE]
        for j in range(runs):
            for first in range(ZERO, draws, WORDS):
                skip, at = _refill(words, skip, key, numbers, rows, r, runs, j, draws, first)
                place = _point(places, r, j, first)
                for i in range(min(WORDS, draws - first)):
                    k = np.int64(-1)
                    if total:
                        target = _scale_word(words[at + i], total)
                        k = np.int64(_rank(ends, lasts, group, target))
                    out[place + i * places[THREE]] = k


@inner
def _rank(ends, lasts, group, target):
    """Return the number of boundaries up to ``target``: all are compared, nothing is guessed."""
    first = _count(lasts, ZERO, np.uint64(lasts.size), target) * group
    return first + _count(ends, first, group, target)


@inner
def _count(ends, begin, n, target):
    count = ZERO
    for k in range(n):  # signed, since AVX2 has no other comparison
        count += np.uint64(np.int64(ends[begin + k]) <= np.int64(target))
    return count


@inner
def _refill(words, skip, key, numbers, rows, r, runs, j, draws, i):
    """Make the words of a run's draws from i on, up to WORDS of them; return where they are.

    Of one draw a row, those of the rows that follow are made ahead. ``skip`` is what this function
    returned with the place the last time.
    """
    number, n, step, ahead = _point(numbers, r, j, i), min(WORDS, draws - i), numbers[THREE], ZERO
    if runs * draws == ONE:
        n, step, ahead = min(WORDS, rows - r), numbers[ONE], r % WORDS
    if ahead == ZERO:
        skip = fill_words(words, n, key, number, step)
    return skip, skip + ahead


@entry
def draw_rows(x, size, logits, key, numbers, places, runs, draws, out, words, tile, sums):
    """Draw from rows of one tile, block by block: for few draws a row."""
    skip = ZERO
    rows, single = np.uint64(x.size) // size, runs * draws == ONE
    for r in range(rows):
        begin = r * size
        top = _top(x, begin, begin + size, logits)
        _, scale = _weigh(x, begin, begin + size, logits, top, _shift(top, logits), tile)
        total = _sum_blocks(tile, size, scale, sums) if scale else ZERO
        if single:  # a loop of its own, which does not wait for the others' bookkeeping
            if r % WORDS == ZERO:
                first = _point(numbers, r, ZERO, ZERO)
                skip = fill_words(words, min(WORDS, rows - r), key, first, numbers[ONE])
            k = np.int64(-1)
            if total:
                target = _scale_word(words[skip + r % WORDS], total)
                k = np.int64(_crossing(tile, scale, sums, target))
            out[_point(places, r, ZERO, ZERO)] = k
            continue
        for j in range(runs):
            for first in range(ZERO, draws, WORDS):
                n = min(WORDS, draws - first)
                number, place = _point(numbers, r, j, first), _point(places, r, j, first)
                skip = fill_words(words, n, key, number, numbers[THREE])
                for i in range(n):
                    k = np.int64(-1)
                    if total:
                        target = _scale_word(words[skip + i], total)
                        k = np.int64(_crossing(tile, scale, sums, target))
                    out[place + i * places[THREE]] = k


@entry
def draw_long_rows(
    x, size, logits, key, numbers, places, runs, draws, out,
    words, tile, sums, tops, shifts, starts,
):  # fmt: skip
    """Draw from rows of many tiles that are measured: just the tile of a draw is read again."""
    skip = ZERO
    rows, tiles = np.uint64(x.size) // size, _tiles(size)
    for r in range(rows):
        begin, end, base = r * size, r * size + size, r * (tiles + ONE)
        total = starts[base + tiles]
        for j in range(runs):
            for first in range(ZERO, draws, WORDS):
                skip, at = _refill(words, skip, key, numbers, rows, r, runs, j, draws, first)
                place = _point(places, r, j, first)
                for i in range(min(WORDS, draws - first)):
                    k = np.int64(-1)
                    if total:
                        target = _scale_word(words[at + i], total)
                        found = _find(
                            x, begin, end, logits, tile, sums, tops, shifts, starts, base, target
                        )
                        k = np.int64(found)
                    out[place + i * places[THREE]] = k


@inner
def _load_lanes(x, begin, size, logits, columns, tops, lows):
    """Turn LANES short rows into columns, and find the `_top` of each.

    Extremes are integers in arrays of floats as wide: of floats themselves, LLVM would store the
    larger ones alone, by masks, which is slow.
    """
    highs = tops
    for some in range(ZERO, LANES, np.uint64(32)):  # rows that the first cache can hold
        for k in range(size):
            for b in range(some, some + np.uint64(32)):
                columns[k * LANES + b] = x[(begin + b) * size + k] + x.dtype.type(0)
    for b in range(LANES):
        highs[b] = lows[b] = _from_bits(_flip(_bits(columns[b])))
    for k in range(size & ONE, size, TWO):
        for b in range(LANES):
            u = _flip(_bits(columns[k * LANES + b]))
            v = _flip(_bits(columns[(k + ONE) * LANES + b]))
            highs[b] = _from_bits(max(_bits(highs[b]), max(u, v)))
            lows[b] = _from_bits(min(_bits(lows[b]), min(u, v)))
    for b in range(LANES):
        tops[b] = _sound(_bits(highs[b]), _bits(lows[b]), logits)


@entry
def draw_short_rows(x, size, logits, key, numbers, places, runs, draws, out):
    """Draw from LANES short rows at once, so that LLVM vectorises across the rows.

    There must be LANES rows or more; the last group overlaps the one before.
    """
    rows = np.uint64(x.size) // size
    real = x.dtype.type
    void = real(-np.inf if logits else 0)
    weights, ends = np.empty(size * LANES, x.dtype), np.empty(size * LANES, np.uint64)
    tops, lowest = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    offsets, factors = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    scales, totals = np.empty(LANES, np.float64), np.empty(LANES, np.uint64)
    targets = np.empty(LANES, np.uint64)
    words, found = np.empty(LANES + SPARE, np.uint64), np.empty(LANES, np.int64)
    for group in range(ZERO, rows, LANES):
        begin = min(group, rows - LANES)
        _load_lanes(x, begin, size, logits, weights, tops, lowest)
        for b in range(LANES):
            totals[b] = ZERO
            top = np.float64(tops[b])
            offsets[b] = _shift(top, logits)
            lowest[b] = tops[b] - offsets[b] - real(80)
            factors[b], scales[b] = real(1), 2.0**FIXED
            if not logits:
                factors[b], scales[b] = _lift(top), _scale(top * _lift(top))
        if logits:
            for k in range(size):
                for b in range(LANES):
                    value = weights[k * LANES + b] - offsets[b]
                    g, power = _exp(value if value > lowest[b] else lowest[b])
                    weights[k * LANES + b] = _times_power(g, power - _exp(tops[b] - offsets[b])[1])
        for k in range(size):
            for b in range(LANES):
                totals[b] += _integer(weights[k * LANES + b] * factors[b], scales[b])
                ends[k * LANES + b] = totals[b]
        for j in range(runs):
            for i in range(draws):
                first = _point(numbers, begin, j, i)
                skip = fill_words(words, LANES, key, first, numbers[ONE])
                for b in range(LANES):
                    targets[b], found[b] = _scale_word(words[skip + b], totals[b]), 0
                for k in range(size):
                    for b in range(LANES):
                        found[b] += np.int64(ends[k * LANES + b]) <= np.int64(targets[b])
                place = _point(places, begin, j, i)
                for b in range(LANES):
                    out[place + b * places[ONE]] = found[b] if tops[b] > void else -1


# --- values ---------------------------------------------------------------------------------
#
# No draw depends on what follows, so that its sums may be reordered to be vectorised.


@entry
def first_doubt(x, size, logits):
    """Return the first row that may be no distribution, or the number of rows if none may.

    Rows are looked at one by one only where some of their values are void: zeros, or -inf. A row
    whose sum might be infinite is in doubt too.
    """
    rows = np.uint64(x.size) // size
    largest = _largest_finite(x[ZERO])
    limit, void = _bits(largest / x.dtype.type(TWO * size)), 0
    if logits:
        limit, void = _bits(largest), _flip(_bits(-largest)) - 1
    together = max(ONE, TILE // size)
    for begin in range(ZERO, rows, together):
        end = min(begin + together, rows)
        high, low = _extremes(x, begin * size, end * size, logits)
        if void < low and high <= limit:
            continue
        for r in range(begin, end):
            if together > ONE:
                high, low = _extremes(x, r * size, r * size + size, logits)
            if not (void <= low and void < high <= limit):
                return r
    return rows


def _log(x):
    """Return log(x) of a normal number, to a few units in the last place."""


_LOG_FLOAT32 = "1.2ee656p-2 1.997c2ep-2 1.55555cp-1"
_LOG_FLOAT64 = (
    "1.2b5900de53b32p-3 1.39fe51a7c18f9p-3 1.7462b51cb66b1p-3 1.c71c62e3f11e6p-3 "
    "1.2492492df281ap-2 1.99999999952d7p-2 1.5555555555558p-1"
)


@overload(_log)
def _log_for(x):
    if x is types.float32:
        real, integer, mantissa = np.float32, np.int32, 23
        c7, c5, c3 = (real(float.fromhex(c)) for c in _LOG_FLOAT32.split())

        def polynomial(z):
            return _fma(_fma(c7, z, c5), z, c3)

    else:
        real, integer, mantissa = np.float64, np.int64, 52
        c15, c13, c11, c9, c7, c5, c3 = (real(float.fromhex(c)) for c in _LOG_FLOAT64.split())

        def polynomial(z):
            p = _fma(_fma(_fma(c15, z, c13), z, c11), z, c9)
            return _fma(_fma(_fma(p, z, c7), z, c5), z, c3)

    evaluate = register_jitable(polynomial)
    root, one, two, ln2 = real(math.sqrt(0.5)).view(integer), real(1), real(2), real(math.log(2))

    def log(x):
        n = (_bits(x) - root) >> mantissa
        f = _from_bits(integer(_bits(x) - (n << mantissa))) - one
        s = f / (f + two)  # log((1 + s) / (1 - s)), an odd function
        return _fma(real(n), ln2, _fma(s * s * s, evaluate(s * s), s + s))

    return log


def _share(x, top, logits):
    """Return a probability as a share of the largest, and its logarithm."""


@overload(_share)
def _share_for(x, top, logits):
    real = np.float32 if x is types.float32 else np.float64
    lowest, least, zero = real(-80), np.finfo(real).smallest_normal, real(0)

    def share(x, top, logits):
        if logits:
            log = x - top
            log = log if log > lowest else lowest
            g, power = _exp(log)
            return _times_power(g, power), log
        share = x / top
        normal = share >= least
        return (share if normal else zero), _log(share if normal else least)

    return share


@njit(
    nogil=True,
    fastmath={"reassoc"},
    error_model="numpy",  # a test of each divisor would stop vectorisation
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
def _add_shares(x, begin, end, top, logits):
    """Return the sums of shares and of shares times their logarithms."""
    total = weighted = x.dtype.type(0)
    if logits:  # of two loops each is vectorised
        for k in range(begin, end):
            share, log = _share(x[k], top, True)
            total += share
            weighted += share * log
    else:
        for k in range(begin, end):
            share, log = _share(x[k], top, False)
            total += share
            weighted += share * log
    return np.float64(total), np.float64(weighted)


@entry
def summarize(x, size, logits, tops, totals, logs, entropies):
    """Find each row's largest value, the sum of its shares, the logarithm of that, the entropy."""
    real = x.dtype.type
    void = -np.inf if logits else 0.0
    for r in range(np.uint64(x.size) // size):
        begin, end = r * size, r * size + size
        top, total, by_log = void, 0.0, 0.0
        for low in range(begin, end, TILE):
            high = min(low + TILE, end)
            here = _top(x, low, high, logits)
            if np.isnan(here):
                top = here
                break
            if not here > void:
                continue
            if here > top:
                if total:
                    log = top - here if logits else math.log(top) - math.log(here)
                    factor = math.exp(log)
                    by_log = factor * (by_log + log * total)
                    total *= factor
                top = here
            for k in range(low, high, CHUNK):  # a narrow sum has few terms
                t, v = _add_shares(x, k, min(k + CHUNK, high), real(top), logits)
                total += t
                by_log += v
        if not top > void:
            total = np.nan
        log = math.log(total)
        tops[r], totals[r], logs[r], entropies[r] = top, total, log, log - by_log / total


@entry(error_model="numpy")
def summarize_short_rows(x, size, logits, tops, totals, logs, entropies):
    """Do what `summarize` does, LANES rows at once, of which there must be as many or more."""
    rows = np.uint64(x.size) // size
    real = x.dtype.type
    zero, void = real(0), real(-np.inf if logits else 0)
    columns = np.empty(size * LANES, x.dtype)
    top, lows = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    total, by_log = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
    for group in range(ZERO, rows, LANES):
        begin = min(group, rows - LANES)
        _load_lanes(x, begin, size, logits, columns, top, lows)
        for b in range(LANES):
            total[b] = by_log[b] = zero
        if logits:
            for k in range(size):
                for b in range(LANES):
                    share, log = _share(columns[k * LANES + b], top[b], True)
                    total[b] += share
                    by_log[b] += share * log
        else:
            for k in range(size):
                for b in range(LANES):
                    share, log = _share(columns[k * LANES + b], top[b], False)
                    total[b] += share
                    by_log[b] += share * log
        for b in range(LANES):
            missing = zero if top[b] > void else real(np.nan)
            log = _log(total[b])
            tops[begin + b], totals[begin + b] = top[b] + missing, total[b] + missing
            logs[begin + b], entropies[begin + b] = log + missing, log - by_log[b] / total[b]


@entry
def look_up(x, size, values, begin, end, out):
    """Put entries into ``out``: of a row at a value, the rows taken in turn, again and again.

    Returns whether all values are categories.
    """
    rows = np.uint64(x.size) // size
    r, good = begin % rows, True
    for i in range(begin, end):
        k = np.uint64(values[i])  # a negative one is large
        good &= k < size
        out[i] = x[r * size + (k if k < size else ZERO)]
        r = r + ONE if r + ONE < rows else ZERO
    return good

"""The draw as docs/draw.md defines it (stream version 1), in plain Python integers.

Written from that page alone, for the tests. Slow on purpose: nothing here is rounded
except where the page says so.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "boundaries", "counts", "draw", "draw_by_seeds", "draw_distinct", "draw_distinct_by_seeds",
    "outcome", "philox4x32_10", "seeded_word", "truncated", "word",
]  # fmt: skip

TILE = 4096


# --- 1. Random words


@lru_cache(2**16)  # tests draw by the same numbers again and again
def philox4x32_10(
    counter: tuple[int, int, int, int], key: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the four words that Philox4x32-10 makes of a counter and a key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high2, low2 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def word(key: Sequence[int], number: int) -> int:
    """Return the 64 random bits of a draw; the random state is ``k0, k1, s0, s1``."""
    if not 0 <= number < 2**64:
        raise ValueError(f"no draw has number {number}")
    k0, k1, s0, s1 = key
    block, odd = divmod(number, 2)
    high, low = divmod(block, 2**32)
    r = philox4x32_10((low, high, s0, s1), (k0, k1))
    return r[2] + (r[3] << 32) if odd else r[0] + (r[1] << 32)


def seeded_word(seed: int, position: int) -> int:
    """Return the 64 random bits of a draw of a row that has a seed."""
    if not (0 <= seed < 2**64 and 0 <= position < 2**64):
        raise ValueError(f"no draw has seed {seed} and position {position}")
    block, odd = divmod(position, 2)
    high, low = divmod(block, 2**32)
    k1, k0 = divmod(seed, 2**32)
    r = philox4x32_10((low, high + 2**31, 0, 0), (k0, k1))
    return r[2] + (r[3] << 32) if odd else r[0] + (r[1] << 32)


# --- 2. Weights as integers


class Form(NamedTuple):
    """A binary floating-point type, and the constants of its exponential."""

    bits: int  # of a significand
    lowest: int  # every number is a multiple of 2**lowest,
    highest: int  # and smaller than 2**highest
    logarithms: tuple[float, ...]  # LOG2E, LN2_HIGH, LN2_LOW
    coefficients: tuple[float, ...]  # c_0 first


class Tile(NamedTuple):
    """The integers ``q`` of a tile, in units of ``2**(exponent - 49)``."""

    exponent: int
    weights: list[int]


def _hex(numbers: str) -> tuple[float, ...]:
    return tuple(map(float.fromhex, numbers.split()))


FLOAT32 = Form(
    bits=24,
    lowest=-149,
    highest=128,
    logarithms=_hex("0x1.715476p+0 0x1.62e43p-1 -0x1.05c61p-29"),
    coefficients=_hex("1 1 0x1.fffffcp-2 0x1.555492p-3 0x1.5558f2p-5 0x1.1239e2p-7 0x1.6a2434p-10"),
)
FLOAT64 = Form(
    bits=53,
    lowest=-1074,
    highest=1024,
    logarithms=_hex("0x1.71547652b82fep+0 0x1.62e42fefa39efp-1 0x1.abc9e3b39803fp-56"),
    coefficients=_hex(
        "1 1 0x1.000000000000ap-1 0x1.55555555554fap-3 0x1.555555555087dp-5 0x1.1111111127be9p-7"
        " 0x1.6c16c1842a0e4p-10 0x1.a01a012a56626p-13 0x1.a0199a0c7067bp-16"
        " 0x1.71df2555820b7p-19 0x1.28ad72c46d724p-22 0x1.ad7f6966eed54p-26"
    ),
)


def dyadic(x: float) -> tuple[int, int]:
    """Return ``m`` and ``e`` with ``x == m * 2**e``."""
    numerator, denominator = x.as_integer_ratio()
    return numerator, 1 - denominator.bit_length()


def rint(m: int, e: int) -> int:
    """Return the integer nearest to ``m * 2**e``, ties to even."""
    if e >= 0:
        return m << e
    floor, rest = m >> -e, m & ((1 << -e) - 1)
    half = 1 << (-e - 1)
    return floor + (rest > half or (rest == half and floor % 2 == 1))


def nearest(m: int, e: int, form: Form) -> float:
    """Return the number of a type nearest to ``m * 2**e``, ties to even."""
    drop = max(m.bit_length() - form.bits, form.lowest - e, 0)
    m, e = rint(m, -drop), e + drop
    if m.bit_length() + e > form.highest:
        return math.copysign(math.inf, m)
    return math.ldexp(m, e)  # exact: m has at most 53 bits, and e is not below -1074


def fma(a: float, b: float, c: float, form: Form) -> float:
    """Return ``a * b + c``, rounded once."""
    (ma, ea), (mb, eb), (mc, ec) = dyadic(a), dyadic(b), dyadic(c)
    e = min(ea + eb, ec)
    return nearest((ma * mb << ea + eb - e) + (mc << ec - e), e, form)


def exponential(x: float, form: Form) -> tuple[float, int]:
    """Return ``g`` and ``n``, where ``g * 2**n`` stands for ``exp(x)``."""
    log2e, ln2_high, ln2_low = form.logarithms
    (mx, ex), (ml, el) = dyadic(x), dyadic(log2e)
    n = rint(mx * ml, ex + el)
    r = fma(n, -ln2_high, x, form)
    r = fma(n, -ln2_low, r, form)
    *rest, g = form.coefficients
    for c in reversed(rest):
        g = fma(g, r, c, form)
    return g, n


def tile_of_probs(tile: list[float]) -> Tile | None:
    """Return the integers of a tile of probabilities; None if it is empty."""
    if max(tile) == 0:
        return None
    largest, exponent = dyadic(max(tile))
    exponent += largest.bit_length() - 1
    return Tile(exponent, [rint(m, e + 49 - exponent) for m, e in map(dyadic, tile)])


def tile_of_logits(tile: list[float], form: Form) -> Tile | None:
    """Return the integers of a tile of logits; None if it is empty."""
    largest = max(tile)
    if largest < -(2**21):
        return None
    _, exponent = exponential(largest, form)

    def weight(x: float) -> int:
        if x < largest - 80:  # so that n is never beyond the row's type, nor infinite
            return 0
        g, n = exponential(x, form)
        m, e = dyadic(g)
        return rint(m, e + n - exponent + 49)

    return Tile(exponent, list(map(weight, tile)))


def lowered(logits: list[float], form: Form) -> list[float]:
    """Return the logits less the largest of them, if that is far from 0."""
    top = max(logits)
    if abs(top) <= 2**20:
        return logits
    return [x if x == -math.inf else fma(1.0, x, -top, form) for x in logits]


def read(row: npt.NDArray[Any]) -> tuple[Form, list[float]]:
    """Return the type of a row and its values, as numbers of that type."""
    if row.dtype.kind not in "biuf" or row.dtype.itemsize > 8:
        raise TypeError(f"rows are not of {row.dtype}")
    narrow = row.dtype.kind == "f" and row.dtype.itemsize <= 4
    return FLOAT32 if narrow else FLOAT64, [float(x) for x in row.tolist()]


def is_void(values: list[float], kind: str) -> bool:
    """Tell whether no category can be drawn."""
    if not values or any(math.isnan(x) or x == math.inf for x in values):
        return True
    if kind == "logits":
        return max(values) == -math.inf
    return min(values) < 0 or max(values) == 0


# --- 3. Boundaries


def integers(values: list[float], kind: str, form: Form) -> tuple[list[int], list[int], list[int]]:
    """Return ``q`` of each category, and for each tile ``E - E_j`` and ``s_j``."""
    if kind == "logits":
        values = lowered(values, form)
    cuts = [values[start : start + TILE] for start in range(0, len(values), TILE)]
    tiles = [tile_of_probs(cut) if kind == "probs" else tile_of_logits(cut, form) for cut in cuts]
    highest = max(tile.exponent for tile in tiles if tile)
    enough = (len(tiles) - 1).bit_length()
    lower = [highest - tile.exponent if tile else 0 for tile in tiles]
    bound = len(tiles)
    for down, tile in zip(lower, tiles, strict=True):
        bound += sum(tile.weights) >> (down + enough) if tile else 0
    room = enough - min(enough, max(0, 62 - bound.bit_length()))
    weights = [
        q
        for cut, tile in zip(cuts, tiles, strict=True)
        for q in (tile.weights if tile else [0] * len(cut))
    ]
    return weights, lower, [down + room for down in lower]


def boundaries(row: npt.NDArray[Any], kind: str) -> list[int] | None:
    """Return the boundaries ``C_k`` of a row; None if it is void."""
    if kind not in ("probs", "logits"):
        raise ValueError(f"no parameters are called {kind!r}")
    form, values = read(row)
    if is_void(values, kind):
        return None
    weights, _, shifts = integers(values, kind, form)
    ends: list[int] = []
    for j, shift in enumerate(shifts):
        before = ends[-1] if ends else 0
        tile = weights[j * TILE : (j + 1) * TILE]
        ends += [before + (partial >> shift) for partial in accumulate(tile)]
    return ends


# --- 4. The outcome


def outcome(ends: list[int] | None, u: int) -> int:
    """Return the category that a word falls to; -1 in a void row."""
    return -1 if ends is None else bisect_right(ends, u * ends[-1] >> 64)


def draw(
    params: npt.NDArray[Any],
    kind: str,
    key: Sequence[int],
    sample_shape: tuple[int, ...] = (),
    first: int = 0,
) -> npt.NDArray[np.int64]:
    """Return draws of the numbers from ``first`` on, an array of the shape of a sample."""
    batch_shape = params.shape[:-1]
    shape = sample_shape + batch_shape
    rows = [boundaries(params[index], kind) for index in np.ndindex(batch_shape)]
    outcomes = (outcome(rows[i % len(rows)], word(key, first + i)) for i in range(math.prod(shape)))
    return np.fromiter(outcomes, np.int64).reshape(shape)


def draw_by_seeds(
    params: npt.NDArray[Any],
    kind: str,
    seeds: npt.ArrayLike,
    start: npt.ArrayLike = 0,
    sample_shape: tuple[int, ...] = (),
) -> npt.NDArray[np.int64]:
    """Return draws of rows that have a seed and a start each, an array of the shape of a sample."""
    batch_shape = params.shape[:-1]
    out = np.empty((math.prod(sample_shape), *batch_shape), np.int64)
    seeds, start = (np.broadcast_to(np.asarray(x, object), batch_shape) for x in (seeds, start))
    for row in np.ndindex(batch_shape):
        ends = boundaries(params[row], kind)
        for i in range(len(out)):
            out[(i, *row)] = outcome(ends, seeded_word(int(seeds[row]), int(start[row]) + i))
    return out.reshape(sample_shape + batch_shape)


# --- Draws without replacement, and counts


def draw_distinct(
    params: npt.NDArray[Any], kind: str, key: Sequence[int], n: int, first: int = 0
) -> npt.NDArray[np.int64]:
    """Return n draws without replacement from each row, of the numbers from ``first`` on."""
    rows = math.prod(params.shape[:-1])
    words = np.array([word(key, first + i) for i in range(n * rows)], object)
    return _one_by_one(params, kind, words.reshape(n, *params.shape[:-1]))


def draw_distinct_by_seeds(
    params: npt.NDArray[Any], kind: str, seeds: npt.ArrayLike, n: int, start: npt.ArrayLike = 0
) -> npt.NDArray[np.int64]:
    """Return n draws without replacement from each row, which has a seed and a start."""
    words = np.empty((n, *params.shape[:-1]), object)
    seeds, start = (np.broadcast_to(np.asarray(x, object), words.shape[1:]) for x in (seeds, start))
    for i, *row in np.ndindex(words.shape):
        at = tuple(row)
        words[(i, *at)] = seeded_word(int(seeds[at]), int(start[at]) + i)
    return _one_by_one(params, kind, words)


def _one_by_one(
    params: npt.NDArray[Any], kind: str, words: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    out = np.full(words.shape, -1, np.int64)
    left = params.astype("f8") if params.dtype.kind in "biu" else params.copy()
    for i, *row in np.ndindex(words.shape):
        k = outcome(boundaries(left[tuple(row)], kind), words[(i, *row)])
        out[(i, *row)] = k
        if k >= 0:
            left[(*row, k)] = -math.inf if kind == "logits" else 0
    return out


def counts(draws: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Return how often each row has drawn each category, -1 if it is void."""
    found = (draws[..., None] == np.arange(size)).sum(0)
    return np.where((draws < 0).any(0)[..., None], -1, found)


# --- Truncation


def truncated(
    row: npt.NDArray[Any],
    kind: str,
    temperature: float = 1,
    top_k: int | None = None,
    top_p: float = 1,
    min_p: float = 0,
) -> npt.NDArray[Any]:
    """Return a row with the categories removed that docs/draw.md tells; NaN if it is void."""
    form, values = read(row)
    dtype = np.float32 if form is FLOAT32 else np.float64
    heat = nearest(*dyadic(temperature), form)
    if is_void(values, kind) or heat == math.inf:
        return np.full(len(values), math.nan, dtype)
    none = -math.inf if kind == "logits" else 0.0

    def keep(kept: set[int]) -> None:
        values[:] = [x if k in kept else none for k, x in enumerate(values)]

    def ranks() -> list[int]:
        return sorted(range(len(values)), key=lambda k: (-values[k], k))

    top = max(values)
    if heat == 0:
        keep(set(ranks()[:1]))
    elif heat != 1:
        with np.errstate(all="ignore"):
            values = ((np.array(values, dtype) - dtype(top)) / dtype(heat)).tolist()
    if top_k is not None:
        keep(set(ranks()[:top_k]))
    if top_p != 1:
        weights, _, shifts = integers(values, kind, form)
        sums, order, total, n = [0] * len(shifts), ranks(), 0, 0
        everything = [sum(weights[j * TILE : (j + 1) * TILE]) for j in range(len(shifts))]
        whole = sum(s >> shift for s, shift in zip(everything, shifts, strict=True))
        share = math.ceil(max(Fraction(top_p) - Fraction(1, 2**20), Fraction(0)) * 2**64)
        target = -(-share * whole >> 64)
        while n == 0 or total < target:
            j = order[n] // TILE
            total -= sums[j] >> shifts[j]
            sums[j] += weights[order[n]]
            total += sums[j] >> shifts[j]
            n += 1
        keep(set(order[:n]))
    if min_p != 0:
        weights, lower, _ = integers(values, kind, form)
        weights = [q >> lower[k // TILE] for k, q in enumerate(weights)]
        share = math.ceil(Fraction(min_p) * (1 - Fraction(1, 2**20)) * 2**64)
        least = max(1, -(-share * max(weights) >> 64))
        keep({k for k, q in enumerate(weights) if q >= least})
    return np.array(values, dtype)

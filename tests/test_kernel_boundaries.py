"""Whole draws, from random words to the output, are right on both sides of exact boundaries.

By chance, one in 2**50 draws meets one. Here, a random state is found for each wanted word. The
fast path of small batches always starts at draw index 0, so there, a row is found for a given word.
"""

from __future__ import annotations

import random
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import oracle
import pytest
import rows
from philox_inverse import find_words

from anycat._kernels.cpu import small
from anycat._kernels.cpu.sizes import BLOCK, LANES, TILE
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

Array = np.ndarray[Any, Any]
Expected = tuple[int, int]  # a word, and the category that it draws

KERNELS = {  # the strategy, the number of rows, and of categories
    "draw_short_rows": ("lanes", LANES + 3, (2, 5, 33, 128)),
    "draw_rows": ("find", 2, (2, 5, 65, 4096)),
    "draw_long_rows": ("find", 2, (4097, 9000)),
    "draw_summed_rows": ("rank", 2, (2, 5, 65, 4096, 9000)),
    "draw_guided_rows": ("guide", 2, (2, 5, 65, 4096, 9000)),
    "draw_table": ("table", 1, (2, 5, 128, 129, 4096, 9000)),  # sparse up to 128
}
LAYOUTS = {  # samples, repeats, and the steps of the draw index between samples and rows
    "one": (1, 1, 0, 1),
    "samples": (2, 1, 1, 2),
    "repeats": (1, 2, 0, 2),
}
EDGES: dict[str, tuple[str, Any, Any]] = {
    "2**20": ("logits", np.float32, 2.0**20 + np.array([0, -1, -2.5])),
    "-2**20": ("logits", np.float32, -(2.0**20) + np.array([0, -1, -2.5])),
    "2**20 in float64": ("logits", np.float64, 2.0**20 + np.array([0, -1, -2.5])),
    "beyond -2**20 in one tile": (
        "logits",
        np.float32,
        np.repeat([-(2.0**20) - 16, -(2.0**20)], TILE),
    ),
    "2**-990": ("probs", np.float64, np.array([1, 2, 3]) * 2.0**-990),
    "62 bits": ("probs", np.float64, np.random.default_rng(0).uniform(0.999, 1, 2 * TILE)),
    "62 bits of float32": ("probs", np.float32, np.full(2 * TILE, 1 - 2.0**-24)),
    "a sum of 2**62": ("probs", np.float64, np.full(2 * TILE, 1 - 2.0**-53)),
}
each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


@cache
def both_sides(row: bytes, dtype: str, form: str) -> list[tuple[Expected, Expected]]:
    """Return the last word of a category and the first of the next, at some boundaries of a row.

    These are all boundaries of a short row, and of others those at both ends, at borders of blocks
    and of tiles, and some between. The last pair is the first and the last of all words.
    """
    ends = oracle.boundaries(np.frombuffer(row, dtype), form)
    assert ends is not None
    drawn = [k for k, end in enumerate(ends) if end > (ends[k - 1] if k else 0)]
    last = len(drawn) - 2
    chosen = {*range(4), *range(last - 3, last + 1), *range(0, last + 1, max(1, last // 25))}
    chosen |= {i for i in range(last + 1) if drawn[i] // BLOCK != drawn[i + 1] // BLOCK}
    chosen |= {i for i in range(last + 1) if (drawn[i + 1] + 1) % TILE < 3}
    pairs = []
    for i in sorted(chosen & {*range(last + 1)}):
        word = -(-(ends[drawn[i]] << 64) // ends[-1])
        pairs.append(((word - 1, drawn[i]), (word, drawn[i + 1])))
    return [*pairs, ((0, drawn[0]), (2**64 - 1, drawn[-1]))]


def check(x: Array, r: int, form: str, layout: str) -> None:
    """Draw from some rows; those of row ``r`` meet its boundaries."""
    samples, repeats, sample_step, row_step = LAYOUTS[layout]
    kept: dict[str, Any] = {}
    for i, pair in enumerate(both_sides(x[r].tobytes(), x.dtype.str, form)):
        words, categories = zip(*(pair[::-1] if i % 2 else pair), strict=True)
        state, index = find_words(*words)
        found: list[int] = []
        while len(found) < 2:
            first = index + len(found) - r * row_step
            draws = DrawRange(samples, len(x), repeats, first, sample_step, row_step)
            out = rows.draw(x, form, draws, cache=kept, key=np.array(state, np.uint64))
            found += out[:, r].reshape(-1).tolist()
        assert found == [*categories], words


@each_form
@each_dtype
@each_layout
@pytest.mark.parametrize("kernel", KERNELS)
def test_both_sides_of_boundaries(kernel: str, layout: str, form: str, dtype: Any) -> None:
    strategy, count, sizes = KERNELS[kernel]
    kinds = ["sparse", "plain", "subnormal"] if form == "probs" else ["masked", "plain", "low"]
    with rows.forced(strategy), rows.recorded() as launches:
        for size in sizes:
            for kind in kinds if size < TILE else kinds[:1]:
                row = rows.make(form, kind, (size,), dtype, size)
                for r in {0, count // 2, count - 1}:
                    x = np.tile(row[::-1], (count, 1))
                    x[r] = row
                    check(x, r, form, layout)
    assert set(rows.draw_kernels(launches)) == {kernel}


@pytest.mark.parametrize(
    ("kernel", "edge"),
    [
        (kernel, edge)
        for (kernel, (_, _, sizes)), (edge, (_, _, row)) in product(KERNELS.items(), EDGES.items())
        if min(sizes) <= row.size <= max(sizes)
    ],
)
def test_rows_at_the_edges_of_the_definition(kernel: str, edge: str) -> None:
    form, dtype, values = EDGES[edge]
    strategy, count, _ = KERNELS[kernel]
    with rows.forced(strategy), rows.recorded() as launches:
        check(np.tile(values.astype(dtype), (count, 1)), count - 1, form, "one")
    assert set(rows.draw_kernels(launches)) == {kernel}


# --- Small batches


def weight_of(form: str, dtype: Any, top: float) -> Callable[[float], int]:
    """Return the integer weight of a value in a tile whose largest value is ``top``."""
    if form == "probs":
        return lambda value: oracle.rint(*oracle.dyadic(2.0**49 * (value / top)))
    numbers = oracle.FLOAT32 if dtype is np.float32 else oracle.FLOAT64

    def parts(logit: float) -> tuple[float, int]:
        return oracle.exponential(oracle.lowered([top, logit], numbers)[1], numbers)

    def weight(logit: float) -> int:
        g, n = parts(logit)
        m, e = oracle.dyadic(g)
        return oracle.rint(m, e + n - parts(top)[1] + 49)

    return weight


def values_of(total: int, form: str, dtype: Any, top: float) -> list[Any]:
    """Return values, the first of which is ``top``, whose integer weights sum to ``total``."""
    bits = np.int32 if dtype is np.float32 else np.int64
    weight, values = weight_of(form, dtype, top), []
    low = dtype(top * 2.0**-60 if form == "probs" else top - 60)  # without weight

    def number(b: int) -> Any:
        return np.copysign(np.asarray(b, bits).view(dtype), low)

    while total:
        # Between the largest number and the least, the bits of their magnitudes are in order.
        a, b = (int(np.asarray(abs(v), dtype).view(bits)) for v in (low, top))
        while abs(b - a) > 1 and weight(top) > total:
            middle = (a + b) // 2
            a, b = (middle, b) if weight(float(number(middle))) <= total else (a, middle)
        values.append(dtype(top) if weight(top) <= total else number(a))
        total -= weight(float(values[-1]))
    return values


def row_for(
    word: int, form: str, dtype: Any, top: float, size: int, last: int, following: int
) -> Array:
    """Return a row where ``word`` is the first to draw category ``following``, after ``last``."""
    rng = random.Random(word)
    total = next(t for _ in range(10**6) if (word * (t := rng.randrange(2**52, 2**53)) % 2**64) < t)
    end = word * total >> 64
    before, after = (values_of(n, form, dtype, top) for n in (end, total - end))
    row = np.full(size, 0.0 if form == "probs" else -np.inf, dtype)
    row[[*rng.sample(range(last), len(before) - 1), last]] = before
    row[[following, *rng.sample(range(following + 1, size), len(after) - 1)]] = after
    ends = oracle.boundaries(row, form)
    assert ends is not None
    assert -(-(ends[last] << 64) // ends[-1]) == word
    assert oracle.outcome(ends, word) == following
    return row


BORDERS = [  # the number of categories, and two, neighbours but for zeros
    *[(81, 40, 41), (128, 63, 64), (200, 62, 64), (200, 64, 130), (TILE, 4000, 4031)],
    *[(2 * TILE, TILE - 1, TILE), (2 * TILE, TILE - 2, TILE + 1), (5000, 4500, 4501)],
]


TOPS = [("probs", np.float32, 1.0), ("probs", np.float64, 1.0), ("probs", np.float64, 2.0**-990)]
TOPS += product(["logits"], [np.float32, np.float64], [0.0, 2.0**20, -(2.0**20), 2.0**20 + 16])


@pytest.mark.parametrize(("form", "dtype", "top"), TOPS)
@pytest.mark.parametrize(("size", "last", "following"), BORDERS)
def test_small_batches(
    size: int, last: int, following: int, form: str, dtype: Any, top: float
) -> None:
    kernel, samples = ("draw_small", 300) if size <= TILE else ("draw_long_small", 5)
    reader = SimpleNamespace(
        random_source=lambda _: None, is_traced=lambda _: False, random_key=lambda key: key
    )
    key, count = rows.KEY, 3
    words = [oracle.word(key.tolist(), i) for i in range(samples * count)]
    middle = [i for i, word in enumerate(words) if 2**62 < word < 3 * 2**62]
    odd, even = (next(i for i in reversed(middle) if i % 2 == parity) for parity in (1, 0))
    with rows.recorded() as launches:
        for i, further in ((odd, 0), (odd, 1), (even, 0), (even, 1)):
            row = row_for(words[i] + further, form, dtype, top, size, last, following)
            x = np.tile(row[::-1], (count, 1))
            x[i % count] = row
            logits, shape = form == "logits", (samples, count)
            out = small.draw(x.reshape(-1), size, logits, {}, shape, reader, key)
            assert out is not None
            assert out[divmod(i, count)] == (last if further else following)
    assert set(rows.draw_kernels(launches)) == {kernel}

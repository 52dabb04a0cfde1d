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
    "62 bits": ("probs", np.float64, np.full(2 * TILE, 1 - 2.0**-53)),
    "62 bits from float32": ("probs", np.float32, np.full(2 * TILE, 1 - 2.0**-24)),
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


def weight_of(form: str, dtype: Any) -> Callable[[float], int]:
    """Return the integer weight of a value beside probability 1.0, or beside logit 0.0."""
    if form == "probs":
        return lambda value: oracle.rint(*oracle.dyadic(2.0**49 * value))
    numbers = oracle.FLOAT32 if dtype is np.float32 else oracle.FLOAT64

    def weight(logit: float) -> int:
        g, n = oracle.exponential(logit, numbers)
        m, e = oracle.dyadic(g)
        return oracle.rint(m, e + n + 49)

    return weight


def values_of(total: int, form: str, dtype: Any) -> list[Any]:
    """Return values, the first of which is the largest possible, whose weights sum to ``total``."""
    bits = np.int32 if dtype is np.float32 else np.int64
    weight, values = weight_of(form, dtype), []
    # The least weight, and the largest; from one to the other, the bits of numbers are in order.
    low, high = (2.0**-60, 1.0) if form == "probs" else (-60.0, 0.0)
    while total:
        a, b = (int(np.asarray(abs(v), dtype).view(bits)) for v in (low, high))
        value = dtype(high)
        if weight(high) > total:
            while abs(b - a) > 1:
                middle = (a + b) // 2
                value = np.copysign(np.asarray(middle, bits).view(dtype), low or high)
                a, b = (middle, b) if weight(float(value)) <= total else (a, middle)
            value = np.copysign(np.asarray(a, bits).view(dtype), low)
        values.append(value)
        total -= weight(float(value))
    return values


def row_for(word: int, form: str, dtype: Any, size: int, last: int, following: int) -> Array:
    """Return a row where ``word`` is the first to draw category ``following``, after ``last``."""
    rng = random.Random(word)
    total = next(t for _ in range(10**6) if (word * (t := rng.randrange(2**51, 2**53)) % 2**64) < t)
    end = word * total >> 64
    before, after = values_of(end, form, dtype), values_of(total - end, form, dtype)
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


@each_form
@each_dtype
@pytest.mark.parametrize(("size", "last", "following"), BORDERS)
def test_small_batches(size: int, last: int, following: int, form: str, dtype: Any) -> None:
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
            row = row_for(words[i] + further, form, dtype, size, last, following)
            x = np.tile(row[::-1], (count, 1))
            x[i % count] = row
            logits, shape = form == "logits", (samples, count)
            out = small.draw(x.reshape(-1), size, logits, {}, shape, reader, key)
            assert out is not None
            assert out[divmod(i, count)] == (last if further else following)
    assert set(rows.draw_kernels(launches)) == {kernel}

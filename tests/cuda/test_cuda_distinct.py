"""Draws without replacement by CUDA kernels are those of `sample` from what is left of each row."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import oracle
import pytest
import rows
from cases import DTYPES, LAYOUTS, make, neighbours, widened
from philox_inverse import find_words

from anycat import Categorical
from anycat._kernels import cuda
from anycat._kernels.cuda import draw, launch
from anycat._kernels.grid import DrawRange
from anycat._kernels.keys import key_of_rows

if TYPE_CHECKING:
    from types import ModuleType

Array = np.ndarray[Any, Any]

TOP = 2.0**20  # the largest logit of rows from which nothing is subtracted


def some(x: Array, n: int, first: int = 0) -> DrawRange:
    """Return the range of n draws from each row of x, samples outside."""
    count = int(np.prod(x.shape[:-1]))
    return DrawRange(n, count, 1, first, count, 1)


def redrawn(x: Array, form: str, draws: DrawRange, dtype: Any, key: Array) -> Array:
    """Draw by the definition: one by one, each from a row without the outcomes before it."""
    n = draws.samples * draws.repeats
    step = 1 if draws.repeats > 1 else draws.sample_stride
    left = np.array(widened(x)).reshape(-1, x.shape[-1])
    one = draws._replace(samples=1, repeats=1)
    out = np.empty((n, len(left)), np.int64)
    for j in range(n):
        drawn = rows.draw(left, form, one._replace(first=draws.first + j * step), key=key)[0, :, 0]
        r = np.flatnonzero(drawn >= 0)
        left[r, drawn[r]] = 0 if form == "probs" else -np.inf
        out[j] = drawn
    return (out.T[None] if draws.repeats > 1 else out[:, :, None]).astype(dtype)


def drawn(
    cupy: ModuleType, x: Any, form: str, draws: DrawRange, dtype: Any = np.int64, key: Any = None
) -> Array:
    """Draw by the CUDA kernels; nothing of the result is left as it was."""
    out = cupy.asarray(np.full(draws[:3], 99, dtype))
    done: list[int] = []
    words, *of_rows = rows.as_key(rows.KEY if key is None else key)
    bits = words, *map(cupy.asarray, of_rows)
    cuda.sample_distinct(cupy.asarray(x), form == "logits", bits, draws, out, {}, done.append)
    assert sum(done) == out.size
    return cupy.asnumpy(out)


def check(
    cupy: ModuleType,
    x: Array,
    form: str,
    draws: DrawRange | int,
    dtype: Any = np.int64,
    key: Any = None,
) -> Array:
    """Compare with the definition, and return the draws."""
    draws = draws if isinstance(draws, DrawRange) else some(x, draws)
    expected = redrawn(x, form, draws, dtype, rows.KEY if key is None else key)
    found = drawn(cupy, x, form, draws, dtype, key)
    np.testing.assert_array_equal(found, expected, f"shape {x.shape}")
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_every_size(form: str, kind: str, dtype: str, cupy: ModuleType) -> None:
    """Of a lane, of several lanes, of a warp, of a block, and of several tiles."""
    for size in (1, 32, 33, 65, 300, 513, 1024, 1025, 4096, 3 * 4096 - 1):
        check(cupy, make(form, kind, (2, size), dtype), form, min(size + 2, 6))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_whole_rows(form: str, dtype: str, cupy: ModuleType) -> None:
    """Each category is drawn once, and then nothing is left."""
    for size in (5, 33, 200, 1030):
        kinds = [kind for of, kind in rows.KINDS if of == form]
        for kind in kinds if size < 300 else kinds[1:2]:
            x = make(form, kind, (2, size), dtype)
            found = check(cupy, x, form, size + 2)[:, :, 0].T
            for r in range(2):
                positive = np.flatnonzero(x[r] > (0 if form == "probs" else -np.inf))
                assert sorted(found[r, : len(positive)]) == positive.tolist()
                assert (found[r, len(positive) :] == -1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_geometric_weights(form: str, dtype: str, cupy: ModuleType) -> None:
    """Almost every draw takes the largest that is left, so that all exponents change."""
    for size, n in ((100, 100), (1500, 40), (5000, 40), (9 * 4096, 20)):
        exponents = -np.random.default_rng(size).permutation(size) * (120 / size)
        x = exponents if form == "logits" else 2.0**exponents
        check(cupy, x[None].astype(dtype), form, n)


@pytest.mark.parametrize("form", ["probs", "logits"])
def test_ties(form: str, cupy: ModuleType) -> None:
    """Of equal values, one that is drawn leaves the largest as it was."""
    for size, n in ((20, 22), (200, 30), (4096, 10), (8192, 10), (3 * 4096, 10)):
        same = np.full((1, size), 1 if form == "probs" else 0, np.float32)
        check(cupy, same, form, n)
        few = np.where(np.arange(size) % (size // 4) == 1, same + np.float32(15), same)
        check(cupy, few, form, n)


@pytest.mark.parametrize("size", [8192, 8190, 4 * 4096, 5 * 4096 + 9])
def test_scale_of_tiles(size: int, cupy: ModuleType) -> None:
    """The upper bound of the sum falls below a power of two, which leaves more bits to tiles."""
    x = np.ones((1, size), np.float64)
    check(cupy, x, "probs", 5)
    x[0, ::2] = 1 + 2.0**-52
    x[0, 4096] = 1 - 2.0**-11
    check(cupy, x, "probs", 5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_tiles_of_other_exponents(form: str, dtype: str, cupy: ModuleType) -> None:
    rng = np.random.default_rng(5)
    size = 7 * 4096 + 5
    x = make(form, "plain", (1, size), dtype)
    tile = np.arange(size) // 4096
    scale = rng.integers(-9, 9, 8)[tile]  # so that draws come from many
    x = (x + 0.7 * scale if form == "logits" else x * 2.0**scale).astype(dtype)
    x[:, 4096:8192] = -np.inf if form == "logits" else 0.0  # and one has none
    check(cupy, x, form, 60)
    peaks = rng.choice(size, 30, replace=False)
    x[0, peaks] = np.linspace(30, 90, 30) if form == "logits" else 2.0 ** np.linspace(30, 90, 30)
    check(cupy, x, form, 40)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("peak", [TOP + 0.125, TOP + 16, 3e6, 3e38])
def test_logits_that_cross_the_offset(peak: float, dtype: str, cupy: ModuleType) -> None:
    """When the largest are drawn, another number is subtracted from logits, or none any more."""
    for size, rest in product((9, 90, 1500, 9000), (TOP, TOP - 3, 5.0, -TOP, -TOP - 0.125, -3e6)):
        x = np.full((1, size), rest, dtype)
        x[0, 1::3] -= 1
        x[0, 2::3] -= dtype == "float64" and 0.3
        x[0, [0, size // 2, size - 1]] = peak, peak - 0.25, peak - 2
        check(cupy, x, "logits", 8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("form", "kind"), [*rows.KINDS, ("probs", "bound")])
def test_words_at_boundaries(form: str, kind: str, dtype: str, cupy: ModuleType) -> None:
    """Of what the first draw has left of a row, the second finds all boundaries to the bit."""
    for size in (7, 90, 1500, 4096 + 5) if kind != "bound" else (8192, 4 * 4096):
        if kind == "bound":  # the first draw takes the upper bound of the sum below a power of two
            x = np.ones((1, size), dtype)
            x[0, [5, 6, 4100]] = 2.0**-30 / 3, 2.0**-31 / 3, 2.0**-30 / 7
            x[0, 90:96] = 1.5
        else:
            x = make(form, kind, (1, size), dtype)
        for word in (0, 3 << 61, 2**64 - 1):
            first = oracle.outcome(oracle.boundaries(x[0], form) or [], word)
            left = x[0].copy()
            left[first] = 0 if form == "probs" else -np.inf
            ends = oracle.boundaries(left, form)
            if ends is None:
                continue
            for category, after, below, at in list(neighbours(ends, 4))[:9]:
                for other, expected in ((below, category), (at, after)):
                    state, index = find_words(word, other)
                    found = drawn(
                        cupy, x, form, DrawRange(2, 1, 1, index, 1, 1), key=np.array(state, "u8")
                    )
                    assert found.ravel().tolist() == [first, expected], f"K = {size}"


def test_draws_of_a_larger_output(cupy: ModuleType) -> None:
    for size, n in product((7, 60, 1300, 5000), (1, 6)):
        x = make("probs", "plain", (3, size), "float32")
        for first in (0, 1, 2**32 - 3, 2**33 + 5, 2**64 - 2**10):
            check(cupy, x, "probs", DrawRange(n, 3, 1, first, 50, 1))
            check(cupy, x, "probs", DrawRange(1, 3, n, first, 1, 9))


def test_rows_with_seeds(cupy: ModuleType) -> None:
    rng = np.random.default_rng(1)
    for size in (5, 70, 5000):
        x = make("logits", "plain", (6, size), "float32")
        numbers = rng.integers(0, 2**64, 6, np.uint64), rng.integers(0, 2**60, 6, np.uint64)
        key = key_of_rows(np, numbers, (6,))
        check(cupy, x, "logits", 4, key=key)
        check(cupy, x[2:5], "logits", DrawRange(4, 3, 1, 2, 6, 1), key=key)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_invalid_rows(form: str, dtype: str, cupy: ModuleType) -> None:
    nan, inf = np.nan, np.inf
    bad = {"probs": [nan, -nan, inf, -1.0, -inf], "logits": [nan, -nan, inf]}[form]
    for size in (3, 33, 2000, 5000):
        x = make(form, "plain", (18, size), dtype)
        for r, value in enumerate(bad):
            x[3 * r, -1 - r % 2] = value
        x[17] = 0 if form == "probs" else -inf
        x[16] = x[17]
        x[16, [0, size - 1]] = 1
        found = check(cupy, x, form, 4)
        invalid = (found < 0).all((0, 2))
        assert set(np.flatnonzero(invalid)) == {*range(0, 3 * len(bad), 3), 17}
        assert (found[:, 16, 0] < 0).tolist() == [False, False, True, True]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint64])
def test_output_dtypes(dtype: Any, cupy: ModuleType) -> None:
    for size in (5, 100, 2000):
        x = make("probs", "plain", (3, size), "float32")
        x[:, 120:] = 0
        check(cupy, x, "probs", 6, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "i1"])
def test_layouts(
    layout: str, dtype: str, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = LAYOUTS[layout]
    for piece, size in ((1, 9), (100, 9), (100, 1100), (10**6, 1100)):
        monkeypatch.setattr(draw, "PIECE_ELEMENTS", piece)
        x = (9 * make("probs", "plain", (3, 2, size), "float32")).astype(dtype)
        changed = change(x)
        draws = some(changed, 3)
        found = drawn(cupy, change(cupy.asarray(x)), "probs", draws)
        np.testing.assert_array_equal(
            found, redrawn(changed, "probs", draws, np.int64, rows.KEY), f"shape {changed.shape}"
        )


@pytest.mark.parametrize(
    ("shape", "dtype", "kernels"),
    [
        ((9, 32), "float32", "draw_distinct_rows"),
        ((9, 1024), "float16", "draw_distinct_rows"),
        ((9, 1025), "float16", "draw_distinct_long_rows"),
        ((9, 512), "float64", "draw_distinct_rows"),
        ((9, 513), "float64", "draw_distinct_long_rows"),
        ((9, 4097), "float32", "draw_distinct_long_rows"),  # many rows for two processors
        ((7, 4097), "float32", "reduce_tiles draw_distinct_long_rows"),
    ],
)
def test_each_size_has_its_kernel(
    shape: tuple[int, ...],
    dtype: str,
    kernels: str,
    cupy: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched, kernel = [], launch.kernel
    monkeypatch.setattr(launch, "kernel", lambda *a: launched.append(a[0]) or kernel(*a))
    check(cupy, make("probs", "plain", shape, dtype), "probs", 3)
    assert launched == kernels.split()


@pytest.mark.parametrize("batch", [(), (4,), (3, 2)])
def test_the_class(batch: tuple[int, ...], on_cpu: ModuleType) -> None:
    x = make("logits", "plain", (*batch, 60), "float32")
    expected = Categorical(logits=x).sample(9, replace=False, rng=5)
    dist = Categorical(logits=on_cpu.asarray(x), validate_args=False)
    found = dist.sample(9, replace=False, rng=5)
    assert type(found) is on_cpu.ndarray
    np.testing.assert_array_equal(found, expected)


# --- on a GPU -----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_many_blocks(form: str, kind: str, dtype: str, device: ModuleType) -> None:
    """Blocks that run at once do not disturb each other."""
    for n, size in ((20_011, 10), (3001, 200), (300, 4096), (20, 50257), (3, 128256)):
        check(device, make(form, kind, (n, size), dtype), form, 8)


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_many_draws(form: str, device: ModuleType) -> None:
    for size, n in ((1000, 1000), (4000, 4000), (20_000, 2000), (10**6, 300)):
        check(device, make(form, "plain", (2, size), "float32"), form, n)


@pytest.mark.gpu
def test_more_than_32_bits(device: ModuleType) -> None:
    """Of all values only a few are not zero."""
    if device.cuda.runtime.memGetInfo()[0] < 3 * 2**32:
        pytest.skip("the GPU has less than 12 GiB of free memory")
    x, last = device.zeros((1, 2**32 + 5), np.float16), 2**32 + 4
    x[0, [0, last]] = 1
    found = drawn(device, x, "probs", DrawRange(3, 1, 1, 0, 1, 1)).ravel()
    assert set(found) == {0, last, -1}
    assert found[2] == -1


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(40, 10), (40, 2000), (9, 128256)])
def test_a_graph_draws_again(shape: tuple[int, ...], device: ModuleType) -> None:
    """Each run of a graph begins with whole rows, and nothing in it waits."""
    x = make("logits", "plain", shape, "float32")
    y, draws = device.asarray(x), some(x, 5)
    expected = redrawn(x, "logits", draws, np.int64, rows.KEY)
    out = device.asarray(np.full(draws[:3], 99))

    def call() -> Any:
        cuda.sample_distinct(y, True, rows.BITS, draws, out, {})

    call()  # compiles kernels
    device.cuda.get_current_stream().synchronize()
    stream = device.cuda.Stream(non_blocking=True)
    with stream:
        call()
        stream.begin_capture()
        call()
        graph = stream.end_capture()
        for _ in range(2):
            out[...] = 99
            graph.launch()
            np.testing.assert_array_equal(out.get(), expected)

"""Rows changed in place, at any time: nothing beyond them is read, and draws stay in -1..K-1.

A distribution shares memory with its array and keeps what it has computed from it, so kernels meet
old statistics with new rows. While a kernel runs, another thread may change what it reads twice.
Such draws are worth nothing, but they do no harm. `nox -s bounds` runs these tests with Numba's
check of every index.
"""

from __future__ import annotations

import functools
import operator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import rows
from numba import config, njit, types
from numba.experimental import structref
from numba.extending import overload, overload_attribute

from anycat import Categorical
from anycat._kernels.cpu import draw as cpu_draw
from anycat._kernels.cpu import small, table, values
from anycat._kernels.cpu.costs import Costs
from anycat._kernels.cpu.grid import grid_args
from anycat._kernels.cpu.jit.constants import BEYOND_CDF, HALF, ONE
from anycat._kernels.cpu.jit.draw import (
    draw_guided_rows,
    draw_long_rows,
    draw_rows,
    draw_summed_rows,
)
from anycat._kernels.cpu.jit.guide import fill_guide
from anycat._kernels.cpu.jit.lookup import find_mode
from anycat._kernels.cpu.jit.small import draw_small
from anycat._kernels.cpu.jit.small_long import compute_tile_stats
from anycat._kernels.cpu.jit.truncate import truncate_rows
from anycat._kernels.cpu.sizes import BLOCK, TILE
from anycat._kernels.cpu.tiles import TileStats
from anycat._kernels.cpu.workspace import allocate
from anycat._kernels.grid import DrawGrid

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]

FORMS = ["probs", "logits"]
DTYPES = [np.float32, np.float64]
ONE_TILE = (1, 2, 63, 64, 65, 4095, 4096)
LONG = (4097, 6400, 8192, 8193)
ROWS = (1, 3, 63, 64, 65, 130)


class Path(NamedTuple):
    """A kernel, and the sizes and numbers of rows that it is tested with."""

    kernel: str
    """The kernel that draws."""
    strategy: str
    """The name of its cost."""
    sizes: tuple[int, ...]
    counts: tuple[int, ...] = ROWS
    max_elements: int = 130 * 65
    """Of rows of which there are several."""

    def shapes(self) -> list[tuple[int, int]]:
        return [
            (n, size)
            for size in self.sizes
            for n in self.counts
            if n <= 3 or n * size <= self.max_elements
        ]


PATHS = [
    Path("draw_small", "find", ONE_TILE),
    Path("draw_long_small", "find", LONG, (1, 3)),
    Path("draw_rows", "find", ONE_TILE),
    Path("draw_long_rows", "find", LONG),
    Path("draw_summed_rows", "rank", (*ONE_TILE, *LONG)),
    Path("draw_guided_rows", "guide", (*ONE_TILE, *LONG), (3, 63, 64, 65, 130)),
    Path("draw_short_rows", "lanes", (1, 2, 7, 8, 9, 63, 64, 65, 255, 256), (64, 65, 130)),
    Path("draw_table", "table", (*ONE_TILE, *LONG), (1, 3)),
]
SMALL = ("draw_small", "draw_long_small")
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.kernel)
each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each kernel that draws adds its name."""
    names: list[str] = []

    def recorded(kernel: Any) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            names.append(kernel.__name__)
            return kernel(*args)

        return call

    for name in SMALL:
        monkeypatch.setattr(small, name, recorded(getattr(small, name)))
    monkeypatch.setattr(table, "draw_table", recorded(table.draw_table))
    for name in ("SHORT_ROWS", "ROWS", "LONG_ROWS", "SUMMED_ROWS", "GUIDED_ROWS"):
        strategy = getattr(cpu_draw, name)
        monkeypatch.setattr(cpu_draw, name, strategy._replace(kernel=recorded(strategy.kernel)))
    return names


def take(monkeypatch: pytest.MonkeyPatch, strategy: str) -> None:
    """Let a strategy be the cheapest."""
    costs = Costs(*[1e18] * 5)._replace(**{strategy: 0.0})
    monkeypatch.setattr(Costs, "of", lambda *_: costs)
    setup = 0.0 if strategy == "table" else 1e30
    monkeypatch.setattr(Costs, "table_setup", lambda *_: setup)


def draw(dist: Categorical, path: Path, n: int) -> Array:
    if path.kernel == "draw_small":
        return np.asarray(dist.sample(max(1, 30 // n), rng=0))
    if path.kernel == "draw_long_small":
        return np.asarray(dist.sample(15 // n, rng=0))
    return np.asarray(dist.sample(3 if n > 3 else 300, rng=0, dtype=dist._traits.index))


def set_to(value: float, x: Array) -> None:
    x[...] = value


def set_last(value: float, x: Array) -> None:
    x[..., -1] = value


def set_random(x: Array) -> None:
    bits = np.random.default_rng(0).integers(0, 256, x.nbytes, np.uint8)
    x[...] = bits.view(x.dtype).reshape(x.shape)


def reverse(x: Array) -> None:
    x[...] = x[..., ::-1].copy()


CHANGES: list[Callable[[Array], None]] = [
    *(partial(set_to, value) for value in (1e38, 0.0, -1.0, 5e-42, np.nan, np.inf, -np.inf)),
    *(partial(set_last, value) for value in (3e38, np.nan)),
    *(set_random, reverse),
]


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", DTYPES)
@each_form
@each_path
def test_draws(
    path: Path,
    form: str,
    dtype: Any,
    library: str,
    drawn: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Statistics are kept first, then rows change, and change back."""
    as_array = np.asarray if library == "numpy" else pytest.importorskip("torch").from_numpy
    shapes = path.shapes() if library == "numpy" else path.shapes()[-1:]
    for n, size in shapes:
        original = rows.make(form, "plain", (n, size), dtype, size)
        for change in CHANGES:
            x = original.copy()
            dist = Categorical(**{form: as_array(x)})
            take(monkeypatch, "find")
            draw(dist, path, n)
            take(monkeypatch, path.strategy)
            drawn.clear()
            for _ in range(2):
                change(x)
                draws = draw(dist, path, n)
                assert draws.min() >= -1, (size, n, change)
                assert draws.max() < size, (size, n, change)
                x[...] = original
                draw(dist, path, n)
            assert set(drawn) == {path.kernel}


# --- while a kernel runs ------------------------------------------------------------------------


@structref.register  # type: ignore[misc]
class _ChangingRows(types.StructRef):  # type: ignore[misc]
    """The type of `ChangingRows`."""


class ChangingRows(structref.StructRefProxy):  # type: ignore[misc]
    """For kernels, rows of which each read returns one of some numbers, whatever it did before."""


structref.define_proxy(ChangingRows, _ChangingRows, ["numbers", "state", "size"])


@overload_attribute(_ChangingRows, "dtype")
def _dtype(x):  # type: ignore[no-untyped-def]
    return lambda x: x.numbers.dtype


@overload(operator.getitem)
def _read(x, k):  # type: ignore[no-untyped-def]
    if not isinstance(x, _ChangingRows):
        return None

    def read(x, k):  # type: ignore[no-untyped-def]
        if np.uint64(k) >= np.uint64(x.size):
            raise IndexError("index is out of bounds")
        x.state[0] = x.state[0] * np.uint64(6364136223846793005) + ONE
        return x.numbers[(x.state[0] >> HALF) % np.uint64(x.numbers.size)]

    return read


@njit
def run(kernel: Any, numbers: Array, state: Array, n: int, args: Any) -> None:
    kernel(ChangingRows(numbers, state, n), *args)


@functools.cache
def for_changing_rows(kernel: Any) -> Any:
    return njit(error_model="numpy")(kernel.py_func)


BAD = [0, -1, 5e-42, 3e38, -3e38, np.nan, -np.nan, np.inf, -np.inf]


def kernels(size: int, n: int, logits: bool, out: Array) -> dict[Any, tuple[Any, ...]]:
    """Return all kernels that read rows twice, or what was computed from them, with arguments."""
    k, new = np.uint64(size), partial(allocate, size, np.float32)
    grid = *grid_args(DrawGrid((0, 1, 0, n), (0, 1, 0, n), 1, out.size // n)), out
    stats = TileStats.empty(n, size).part(0, n)
    rest = k, logits, rows.BITS, *grid
    both = {
        draw_summed_rows: (*rest, *new("random_words weights padded_cdf group_cdf"), *stats),
        draw_guided_rows: (
            *rest,
            *new("random_words weights cdf small_guide found deferred"),
            *stats,
        ),
        find_mode: (k, logits, np.uint64(0), out),
    }
    if size <= TILE:
        workspace = np.zeros(TILE + out.size + 8, np.uint64)
        return both | {
            draw_small: (size, logits, 0, 0, workspace, out),
            draw_rows: (*rest, *new("random_words weights block_sums")),
        }
    return {
        compute_tile_stats: (size, logits, *new("weights"), *stats),
        draw_long_rows: (*rest, *new("random_words weights block_sums"), *stats),
        **both,
    }


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 65, 6400])
@each_form
def test_rows_that_change_while_they_are_read(form: str, size: int) -> None:
    n = 3
    state, out = np.ones(1, np.uint64), np.empty(n * 300, np.int64)
    for i in range(10 * len(BAD)):
        numbers = rows.make(form, "plain", (n * size,), np.float32)
        numbers[0] = BAD[i % len(BAD)]
        for kernel, args in kernels(size, n, form == "logits", out).items():
            out[...] = -1
            run(for_changing_rows(kernel), numbers, state, n * size, args)
            assert out.min() >= -1, kernel
            assert out.max() < size, kernel


# Temperature, top_k, top_p and min_p: each alone, and together.
ARGUMENTS = [
    *((1, 2, 1, 0), (1, 300, 1, 0), (0, 10**6, 1, 0), (0.7, 10**6, 1, 0)),
    *((1, 10**6, 0.5, 0), (1, 10**6, 1, 0.3), (1.5, 300, 0.9, 0.1)),
]


@pytest.mark.slow
@pytest.mark.parametrize("size", [65, 1000, 6400, 9000])
@each_form
def test_rows_that_change_while_they_are_truncated(form: str, size: int) -> None:
    n, logits = 3, form == "logits"
    state, out = np.ones(1, np.uint64), np.empty(n * size, np.float32)
    stats = TileStats.empty(n, size).part(0, n)
    kernel = for_changing_rows(truncate_rows)
    for i in range(4 * len(BAD)):
        numbers = rows.make(form, "plain", (n * size,), np.float32)
        if i >= len(BAD):  # else all numbers are good
            numbers[0] = BAD[i % len(BAD)]
        for heat, k, p, m in ARGUMENTS:
            arguments = [
                np.array([x], dtype) for x, dtype in zip((heat, k, p, m), "dqdd", strict=True)
            ]
            most = min(size, 2 * BLOCK * k)
            out[...] = 7
            args = size, logits, 0, *arguments, False, most, out, *stats
            run(kernel, numbers, state, n * size, args)
            assert (out != 7).all(), (i, k, p, m)


# --- what kernels write for each other ----------------------------------------------------------


def cdfs(size: int) -> list[Array]:
    """Return integers in the place of a cdf, the last of which is positive."""
    rng = np.random.default_rng(size)
    largest = int(BEYOND_CDF)
    found = []
    for top in (3, 2**50, largest):
        x = rng.integers(0, top + 1, size, np.uint64)
        x[-1] = max(1, x[-1])
        x[-1] = top if size % 2 else x[-1]
        found += [x, np.roll(np.sort(x), size // 3) | np.uint64(1)]
    found.append(np.full(size, largest, np.uint64))
    found[-1][-1] = 1
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 64, 1000, 1500, 4097, 9000])
def test_tables_of_any_numbers(size: int) -> None:
    """Parts of a guide table, which threads fill, leave the others alone."""
    rng = np.random.default_rng(0)
    grid = DrawGrid((1, 0, 0, 1), (0, 0, 0, 1), 1, 4000)  # an odd index needs most memory
    for cdf in cdfs(size):
        out, (guide,) = np.empty(4000, np.int64), allocate(size, None, "guide")
        borders = np.sort([0, *rng.integers(0, guide.size, 5), guide.size]).astype(np.uint64)
        for begin, end in pairwise(borders):
            guide[...] = 99
            fill_guide(cdf, guide, begin, end)
            outside = np.delete(guide, np.s_[int(begin) : int(end)])
            np.testing.assert_array_equal(outside, 99)
        for begin, end in pairwise(borders):
            fill_guide(cdf, guide, begin, end)
        workspace = allocate(0, None, "random_words found deferred")
        table.draw_table(cdf, guide, rows.BITS, *grid_args(grid), out, *workspace)
        assert out.min() >= 0
        assert out.max() < size


def test_values_that_change_before_the_gradient_is_computed() -> None:
    """Values are checked when their probabilities are computed, and read again much later."""
    x = np.zeros((2, 3), np.float32)
    stats = values.row_stats(x, logits=True)
    around = np.full(3 * x.size, 7, np.float32)
    out = around[x.size : 2 * x.size].reshape(x.shape)
    for value in (3, 6, -1, -6, -9, 2**62):
        index, by = np.full(2, value), np.ones(2, np.float32)
        values.log_prob_gradient(x, stats, index, by, None, out)
        np.testing.assert_array_equal(np.delete(around, np.s_[x.size : 2 * x.size]), 7)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("size", "dtype"), [(3, "uint8"), (255, "uint8"), (300, "uint16")])
@each_form
def test_unsigned_draws_of_rows_that_have_become_invalid(
    form: str, size: int, dtype: str, library: str
) -> None:
    """They are -1, which no unsigned dtype holds."""
    x = rows.make(form, "plain", (4, size), np.float64, size)
    as_array = np.asarray if library == "numpy" else pytest.importorskip("torch").from_numpy
    dist = Categorical(**{form: as_array(x)})
    assert np.asarray(dist.sample(rng=0, dtype=dtype)).max() < size
    x[2] = np.nan
    with pytest.raises(ValueError, match="have changed since they were checked"):
        np.asarray(dist.sample(rng=0, dtype=dtype))
    assert np.asarray(dist.sample(rng=0))[2] == -1


@pytest.mark.skipif(not config.BOUNDSCHECK, reason="needs NUMBA_BOUNDSCHECK=1")
def test_indices_are_checked() -> None:
    """Unsigned ones too, in functions that release the GIL and in those that they call."""
    x = np.ones(65)
    x.flags.writeable = False
    random_words, weights, _ = allocate(65, x.dtype, "random_words weights block_sums")
    grid = grid_args(DrawGrid((0, 0, 0, 1), (0, 0, 0, 1), 1, 2))
    out, block_sums = np.empty(2, np.int64), np.empty(1, np.uint64)
    with pytest.raises(IndexError, match="out of bounds"):
        draw_rows(
            *(x, np.uint64(65), False, rows.BITS, *grid, out),
            *(random_words, weights, block_sums),
        )

"""Counts of draws are those of the draws that `sample` makes, by whichever kernel."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import oracle
import pytest
import rows

from anycat._kernels import cpu
from anycat._kernels.cpu import counts
from anycat._kernels.cpu import rows as cpu_rows
from anycat._kernels.cpu.costs import Costs
from anycat._kernels.cpu.grid import grid_args
from anycat._kernels.cpu.jit.counts import SHARED_BIT, count_table
from anycat._kernels.cpu.sizes import LANES, TILE, WORD_BUFFER
from anycat._kernels.cpu.table import Table
from anycat._kernels.cpu.workspace import allocate
from anycat._kernels.grid import DrawGrid, DrawRange
from anycat._kernels.keys import key_of_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = np.ndarray[Any, Any]

each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_dtype = pytest.mark.parametrize("dtype", ["bfloat16", np.float16, np.float32, np.float64])
each_strategy = pytest.mark.parametrize("strategy", Costs._fields)
each_number_of_threads = pytest.mark.parametrize("threads", [1, 2, 5])

SHAPES = [
    *((1, size) for size in (1, 2, 63, 64, 65, TILE, TILE + 1, 20_000)),
    *((LANES - 1, 6), (LANES, 1), (LANES + 1, 128), (3 * LANES - 1, 7)),
    *((3, 129), (5, TILE), (3, 2 * TILE + 1)),
]


def range_of(x: Array, samples: int, repeats: int = 1, first: int = 5) -> DrawRange:
    n = len(x) * repeats
    return DrawRange(samples, len(x), repeats, first, n + 3, repeats + 1)


def count(
    x: Array,
    form: str,
    draws: DrawRange,
    key: Array = rows.KEY,
    cache: dict[str, Any] | None = None,
) -> Array:
    """Count draws; nothing of the result is left as it was."""
    around = np.full((len(x) + 2, x.shape[-1]), 99)
    cache = {} if cache is None else cache
    cpu.sample_counts(x, form == "logits", rows.as_key(key), draws, around[1:-1], cache)
    assert (around[[0, -1]] == 99).all()
    return around[1:-1]


def of_draws(x: Array, form: str, draws: DrawRange, key: Array = rows.KEY) -> Array:
    """Return the counts of the draws that `sample` makes."""
    drawn = np.moveaxis(rows.draw(x, form, draws, key=key), 1, 0).reshape(len(x), -1)
    size = x.shape[-1]
    return np.array([
        np.full(size, -1) if row[0] < 0 else np.bincount(row, minlength=size) for row in drawn
    ])  # fmt: skip


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few draws be many."""
    monkeypatch.setattr(counts, "BUFFERED_DRAWS", 2 * LANES)
    monkeypatch.setattr(counts, "BUFFERED_COUNTS", 1000)
    monkeypatch.setattr(counts, "MAX_COUNT", 250)


@pytest.fixture(params=[0, 2**60], ids=["parts", "no parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Count words by parts of their range, or not."""
    monkeypatch.setattr(counts, "DRAWS_PER_PART", request.param)
    return bool(request.param == 0)


# --- every kernel


@each_form
@each_dtype
@each_strategy
@pytest.mark.usefixtures("small_pieces")
def test_every_kernel(
    strategy: str, dtype: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_rows, "CONVERTED_ELEMENTS", 1000)
    for shape in SHAPES:
        x = rows.make(form, "plain", shape, dtype, shape[1])
        draws = range_of(x, 300)
        expected = of_draws(x, form, draws)
        with rows.forced(strategy), rows.recorded() as launches:
            found = count(x, form, draws)
        np.testing.assert_array_equal(found, expected, str(shape))
        kernel = rows.kernel_of(strategy, shape)
        names = {name for name, _ in launches if name.startswith(("draw", "count"))}
        assert names == ({"count_table"} if kernel == "draw_table" else {kernel, "count_draws"})


@each_strategy
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_hard_rows(form: str, kind: str, strategy: str, parts: bool) -> None:
    for shape in ((1, 1000), (LANES, 20), (2, TILE + 1)):
        x = rows.make(form, kind, shape, np.float32)
        draws = range_of(x, 500)
        expected = of_draws(x, form, draws)
        with rows.forced(strategy):
            np.testing.assert_array_equal(count(x, form, draws), expected, str(shape))


@each_number_of_threads
@each_strategy
@pytest.mark.usefixtures("small_pieces")
def test_threads(strategy: str, threads: int, parts: bool) -> None:
    for shape in ((1, 3), (1, 3000), (3 * LANES, 7), (9, 300), (3, 9000)):
        x = rows.make("probs", "plain", shape, np.float32)
        draws = range_of(x, 5 * shape[1])
        expected = of_draws(x, "probs", draws)
        with rows.forced(strategy, 1e9), rows.threads(threads), rows.recorded() as launches:
            found = count(x, "probs", draws)
        np.testing.assert_array_equal(found, expected, str(shape))
        if strategy == "table":
            assert len([name for name, _ in launches if name == "count_table"]) >= threads


@pytest.mark.usefixtures("small_pieces")
def test_groups_of_long_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tile statistics of so many rows are computed group by group."""
    monkeypatch.setattr(cpu_rows, "TILE", 3)
    for strategy in ("find", "rank", "guide"):
        x = rows.make("probs", "plain", (8, TILE + 1), np.float32)
        expected = of_draws(x, "probs", range_of(x, 50))
        with rows.forced(strategy), rows.recorded() as launches:
            np.testing.assert_array_equal(count(x, "probs", range_of(x, 50)), expected)
        assert len([name for name, _ in launches if name == "reduce_tiles"]) == 3


@each_strategy
@pytest.mark.parametrize(("samples", "repeats"), [(1, 1), (1, 700), (30, 23), (23, 30)])
@pytest.mark.usefixtures("small_pieces")
def test_ranges(samples: int, repeats: int, strategy: str, parts: bool) -> None:
    for shape in ((1, 10), (LANES, 10), (3, TILE + 1)):
        x = rows.make("probs", "plain", shape, np.float32)
        for first in (0, 5, 2**33 - 50, 2**64 - 2**20):
            draws = range_of(x, samples, repeats, first)
            expected = of_draws(x, "probs", draws)
            with rows.forced(strategy):
                np.testing.assert_array_equal(count(x, "probs", draws), expected, str(draws))


@each_strategy
def test_seeds(strategy: str, parts: bool) -> None:
    for shape in ((1, 10), (LANES + 1, 10), (3, TILE + 1)):
        x = rows.make("probs", "plain", shape, np.float32)
        numbers = np.random.default_rng(0).integers(0, 2**64, (2, shape[0]), np.uint64)
        key = key_of_rows(np, numbers, shape[:1])
        draws = DrawRange(300, shape[0], 1, 0, shape[0], 1)
        expected = of_draws(x, "probs", draws, key)
        with rows.forced(strategy):
            np.testing.assert_array_equal(count(x, "probs", draws, key), expected)


@each_form
@each_strategy
@pytest.mark.usefixtures("small_pieces")
def test_invalid_rows(strategy: str, form: str, parts: bool) -> None:
    for shape in ((1, 5), (LANES + 7, 9), (4, 300), (3, TILE + 1)):
        x = rows.make(form, "plain", shape, np.float32)
        x[-1, shape[1] // 2] = np.nan
        x[0] = -np.inf if form == "logits" else 0
        with rows.forced(strategy):
            found = count(x, form, range_of(x, 200))
        assert (found[[0, -1]] == -1).all()
        np.testing.assert_array_equal(found, of_draws(x, form, range_of(x, 200)))
        assert (found[1:-1].sum(-1) == 200).all()


def test_layouts() -> None:
    """Rows that are not one after the other in memory."""
    x = rows.make("probs", "plain", (6, 5, 40), np.float32)
    for view in (
        x[::2, :, ::3],
        x.transpose(1, 0, 2),
        np.asfortranarray(x),
        x[:, :1],
        x.astype(">f4"),
    ):
        flat = np.ascontiguousarray(view).reshape(-1, view.shape[-1])
        draws = range_of(flat, 50)
        found = np.empty(flat.shape, np.int64)
        cpu.sample_counts(view, False, rows.BITS, draws, found, {})
        np.testing.assert_array_equal(found, of_draws(flat, "probs", draws))


@each_form
def test_counts_of_the_oracle(form: str) -> None:
    x = rows.make(form, "plain", (2, 7), np.float32)
    draws = range_of(x, 40)
    expected = np.zeros((2, 7), np.int64)
    for r, i in itertools.product(range(2), range(40)):
        index = draws.first + r * draws.row_stride + i * draws.sample_stride
        word = oracle.word(rows.KEY.tolist(), index)
        expected[r, oracle.outcome(oracle.boundaries(x[r], form), word)] += 1
    np.testing.assert_array_equal(count(x, form, draws), expected)


# --- parts of the range of words


@pytest.mark.parametrize("size", [1, 2, 17, 255, 256, 257, 1000, 1 << 14, (1 << 14) + 1])
def test_many_draws_from_one_row(size: int) -> None:
    """As many as are counted by parts without being told to."""
    x = rows.make("probs", "plain", (1, size), np.float32)
    draws, number = range_of(x, 1 << 20), min(max(16 * size, 1 << 12), 1 << 16)
    with rows.recorded() as launches:
        found = count(x, "probs", draws)
    np.testing.assert_array_equal(found, of_draws(x, "probs", draws))
    sizes = {len(args[6]) for name, args in launches if name == "count_table"}
    assert sizes == {0 if size > 1 << 14 else 1 << (number - 1).bit_length()}


def boundary_words(table: Table, size: int) -> Iterator[int]:
    """Yield the last word of each category and the word after it, and those of each part."""
    total = int(table.cdf[-1])
    ends = [-(-(int(end) << 64) // total) for end in table.cdf]
    for end in (*ends, *(i << 64 >> (size - 1).bit_length() for i in range(size + 1))):
        yield from (word for word in (end - 1, end) if 0 <= word < 1 << 64)


@pytest.mark.parametrize("kind", ["plain", "sparse", "wide", "single"])
@pytest.mark.parametrize("size", [1, 3, 100, 4096])
def test_words_at_boundaries(size: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By chance, one word in 2**50 is one."""
    x = rows.make("probs", kind, (1, size), np.float32)
    table = Table.prepare(x[0], False, {})
    parts, categories = counts._parts(table, 1 << 30)
    words = np.array(list(boundary_words(table, parts.size)), np.uint64)
    total = int(table.cdf[-1])
    targets = np.array([int(word) * total >> 64 for word in words], np.uint64)
    expected = np.bincount(np.searchsorted(table.cdf, targets, "right"), minlength=size)
    bits = np.uint64(64 - (parts.size - 1).bit_length())
    owned = (parts >> SHARED_BIT == 0)[words >> bits]
    found = np.bincount(categories[words[owned] >> bits].astype(np.int64), minlength=size)
    assert (found <= expected).all()
    own = np.searchsorted(table.cdf, targets[owned], "right")
    np.testing.assert_array_equal(categories[words[owned] >> bits], own)
    assert (parts >> SHARED_BIT).sum() <= min(size - 1, parts.size)


# --- large numbers, memory, progress


@pytest.mark.parametrize("size", [10, 20_000])
def test_counts_of_more_than_32_bits(size: int) -> None:
    """Threads count so many draws that 32 bits are enough, and add them to those before."""
    x = rows.make("probs", "plain", (1, size), np.float32)
    table, n, many = Table.prepare(x[0], False, {}), 5000, 2**32 - 1
    expected = of_draws(x, "probs", DrawRange(n, 1, 1, 5, 1, 1))[0]
    grid, (parts, categories) = (
        DrawGrid((5, 0, 0, 1), (0, 0, 0, 1), 1, n),
        counts._parts(table, many),
    )
    assert parts.size == (0 if size > 1 << 14 else 1 << 12)
    found = np.full(size, 7 * many)
    counts._add_by_table(table, rows.BITS, grid, parts, categories, found, lambda n: None)
    np.testing.assert_array_equal(found, expected + 7 * many)

    strides, _, *numbers = grid_args(grid)
    before = many - expected.astype(np.uint32)
    workspace = allocate(0, None, "random_words found deferred")
    count_table(*table, rows.BITS, strides, *numbers, parts[:0], before, *workspace)
    assert (before == many).all()
    assert many >= counts.MAX_COUNT

    found = np.full(10, 7 * many)
    counts.count_draws(np.arange(10), *map(np.uint64, (10, 10, 0)), found)
    assert (found == 7 * many + 1).all()
    found, words = np.full(3, many), np.array([many, many + 9, 1 << 63 | 5], np.uint64)
    counts.add_parts(words, np.array([2, 0, 1], np.uint64), found)
    np.testing.assert_array_equal(found, [2 * many + 9, many, 2 * many])


@pytest.mark.parametrize(
    ("shape", "n", "strategy"),
    [((1, 1000), 1 << 22, "table"), ((1, 300_000), 1 << 22, "table"), ((100, 50), 20_000, "lanes")],
)
def test_memory_does_not_grow_with_draws(shape: Any, n: int, strategy: str) -> None:
    x = rows.make("probs", "plain", shape, np.float32)
    with rows.forced(strategy), rows.threads(2):
        count(x, "probs", range_of(x, 1))
        tracemalloc.start()
        count(x, "probs", range_of(x, n))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2.5e6 + 70 * x.size < 8 * n * shape[0]


@each_strategy
@pytest.mark.usefixtures("small_pieces")
def test_progress(strategy: str) -> None:
    """All draws are reported, those of invalid rows too."""
    for shape in ((1, 10), (LANES + 5, 10), (2, TILE + 1)):
        x = rows.make("probs", "plain", shape, np.float32)
        x[0, 0] = np.nan
        done: list[int] = []
        out = np.empty(shape, np.int64)
        with rows.forced(strategy), rows.threads(2):
            cpu.sample_counts(x, False, rows.BITS, range_of(x, 500), out, {}, done.append)
        assert sum(done) == 500 * shape[0]


def test_a_table_is_used_for_many_draws_of_many_short_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """All threads share its draws, in pieces between which an interrupt is possible."""
    monkeypatch.setattr(counts, "MAX_DRAWS_BY_LANES", 9999)
    x = rows.make("probs", "plain", (LANES, 2), np.float32)
    assert Costs.of(2, 10_000, 4).lanes < Costs.of(2, 10_000, 4).table
    for n, kernel in ((9999, "draw_short_rows"), (100_000, "count_table")):
        with rows.recorded() as launches:
            count(x, "probs", range_of(x, n))
        assert kernel in {name for name, _ in launches}


def test_few_draws_from_many_categories_are_counted_by_few_threads() -> None:
    """The counts of a thread take longer than its draws."""
    x = rows.make("probs", "plain", (1, 100_000), np.float32)
    with rows.forced("table"), rows.threads(5), rows.recorded() as launches:
        count(x, "probs", range_of(x, 110_000))
    assert [name for name, _ in launches].count("count_table") == 2


@each_strategy
def test_draws_of_rows_that_change_are_not_counted_elsewhere(strategy: str) -> None:
    """Kernels meet old statistics with new rows."""
    for shape in ((1, 65), (LANES, 65), (3, TILE + 2304)):
        original = rows.make("probs", "plain", shape, np.float32)
        for value in (1e38, 0.0, -1.0, 5e-42, np.nan, np.inf):
            x, cache = original.copy(), {}
            with rows.forced("find"):
                count(x, "probs", range_of(x, WORD_BUFFER + 1), cache=cache)
            x[...] = value
            with rows.forced(strategy):
                found = count(x, "probs", range_of(x, WORD_BUFFER + 1), cache=cache)
            assert found.min() >= -1


def test_draws_outside_of_the_categories_are_not_counted() -> None:
    found, around = np.array([3, 0, 2, 7, 1, 2**62]), np.zeros(20, np.int64)
    counts.count_draws(found, *map(np.uint64, (3, 3, 1)), around)
    np.testing.assert_array_equal(np.nonzero(around)[0], [4, 5, 6])
    np.testing.assert_array_equal(around[[4, 5, 6]], 1)

"""The CPU kernels equal the oracle, whichever strategy they take."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
import oracle
import pytest
import rows

from anycat import Categorical
from anycat._kernels.cpu import rows as cpu_rows
from anycat._kernels.cpu import tiles
from anycat._kernels.cpu.costs import Costs
from anycat._kernels.cpu.draw import SHORT_ROW_MAX_K
from anycat._kernels.cpu.rows import Rows
from anycat._kernels.cpu.sizes import LANES, TILE
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

Array = np.ndarray[Any, Any]

STRATEGIES = ("chosen", *Costs._fields)


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> Iterator[str]:
    """Take each strategy, whatever the cost model says of it."""
    with nullcontext() if request.param == "chosen" else rows.forced(request.param):
        yield request.param


def draw(x: Array, form: str, samples: int = 1, repeats: int = 1, first: int = 0) -> Array:
    n = int(np.prod(x.shape[:-1]))
    return rows.draw(x, form, DrawRange(samples, n, repeats, first, n * repeats, repeats))


@cache
def boundaries(row: bytes, dtype: str, form: str) -> list[int] | None:
    return oracle.boundaries(np.frombuffer(row, dtype), form)


def expected(x: Array, form: str, samples: int = 1, repeats: int = 1, first: int = 0) -> Array:
    """Draw by the oracle."""
    flat = x.reshape(-1, x.shape[-1])
    ends = [boundaries(row.tobytes(), x.dtype.str, form) for row in flat]
    shape = (samples, len(flat), repeats)
    key = [int(k) for k in rows.KEY]
    return np.array(
        [
            oracle.outcome(ends[r], oracle.word(key, first + i))
            for i, (_, r, _) in enumerate(np.ndindex(shape))
        ]
    ).reshape(shape)


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_every_size(form: str, kind: str, dtype: Any) -> None:
    for size in rows.SIZES:
        x = rows.make(form, kind, (2, size), dtype, size)
        np.testing.assert_array_equal(draw(x, form, 3), expected(x, form, 3), f"K = {size}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
@pytest.mark.parametrize("n", [LANES - 1, LANES, LANES + 1])
def test_many_rows(strategy: str, form: str, kind: str, n: int, dtype: Any) -> None:
    for size in (1, 3, 40, SHORT_ROW_MAX_K, SHORT_ROW_MAX_K + 1):
        x = rows.make(form, kind, (LANES + 1, size), dtype, size)[:n]
        with rows.recorded() as launches:
            np.testing.assert_array_equal(draw(x, form), expected(x, form))
        if strategy != "chosen":
            assert set(rows.draw_kernels(launches)) == {rows.kernel_of(strategy, x.shape)}


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("form", ["probs", "logits"])
@pytest.mark.parametrize(("n", "size"), [(1, 5), (1, 70), (3, 5), (3, 70), (65, 5), (65, 70)])
@pytest.mark.parametrize(("samples", "repeats"), [(1, 3), (4, 1), (3, 5), (1100, 1), (1, 1100)])
@pytest.mark.parametrize("first", [0, 1, 2**32 - 3, 2**33 + 5, 2**64 - 2**18])
def test_several_draws(
    form: str, n: int, size: int, samples: int, repeats: int, first: int
) -> None:
    x = rows.make(form, "plain", (n, size), np.float32)
    if samples * repeats > 1000 and n > 3:
        samples, repeats = -(-samples // 50), -(-repeats // 50)
    actual = draw(x, form, samples, repeats, first)
    np.testing.assert_array_equal(actual, expected(x, form, samples, repeats, first))


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("form", ["probs", "logits"])
@pytest.mark.parametrize("size", [3, 33, 5000])
def test_invalid_rows(form: str, size: int) -> None:
    nan, inf = np.nan, np.inf
    ones = np.array(-1, np.int32).view(np.float32)  # a NaN with all of its bits set
    bad = {"probs": [nan, -nan, ones, inf, -1.0, -inf], "logits": [nan, -nan, ones, inf]}[form]
    x = rows.make(form, "plain", (70, size), np.float32)
    for r, value in enumerate(bad):
        x[3 * r, -1 - r % 2] = value
    x[20] = 0 if form == "probs" else -inf
    x[21, 0] = -0.0
    huge = np.finfo(np.float32).max  # in another tile, if there are several
    for r, (value, place) in enumerate(product(bad, (0, -1)), 30):
        x[r, place], x[r, -1 - place] = value, huge
    actual = draw(x, form, 2)
    np.testing.assert_array_equal(actual, expected(x, form, 2))
    invalid = {*range(0, 3 * len(bad), 3), 20, *range(30, 30 + 2 * len(bad))}
    assert set(np.flatnonzero((actual < 0).any((0, 2)))) == invalid
    np.testing.assert_array_equal(draw(x[20:21], form, 5000), -1)


@pytest.mark.parametrize("shape", [(9,), (1, 9), (2, 9)])
def test_blocks_are_contiguous(shape: tuple[int, ...]) -> None:
    """Or else Numba would compile all kernels once more."""
    x = np.ones(shape, np.float32)
    for y in (x, x[..., ::2], x[..., ::-1], np.asfortranarray(x), x.astype(">f4")):
        assert Rows(y).block(0, 1).flags.c_contiguous


def test_lanes() -> None:
    """Integers are float64, whatever their width, and so is what is no float of NumPy's own."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype, lane in ((np.float16, "f4"), (ml_dtypes.bfloat16, "f4"), (ml_dtypes.int4, "f8")):
        assert Rows(np.zeros((2, 3), dtype)).dtype == lane


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_of_16_bits_are_widened_exactly(dtype: str) -> None:
    x = np.arange(2**16, dtype=np.uint16)
    x = x.view(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    expected, actual = x.astype(np.float32), Rows(x).block(0, 1)
    np.testing.assert_array_equal(actual, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(actual)[numbers], np.signbit(expected)[numbers])


DTYPES = ["?", "i1", "u1", "i2", "u4", "i8", "u8", ">f4", ">f8", ">i4", "f2"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_converted_dtypes(dtype: str) -> None:
    x = np.random.default_rng(1).integers(0, 2 if dtype == "?" else 100, (50, 6)).astype(dtype)
    x[:, 0] = 1
    for form in ("probs", "logits"):
        np.testing.assert_array_equal(draw(x, form, 2), expected(x, form, 2))


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": np.asfortranarray,
    "reversed": lambda x: x[::-1, :, ::-1],
    "step": lambda x: x[:, ::2, ::3],
    "transposed batch": lambda x: x.swapaxes(0, 1),
    "broadcast": lambda x: np.broadcast_to(x[:1, :, :], x.shape),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "unaligned": lambda x: np.frombuffer(b"_" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("piece", [1, 100, 10**6])
def test_layouts(layout: str, dtype: Any, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_rows, "CONVERTED_ELEMENTS", piece)
    for size in (9, 60):
        x = LAYOUTS[layout](rows.make("probs", "plain", (9, 8, size), dtype))
        np.testing.assert_array_equal(draw(x, "probs", 2), expected(x, "probs", 2))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint64])
def test_output_dtypes(dtype: Any) -> None:
    for n, size in product((1, LANES + 1), (5, 100)):
        x = rows.make("probs", "plain", (n, size), np.float32)
        d = DrawRange(3, n, 1, 0, n, 1)
        actual = rows.draw(x, "probs", d, dtype)
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, expected(x, "probs", 3))


def test_samples_may_be_further_apart_than_rows() -> None:
    """A block of a larger batch has the draws that the batch has there."""
    x = rows.make("probs", "plain", (100, 7), np.float32)
    whole = draw(x, "probs", 4)
    for begin, end in ((0, 3), (3, 100), (50, 100), (99, 100)):
        d = DrawRange(4, end - begin, 1, begin, 100, 1)
        block = rows.draw(x[begin:end], "probs", d)
        np.testing.assert_array_equal(block, whole[:, begin:end])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("kind", ["plain", "high"])
def test_tile_statistics_are_computed_once(
    kind: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    compute = tiles.compute_tile_stats
    monkeypatch.setattr(
        tiles, "compute_tile_stats", lambda *args: computed.append(1) or compute(*args)
    )
    x = rows.make("logits", kind, (5, 9000), dtype)
    cache: dict[str, Any] = {}
    for first in range(3):
        actual = rows.draw(x, "logits", DrawRange(1, 5, 1, first, 5, 1), cache=cache)
        np.testing.assert_array_equal(actual, expected(x, "logits", first=first))
    assert len(computed) == 1


@pytest.mark.parametrize("strategy", Costs._fields)
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_long_rows_that_threads_share(form: str, kind: str, strategy: str) -> None:
    for shape in ((1, 5 * 4096 + 7), (3, 9000)):
        x = rows.make(form, kind, shape, np.float32)
        with rows.forced(strategy, 1e9), rows.threads(3), rows.recorded() as launches:
            np.testing.assert_array_equal(draw(x, form, 3), expected(x, form, 3))
        if shape[0] > 1:
            parts = 9 if strategy == "table" else 3  # of draws from each row, or of rows
            assert rows.draw_kernels(launches) == {rows.kernel_of(strategy, shape): parts}


def test_more_long_rows_than_have_their_statistics_kept() -> None:
    n, half = TILE + 3, 2000
    x = np.random.default_rng(0).random((n, 4097), np.float32)
    cache: dict[str, Any] = {}
    whole = rows.draw(x, "probs", DrawRange(1, n, 1, 0, n, 1), cache=cache)
    assert not cache
    for begin, end in ((0, half), (half, n)):
        part = rows.draw(x[begin:end], "probs", DrawRange(1, end - begin, 1, begin, n, 1))
        np.testing.assert_array_equal(part, whole[:, begin:end])


def test_rows_that_change_lead_to_wrong_draws_at_worst() -> None:
    """They are taken to be constant; but what is read must be theirs even so."""
    x = np.random.default_rng(0).random((100, 8191), np.float32)
    for end, factor, first in (
        (4096, 1e-3, 1e4),
        (8191, 1e-3, 1e4),
        (4096, 0, np.nan),
        (8191, 0, 0),
    ):
        changing = x.copy()
        dist = Categorical(changing)
        changing[:, :end] *= factor
        changing[:, 0] = first
        draws = dist.sample(2, rng=2)
        assert 0 <= draws.min() <= draws.max() < x.shape[1]


def test_a_table_is_prepared_once_and_changes_nothing() -> None:
    x = rows.make("probs", "plain", (1, 3000), np.float32)
    d = DrawRange(1, 1, 1, 5, 1, 1)
    cache: dict[str, Any] = {}
    outcomes, tables = set(), []
    for _ in range(60):
        outcomes.add(rows.draw(x, "probs", d, cache=cache).item())
        tables.append(cache.get("table"))
    assert outcomes == {int(expected(x, "probs", first=5).item())}
    assert tables[0] is None
    assert tables[-1] is not None
    assert len({id(t) for t in tables if t}) == 1


@pytest.mark.parametrize("size", [33, 100, 1000, 4096, 4097, 30_000])
def test_borders_between_strategies(size: int) -> None:
    """Where one strategy takes over from another, the draws go on as they were."""
    x = rows.make("logits", "plain", (2, size), np.float32)

    def sample(samples: int) -> tuple[str, Array]:
        with rows.recorded() as launches:
            drawn = draw(x, "logits", samples)
        (kernel,) = rows.draw_kernels(launches)
        return kernel, drawn

    strategies = ("find", "rank", *(["guide"] if size < 5000 else []), "table")
    order = [rows.kernel_of(strategy, x.shape) for strategy in strategies]
    for before, after in pairwise(order):
        low, high = 1, 40_000  # before the border, and after it
        while high - low > 1:
            middle = (low + high) // 2
            below = order.index(sample(middle)[0]) <= order.index(before)
            low, high = (middle, high) if below else (low, middle)
        kernels, drawn = zip(sample(low), sample(high), strict=True)
        assert kernels == (before, after)
        np.testing.assert_array_equal(drawn[0], drawn[1][:-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("samples", [1, 10])
def test_borders_of_lanes(samples: int, dtype: Any) -> None:
    """Up to some number of categories, many rows are taken at once, and then one by one."""

    def sample(size: int) -> tuple[str, Array, Array]:
        x = rows.make("logits", "plain", (LANES + 1, size), dtype)
        with rows.recorded() as launches:
            drawn = draw(x, "logits", samples)
        (kernel,) = rows.draw_kernels(launches)
        return kernel, x, drawn

    low, high = 2, SHORT_ROW_MAX_K + 1
    while high - low > 1:
        middle = (low + high) // 2
        lanes = sample(middle)[0] == "draw_short_rows"
        low, high = (middle, high) if lanes else (low, middle)
    for size, together in ((low, True), (high, False)):
        kernel, x, drawn = sample(size)
        assert (kernel == "draw_short_rows") == together
        np.testing.assert_array_equal(drawn, expected(x, "logits", samples))

"""Kernels are launched on all rows and draws, in parts, whatever the sizes and the threads."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import oracle
import pytest
import rows
from numba.core.dispatcher import Dispatcher

from anycat import Categorical, _truncation
from anycat._kernels import SMALL_MAX_SIZE_OF_LONG_ROWS, cpu
from anycat._kernels.cpu import rows as cpu_rows
from anycat._kernels.cpu import values
from anycat._kernels.cpu.costs import Costs
from anycat._kernels.cpu.sizes import LANES, TILE, WORD_BUFFER
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]

each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def draws_of(x: Array, samples: int = 1, repeats: int = 1) -> DrawRange:
    return DrawRange(samples, len(x), repeats, 5, len(x) * repeats, repeats)


def by_oracle(x: Array, form: str, draws: DrawRange) -> Array:
    ends, key = [oracle.boundaries(row, form) for row in x], rows.KEY.tolist()
    steps = np.array([draws.sample_stride, draws.row_stride, 1])
    out = [
        oracle.outcome(ends[at[1]], oracle.word(key, draws.first + int(steps @ at)))
        for at in np.ndindex(draws[:3])
    ]
    return np.array(out).reshape(draws[:3])


# --- Draws


@pytest.mark.parametrize(
    ("kernel", "strategy", "shape"),
    [
        ("draw_short_rows", "lanes", (3000, 20)),
        ("draw_rows", "find", (3000, 200)),
        ("draw_long_rows", "find", (1200, TILE + 1)),
        ("draw_summed_rows", "rank", (3000, 200)),
        ("draw_guided_rows", "guide", (3000, 200)),
    ],
)
def test_single_draws_from_more_rows_than_random_words_are_generated_at_once(
    kernel: str, strategy: str, shape: Any
) -> None:
    assert shape[0] > WORD_BUFFER
    x = np.random.default_rng(0).random(shape, np.float32)
    with rows.forced(strategy), rows.recorded() as launches:
        whole = rows.draw(x, "probs", draws_of(x))
        for begin in (0, WORD_BUFFER - 32, 1100, shape[0] - 64):
            draws = DrawRange(1, 64, 1, 5 + begin, 64, 1)
            part = rows.draw(x[begin : begin + 64], "probs", draws)
            np.testing.assert_array_equal(part, whole[:, begin : begin + 64])
    assert set(rows.draw_kernels(launches)) == {kernel}
    draws = DrawRange(1, 4, 1, 5 + WORD_BUFFER - 2, 4, 1)
    some = slice(WORD_BUFFER - 2, WORD_BUFFER + 2)
    np.testing.assert_array_equal(whole[:, some], by_oracle(x[some], "probs", draws))


@pytest.mark.parametrize(("samples", "repeats"), [(700, 60), (300, 300), (60, 700)])
def test_threads_share_the_draws_of_a_table(samples: int, repeats: int) -> None:
    x = np.random.default_rng(0).random((3, 1, 50))
    with rows.recorded() as launches, rows.threads(2):
        expanded = Categorical(x).expand((3, repeats)).sample(samples, rng=1)
    assert rows.draw_kernels(launches) == {"draw_table": 6}
    copied = Categorical(np.repeat(x, repeats, 1))
    np.testing.assert_array_equal(copied.sample(samples, rng=1), expanded)


@pytest.mark.parametrize("samples", [1, 7])
def test_draws_from_repeated_short_rows(samples: int) -> None:
    x = np.random.default_rng(0).random((100, 1, 7))
    with rows.recorded() as launches, rows.forced("lanes"):
        expanded = Categorical(x).expand((100, 5)).sample((samples, 41), rng=1)
    assert set(rows.draw_kernels(launches)) == {"draw_short_rows"}
    copied = Categorical(np.repeat(x, 5, 1)).sample((samples, 41), rng=1)
    np.testing.assert_array_equal(copied, expanded)


SHORT = {"draw_short_rows", "short_row_stats", "find_short_mode"}
OTHERS = {"draw_summed_rows", "row_stats", "find_mode"}


@each_form
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("count", [1, LANES - 1, LANES, LANES + 1, 2 * LANES - 1, 2 * LANES])
def test_short_rows_are_taken_together_if_there_are_enough(
    monkeypatch: pytest.MonkeyPatch, count: int, threads: int, dtype: Any, form: str
) -> None:
    """Nothing is written beyond the output."""
    monkeypatch.setattr(cpu_rows, "CONVERTED_ELEMENTS", 1)
    x, logits = rows.make(form, "plain", (count, 6), dtype), form == "logits"
    x[count // 2, 2] = np.nan
    guarded = np.full(count + LANES, 99)
    out = guarded[:count].reshape(1, count, 1)
    with rows.threads(threads), rows.forced("lanes", 1e9), rows.recorded() as launches:
        cpu.sample(x, logits, rows.BITS, draws_of(x), out, {})
        values.row_stats(x, logits)
        values.mode(x, logits)
    assert (guarded[count:] == 99).all()
    np.testing.assert_array_equal(out, by_oracle(x, form, draws_of(x)))
    names = {name for name, _ in launches} - {"widen"}
    assert names == (SHORT if count >= LANES else OTHERS)
    taken = [args[0].size // 6 for name, args in launches if name in SHORT]
    assert all(n >= LANES for n in taken)


# --- Threads


SHAPES = [(3 * LANES, 7), (9, 300), (3, 9000), (1, 20_000)]
each_shape = pytest.mark.parametrize("shape", SHAPES)


def parts(shape: tuple[int, int], threads: int, at_least: int = 1) -> int:
    """Return into how many parts rows are split."""
    return min(threads, shape[0] // at_least)


@each_form
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("strategy", Costs._fields)
@pytest.mark.parametrize("threads", [1, 2, 7])
@each_shape
def test_draws_on_threads(shape: Any, threads: int, strategy: str, dtype: Any, form: str) -> None:
    x = rows.make(form, "plain", shape, dtype)
    with rows.threads(1), rows.forced("find"):
        expected = rows.draw(x, form, draws_of(x, 12))
    with rows.threads(threads), rows.forced(strategy, 1e9), rows.recorded() as launches:
        drawn = rows.draw(x, form, draws_of(x, 12))
    np.testing.assert_array_equal(drawn, expected)
    kernel = rows.kernel_of(strategy, shape)
    expected_parts = parts(shape, threads, LANES if kernel == "draw_short_rows" else 1)
    if strategy == "table":  # of the draws from each row
        expected_parts = shape[0] * threads
    assert rows.draw_kernels(launches) == {kernel: expected_parts}
    if shape[1] > TILE:
        name = "fill_cdf" if strategy == "table" else "reduce_tiles"
        launched = sum(n == name for n, _ in launches)
        assert launched >= min(threads, shape[0] if dtype == np.float16 else 3)


@each_form
@each_dtype
@pytest.mark.parametrize("threads", [1, 2, 7])
@each_shape
def test_values_on_threads(shape: Any, threads: int, dtype: Any, form: str) -> None:
    x, logits = rows.make(form, "plain", shape, dtype), form == "logits"
    v = np.random.default_rng(0).integers(0, shape[1], (9, shape[0]))
    g = np.random.default_rng(1).normal(size=shape[0])

    def compute() -> list[Any]:
        stats = values.row_stats(x, logits)
        return [
            *stats,
            values.lookup(x, logits, stats[:3], v, log=True),
            values.every(x, logits, stats[:3], log=True),
            values.mode(x, logits),
            values.cumulative(x, logits, stats[:3]),
            values.gradient(x, logits, stats, g, g),
            cpu.rows_valid(x, logits, {}),
        ]

    with rows.threads(1):
        expected = compute()
    with rows.threads(threads), rows.recorded() as launches:
        found = compute()
    for ours, one_thread in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, one_thread)
    short, by_tiles = shape[0] >= LANES, shape[1] > TILE and (dtype == np.float32 or not logits)
    n, of_short = parts(shape, threads), parts(shape, threads, LANES if short else 1)
    computed_by = {"short_row_stats", "find_short_mode"} if short else {"row_stats", "find_mode"}
    assert Counter(name for name, _ in launches) == {
        **dict.fromkeys(computed_by, of_short),
        **dict.fromkeys(["fill_log_probs", "fill_probs", "accumulate", "fill_gradient"], n),
        "look_up": threads,
        "reduce_tiles" if by_tiles else "first_suspect_row": (
            min(threads, shape[0] * -(-shape[1] // TILE)) if by_tiles else n
        ),
    }


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_a_bad_row_is_found_on_any_thread(threads: int) -> None:
    for shape, place in product(SHAPES, (0.0, 0.5, 0.99)):
        x = np.ones(shape)
        x[int(place * shape[0]), 3] = np.nan
        with rows.threads(threads):
            assert not cpu.rows_valid(x, True, {})


# --- Values


def test_values_of_a_part_belong_to_rows_in_turn() -> None:
    x = np.random.default_rng(0).normal(size=(3, 6000)).astype(np.float32)
    dist = Categorical(logits=x)
    value = np.random.default_rng(1).integers(0, 6000, (100_001, 3))
    with rows.threads(2), rows.recorded() as launches:
        log_prob = dist.log_prob(value)
    assert [name for name, _ in launches] == ["look_up"] * 2
    expected = np.take_along_axis(dist.logits, value.T, 1).T
    np.testing.assert_allclose(log_prob, expected, rtol=1e-6)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "as kernels take it": lambda x: x,
    "gathered": lambda x: np.asfortranarray(x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [6, 10_000])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("place", range(4))
def test_the_place_of_a_wrong_value(place: int, threads: int, size: int, layout: str) -> None:
    value = np.zeros(4, int)
    value[place] = size
    dist = Categorical(LAYOUTS[layout](np.ones((4, size))))
    with rows.threads(threads), pytest.raises(ValueError, match=rf"value\[{place}\] is {size}"):
        dist.log_prob(value)


# --- Invalid rows


@pytest.mark.parametrize("shape", [(5, 5000), (1 + SMALL_MAX_SIZE_OF_LONG_ROWS // 5000, 5000)])
def test_an_infinite_sum_of_long_rows_is_found(shape: Any) -> None:
    with pytest.raises(ValueError, match="finite sum"):
        Categorical(np.full(shape, 1e38, np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 1e38, 0.0])
@pytest.mark.parametrize("count", [5, 1 + SMALL_MAX_SIZE_OF_LONG_ROWS // 5000])
def test_probabilities_of_long_invalid_rows(count: int, bad: float) -> None:
    x = np.ones((count, 5000), np.float32)
    x[::2] = bad
    prob = Categorical(x, validate_args=False).prob(0)
    assert np.isnan(prob[::2]).all()
    np.testing.assert_allclose(prob[1::2], 1 / 5000, rtol=1e-6)


# --- Types, since to compile a kernel takes seconds


def compiled() -> set[Any]:
    """Return the kernels that are compiled, each with the types of its arguments."""
    modules = [x for name, x in sys.modules.items() if name.startswith("anycat._kernels.cpu.jit.")]
    dispatchers = {x for m in modules for x in vars(m).values() if isinstance(x, Dispatcher)}
    return {(x.py_func, types) for x in dispatchers for types in x.signatures}


def use_kernels(logits: Array, given: tuple[bool, ...], array: Callable[[Any], Any]) -> None:
    """Use most of the kernels, with arrays or numbers as arguments of `truncate`."""
    dist = Categorical(logits=logits)
    batch = dist.batch_shape
    values = array(np.zeros(batch, int))
    dist.log_prob(values), dist.prob(values), dist.cdf(values)
    dist.icdf(array(np.full(batch, 0.5)))
    dist.sample(seeds=values, start=values)
    dist.truncate(mask=array(np.ones(dist.param_shape, bool))).sample(rng=0)
    numbers = dict(zip(_truncation.NAMES, (0.5, 2, 0.9, 0.1), strict=True))
    arrays = {name: array(np.full(batch, x)) for name, x in numbers.items()}
    chosen = [arrays if is_array else numbers for is_array in given]
    dist.truncate(**{name: kind[name] for name, kind in zip(numbers, chosen, strict=True)})


def read_only(x: Array) -> Array:
    return cpu_rows.read_only(x.copy())


@pytest.mark.parametrize("shape", [(5, 4), (5000, 6)])
def test_kernels_are_compiled_once_for_all_kinds_of_arguments(shape: Any) -> None:
    x = np.zeros(shape)
    use_kernels(x, (False,) * 4, np.asarray)
    before = compiled()
    for given in product([False, True], repeat=4):
        use_kernels(read_only(x), given, read_only)
        use_kernels(x, given, np.asarray)
    assert compiled() == before


@pytest.mark.parametrize(("shape", "draws"), [((5, 4), 3), ((5000, 6), 1), ((3, 300), 3000)])
def test_kernels_of_signed_dtypes_draw_those_of_unsigned_ones(shape: Any, draws: int) -> None:
    dist = Categorical(np.ones(shape))
    want = dist.sample(draws, rng=0, dtype="int16")
    before = compiled()
    got = dist.sample(draws, rng=0, dtype="uint16")
    assert got.dtype == "uint16"
    np.testing.assert_array_equal(got, want)
    assert compiled() == before

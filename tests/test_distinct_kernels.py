"""CPU kernels of draws without replacement equal their definition, to the bit.

Draw j of a row is the outcome, for its random word, of the row in which the categories of the
earlier draws have no weight. So the expected draws are made one by one, from changed rows, by the
kernels that draw with replacement.
"""

from __future__ import annotations

import functools
import itertools
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import oracle
import pytest
import rows
from numba import njit, types
from numba.extending import overload, overload_attribute
from philox_inverse import find_words
from test_changed_in_place import BAD, CHANGES

from anycat._kernels import cpu
from anycat._kernels.cpu import distinct, threads
from anycat._kernels.cpu.grid import grid_args
from anycat._kernels.cpu.jit import distinct_long
from anycat._kernels.cpu.jit.distinct import draw_distinct_rows
from anycat._kernels.cpu.sizes import BLOCK, CHILDREN, TILE
from anycat._kernels.cpu.workspace import allocate
from anycat._kernels.grid import DrawGrid, DrawRange
from anycat._kernels.keys import key_of_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = np.ndarray[Any, Any]

SERIAL_TILES = int(distinct_long.SERIAL_TILES)
each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def draw(
    x: Array,
    form: str,
    draws: DrawRange,
    dtype: Any = np.int64,
    cache: dict[str, Any] | None = None,
    key: Array = rows.KEY,
) -> Array:
    """Draw by the kernels under test; nothing of the result is left as it was."""
    out, counted = np.full(draws[:3], 99, dtype), []
    cache = {} if cache is None else cache
    cpu.sample_distinct(x, form == "logits", rows.as_key(key), draws, out, cache, counted.append)
    assert sum(counted) == out.size
    return out


def definition(x: Array, form: str, draws: DrawRange, key: Array = rows.KEY) -> Array:
    """Draw from changed rows, one draw of each row at a time."""
    left = x.reshape(-1, x.shape[-1]).astype(x.dtype, order="C", copy=True)
    step = draws.sample_stride if draws.repeats == 1 else 1
    single = draws._replace(samples=1, repeats=1)
    out = []
    for j in range(draws.samples * draws.repeats):
        here = single._replace(first=draws.first + j * step)
        found = rows.draw(left, form, here, key=key).reshape(-1)
        out.append(found)
        drawn = np.flatnonzero(found >= 0)
        left[drawn, found[drawn]] = -np.inf if form == "logits" else 0
    each = np.array(out)[..., None]
    return each if draws.repeats == 1 else np.moveaxis(each, 0, 2).reshape(draws[:3])


def samples(n: int, count: int, first: int = 0) -> DrawRange:
    return DrawRange(n, count, 1, first, count, 1)


def check(x: Array, form: str, n: int, first: int = 0) -> Array:
    """Compare ``n`` draws of each row."""
    draws = samples(n, x.size // x.shape[-1], first)
    found = draw(x, form, draws)
    np.testing.assert_array_equal(found, definition(x, form, draws))
    return found


def hard_weights(size: int, dtype: Any) -> Iterator[Array]:
    """Generate rows of probabilities."""
    rng, info = np.random.default_rng(size), np.finfo(dtype)
    for kind in ("plain", "wide", "sparse", "subnormal", "huge"):
        yield rows.weights(kind, (size,), dtype, size)
    yield np.ones(size)
    yield np.ldexp(1.0, -(rng.permutation(size) % (-info.minexp)))  # each removal changes E
    yield np.ldexp(rng.integers(1, 4, size), -rng.integers(0, 9, size))
    yield np.where(rng.random(size) < 0.5, 1, np.nextafter(dtype(1), dtype(0)))  # q may be equal
    yield np.ldexp(
        rng.random(size) + 0.5, rng.integers(info.minexp, max(-890, info.minexp + 9), size)
    )
    for wrong in (np.nan, np.inf, -1.0, 0.0):
        x = rng.random(size) if wrong else np.zeros(size)
        x[rng.integers(size)] = wrong
        yield x


def hard_logits(size: int, dtype: Any) -> Iterator[Array]:
    """Generate rows of logits."""
    rng, edge = np.random.default_rng(size), 2.0**20
    for kind in ("plain", "wide", "masked", "high", "low", "huge"):
        yield rows.logits(kind, (size,), dtype, size)
    yield np.zeros(size)
    yield np.log(2.0) * -rng.permutation(size)
    yield edge - rng.integers(-8, 9, size) / 2  # the offset is that of the row, then 0,
    yield -edge - rng.integers(-8, 9, size) / 2  # or 0 and then that of the row
    yield -edge - rng.integers(0, 3, size) / 8
    yield 1e7 + 100 * rng.standard_normal(size)
    yield np.where(rng.random(size) < 0.5, -edge + 1, -2.2 * edge)  # less is an empty tile
    yield rng.choice([5.0, 5.1, -60.0, -np.inf], size)
    for wrong in (np.nan, np.inf, -np.inf):
        x = rng.standard_normal(size) if wrong > 0 or wrong != wrong else np.full(size, -np.inf)
        x[rng.integers(size)] = wrong
        yield x


def hard_rows(form: str, size: int, dtype: Any) -> Array:
    """Return rows of all kinds."""
    kinds = hard_weights if form == "probs" else hard_logits
    with np.errstate(over="ignore", under="ignore"):
        return np.array([np.asarray(x, dtype) for x in kinds(size, dtype)])


# --- rows of one tile


@each_form
@each_dtype
def test_all_draws_from_short_rows(form: str, dtype: Any) -> None:
    """And two more than there are."""
    for size in range(1, 71):
        found = check(hard_rows(form, size, dtype), form, size + 2)
        np.testing.assert_array_equal(found[size:], -1)


@each_form
@each_dtype
@pytest.mark.parametrize("size", [127, 129, 1023, 1024, 1025, TILE - 1, TILE])
def test_rows_of_a_tile(size: int, form: str, dtype: Any) -> None:
    check(hard_rows(form, size, dtype), form, 150)


@each_form
@pytest.mark.parametrize("size", [1024, 1025])
def test_whole_permutations(size: int, form: str) -> None:
    """Of rows whose categories are all positive, but maybe not for their integers beside others."""
    x = rows.make(form, "wide", (2, size), np.float64)
    found = check(x, form, size)
    np.testing.assert_array_equal(np.sort(found[..., 0], 0), np.tile(np.arange(size), (2, 1)).T)


# --- rows of several tiles


@pytest.fixture(params=[0, 10**9], ids=["computed", "kept"])
def left_weights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the weights of a block for each draw, or keep those of all, whatever pays."""
    monkeypatch.setattr(distinct, "KEPT_WEIGHTS", request.param)


@pytest.mark.usefixtures("left_weights")
@each_dtype
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_rows_of_two_tiles(form: str, kind: str, dtype: Any) -> None:
    check(rows.make(form, kind, (2, TILE + 7), dtype), form, 40)


@pytest.mark.usefixtures("left_weights")
@each_form
@each_dtype
@pytest.mark.parametrize("size", [TILE + 1, 2 * TILE, 3 * TILE + BLOCK + 1])
def test_rows_of_tiles(size: int, form: str, dtype: Any) -> None:
    check(hard_rows(form, size, dtype), form, 150)


@pytest.mark.usefixtures("left_weights")
@each_form
@each_dtype
@pytest.mark.parametrize("tiles", [SERIAL_TILES, SERIAL_TILES + 1, CHILDREN**2 + 1])
def test_rows_of_many_tiles(tiles: int, form: str, dtype: Any) -> None:
    """Trees of two or three levels; tiles measured in the kernel, or by threads."""
    x = rows.make(form, "wide", (1, tiles * TILE - 1), dtype)
    x[:, ::5] = x[:, :1]
    with rows.threads(2):
        check(x, form, 20)


@pytest.mark.usefixtures("left_weights")
@each_form
def test_tiles_that_are_far_apart(form: str) -> None:
    """The row's exponent falls from tile to tile, and its offset from value to value."""
    size, n = 5 * TILE, 120
    exponents = np.repeat([0, -70, -35, -400, -900], TILE)
    x = np.full((3, size), -np.inf if form == "logits" else 0.0)
    rng = np.random.default_rng(1)
    at = np.sort(rng.choice(size, n // 2, replace=False))
    x[:, at] = exponents[at] - rng.random(n // 2) if form == "logits" else 2.0 ** exponents[at]
    if form == "logits":
        x[1] += 2.0**20
        x[2] = 1e9 + 1e3 * x[2]
    found = check(x, form, n)
    assert (found[: n // 2] >= 0).all()
    np.testing.assert_array_equal(found[n // 2 :], -1)


def test_a_guess_of_another_tile_is_refused() -> None:
    """Even if the target, shifted to the scale of that tile, would wrap to a place in the block."""
    within = njit(distinct_long.within_block.py_func)
    shift, block_sum, total = 16, 1 << 55, 1 << 62
    left = distinct.Left.of_all(2 * TILE, np.float32, 0)
    records = left.records.reshape(-1, int(distinct_long.FIELDS))
    records[:, int(distinct_long.EXPONENT)] = -shift, 0
    left.block_cdf[:] = block_sum
    left.tree[:] = total
    left.tree[0] = part = block_sum >> shift
    left.numbers[int(distinct_long.TOTAL)] = total
    zero = np.uint64(0)
    for target, inside in ((0, True), (part - 1, True), (part, False), (1 << 48, False)):
        word = np.uint64(target * 2**64 // total)
        sums = left.records, left.block_cdf, left.tree, left.numbers
        assert within(word, zero, zero, zero, *sums)[1] == inside, target


@pytest.mark.parametrize("value", [1.0, 1 - 2.0**-53, 1 - 2.0**-24])
def test_headroom_that_falls(value: float) -> None:
    """The bits of the upper bound fall from 62 with each halving of what is left."""
    x = np.zeros((1, 3 * TILE))
    x[:, ::11] = value
    tail = (x > 0).sum()
    check(x, "probs", tail + 1)
    dense = np.full((1, 2 * TILE), value)
    check(dense, "probs", 2 * TILE - 2048)


@each_form
def test_a_permutation_of_a_long_row(form: str) -> None:
    size = TILE + 500
    found = check(rows.make(form, "wide", (1, size), np.float64), form, size)
    np.testing.assert_array_equal(np.sort(found.reshape(-1)), np.arange(size))


# --- layouts, keys and threads


@each_form
@pytest.mark.parametrize("shape", [(300, 7), (40, 200), (3, TILE + 9), (1, 2 * TILE)])
def test_layouts(shape: tuple[int, int], form: str) -> None:
    plain = rows.make(form, "plain", shape, np.float32)
    count, size = shape
    n, first = min(size + 1, 9), 2**40 + 1
    strided = np.repeat(plain, 3, -1)[:, ::3]
    for x in (np.asfortranarray(plain), strided, plain.astype(np.float16)):
        check(x, form, n, first)
    whole = (100 * np.abs(plain)).astype(np.int16)
    exact, draws = whole.astype(np.float64), samples(n, count)
    found = draw(whole, form, draws, np.int32)
    np.testing.assert_array_equal(found, definition(exact, form, draws))


@pytest.mark.parametrize("size", [5, 100, TILE + 9])
def test_draws_in_a_run(size: int) -> None:
    """As of a batch that an axis of length 1 has been expanded in; and draws of rows with seeds."""
    x, n = rows.weights("plain", (4, size), np.float32), min(size + 3, 1500)
    draws = DrawRange(1, 4, n, 77, 0, n)
    expected = definition(x, "probs", draws)
    np.testing.assert_array_equal(draw(x, "probs", draws), expected)
    key = key_of_rows(np, (np.arange(4) * 10**18, np.arange(4) + 2**33), (4,))
    draws = samples(n, 4)
    found = draw(x, "probs", draws, key=key)
    np.testing.assert_array_equal(found, definition(x, "probs", draws, key))
    for r in range(4):
        key_of_row = key_of_rows(np, (np.array(r * 10**18), np.array(r + 2**33)), ())
        alone = draw(x[r], "probs", samples(n, 1), key=key_of_row)
        np.testing.assert_array_equal(found[:, r], alone[:, 0])


@pytest.mark.parametrize("shape", [(200, 50), (5, 2 * TILE), (1, 70 * TILE)])
def test_threads_and_pieces(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is drawn from in pieces, and what is measured of it is kept; both change nothing."""
    x, cache = rows.weights("plain", shape, np.float32), {}
    draws = samples(40, shape[0])
    expected = draw(x, "probs", draws)
    for count in (1, 2, 3):
        with rows.threads(count):
            np.testing.assert_array_equal(draw(x, "probs", draws, cache=cache), expected)
    monkeypatch.setattr(threads, "NS_PER_PIECE", 1e3)
    monkeypatch.setattr(distinct, "NS_PER_PIECE", 1e3)
    np.testing.assert_array_equal(draw(x, "probs", draws), expected)
    np.testing.assert_array_equal(draw(x, "probs", draws, cache=cache), expected)


def test_prefixes_across_buffers_of_random_words() -> None:
    x = rows.weights("plain", (2, TILE + 100), np.float64)
    whole = draw(x, "probs", samples(TILE + 100, 2))
    for n in (1, 2, 1023, 1024, 1025, 2049):
        np.testing.assert_array_equal(draw(x, "probs", samples(n, 2)), whole[:n])


@pytest.mark.parametrize("size", [3, TILE + 2])
def test_far_more_draws_than_categories(size: int) -> None:
    n = 10**6
    found = draw(rows.weights("plain", (1, size), np.float32), "probs", samples(n, 1))
    assert (found[:size] >= 0).all()
    assert (found[size:] == -1).all()
    repeats = DrawRange(1, 2, n, 0, 0, n)
    found = draw(rows.weights("plain", (2, size), np.float32), "probs", repeats)
    assert (found[:, :, :size] >= 0).all()
    assert (found[:, :, size:] == -1).all()


# --- exact boundaries


@each_form
@pytest.mark.parametrize("size", [70, TILE + 70])
def test_both_sides_of_a_boundary(size: int, form: str) -> None:
    """The second of two draws meets the border between two categories, whatever the first was."""
    x = rows.make(form, "plain", (size,), np.float32)
    for last, first_word in itertools.product((0, 62, 63, 64, size - 2), (0, 2**63, 2**64 - 1)):
        ends = oracle.boundaries(x, form)
        removed = oracle.outcome(ends, first_word)
        left = x.copy()
        left[removed] = -np.inf if form == "logits" else 0
        ends = oracle.boundaries(left, form)
        assert ends is not None
        border = -(-(ends[last] << 64) // ends[-1])
        for word in {max(border - 1, 0), min(border, 2**64 - 1)}:
            state, index = find_words(first_word, word)
            key = np.array(state, np.uint64)
            found = draw(x, form, samples(2, 1, index), key=key).reshape(-1).tolist()
            assert found == [removed, oracle.outcome(ends, word)]


# --- interrupts


@pytest.mark.parametrize("shape", [(1000, 50), (3, 2 * TILE), (1, 70 * TILE)])
def test_an_interrupt(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are short, and none begins after an exception."""
    monkeypatch.setattr(threads, "NS_PER_PIECE", 1e4)
    monkeypatch.setattr(distinct, "NS_PER_PIECE", 1e4)
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 1)
    x, done = rows.weights("plain", shape, np.float32), []
    n = min(shape[1], 3000)
    out = np.full((n, shape[0], 1), 99)

    def interrupt(count: int) -> None:
        done.append(count)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cpu.sample_distinct(x, False, rows.BITS, samples(n, shape[0]), out, {}, interrupt)
    assert len(done) == 1
    assert 0 < done[0] == (out != 99).sum() < out.size / 2


# --- rows that change


@each_form
@pytest.mark.parametrize("size", [3, 70, TILE, TILE + 70, 70 * TILE])
def test_rows_changed_after_they_were_measured(size: int, form: str) -> None:
    for change in CHANGES:
        x, cache = rows.make(form, "plain", (1, size), np.float32), {}
        draw(x, form, samples(2, 1), cache=cache)
        change(x)
        found = draw(x, form, samples(min(size, 300), 1), cache=cache)
        assert found.min() >= -1, change
        assert found.max() < size, change


class ChangingRows(NamedTuple):
    """For kernels, rows of which each read returns one of some numbers, whatever it did before.

    Unlike those of other tests, they are not allocated by Numba, as `uncounted` functions need.
    """

    numbers: Array
    state: Array
    size: int


@overload_attribute(types.NamedTuple, "dtype")  # type: ignore[untyped-decorator]
def _dtype(x):  # type: ignore[no-untyped-def]
    return lambda x: x.numbers.dtype


@overload(operator.getitem)  # type: ignore[untyped-decorator]
def _read(x, k):  # type: ignore[no-untyped-def]
    if getattr(x, "instance_class", None) is not ChangingRows:
        return None

    def read(x, k):  # type: ignore[no-untyped-def]
        if np.uint64(k) >= np.uint64(x.size):
            raise IndexError("index is out of bounds")
        x.state[0] = x.state[0] * np.uint64(6364136223846793005) + np.uint64(1)
        return x.numbers[(x.state[0] >> np.uint64(32)) % np.uint64(x.numbers.size)]

    return read


@functools.cache
def for_changing_rows(kernel: Any) -> Any:
    return njit(error_model="numpy")(kernel.py_func)


def kernels(size: int, n: int, logits: bool, out: Array) -> dict[Any, tuple[Any, ...]]:
    """Return the kernels, with arguments for ``n`` rows."""
    grid = *grid_args(DrawGrid((0, 1, 0, n), (0, 1, 0, n), 1, out.size // n)), out
    rest = np.uint64(size), logits, rows.BITS, *grid
    names = "random_words padded_values padded_weights"
    if size <= TILE:
        names = "random_words tile_values padded_weights tile_integers tile_sums"
        workspace = allocate(size, np.float32, names)
        return {draw_distinct_rows: (*rest, *workspace)}
    left = distinct.Left.of_all(size, np.float32, out.size // n)
    args = *rest, 10**9, *allocate(size, np.float32, names), *left
    return {distinct_long.draw_distinct_long_rows: args}


@pytest.mark.slow
@pytest.mark.usefixtures("left_weights")
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
            for_changing_rows(kernel)(ChangingRows(numbers, state, n * size), *args)
            assert out.min() >= -1, kernel
            assert out.max() < size, kernel


@pytest.mark.usefixtures("left_weights")
def test_sums_that_are_anything() -> None:
    """What a kernel finds of a row leads to no category beyond it."""
    size = 5 * TILE - 100
    x = rows.weights("plain", (size,), np.float32)
    x.flags.writeable = False
    rng, out = np.random.default_rng(0), np.empty(200, np.int64)
    ((kernel, args),) = kernels(size, 1, False, out).items()
    left = distinct.Left(*args[-7:])
    for most in (2, 2**50, 2**62):
        kernel(x, *args)  # which measures the row
        for part in (left.records, left.block_cdf, left.tree, left.removed):
            part[...] = rng.integers(-most if part is left.records else 0, most, part.size)
        left.numbers[distinct_long.ROW] = left.numbers[distinct_long.DRAW] = 0
        left.numbers[distinct_long.STAGE] = distinct_long.READY
        left.numbers[distinct_long.TOTAL] = most - 1
        kernel(x, *args)
        assert out.min() >= -1
        assert out.max() < size
        left.removed[...] = left.numbers[...] = 0

"""A seed and a start for each row: draws do not depend on the batch that the row is part of."""

from __future__ import annotations

import hashlib
import json
import math
from itertools import product
from typing import TYPE_CHECKING, Any

import golden
import numba
import numpy as np
import oracle
import pytest
import rows
from hypothesis import given
from hypothesis import strategies as st
from libraries import each_library, get, put
from scipy import stats

from anycat import Categorical, _kernels
from anycat._backends import registry
from anycat._kernels.cpu import threads as cpu_threads
from anycat._kernels.cpu.costs import Costs
from anycat._kernels.cpu.jit.philox import fill_random_words
from anycat._kernels.cpu.sizes import LANES, SPARE_WORDS, TILE
from anycat._kernels.keys import key_of_flat, key_of_rows
from anycat._kernels.layout import Block, plan

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]

GOLDEN = json.loads(golden.SEEDS_PATH.read_text())["cases"]
LAST = 2**64 - 1


def numbers(shape: tuple[int, ...], seed: int = 0, below: int = 2**64) -> tuple[Array, Array]:
    """Return seeds and starts of any size below a limit; there is room for many draws."""
    rng = np.random.default_rng(seed)
    size = rng.integers(0, below.bit_length(), shape)
    seeds = rng.integers(0, LAST, shape, np.uint64, endpoint=True) >> np.uint64(
        64 - 1
    ) - size.astype("u8")
    start = rng.integers(0, below // 2, shape, np.uint64)
    return np.asarray(seeds % np.uint64(below - 1)), np.asarray(start)


def equal(actual: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.asarray(get(actual)), np.asarray(expected))


# --- the specification --------------------------------------------------------------------------


@each_library
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["form"] + case["dtype"])
def test_golden_vectors(case: dict[str, Any], library: str) -> None:
    x = golden.params(case["params"], case["dtype"])
    if library == "array_api_strict" and x.dtype == np.float16:
        pytest.skip("the standard has no float16")
    params = put(x, library)
    if library == "jax" and params.dtype != x.dtype:
        pytest.skip("JAX has no float64 unless it is told to")
    dist = Categorical(**{case["form"]: params})
    draws = dist.sample(tuple(case["sample_shape"]), seeds=case["seeds"], start=case["start"])
    assert isinstance(draws, type(params))
    assert get(draws).tolist() == case["draws"]


def test_golden_file_is_never_made_anew() -> None:
    """The bytes of the file are part of stream version 1."""
    digest = hashlib.sha256(golden.SEEDS_PATH.read_bytes()).hexdigest()
    assert digest == "bfa4330ec9aeeac93971b621de158d14b86dd1c645587669a84f2f8bc62ae555"


@numba.njit
def fill(random_words: Any, n: Any, key: Any, first: Any, step: Any) -> Any:
    return fill_random_words(random_words, n, key, first, step)


@given(
    st.integers(1, 40) | st.integers(1, 200),
    st.integers(1, 70) | st.integers(1, 300),
    st.integers(0, 10**6),
    st.just(1) | st.integers(0, 10**3),
    st.integers(0, 99),
)
def test_words(batch: int, n: int, first: int, step: int, seed: int) -> None:
    """Any steps over the draws of a batch give the words of their rows and positions."""
    seeds, start = numbers((batch,), seed)
    words = np.full(n + SPARE_WORDS, 99, np.uint64)
    key = key_of_rows(np, (seeds, start), (batch,))
    skip = int(fill(words, *np.array([n], np.uint64), key, *np.uint64([first, step])))
    for i in range(n):
        position, row = divmod(first + i * step, batch)
        expected = oracle.seeded_word(int(seeds[row]), int(start[row]) + position)
        assert words[skip + i] == expected


@pytest.fixture(params=["chosen", *Costs._fields])
def strategy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each strategy, whatever the cost model says of it."""
    if request.param != "chosen":
        costs = Costs(*[1e18] * 5)._replace(**{request.param: 0.0})
        monkeypatch.setattr(Costs, "of", lambda *_: costs)
        setup = 0.0 if request.param == "table" else 1e30
        monkeypatch.setattr(Costs, "table_setup", lambda *_: setup)


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_every_kernel_equals_the_oracle(form: str) -> None:
    cases = product([(3, 7), (2 * LANES + 1, 3), (1, 90), (2, TILE + 9)], [(), (5,)])
    for shape, sample_shape in cases:
        x = rows.make(form, "plain", shape, np.float32)
        seeds, start = numbers(shape[:-1])
        expected = oracle.draw_by_seeds(x, form, seeds, start, sample_shape)
        for dtype in (None, np.int64):  # with one, not by the fast path of small batches
            dist = Categorical(**{form: x})
            equal(dist.sample(sample_shape, seeds=seeds, start=start, dtype=dtype), expected)


@each_library
@pytest.mark.parametrize("size", [5, TILE + 9])
def test_the_fast_path_of_small_batches(
    library: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = put(rows.weights("plain", (3, size), np.float32), library)
    if registry.backend_of(x).small(x) is None:
        pytest.skip("the library has none")
    cases = [(7, 0), (7, 2**64 - 9), (np.arange(3), 5), (np.arange(3), np.array([5, 2**60, 0]))]
    for seeds, start in cases:
        dist, given = Categorical(x), {"seeds": seeds, "start": start}
        expected = get(dist.sample(4, dtype=str(dist.sample().dtype).rpartition(".")[2], **given))
        with monkeypatch.context() as context:
            context.setattr(_kernels, "draw", None)
            equal(get(dist.sample(4, **given)), expected)


# --- the batch does not matter ------------------------------------------------------------------

shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@st.composite
def batches(draw: Callable[..., Any]) -> tuple[Any, Any, Any, tuple[int, ...]]:
    """Return a distribution whose rows may be repeated, and seeds and starts that broadcast."""
    batch = draw(shapes)

    def part() -> tuple[int, ...]:
        kept = tuple(n if draw(st.booleans()) else 1 for n in batch)
        return kept[draw(st.integers(0, len(kept))) :] if draw(st.booleans()) else kept

    x = rows.make("probs", "plain", (*part(), draw(st.sampled_from([1, 3, 70]))), np.float64)
    if draw(st.booleans()):
        x = np.asfortranarray(x)
    seeds, start = numbers(part(), draw(st.integers(0, 99)))[0], numbers(part(), 5)[1]
    return Categorical(x).expand(batch), seeds, start, draw(shapes)


@given(batches())
def test_rows_are_independent_of_their_batch(case: Any) -> None:
    dist, seeds, start, shape = case
    draws = dist.sample(shape, seeds=seeds, start=start)
    assert draws.shape == shape + dist.batch_shape
    seeds, start = (np.broadcast_to(x, dist.batch_shape) for x in (seeds, start))
    for row in np.ndindex(dist.batch_shape):
        alone = dist[row].sample(shape, seeds=seeds[row], start=int(start[row]))
        equal(draws[(..., *row)], alone)


@given(batches())
def test_draws_one_by_one(case: Any) -> None:
    dist, seeds, start, shape = case
    draws = dist.sample(shape, seeds=seeds, start=start)
    for i, at in enumerate(np.ndindex(shape)):
        equal(draws[at], dist.sample(seeds=seeds, start=start + np.uint64(i)))


@given(batches(), st.integers(0, 30))
def test_start_continues_a_stream(case: Any, m: int) -> None:
    dist, *_, shape = case
    n = math.prod(shape)
    whole = dist.sample(m + n, rng=3)
    equal(dist.sample(n, rng=3, start=m), whole[m:])
    equal(dist.sample(shape, rng=3, start=np.int8(m)), whole[m:].reshape(shape + dist.batch_shape))


def test_start_of_a_row_beyond_32_bits() -> None:
    x = rows.make("probs", "plain", (3, 90), np.float32)
    key = golden.key(5)
    for start in (2**31 + 1, 2**62 - 1):
        expected = oracle.draw(x, "probs", key, (2,), first=3 * start)
        equal(Categorical(x).sample(2, rng=5, start=start), expected)


@pytest.mark.parametrize("shape", [(100, 20), (20_001,), (3, 2 * TILE), (70, 3, 5)])
def test_threads(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    dist = Categorical(rows.make("probs", "plain", shape, np.float32))
    seeds, start = numbers(shape[:-1])

    def draw(threads: int) -> Array:
        monkeypatch.setattr(cpu_threads.config, "NUMBA_NUM_THREADS", threads)
        monkeypatch.setattr(cpu_threads, "NS_PER_THREAD", 1.0)
        return dist.sample(50, seeds=seeds, start=start)

    one = draw(1)
    for n in (2, 3):
        equal(draw(n), one)


def test_streams_differ() -> None:
    """Neighbouring seeds, and seeds and rng of the same number, have nothing in common."""
    dist = Categorical(np.ones(2**16))
    streams = [dist.sample(50, seeds=s).tolist() for s in (0, 1, 2, 2**32)]
    streams.append(dist.sample(50, rng=0).tolist())
    assert len({k for stream in streams for k in stream}) > 240


@pytest.mark.statistical
@pytest.mark.parametrize("step", [1, 2, 2**32])
def test_neighbouring_seeds_are_independent(step: int) -> None:
    """Pairs of draws of neighbouring rows, and of positions; false alarms: 1e-3 in all."""
    dist, seeds = Categorical(np.ones(8)).expand(100_001), step * np.arange(100_001)
    draws = dist.sample(2, seeds=seeds, start=2**20)
    pairs = np.ravel(8 * draws[:, 1:] + draws[:, :-1]), np.ravel(8 * draws[0] + draws[1])
    for pair in pairs:
        counts = np.bincount(pair, minlength=64)
        assert stats.chisquare(counts).pvalue > 1e-3 / 6


def test_empty_batches() -> None:
    dist = Categorical(np.ones((0, 3)))
    assert dist.sample(4, seeds=np.zeros(0, np.uint64), start=1).shape == (4, 0)
    assert dist.sample(4, rng=1, start=5).shape == (4, 0)
    assert Categorical(np.ones((2, 3))).sample((0, 5), seeds=[1, 2], start=LAST).shape == (0, 5, 2)


def test_plans_are_kept_for_any_start() -> None:
    dist = Categorical(np.ones((3, 5)))
    dist.sample(7, rng=1, start=1)
    before = plan.cache_info().misses
    for m in range(2, 9):
        dist.sample(7, rng=1, start=m)
    assert plan.cache_info().misses == before


def test_block_of_whole_rows() -> None:
    block = Block((5, 2, 3), (10, 4, 6), (100, 8, 9))
    assert block.of_whole_rows(2) == Block((5, 2, 3), (10, 0, 0), (100, 2, 3))
    assert block.of_whole_rows(0) == block


def test_keys() -> None:
    def lists(key: Any) -> list[list[int]]:
        assert {(x.dtype.char, x.flags.carray) for x in key} == {(np.dtype(np.uint64).char, True)}
        return [x.tolist() for x in key]

    seeds, start = np.array([[1], [2]]), np.int64(-1)
    each = [0] * 4, [1, 1, 2, 2], [LAST] * 4
    assert lists(key_of_rows(np, (seeds, LAST), (2, 2))) == [[LAST, 0, 0, 0], each[1], []]
    assert lists(key_of_rows(np, (seeds, start), (2, 2))) == [*each]
    flat = np.array([*each[0], *each[1], *each[2]], "<u8")
    for x in (flat, flat.view("<u4"), flat.view("<i8")):
        assert lists(key_of_flat(x)) == [*each]
    assert lists(key_of_flat(np.arange(4, dtype=np.uint32))) == [[0, 1, 2, 3], [], []]


def test_keys_share_seeds() -> None:
    """Kernels take no read-only, unaligned or byte-swapped arrays; of these there are copies."""
    plain = np.arange(1, 4)
    fixed, odd = plain.copy(), np.empty(25, np.uint8)[1:].view(np.int64)
    fixed.flags.writeable = False
    odd[...] = plain
    swapped, strided = plain.astype(">i8"), np.repeat(plain, 2)[::2]
    for x in (plain, plain.astype(np.uint64), fixed, odd, swapped, strided):
        for seeds, start in ((x, 0), (7, x)):
            words, *of_rows = key_of_rows(np, (seeds, start), (3,))
            assert all(y.dtype == np.uint64 and y.flags.carray for y in of_rows)
            assert of_rows[start is x].tolist() == [1, 2, 3]
            whole = x.flags.carray and x.dtype.isnative
            assert np.shares_memory(of_rows[start is x], x) == whole
            assert words.tolist() == [0] * 4


# --- all libraries ------------------------------------------------------------------------------


@each_library
@pytest.mark.parametrize("dtype", ["int32", "uint8", "uint32", "int64", "uint64"])
def test_arrays_of_libraries(library: str, dtype: str) -> None:
    x = rows.make("probs", "plain", (4, 3, 70), np.float32)
    highest = int(np.iinfo(dtype).max)
    wide = library == "jax" and highest >= 2**32  # it may have no such numbers
    seeds, start = (n.astype(dtype) for n in numbers((4, 1), 1, 2**31 if wide else highest))
    expected = Categorical(x).sample((2, 5), seeds=seeds, start=start[0])
    dist = Categorical(put(x, library))
    both = (put(seeds, library), put(start[0], library)), (seeds, start[0])
    for own in (*both, (seeds.tolist(), start[0].tolist()), (both[0][0], int(start[0, 0]))):
        draws = dist.sample((2, 5), seeds=own[0], start=own[1])
        assert type(draws) is type(dist.probs)
        equal(draws, expected)


@each_library
def test_dtype_of_draws_and_start_of_a_generator(library: str) -> None:
    x = rows.make("probs", "plain", (3, 70), np.float32)
    dist, own = Categorical(put(x, library)), np.random.default_rng(3)
    dtype = registry.backend_of(dist._param).xp.int16
    draws = dist.sample(5, rng=own, start=2, dtype=dtype)
    assert draws.dtype == dtype
    equal(draws, Categorical(x).sample(7, rng=np.random.default_rng(3))[2:])
    draws = dist.sample(5, seeds=[1, 2, 3], dtype=dtype)
    assert draws.dtype == dtype
    equal(draws, Categorical(x).sample(5, seeds=[1, 2, 3]))


@each_library
def test_sample_and_log_prob(library: str) -> None:
    dist = Categorical(put(rows.make("probs", "plain", (3, 7), np.float32), library))
    for options in ({"rng": 4}, {"seeds": [1, 2, 3], "start": 5}, {"rng": 4, "start": 1}):
        value, log_prob = dist.sample_and_log_prob((2, 2), **options)
        equal(value, get(dist.sample((2, 2), **options)))
        equal(log_prob, get(dist.log_prob(value)))
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    dist.sample_and_log_prob(rng=rng)
    dist.sample(rng=other)
    assert rng.random() == other.random()


def test_objects_with_arrays() -> None:
    pandas = pytest.importorskip("pandas")
    dist = Categorical(np.ones((3, 9)))
    equal(dist.sample(seeds=pandas.Series([1, 2, 3])), dist.sample(seeds=[1, 2, 3]))


# --- errors -------------------------------------------------------------------------------------

RANGE = f"seeds must hold whole numbers from 0 to {LAST}"
STARTS = f"start must hold whole numbers from 0 to {LAST}"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rng": 1, "seeds": 1}, ValueError, "give either rng or seeds; got both"),
        ({"seeds": -1}, ValueError, f"{RANGE}; seeds is -1"),
        ({"seeds": 2**64}, ValueError, f"{RANGE}; seeds is {2**64}"),
        ({"seeds": [0, -3]}, ValueError, f"{RANGE}; seeds[1] is -3"),
        ({"seeds": [2**64, 0]}, ValueError, f"{RANGE}; seeds[0] is {2**64}"),
        ({"seeds": np.array([[5, 6], [7, -8]])}, ValueError, f"{RANGE}; seeds[1, 1] is -8"),
        ({"seeds": np.int8([0, -3])}, ValueError, f"{RANGE}; seeds[1] is -3"),
        ({"seeds": 1.0}, TypeError, "seeds must hold integers; got dtype float64"),
        ({"seeds": [1, 2.5]}, TypeError, "seeds must hold integers; seeds[1] is 2.5"),
        ({"seeds": True}, TypeError, "seeds must hold integers; got dtype bool"),
        ({"seeds": [True, False]}, TypeError, "seeds must hold integers; seeds[0] is True"),
        ({"seeds": np.ones(2)}, TypeError, "seeds must hold integers; got dtype float64"),
        ({"seeds": [[1, 2], [3]]}, ValueError, "seeds must be a rectangular list of integers"),
        ({"seeds": "7"}, TypeError, "seeds must be an array or a list of numbers; got str"),
        ({"seeds": [1, 2, 3]}, ValueError, "seeds of shape (3,) does not broadcast"),
        ({"seeds": np.ones((1, 2, 2), int)}, ValueError, "seeds of shape (1, 2, 2) does not"),
        ({"seeds": 1, "start": -1}, ValueError, f"{STARTS}; start is -1"),
        ({"seeds": 1, "start": [1, LAST + 1]}, ValueError, f"{STARTS}; start[1] is {2**64}"),
        ({"seeds": 1, "start": [1.5, 2]}, TypeError, "start must hold integers; start[0] is 1.5"),
        ({"seeds": 1, "start": None}, TypeError, "start must be an array or a list of numbers"),
        ({"start": -1}, ValueError, f"{STARTS}; start is -1"),
        ({"rng": 1, "start": 1.0}, TypeError, "start must be an int where no seeds are given"),
        ({"rng": 1, "start": True}, TypeError, "start must be an int where no seeds are given"),
        ({"rng": 1, "start": [1, 2]}, TypeError, "start must be an int where no seeds are given"),
        (
            {"rng": 1, "start": 2**62},
            ValueError,
            "start is too large: draw indices end at 2**64",
        ),
    ],
)
def test_errors(options: dict[str, Any], error: type[Exception], message: str) -> None:
    dist = Categorical(np.ones((2, 2, 3)))
    with pytest.raises(error) as caught:
        dist.sample(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize("start", [LAST - 1, [0, LAST - 1], np.uint64([[0], [LAST - 1]])])
def test_start_leaves_room_for_all_draws(start: Any) -> None:
    dist = Categorical(np.ones((2, 2, 3)))
    dist.sample((2, 1), seeds=1, start=start)
    with pytest.raises(ValueError, match=rf"to {2**64 - 3}, for 3 draws; start.* is {LAST - 1}$"):
        dist.sample((3, 1), seeds=1, start=start)


@each_library
def test_wrong_numbers_in_libraries(library: str) -> None:
    dist, wrong = Categorical(put(np.ones((2, 3), np.float32), library)), np.int32([1, -7])
    with pytest.raises(ValueError, match=r"seeds\[\d\] is -7"):
        get(dist.sample(seeds=put(wrong, library)))
    with pytest.raises(ValueError, match=r"start\[\d\] is -7"):
        get(dist.sample(seeds=1, start=put(wrong, library)))
    unchecked = Categorical(dist._param, validate_args=False)
    equal(unchecked.sample(5, seeds=put(wrong, library)), get(dist.sample(5, seeds=[1, 2**64 - 7])))


@each_library
def test_arrays_of_another_library(library: str) -> None:
    torch = pytest.importorskip("torch")
    if library == "torch":
        pytest.skip("the same library")
    dist = Categorical(put(np.ones((2, 3), np.float32), library))
    for options in ({"seeds": torch.tensor([1, 2])}, {"seeds": 1, "start": torch.tensor([1, 2])}):
        with pytest.raises(TypeError, match="is an array of"):
            dist.sample(**options)


# --- Dask ---------------------------------------------------------------------------------------


def test_dask_chunks() -> None:
    da = pytest.importorskip("dask.array")
    x = rows.make("probs", "plain", (1, 5, 9), np.float64)
    seeds, start = numbers((4, 5))
    expected = Categorical(x).expand((4, 5)).sample((3, 7), seeds=seeds, start=start[:1])
    for chunks in ((1, 2, 9), (1, 5, 4)):
        dist = Categorical(da.from_array(x, chunks=chunks)).expand((4, 5))
        for s in (seeds, da.from_array(seeds, chunks=(3, 1)), da.from_array(seeds, chunks=(1, 5))):
            draws = dist.sample((3, 7), seeds=s, start=da.from_array(start[:1], chunks=(1, 3)))
            equal(draws, expected)
            equal(draws.rechunk((2, 5, 3, 2))[1:, 2:], expected[1:, 2:])


def test_dask_cuts_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    da = pytest.importorskip("dask.array")
    import dask

    x = rows.make("probs", "plain", (3, 9), np.float64)
    seeds, start = numbers((3,))
    with dask.config.set({"array.chunk-size": "1 kiB"}):
        dist = Categorical(da.from_array(x, chunks=(2, 9)))
        draws = dist.sample(1000, seeds=seeds, start=start)
        assert draws.numblocks[0] > 5
        equal(draws, Categorical(x).sample(1000, seeds=seeds, start=start))
        draws = dist.sample(1000, rng=1, start=77)
        assert draws.numblocks[0] > 5
        equal(draws, Categorical(x).sample(1000, rng=1, start=77))


def test_dask_tiles_of_the_batch() -> None:
    """A block is drawn in several parts, each of which begins at its own draw index."""
    da = pytest.importorskip("dask.array")
    x, (seeds, start) = rows.make("probs", "plain", (4, 6, 9), np.float64), numbers((4, 6))
    dist, dense = Categorical(da.from_array(x, chunks=(2, 3, 9))), Categorical(x)
    equal(dist.sample(3, rng=1, start=2), dense.sample(5, rng=1)[2:])
    equal(dist.sample(3, seeds=seeds, start=start), dense.sample(3, seeds=seeds, start=start))


def test_dask_names_and_laziness() -> None:
    da = pytest.importorskip("dask.array")
    dist = Categorical(da.ones((3, 9), chunks=(2, 9)))
    calls = [{"seeds": s, "start": t} for s in (1, 2, [1, 2, 3]) for t in (0, 1)]
    calls += [{"rng": 1, "start": t} for t in (0, 1)]
    assert len({dist.sample(2, **call).name for call in calls}) == len(calls)
    assert dist.sample(2, **calls[0]).name == dist.sample(2, **calls[0]).name
    lazy = dist.sample(2, seeds=da.from_array(np.array([1, 2, -3]), chunks=2))
    with pytest.raises(ValueError, match=r"seeds\[0\] is -3") as caught:
        lazy.compute(scheduler="sync")
    assert str(caught.value).endswith("(counted within the block that begins at (2,))")


# --- JAX ----------------------------------------------------------------------------------------


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    x = rows.make("probs", "plain", (3, 90), np.float32)
    seeds, start = np.uint32([0, 7, 2**32 - 1]), np.int32([2**31 - 9, 0, 4])
    want = Categorical(x).sample(6, seeds=seeds, start=start)

    def draw(x: Any, seeds: Any, start: Any) -> Any:
        return Categorical(x).sample(6, seeds=seeds, start=start)

    args = tuple(map(jax.numpy.asarray, (x, seeds, start)))
    equal(draw(*args), want)
    equal(jax.jit(draw)(*args), want)
    equal(jax.jit(lambda s, t: draw(args[0], s, t))(*args[1:]), want)
    equal(jax.jit(lambda x: draw(x, *args[1:]))(args[0]), want)
    equal(jax.jit(lambda: draw(*args))(), want)
    equal(jax.vmap(draw, out_axes=1)(*args), want)
    for i, axes in enumerate([(None, 0, 0), (0, None, 0), (0, 0, None)]):
        mixed = [a if axis == 0 else a[1] for a, axis in zip(args, axes, strict=True)]
        whole = [
            np.broadcast_to(np.asarray(a)[None] if j == i else a, args[j].shape)
            for j, a in enumerate(mixed)
        ]
        equal(jax.vmap(draw, in_axes=axes, out_axes=1)(*mixed), draw(*whole))

    def step(start: Any, _: None) -> tuple[Any, Any]:
        return start + 1, Categorical(args[0]).sample(seeds=args[1], start=start)

    equal(jax.lax.scan(step, args[2], length=6)[1], want)


def test_jax_keeps_64_bits() -> None:
    jax = pytest.importorskip("jax")
    x = rows.make("probs", "plain", (3, 90), np.float32)
    seeds, start = numbers((3,))
    want = Categorical(x).sample(6, seeds=seeds, start=start)
    for s, t in ((seeds, start), (seeds.tolist(), start.tolist())):
        equal(Categorical(jax.numpy.asarray(x)).sample(6, seeds=s, start=t), want)
        equal(jax.jit(lambda x, s=s, t=t: Categorical(x).sample(6, seeds=s, start=t))(x), want)
    want = Categorical(x).sample(2, seeds=LAST, start=2**63)
    equal(jax.jit(lambda x: Categorical(x).sample(2, seeds=LAST, start=2**63))(x), want)
    with jax.enable_x64(True):
        for dtype in (np.int64, np.uint64):
            s, t = (jax.numpy.asarray(n.astype(dtype)) for n in (seeds >> np.uint64(1), start))
            want = Categorical(x).sample(6, seeds=np.asarray(s), start=np.asarray(t))
            equal(
                jax.jit(lambda s, t: Categorical(jax.numpy.asarray(x)).sample(6, seeds=s, start=t))(
                    s, t
                ),
                want,
            )


def test_jax_signed_numbers_are_modulo_2_to_the_64() -> None:
    jax = pytest.importorskip("jax")
    x = rows.make("probs", "plain", (2, 90), np.float32)
    for dtype in (np.int32, np.int8):
        traced = jax.jit(lambda s: Categorical(jax.numpy.asarray(x)).sample(4, seeds=s))
        want = Categorical(x).sample(4, seeds=[3, 2**64 - 2])
        equal(traced(jax.numpy.asarray(dtype([3, -2]))), want)


def test_jax_keys_are_no_seeds() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match="seeds must hold numbers; got a key"):
        Categorical(jax.numpy.ones((3, 9))).sample(seeds=jax.random.split(jax.random.key(0), 3))


def test_jax_start_with_rng() -> None:
    jax = pytest.importorskip("jax")
    dist, key = Categorical(jax.numpy.ones((3, 9))), jax.random.key(1)
    whole = np.asarray(dist.sample(9, rng=key))
    for m in (0, 1, 4):
        equal(
            jax.jit(lambda d, key, m=m: d.sample(5, rng=key, start=m))(dist, key), whole[m : m + 5]
        )
    with pytest.raises(TypeError, match="start must be an int where no seeds are given"):
        jax.jit(lambda m: dist.sample(5, rng=1, start=m))(3)


# --- PyTorch ------------------------------------------------------------------------------------


@pytest.fixture
def torch_case() -> tuple[Any, Any, Any]:
    torch = pytest.importorskip("torch")
    x = rows.make("probs", "plain", (3, 90), np.float64)
    seeds, start = (torch.from_numpy(n.astype(np.int64)) for n in numbers((3,), below=2**63))
    return torch.from_numpy(x), seeds, start


def six(x: Any, seeds: Any, start: Any) -> Any:
    return Categorical(x).sample(6, seeds=seeds, start=start)


def as_numpy(*args: Any) -> list[Array]:
    return [np.asarray(a) for a in args]


def test_torch_vmap(torch_case: Any) -> None:
    import torch

    want = six(*as_numpy(*torch_case))
    equal(six(*torch_case), want)
    equal(torch.func.vmap(six, out_dims=1)(*torch_case), want)
    for i, axes in enumerate([(None, 0, 0), (0, None, 0), (0, 0, None)]):
        mixed = [a if axis == 0 else a[1] for a, axis in zip(torch_case, axes, strict=True)]
        whole = [a.expand(torch_case[j].shape) if j == i else a for j, a in enumerate(mixed)]
        equal(torch.func.vmap(six, in_dims=axes, out_dims=1)(*mixed), six(*as_numpy(*whole)))
    seeds = torch_case[1].repeat(4, 1) + torch.arange(4)[:, None]
    draws = torch.func.vmap(six, in_dims=(None, 1, None))(torch_case[0], seeds.T.clone(), 3)
    equal(draws, np.stack([six(*as_numpy(torch_case[0], s), 3) for s in seeds]))
    with pytest.raises(ValueError, match=r"seeds\[1\] is -1"):
        torch.func.vmap(six)(torch_case[0], torch.tensor([0, -1, 2]), torch_case[2])


KINDS: dict[str, Callable[..., Any]] = {
    "sample": lambda x, **o: Categorical(x).sample((3, 2), **o),
    "one draw": lambda x, **o: Categorical(x).sample(**o),
    "different": lambda x, **o: Categorical(x).sample(3, replace=False, **o),
    "counts": lambda x, **o: Categorical(x).sample_counts(50, **o),
}


@pytest.mark.parametrize(
    ("mapped", "kind"),
    [*(("all", kind) for kind in KINDS), *((x, "sample") for x in ("params", "seeds", "start"))],
)
@pytest.mark.parametrize("rows", [None, 3])
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_elements_of_vmap_draw_in_one_call(
    library: str, mapped: str, rows: int | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each element as it does alone, since rows with seeds do not depend on others."""
    module = pytest.importorskip(library)
    vmap = module.vmap if library == "jax" else module.func.vmap
    batch, n = () if rows is None else (rows,), 4
    rng = np.random.default_rng(0)
    x = rng.random((n, *batch, 5)).astype(np.float32)
    seeds, start = rng.integers(2**31, size=(2, n, *batch), dtype=np.int32)
    axes = [0 if mapped in (name, "all") else None for name in ("params", "seeds", "start")]
    given = [a if axis == 0 else a[1] for a, axis in zip((x, seeds, start), axes, strict=True)]

    def draw(x: Any, seeds: Any, start: Any) -> Any:
        return KINDS[kind](x, seeds=seeds, start=start)

    each = [
        [a[i] if axis == 0 else a for a, axis in zip(given, axes, strict=True)] for i in range(n)
    ]
    want = np.stack([draw(*args) for args in each])
    calls, real = [], _kernels.draw
    monkeypatch.setattr(_kernels, "draw", lambda *args: calls.append(1) or real(*args))
    arrays = [put(a, library) for a in given]
    equal(vmap(draw, tuple(axes))(*arrays), want)
    assert len(calls) == 1


def test_torch_meta_and_fake(torch_case: Any) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    assert six(*(a.to("meta") for a in torch_case)).shape == (6, 3)
    with FakeTensorMode() as mode:
        fake = [mode.from_tensor(a) for a in torch_case]
        assert six(*fake).shape == (6, 3)


@pytest.mark.slow
def test_torch_compile(torch_case: Any) -> None:
    import torch

    compiled = torch.compile(six, fullgraph=True, backend="eager")
    x, seeds, start = torch_case
    equal(compiled(*torch_case), six(*as_numpy(*torch_case)))
    equal(compiled(x, seeds.to(torch.uint64), start), six(*as_numpy(*torch_case)))
    for s, t in ((1, 0), (LAST, 3), (7, 9), (8, 2**62 + 5)):
        equal(compiled(x, s, t), six(np.asarray(x), s, t))
    with pytest.raises(ValueError, match="seeds must hold"):
        compiled(x, -1 - seeds, start)
    from_rng = torch.compile(
        lambda x, n, m: Categorical(x).sample(n, rng=2, start=m), fullgraph=True, backend="eager"
    )
    for n, m in ((4, 0), (4, 3), (5, 2**62)):
        equal(from_rng(x, n, m), Categorical(np.asarray(x)).sample(n, rng=2, start=m))


@pytest.mark.slow
def test_torch_export(torch_case: Any) -> None:
    import torch

    class Module(torch.nn.Module):
        def forward(self, *args: Any) -> Any:
            return six(*args)

    program = torch.export.export(Module(), torch_case).module()
    other = torch_case[0].flip(-1), torch_case[1] + 1, torch_case[2] // 2
    equal(program(*other), six(*as_numpy(*other)))


def test_torch_class(torch_case: Any) -> None:
    from anycat.torch import Categorical as TorchCategorical

    x, seeds, start = torch_case
    dist = TorchCategorical(x)
    equal(dist.sample((6,), seeds=seeds, start=start), six(*as_numpy(*torch_case)))
    value, log_prob = dist.sample_and_log_prob((6,), seeds=seeds, start=start)
    equal(value, six(*as_numpy(*torch_case)))
    equal(log_prob, dist.log_prob(value))
    dist.probs = x.flip(-1)
    equal(
        dist.sample((6,), seeds=seeds, start=start),
        six(x.flip(-1).numpy(), *as_numpy(seeds, start)),
    )

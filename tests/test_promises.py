"""Each promise of docs/reproducibility.md, and a test that fails if it is broken."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import math
import multiprocessing
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import golden
import numpy as np
import oracle
import pytest
import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from libraries import each_library, each_place, get, put

from anycat import Categorical
from anycat._kernels.cpu import threads as cpu_threads
from anycat._kernels.cpu.rows import Rows
from anycat._kernels.cpu.table import Table
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = np.ndarray[Any, Any]

GOLDEN = json.loads(golden.PATH.read_text())["cases"]

# One distribution for each regime of the kernels.
REGIMES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {  # shape of probs, of a sample
    "few categories, many rows": ((3000, 7), ()),
    "one draw a row": ((500, 100), ()),
    "long rows": ((3, 10000), ()),
    "one row, many draws": ((50,), (20001,)),
    "long row, many draws": ((9000,), (20001,)),
    "many rows, several draws": ((100, 60), (150,)),
    "few rows, many draws": ((2, 3, 11), (5001,)),
}


def regime(name: str, form: str = "probs", dtype: Any = np.float32) -> Categorical:
    shape, _ = REGIMES[name]
    return Categorical(**{form: rows.make(form, "plain", shape, dtype)})


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Let calls use a number of threads, however small their work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_threads.config, "NUMBA_NUM_THREADS", n)
        patch.setattr(cpu_threads, "NS_PER_THREAD", 1.0)
        yield


# --- P1, P8: the same integers, everywhere and always ----------------------------------------


@each_library
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["rng"])
def test_golden_vectors(case: dict[str, Any], library: str) -> None:
    x = golden.params(case["params"], case["dtype"])
    if library == "array_api_strict" and x.dtype == np.float16:
        pytest.skip("the standard has no float16")
    params = put(x, library)
    if library == "jax" and params.dtype != x.dtype:
        pytest.skip("JAX has no float64 unless it is told to: see test_jax.py")
    dist = Categorical(**{case["form"]: params})
    draws = dist.sample(tuple(case["sample_shape"]), rng=case["rng"])
    assert isinstance(draws, type(params))
    assert get(draws).tolist() == case["draws"]


def test_golden_file_is_never_made_anew() -> None:
    """The bytes of the file are part of stream version 1."""
    digest = hashlib.sha256(golden.PATH.read_bytes()).hexdigest()
    assert digest == "d402189344df859ad4378456c6655d3eec3082c5a2458667416d76f07b32b974"


@pytest.mark.parametrize("name", REGIMES)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_class_equals_oracle(name: str, form: str) -> None:
    shape, sample_shape = REGIMES[name]
    x = rows.make(form, "plain", shape, np.float32)
    actual = Categorical(**{form: x}).sample(sample_shape, rng=42)
    np.testing.assert_array_equal(actual, oracle.draw(x, form, golden.key(42), sample_shape))


@functools.cache
def expected(name: str, form: str) -> Array:
    return regime(name, form).sample(REGIMES[name][1], rng=1)


@each_place
@pytest.mark.parametrize("name", REGIMES)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_every_library_and_device_draws_the_same(
    form: str, name: str, library: str, memory: str
) -> None:
    shape, sample_shape = REGIMES[name]
    params = put(rows.make(form, "plain", shape, np.float32), library, memory)
    draws = Categorical(**{form: params}).sample(sample_shape, rng=1)
    assert isinstance(draws, type(params))
    assert getattr(draws, "device", None) == getattr(params, "device", None)
    np.testing.assert_array_equal(get(draws), expected(name, form))


# --- P2: whatever the threads, the pieces and the way ----------------------------------------


@pytest.mark.parametrize("name", REGIMES)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_threads_change_nothing(name: str, form: str) -> None:
    _, sample_shape = REGIMES[name]
    for n in (1, 2, 3, 13):
        with threads(n):
            draws = regime(name, form).sample(sample_shape, rng=1)
        np.testing.assert_array_equal(draws, expected(name, form))


@given(
    shape=hnp.array_shapes(max_dims=3, max_side=40),
    samples=st.integers(1, 400),
    form=st.sampled_from(["probs", "logits"]),
    n=st.integers(2, 40),
)
def test_any_number_of_threads(shape: tuple[int, ...], samples: int, form: str, n: int) -> None:
    x = rows.make(form, "plain", shape, np.float32)
    draws = []
    for count in (1, n):
        with threads(count):
            draws.append(Categorical(**{form: x}).sample(samples, rng=1))
    np.testing.assert_array_equal(*draws)


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_blocks_of_a_batch_have_its_draws(data: st.DataObject) -> None:
    n, size, samples = (data.draw(st.integers(1, m)) for m in (80, 80, 40))
    x = rows.make("probs", "sparse", (n, size), np.float64, n)
    d = DrawRange(samples, n, 1, 0, n, 1)
    whole = rows.draw(x, "probs", d)[..., 0]
    cuts = [0, *sorted(data.draw(st.sets(st.integers(0, n), max_size=4))), n]
    for a, b in itertools.pairwise(cuts):
        d = DrawRange(samples, b - a, 1, a, n, 1)
        block = rows.draw(x[a:b], "probs", d)[..., 0]
        np.testing.assert_array_equal(block, whole[:, a:b])


def test_concurrent_callers() -> None:
    def draw(name: str) -> Array:
        return regime(name).sample(REGIMES[name][1], rng=1)

    names = list(REGIMES) * 4
    with threads(2), ThreadPoolExecutor(6) as pool:
        for name, draws in zip(names, pool.map(draw, names), strict=True):
            np.testing.assert_array_equal(draws, expected(name, "probs"))


def _in_child(queue: Any) -> None:
    queue.put(regime("few categories, many rows").sample(rng=3))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # by Python,
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")  # and by JAX where it is imported
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork()")
def test_survives_a_fork() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with threads(3):
        draws = regime("few categories, many rows").sample(rng=3)
        assert cpu_threads._threads  # of the parent, which the child will not have
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
        np.testing.assert_array_equal(queue.get(timeout=60), draws)
        child.join(60)
    assert child.exitcode == 0


@pytest.mark.parametrize("name", REGIMES)
def test_layout_changes_nothing(name: str) -> None:
    shape, sample_shape = REGIMES[name]
    x = rows.make("probs", "plain", shape, np.float32)
    expected = Categorical(x).sample(sample_shape, rng=2)
    for y in (np.asfortranarray(x), x[..., ::-1].copy()[..., ::-1], x.astype(">f4")):
        np.testing.assert_array_equal(Categorical(y).sample(sample_shape, rng=2), expected)


@pytest.mark.parametrize(
    ("base", "batch"),
    [((), (7,)), ((3,), (5, 3)), ((3, 1), (3, 4)), ((3, 1), (2, 3, 4)), ((2, 1, 3), (2, 5, 3))],
)
@pytest.mark.parametrize("sample_shape", [(), (3,), (200,)])
def test_expanded_rows_are_drawn_as_copies_are(
    base: tuple[int, ...], batch: tuple[int, ...], sample_shape: tuple[int, ...]
) -> None:
    x = rows.make("probs", "plain", (*base, 12), np.float32)
    copied = Categorical(np.broadcast_to(x, (*batch, 12)).copy())
    np.testing.assert_array_equal(
        Categorical(x).expand(batch).sample(sample_shape, rng=4), copied.sample(sample_shape, rng=4)
    )


@pytest.mark.parametrize("draws", [1, 20, 3000])
@pytest.mark.parametrize("shape", [(3, 7), (100, 7), (3, 5000)])
def test_equal_probs_of_any_dtype(shape: tuple[int, int], draws: int) -> None:
    """As of counts, which pandas makes floats if one is missing."""
    counts = np.random.default_rng(0).integers(0, 100, shape)
    want = Categorical(counts).sample(draws, rng=0)
    for dtype in ("int8", "uint16", "float16", "float32", "float64", ">f4"):
        got = Categorical(counts.astype(dtype)).sample(draws, rng=0)
        np.testing.assert_array_equal(got, want)


def test_expanded_rows_share_what_kernels_keep() -> None:
    dist = Categorical(rows.make("probs", "plain", (12,), np.float32))
    wide = dist.expand((3,))
    copied = Categorical(np.broadcast_to(dist._param, (3, 12)).copy())
    np.testing.assert_array_equal(wide.sample(9999, rng=4), copied.sample(9999, rng=4))
    assert "table" in dist._cache
    np.testing.assert_array_equal(dist.sample(9, rng=4), Categorical(dist._param).sample(9, rng=4))


def test_what_kernels_keep_is_for_rows_in_their_order() -> None:
    """Two batches that are expanded from one may have as many rows, in other orders."""
    x = np.zeros((2, 1, 2, 1, 2, 5000), np.float32)
    for r, row in enumerate(x.reshape(8, -1)):
        row[: 10 ** (r % 4)] = 1
    dist = Categorical(x)
    for batch in ((2, 3, 2, 1, 2), (2, 1, 2, 3, 2), (4, 2, 1, 2, 1, 2), (2, 1, 2, 1, 2)):
        for _ in range(2):
            draws = dist.expand(batch).sample(5, rng=4)
            fresh = Categorical(np.broadcast_to(x, (*batch, 5000)).copy())
            np.testing.assert_array_equal(draws, fresh.sample(5, rng=4))


# --- P3: more draws begin with the fewer -----------------------------------------------------


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 40), st.integers(1, 50))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_prefix(n: int, m: int, batch: int, size: int) -> None:
    dist = Categorical(logits=rows.make("logits", "plain", (batch, size), np.float64))
    n, m = sorted((n, m))
    few, many = dist.sample((n,), rng=6), dist.sample((m,), rng=6)
    np.testing.assert_array_equal(few, many[:n])


# --- P4: nothing impossible is drawn ---------------------------------------------------------


@given(st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_impossible_categories_are_never_drawn(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    form, kind = data.draw(st.sampled_from(rows.KINDS))
    if (form, kind) == ("probs", "huge"):
        kind = "plain"  # a sum that overflows is refused
    shape = data.draw(st.sampled_from([(4, 3), (40, 5), (3, 200), (2, 5000)]))
    x = rows.make(form, kind, shape, dtype, data.draw(st.integers(0, 10**6)))
    draws = Categorical(**{form: x}).sample((500,), rng=data.draw(st.integers(0, 10**6)))
    assert draws.min() >= 0
    assert draws.max() < shape[-1]
    drawn = np.take_along_axis(np.broadcast_to(x, (500, *shape)), draws[..., None], -1)
    assert (drawn > (0 if form == "probs" else -np.inf)).all()


# --- P5: tails -------------------------------------------------------------------------------


def realised(x: Array, form: str, k: int) -> Fraction:
    """Return the exact probability with which the kernels draw a category, from the integers."""
    table = Table.prepare(Rows(x).block(0, 1), form == "logits", {})
    before = int(table.cdf[k - 1]) if k else 0
    return Fraction(int(table.cdf[k]) - before, int(table.cdf[-1]))


OTHERS = {
    "few": lambda k: k % 1000 == 0,
    "all": lambda k: k >= 0,
    "wide": lambda k: 2.0 ** -(k % 40),
}


@pytest.mark.parametrize("size", [4, 4096, 128256, 2**22])
@pytest.mark.parametrize(
    ("dtype", "form"), [("f4", "probs"), ("f8", "probs"), ("f4", "logits"), ("f8", "logits")]
)
@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
def test_rare_category(others: Any, dtype: str, form: str, size: int) -> None:
    """Its rate is right if it is 1e-12 of the sum, however many categories make up the sum."""
    weights, k = np.asarray(others(np.arange(size)), dtype), size // 2
    weights[k] = 1e-12 * weights.sum(dtype=float)
    with np.errstate(divide="ignore"):
        x = weights if form == "probs" else np.log(weights)
    exact = Fraction(float(weights[k])) / Fraction(math.fsum(weights))
    error = realised(x, form, k) / exact - 1
    assert abs(error) < Fraction(3 if form == "probs" else 4, 1000)


def test_rare_categories_of_a_full_row() -> None:
    """All categories of a long row are drawn with their own probability, within its unit."""
    x = rows.weights("wide", (50000,), np.float64)
    table = Table.prepare(x, False, {})
    ranges = np.diff(table.cdf.astype(object), prepend=0)
    total = int(table.cdf[-1])
    exact = [Fraction(v) for v in x.tolist()]
    scale = total / sum(exact)
    worst = max(abs(int(c) - p * scale) for c, p in zip(ranges, exact, strict=True))
    tiles = -(-x.size // 4096)
    assert worst < 1.5 + tiles  # units: a rounding, a rounded boundary, and T's own


# --- P6: no limits ---------------------------------------------------------------------------


def test_more_than_2_to_the_24_categories() -> None:
    size = 2**24 + 3
    x = np.zeros(size, np.float32)
    x[[0, 1, -1]] = 1, 2, 3
    draws = Categorical(x).sample((300,), rng=0)
    assert set(draws) == {0, 1, size - 1}
    small = Categorical(np.float32([1, 2, 3])).sample((300,), rng=0)
    np.testing.assert_array_equal(np.minimum(draws, 2), small)


def test_numbers_past_2_to_the_32() -> None:
    x = rows.make("probs", "plain", (1, 10), np.float32)
    ends = oracle.boundaries(x[0], "probs")
    first = 2**40 + 2**33 + 1
    d = DrawRange(1, 1, 50, first, 50, 50)
    actual = rows.draw(x, "probs", d).ravel()
    key = [int(k) for k in rows.KEY]
    expected = [oracle.outcome(ends, oracle.word(key, first + i)) for i in range(50)]
    assert actual.tolist() == expected
    wrapped = [oracle.outcome(ends, oracle.word(key, (first + i) % 2**32)) for i in range(50)]
    assert actual.tolist() != wrapped


# --- P7: memory ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sample_shape", "extra"),
    [
        (lambda: Categorical(np.ones((1000, 500), np.float32)), (400,), 2e5),
        (lambda: Categorical(np.ones((200, 40000), np.float16)), (2,), 8e6),
        (lambda: Categorical(np.ones((4, 100, 5000), np.float32).swapaxes(0, 1)), (), 6e6),
        (lambda: Categorical(np.ones((3, 1, 10), np.float32)).expand((3, 100000)), (), 2e5),
        (lambda: Categorical(np.ones((2, 1, 2, 1, 50), "f4")).expand((2, 300, 2, 300)), (), 6e6),
        (lambda: Categorical(np.ones(100000, np.float32)), (300000,), 4e6),
    ],
)
def test_extra_memory(make: Any, sample_shape: tuple[int, ...], extra: float) -> None:
    """Extra is some O(K) for each thread, and pieces of what has to be converted."""
    dist = make()
    dist.sample(sample_shape, rng=0)  # what is compiled takes memory too
    dist = make()
    tracemalloc.start()
    try:
        draws = dist.sample(sample_shape, rng=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - draws.nbytes < extra

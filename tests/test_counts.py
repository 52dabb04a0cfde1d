"""Counts of draws: those that `sample` makes, which are not stored."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import golden
import numpy as np
import oracle
import pytest
import rows
from hypothesis import given
from hypothesis import strategies as st
from libraries import each_library, each_place, get, put
from scipy import stats

from anycat import Categorical, progress
from anycat._kernels import cpu
from anycat._kernels.cpu.sizes import LANES, TILE
from anycat._kernels.grid import DrawRange

Array = np.ndarray[Any, Any]

FORMS = ["probs", "logits"]
KEY = golden.key(9)


def equal(actual: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.asarray(get(actual)), np.asarray(expected))


def kernel_counts(x: Array, form: str, draws: DrawRange, cache: dict[str, Any]) -> Array:
    """Count by the kernels; nothing of the result is left as it was."""
    out = np.full((draws.rows, x.shape[-1]), 99, np.int64)
    cpu.sample_counts(x, form == "logits", rows.BITS, draws, out, cache)
    return out


# --- the specification --------------------------------------------------------------------------


@each_place
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
@pytest.mark.parametrize("form", FORMS)
def test_libraries_equal_the_oracle(form: str, dtype: str, library: str, memory: str) -> None:
    if library == "array_api_strict" and dtype == "float16":
        pytest.skip("the standard has no float16")
    kind = "sparse" if form == "probs" else "plain"
    if dtype == "int64":
        x = np.random.default_rng(0).integers(1 if form == "probs" else -9, 9, (2, 3, 9))
    else:
        x = rows.make(form, kind, (2, 3, 9), np.dtype(dtype))
    params = put(x, library, memory)
    dist = Categorical(**{form: params})
    x = get(params)
    counts = dist.sample_counts(50, rng=4)
    assert isinstance(counts, type(params))
    assert get(counts).dtype == (np.int32 if library == "jax" else np.int64)
    equal(counts, oracle.counts(oracle.draw(x, form, golden.key(4), (50,)), 9))
    equal(
        dist.sample_counts(50, rng=4, start=7),
        oracle.counts(oracle.draw(x, form, golden.key(4), (50,), first=7 * 6), 9),
    )
    seeds, start = np.array([[3], [2**31 + 5]], np.uint32), np.arange(3)
    equal(
        dist.sample_counts(50, seeds=seeds, start=start),
        oracle.counts(oracle.draw_by_seeds(x, form, seeds, start, (50,)), 9),
    )


@each_library
def test_bfloat16(library: str) -> None:
    x = rows.make("probs", "plain", (3, 9), "bfloat16")
    if library == "torch":
        params = put(x.astype(np.float32), library).bfloat16()
    elif library == "array_api_strict":
        pytest.skip("the standard has no bfloat16")
    else:
        params = put(x, library)
    expected = oracle.draw(x.astype(np.float32), "probs", KEY, (50,))
    equal(Categorical(params).sample_counts(50, rng=9), oracle.counts(expected, 9))


# --- kernels ------------------------------------------------------------------------------------


@given(st.data())
def test_kernels(data: Any) -> None:
    form, kind = data.draw(st.sampled_from(rows.KINDS))
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.float16]))
    count = data.draw(st.sampled_from([1, 2, 5, LANES + 1]))
    size = data.draw(st.sampled_from([1, 2, 3, 31, 64, 65, 129, 300, TILE, TILE + 1]))
    n = data.draw(st.sampled_from([1, 2, 63, 1000]))
    x = rows.make(form, kind, (count, size), dtype, data.draw(st.integers(0, 9)))
    repeats = data.draw(st.sampled_from([1, n]))
    stride = n * data.draw(st.sampled_from([1, 2, 1000]))
    first = data.draw(st.sampled_from([0, 1, 5, 2**32 - 3, 2**40 + 1]))
    draws = DrawRange(n // repeats, count, repeats, first, count * stride * 3, stride)
    cache: dict[str, Any] = {}
    expected = rows.draw(x, form, draws).transpose(0, 2, 1).reshape(n, count)
    for _ in range(2):
        equal(kernel_counts(x, form, draws, cache), oracle.counts(expected, size))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (1, 3 * TILE), (70, 20), (3, TILE + 1)])
def test_threads(shape: tuple[int, int], count: int) -> None:
    """More draws than any kernel makes at once."""
    n = 300_001 // shape[0]
    x, draws = rows.make("probs", "plain", shape, np.float32), DrawRange(n, *shape[:1], 1, 3, 70, 1)
    expected = rows.draw(x, "probs", draws)[..., 0]
    with rows.threads(count):
        found = kernel_counts(x, "probs", draws, {})
    for row, column in zip(found, expected.T, strict=True):
        equal(row, np.bincount(column, minlength=shape[1]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [7, TILE + 1])
@pytest.mark.parametrize("n", [0, 1, 1000])
def test_invalid_rows(form: str, size: int, n: int) -> None:
    x = rows.make(form, "plain", (5, size), np.float32)
    x[1, 2] = np.nan
    x[3] = 0 if form == "probs" else -np.inf
    x[4, -1] = np.inf
    counts = Categorical(**{form: x}, validate_args=False).sample_counts(n, rng=9)
    equal(counts.sum(-1), [n, -size, n, -size, -size])
    assert counts.min(-1).tolist() == [counts[0].min(), -1, counts[2].min(), -1, -1]
    alone = Categorical(**{form: x[3]}, validate_args=False).sample_counts(n)
    equal(alone, np.full(size, -1))


# --- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (1, 5), (4, 5), (4, 3, 5), (2, 1, 3, 5), (1, 3, 1, 5)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_shapes(shape: tuple[int, ...], order: Any, n: int) -> None:
    x = rows.make("probs", "plain", shape, np.float64)
    dist = Categorical(np.asarray(x, order=order))
    for dtype in (None, np.int8, np.uint16):
        counts = dist.sample_counts(n, rng=9, dtype=dtype)
        assert counts.shape == shape
        assert counts.dtype == (dtype or np.int64)
        equal(counts, oracle.counts(oracle.draw(x, "probs", KEY, (n,)), 5))


@each_library
@pytest.mark.parametrize("batch", [(4,), (3, 1), (2, 4, 3, 1), (1,)])
@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 1, 6)])
def test_expanded_batches(shape: tuple[int, ...], batch: tuple[int, ...], library: str) -> None:
    """A row that repeats in the batch has other draws each time."""
    x = rows.make("probs", "plain", shape, np.float32)
    batch = np.broadcast_shapes(batch, shape[:-1])
    dist = Categorical(put(x, library)).expand(batch)
    dist.sample(2000, rng=1)  # fills the cache
    expected = oracle.draw(np.broadcast_to(x, (*batch, 6)), "probs", KEY, (40,))
    equal(dist.sample_counts(40, rng=9), oracle.counts(expected, 6))
    seeds = np.arange(math.prod(batch), dtype=np.uint32).reshape(batch)
    draws = get(dist.sample(40, seeds=seeds))
    equal(dist.sample_counts(40, seeds=seeds), oracle.counts(draws, 6))


@each_library
def test_empty_batches(library: str) -> None:
    assert tuple(Categorical(put(np.ones((0, 3)), library)).sample_counts(9).shape) == (0, 3)


def test_parts_add_up() -> None:
    """Also where draw indices, or positions, need more than 32 bits."""
    dist = Categorical(rows.make("probs", "plain", (3, 50), np.float32))
    for source in ({"rng": 3}, {"seeds": [1, 2, 3]}):
        for start in (0, 2**31 - 100, 2**40):
            whole = dist.sample_counts(1000, start=start, **source)
            first = dist.sample_counts(300, start=start, **source)
            equal(whole, first + dist.sample_counts(700, start=start + 300, **source))
            assert (whole.sum(-1) == 1000).all()


def test_counts_after_draws() -> None:
    """What draws leave in the cache does not matter, and the other way round."""
    x = rows.make("logits", "plain", (9000,), np.float32)
    dist, other = Categorical(logits=x), Categorical(logits=x)
    expected = np.bincount(dist.sample(50_000, rng=1), minlength=9000)
    equal(dist.sample_counts(50_000, rng=1), expected)
    equal(other.sample_counts(50_000, rng=1), expected)
    equal(np.bincount(other.sample(50_000, rng=1), minlength=9000), expected)


def test_memory_is_that_of_the_counts() -> None:
    dist = Categorical(rows.make("probs", "plain", (4, 100), np.float32))
    dist.sample_counts(1000)
    tracemalloc.start()
    try:
        dist.sample_counts(10**6)
        assert tracemalloc.get_traced_memory()[1] < 4e6  # the draws are of 32 MB
    finally:
        tracemalloc.stop()


@pytest.mark.statistical
def test_frequencies() -> None:
    weights = np.array([1e-4, 0.1, 0.5, 1.0, 2.4])
    counts = Categorical(weights).sample_counts(2_000_000, rng=8)
    expected = 2_000_000 * weights / weights.sum()
    assert 1e-6 < stats.chisquare(counts, expected).pvalue < 1 - 1e-6


# --- arguments ----------------------------------------------------------------------------------

ONE = Categorical([0.5, 0.5, 0.0])


def test_n_may_be_of_numpy() -> None:
    equal(ONE.sample_counts(np.int8(9), rng=1), ONE.sample_counts(9, rng=1))
    assert ONE.sample_counts(127, dtype=np.int8).sum() == 127
    assert ONE.sample_counts(255, dtype=np.uint8).sum() == 255


def test_a_generator_advances_once() -> None:
    one, two = np.random.default_rng(1), np.random.default_rng(1)
    for n in (0, 9):
        equal(ONE.sample_counts(n, rng=one), np.bincount(ONE.sample(n, rng=two), minlength=3))
        assert one.bit_generator.state == two.bit_generator.state


def test_jax_has_counts_of_32_bits() -> None:
    jax = pytest.importorskip("jax")
    dist = Categorical(jax.numpy.ones(3))
    with pytest.raises(ValueError, match="up to n = 2147483648; got int32"):
        dist.sample_counts(2**31)
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        assert dist.sample_counts(9).dtype == "int64"


# --- values that are not known yet --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [None, np.int16])
def test_dask(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    da = pytest.importorskip("dask.array")
    from anycat._backends import dask as backend

    monkeypatch.setattr(backend, "LEAST_DRAWS_OF_PART", 10)
    x = rows.make("probs", "plain", (4, 3, 2), np.float32)
    x[1, 1] = 0
    expected = oracle.counts(oracle.draw(x, "probs", KEY, (500,)), 2)
    for chunks in ((4, 3, 2), (1, 1, 1), (3, 2, 2)):
        params = da.from_array(x, chunks=chunks)
        dist = Categorical(params, validate_args=False)
        counts = dist.sample_counts(500, rng=9, dtype=dtype)
        assert sum("sample_counts" in str(key) for key in dict(counts.dask)) > 5
        assert counts.dtype == (dtype or np.int64)
        assert counts.chunks == (*params.chunks[:-1], (2,))
        equal(counts, expected)
        wide = dist.expand((2, 4, 3)).sample_counts(40, rng=9)
        draws = oracle.draw(np.broadcast_to(x, (2, *x.shape)), "probs", KEY, (40,))
        equal(wide, oracle.counts(draws, 2))
    seeds = da.from_array(np.arange(12).reshape(4, 3), chunks=(2, 3))
    draws = oracle.draw_by_seeds(x, "probs", seeds.compute(), 2**40, (500,))
    equal(dist.sample_counts(500, seeds=seeds, start=2**40), oracle.counts(draws, 2))


def test_dask_counts_are_made_in_parts() -> None:
    """Enough parts for workers, but not more than a graph should have, whatever their number."""
    da = pytest.importorskip("dask.array")
    for chunk in (1, 100):
        dist = Categorical(da.ones((100, 5), chunks=(chunk, 5)))
        assert len(dict(dist.sample_counts(1000).dask)) < 100 * 12
        large = len(dict(dist.sample_counts(2**50).dask))
        assert (100 if chunk == 100 else 0) < large < 3000


def test_dask_checks_rows_when_they_are_computed() -> None:
    da = pytest.importorskip("dask.array")
    x = np.ones((4, 5))
    x[3] = 0
    counts = Categorical(da.from_array(x, chunks=(2, 5))).sample_counts(9)
    assert counts[:2].compute().sum() == 18
    with pytest.raises(ValueError, match="probs must not all be zero"):
        counts.compute()


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    x = rows.make("logits", "plain", (4, 6), np.float32)

    def count(x: Any, **options: Any) -> Any:
        return Categorical(logits=x).sample_counts(99, **options)

    expected = oracle.counts(oracle.draw(x, "logits", KEY, (99,)), 6)
    equal(jax.jit(lambda x: count(x, rng=9))(x), expected)
    keys = jax.random.split(jax.random.key(3), 4)
    found = jax.jit(jax.vmap(lambda x, key: count(x, rng=key)))(x, keys)
    for row, key, alone in zip(found, keys, x, strict=True):
        equal(row, count(alone, rng=key))
    bad = jax.jit(lambda x: count(x, rng=9))(jax.numpy.full((2, 6), jax.numpy.nan))
    equal(bad, np.full((2, 6), -1))


def test_vmap_of_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(rows.make("probs", "plain", (4, 2, 6), np.float32))

    def count(x: Any) -> Any:
        return Categorical(x).sample_counts(99, rng=9)

    found = torch.func.vmap(count)(x)
    for row, alone in zip(found, x, strict=True):
        equal(row, count(alone))


@pytest.mark.slow
def test_compiled_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(rows.make("probs", "plain", (4, 6), np.float32))

    @torch.compile(fullgraph=True, backend="aot_eager", dynamic=True)
    def count(x: Any, n: int) -> Any:
        return Categorical(x).sample_counts(n, rng=9) * 2

    for n in (0, 7, 1000):
        equal(count(x, n), 2 * oracle.counts(oracle.draw(x.numpy(), "probs", KEY, (n,)), 6))


def test_exported_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(rows.make("probs", "plain", (4, 6), np.float32))

    class Module(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return Categorical(x).sample_counts(2**20, rng=9)

    expected = Categorical(x).sample_counts(2**20, rng=9)
    equal(torch.export.export(Module(), (x,)).module()(x), expected)


def test_a_distribution_of_torch() -> None:
    torch = pytest.importorskip("torch")
    from anycat.torch import Categorical as TorchCategorical

    dist = TorchCategorical(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    equal(dist.sample_counts(99, rng=9), Categorical(dist.probs).sample_counts(99, rng=9))
    dist.probs = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    equal(dist.sample_counts(99, rng=9), [[0, 99], [99, 0]])


def test_progress() -> None:
    from anycat import _progress

    seen = []

    class Bar:
        def __init__(self, total: int, **options: Any) -> None:
            seen.append(-total)

        def update(self, n: int) -> None:
            seen.append(n)

        def close(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch, _progress.progress(Bar):
        patch.setattr(_progress, "DELAY", -1)
        Categorical(np.ones((7, 9))).sample_counts(100_000)
    assert seen[0] == -700_000
    assert sum(seen) == 0


def test_a_progress_bar_must_be_callable() -> None:
    with pytest.raises(TypeError, match="bar must be callable"), progress(3):  # type: ignore[arg-type]
        pass

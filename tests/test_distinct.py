"""Draws without replacement: each is that of the row in which those before have probability 0."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from typing import TYPE_CHECKING, Any

import golden
import numpy as np
import oracle
import pytest
import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from libraries import each_library, each_place, get, put
from scipy import stats

from anycat import Categorical
from anycat._backends import registry
from anycat._kernels import cpu
from anycat._kernels.cpu.sizes import LANES, TILE
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]

DTYPES = ["float16", "bfloat16", "float32", "float64", "int64"]
FORMS = ["probs", "logits"]
TOO_FEW = (
    "replace=False draws {} different categories from each row; {}. With validate_args=False, the "
    "missing draws are -1"
)


def equal(actual: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.asarray(get(actual)), np.asarray(expected))


def make(form: str, shape: tuple[int, ...], dtype: str, kind: str = "plain") -> Array:
    if dtype == "int64":
        low = 0 if form == "probs" else -9
        x = np.random.default_rng(0).integers(low, 9, shape)
        x[..., 0] = 9
        return x
    return rows.make(form, kind, shape, dtype if dtype == "bfloat16" else np.dtype(dtype))


def widened(x: Array) -> Array:
    """Return rows as the oracle reads them: it has no bfloat16."""
    return x.astype(np.float32) if x.dtype.name == "bfloat16" else x


def one_by_one(
    x: Array, form: str, draws: DrawRange, dtype: Any = np.int64, key: Array = rows.KEY
) -> Array:
    """Make each draw by `sample`, from a copy of the row."""
    out = np.full(draws[:3], -1, dtype)
    stride = draws.sample_stride if draws.samples > 1 else 1
    for r, row in enumerate(x.reshape(-1, x.shape[-1])):
        left = row.astype(np.float64 if row.dtype.kind in "biu" else row.dtype)
        for i in range(draws.samples * draws.repeats):
            one = DrawRange(1, 1, 1, draws.first + r * draws.row_stride + i * stride, 0, 0)
            k = rows.draw(left[None], form, one, key=key).item()
            out[:, r].reshape(-1)[i] = k
            left[k] = left[k] if k < 0 else -np.inf if form == "logits" else 0
    return out


def distinct(
    x: Array, form: str, draws: DrawRange, dtype: Any = np.int64, key: Array = rows.KEY
) -> Array:
    """Draw by the kernels; nothing of the result is left as it was."""
    out = np.full(draws[:3], 99, dtype)
    cpu.sample_distinct(x, form == "logits", rows.as_key(key), draws, out, {})
    return out


# --- the specification --------------------------------------------------------------------------


GOLDEN = json.loads(golden.DISTINCT_PATH.read_text())["cases"]


@each_library
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["form"] + case["dtype"])
def test_golden_vectors(case: dict[str, Any], library: str) -> None:
    x = golden.params(case["params"], case["dtype"])
    if library == "array_api_strict" and x.dtype == np.float16:
        pytest.skip("the standard has no float16")
    params = put(x, library)
    if library == "jax" and params.dtype != x.dtype:
        pytest.skip("JAX has no float64 unless it is told to")
    draws = Categorical(**{case["form"]: params}).sample(case["n"], replace=False, rng=case["rng"])
    assert get(draws).tolist() == case["draws"]


def test_golden_file_is_never_made_anew() -> None:
    """The bytes of the file are part of stream version 1."""
    digest = hashlib.sha256(golden.DISTINCT_PATH.read_bytes()).hexdigest()
    assert digest == "2c412f646cb31938cff6bf80a05b24e7e30968d033db3beb619cb937aad45b75"


@each_place
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_libraries_equal_the_oracle(form: str, dtype: str, library: str, memory: str) -> None:
    x = make(form, (2, 3, 9), dtype)
    if library == "array_api_strict" and dtype in ("float16", "bfloat16"):
        pytest.skip(f"the standard has no {dtype}")
    params = put(widened(x), library, memory)
    if library == "torch" and dtype == "bfloat16":
        params = params.bfloat16()
    elif dtype == "bfloat16":
        params = put(x, library, memory)
    dist = Categorical(**{form: params}, validate_args=False)
    x = widened(x if dtype == "bfloat16" else get(params))
    draws = dist.sample(9, replace=False, rng=4)
    assert isinstance(draws, type(params))
    assert draws.dtype == dist.sample(9, rng=4).dtype
    equal(draws, oracle.draw_distinct(x, form, golden.key(4), 9))
    equal(
        dist.sample((5,), replace=False, rng=4, start=7),
        oracle.draw_distinct(x, form, golden.key(4), 5, first=7 * 6),
    )
    seeds, start = np.array([[3], [2**31 + 5]], np.uint32), np.arange(3)
    equal(
        dist.sample(5, replace=False, seeds=seeds, start=start),
        oracle.draw_distinct_by_seeds(x, form, seeds, 5, start),
    )


@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hard_rows_equal_the_oracle(form: str, kind: str, dtype: Any) -> None:
    """Every category of rows in which the largest entries hide the others."""
    for size in (1, 2, 70):
        x = rows.make(form, kind, (2, size), dtype, size)
        dist = Categorical(**{form: x}, validate_args=False)
        equal(
            dist.sample(size + 1, replace=False, rng=size),
            oracle.draw_distinct(x, form, golden.key(size), size + 1),
        )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [TILE - 1, TILE, TILE + 1, 2 * TILE + 1])
def test_tiles_equal_the_oracle(form: str, size: int) -> None:
    """The tile with the largest entry loses it, then the others count."""
    x = rows.make(form, "plain", (size,), np.float32)
    x[[0, size // 2, -1]] = (1e30, 1e22, 1e20) if form == "probs" else (90.0, 60.0, 50.0)
    draws = Categorical(**{form: x}).sample(6, replace=False, rng=1)
    equal(draws, oracle.draw_distinct(x, form, golden.key(1), 6))
    assert draws[:3].tolist() == [0, size // 2, size - 1]


def test_ties_equal_the_oracle() -> None:
    for x in (np.ones((3, 40)), np.repeat([[1.0, 2.0, 0.0, 4.0]], 10, 0).reshape(2, 20)):
        dist = Categorical(x, validate_args=False)
        equal(dist.sample(20, replace=False, rng=9), oracle.draw_distinct(x, "probs", KEY, 20))


KEY = golden.key(9)


# --- kernels ------------------------------------------------------------------------------------


@st.composite
def ranges(draw: Callable[..., Any], rows: int, n: int) -> DrawRange:
    """Return draws of which each row has n, in a part of a larger output."""
    many = st.sampled_from([1, 2, 7, 1000])
    repeats = draw(st.sampled_from([1, n]))
    row_stride = n * draw(many)
    first = draw(st.sampled_from([0, 1, 5, 2**32 - 3, 2**40 + 1]))
    return DrawRange(n // repeats, rows, repeats, first, rows * row_stride * draw(many), row_stride)


@given(st.data())
def test_kernels(data: Any) -> None:
    form, kind = data.draw(st.sampled_from(rows.KINDS))
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.float16, np.int64]))
    count = data.draw(st.sampled_from([1, 2, 5, LANES + 1]))
    size = data.draw(st.sampled_from([1, 2, 3, 31, 64, 65, 129, 300]))
    n = data.draw(st.sampled_from([1, 2, 5, size, size + 1]))
    x = make(form, (count, size), np.dtype(dtype).name, kind)
    draws = data.draw(ranges(count, min(n, 12 if count > 5 else n)))
    equal(distinct(x, form, draws), one_by_one(x, form, draws))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=30)
def test_kernels_of_long_rows(data: Any) -> None:
    form, kind = data.draw(st.sampled_from(rows.KINDS))
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int64]))
    count = data.draw(st.sampled_from([1, 2, 5]))
    size = data.draw(st.sampled_from([1000, TILE - 1, TILE, TILE + 1, 3 * TILE - 1, 20_001]))
    x = make(form, (count, size), np.dtype(dtype).name, kind)
    draws = data.draw(ranges(count, data.draw(st.sampled_from([1, 3, 40, 300]))))
    equal(distinct(x, form, draws), one_by_one(x, form, draws))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [300, 2 * TILE + 100])
def test_whole_permutations(form: str, size: int) -> None:
    x = rows.make(form, "sparse" if form == "probs" else "masked", (size,), np.float32)
    positive = np.flatnonzero(x > (0 if form == "probs" else -np.inf))
    dist = Categorical(**{form: x})
    draws = dist.sample(len(positive), replace=False, rng=2)
    assert np.array_equal(np.sort(draws), positive)
    some = DrawRange(1, 1, len(positive), 0, 0, 0)
    key = np.array(golden.key(2), np.uint64)
    equal(draws, one_by_one(x, form, some, key=key).ravel())


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint16, np.int64])
def test_dtypes_of_kernels(dtype: Any) -> None:
    x, draws = rows.make("probs", "plain", (3, 20), np.float32), DrawRange(6, 3, 1, 0, 3, 1)
    equal(distinct(x, "probs", draws, dtype), one_by_one(x, "probs", draws))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads(count: int) -> None:
    for shape, n in (((50, 30), 9), ((3, 2 * TILE), 9), ((1, 30_000), 300)):
        x = rows.make("probs", "plain", shape, np.float32)
        draws = DrawRange(n, shape[0], 1, 3, shape[0], 1)
        expected = one_by_one(x, "probs", draws)
        with rows.threads(count):
            equal(distinct(x, "probs", draws), expected)


# --- batches ------------------------------------------------------------------------------------

LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda x: x,
    "Fortran": np.asfortranarray,
    "categories first": lambda x: np.moveaxis(np.moveaxis(x, -1, 0).copy(), 0, -1),
    "a part": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "unaligned": lambda x: (
        np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(5,), (1, 5), (4, 5), (4, 3, 5), (2, 1, 3, 5), (1, 3, 1, 5)])
def test_layouts(layout: str, shape: tuple[int, ...]) -> None:
    x = rows.make("probs", "plain", shape, np.float64)
    y = LAYOUTS[layout](x)
    equal(y, x)
    for n in (0, 1, 2, 5):
        equal(
            Categorical(y).sample(n, replace=False, rng=9),
            oracle.draw_distinct(x, "probs", KEY, n),
        )


@each_library
@pytest.mark.parametrize("batch", [(4,), (3, 1), (2, 4, 3, 1), (1,)])
@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 1, 6)])
def test_expanded_batches(shape: tuple[int, ...], batch: tuple[int, ...], library: str) -> None:
    """A row that repeats in the batch has other draws each time."""
    x = rows.make("probs", "plain", shape, np.float32)
    batch = np.broadcast_shapes(batch, shape[:-1])
    dist = Categorical(put(x, library)).expand(batch)
    whole = np.broadcast_to(x, (*batch, 6))
    dist.sample(2000, rng=1)  # fills the cache
    equal(dist.sample(6, replace=False, rng=9), oracle.draw_distinct(whole, "probs", KEY, 6))
    seeds = np.arange(math.prod(batch), dtype=np.uint32).reshape(batch)
    equal(
        dist.sample(3, replace=False, seeds=seeds),
        oracle.draw_distinct_by_seeds(whole, "probs", seeds, 3),
    )


def test_as_many_axes_as_arrays_have() -> None:
    for batch in ((1,) * 63, (*(1,) * 62, 3)):
        dist = Categorical(np.ones(5)).expand(batch)
        assert dist.sample(4, replace=False).shape == (4, *batch)
        assert dist.sample_counts(4).shape == (*batch, 5)
        assert dist.sample(2000).shape == (2000, *batch)


@pytest.mark.parametrize("kind", ["sample_distinct", "sample_counts"])
def test_the_cache_is_that_of_the_rows_as_they_are(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kernels know of rows is not taken for what they would know of more, or of fewer."""
    caches: list[Any] = []
    monkeypatch.setattr(cpu, kind, lambda *args: caches.append(args[5]))
    one, many = (Categorical(np.ones(shape), validate_args=False) for shape in (9, (2, 3, 9)))
    for dist in (one, many, one.expand((1, 1)), one.expand(2), many[:, :1].expand((2, 3))):
        caches.clear()
        dist.sample_counts(4) if kind == "sample_counts" else dist.sample(4, replace=False)
        repeated = math.prod(dist.batch_shape) != dist._param.size // 9
        assert [cache is dist._cache for cache in caches] == [not repeated]


@each_library
def test_empty_outputs(library: str) -> None:
    dist = Categorical(put(np.ones((2, 3)), library))
    assert tuple(dist.sample(0, replace=False).shape) == (0, 2)
    dist = Categorical(put(np.ones((0, 3)), library))
    assert tuple(dist.sample(3, replace=False).shape) == (3, 0)


@pytest.mark.parametrize("form", FORMS)
def test_prefixes(form: str) -> None:
    dist = Categorical(**{form: rows.make(form, "plain", (3, 50), np.float32)})
    whole = dist.sample(50, replace=False, rng=3)
    for n in (1, 2, 49):
        equal(dist.sample(n, replace=False, rng=3), whole[:n])
    equal(whole[:1], dist.sample(1, rng=3))
    assert (np.sort(whole, 0) == np.arange(50)[:, None]).all()


def test_start_counts_no_draw_before_it() -> None:
    dist = Categorical(rows.make("probs", "plain", (3, 50), np.float32))
    draws = dist.sample(20, replace=False, rng=3, start=5)
    equal(draws[0], dist.sample(6, rng=3)[5])
    assert all(len(set(column)) == 20 for column in draws.T)


def test_rows_with_seeds_are_independent_of_their_batch() -> None:
    dist = Categorical(rows.make("probs", "plain", (2, 3, 50), np.float32))
    seeds, start = np.arange(6).reshape(2, 3), np.array([5, 0, 2**40])
    draws = dist.sample(20, replace=False, seeds=seeds, start=start)
    for i, j in np.ndindex(2, 3):
        alone = dist[i, j].sample(20, replace=False, seeds=seeds[i, j], start=start[j])
        equal(draws[:, i, j], alone)


def test_a_generator_advances_once() -> None:
    dist, one, two = Categorical(np.ones(5)), np.random.default_rng(1), np.random.default_rng(1)
    equal(dist.sample(3, replace=False, rng=one)[0], dist.sample(7, rng=two)[0])
    assert one.bit_generator.state == two.bit_generator.state


# --- statistics ---------------------------------------------------------------------------------


@pytest.mark.statistical
@pytest.mark.parametrize("form", FORMS)
def test_all_orders_have_their_rates(form: str) -> None:
    weights, n = np.array([0.1, 0.5, 1.0, 2.4]), 100_000
    x = (np.log(weights) if form == "logits" else weights).astype(np.float32)
    draws = Categorical(**{form: x}).expand(n).sample(4, replace=False, rng=8)
    orders = list(itertools.permutations(range(4)))
    codes = np.unique(draws.T @ [64, 16, 4, 1], return_counts=True)
    found = dict(zip(*(x.tolist() for x in codes), strict=True))
    rates = [
        math.prod(weights[k] / weights[list(order[i:])].sum() for i, k in enumerate(order))
        for order in orders
    ]
    assert math.isclose(sum(rates), 1)
    observed = [found.get(64 * a + 16 * b + 4 * c + d, 0) for a, b, c, d in orders]
    assert sum(observed) == n
    assert 1e-6 < stats.chisquare(observed, n * np.array(rates)).pvalue < 1 - 1e-6


# --- arguments ----------------------------------------------------------------------------------

ONE = Categorical([0.5, 0.5, 0.0])


def test_replace_may_be_of_numpy() -> None:
    equal(ONE.sample(2, replace=np.False_, rng=1), ONE.sample(2, replace=False, rng=1))
    equal(ONE.sample((2, 2), replace=np.True_, rng=1), ONE.sample((2, 2), rng=1))


def test_a_generator_is_not_advanced_for_more_draws_than_categories() -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises(ValueError, match="there are 3"):
        ONE.sample(4, replace=False, rng=rng)
    assert rng.bit_generator.state == before


@each_library
def test_too_few_categories(library: str) -> None:
    x = np.array([[[1, 2, 3, 4]] * 3] * 2, np.float32)
    x[1, 1, 2:] = 0
    with pytest.raises(ValueError, match=r"row \[1, (1|0)\] has 2 of|row \[0, 0\] has 2") as error:
        get(Categorical(put(x, library)).sample(3, replace=False, rng=0))
    assert library == "dask" or str(error.value) == TOO_FEW.format(
        3, "row [1, 1] has 2 of positive probability"
    )
    draws = get(Categorical(put(x, library), validate_args=False).sample(5, replace=False, rng=0))
    lacks = (draws < 0).sum(0)
    assert lacks.tolist() == [[1, 1, 1], [1, 3, 1]]
    assert (np.diff((draws < 0).astype(int), axis=0) >= 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_invalid_rows(form: str) -> None:
    x = rows.make(form, "plain", (5, 7), np.float32)
    x[1, 2] = np.nan
    x[3] = 0 if form == "probs" else -np.inf
    x[4, 6] = np.inf
    draws = Categorical(**{form: x}, validate_args=False).sample(9, replace=False, rng=9)
    equal(draws, oracle.draw_distinct(x, form, KEY, 9))
    assert (draws < 0).sum(0).tolist() == [2, 9, 2, 9, 9]


# --- values that are not known yet --------------------------------------------------------------


def test_dask() -> None:
    da, dask = pytest.importorskip("dask.array"), pytest.importorskip("dask")
    x = rows.make("probs", "plain", (4, 3, 6), np.float32)
    expected = oracle.draw_distinct(x, "probs", KEY, 6)
    for chunks in ((4, 3, 6), (1, 1, 2), (3, 2, 6), (4, 1, 5)):
        dist = Categorical(da.from_array(x, chunks=chunks))
        draws = dist.sample(6, replace=False, rng=9)
        assert draws.chunks[0] == (6,)
        equal(draws, expected)
        with dask.config.set({"array.chunk-size": 16}):  # of draws that could be apart
            wide = dist.expand((2, 4, 3)).sample(6, replace=False, rng=9)
        assert wide.chunks[0] == (6,)
        equal(wide, oracle.draw_distinct(np.broadcast_to(x, (2, *x.shape)), "probs", KEY, 6))
    seeds = da.from_array(np.arange(12).reshape(4, 3), chunks=(2, 3))
    equal(
        dist.sample(4, replace=False, seeds=seeds),
        oracle.draw_distinct_by_seeds(x, "probs", seeds.compute(), 4),
    )


def test_dask_checks_blocks_when_they_are_computed() -> None:
    da = pytest.importorskip("dask.array")
    x = np.ones((4, 5))
    x[3, 1:] = 0
    draws = Categorical(da.from_array(x, chunks=(2, 5))).sample(2, replace=False, rng=0)
    assert draws[:, :2].compute().shape == (2, 2)
    with pytest.raises(ValueError, match=r"row \[1\] has 1 of positive") as error:
        draws.compute()
    assert str(error.value).endswith("(counted within the block that begins at (2,))")
    with pytest.raises(ValueError, match="there are 5"):
        Categorical(da.ones((2, 5))).sample(6, replace=False)


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    x = rows.make("logits", "plain", (4, 6), np.float32)
    expected = oracle.draw_distinct(x, "logits", KEY, 4)

    def draw(x: Any, **options: Any) -> Any:
        return Categorical(logits=x).sample(4, replace=False, **options)

    equal(jax.jit(lambda x: draw(x, rng=9))(x), expected)
    key = jax.random.key(3)
    equal(jax.jit(lambda key: draw(jax.numpy.asarray(x), rng=key))(key), get(draw(x, rng=key)))
    keys = jax.random.split(key, 4)
    found = jax.jit(jax.vmap(lambda x, key: draw(x, rng=key)))(x, keys)
    for row, k, alone in zip(found, keys, x, strict=True):
        equal(row, draw(alone, rng=k))
    few = jax.numpy.where(np.arange(6) < 3, x, -np.inf)
    assert (np.asarray(jax.jit(lambda x: draw(x, rng=9))(few)) < 0).sum(0).tolist() == [1] * 4
    with pytest.raises(ValueError, match="has 3 of positive"):  # a constant is checked
        jax.jit(lambda: draw(few, rng=9))()


def test_vmap_of_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(rows.make("probs", "plain", (4, 2, 6), np.float32))

    def draw(x: Any) -> Any:
        return Categorical(x).sample(4, replace=False, rng=9)

    found = torch.func.vmap(draw)(x)
    for row, alone in zip(found, x, strict=True):
        equal(row, draw(alone))
    x[2, 1, 3:] = 0
    with pytest.raises(ValueError, match=r"row \[2, 1\] has 3 of positive"):
        torch.func.vmap(draw)(x)


@pytest.mark.slow
def test_compiled_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(rows.make("probs", "plain", (4, 6), np.float32))

    @torch.compile(fullgraph=True, backend="aot_eager", dynamic=True)
    def draw(x: Any, n: int) -> Any:
        return Categorical(x).sample(n, replace=False, rng=9)

    for n in (2, 3, 6):
        equal(draw(x, n), oracle.draw_distinct(x.numpy(), "probs", KEY, n))
    x[2, 3:] = 0
    with pytest.raises(ValueError, match=r"row \[2\] has 3 of positive"):
        draw(x, 4)


def test_exported_and_traced_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(rows.make("probs", "plain", (4, 6), np.float32))

    class Module(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return Categorical(x).sample(3, replace=False, rng=9)

    expected = oracle.draw_distinct(x.numpy(), "probs", KEY, 3)
    equal(torch.export.export(Module(), (x,)).module()(x), expected)


def test_a_distribution_of_torch() -> None:
    torch = pytest.importorskip("torch")
    from anycat.torch import Categorical as TorchCategorical

    x = torch.tensor(rows.make("probs", "plain", (4, 6), np.float32))
    expected = oracle.draw_distinct(x.numpy(), "probs", KEY, 3)
    equal(TorchCategorical(x).sample(3, replace=False, rng=9), expected)

    dist = TorchCategorical(x)
    dist.probs = torch.tensor([0.0, 1.0, 1.0])
    assert sorted(dist.sample(2, replace=False).tolist()) == [1, 2]


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
        Categorical(np.ones((7, 9))).sample(5, replace=False)
    assert seen[0] == -35
    assert sum(seen) == 0


def test_rng_none_follows_torch() -> None:
    torch = pytest.importorskip("torch")
    dist = Categorical(torch.ones(5))
    assert registry.backend_of(dist.probs).name == "torch"
    torch.manual_seed(3)
    one = dist.sample(5, replace=False)
    torch.manual_seed(3)
    equal(dist.sample(5, replace=False), one)

"""Dask arrays: nothing is computed before it is asked for, and then it is what NumPy gives."""

import copy
import math
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import libraries
import numpy as np
import pytest
import rows
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from anycat import Categorical, _arguments, kl_divergence
from anycat._backends import registry
from anycat._kernels import cpu, cuda
from anycat._kernels.cpu.table import Table
from anycat._kernels.grid import DrawRange
from anycat._kernels.layout import COUNTS, DISTINCT, SAMPLE, Block, plan

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

RNG = np.random.default_rng(20261123)
PARAMS = RNG.random((6, 4, 5))
VALUES = RNG.integers(0, 5, (3, 6, 4))


@pytest.fixture(autouse=True)
def _in_this_thread() -> Iterator[None]:
    """Compute where the test runs, so that a failure shows what it was."""
    with dask.config.set(scheduler="synchronous"):
        yield


def lazy(x: Any, chunks: Any = 2) -> Any:
    return da.from_array(np.asarray(x), chunks=chunks)


def never(*shape: int) -> Any:
    """Return an array that must not be computed."""

    def fail(block: Any) -> Any:
        raise AssertionError("this was computed")

    return da.ones(shape, chunks=2).map_blocks(fail, meta=np.empty((0,) * len(shape)))


# --- what there is, and that it is lazy ---------------------------------------------------------

RESULTS: dict[str, Callable[[Categorical, Callable[[Any], Any]], Any]] = {
    "probs": lambda d, _: d.probs,
    "logits": lambda d, _: d.logits,
    "entropy": lambda d, _: d.entropy(),
    "perplexity": lambda d, _: d.perplexity(),
    "mode": lambda d, _: d.mode,
    "mean": lambda d, _: d.mean,
    "variance": lambda d, _: d.variance,
    "log_prob": lambda d, array: d.log_prob(array(VALUES)),
    "log_prob of a number": lambda d, _: d.log_prob(3),
    "log_prob of a list": lambda d, _: d.log_prob([[0], [1], [2], [3], [4], [0]]),
    "prob": lambda d, array: d.prob(array(VALUES)),
    "prob of fewer axes": lambda d, array: d.prob(array(VALUES[0, 0])),
    "cdf": lambda d, array: d.cdf(array(VALUES - 0.5)),
    "icdf": lambda d, array: d.icdf(array(VALUES / 5)),
    "kl_divergence": lambda d, _: kl_divergence(d, d[2:3]),
    "sample": lambda d, _: d.sample(rng=1),
    "sample of a shape": lambda d, _: d.sample((3, 2), rng=1, dtype=np.int16),
    "sample of an expanded batch": lambda d, _: d.expand((3, 6, 4)).sample(2, rng=1),
    "entropy of an expanded batch": lambda d, _: d.expand((3, 6, 4)).entropy(),
    "logits of an expanded batch": lambda d, _: d.expand((3, 6, 4)).logits,
    "probs of a part": lambda d, _: d[1:, ::2].probs,
    "entropy of a part, by an array": lambda d, array: d[array([4, 0, 4])].entropy(),
    "sample of a part": lambda d, _: d[..., 3].sample(5, rng=1),
}

each_result = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
each_form = pytest.mark.parametrize("form", ["probs", "logits"])


@each_result
@each_form
@pytest.mark.parametrize("validate", [True, False])
def test_results_are_those_of_numpy(result: Any, form: str, validate: bool) -> None:
    expected = result(Categorical(**{form: PARAMS}, validate_args=validate), np.asarray)
    params = lazy(PARAMS, (4, 2, 3))
    found = result(Categorical(**{form: params}, validate_args=validate), lazy)
    assert type(found) is da.Array
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert type(found._meta) is np.ndarray
    da.utils.assert_eq(found, found, scheduler="synchronous")  # blocks are what they are said to be
    assert_array_equal(found.compute(), expected, strict=True)


@each_result
def test_nothing_is_computed_before_it_is_asked_for(result: Any) -> None:
    found = result(Categorical(never(6, 4, 5)), lazy)
    with pytest.raises(AssertionError, match="this was computed"):
        found.compute()


def test_the_support() -> None:
    dist = Categorical(never(6, 4, 5))
    for expand in (True, False):
        found = dist.enumerate_support(expand)
        assert isinstance(found, da.Array)
        assert_array_equal(found.compute(), Categorical(PARAMS).enumerate_support(expand))


@each_form
@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "float32"])
def test_dtypes(form: str, dtype: str) -> None:
    params = np.ones((4, 3), dtype)
    ours, theirs = Categorical(**{form: lazy(params)}), Categorical(**{form: params})
    assert ours.dtype == theirs.dtype
    assert_array_equal(ours.log_prob(1).compute(), theirs.log_prob(1), strict=True)
    assert_array_equal(ours.probs.compute(), theirs.probs, strict=True)
    assert_array_equal(ours.sample(9, rng=0).compute(), theirs.sample(9, rng=0), strict=True)


def test_chunks_are_those_of_the_parameters() -> None:
    dist = Categorical(lazy(PARAMS, ((4, 2), (1, 3), (2, 3))))
    assert dist.probs.chunks == ((4, 2), (1, 3), (5,))
    for found in (dist.entropy(), dist.mode, dist.log_prob(1), dist.sample(rng=0)):
        assert found.chunks == ((4, 2), (1, 3))
    assert dist.prob(lazy(VALUES, ((1, 2), (6,), (4,)))).chunks == ((1, 2), (4, 2), (1, 3))
    assert dist.sample(7, rng=0).chunks == ((7,), (4, 2), (1, 3))


def test_chunks_where_rows_repeat_are_as_long_as_dask_is_told() -> None:
    dist = Categorical(lazy(PARAMS, ((4, 2), (1, 3), 5)))  # blocks of up to 12 distributions
    with dask.config.set({"array.chunk-size": "960 B"}):  # that is, of 10 samples of them
        assert dist.sample(25, rng=0).chunks == ((10, 10, 5), (4, 2), (1, 3))
        assert dist.sample((5, 4), rng=0).chunks == ((2, 2, 1), (4,), (4, 2), (1, 3))
        assert dist.sample((3, 40), rng=0).chunks == ((1, 1, 1), (10,) * 4, (4, 2), (1, 3))
        assert dist.expand((25, 6, 4)).entropy().chunks == ((10, 10, 5), (4, 2), (1, 3))
        assert dist.sample((2, 0, 3), rng=0).chunks == ((2,), (0,), (3,), (4, 2), (1, 3))
    with dask.config.set({"array.chunk-size": "1 B"}):
        assert dist.sample(2, rng=0).chunks == ((1, 1), (4, 2), (1, 3))


def test_a_lazy_array_of_more_draws_than_memory_holds() -> None:
    dist = Categorical(lazy([0.1, 0.2, 0.7]))
    draws = dist.sample((10**9,), rng=0)
    assert draws.nbytes == 8 * 10**9
    assert max(map(max, draws.chunks)) * 8 <= 128 * 2**20
    assert_array_equal(draws[:1000].compute(), Categorical([0.1, 0.2, 0.7]).sample(1000, rng=0))


def test_numbers_past_32_bits() -> None:
    with dask.config.set({"array.chunk-size": "32 MiB"}):
        draws = Categorical(lazy([0.1, 0.2, 0.7])).sample((2**33 + 5,), rng=0)
    last = np.empty((1, 1, 105), np.int64)
    numbers = DrawRange(1, 1, 105, 2**33 - 100, 105, 105)
    cpu.sample(np.array([0.1, 0.2, 0.7]), False, rows.as_key(libraries.key(0)), numbers, last, {})
    assert_array_equal(draws[-105:].compute(), last[0, 0])


# --- draws, however they are cut ----------------------------------------------------------------


@st.composite
def cuts(draw: st.DrawFn, n: int) -> tuple[int, ...]:
    """Return chunks of an axis of length ``n``."""
    ends = draw(st.sets(st.integers(1, max(n - 1, 1)), max_size=3)) if n > 1 else set()
    return tuple(np.diff([0, *sorted(ends), n]).tolist())


shapes = st.lists(st.integers(1, 5), max_size=3).map(tuple)


@given(data=st.data(), form=st.sampled_from(["probs", "logits"]), sample=shapes, batch=shapes)
def test_draws_do_not_depend_on_chunks(
    data: st.DataObject, form: str, sample: tuple[int, ...], batch: tuple[int, ...]
) -> None:
    size = data.draw(st.integers(1, 9), "categories")
    params = rows.make(form, "plain", (*batch, size), np.float32, data.draw(st.integers(0, 99)))
    chunks = tuple(data.draw(cuts(n), "chunks") for n in params.shape)
    wider = tuple(data.draw(st.integers(2, 4)) if n == 1 else n for n in batch)
    wider = (*data.draw(shapes, "more axes"), *wider)
    limit = data.draw(st.integers(40, 1000), "bytes")
    seed = data.draw(st.integers(0, 2**70))
    with dask.config.set({"array.chunk-size": limit}):
        found = Categorical(**{form: lazy(params, chunks)}).expand(wider).sample(sample, rng=seed)
    expected = Categorical(**{form: params}).expand(wider).sample(sample, rng=seed)
    assert_array_equal(found.compute(), expected, strict=True)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Block, tuple[int, ...]]:
    """Return a block of an output, and the shape of the rows that broadcast to it."""
    whole = draw(st.lists(st.integers(1, 4), max_size=5))
    ends = [sorted(draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in whole]
    start = tuple(min(a, n - 1) for (a, _), n in zip(ends, whole, strict=True))
    shape = tuple(max(b - a, 1) for (_, b), a in zip(ends, start, strict=True))
    base = tuple(draw(st.sampled_from([1, n])) for n in shape)
    return Block(shape, start, tuple(whole)), base[draw(st.integers(0, len(base))) :]


@given(blocks())
def test_a_block_is_cut_into_parts_that_fill_it(case: tuple[Block, tuple[int, ...]]) -> None:
    block, base = case
    row = np.arange(math.prod(base)).reshape(base)
    found_numbers, found_rows = np.full(block.shape, -1), np.full(block.shape, -1)
    cut = plan(block, base)
    for place, part, draws in cut.parts():
        rows_there = np.broadcast_to(row, cut.batch)[part].reshape(-1, 1)
        for found, values in ((found_numbers, numbers(draws)), (found_rows, rows_there)):
            to = found[place].transpose(cut.order).reshape(draws[:3])
            assert np.shares_memory(to, found)
            assert (to == -1).all()
            to[...] = values
    inside = tuple(slice(a, a + n) for a, n in zip(block.start, block.shape, strict=True))
    number = np.arange(math.prod(block.whole)).reshape(block.whole)
    assert_array_equal(found_numbers, number[inside])
    assert_array_equal(found_rows, np.broadcast_to(row, block.shape))


def numbers(draws: DrawRange) -> Any:
    s, r, i = np.ogrid[: draws.samples, : draws.rows, : draws.repeats]
    return draws.first + s * draws.sample_stride + r * draws.row_stride + i


@pytest.mark.parametrize(
    ("block", "base", "parts"),
    [
        (Block((9, 50, 60), (0, 0, 0), (9, 50, 60)), (50, 60), 1),  # everything
        (Block((9, 50, 60), (3, 0, 0), (99, 50, 60)), (50, 60), 1),  # samples
        (Block((9, 20, 60), (0, 5, 0), (9, 50, 60)), (20, 60), 1),  # the first axis of the batch
        (Block((9, 50, 1), (0, 0, 7), (9, 50, 60)), (50, 1), 1),  # one column
        (Block((9, 50, 4), (0, 0, 8), (9, 50, 60)), (50, 4), 4),  # a few columns
        (Block((9, 30, 20), (0, 8, 8), (9, 50, 60)), (30, 20), 20),  # a tile
        (Block((3, 9, 20), (3, 9, 40), (9, 99, 60)), (), 3),  # one row, samples in a tile
        (Block((4, 5, 6), (0, 0, 0), (4, 5, 6)), (4, 1, 6), 1),  # rows repeat between others
    ],
)
def test_few_parts(block: Block, base: tuple[int, ...], parts: int) -> None:
    assert len(list(plan(block, base).parts())) == parts


def test_parts_of_long_rows() -> None:
    """What is known of the rows of one part is not taken for those of another."""
    x, key = RNG.random((3, 4, 5000)), rows.as_key(np.arange(4, dtype=np.uint64))
    block = Block((2, 3, 4), (1, 8, 8), (9, 50, 60))
    cut = plan(block, x.shape[:-1])
    assert len(list(cut.parts())) == 3
    draws = registry.default().draw(x, False, block, lambda _: key, np.dtype(int), {})
    for s, i, j in np.ndindex(block.shape):
        out, number = np.empty((1, 1, 1), int), ((s + 1) * 50 + i + 8) * 60 + j + 8
        cpu.sample(x[i, j][None], False, key, DrawRange(1, 1, 1, number, 1, 1), out, {})
        assert draws[s, i, j] == out


@pytest.mark.parametrize("kind", [SAMPLE, DISTINCT, COUNTS])
@given(blocks(), st.sampled_from([0, 7, 2**64 - 3000]))
def test_draws_of_a_block_are_those_of_the_whole(
    kind: str, case: tuple[Block, tuple[int, ...]], first: int
) -> None:
    """Rows differ; those of the whole are those of the block where it is."""
    block, base = case
    if kind != SAMPLE:
        block = Block((2, *block.shape), (0, *block.start), (2, *block.whole))
    block = block._replace(first=first, kind=kind)
    ndim = len(base)
    row = np.random.default_rng(0).random((*base, 100))
    inside = tuple(slice(a, a + n) for a, n in zip(block.start, block.shape, strict=True))
    batch = block.whole[len(block.whole) - ndim :]
    whole = np.ones((*batch, 100))
    whole[inside[len(inside) - ndim :]] = row
    key, dtype = rows.as_key(np.arange(4, dtype=np.uint64)), np.dtype(np.int64)
    everything = Block.all_of(block.whole, first, kind)
    expected = registry.default().draw(whole, False, everything, lambda _: key, dtype, {})
    found = registry.default().draw(row, False, block, lambda _: key, dtype, {})
    if kind == COUNTS:
        inside = (*inside[1:], slice(None))
    assert_array_equal(found, expected[inside])


def test_a_table_is_made_once_for_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    prepare = Table.prepare
    monkeypatch.setattr(Table, "prepare", lambda *args: made.append(1) or prepare(*args))
    with dask.config.set({"array.chunk-size": "800 kB"}):
        draws = Categorical(lazy(RNG.random(1000), 1000)).sample(10**6, rng=0)
    assert draws.npartitions == 10
    draws.compute()
    assert len(made) == 1


def test_parameters_are_in_the_graph_once() -> None:
    with dask.config.set({"array.chunk-size": "80 kB"}):
        draws = Categorical(lazy(np.ones(100_000), -1)).sample(10**6, rng=0)
    assert draws.npartitions == 100
    assert len(pickle.dumps(dict(draws.dask))) < 1.1 * 800_000


# --- blocks of other libraries ------------------------------------------------------------------


class Foreign(np.ndarray):
    """As good as arrays of another library, as far as Dask can tell."""

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = super().__array_function__(function, types, args, kwargs)
        return result.view(Foreign) if isinstance(result, np.ndarray) else result


def test_new_arrays_have_blocks_like_those_of_the_parameters() -> None:
    meta = np.empty((0, 0, 0)).view(Foreign)
    params = lazy(PARAMS).map_blocks(lambda block: block.view(Foreign), meta=meta)
    dist = Categorical(params)
    for x in (_arguments.as_array("value", [0, 1], params), dist.enumerate_support(False)):
        assert type(x._meta) is type(x.compute()) is Foreign
    assert type(dist.sample(rng=0)._meta) is type(dist.probs._meta) is Foreign


@pytest.mark.gpu
@each_form
def test_blocks_on_a_gpu(form: str) -> None:
    if (reason := cuda.unavailable_reason()) is not None:
        pytest.skip(str(reason))
    import cupy

    def host(x: Any) -> Any:
        assert type(x._meta) is cupy.ndarray
        return x.compute().get()

    params = lazy(PARAMS, (4, 2, 3)).map_blocks(cupy.asarray)
    ours, theirs = Categorical(**{form: params}), Categorical(**{form: PARAMS})
    for shape in ((), (3, 2)):
        assert_array_equal(host(ours.sample(shape, rng=1)), theirs.sample(shape, rng=1))
    expanded = ours.expand((3, 6, 4)).sample(2, rng=1)
    assert_array_equal(host(expanded), theirs.expand((3, 6, 4)).sample(2, rng=1))
    values = lazy(VALUES).map_blocks(cupy.asarray)
    assert_allclose(host(ours.log_prob(values)), theirs.log_prob(VALUES), rtol=1e-12)
    assert_allclose(host(ours.log_prob(3)), theirs.log_prob(3), rtol=1e-12)
    assert_array_equal(host(ours.enumerate_support()), theirs.enumerate_support())
    assert_allclose(host(kl_divergence(ours, ours[:1])), kl_divergence(theirs, theirs[:1]), 1e-9)


# --- from call to call --------------------------------------------------------------------------


def test_a_generator_moves_on_at_the_call() -> None:
    ours, theirs = np.random.default_rng(5), np.random.default_rng(5)
    dist, reference = Categorical(lazy(PARAMS)), Categorical(PARAMS)
    first, second = dist.sample(3, rng=ours), dist.sample(3, rng=ours)
    assert ours.bit_generator.state != np.random.default_rng(5).bit_generator.state
    expected = [reference.sample(3, rng=theirs) for _ in range(2)]
    assert ours.bit_generator.state == theirs.bit_generator.state
    for _ in range(2):  # computed again, and in another order, they are the same
        assert_array_equal(second.compute(), expected[1])
        assert_array_equal(first.compute(), expected[0])


def test_names_tell_draws_apart() -> None:
    def name(x: Any = PARAMS, form: str = "probs", n: int = 3, rng: Any = 0, **rest: Any) -> str:
        with dask.config.set({"tokenize.ensure-deterministic": True}):
            return str(Categorical(**{form: lazy(x)}).sample(n, rng=rng, **rest).name)

    assert name() == name()
    others = [
        name(PARAMS + 1),
        name(form="logits"),
        name(n=4),
        name(rng=1),
        name(dtype="int32"),
        name(rng=None),
        name(rng=None),
    ]
    assert len({name(), *others}) == 1 + len(others)


@pytest.mark.parametrize("result", [r for r in RESULTS if not r.startswith("sample")])
def test_names_tell_distributions_apart(result: str) -> None:
    def name(form: str = "probs", **options: Any) -> str:
        with dask.config.set({"tokenize.ensure-deterministic": True}):
            return str(RESULTS[result](Categorical(**{form: lazy(PARAMS)}, **options), lazy).name)

    assert name() == name()
    for checked in (True, False):  # checked rows have names of their own, unchecked ones do not
        probs, logits = (name(form, validate_args=checked) for form in ("probs", "logits"))
        assert len({probs, logits, name(validate_args=checked, clamp_probs=False)}) == 3


@pytest.mark.parametrize(
    "copier", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies(copier: Callable[[Any], Any]) -> None:
    dist = Categorical(lazy(PARAMS)).expand((2, 6, 4))
    assert dist.probs.shape == (2, 6, 4, 5)
    twin = copier(dist)
    assert repr(twin) == repr(dist)
    assert not {"probs", "logits"} & vars(twin).keys()
    assert twin.sample(3, rng=0).name == dist.sample(3, rng=0).name
    assert_array_equal(twin.logits.compute(), dist.logits.compute())


def test_what_is_kept_for_speed_is_not_moved() -> None:
    from anycat._backends.dask import CachedRows

    kept = CachedRows(RNG.random(1000))
    kept.cache["table"] = np.empty(10**6)
    assert len(pickle.dumps(kept)) < 9000
    assert dask.sizeof.sizeof(kept) >= 8000


# --- bad input ----------------------------------------------------------------------------------

WITHIN = "(counted within the block that begins at {})"


@pytest.mark.parametrize("ask", [lambda d: d.sample(3, rng=0), lambda d: d.probs])
@pytest.mark.parametrize(
    ("form", "value", "message"),
    [
        ("probs", -1.0, r"probs must be finite and not negative; probs\[1, 2, 0\] is -1.0"),
        ("logits", np.nan, r"logits must not be NaN; logits\[1, 2, 0\] is nan"),
    ],
)
def test_bad_rows_are_found_when_they_are_computed(
    ask: Any, form: str, value: float, message: str
) -> None:
    params = PARAMS.copy()
    params[5, 2, 0] = value
    found = ask(Categorical(**{form: lazy(params, (4, 4, 5))}))
    with pytest.raises(ValueError, match=message) as error:
        found.compute()
    assert str(error.value).endswith(WITHIN.format("(4, 0)"))
    rest = found[:, :4] if len(found) == 3 else found[:4]
    assert rest.compute().size > 0
    unchecked = ask(Categorical(**{form: lazy(params, (4, 4, 5))}, validate_args=False))
    assert unchecked.compute().size > 0


def test_bad_values_are_found_when_they_are_computed() -> None:
    values = VALUES.copy()
    values[2, 5, 1] = 7
    dist = Categorical(lazy(PARAMS))
    found = dist.log_prob(lazy(values))
    with pytest.raises(ValueError, match=r"from 0 to 4; value\[0, 1, 1\] is 7") as error:
        found.compute()
    assert str(error.value).endswith(WITHIN.format("(2, 4, 0)"))
    assert found[:, :4].compute().size > 0
    with pytest.raises(ValueError, match="value is 5"):
        dist.prob(5).compute()
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\]; q is 1.5"):
        dist.icdf(1.5).compute()
    unchecked = Categorical(lazy(PARAMS), validate_args=False)
    assert unchecked.prob(lazy(values)).compute()[2, 5, 1] == 0


@pytest.mark.parametrize("seen", [True, False])
def test_masked_blocks_are_refused(seen: bool) -> None:
    """Kernels do not read masks. Dask may learn only from a block that it has one."""
    x = np.ma.array([[1.0, 100.0, 1.0]], mask=[[0, 1, 0]])
    given = da.from_array(x)
    if not seen:
        given = da.map_blocks(lambda _: x, da.zeros((1, 3)), meta=np.zeros((0, 0)))
    with pytest.raises(TypeError, match=r"logits has blocks|logits is a MaskedArray"):
        Categorical(logits=given).sample(rng=0).compute()
    if seen:
        with pytest.raises(TypeError, match="value has blocks that are masked"):
            Categorical(lazy(np.ones((1, 3)))).log_prob(given[:, 0])


def test_objects_are_not_computed_for_a_message() -> None:
    given = da.from_array(np.array([[1, None]], object), chunks=1)
    with pytest.raises(TypeError, match=r"got dtype object: convert it to float64 first$"):
        Categorical(given)


class Chunked:
    """What a DataArray of xarray in chunks has, or a data frame of Dask."""

    def __init__(self, graph: Any) -> None:
        self.__dask_graph__ = lambda: graph

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.ones(3)


def test_objects_of_chunks_are_not_computed() -> None:
    message = "probs is of Dask's type Chunked: convert it to a Dask array"
    for member, hint in [
        ("other", ""), ("data", ", as in x.data"),
        ("to_dask_array", r", as in x.to_dask_array\(lengths=True\)"),
    ]:  # fmt: skip
        given = Chunked({})
        setattr(given, member, None)
        with pytest.raises(TypeError, match=f"^{message}{hint}$"):
            Categorical(given)
    assert Categorical(Chunked(None)).num_categories == 3  # as of xarray without chunks


def test_unknown_chunks() -> None:
    x = lazy(PARAMS)
    unknown = x[x[:, 0, 0] > 0.5]
    dist = Categorical(x)
    message = r"is a Dask array with chunks of unknown sizes.*compute_chunk_sizes\(\)"
    with pytest.raises(ValueError, match="^probs " + message):
        Categorical(unknown)
    with pytest.raises(ValueError, match="^logits " + message):
        Categorical(logits=unknown)
    with pytest.raises(ValueError, match="^value " + message):
        dist.log_prob(unknown[:, :, 0])
    with pytest.raises(ValueError, match=r"^the index .* unknown shape \(nan, 4\): compute it"):
        dist[x[:, 0, 0] > 0.5]
    known = Categorical(unknown.compute_chunk_sizes())
    assert_array_equal(known.mode.compute(), Categorical(PARAMS[PARAMS[:, 0, 0] > 0.5]).mode)


BESIDE = r"^{} is an array of {}, the distribution one of {}: "


@pytest.mark.parametrize("method", ["log_prob", "prob", "cdf", "icdf"])
def test_dask_beside_numpy(method: str) -> None:
    name = "q" if method == "icdf" else "value"
    with pytest.raises(TypeError, match=BESIDE.format(name, "numpy", "dask")):
        getattr(Categorical(lazy(PARAMS)), method)(VALUES)
    with pytest.raises(TypeError, match=BESIDE.format(name, "dask", "numpy")):
        getattr(Categorical(PARAMS), method)(lazy(VALUES))


def test_divergence_of_dask_from_numpy() -> None:
    with pytest.raises(TypeError, match=BESIDE.format("the parameter of q", "numpy", "dask")):
        kl_divergence(Categorical(lazy(PARAMS)), Categorical(PARAMS))
    with pytest.raises(TypeError, match=BESIDE.format("the parameter of q", "dask", "numpy")):
        kl_divergence(Categorical(PARAMS), Categorical(lazy(PARAMS)))


# --- processes ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Return the client of two processes, each of one thread, that answer on this machine alone."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


def test_processes_draw_what_numpy_draws(client: Any) -> None:
    dist, reference = Categorical(lazy(PARAMS, (2, 3, 2))), Categorical(PARAMS)
    with dask.config.set({"array.chunk-size": "1 kB"}):
        draws, log_prob = dist.sample((20, 30), rng=3), dist.log_prob(lazy(VALUES))
    found = client.gather(client.compute([draws, log_prob]))
    assert_array_equal(found[0], reference.sample((20, 30), rng=3), strict=True)
    assert_array_equal(found[1], reference.log_prob(VALUES), strict=True)


def test_errors_come_back_from_processes(client: Any) -> None:
    bad = Categorical(lazy([[1.0, 2.0], [1.0, -2.0]], 1)).sample(rng=0)
    with pytest.raises(ValueError, match="probs must be finite and not negative") as error:
        client.compute(bad).result()
    assert str(error.value).endswith(WITHIN.format("(1,)"))


def slowly(block: Any) -> Any:
    time.sleep(0.02)
    return block


def test_a_killed_worker_changes_nothing(client: Any) -> None:
    params = RNG.random(50)
    with dask.config.set({"array.chunk-size": "80 kB"}):
        draws = Categorical(lazy(params, -1)).sample(10**6, rng=np.random.default_rng(8))
    assert draws.npartitions == 100
    blocks = client.persist(draws.map_blocks(slowly))
    victim, pid = min(client.run(os.getpid).items())
    deadline = time.monotonic() + 30
    while len(client.has_what()[victim]) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    states = [future.status for future in client.futures_of(blocks)]
    assert "finished" in states
    assert "pending" in states
    os.kill(pid, signal.SIGKILL)
    found = client.compute(blocks).result(timeout=60)
    assert pid not in client.run(os.getpid).values()
    assert_array_equal(found, Categorical(params).sample(10**6, rng=np.random.default_rng(8)))


def test_more_draws_than_an_array_can_hold() -> None:
    dist = Categorical(da.ones(3))
    for n in (2**60, 2**64):
        with pytest.raises(ValueError, match=r"^sample_shape asks for more than an"):
            dist.sample(n, rng=0)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_masks_of_numpy_select_rows(axes: int) -> None:
    """As in NumPy, also along several axes."""
    x = RNG.random((4, 6, 5, 3))
    mask = RNG.random(x.shape[:axes]) < 0.5
    part = Categorical(da.from_array(x, chunks=(2, 3, 5, 3)))[mask]
    whole = Categorical(x)[mask]
    assert part.batch_shape == whole.batch_shape
    assert_array_equal(part.probs.compute(), whole.probs)
    assert_array_equal(part.sample(2, rng=0).compute(), whole.sample(2, rng=0))
    with pytest.raises(IndexError, match="index must fit the batch shape"):
        Categorical(da.from_array(x))[np.ones((4, 7), bool)]

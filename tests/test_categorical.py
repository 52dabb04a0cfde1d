"""Construction, normalisation, shapes, and views."""

import inspect
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from libraries import each_library, put
from numpy.testing import assert_allclose, assert_array_equal

from anycat import Categorical

# The worked example: two rows, in shape (2, 1, 4).
ROWS = [[[0.25, 0.25, 0.25, 0.25]], [[0.33, 0.33, 0.33, 0.01]]]
LOGS = [[[-1.3863] * 4], [[-1.1087, -1.1087, -1.1087, -4.6052]]]
SOFTMAX = [[[0.25] * 4], [[0.2684, 0.2684, 0.2684, 0.1949]]]
LOG_SOFTMAX = [[[-1.3863] * 4], [[-1.3154, -1.3154, -1.3154, -1.6354]]]

Member = Callable[[Categorical], Any]

MEMBERS: dict[str, Member] = {
    "probs": lambda d: d.probs,
    "logits": lambda d: d.logits,
    "mode": lambda d: d.mode,
    "mean": lambda d: d.mean,
    "variance": lambda d: d.variance,
    "entropy": lambda d: d.entropy(),
    "perplexity": lambda d: d.perplexity(),
    "enumerate_support": lambda d: d.enumerate_support(),
    "sample": lambda d: d.sample(rng=0),
    "prob": lambda d: d.prob(1),
    "log_prob": lambda d: d.log_prob(1),
    "cdf": lambda d: d.cdf(1),
    "icdf": lambda d: d.icdf(0.4),
}
OF_DTYPE = MEMBERS.keys() - {"mode", "enumerate_support", "sample", "icdf"}

each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_member = pytest.mark.parametrize("member", MEMBERS)
each_dtype = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])


def categorical(form: str, params: Any, **options: Any) -> Categorical:
    return Categorical(**{form: params}, **options)


def near(actual: Any, desired: Any, ulps: float = 4) -> None:
    """Compare a result with a float64 one, in units of the result's own dtype."""
    eps = np.finfo(actual.dtype).eps
    assert_allclose(actual.astype(np.float64), desired, rtol=ulps * eps, atol=ulps * eps)


# --- the worked example


def test_worked_example_of_probs(array: Any, host: Any) -> None:
    dist = Categorical(probs=array(ROWS))
    assert "logits" not in vars(dist)
    near(host(dist.probs), ROWS)
    assert "logits" not in vars(dist)
    assert_array_equal(host(dist.logits).round(4), LOGS)
    assert "logits" in vars(dist)


def test_worked_example_of_logits(array: Any, host: Any) -> None:
    dist = Categorical(logits=array(ROWS))
    assert "probs" not in vars(dist)
    assert_array_equal(host(dist.logits).round(4), LOG_SOFTMAX)
    assert "probs" not in vars(dist)
    assert_array_equal(host(dist.probs).round(4), SOFTMAX)
    assert "probs" in vars(dist)


@each_form
def test_worked_example_of_sample(form: str, array: Any, host: Any) -> None:
    dist = categorical(form, array(ROWS))
    sample = dist.sample()
    assert tuple(sample.shape) == (2, 1)
    entries = np.take_along_axis(host(dist.logits), host(sample)[..., None], -1)
    near(host(dist.log_prob(sample)), entries[..., 0], ulps=1)


def test_worked_example_of_lists() -> None:
    dist = Categorical(ROWS)
    assert type(dist.probs) is np.ndarray
    assert dist.dtype == np.float64
    assert_array_equal(dist.logits.round(4), LOGS)


# --- construction


def test_signature() -> None:
    parameters = inspect.signature(Categorical).parameters.values()
    assert [(p.name, p.default) for p in parameters] == [
        ("probs", None),
        ("logits", None),
        ("validate_args", None),
        ("clamp_probs", True),
    ]
    assert [p.kind == p.KEYWORD_ONLY for p in parameters] == [False, False, False, True]


def test_positional_arguments() -> None:
    assert_array_equal(Categorical([1, 3]).probs, [0.25, 0.75])
    assert_allclose(Categorical(None, [0, math.log(3)]).probs, [0.25, 0.75])
    assert_array_equal(Categorical([-1, 1], None, False).sample(3), [-1, -1, -1])


@pytest.mark.parametrize(
    "values", [[1, 3], (1.0, 3.0), [[False, True], [True, True]], [np.ones(2)]]
)
@each_form
def test_lists_become_numpy_arrays(form: str, values: Any) -> None:
    dist = categorical(form, values)
    assert type(dist.probs) is np.ndarray
    assert dist.dtype == np.float64
    assert dist.param_shape == np.shape(values)


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
@each_form
def test_integers_count_as_the_default_dtype(
    form: str, dtype: str, xp: Any, array: Any, host: Any
) -> None:
    values = [[True, False, True]] if dtype == "bool" else [[1, 0, 5]]
    dist = categorical(form, array(values, dtype))
    assert dist.dtype == xp.asarray(0.5).dtype
    plain = categorical(form, xp.astype(array(values), dist.dtype))
    for name, member in MEMBERS.items():
        assert_array_equal(host(member(dist)), host(member(plain)), err_msg=name)


@each_dtype
@each_form
@each_member
def test_floats_keep_their_dtype(member: str, form: str, dtype: str, array: Any, host: Any) -> None:
    params = array([[0.5, 0.25, 2.0]], dtype)
    dist = categorical(form, params)
    assert dist.dtype == params.dtype
    result = host(MEMBERS[member](dist))
    assert result.dtype == (dtype if member in OF_DTYPE else np.int64)


@each_form
@each_member
def test_members_leave_their_input_alone(member: str, form: str, array: Any, host: Any) -> None:
    params = array([[0.5, 0.25, 2.0], [1.0, 0.0, 0.0]])
    MEMBERS[member](categorical(form, params))
    assert_array_equal(host(params), [[0.5, 0.25, 2.0], [1.0, 0.0, 0.0]])


# --- probs and logits


@each_form
@each_member
def test_nothing_is_normalised_until_it_is_asked_for(member: str, form: str, array: Any) -> None:
    dist = categorical(form, array([[1.0, 2.0], [3.0, 4.0]]))
    MEMBERS[member](dist)
    assert {"probs", "logits"} & vars(dist).keys() == {member} & {"probs", "logits"}


@each_form
@pytest.mark.parametrize("name", ["probs", "logits"])
def test_a_result_is_kept(name: str, form: str, array: Any) -> None:
    dist = categorical(form, array([[1.0, 2.0], [3.0, 4.0]]))
    assert getattr(dist, name) is getattr(dist, name)


@each_form
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", ["probs", "logits"])
def test_probs_and_logits_are_read_only(name: str, known: bool, form: str, array: Any) -> None:
    params = array([[1.0, 2.0], [3.0, 4.0]])
    dist = categorical(form, params)
    before = getattr(dist, name) if known else None
    with pytest.raises(AttributeError, match=f"^{name} is read-only: make a new distribution"):
        setattr(dist, name, params)
    with pytest.raises(AttributeError, match=f"^{name} is read-only: make a new distribution"):
        delattr(dist, name)
    assert vars(dist).get(name) is before


@pytest.mark.parametrize("size", [3, 5000])
@each_form
def test_a_second_init_forgets_the_first(form: str, size: int, array: Any, host: Any) -> None:
    """As in a policy that masks its logits, and then calls ``super().__init__`` again."""
    params = [array(np.linspace(a, b, 2 * size).reshape(2, size)) for a, b in [(1, 2), (9, 1)]]
    dist, fresh = categorical(form, params[0]), categorical(form, params[1])
    for member in MEMBERS.values():
        member(dist)
    kept = dist.expand((3, 2)).probs
    dist.__init__(**{form: params[1]})  # type: ignore[misc]
    for name, member in MEMBERS.items():
        assert_array_equal(host(member(dist)), host(member(fresh)), err_msg=name)
    assert_array_equal(host(dist.expand((3, 2)).probs)[0], host(fresh.probs))
    assert (host(kept)[0] != host(fresh.probs)).any()


def test_a_failed_second_init_changes_nothing() -> None:
    dist = Categorical([1.0, 3.0])
    with pytest.raises(ValueError, match="probs"):
        dist.__init__([-1.0, 1.0])  # type: ignore[misc]
    assert_array_equal(dist.probs, [0.25, 0.75])


def test_a_second_init_of_a_subclass() -> None:
    class Masked(Categorical):
        def __init__(self, logits: Any) -> None:
            super().__init__(logits=logits)
            self.unmasked = self.probs
            super().__init__(logits=np.where(self.probs < 0.2, -np.inf, self.logits))

        @cached_property
        def doubled(self) -> Any:
            return 2 * self.probs

    dist = Masked(np.log([0.1, 0.3, 0.6]))
    assert_allclose(dist.probs, [0, 1 / 3, 2 / 3])
    assert_allclose(dist.unmasked, [0.1, 0.3, 0.6])
    assert_allclose(dist.doubled, [0, 2 / 3, 4 / 3])
    dist.__init__(np.log([0.5, 0.5]))  # type: ignore[misc]
    assert_allclose(dist.doubled, [1, 1])


@pytest.mark.parametrize("batch", [(), (0,), (3,), (0, 2)], ids=str)
def test_a_distribution_is_true(batch: tuple[int, ...], array: Any) -> None:
    assert bool(Categorical(array(np.ones((*batch, 2)))))


@each_dtype
def test_probs_are_divided_by_their_sum(dtype: str, array: Any, host: Any) -> None:
    dist = Categorical(array([[1, 3, 4], [0, 0, 5]], dtype))
    assert_array_equal(host(dist.probs), [[0.125, 0.375, 0.5], [0, 0, 1]])


@each_dtype
def test_logits_of_probs_are_clamped_by_the_eps_of_the_dtype_they_are_computed_in(
    dtype: str, array: Any, host: Any
) -> None:
    eps = float(np.finfo("float32" if dtype == "float16" else dtype).eps)
    dist = Categorical(array([[0, 2, 0], [eps / 4, 1, 1], [eps / 2, eps, 1]], dtype))
    # Not renormalised; and -eps, near enough, is not 0.
    assert_allclose(host(dist.logits)[0], np.log([eps, 1 - eps, eps]), rtol=np.finfo(dtype).eps)
    near(host(dist.logits)[1], np.log([eps, 0.5, 0.5]), ulps=1)
    near(host(dist.logits)[2], np.log([eps, eps, 1 - 1.5 * eps]), ulps=1)
    near(host(dist.log_prob([[0], [1]])), host(dist.logits)[:, :2].T, ulps=1)


@each_dtype
def test_logits_of_probs_unclamped(dtype: str, array: Any, host: Any) -> None:
    dist = Categorical(array([0, 1, 3, 0], dtype), clamp_probs=False)
    near(host(dist.logits)[1:3], np.log([0.25, 0.75]), ulps=1)
    assert_array_equal(host(dist.logits)[[0, 3]], [-np.inf, -np.inf])
    assert_array_equal(host(dist.log_prob([0, 3])), [-np.inf, -np.inf])
    assert_array_equal(host(Categorical(array([0, 1], dtype), clamp_probs=False).logits)[1], 0)


@each_dtype
@pytest.mark.parametrize("offset", [0, -1000, 1000])
def test_softmax_and_log_softmax(offset: int, dtype: str, array: Any, host: Any) -> None:
    steps = np.array([0, 1, 2, -np.inf, 4])
    dist = Categorical(logits=array(steps + offset, dtype))
    weights = np.exp(steps - 4)
    near(host(dist.probs), weights / weights.sum())
    near(host(dist.logits), steps - 4 - np.log(weights.sum()))
    assert host(dist.probs)[3] == 0
    assert host(dist.logits)[3] == -np.inf


@each_dtype
def test_logits_are_not_clamped(dtype: str, array: Any, host: Any) -> None:
    dist = Categorical(logits=array([0, -60000], dtype), clamp_probs=True)
    assert_array_equal(host(dist.logits), np.array([0, -60000], dtype))
    assert_array_equal(host(dist.probs), [1, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_further_apart_than_the_dtype_reaches(dtype: str, array: Any, host: Any) -> None:
    big = float(np.finfo(dtype).max)
    dist = Categorical(logits=array([big, -big, -np.inf, big], dtype))
    assert_array_equal(host(dist.probs), [0.5, 0, 0, 0.5])
    assert_array_equal(host(dist.logits)[1:3], [-np.inf, -np.inf])
    near(host(dist.log_prob([0, 3])), np.log([0.5, 0.5]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("place", ["smallest_subnormal", "smallest_normal", "max"])
def test_probs_of_any_magnitude(place: str, dtype: str, array: Any, host: Any) -> None:
    unit = float(getattr(np.finfo(dtype), place)) / (4 if place == "max" else 1)
    dist = Categorical(array([unit, 0, unit, 2 * unit], dtype))
    assert_array_equal(host(dist.probs), [0.25, 0, 0.25, 0.5])
    near(host(dist.log_prob(3)), math.log(0.5), ulps=1)
    assert_array_equal(host(dist.cdf([0, 1, 2, 3])), [0.25, 0.25, 0.5, 1])


# --- shapes

BATCHES: list[tuple[int, ...]] = [(), (1,), (3,), (0,), (2, 1), (2, 0, 3), (1, 2, 1, 3)]


def params_of(batch: tuple[int, ...], k: int = 3) -> Any:
    return 1.0 + np.arange(math.prod(batch) * k).reshape(*batch, k) % 7


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@each_form
def test_shapes(form: str, batch: tuple[int, ...], array: Any, device: Any) -> None:
    dist = categorical(form, array(params_of(batch)))
    assert dist.batch_shape == batch
    assert dist.event_shape == ()
    assert dist.param_shape == (*batch, 3)
    assert dist.num_categories == 3
    assert dist.support == range(3)
    assert str(dist.device) == str(device)
    shapes = {"probs": (*batch, 3), "logits": (*batch, 3), "enumerate_support": (3, *batch)}
    for name, member in MEMBERS.items():
        assert tuple(member(dist).shape) == shapes.get(name, batch), name


@pytest.mark.parametrize("dist", [Categorical(np.ones((2, 3))), Categorical([1.0]).expand((2, 2))])
def test_shapes_are_tuples_of_ints(dist: Categorical) -> None:
    for shape in (dist.batch_shape, dist.param_shape, dist.event_shape):
        assert type(shape) is tuple
        assert all(type(n) is int for n in shape)
    assert type(dist.num_categories) is int


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_one_category(batch: tuple[int, ...], array: Any, host: Any) -> None:
    dist = Categorical(array(np.full((*batch, 1), 3.0)), clamp_probs=False)
    expected = {
        "probs": 1,
        "prob": 1,
        "cdf": 1,
        "perplexity": 1,
        "mean": np.nan,
        "variance": np.nan,
    }
    for name in MEMBERS.keys() - {"prob", "log_prob", "cdf"}:
        result = host(MEMBERS[name](dist))
        assert_array_equal(result, np.full(result.shape, expected.get(name, 0)), err_msg=name)
    assert_array_equal(host(dist.log_prob(0)), np.zeros(batch))
    assert_array_equal(host(dist.cdf(0)), np.ones(batch))


# --- memory layouts, which are NumPy's


def unaligned(x: Any) -> Any:
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    raw[...] = x
    return raw


def read_only(x: Any) -> Any:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "Fortran": np.asfortranarray,
    "every other": lambda x: np.repeat(np.repeat(x, 2, 0), 2, -1)[::2, :, ::2],
    "backwards": lambda x: np.flip(x).copy()[::-1, ::-1, ::-1],
    "transposed": lambda x: np.moveaxis(np.moveaxis(x, 0, 1).copy(), 1, 0),
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": unaligned,
    "read-only": read_only,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@each_dtype
@each_form
def test_layouts(form: str, dtype: str, layout: str) -> None:
    params = LAYOUTS[layout](params_of((4, 5), 6).astype(dtype))
    before, writeable = params.copy(), params.flags.writeable
    dist = categorical(form, params)
    plain = categorical(form, np.ascontiguousarray(params, dtype))
    for name, member in MEMBERS.items():
        assert_array_equal(member(dist), member(plain), err_msg=name)
    assert_array_equal(params, before)
    assert params.flags.writeable == writeable


def test_the_parameter_is_not_copied() -> None:
    params = np.ones((2, 3))
    dist = Categorical(params)
    params[0] = [1, 0, 3]
    assert_array_equal(dist.probs[0], [0.25, 0, 0.75])


# --- expand

EXPANSIONS: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [
    (4, (), (4,)),
    (np.int64(4), (1,), (4,)),
    ((), (), ()),
    ((2, 3), (3,), (2, 3)),
    ([2, 3], (2, 1), (2, 3)),
    ((5, 2, 3), (2, 1), (5, 2, 3)),
    ((0, 3), (3,), (0, 3)),
    ((2, 0), (1,), (2, 0)),
    ((2, 3, 4), (2, 1, 4), (2, 3, 4)),
    (np.array([4, 2]), (2,), (4, 2)),
]


@pytest.mark.parametrize(("shape", "batch", "expected"), EXPANSIONS, ids=str)
@each_form
def test_expand(
    form: str, shape: Any, batch: tuple[int, ...], expected: tuple[int, ...], array: Any, host: Any
) -> None:
    params = params_of(batch)
    dist = categorical(form, array(params)).expand(shape)
    assert dist.batch_shape == expected
    assert dist.param_shape == (*expected, 3)
    copied = categorical(form, array(np.broadcast_to(params, (*expected, 3))))
    for name, member in MEMBERS.items():
        found, desired = host(member(dist)), host(member(copied))
        if found.dtype.kind == "f" and name not in ("mean", "variance"):
            assert found.shape == desired.shape, name
            near(found, desired, ulps=1)  # where vectors end is where roundings differ
        else:
            assert_array_equal(found, desired, err_msg=name)


@each_form
def test_expand_keeps_memory_laziness_and_what_is_known(form: str) -> None:
    dist = categorical(form, params_of((3,)))
    assert not {"probs", "logits"} & vars(dist.expand((2, 3))).keys()
    known = dist.probs
    both = dist.expand((2, 3))
    assert np.shares_memory(both.probs, known)
    assert both.probs.strides[0] == 0
    assert "logits" not in vars(both)
    assert np.shares_memory(both.logits[0], both.logits[1])
    assert "logits" not in vars(dist)


@each_form
def test_expand_shares_the_parameter(form: str) -> None:
    params = np.ones(3)
    dist = categorical(form, params).expand((10**9,)).expand((10**6, 10**9))
    assert dist.batch_shape == (10**6, 10**9)
    assert dist.probs.strides[:2] == (0, 0)  # nothing but a view could hold them
    assert dist.entropy().strides == (0, 0)
    assert dist.log_prob(1).strides == (0, 0)
    params[0] = 0
    again = dist.expand(dist.batch_shape)
    assert np.shares_memory(again[3, 4]._param, params)


def test_expand_keeps_options() -> None:
    dist = Categorical([0.0, 1.0], validate_args=False, clamp_probs=False).expand(2)
    assert_array_equal(dist.log_prob(0), [-np.inf, -np.inf])
    assert_array_equal(dist.log_prob(7), [-np.inf, -np.inf])


# --- indexing

INDICES: list[Any] = [
    0,
    -1,
    (),
    ...,
    None,
    slice(None),
    slice(1, None),
    (0, 1),
    (..., 0),
    (0, ..., None),
    (slice(None), None, 2),
    (slice(0, 0),),
    (1, slice(None, None, 2)),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
@each_form
def test_indexing(form: str, index: Any, array: Any, host: Any) -> None:
    params = params_of((2, 3, 1))
    dist = categorical(form, array(params))
    part = dist[index]
    assert not {"probs", "logits"} & vars(part).keys()
    numbers = np.arange(6).reshape(2, 3, 1)[index]
    assert part.batch_shape == numbers.shape
    copied = categorical(form, array(params.reshape(6, 3)[numbers]))
    near(host(part.probs), host(copied.probs), ulps=1)
    near(host(part.log_prob(1)), host(copied.log_prob(1)), ulps=1)
    assert_array_equal(host(part.icdf(0.4)), host(copied.icdf(0.4)))
    assert tuple(part.sample(2, rng=0).shape) == (2, *numbers.shape)


@pytest.mark.parametrize("index", [*INDICES, slice(None, None, -1)], ids=str)
@each_form
def test_indexing_gives_views(form: str, index: Any) -> None:
    params = params_of((2, 3, 1))
    part = categorical(form, params)[index]
    assert_array_equal(part._param, params.reshape(6, 3)[np.arange(6).reshape(2, 3, 1)[index]])
    assert part._param.size == 0 or np.shares_memory(part._param, params)


@pytest.mark.parametrize("index", [[0, 1, 1], np.array([True, False]), np.array([[1], [0]])])
def test_indexing_with_arrays(index: Any) -> None:
    params = params_of((2, 3))
    part = Categorical(params)[index]
    assert part.batch_shape == np.empty((2, 3))[index].shape
    assert_array_equal(part.probs, Categorical(params[index]).probs)


@pytest.mark.parametrize("index", [2, (0, 3), (0, 0, 0), (0, 0, slice(None)), (..., 0, 0, 0)])
def test_no_index_reaches_the_categories(index: Any, array: Any) -> None:
    with pytest.raises(IndexError):
        Categorical(array(params_of((2, 3))))[index]


def test_iteration(array: Any, host: Any) -> None:
    dist = Categorical(array(params_of((3, 2))))
    rows = list(dist)
    assert [row.batch_shape for row in rows] == [(2,)] * 3
    assert_array_equal(np.stack([host(row.probs) for row in rows]), host(dist.probs))


def test_an_expanded_distribution_can_be_indexed(array: Any, host: Any) -> None:
    dist = Categorical(array(params_of((3,)))).expand((2, 3))
    assert_array_equal(host(dist[1].probs), host(dist.probs)[1])
    assert_array_equal(host(dist[:, 2].probs), host(dist.probs)[:, 2])


INDICES: list[Any] = [
    (0, slice(1, 500)),
    (slice(None, 2), None, slice(None, None, 2)),
    (slice(0, 0), 5),
    (..., slice(7, 8)),
]


@pytest.mark.parametrize("shape", [(), (3, 1), (1, 1000), (3, 1000)])
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_parts_of_an_expanded_distribution(
    index: Any, shape: tuple[int, ...], array: Any, host: Any
) -> None:
    """What the parameters do not repeat is selected, and they are not repeated for it."""
    params = array(np.random.default_rng(0).random((*shape, 3)))
    part = Categorical(params).expand((3, 1000))[index]
    whole = Categorical(np.broadcast_to(host(params), (3, 1000, 3)).copy())[index]
    assert part.batch_shape == whole.batch_shape
    assert_array_equal(host(part.sample(4, rng=0)), whole.sample(4, rng=0))
    near(host(part.probs), whole.probs, ulps=2)


@each_library
def test_parts_of_an_expanded_distribution_repeat_no_parameters(library: str) -> None:
    dist = Categorical(put(np.ones(3), library)).expand((2, 1000))
    if library in ("numpy", "torch"):  # others take no lists
        assert dist[1:, [1, 2]].batch_shape == (1, 2)
    assert dist[:, 10:500]._param.shape == (1, 1, 3)
    assert dist[0, ::2]._param.shape == (1, 3)
    assert dist[0, 1]._param.shape == (3,)
    rows = Categorical(np.ones((2, 1, 3))).expand((2, 1000))[:, 10:]
    assert rows._param.shape == (2, 1, 3)
    assert rows.probs.strides[1] == 0


@each_library
def test_a_huge_expanded_distribution_can_be_indexed(library: str) -> None:
    """Also after its probabilities are read, and in libraries that have no views."""
    one = Categorical(put(np.ones(1000), library))
    assert one.probs.shape == one.logits.shape == (1000,)
    part = one.expand((10**9, 5))[3:5, 2]
    assert part.probs.shape == (2, 1000)
    assert one.expand((5, 10**9))[np.int64(2), ..., None, -1:].batch_shape == (1, 1)


def test_a_subclass_stays_one() -> None:
    class Mine(Categorical):
        pass

    dist = Mine(np.ones((2, 3)))
    assert type(dist[0]) is Mine
    assert type(dist.expand((4, 2))) is Mine
    assert repr(dist).startswith("Mine(")

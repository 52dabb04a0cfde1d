"""log_prob, prob, cdf and icdf."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from anycat import Categorical

INF, NAN = math.inf, math.nan
WEIGHTS = np.array([[1.0, 2.0, 5.0], [4.0, 0.0, 4.0]])  # eighths
PROBS = WEIGHTS / 8
FUNCTIONS = ["log_prob", "prob", "cdf", "icdf"]

each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_function = pytest.mark.parametrize("function", FUNCTIONS)


def categorical(form: str, array: Any, weights: Any = WEIGHTS, **options: Any) -> Categorical:
    """Return the same distribution in either form."""
    with np.errstate(divide="ignore"):
        params = weights if form == "probs" else np.log(weights)
    return Categorical(**{form: array(params)}, clamp_probs=False, **options)


def check(actual: Any, desired: Any) -> None:
    np.testing.assert_allclose(actual, desired, rtol=1e-15, atol=1e-15)
    assert actual.shape == np.shape(desired)


# --- broadcasting

SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [  # of the batch, of values
    ((), ()),
    ((), (3,)),
    ((), (2, 0)),
    ((1,), ()),
    ((2,), ()),
    ((2,), (2,)),
    ((2,), (1,)),
    ((2,), (4, 1)),
    ((2,), (5, 4, 2)),
    ((2,), (0, 2)),
    ((3, 1), (2,)),
    ((3, 1), (4, 1, 2)),
    ((2, 3), (1, 1, 1)),
    ((0,), ()),
    ((0,), (1,)),
    ((0,), (3, 1)),
    ((2, 0), (2, 1)),
    ((4, 1, 2), (3, 1)),
]


@pytest.mark.parametrize(("batch", "shape"), SHAPES, ids=str)
@each_form
def test_values_broadcast_with_the_batch(
    form: str, batch: tuple[int, ...], shape: tuple[int, ...], array: Any, host: Any
) -> None:
    random = np.random.default_rng(3)
    weights = random.integers(1, 9, (*batch, 4)).astype(float)
    value = random.integers(0, 4, shape)
    dist = categorical(form, array, weights)

    whole = np.broadcast_shapes(batch, shape)
    p = np.broadcast_to(weights / weights.sum(-1, keepdims=True), (*whole, 4))
    index = np.broadcast_to(value, whole)[..., None]
    desired = np.take_along_axis(p, index, -1)[..., 0]
    ends = np.take_along_axis(p.cumsum(-1), index, -1)[..., 0]

    check(host(dist.prob(array(value, "int64"))), desired)
    check(host(dist.log_prob(array(value, "int64"))), np.log(desired))
    check(host(dist.cdf(array(value, "int64"))), ends)
    quantiles = array(np.broadcast_to(0.5, shape))
    medians = (p.cumsum(-1) < 0.5 - 1e-12).sum(-1)
    assert_array_equal(host(dist.icdf(quantiles)), medians)


@each_function
def test_values_broadcast_with_an_expanded_batch(function: str, array: Any, host: Any) -> None:
    dist = Categorical(array(WEIGHTS)).expand((3, 2))
    found = host(getattr(dist, function)(array([[0.0], [1.0], [1.0]])))
    assert found.shape == (3, 2)
    for row, value in zip(found, [0, 1, 1], strict=True):
        assert_array_equal(row, host(getattr(Categorical(array(WEIGHTS)), function)(value)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("batch", "shape"),
    [
        ((), ()),
        ((), (3,)),
        ((1,), (1,)),
        ((1,), (2,)),
        ((2,), (2,)),
        ((2,), (1,)),
        ((3, 2), (3, 2)),
        ((3, 2), (1, 2)),
        ((3, 1), (3, 2)),
        ((3, 2), (4, 3, 2)),
    ],
)
def test_inverse_of_many(
    batch: tuple[int, ...], shape: tuple[int, ...], dtype: str, xp: Any, array: Any, host: Any
) -> None:
    """It is the first category whose `cdf` is not below, also of equal ones, for any layout."""
    random = np.random.default_rng(len(shape))
    weights = random.integers(0, 3, (*batch, 50)) + 1e-9 * (random.random((*batch, 50)) < 0.1)
    weights[..., 7] = 1
    dist = Categorical(array(weights, dtype))
    cdf = np.asarray(host(dist.cdf(array(np.arange(50).reshape(-1, *(1,) * len(batch))))), dtype)
    q = random.random((40, *shape)).astype(dtype)
    q[::4] = random.choice(cdf.reshape(-1), q[::4].shape)
    q[1], q[2] = 0, 1
    below = cdf.reshape(50, *(1,) * (q.ndim - len(batch)), *batch) < q
    assert_array_equal(host(dist.icdf(array(q, dtype))), below.sum(0))
    turned = np.ascontiguousarray(np.moveaxis(q, 0, -1))
    assert_array_equal(host(dist.icdf(xp.moveaxis(array(turned, dtype), -1, 0))), below.sum(0))


@pytest.mark.parametrize(
    ("batch", "shape"),
    [((0,), (5, 0)), ((0,), (0,)), ((2,), (0, 2)), ((), (0,)), ((4, 0), (7, 4, 0))],
)
def test_inverse_of_nothing(batch: tuple[int, ...], shape: tuple[int, ...], array: Any) -> None:
    assert Categorical(array(np.ones((*batch, 3)))).icdf(array(np.ones(shape))).shape == shape


VALUES: list[Any] = [
    1,
    1.0,
    True,
    [1],
    [1, 0],
    (1.0, 0.0),
    [[True, False]],
    [[0], [1]],
    [],
    -0.0,
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_numbers_and_lists(value: Any, array: Any, host: Any) -> None:
    dist = categorical("probs", array, WEIGHTS[0])
    index = np.asarray(value).astype(int)
    check(host(dist.prob(value)), PROBS[0][index])
    check(host(dist.log_prob(value)), np.log(PROBS[0][index]))
    check(host(dist.cdf(value)), PROBS[0].cumsum()[index])
    assert_array_equal(host(dist.icdf(value)), np.array([0, 2])[index])


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES += ["float16", "float32", "float64"]


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("categories", [3, 300, 100_000])  # more than some dtypes can tell
def test_values_of_any_dtype(
    categories: int, dtype: str, validate: bool, array: Any, host: Any
) -> None:
    weights = np.arange(1.0, categories + 1)
    dist = categorical("probs", array, weights, validate_args=validate)
    value = array([0, 1, 1], dtype)
    p, total = weights[[0, 1, 1]], weights.sum()
    check(host(dist.prob(value)), p / total)
    check(host(dist.log_prob(value)), np.log(p / total))
    check(host(dist.cdf(value)), np.array([1, 3, 3]) / total)
    check(host(dist.icdf(value)), np.array([0, categories - 1, categories - 1]))


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64"])
def test_the_last_of_very_many_categories(dtype: str) -> None:
    categories = 2**24 + 3  # beyond what float32 can count
    dist = Categorical(np.broadcast_to(np.float32(1), categories))
    value = np.array([categories - 2, categories - 1], dtype)
    np.testing.assert_allclose(dist.prob(value), 1 / categories, rtol=1e-6)
    np.testing.assert_array_equal(dist.cdf(value)[1], 1)
    with pytest.raises(ValueError, match=rf"value\[1\] is {categories}$"):
        dist.log_prob(value + np.array(1, dtype))


def test_values_of_another_byte_order() -> None:
    dist = Categorical(WEIGHTS)
    for dtype in (">i2", "<i2", ">f4", "<f4"):
        assert_array_equal(dist.prob(np.array([1, 2], dtype)), [0.25, 0.5])


# --- values that are no category

NO_CATEGORY = [-INF, -1, -0.5, 0.5, 1.999, 3, 1e30, INF, NAN]


@each_form
def test_no_category_without_checks(form: str, array: Any, host: Any) -> None:
    dist = categorical(form, array, validate_args=False)
    value = array([[x] for x in [*NO_CATEGORY, 2.0]])
    found = host(dist.log_prob(value))
    assert_array_equal(found[:-1], np.full((len(NO_CATEGORY), 2), -INF))
    check(found[-1], np.log(PROBS[:, 2]))
    found = host(dist.prob(value))
    assert_array_equal(found[:-1], np.zeros((len(NO_CATEGORY), 2)))
    check(found[-1], PROBS[:, 2])


@pytest.mark.parametrize(
    ("dtype", "value"), [("int64", [-1, 3, -(2**63), 2**63 - 1]), ("uint64", [3, 2**63, 2**64 - 1])]
)
def test_integers_that_are_no_category_without_checks(
    dtype: str, value: list[int], array: Any, host: Any
) -> None:
    dist = categorical("probs", array, WEIGHTS[0], validate_args=False)
    assert_array_equal(host(dist.log_prob(array(value, dtype))), np.full(len(value), -INF))
    assert_array_equal(host(dist.prob(array(value, dtype))), np.zeros(len(value)))


# --- cdf


@each_form
@pytest.mark.parametrize("validate", [True, False])
def test_cdf_of_any_number(validate: bool, form: str, array: Any, host: Any) -> None:
    dist = categorical(form, array, validate_args=validate)
    x = [-INF, -1e-9, 0, 0.999, 1, 1.5, 2, 2.5, 3, 1e30, INF, NAN]
    a, b = PROBS.cumsum(-1)
    desired = [[0, 0, *r[[0, 0, 1, 1]], *[1] * 5, NAN] for r in (a, b)]
    check(host(dist.cdf(array(x)[:, None])), np.array(desired).T)


@pytest.mark.parametrize(
    ("dtype", "value", "desired"),
    [
        ("int64", [-1, -(2**63), 3, 2**63 - 1], [0, 0, 1, 1]),
        ("uint64", [3, 2**63, 2**64 - 1], [1, 1, 1]),
        ("int8", [-128, 127], [0, 1]),
    ],
)
def test_cdf_of_any_integer(
    dtype: str, value: list[int], desired: list[int], array: Any, host: Any
) -> None:
    dist = categorical("probs", array, WEIGHTS[0])
    assert_array_equal(host(dist.cdf(array(value, dtype))), desired)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@each_form
def test_cdf_ends_in_one_and_does_not_fall(form: str, dtype: str, array: Any, host: Any) -> None:
    weights = np.random.default_rng(8).random((20, 300)).astype(dtype)
    weights[:, 290:] = 0 if form == "probs" else -INF
    dist = Categorical(**{form: array(weights, dtype)})
    ends = host(dist.cdf(np.arange(300)[:, None].tolist()))
    assert_array_equal(ends[289:], np.ones_like(ends[289:]))
    assert (np.diff(ends.astype(float), axis=0) >= 0).all()


# --- icdf


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@each_form
def test_icdf_is_the_first_category_of_a_cdf(form: str, dtype: str, array: Any, host: Any) -> None:
    weights = np.random.default_rng(9).random((5, 12)).astype(dtype)
    weights[:, [0, 3, 4, 11]] = 0 if form == "probs" else -INF
    dist = Categorical(**{form: array(weights, dtype)})
    categories = np.arange(12)[:, None].tolist()
    ends = dist.cdf(categories)
    found = host(dist.icdf(ends))
    e = host(ends)
    desired = [[np.flatnonzero(e[:, r] >= x)[0] for r, x in enumerate(row)] for row in e]
    assert_array_equal(found, desired)


def test_icdf_by_hand(array: Any, host: Any) -> None:
    dist = categorical("probs", array)
    q = [0, 0.1, 0.125, 0.2, 0.375, 0.376, 0.5, 0.51, 1]
    desired = [[0, 0, 0, 1, 1, 2, 2, 2, 2], [0, 0, 0, 0, 0, 0, 0, 2, 2]]
    assert_array_equal(host(dist.icdf(array(q)[:, None])), np.array(desired).T)


def test_icdf_without_checks(array: Any, host: Any) -> None:
    dist = categorical("probs", array, validate_args=False)
    found = host(dist.icdf(array([[NAN], [-0.1], [1.1], [INF], [0.51]])))
    assert_array_equal(found, [[-1, -1]] * 4 + [[2, 2]])


@pytest.mark.parametrize("layout", [np.asfortranarray, np.ascontiguousarray])
def test_icdf_of_a_transposed_parameter(layout: Any, xp: Any, array: Any, host: Any) -> None:
    params = np.random.default_rng(0).random((4, 3, 5))
    dist = Categorical(xp.permute_dims(array(params), (1, 0, 2)))
    q = xp.permute_dims(array(layout(np.linspace(0, 1, 24).reshape(2, 4, 3))), (0, 2, 1))
    plain = Categorical(params.transpose(1, 0, 2).copy())
    assert_array_equal(host(dist.icdf(q)), plain.icdf(host(q).copy()))


# --- gradients


def test_gradients() -> None:
    torch = pytest.importorskip("torch")
    for form in ("probs", "logits"):
        params = torch.tensor([[0.5, 0.3, 0.7], [1.0, 2.0, 0.1]], requires_grad=True)
        dist = Categorical(**{form: params}, clamp_probs=False)
        peer = torch.distributions.Categorical(**{form: params})
        assert dist.sample((4,), rng=0).shape == (4, 2)
        for mine, other in [
            (dist.log_prob([0, 2]), peer.log_prob(torch.tensor([0, 2]))),
            (dist.entropy(), peer.entropy()),
        ]:
            (found,), (desired,) = (
                torch.autograd.grad(x.sum(), params, retain_graph=True) for x in (mine, other)
            )
            torch.testing.assert_close(found, desired)


@each_form
def test_gradients_beside_zeros(form: str) -> None:
    torch = pytest.importorskip("torch")
    zero = 0.0 if form == "probs" else -INF
    params = torch.tensor([0.5, zero, 0.25], requires_grad=True)
    dist = Categorical(**{form: params}, clamp_probs=False)
    for result in (dist.entropy(), dist.log_prob(0), dist.prob(0), dist.perplexity()):
        (gradient,) = torch.autograd.grad(result, params, retain_graph=True)
        assert torch.isfinite(gradient).all()


def test_log_prob_of_bfloat16_values() -> None:
    """NumPy does not know their kind: that they are whole must be checked all the same."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    dist = Categorical(np.array([0.25, 0.5, 0.25]))
    np.testing.assert_array_equal(
        dist.log_prob(np.array([2, 1], bfloat16)), dist.log_prob(np.array([2, 1]))
    )
    with pytest.raises(ValueError, match=r"whole numbers from 0 to 2; value\[1\] is 1.5"):
        dist.log_prob(np.array([2, 1.5], bfloat16))

"""entropy, perplexity, mode, mean, variance, enumerate_support, kl_divergence."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from anycat import Categorical, kl_divergence
from anycat._backends import registry
from anycat._backends.base import Backend

INF = math.inf
FORMS = ["probs", "logits"]

each_form = pytest.mark.parametrize("form", FORMS)
each_dtype = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])


def categorical(form: str, array: Any, weights: Any, dtype: str = "float64") -> Categorical:
    """Return the same distribution in either form."""
    with np.errstate(divide="ignore"):
        params = np.asarray(weights, float) if form == "probs" else np.log(weights)
    return Categorical(**{form: array(params, dtype)})


# --- entropy and perplexity


@each_dtype
@each_form
def test_entropy_with_zeros(form: str, dtype: str, array: Any, host: Any) -> None:
    dist = categorical(form, array, [[1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]], dtype)
    rtol = 2 * np.finfo(dtype).eps
    assert_allclose(host(dist.entropy()), np.log([1, 2, 4]), rtol=rtol)
    assert_allclose(host(dist.perplexity()), [1, 2, 4], rtol=rtol)
    assert not np.signbit(host(dist.entropy())).any()


@each_form
def test_entropy_is_not_of_clamped_probs(form: str, array: Any, host: Any) -> None:
    dist = categorical(form, array, [1e-30, 1.0], "float32")
    assert_allclose(host(dist.entropy()), 1e-30 * math.log(1e30), rtol=1e-5)


@pytest.mark.parametrize("size", [7, 1000, 5000])
def test_half_precision_is_computed_in_single(size: int, array: Any, host: Any) -> None:
    weights = np.random.default_rng(1).random(size).astype("float16")
    dist = Categorical(array(weights, "float16"))
    p = weights.astype(float) / weights.sum(dtype=float)
    entropy = -(p * np.log(p, where=p > 0, out=np.zeros(size))).sum()
    half_an_ulp = 0.51 * np.finfo("float16").eps
    assert_allclose(host(dist.entropy()), entropy, rtol=half_an_ulp)
    assert_allclose(host(dist.perplexity()), np.exp(entropy), rtol=half_an_ulp)
    clamped = p.clip(2.0**-23, 1 - 2.0**-23)
    assert_allclose(host(dist.logits), np.log(clamped), rtol=half_an_ulp)
    assert_allclose(host(dist.probs), p, rtol=half_an_ulp, atol=2.0**-25)
    assert_allclose(host(dist.cdf(list(range(size)))), p.cumsum(), rtol=half_an_ulp, atol=2.0**-25)


# --- mode, mean, variance, enumerate_support


@each_form
def test_mode_is_the_first_of_the_largest(form: str, array: Any, host: Any) -> None:
    dist = categorical(form, array, [[1, 3, 2], [2, 1, 2], [0, 0, 5]])
    assert_array_equal(host(dist.mode), [1, 0, 2])
    assert_array_equal(host(dist.expand((2, 3)).mode), [[1, 0, 2]] * 2)


def test_mode_of_booleans(array: Any, host: Any) -> None:
    assert_array_equal(host(Categorical(array([[0, 1, 1], [1, 0, 0]], "bool")).mode), [1, 0])


@each_dtype
def test_mean_and_variance_are_nan(dtype: str, array: Any, host: Any) -> None:
    dist = Categorical(array([[0.5, 0.5]], dtype)).expand((3, 2))
    for result in (dist.mean, dist.variance):
        assert host(result).dtype == dtype
        assert_array_equal(host(result), np.full((3, 2), np.nan))


@pytest.mark.parametrize("batch", [(), (2,), (0,), (3, 1)], ids=str)
def test_enumerate_support(batch: tuple[int, ...], array: Any, host: Any) -> None:
    dist = Categorical(array(np.ones((*batch, 4))))
    column = np.arange(4).reshape(4, *(1 for _ in batch))
    assert_array_equal(host(dist.enumerate_support(expand=False)), column)
    whole = host(dist.enumerate_support())
    assert_array_equal(whole, np.broadcast_to(column, (4, *batch)))
    assert whole.dtype == np.int64
    assert_array_equal(host(dist.prob(dist.enumerate_support())), np.full((4, *batch), 0.25))


# --- cdf of many categories


@pytest.mark.parametrize("kernels", [True, False])
def test_cdf_of_many_categories(
    kernels: bool, array: Any, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is accumulated in the widest dtype, as rounding errors would add up."""
    if not kernels:
        monkeypatch.setattr(Backend, "compute", lambda *_: None)
    x, value = np.random.default_rng(2).random(10**6, np.float32), np.arange(10**6)
    exact = np.cumsum(x, dtype=float) / x.sum(dtype=float)
    for form, params, error in (("probs", x, 1e-7), ("logits", np.log(x), 1e-6)):
        cdf = Categorical(**{form: array(params, "float32")}).cdf(array(value, "int64"))
        assert_allclose(host(cdf), exact, rtol=0, atol=error)


def test_sums_are_in_the_widest_dtype(array: Any, host: Any) -> None:
    """PyTorch's are so on the CPU in any case; not on other devices."""
    x = array([1, 2, 3], "float32")
    assert host(registry.backend_of(x).cumulative_sum(x)).dtype == np.float64


# --- kl_divergence


@pytest.mark.parametrize("form_q", FORMS)
@pytest.mark.parametrize("form_p", FORMS)
def test_kl_divergence_by_hand(form_p: str, form_q: str, array: Any, host: Any) -> None:
    p = categorical(form_p, array, [[1, 1, 0], [1, 1, 2], [0, 0, 1], [1, 1, 0]])
    q = categorical(form_q, array, [[1, 3, 0], [0, 1, 1], [1, 1, 2], [1, 1, 0]])
    desired = [0.5 * math.log(4 / 3), INF, math.log(2), 0]
    assert_allclose(host(kl_divergence(p, q)), desired, rtol=1e-14, atol=1e-15)


@each_form
def test_kl_divergence_of_itself_is_zero(form: str, array: Any, host: Any) -> None:
    dist = categorical(form, array, [[1, 2, 0], [5, 1, 1]])
    assert_array_equal(host(kl_divergence(dist, dist)), [0, 0])


@pytest.mark.parametrize(
    ("batch_p", "batch_q", "whole"),
    [
        ((), (), ()),
        ((3,), (), (3,)),
        ((), (2, 3), (2, 3)),
        ((2, 1), (3,), (2, 3)),
        ((0,), (1,), (0,)),
        ((4, 1, 1), (2, 3), (4, 2, 3)),
    ],
    ids=str,
)
@each_form
def test_kl_divergence_broadcasts(
    form: str, batch_p: Any, batch_q: Any, whole: Any, array: Any, host: Any
) -> None:
    random = np.random.default_rng(4)
    a, b = (random.integers(1, 9, (*batch, 3)) for batch in (batch_p, batch_q))
    found = kl_divergence(categorical(form, array, a), categorical(form, array, b))
    p, q = (x / x.sum(-1, keepdims=True) for x in (a, b))
    assert_allclose(host(found), (p * np.log(p / q)).sum(-1), rtol=1e-13, atol=1e-15)
    assert tuple(found.shape) == whole


def test_kl_divergence_of_expanded_ones(array: Any, host: Any) -> None:
    p, q = Categorical(array([1.0, 1.0])), Categorical(array([[1.0, 3.0], [1.0, 1.0]]))
    found = host(kl_divergence(p.expand(2), q.expand((3, 2))))
    assert_allclose(found, [[0.5 * math.log(4 / 3), 0]] * 3, rtol=1e-14)


@pytest.mark.parametrize(
    ("dtype_p", "dtype_q", "dtype"),
    [
        ("float32", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("float64", "float32", "float64"),
        ("float16", "float32", "float32"),
        ("float16", "float16", "float16"),
        ("int64", "float64", "float64"),
    ],
)
def test_kl_divergence_of_two_dtypes(
    dtype_p: str, dtype_q: str, dtype: str, array: Any, host: Any
) -> None:
    p, q = Categorical(array([1, 1, 0], dtype_p)), Categorical(array([1, 3, 4], dtype_q))
    found = host(kl_divergence(p, q))
    assert found.dtype == dtype
    eps = max(np.finfo(host(dist.mean).dtype).eps for dist in (p, q))  # of what is known of both
    assert_allclose(found, 0.5 * math.log(16 / 3), rtol=2 * eps)


def test_kl_divergence_is_infinite_for_zeros_alone(array: Any, host: Any) -> None:
    # The ratio of the weights of q is too small for float32; its logarithm is not.
    p, q = (Categorical(array(w, "float32")) for w in ([1, 1], [1e-30, 1e30]))
    assert_allclose(host(kl_divergence(p, q)), 60 * math.log(10) / 2 - math.log(2), rtol=1e-6)

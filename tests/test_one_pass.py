"""Kernels that look at arrays in one pass agree with the array-API operations."""

from __future__ import annotations

import pickle
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rows

from anycat import Categorical
from anycat._backends.numpy import NumPyBackend
from anycat._kernels import SMALL_MAX_SIZE, cpu

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]
SHAPES = [(1,), (3, 1), (40, 5), (2, 33, 7), (70, 32), (5, 33), (3, 4097), (1, 9000), (2, 3, 513)]
DTYPES = [np.float16, np.float32, np.float64]


def both(monkeypatch: pytest.MonkeyPatch, function: Callable[[], Any]) -> tuple[Any, Any]:
    """Return the result of a function with kernels, and without."""
    ours = function()
    with monkeypatch.context() as patch:
        patch.setattr(NumPyBackend, "on_cpu", lambda *_: None)
        return ours, function()


FORMS = ["probs", "logits"]


def params_of(form: str, kind: str, shape: tuple[int, ...], dtype: Any) -> Array:
    x = logits_of(kind, shape, np.float64)
    if kind == "far" and form == "logits" and dtype != np.float16:
        x -= 3e6
    if form == "probs":
        x = np.exp(x - 15) if kind != "far" else np.exp(x + 980)
        x[..., 0] += 0.01  # as narrow dtypes know no smaller ones, so that no row is invalid
    return x.astype(dtype)


def logits_of(kind: str, shape: tuple[int, ...], dtype: Any) -> Array:
    x = np.random.default_rng(len(shape)).normal(0, 5, shape)
    if kind == "masked":
        x[..., 1::2] = -np.inf
    if kind == "far":
        x -= 1000
    if kind == "even":  # whose sums are the largest
        x *= 1e-3
    if kind == "rising":  # each tile has a larger logit than the one before
        x = np.sort(x, -1)
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["plain", "masked", "far", "rising", "even"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("validate", [False, True])
def test_values(
    monkeypatch: pytest.MonkeyPatch, form: str, kind: str, shape: Any, dtype: Any, validate: bool
) -> None:
    x = params_of(form, kind, shape, dtype)
    value = np.random.default_rng(0).integers(0, shape[-1], shape[:-1])
    for member in ("log_prob", "entropy", "logits", "probs"):

        def ask(member: str = member) -> Any:
            found = getattr(Categorical(**{form: x}, validate_args=validate), member)
            return found(value) if member == "log_prob" else found() if callable(found) else found

        ours, reference = both(monkeypatch, ask)
        assert ours.dtype == reference.dtype
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(ours, reference, rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize(
    ("shape", "value"),
    [((7,), v) for v in ((), (2,), (3, 5))] + [((3, 5, 7), v) for v in ((), (3, 5), (4, 3, 5))],
)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float64])
@pytest.mark.parametrize(("wrong", "place"), [(None, 0), *product([-1, 7, 2**31 - 1], [0, 0.5, 1])])
def test_where_values_are_looked_up(
    monkeypatch: pytest.MonkeyPatch,
    shape: Any,
    value: Any,
    dtype: Any,
    wrong: int | None,
    place: float,
) -> None:
    x = logits_of("plain", shape, np.float32)
    v = np.random.default_rng(1).integers(0, 7, value).astype(dtype)
    if wrong is not None:
        v.reshape(-1)[int(place * (v.size - 1))] = wrong
    for validate in (False, True):
        dist = Categorical(logits=x, validate_args=validate)

        def ask(dist: Categorical = dist) -> Any:
            try:
                return dist.expand(dist.batch_shape).log_prob(v)
            except ValueError as error:
                return str(error)

        ours, reference = both(monkeypatch, ask)
        if validate and wrong is not None:
            assert f" is {wrong}" in ours
            assert ours == reference
        else:
            np.testing.assert_allclose(ours, reference, rtol=1e-6, atol=1e-6)
            assert np.isneginf(ours).any() == (wrong is not None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sure_category_is_sure(dtype: Any) -> None:
    x = np.full((50, 9000), -np.inf, dtype)
    sure = np.arange(50) * 150
    x[np.arange(50), sure] = np.random.default_rng(0).normal(0, 100, 50)
    dist = Categorical(logits=x)
    assert (dist.log_prob(sure) == 0).all()
    assert (np.abs(dist.entropy()) <= 1e-25).all()


@pytest.mark.parametrize("form", FORMS)
def test_values_do_not_depend_on_how_a_distribution_was_made(form: str) -> None:
    x = params_of(form, "plain", (6, 9000), np.float32)
    dist = Categorical(**{form: x})
    value = x.argmax(-1)
    expected = dist.log_prob(value)
    unchecked = Categorical(**{form: x}, validate_args=False)
    part = Categorical(**{form: x})[:4]
    part.sample()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dist)).log_prob(value), expected)
    np.testing.assert_array_equal(unchecked.log_prob(value), expected)
    np.testing.assert_array_equal(part.log_prob(value[:4]), expected[:4])


def test_a_sum_that_is_barely_finite() -> None:
    x = np.zeros(20000, np.float32)
    x[0], x[[8, 16]] = np.finfo(np.float32).max, 2.0**102  # rounded up from the exact sum
    assert Categorical(x).prob(0) == 1


@pytest.mark.parametrize("layout", ["F", "strided"])
def test_arrays_that_are_not_contiguous(monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    x = logits_of("plain", (60, 40), np.float32)
    x = np.asfortranarray(x) if layout == "F" else x[::-2, ::3]
    ours, reference = both(monkeypatch, lambda: Categorical(logits=x).entropy())
    np.testing.assert_allclose(ours, reference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads(threads: int) -> None:
    x = logits_of("plain", (101, 30), np.float64)
    x[67, 3] = np.nan
    with rows.threads(threads):
        assert not cpu.rows_valid(x, True, {})
        entropy = cpu.entropy(x, True, {})
    np.testing.assert_allclose(entropy[:67], Categorical(logits=x[:67]).entropy(), rtol=1e-14)
    assert np.isnan(entropy).nonzero()[0].tolist() == [67]


ALL_ONES = "a NaN with all of its bits set"
BAD = [
    ("probs", -1.0),
    ("probs", np.nan),
    ("probs", -np.nan),
    ("probs", ALL_ONES),
    ("probs", np.inf),
    ("probs", -np.inf),
    ("probs", -1e-45),
    ("logits", np.nan),
    ("logits", -np.nan),
    ("logits", ALL_ONES),
    ("logits", np.inf),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(50, 4), (3, 100), (2, 5000)])
@pytest.mark.parametrize(("form", "value"), BAD)
def test_a_bad_value_is_seen_wherever_it_is(form: str, value: Any, shape: Any, dtype: Any) -> None:
    x = np.random.default_rng(0).random(shape).astype(dtype)
    if value is ALL_ONES:
        value = np.full(x.itemsize, -1, np.int8).view(dtype)[0]
    assert cpu.rows_valid(x, form == "logits", {})
    for place in [(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, 1)]:
        bad = x.copy()
        bad[place] = value
        assert not cpu.rows_valid(bad, form == "logits", {})
        with pytest.raises(ValueError, match=rf"{form}\[{place[0]}, {place[1]}\] is"):
            Categorical(**{form: np.tile(bad, (1 + SMALL_MAX_SIZE // bad.size, 1))})


@pytest.mark.parametrize("shape", [(50, 4), (3, 100), (2, 5000)])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_invalid_rows(form: str, shape: tuple[int, int]) -> None:
    logits = form == "logits"
    no_weight = -np.inf if logits else 0.0
    x = np.random.default_rng(0).random(shape)
    x[:, 1:] = no_weight
    assert cpu.rows_valid(x, logits, {})
    x[shape[0] // 2] = no_weight
    assert not cpu.rows_valid(x, logits, {})


def test_a_sum_that_may_overflow_is_left_to_the_array_api() -> None:
    x = np.full((2, 4), 1e38, np.float32)
    assert not cpu.rows_valid(x, False, {})
    with pytest.raises(ValueError, match="finite"):
        Categorical(np.repeat(x, SMALL_MAX_SIZE, 0))


@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_no_row_is_valid_that_the_array_api_refuses(
    monkeypatch: pytest.MonkeyPatch, form: str, kind: str
) -> None:
    """It refuses a row with one invalid value, or without weight, among hard ones."""
    logits, no_weight = form == "logits", -np.inf if form == "logits" else 0.0
    for method in ("on_cpu", "small"):
        monkeypatch.setattr(NumPyBackend, method, lambda *_: None)
    values = [value for f, value in BAD if f == form and value is not ALL_ONES]
    for shape, dtype in product([(70, 9), (3, 300), (2, 5000)], (np.float32, np.float64)):
        for value in (*values, no_weight):
            x = rows.make(form, kind, shape, dtype)
            row = x[shape[0] // 2]
            row[slice(None) if value == no_weight else shape[1] // 2] = value
            assert not cpu.rows_valid(x, logits, {})
            with pytest.raises(ValueError, match=form):
                Categorical(**{form: x})

"""Rows that are no distribution, unchecked: the same answers at every size, in every library."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from libraries import each_library, get, put

from anycat import Categorical, kl_divergence

if TYPE_CHECKING:
    from collections.abc import Callable

    Member = Callable[[Any, Any], Any]

Array = np.ndarray[Any, Any]
inf, nan = np.inf, np.nan

VALID: dict[str, list[float]] = {"probs": [1, 2, 1], "logits": [1, -inf, 0]}
INVALID: dict[str, list[list[float]]] = {
    "probs": [
        *([1, nan, 2], [nan, nan, nan]),
        *([1, inf, 2], [inf, inf, inf], [inf, -inf, 1]),
        *([3, -1, 2], [1, -2, 1], [1, -5, 1], [-1, -1, -1]),  # of any sum
        [0, 0, 0],
    ],
    "logits": [
        *([1, nan, 2], [nan, -inf, -inf]),
        *([1, inf, 2], [inf, inf, -inf]),
        [-inf, -inf, -inf],
    ],
}
OVERFLOWING = [0.9, 0.9, 0]  # times the largest number of the dtype

# Functions of a distribution, and of ones for its batch, with the answer for an invalid row.
MEMBERS: dict[str, tuple[Member, float]] = {
    "probs": (lambda d, _: d.probs, nan),
    "logits": (lambda d, _: d.logits, nan),
    "log_prob": (lambda d, ones: d.log_prob(ones), nan),
    "log_prob of no category": (lambda d, ones: d.log_prob(-ones), nan),
    "prob": (lambda d, ones: d.prob(ones), nan),
    "cdf": (lambda d, ones: d.cdf(ones), nan),
    "cdf below": (lambda d, ones: d.cdf(-ones), nan),
    "cdf at the end": (lambda d, _: d.cdf(d.num_categories), nan),
    "entropy": (lambda d, _: d.entropy(), nan),
    "perplexity": (lambda d, _: d.perplexity(), nan),
    "divergence from itself": (lambda d, _: kl_divergence(d, d), nan),
    "icdf": (lambda d, _: d.icdf(0.5), -1),
    "icdf of 0": (lambda d, _: d.icdf(0), -1),
    "mode": (lambda d, _: d.mode, -1),
}
SAMPLE: dict[str, tuple[Member, float]] = {"sample": (lambda d, _: d.sample(rng=0), -1)}


def numpy(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    return member(new(x), np.ones(len(x), int))  # type: ignore[no-any-return]


class Plain(np.ndarray):  # type: ignore[type-arg]
    """A class with which NumPy's operations compute values."""


def numpy_operations(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    return np.asarray(member(new(x.view(Plain)), np.ones(len(x), int)))


def strict(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    xp = pytest.importorskip("array_api_strict")
    return np.asarray(member(new(xp.asarray(x)), xp.asarray(np.ones(len(x), int))))


def torch(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    torch = pytest.importorskip("torch")
    return member(new(torch.asarray(x)), torch.ones(len(x), dtype=int)).numpy()  # type: ignore[no-any-return]


def torch_gradient(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    torch = pytest.importorskip("torch")
    dist = new(torch.asarray(x).requires_grad_())
    return member(dist, torch.ones(len(x), dtype=int)).detach().numpy()  # type: ignore[no-any-return]


def torch_operations(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    torch = pytest.importorskip("torch")
    each = torch.func.vmap(lambda x: member(new(x), torch.ones((), dtype=int)))
    return each(torch.asarray(x)).numpy()  # type: ignore[no-any-return]


def jax(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    jnp = pytest.importorskip("jax.numpy")
    return np.asarray(member(new(jnp.asarray(x)), jnp.ones(len(x), int)))


def jax_jit(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    jax = pytest.importorskip("jax")
    ones = jax.numpy.ones(len(x), int)
    return np.asarray(jax.jit(lambda x: member(new(x), ones))(jax.numpy.asarray(x)))


def jax_gradient(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    jax = pytest.importorskip("jax")
    ones = jax.numpy.ones(len(x), int)
    return np.asarray(jax.vjp(lambda x: member(new(x), ones), jax.numpy.asarray(x))[0])


def torch_slopes(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    torch = pytest.importorskip("torch")
    tensor = torch.asarray(x).requires_grad_()
    member(new(tensor), torch.ones(len(x), dtype=int)).square().sum().backward()
    return tensor.grad.numpy()  # type: ignore[no-any-return]


def jax_slopes(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    jax = pytest.importorskip("jax")
    ones = jax.numpy.ones(len(x), int)
    return np.asarray(jax.grad(lambda x: (member(new(x), ones) ** 2).sum())(jax.numpy.asarray(x)))


def dask(x: Array, new: Callable[[Any], Categorical], member: Member) -> Array:
    da = pytest.importorskip("dask.array")
    ones = da.ones(len(x), int, chunks=2)
    return member(new(da.from_array(x, chunks=(1, 2))), ones).compute()  # type: ignore[no-any-return]


ALONE = (numpy, numpy_operations, strict, torch, torch_gradient)
WAYS = (*ALONE, torch_operations, jax, jax_jit, jax_gradient, dask)


def batch(form: str, dtype: Any, shape: tuple[int, int], overflowing: bool) -> tuple[Array, Array]:
    """Return a batch of valid rows, and one in which every second row is invalid."""
    no_weight = 0 if form == "probs" else -inf
    good = np.full(shape, no_weight, dtype)
    good[:, :3] = VALID[form]
    bad, invalid = good.copy(), np.array(INVALID[form], dtype)
    if form == "probs" and overflowing:
        invalid = np.concatenate([invalid, [np.array(OVERFLOWING, dtype) * np.finfo(dtype).max]])
    bad[1::2, :3] = np.resize(invalid, (shape[0] // 2, 3))
    return good, bad


def check(
    way: Callable[..., Array],
    form: str,
    members: dict[str, Any],
    dtype: Any = np.float32,
    shape: tuple[int, int] = (22, 3),
    **options: Any,
) -> None:
    """Check the answers for invalid rows, and that the others have those that they always have."""
    good, bad = batch(form, dtype, shape, members is MEMBERS)

    def new(x: Any) -> Categorical:
        return Categorical(**{form: x}, validate_args=False, **options)

    for name, (member, answer) in members.items():
        with np.errstate(all="ignore"):
            expected, found = way(good, new, member), way(bad, new, member)
        np.testing.assert_array_equal(found[1::2], np.full_like(found[1::2], answer), name)
        np.testing.assert_array_equal(found[::2], expected[::2], name)
        assert not (np.isnan(expected) | (expected == -1)).any()


each_form = pytest.mark.parametrize("form", ["probs", "logits"])


def each(ways: tuple[Callable[..., Array], ...]) -> Any:
    return pytest.mark.parametrize("way", ways, ids=lambda way: way.__name__)


@each(WAYS)
@each_form
def test_every_library(form: str, way: Callable[..., Array]) -> None:
    check(way, form, MEMBERS)


@each(ALONE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_form
def test_every_dtype_without_clamping(form: str, dtype: Any, way: Callable[..., Array]) -> None:
    check(way, form, MEMBERS, dtype, clamp_probs=False)


SHAPES = {
    "small, 64 rows together": (66, 3),
    "64 rows together": (6000, 3),
    "one row after the other": (300, 200),
    "small, long rows": (22, 5000),
    "long rows": (60, 5000),
}


@each((numpy, numpy_operations, torch, torch_gradient))
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@each_form
def test_every_size(form: str, shape: tuple[int, int], way: Callable[..., Array]) -> None:
    check(way, form, MEMBERS, shape=shape)


@each(tuple(way for way in WAYS if way is not torch_operations))
@each_form
def test_draws(form: str, way: Callable[..., Array]) -> None:
    check(way, form, SAMPLE)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@each_form
def test_draws_of_every_size(form: str, shape: tuple[int, int]) -> None:
    check(numpy, form, SAMPLE, shape=shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_where_the_sum_overflows(dtype: Any) -> None:
    """The draw specification has no such sum, so there are draws, as there always were."""
    row = np.array(OVERFLOWING, dtype) * np.finfo(dtype).max
    draws = Categorical(row, validate_args=False).sample(50, rng=0)
    assert set(draws.tolist()) == {0, 1}


# What keeps the first row of a batch of two or more.
KEEPERS: dict[str, Callable[[Categorical], Categorical]] = {
    "as it is": lambda d: d,
    "pickled": lambda d: pickle.loads(pickle.dumps(d)),
    "copied": copy.copy,
    "copied deeply": copy.deepcopy,
    "expanded": lambda d: d.expand((3, *d.batch_shape)),
    "sliced": lambda d: d[:1],
    "indexed": lambda d: d[0],
    "iterated": lambda d: next(iter(d)),
    "all of these": lambda d: pickle.loads(pickle.dumps(copy.copy(d[:2].expand((3, 2))[0])))[0],
}


@pytest.mark.parametrize("keep", KEEPERS.values(), ids=KEEPERS)
@pytest.mark.parametrize(("size", "dtype"), [(3, "uint8"), (5000, "uint16")])
@each_form
def test_unsigned_dtypes_are_for_checked_rows(
    form: str, size: int, dtype: str, keep: Callable[[Any], Any], array: Any, host: Any
) -> None:
    """They have no -1: in uint8, say, it would be 255."""
    good, bad = batch(form, np.float32, (4, size), overflowing=False)
    checked = keep(Categorical(**{form: array(good, "float32")}, validate_args=True))
    assert host(checked.sample(rng=0, dtype=dtype)).dtype == dtype
    for x in (good, bad[1:]):
        unchecked = keep(Categorical(**{form: array(x, "float32")}, validate_args=False))
        with pytest.raises(ValueError, match="dtype must be signed"):
            unchecked.sample(rng=0, dtype=dtype)
        assert (host(unchecked.sample(rng=0, dtype="int16")).ravel()[0] == -1) == (x is not good)


SMOOTH: dict[str, Member] = {
    "log_prob": lambda d, ones: d.log_prob(ones - 1),
    **{name: MEMBERS[name][0] for name in ("prob", "probs", "entropy", "perplexity")},
}


@each((torch_slopes, jax_slopes))
@pytest.mark.parametrize("name", SMOOTH)
@each_form
def test_gradients_of_valid_rows(form: str, name: str, way: Callable[..., Array]) -> None:
    good, bad = batch(form, np.float32, (22, 3), overflowing=True)

    def new(x: Any) -> Categorical:
        return Categorical(**{form: x}, validate_args=False)

    expected, found = (way(x, new, SMOOTH[name]) for x in (good, bad))
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(found[::2], expected[::2])


# --- checks of many entries: JAX 0.10 leaves NaN out of the maximum of 4096 numbers or more


@each_library
@pytest.mark.parametrize("place", [0, 2500, 4999])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_one_nan_among_many_numbers(form: str, place: int, library: str) -> None:
    x = np.ones((3, 5000), np.float32)
    x[1, place] = nan
    with pytest.raises(ValueError, match=rf"^{form} must not be NaN; {form}\[\d, {place}\] is nan"):
        get(Categorical(**{form: put(x, library)}).probs)
    dist = Categorical(**{form: put(x, library)}, validate_args=False)
    for name in ("mode", "entropy", "probs", "logits"):
        result = getattr(dist, name)
        found = get(result() if callable(result) else result)
        assert (found[1] == -1).all() if name == "mode" else np.isnan(found[1]).all()
        assert np.isfinite(found[[0, 2]]).all()


def test_one_nan_among_many_constants_of_jax() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones((3, 5000)).at[1, 7].set(nan)
    for form in ("probs", "logits"):
        with pytest.raises(ValueError, match=f"^{form} must not be NaN"):
            jax.jit(lambda i, form=form: Categorical(**{form: x}).log_prob(i))(0)
        unchecked = jax.jit(lambda x, form=form: Categorical(**{form: x}).mode)(x)
        assert unchecked.tolist() == [0, -1, 0]

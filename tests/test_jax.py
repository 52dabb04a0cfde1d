"""JAX: what it traces and differentiates, pytrees, keys, and both widths of numbers."""

import copy
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rows
from numpy.testing import assert_array_equal

from anycat import Categorical, _kernels, kl_divergence
from anycat._backends import registry
from anycat._kernels import cpu

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

UNITS = 16  # of the rounding of a dtype, by which results may differ
X = np.array([[1.0, 2.0, 0.5, 3.0], [0.25, 0.25, 0.125, 0.375]], np.float32)
Y = np.array([[3.0, 1.0, 2.0, 1.0]], np.float32)
VALUE = np.array([[3, 0], [1, 2], [0, 0]])
KEY = jax.random.key(2026)

MEMBERS: dict[str, Callable[[Any], Any]] = {
    "probs": lambda d: d.probs,
    "logits": lambda d: d.logits,
    "log_prob": lambda d: d.log_prob(jnp.asarray(VALUE)),
    "prob": lambda d: d.prob(2),
    "cdf": lambda d: d.cdf(jnp.asarray(VALUE - 0.5)),
    "icdf": lambda d: d.icdf(0.75),
    "entropy": lambda d: d.entropy(),
    "perplexity": lambda d: d.perplexity(),
    "mode": lambda d: d.mode,
    "mean": lambda d: d.mean,
    "enumerate_support": lambda d: d.enumerate_support(),
    "expand": lambda d: d.expand((3, 2)).entropy(),
    "index": lambda d: d[..., 0].entropy(),
    "kl_divergence": lambda d: kl_divergence(d, Categorical(jnp.asarray(Y))),
    "sample": lambda d: d.sample((5, 1), rng=3),
    "sample by a key": lambda d: d.sample(7, rng=KEY),
}
SMOOTH = ["probs", "logits", "log_prob", "prob", "cdf", "entropy", "perplexity", "kl_divergence"]

each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_member = pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)


@pytest.fixture(autouse=True, params=[False, True], ids=["32 bits", "64 bits"])
def x64(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Run with JAX's numbers of 64 bits and without them, which may change at any time."""
    with jax.enable_x64(request.param):
        yield request.param


narrow = pytest.mark.parametrize("x64", [False], indirect=True)  # what does not depend on it


def make(form: str, x: Any) -> Categorical:
    return Categorical(**{form: jnp.asarray(x)})


def near(actual: Any, desired: Any) -> None:
    """Check that results differ by the rounding of their dtype alone; integers must be equal."""
    assert actual.dtype == desired.dtype
    floating = jnp.issubdtype(desired.dtype, jnp.floating)
    tolerance = UNITS * float(jnp.finfo(desired.dtype).eps) if floating else 0
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


def rows_of(x: Any) -> Any:
    """Return three arrays of parameters in one."""
    return jnp.stack([x, x[:, ::-1], x + 1])


# --- traces


def members(dist: Categorical) -> dict[str, Any]:
    return {name: member(dist) for name, member in MEMBERS.items()}


def all_near(actual: dict[str, Any], desired: dict[str, Any]) -> None:
    for name, x in desired.items():
        near(actual[name], x)


@pytest.mark.slow
@narrow
@each_form
def test_jit(form: str) -> None:
    expected = members(make(form, X))
    all_near(jax.jit(lambda x: members(make(form, x)))(X), expected)
    all_near(jax.jit(members)(make(form, X)), expected)  # a pytree


@pytest.mark.parametrize("name", ["icdf", "mode", "enumerate_support", "sample"])
def test_integers_are_as_wide_as_they_can_be(name: str, x64: bool) -> None:
    for x in (jnp.asarray(X, float), jnp.asarray(X, np.int8)):
        dist = make("logits", x)
        assert dist.dtype == (np.float64 if x64 else np.float32)
        for result in (MEMBERS[name](dist), jax.jit(MEMBERS[name])(dist)):
            assert result.dtype == (np.int64 if x64 else np.int32)


@pytest.mark.slow
@narrow
@each_form
def test_vmap(form: str) -> None:
    stack = rows_of(X)
    expected = jax.tree.map(lambda *x: jnp.stack(x), *(members(make(form, x)) for x in stack))
    all_near(jax.jit(jax.vmap(lambda x: members(make(form, x))))(stack), expected)
    all_near(jax.vmap(jax.jit(members))(make(form, stack)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("x64", [True], indirect=True)
@pytest.mark.parametrize("name", SMOOTH)
@each_form
def test_grad(form: str, name: str) -> None:
    def function(x: Any) -> Any:
        result = MEMBERS[name](make(form, x))
        return (result * jnp.arange(1.0, result.size + 1).reshape(result.shape)).sum()

    x = jnp.asarray(X, float)
    gradient = jax.grad(function)(x)
    near(jax.jit(jax.grad(function))(x), gradient)
    steps = 1e-6 * np.eye(x.size).reshape(-1, *x.shape)
    slopes = [(function(x + step) - function(x - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(gradient.ravel(), slopes, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@narrow
@each_form
def test_gradients_of_arrays_of_numpy(form: str) -> None:
    """JAX follows them as what they are, and a float as a float."""

    def function(x: Any) -> Any:
        sums = {name: y.sum() * 1.0 for name, y in members(Categorical(**{form: x})).items()}
        return sums, sums

    (gradients, values), (expected, same) = (
        jax.jacrev(function, has_aux=True)(x) for x in (X, jnp.asarray(X))
    )
    all_near(values, same)
    all_near(gradients, expected)


@narrow
@each_form
def test_gradients_of_a_distribution(form: str) -> None:
    dist = make(form, X)
    gradient = jax.grad(lambda d: d.entropy().sum())(dist)
    assert isinstance(gradient, Categorical)
    near(gradient._param, jax.grad(lambda x: make(form, x).entropy().sum())(X))


@narrow
def test_gradient_of_an_unclamped_probability_that_underflows() -> None:
    """The quotient is too small for float32, the difference of logarithms is not."""

    def log_prob(x: Any) -> Any:
        return Categorical(x, clamp_probs=False).log_prob(0)

    x, function = jnp.asarray([1e-30, 1e20], np.float32), jax.value_and_grad(log_prob)
    for found, gradient in (function(x), jax.jit(function)(x)):
        near(found, jnp.asarray(np.log(1e-30) - np.log(1e20), np.float32))
        np.testing.assert_allclose(gradient, [1e30, -1e-20], rtol=1e-6)


def test_cdf_of_many_categories(x64: bool) -> None:
    """Without float64, JAX adds up pairs, whose rounding errors hardly add up."""
    x, value = np.random.default_rng(2).random(10**6, np.float32), jnp.arange(10**6)
    cdf = jax.jit(lambda x: make("probs", x).cdf(value))(x)
    assert cdf.dtype == np.float32
    exact = np.cumsum(x, dtype=float) / x.sum(dtype=float)
    np.testing.assert_allclose(cdf, exact, rtol=0, atol=1e-7 if x64 else 1e-6)


@narrow
def test_samples_within_grad() -> None:
    def loss(x: Any) -> Any:
        dist = Categorical(x)
        return dist.log_prob(dist.sample(9, rng=KEY)).sum()

    near(jax.jit(jax.grad(loss))(X), jax.grad(loss)(jnp.asarray(X)))


def test_scan() -> None:
    dist = make("probs", X)

    def step(key: Any, _: Any) -> Any:
        key, mine = jax.random.split(key)
        draws = dist.sample(3, rng=mine)
        return key, (draws, dist.log_prob(draws))

    key, expected = KEY, []
    for _ in range(4):
        key, result = step(key, None)
        expected.append(result)
    _, (draws, logs) = jax.lax.scan(step, KEY, None, length=4)
    assert_array_equal(draws, jnp.stack([draws for draws, _ in expected]))
    near(logs, jnp.stack([logs for _, logs in expected]))


@narrow
def test_a_distribution_is_carried_through_a_scan() -> None:
    def step(dist: Categorical, x: Any) -> Any:
        return Categorical(logits=dist.logits + x), dist.entropy()

    last, found = jax.lax.scan(step, make("logits", X), jnp.ones((5, 1, 4)))
    assert isinstance(last, Categorical)
    near(found, jnp.broadcast_to(make("logits", X).entropy(), (5, 2)))


@pytest.mark.slow
@narrow
def test_what_is_traced_is_not_kept() -> None:
    dist = make("probs", X)

    def function(x: Any) -> Any:
        inner = Categorical(x)
        jax.lax.scan(lambda c, _: (c, inner.log_prob(0) + inner.cdf(1)), 0, None, length=2)
        return [member(d).sum() for d in (dist, inner) for member in MEMBERS.values()]

    jax.jit(function)(X)
    jax.vmap(function)(rows_of(X))
    with jax.checking_leaks():
        jax.jit(function)(X + 1)
    for member in MEMBERS.values():
        near(member(dist), member(make("probs", X)))
    assert dist.probs is dist.probs


# --- constants within what is traced

TRANSFORMS: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
    "jit": lambda f: jax.jit(f)(1.0),
    "scan": lambda f: jax.lax.scan(lambda c, x: (c, f(x)), 0, jnp.ones(2)),
    "cond": lambda f: jax.lax.cond(jnp.asarray(True), f, f, 1.0),
    "while_loop": lambda f: jax.lax.while_loop(
        lambda c: c[0] < 1, lambda c: (c[0] + 1, f(c[0])), (0.0, f(0.0))
    ),
    "grad": lambda f: jax.grad(lambda x: f(x).sum())(1.0),
    "jit of grad": lambda f: jax.jit(jax.grad(lambda x: f(x).sum()))(1.0),
    "vmap": lambda f: jax.vmap(f)(jnp.ones(2)),
    "jit of vmap": lambda f: jax.jit(jax.vmap(f))(jnp.ones(2)),
    "checkpoint": lambda f: jax.checkpoint(f)(1.0),
    "grad of checkpoint": lambda f: jax.grad(jax.checkpoint(lambda x: f(x).sum()))(1.0),
    "eval_shape": lambda f: jax.eval_shape(f, 1.0),
}
each_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)

# Functions, constants for which they raise, and messages.
VOID: dict[str, tuple[Callable[[Any], Any], Any, str]] = {
    "probs": (Categorical, jnp.asarray([[1.0, -1.0]]), r"probs\[0, 1\] is -1"),
    "a sum of 0": (Categorical, jnp.zeros((2, 3)), r"all of probs\[0\] are"),
    "logits": (lambda x: Categorical(logits=x), jnp.full(3, -jnp.inf), "must not all be -inf"),
    "value": (lambda v: make("probs", X).log_prob(v), jnp.asarray([1, 4]), r"value\[1\] is 4"),
    "number": (lambda v: make("probs", X).prob(v), 4, "value is 4"),
    "fraction": (lambda v: make("logits", X).log_prob(v), jnp.asarray(0.5), "value is 0.5"),
    "q": (lambda q: make("probs", X).icdf(q), jnp.asarray([0.5, 2]), r"q\[1\] is 2"),
}


@pytest.fixture(params=[True, False], ids=["kernels", "operations"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check by kernels, or else by operations, as on a GPU."""
    if not request.param:
        monkeypatch.setattr(type(registry.backend_of(jnp.ones(1))), "on_cpu", lambda *_: None)


def all_members(x: Any, dist: Categorical) -> Any:
    """Return a number that depends on ``x`` and on all members of a constant distribution."""
    results = [member(make("probs", X)) for member in MEMBERS.values()]
    results += [dist.log_prob(2), dist.entropy(), dist.probs, dist.sample(7, rng=KEY)]
    return x * sum(result.sum() for result in results)


@pytest.mark.slow
@narrow
@each_transform
def test_constants(transform: Callable[..., Any]) -> None:
    dist = make("probs", X)
    transform(lambda x: all_members(x, dist))


@pytest.mark.slow
@narrow
def test_constants_without_kernels(kernels: None) -> None:
    dist = make("probs", X)
    jax.jit(lambda x: all_members(x, dist))(1.0)


@narrow
@each_member
@each_form
def test_constants_have_the_same_results(form: str, member: Callable[[Any], Any]) -> None:
    x = jnp.asarray(X)
    near(jax.jit(lambda: member(make(form, x)))(), member(make(form, x)))


@narrow
@each_transform
@pytest.mark.parametrize(("function", "constant", "message"), VOID.values(), ids=VOID)
def test_invalid_constants(
    function: Callable[[Any], Any], constant: Any, message: str, transform: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=message):
        transform(lambda x: x * function(constant))


@narrow
@pytest.mark.parametrize(("function", "constant", "message"), VOID.values(), ids=VOID)
def test_invalid_constants_without_kernels(
    function: Callable[[Any], Any], constant: Any, message: str, kernels: None
) -> None:
    for transform in (TRANSFORMS["jit"], TRANSFORMS["vmap"]):
        with pytest.raises(ValueError, match=message):
            transform(lambda x: x * function(constant))


@narrow
def test_constants_beside_traced_parameters(kernels: None) -> None:
    value, q = jnp.asarray([1, 4]), jnp.asarray([0.5, 2])
    with pytest.raises(ValueError, match=r"value\[1\] is 4"):
        jax.jit(lambda x: Categorical(x).log_prob(value))(X)
    with pytest.raises(ValueError, match=r"q\[1\] is 2"):
        jax.jit(lambda x: Categorical(x).icdf(q))(X)


@narrow
def test_constants_that_a_gradient_follows_into_other_transforms(kernels: None) -> None:
    def loss(x: Any) -> Any:
        return jax.lax.scan(lambda c, _: (c + Categorical(x).entropy().sum(), c), 0.0, X)[0]

    near(jax.grad(loss)(jnp.asarray(X)), 2 * jax.grad(lambda x: Categorical(x).entropy().sum())(X))
    with pytest.raises(ValueError, match=r"probs\[0, 0\] is -1"):
        jax.grad(loss)(jnp.asarray(-X))


@narrow
def test_what_is_computed_from_constants_is_kept(kernels: None) -> None:
    dist = make("probs", X)
    jax.jit(lambda x: x * dist.probs.sum() + dist.logits.sum())(1.0)
    for name in ("probs", "logits"):
        assert isinstance(vars(dist)[name], jax.Array)
        assert not isinstance(vars(dist)[name], jax.core.Tracer)


CONSTANT = jnp.ones(2)
HAVE_VALUES: dict[str, Callable[[Any, Any], Any]] = {
    "nothing": lambda f, x: f(x),
    "grad": lambda f, x: jax.grad(f)(x),
    "hessian": lambda f, x: jax.hessian(f)(x),
    "jacfwd": lambda f, x: jax.jacfwd(f)(x),
    "jvp": lambda f, x: jax.jvp(f, (x,), (x,)),
    "linearize": lambda f, x: jax.linearize(f, x),
    "grad of a constant in jit": lambda f, _: jax.jit(lambda: jax.grad(f)(CONSTANT))(),
}
HAVE_NONE: dict[str, Callable[[Any, Any], Any]] = {
    "jit": lambda f, x: jax.jit(f)(x),
    "vmap": lambda f, x: jax.vmap(f)(x),
    "checkpoint": lambda f, x: jax.checkpoint(f)(x),
    "eval_shape": lambda f, x: jax.eval_shape(f, x),
    "grad in jit": lambda f, x: jax.jit(jax.grad(f))(x),
    "jit in grad": lambda f, x: jax.grad(jax.jit(f))(x),
    "grad in vmap": lambda f, x: jax.vmap(jax.grad(f))(x),
}


@narrow
@pytest.mark.parametrize("name", HAVE_VALUES | HAVE_NONE)
def test_what_has_values(name: str) -> None:
    backend, traced = registry.backend_of(CONSTANT), set()

    def see(x: Any) -> Any:
        traced.add(backend.is_traced(x))
        return (x * x).sum()

    (HAVE_VALUES | HAVE_NONE)[name](see, CONSTANT)
    assert traced == {name in HAVE_NONE}


# --- draws within compiled functions

REGIMES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "few categories, many rows": ((3000, 7), ()),
    "long rows": ((3, 10000), ()),
    "one row, many draws": ((50,), (20001,)),
    "many rows, several draws": ((100, 60), (150,)),
    "no draw": ((3, 0, 4), (2,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REGIMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@each_form
def test_draws_are_the_same_within_jit(form: str, dtype: str, name: str, x64: bool) -> None:
    if dtype == "float64" and not x64:
        pytest.skip("JAX has no float64 then")
    shape, sample_shape = REGIMES[name]
    x = jnp.asarray(rows.make(form, "plain", shape, np.float32)).astype(dtype)
    wide = np.asarray(x, np.float32 if dtype == "bfloat16" else dtype)

    def draw(x: Any) -> Any:
        return make(form, x).sample(sample_shape, rng=8)

    expected = Categorical(**{form: wide}).sample(sample_shape, rng=8)
    assert_array_equal(draw(x), expected)
    assert_array_equal(jax.jit(draw)(x), expected)


@narrow
def test_subnormal_parameters() -> None:
    """XLA takes them for zero. The draw does not, nor do they get lost on the way to it."""
    for dtype, shift in ((np.float32, 0), ("bfloat16", 16)):
        bits = (np.arange(1, 9, dtype=np.uint32) << shift).view(np.float32)
        expected = Categorical(bits).sample(50, rng=1)
        x = jax.lax.bitcast_convert_type(
            jnp.asarray((bits.view(np.uint32) >> shift).astype(f"u{4 - shift // 8}")),
            jnp.dtype(dtype),
        )
        assert_array_equal(Categorical(x, validate_args=False).sample(50, rng=1), expected)
        draw = jax.jit(lambda x: Categorical(x).sample(50, rng=1))
        assert_array_equal(draw(x), expected)


def part(x: Any, axis: int | None, i: int) -> Any:
    return x if axis is None else x[(slice(None),) * axis + (i,)]


@narrow
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (2, 0)])
def test_vmap_draws_for_each_element_as_for_one_alone(axes: tuple[Any, Any]) -> None:
    x = np.random.default_rng(0).random((3, 2, 3)).astype(np.float32)
    keys = KEY if axes[1] is None else jax.random.split(KEY, 3)

    def draw(x: Any, key: Any) -> Any:
        return Categorical(x[0]).sample(20_000, rng=key), Categorical(x).sample(4, rng=key)

    alone = [draw(part(x, axes[0], i), part(keys, axes[1], i)) for i in range(3)]
    for mapped in (jax.vmap(draw, axes), jax.jit(jax.vmap(draw, axes))):
        for found, expected in zip(mapped(x, keys), zip(*alone, strict=True), strict=True):
            assert_array_equal(found, jnp.stack(expected))


@narrow
@each_form
@pytest.mark.parametrize(("n", "batch", "shape"), [(130, (), 2), (9, (2, 3), (5, 7)), (3, (), ())])
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_vmap_draws_from_many_small_elements_at_once(
    form: str, n: int, batch: Any, shape: Any, axes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).random((n, *batch, 6)).astype(np.float32)
    x[0, ..., 0] = np.nan
    params = jnp.asarray(x if axes[0] == 0 else x[1])
    keys = KEY if axes[1] is None else jax.random.split(KEY, n)

    def draw(x: Any, key: Any) -> Any:
        return Categorical(**{form: x}, validate_args=False).sample(shape, rng=key)

    alone = [draw(part(params, axes[0], i), part(keys, axes[1], i)) for i in range(n)]
    monkeypatch.setattr(_kernels, "draw", None)  # which takes one element
    found = jax.jit(jax.vmap(draw, axes))(params, keys)
    assert_array_equal(found, jnp.stack(alone))


@narrow
@pytest.mark.parametrize("rows", [0, 1, 2, 4])
def test_vmap_with_the_same_seeds_for_all_elements(rows: int) -> None:
    """Whatever their number: the key of rows grows with the rows, and is not one key for each."""
    batch = (rows,) if rows else ()
    x = np.random.default_rng(0).random((8, *batch, 5)).astype(np.float32)

    def draw(x: Any) -> Any:
        return Categorical(x).sample(6, seeds=7, start=3)

    for n in range(1, 9):
        assert_array_equal(jax.vmap(draw)(x[:n]), np.stack([draw(row) for row in x[:n]]))


@narrow
def test_nested_vmap() -> None:
    x = np.random.default_rng(0).random((3, 2, 5)).astype(np.float32)
    keys = jax.random.split(KEY, 4)

    def draw(x: Any, key: Any) -> Any:
        return Categorical(x).sample(6, rng=key)

    found = jax.vmap(jax.vmap(draw, (None, 0)), (0, None))(x, keys)
    assert_array_equal(found, [[draw(row, key) for key in keys] for row in x])
    found = jax.vmap(jax.vmap(draw, (0, None)), (None, 0))(x, keys)
    assert_array_equal(found, [[draw(row, key) for row in x] for key in keys])


@narrow
def test_vmap_over_expanded_distributions() -> None:
    dist = make("probs", X).expand((3, 2))
    keys = jax.random.split(KEY, 3)
    found = jax.vmap(lambda d, key: d.sample(4, rng=key))(dist, keys)
    assert_array_equal(found, jnp.stack([dist[i].sample(4, rng=k) for i, k in enumerate(keys)]))
    found = jax.vmap(lambda d: d.sample(4, rng=1), in_axes=1)(dist)
    assert_array_equal(found, jnp.stack([dist[:, i].sample(4, rng=1) for i in range(2)]))


@narrow
def test_parameters_of_numpy_under_a_traced_key() -> None:
    dist = Categorical(X)
    draws = jax.jit(lambda key: dist.sample(6, rng=key))(KEY)
    assert_array_equal(draws, dist.sample(6, rng=KEY))


@narrow
def test_equal_draws_are_compiled_once() -> None:
    traces = []

    @jax.jit
    def draw(dist: Categorical, key: Any) -> Any:
        traces.append(dist)
        return dist.sample(6, rng=key)

    for i in range(4):
        draw(make("probs", X + i), jax.random.key(i))
    assert len(traces) == 1


@narrow
def test_large_arrays_do_not_deadlock() -> None:
    """The callback must not wait for threads of XLA that wait for it."""
    x = jnp.ones((8, 200_000))

    @jax.jit
    def run(x: Any, key: Any) -> Any:
        def step(x: Any, key: Any) -> Any:
            draws = Categorical(x).sample(rng=key)
            return x.at[0, 0].add(draws[0] % 2), draws

        return jax.lax.scan(step, x, jax.random.split(key, 10))[1]

    pending = [run(x, jax.random.key(i)) for i in range(4)]
    assert all(draws.shape == (10, 8) for draws in pending)
    assert len({tuple(np.ravel(draws).tolist()) for draws in pending}) == 4


def test_void_rows_and_dtypes(x64: bool) -> None:
    x = jnp.asarray([[1.0, jnp.nan], [0.0, 2.0]])
    draw = jax.jit(lambda x, dtype: Categorical(x).sample(rng=0, dtype=dtype), static_argnums=1)
    assert draw(x, "int8").tolist() == [-1, 1]
    assert draw(x, jnp.int16).dtype == jnp.int16
    with pytest.raises(ValueError, match=r"dtype must be signed"):
        draw(x, "uint8")
    with pytest.raises(ValueError, match=r"probs\[0, 1\] is nan"):
        Categorical(x).sample()
    back = jax.jit(Categorical)(x)  # unchecked to this moment
    assert back.sample(rng=0).tolist() == [-1, 1]
    with pytest.raises(ValueError, match=r"dtype must be signed"):
        back.sample(rng=0, dtype="uint8")
    assert Categorical(x[1:]).sample(3, dtype="uint8").dtype == np.uint8


WIDE: dict[str, Callable[[], Any]] = {
    "sample": lambda: make("probs", X).sample(3, rng=0, dtype="int64"),
    "unsigned": lambda: make("probs", X).sample(3, rng=0, dtype=jnp.uint64),
    "distinct": lambda: make("probs", X).sample(2, replace=False, rng=0, dtype=np.int64),
    "log_prob": lambda: make("probs", X).sample_and_log_prob(3, rng=0, dtype="int64")[0],
    "counts": lambda: make("probs", X).sample_counts(3, rng=0, dtype="int64"),
    "jit": lambda: jax.jit(lambda x: Categorical(x).sample(3, rng=0, dtype="int64"))(jnp.array(X)),
    "key": lambda: jax.jit(lambda key: Categorical(X).sample(3, rng=key, dtype="int64"))(KEY),
}


@pytest.mark.parametrize("name", WIDE)
def test_integers_of_64_bits_that_are_asked_for(name: str, x64: bool) -> None:
    dtype = "uint64" if name == "unsigned" else "int64"
    if x64:
        assert WIDE[name]().dtype == dtype
        return
    narrow = dtype.replace("64", "32")
    with pytest.warns(UserWarning, match=f"^dtype {dtype} becomes {narrow}: ") as caught:
        assert WIDE[name]().dtype == narrow
    assert [warning.filename for warning in caught] == [__file__]


@narrow
def test_no_warning_where_64_bits_were_not_asked_for() -> None:
    """The defaults are tested elsewhere; int is as wide as JAX has it."""
    assert make("probs", X).sample(3, rng=0, dtype=int).dtype == np.int32
    assert jnp.zeros(3, int).dtype == np.int32


@narrow
def test_no_draw_or_count_exceeds_32_bits() -> None:
    """Parameters may be NumPy's, which alone would give 64 bits, where a key is traced."""
    most = jax.ShapeDtypeStruct((2**31 + 1,), np.int8)
    many = Categorical(np.broadcast_to(np.int8(1), (2**31 + 1,)), validate_args=False)
    for draw, x in [
        (lambda x: Categorical(x).sample(rng=0), most),
        (lambda x: Categorical(x).sample(2, replace=False, rng=0), most),
        (lambda key: many.sample(rng=key), KEY),
        (lambda key: many.sample(2, replace=False, rng=key), KEY),
        (lambda key: Categorical(X).sample_counts(2**31, rng=key), KEY),
    ]:
        with pytest.raises(ValueError, match=r"dtype must hold .* 2147483648; got int32"):
            jax.eval_shape(draw, x)


@narrow
def test_values_outside_have_no_probability_within_jit() -> None:
    dist = Categorical(jnp.asarray(X[0]))
    assert jax.jit(dist.log_prob)(jnp.asarray([-1, 4, 9])).tolist() == [-np.inf] * 3
    assert jax.jit(dist.prob)(jnp.asarray([0.5, 0.0])).tolist()[0] == 0
    assert jax.jit(dist.icdf)(jnp.asarray([-1.0, jnp.nan, 1.0])).tolist() == [-1, -1, 3]


# --- keys


@narrow
@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys(impl: str) -> None:
    key = jax.random.key(7, impl=impl)
    raw = jax.random.key_data(key)
    dist = make("probs", X)
    draws = dist.sample(30, rng=key)
    assert_array_equal(dist.sample(30, rng=key), draws)
    assert_array_equal(Categorical(X).sample(30, rng=key), draws)
    assert (dist.sample(30, rng=jax.random.split(key)[0]) != draws).any()
    with jax.default_prng_impl(impl):
        assert_array_equal(dist.sample(30, rng=raw), draws)
        for traced in (key, raw):
            drawn = jax.jit(lambda dist, key: dist.sample(30, rng=key))(dist, traced)
            assert_array_equal(drawn, draws)


def test_the_words_of_a_key() -> None:
    from libraries import key

    assert key(KEY).tolist() == jax.random.bits(KEY, (4,), "uint32").tolist()
    assert key(jnp.asarray(5)).tolist() == key(5).tolist()  # a number is a seed


@narrow
@pytest.mark.parametrize("shape", [(2,), (1,), (2, 3)])
def test_many_keys(shape: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match=r"rng must be one key; got .*: use jax\.vmap"):
        make("probs", X).sample(rng=jax.random.split(KEY, shape))


@narrow
@pytest.mark.parametrize("x", [X, jnp.asarray(X)])
@pytest.mark.parametrize("shape", [(2,), (1,), (2, 3)])
def test_many_raw_keys(shape: tuple[int, ...], x: Any) -> None:
    keys = jax.random.key_data(jax.random.split(KEY, shape))
    message = re.escape(f"rng must be one key; got keys of shape {shape}: use jax.vmap")
    with pytest.raises(TypeError, match=message):
        Categorical(x).sample(rng=keys)
    with pytest.raises(TypeError, match=message):
        jax.jit(lambda keys: Categorical(x).sample(rng=keys))(keys)


@narrow
@pytest.mark.parametrize("rng", [jnp.ones(3), jnp.ones((2, 2), np.int32), jnp.ones(1)])
def test_arrays_that_are_no_key(rng: Any) -> None:
    message = r"rng must be None, .*, or a key of jax\.random; got .*: pass a seed for each row"
    with pytest.raises(TypeError, match=message):
        make("probs", X).sample(rng=rng)


@narrow
def test_a_key_that_was_saved_as_an_array() -> None:
    saved, dist = np.asarray(jax.random.key_data(KEY)), make("probs", X)
    with pytest.raises(TypeError, match=r"the data of a key, use jax\.random\.wrap_key_data"):
        dist.sample(rng=saved)
    assert_array_equal(dist.sample(rng=jax.random.wrap_key_data(saved)), dist.sample(rng=KEY))


@narrow
@pytest.mark.parametrize("rng", [None, np.random.default_rng(0), np.random.PCG64(0)])
def test_no_state_is_taken_while_tracing(rng: Any) -> None:
    before = repr(rng and getattr(rng, "bit_generator", rng).state)
    with pytest.raises(TypeError, match=r"rng must be a key of jax.random or a seed where JAX tr"):
        jax.jit(lambda x: Categorical(x).sample(rng=rng))(X)
    dist = make("probs", X)  # a constant of the traced functions
    with pytest.raises(TypeError, match=r"rng must be a key of jax.random or a seed where JAX tr"):
        jax.jit(lambda: dist.sample(rng=rng))()
    with pytest.raises(TypeError, match=r"rng must be a key of jax.random or a seed where JAX tr"):
        jax.lax.scan(lambda carry, _: (carry, dist.sample_counts(2, rng=rng)), 0, length=3)
    assert repr(rng and getattr(rng, "bit_generator", rng).state) == before


@narrow
@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_a_key_in_place_of_a_shape(make_key: Any) -> None:
    dist = make("probs", X)
    for sample in (dist.sample, jax.jit(dist.sample)):
        with pytest.raises(TypeError, match=r"sample_shape must be an integer .*mean rng=\?"):
            sample(make_key(0))


@narrow
def test_a_traced_integer_is_no_seed() -> None:
    message = r"rng must be .*, which is traced: use seeds=, or a key of jax\.random"
    for dist in (make("probs", X), Categorical(X)):
        with pytest.raises(TypeError, match=message):
            jax.jit(lambda seed, d=dist: d.sample(5, rng=seed))(0)


@narrow
def test_traced_arguments_of_a_distribution_of_numpy() -> None:
    dist, name = Categorical(X), "an array of jax, the distribution one of numpy"
    with pytest.raises(TypeError, match=f"index is {name}: convert the parameters first"):
        jax.jit(lambda i: dist[i].mode)(1)
    with pytest.raises(TypeError, match=f"value is {name}: convert the parameters first"):
        jax.jit(dist.log_prob)(1)
    with pytest.raises(TypeError, match=f"value is {name}: convert one of them first"):
        dist.log_prob(jnp.asarray(1))
    assert dist[jnp.asarray(1)].mode == 3


@narrow
def test_state_is_taken_where_only_grad_follows() -> None:
    dist, rng = make("probs", X), np.random.default_rng(0)
    draws = dist.sample(rng=np.random.default_rng(0))

    def product(x: Any) -> Any:
        return (x * dist.sample(rng=rng)).sum()

    np.testing.assert_array_equal(jax.grad(product)(jnp.ones(draws.shape)), draws)


@narrow
def test_no_state_of_a_torch_generator_is_taken_while_tracing() -> None:
    torch = pytest.importorskip("torch")
    rng = torch.Generator()
    before = rng.get_state()
    message = "where JAX traces; got torch.Generator, whose bits would be the same in each call"
    with pytest.raises(TypeError, match=message):
        jax.jit(lambda x: Categorical(x).sample(rng=rng))(X)
    assert (rng.get_state() == before).all()


# --- static values


@narrow
def test_shapes_must_be_static() -> None:
    dist = make("probs", X)
    for name, function in (
        ("sample_shape", lambda n: dist.sample(n, rng=0)),
        ("sample_shape", lambda n: dist.sample((2, n), rng=0)),
        ("batch_shape", lambda n: dist.expand((n, 2))),
    ):
        with pytest.raises(TypeError, match=f"{name} must be known when JAX traces.*static_arg"):
            jax.jit(function)(3)
    with pytest.raises(TypeError, match=r"rng must be .* a key of jax.random; got .*Tracer"):
        jax.jit(lambda n: dist.sample(rng=n))(3)


# --- pytrees


class Mine(Categorical):
    """A subclass."""


@narrow
def test_pytree() -> None:
    for dist in (
        make("probs", X),
        make("logits", X).expand((3, 2)),
        Mine(jnp.asarray(X), validate_args=False, clamp_probs=False),
    ):
        (leaf,), tree = jax.tree.flatten(dist)
        assert leaf.shape == dist.param_shape
        twin = jax.tree.unflatten(tree, [leaf])
        assert type(twin) is type(dist)
        assert repr(twin) == repr(dist)
        assert_array_equal(twin.logits, dist.logits)
        assert_array_equal(twin.sample(9, rng=1), dist.sample(9, rng=1))
        for copied in (copy.copy(twin), copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
            assert jax.tree.structure(copied) == tree
            assert_array_equal(copied.sample(9, rng=1), dist.sample(9, rng=1))
        shapes = jax.eval_shape(lambda d: d, dist)
        assert shapes.batch_shape == dist.batch_shape
        assert "ShapeDtypeStruct" in repr(shapes)
        for leaves in ([], [object()]):  # None is no leaf
            (param,) = leaves or [None]
            other = jax.tree.unflatten(jax.tree.structure(dist), [param])
            assert jax.tree.leaves(other) == leaves
            assert repr(other) == f"{type(dist).__name__}({dist._form.name}: {param!r})"


@narrow
def test_truncated_logits_may_stand_for_others() -> None:
    """In a branch and as a carry: clamping has no effect on logits, and makes no difference."""
    dist = Categorical(logits=jnp.asarray(X))
    twin = Categorical(logits=jnp.asarray(X), clamp_probs=False)
    assert jax.tree.structure(dist) == jax.tree.structure(twin)
    found = jax.lax.cond(True, lambda d: d.truncate(top_k=2), lambda d: d, dist)
    assert_array_equal(found.logits, dist.truncate(top_k=2).logits)


@narrow
def test_distributions_of_numpy_are_pytrees_too() -> None:
    draws = jax.jit(lambda dist: dist.sample(5, rng=2))(Categorical(X))
    assert_array_equal(draws, Categorical(X).sample(5, rng=2))


@narrow
def test_structures_differ_where_options_do() -> None:
    x = jnp.asarray(X)
    kinds = [Categorical(x), Categorical(logits=x), Categorical(x, clamp_probs=False)]
    kinds += [Categorical(x, validate_args=False), Mine(x)]
    structures = {jax.tree.structure(dist) for dist in kinds}
    assert len(structures) == 5
    assert jax.tree.structure(Categorical(x + 1)) in structures


class Named(Categorical):
    """A subclass with an attribute of its own."""

    def __init__(self, *args: Any, name: str) -> None:
        super().__init__(*args)
        self.name = name


@narrow
def test_attributes_of_a_subclass_are_static() -> None:
    one, two, other = (Named(jnp.asarray(X), name=name) for name in ("a", "a", "b"))
    traced = []

    @jax.jit
    def halve(dist: Named) -> Named:
        traced.append(dist.name)
        return jax.tree.map(lambda x: x / 2, dist)

    assert [halve(dist).name for dist in (one, two, other)] == ["a", "a", "b"]
    assert traced == ["a", "b"]
    assert jax.vmap(lambda dist: dist)(one).name == "a"
    assert jax.tree.structure(one) == jax.tree.structure(two) != jax.tree.structure(other)
    two.also = one.also = 1
    one.__dict__["name"] = one.__dict__.pop("name")  # the order does not matter
    assert jax.tree.structure(one) == jax.tree.structure(two)


# --- memory and devices


def test_only_outputs_on_the_cpu_are_aligned_for_jax() -> None:
    backend = registry.backend_of(jnp.zeros(1))
    cupy = SimpleNamespace(empty=lambda *args: args)
    assert backend.empty(cupy, (2, 3), np.dtype("i4")) == ((2, 3), np.dtype("i4"))
    assert backend.empty(np, (2, 3), np.dtype("i4")).ctypes.data % 64 == 0


def test_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(cpu, "sample", lambda params, *rest: seen.extend((params, rest[3])))
    x = jnp.ones((50, 7))
    for count in (1, 100, 1000, 100_003):
        draws = Categorical(x).sample(count, rng=0)
        assert seen[-2].ctypes.data == x.unsafe_buffer_pointer()
        assert draws.unsafe_buffer_pointer() == seen[-1].ctypes.data


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from anycat import Categorical, kl_divergence
a, b = jax.devices("cpu")
x = np.random.default_rng(0).random((4, 6)).astype("f4")
expected = Categorical(x)
there = Categorical(jax.device_put(x, b))
draws = there.sample(3, rng=0)
assert draws.devices() == {b} and (np.asarray(draws) == expected.sample(3, rng=0)).all()
for made in (there.mean, there.enumerate_support(), there.log_prob(1), there.icdf(0.5), there.mode):
    assert made.devices() == {b}
try:
    there.log_prob(jax.device_put(np.arange(4), a))
except ValueError as error:
    assert "value is on device" in str(error), error
else:
    raise AssertionError
mesh = Mesh(np.array([a, b]), "i")
sharding = NamedSharding(mesh, P("i"))
free, other = Categorical(jnp.asarray(x)), Categorical(logits=jnp.asarray(x))
MEMBERS = (
    lambda d: d.sample(3, rng=0),
    lambda d: d.sample(3, rng=0, dtype="int16"),
    lambda d: d.sample(3, seeds=[1, 2, 3, 4]),
    lambda d: d.sample(3, replace=False, rng=0),
    lambda d: d.sample_counts(9, rng=0),
    lambda d: d.sample_and_log_prob(3, rng=0)[1],
    lambda d: d.log_prob([0, 1, 2, 3]),
    lambda d: d.prob(1),
    lambda d: d.cdf(2),
    lambda d: d.cdf(2.5),
    lambda d: d.icdf(0.3),
    lambda d: d.probs,
    lambda d: d.logits,
    lambda d: d.entropy(),
    lambda d: d.perplexity(),
    lambda d: d.mode,
    lambda d: d.mean,
    lambda d: d.variance,
    lambda d: d.enumerate_support(),
    lambda d: d.enumerate_support(expand=False),
    lambda d: d.expand((2, 4)).entropy(),
    lambda d: d.truncate(top_k=2, top_p=[0.5] * 4).probs,
    lambda d: d.truncate(mask=[True] * 5 + [False]).probs,
    lambda d: d.truncate(mask=jnp.asarray([5], "uint32")).probs,
    lambda d: d[1:].logits,
    lambda d: kl_divergence(d, d),
)
made = [f(d) for f in MEMBERS for d in (free, other)]
made.append(jax.jit(MEMBERS[0])(free))
for i, y in enumerate(made):
    for device in (a, b):
        met = y + jax.device_put(np.zeros((), y.dtype), device)
        assert met.devices() == {device}, i
spread = Categorical(jax.device_put(x, sharding))
for f in (lambda d: d.entropy(), lambda d: d.log_prob(jnp.arange(4)), lambda d: d.icdf(0.3),
          lambda d: d.mean, lambda d: d.enumerate_support(), lambda d: d.cdf(2), lambda d: d.mode,
          lambda d: kl_divergence(d, d)):
    wanted = np.asarray(f(Categorical(jnp.asarray(x))))
    np.testing.assert_allclose(np.asarray(f(spread)), wanted, rtol=1e-5)
seeds = jax.device_put(jnp.arange(4), sharding)
for what, f in [
    ("this JAX array", lambda: spread.sample()),
    ("this JAX array", lambda: spread.truncate(top_k=2)),
    ("this JAX array", lambda: jax.grad(lambda y: Categorical(y).sample() @ y[:, 0])(spread.probs)),
    ("seeds", lambda: free.sample(seeds=seeds)),
    ("start", lambda: free.sample(seeds=0, start=seeds)),
]:
    try:
        f()
    except TypeError as error:
        assert f"{what} is on 2 devices: draw under jax.jit" in str(error), error
    else:
        raise AssertionError(what)
for f in (lambda d: d.sample(3, rng=0), lambda d: d.truncate(top_k=2).sample(3, seeds=5)):
    mapped = jax.vmap(f)(spread) + 0
    assert (np.asarray(mapped) == np.stack([f(d) for d in expected])).all()
# In shard_map, draws vary with the rows: gradients are sums, and no result is replicated.
rows, table = jnp.arange(4), jnp.ones(6)
def local(table, x, s):
    return jax.grad(lambda t: t[Categorical(x).sample(seeds=s)].sum())(table)
def shard(f, specs, out):
    return jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=out)
specs = P(), P("i"), P("i")
assert jax.jit(shard(local, specs, P()))(table, x, rows).sum() == 4
for f, wrapper in (
    (lambda d, s: d.sample(seeds=s), jax.jit),
    (lambda d, s: d.truncate(top_k=2).logits, jax.jit),
    (lambda d, s: d.sample_and_log_prob(seeds=s)[1], lambda f: f),
    (lambda d, s: d.icdf(0.3), lambda f: f),
):
    call = lambda x, s: f(Categorical(x), s)
    found = wrapper(shard(call, specs[1:], P("i")))(x, rows)
    np.testing.assert_allclose(found, call(jnp.asarray(x), rows), rtol=1e-6)
    try:
        jax.eval_shape(shard(call, specs[1:], P()), x, rows)
    except ValueError as error:
        assert "require replication" in str(error), error
    else:
        raise AssertionError("draws vary")
def generate(x, s):
    step = lambda t, i: (Categorical(x ** (1 + t[:, None])).sample(seeds=s, start=i),) * 2
    return jax.lax.scan(step, s, jnp.arange(3))[1].T
found = jax.jit(shard(generate, (P("i"), P("i")), P("i")))(x, rows)
assert (np.asarray(found) == np.asarray(generate(jnp.asarray(x), rows))).all()
# Axes of a mesh may be explicit.
explicit = jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Explicit,))
for spec in (P("i"), P()):
    there = Categorical(jax.device_put(x, NamedSharding(explicit, spec)))
    for f in (lambda d: d.log_prob(rows), lambda d: d.icdf(0.3), lambda d: d.mode):
        np.testing.assert_allclose(np.asarray(f(there)), f(free), rtol=1e-5)
    there, at = (jax.device_put(y, NamedSharding(explicit, P("i"))) for y in (x, rows))
    f = lambda x, s: Categorical(x).sample(3, seeds=s, start=s)
    assert (np.asarray(jax.jit(f)(there, at)) == f(x, np.arange(4))).all()
draws = jax.jit(lambda d: d.sample(3, rng=0))(spread)
assert (np.asarray(draws) == expected.sample(3, rng=0)).all()
assert (draws[0] + 1 == expected.sample(rng=0) + 1).all()
print("done")
"""


@pytest.mark.slow
@narrow
def test_other_and_several_devices() -> None:
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-W", "error", "-c", SHARDED]
    found = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert found.stdout.strip() == "done", found.stderr[-3000:]

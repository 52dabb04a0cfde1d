"""Agreement with exact arithmetic, with SciPy, and with torch.distributions, to a few ulp.

A tolerance is a number of ulps of the result, and as many of 1 where a result comes about by
cancellation (the logarithm of a number near 1, say), or of the subnormal numbers.
"""

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anycat import Categorical, kl_divergence

Array = npt.NDArray[Any]

FORMS = ["probs", "logits"]
DTYPES = ["float16", "float32", "float64"]

each_form = pytest.mark.parametrize("form", FORMS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def close(actual: Any, desired: Any, ulps: float, cancelled: float = 0, dtype: Any = None) -> None:
    """Compare with a result in a wider type, or in the same."""
    info = np.finfo(dtype or actual.dtype)
    actual, desired = (np.asarray(x, np.float64) for x in (actual, desired))
    atol = max(cancelled * float(info.eps), float(info.smallest_subnormal))
    np.testing.assert_allclose(actual, desired, rtol=ulps * float(info.eps), atol=atol)
    assert actual.shape == desired.shape


# --- exact arithmetic


class Exact:
    """One row, in decimal numbers of fifty digits."""

    def __init__(self, form: str, row: list[float]) -> None:
        numbers = list(map(Decimal, row))
        weights = numbers if form == "probs" else [(x - max(numbers)).exp() for x in numbers]
        total = sum(weights)
        self.probs = [w / total for w in weights]
        self.logs = [p.ln() if p else Decimal("-inf") for p in self.probs]
        self.entropy = -sum(p * x for p, x in zip(self.probs, self.logs, strict=True) if p)

    def kl_divergence(self, other: "Exact") -> Decimal:
        terms = zip(self.probs, self.logs, other.logs, strict=True)
        return sum((p * (x - y) for p, x, y in terms if p), Decimal(0))


EXACT: list[tuple[str, list[float]]] = [
    ("probs", [0.33, 0.33, 0.33, 0.01]),
    ("probs", [1, 2, 0, 5]),
    ("probs", [1e-3, 1, 1e3, 6e4]),
    ("probs", [1e-12, 1.0, 1e-30, 3.0]),
    ("probs", [1e-38, 3e-38, 2e-38, 1e-37]),
    ("probs", [1e37, 1e38, 1e-37, 3e37]),
    ("probs", [1e-300, 3e-300, 1e-290, 0]),
    ("probs", [1e300, 1e307, 1.0, 1e-5]),
    ("probs", [3.0, 3.0, 3.0, 3.0]),
    ("logits", [0.33, 0.33, 0.33, 0.01]),
    ("logits", [1000, 1001, 1000.5, 999]),
    ("logits", [-1000, -1001, -1000.5, -999]),
    ("logits", [1e5, 1e5 + 0.25, 1e5 - 1, 1e5 - 30]),
    ("logits", [-1e5, -1e5 + 0.25, -1e5 - 1, -1e5 - 30]),
    ("logits", [1e15, 1e15 + 0.25, 1e15 - 1, 1e15 - 30]),
    ("logits", [0, -40, -80, -3]),
    ("logits", [0, 0.5, -0.5, -math.inf]),
    ("logits", [-math.inf, 7, -math.inf, -math.inf]),
]


def as_row(values: list[float], dtype: str) -> Array | None:
    """Return a row if the dtype has its numbers at all."""
    with np.errstate(all="ignore"):
        row = np.array(values, dtype)
        fits = np.isfinite(row) == np.isfinite(values)
        fits &= (row == 0) == (np.array(values) == 0)
    normal = np.abs(row[row != 0]) >= np.finfo(dtype).smallest_normal
    return row if fits.all() and normal.all() else None


@each_dtype
def test_exact_arithmetic(dtype: str) -> None:
    uniform = Exact("probs", [1, 1, 1, 1])
    tested = 0
    for form, values in EXACT:
        row = as_row(values, dtype)
        if row is None:
            continue
        tested += 1
        dist = Categorical(**{form: row}, clamp_probs=False)
        with localcontext() as context:
            context.prec = 50
            exact = Exact(form, row.tolist())
            relative = uniform.kl_divergence(exact)
            back = exact.kl_divergence(uniform)
        close(dist.probs, exact.probs, 2)
        close(dist.logits, exact.logs, 2, cancelled=2)
        close(dist.log_prob([0, 1, 2, 3]), exact.logs, 2, cancelled=2)
        close(dist.prob([0, 1, 2, 3]), exact.probs, 2)
        close(dist.cdf([0, 1, 2, 3]), np.cumsum(exact.probs), 2)
        close(dist.entropy(), exact.entropy, 2, cancelled=2)
        close(dist.perplexity(), math.exp(exact.entropy), 4)
        close(kl_divergence(Categorical(np.ones(4, dtype)), dist), relative, 2, cancelled=4)
        close(kl_divergence(dist, Categorical(np.ones(4, dtype))), back, 2, cancelled=4)
    assert tested >= 6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset", [1000, -1000, 1e5, -1e5])
def test_an_offset_costs_no_digit(offset: float, dtype: str) -> None:
    logits = np.random.default_rng(0).integers(-640, 640, (50, 9)) / 64  # so that sums are exact
    plain, moved = (Categorical(logits=(logits + x).astype(dtype)) for x in (0, offset))
    for name in ("probs", "logits"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(plain, name))
    np.testing.assert_array_equal(moved.entropy(), plain.entropy())
    np.testing.assert_array_equal(moved.log_prob(3), plain.log_prob(3))
    np.testing.assert_array_equal(kl_divergence(moved, plain[0]), kl_divergence(plain, plain[0]))


# --- SciPy and torch, over shapes and values

batches = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def params(draw: st.DrawFn, form: str, batch: tuple[int, ...] | None = None, k: int = 0) -> Array:
    """Return parameters whose rows are distributions.

    Logits are multiples of 1/64, so that their differences are exact in all dtypes: otherwise the
    rounding of a difference, of half an ulp of it, is what limits all that is made of it.
    """
    batch = draw(batches) if batch is None else batch
    shape = (*batch, k or draw(st.integers(1, 9)))
    zeros = draw(hnp.arrays(bool, shape, elements=st.booleans(), fill=st.just(False)))
    if form == "probs":
        values = draw(hnp.arrays(np.float64, shape, elements=st.integers(1, 1000)))
        values[zeros] = 0
    else:
        values = draw(hnp.arrays(np.float64, shape, elements=st.integers(-1024, 1024))) / 64
        values[zeros] = -np.inf
    values[..., 0] = 1
    return values


@st.composite
def cases(draw: st.DrawFn, form: str) -> tuple[Array, str]:
    return draw(params(form)), draw(st.sampled_from(DTYPES))


def normalised(form: str, values: Array) -> tuple[Array, Array]:
    """Return probabilities and their logarithms, by SciPy, in float64."""
    if form == "logits":
        return scipy.special.softmax(values, -1), scipy.special.log_softmax(values, -1)
    p = values / values.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return p, np.log(p)


@each_form
@given(data=st.data())
def test_scipy_special(form: str, data: st.DataObject) -> None:
    values, dtype = data.draw(cases(form))
    dist = Categorical(**{form: values.astype(dtype)}, clamp_probs=False)
    p, log_p = normalised(form, values)
    entropy = scipy.special.entr(p).sum(-1)
    assert dist.probs.dtype == dist.logits.dtype == dist.entropy().dtype == dtype
    close(dist.probs, p, 4)
    close(dist.logits, log_p, 4, cancelled=2)
    close(dist.entropy(), entropy, 4, cancelled=4)
    close(dist.perplexity(), np.exp(entropy), 8)
    uniform = Categorical(np.ones(values.shape[-1], dtype))
    relative = scipy.special.rel_entr(p, 1 / values.shape[-1]).sum(-1)
    close(kl_divergence(dist, uniform), relative, 4, cancelled=8)


@given(params("logits"))
def test_scipy_logsumexp(values: Array) -> None:
    dist = Categorical(logits=values)
    desired = values[..., 0] - scipy.special.logsumexp(values, -1)
    # Each share that is added to the largest, which is 1, may cost half a unit.
    close(dist.log_prob(0), desired, 4, cancelled=2 + values.shape[-1] / 2)


@each_form
@given(data=st.data())
def test_scipy_rel_entr(form: str, data: st.DataObject) -> None:
    a = data.draw(params(form))
    b = data.draw(params(form, a.shape[:-1], a.shape[-1]))
    p, q = (Categorical(**{form: x}) for x in (a, b))
    with np.errstate(divide="ignore"):
        desired = scipy.special.rel_entr(normalised(form, a)[0], normalised(form, b)[0]).sum(-1)
    close(kl_divergence(p, q), desired, 8, cancelled=16)


@each_form
@given(data=st.data())
def test_scipy_rv_discrete(form: str, data: st.DataObject) -> None:
    values = data.draw(params(form, ()))
    p, _ = normalised(form, values)
    peer = scipy.stats.rv_discrete(values=(np.arange(p.size), p))
    dist = Categorical(**{form: values}, clamp_probs=False)
    close(dist.entropy(), peer.entropy(), 4, cancelled=4)
    x = data.draw(st.lists(st.integers(-2, p.size + 1) | st.floats(-2, p.size + 1), min_size=1))
    # What scipy sums up from the one end, and this library from both: a few ulps of 1.
    close(dist.cdf(x), peer.cdf(np.floor(x)), 4, cancelled=p.size)
    # Far enough from a boundary, to which of both sides it belongs is no matter of rounding.
    q = np.concatenate([[0], p.cumsum()])
    middles = ((q[1:] + q[:-1]) / 2)[np.diff(q) > 1e-12]
    np.testing.assert_array_equal(dist.icdf(middles), peer.ppf(middles))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_form
@given(data=st.data())
def test_torch_distributions(form: str, dtype: str, data: st.DataObject) -> None:
    torch = pytest.importorskip("torch")
    values = data.draw(params(form).filter(lambda x: x.size)).astype(dtype)
    dist = Categorical(**{form: torch.asarray(values)})
    peer = torch.distributions.Categorical(**{form: torch.asarray(values)}, validate_args=False)
    assert dist.batch_shape == tuple(peer.batch_shape)
    assert dist.event_shape == tuple(peer.event_shape)
    assert dist.param_shape == tuple(peer.param_shape)

    def same(mine: Any, other: Any, ulps: float, cancelled: float = 0) -> None:
        assert mine.dtype == other.dtype
        close(mine.numpy(), other.numpy(), ulps, cancelled, dtype=dtype)

    # torch takes exp of logits that it has rounded, in units that grow with them.
    largest = max((abs(x) for x in peer.logits.flatten().tolist() if x > -1e3), default=0.0)
    same(dist.probs, peer.probs, 8 + (largest if form == "logits" else 0))
    same(dist.logits, peer.logits, 4, cancelled=8)
    value = torch.asarray(data.draw(hnp.arrays(int, dist.batch_shape, elements=st.just(0))))
    same(dist.log_prob(value), peer.log_prob(value), 4, cancelled=8)
    same(dist.enumerate_support(), peer.enumerate_support(), 0)
    same(dist.enumerate_support(expand=False), peer.enumerate_support(expand=False), 0)
    same(dist.mean, peer.mean, 0)
    same(dist.variance, peer.variance, 0)
    same(dist.mode, peer.mode, 0)
    # torch's own is of clamped logarithms, which are off by eps, and p log p by p eps.
    same(dist.entropy(), peer.entropy(), 4, cancelled=8)
    wide = (3, *dist.batch_shape)
    same(dist.expand(wide).logits, peer.expand(wide).logits, 4, cancelled=8)
    same(dist.expand(wide).entropy(), peer.expand(wide).entropy(), 4, cancelled=8)
    assert dist.sample((2,)).shape == peer.sample((2,)).shape
    assert dist.sample((2,)).dtype == peer.sample((2,)).dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_form
@given(data=st.data())
def test_torch_kl_divergence(form: str, dtype: str, data: st.DataObject) -> None:
    torch = pytest.importorskip("torch")
    a = data.draw(params(form).filter(lambda x: x.size)).astype(dtype)
    b = data.draw(params(form, a.shape[:-1], a.shape[-1])).astype(dtype)
    pairs = [(torch.asarray(a), torch.asarray(b)), (torch.asarray(a)[None], torch.asarray(b))]
    for x, y in pairs:
        found = kl_divergence(Categorical(**{form: x}), Categorical(**{form: y}))
        peers = (torch.distributions.Categorical(**{form: z}, validate_args=False) for z in (x, y))
        desired = torch.distributions.kl_divergence(*peers)
        assert found.dtype == desired.dtype
        close(found.numpy(), desired.numpy(), 16, cancelled=32, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_weights_of_any_magnitude(dtype: str, data: st.DataObject) -> None:
    top = 2.0 ** (100 if dtype == "float32" else 1000)
    numbers = st.floats(1 / top, top, width=32 if dtype == "float32" else 64)
    row = np.array(data.draw(st.lists(numbers, min_size=1, max_size=6)), dtype)
    dist = Categorical(row, clamp_probs=False)
    with localcontext() as context:
        context.prec = 50
        exact = Exact("probs", row.tolist())
    close(dist.probs, exact.probs, 4)
    close(dist.logits, exact.logs, 4, cancelled=4)
    close(dist.log_prob(list(range(len(row)))), exact.logs, 4, cancelled=4)
    close(dist.entropy(), exact.entropy, 4, cancelled=4)

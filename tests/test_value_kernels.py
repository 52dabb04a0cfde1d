"""What kernels compute from rows agrees with the definitions, in a wider floating-point format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from llvmlite.binding import llvm_version_info

from anycat._kernels.cpu import values as kernels

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]
SIZES = [1, 2, 6, 18, 33, 100, 113, 1000, 4097, 9000]
SHAPES = [(rows, size) for size in SIZES for rows in (1, 63, 64, 65) if rows == 1 or size < 1000]
SHAPES += [(1000, 1), (1000, 6), (1000, 18), (1000, 100), (3, 9000), (5, 13, 7), (5,)]
DTYPES = [np.float16, np.float32, np.float64]
FORMS = ["probs", "logits"]
KINDS = {
    "logits": ["plain", "masked", "far", "rising", "single", "wide"],
    "probs": ["plain", "masked", "single", "subnormal", "wide", "large"],
}
BATCHES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [  # and shapes of values
    *[((), ()), ((), (4,)), ((5,), (5,)), ((5,), (3, 5)), ((5,), ()), ((1, 5), (4, 5))],
    *[((3, 1), (3, 5)), ((3, 1), (2, 1, 5)), ((2, 3), (2, 1)), ((3, 0), (1,))],
]
CASES = [(form, kind) for form in FORMS for kind in KINDS[form]]


def make(form: str, kind: str, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return valid rows."""
    rng = np.random.default_rng(len(shape))
    x = rng.normal(0, 30 if kind == "wide" else 3, shape)
    if kind == "rising":  # each part of a row has a larger logit than the one before
        x = np.sort(x, -1)
    if kind == "masked":
        x[..., 1::2] = -np.inf
    if kind == "single":
        x[..., 1:] = -np.inf
    if kind == "far":
        x -= 3e6 if dtype != np.float16 else 3e4
    if form == "probs":
        x = np.exp(x / 15 if dtype == np.float16 else x / 2)
        x[..., 0] += 0.01  # as narrow dtypes know no smaller ones, so that no row is invalid
        if kind == "subnormal":
            x = np.ceil(x * 9) * float(np.finfo(dtype).smallest_subnormal)
        if kind == "large":
            x *= float(np.finfo(dtype).max) / x.max(initial=1) / x.shape[-1] / 2
            x[..., 0] += 1e-5
    return x.astype(dtype)


class Reference:
    """The definitions, in float64 or, for float64, in long double."""

    def __init__(self, x: Array, logits: bool) -> None:
        wide = x.astype(np.longdouble if x.dtype == np.float64 else np.float64)
        self.top = wide.max(-1)
        shares = np.exp(wide - self.top[..., None]) if logits else wide
        self.total = shares.sum(-1)
        self.p = shares / self.total[..., None]
        with np.errstate(divide="ignore"):
            log = wide - self.top[..., None] if logits else np.log(wide)
            self.log_p = log - np.log(self.total)[..., None]
        self.entropy = -(self.p * np.where(self.p > 0, self.log_p, 0)).sum(-1)


def eps_of(dtype: Any) -> float:
    return float(np.finfo(np.float64 if dtype == np.float64 else np.float32).eps)


def check(ours: Array, expected: Array, dtype: Any, ulps: float, atol: float = 0.0) -> None:
    """Compare, with an absolute error of ``atol`` eps."""
    assert ours.dtype == (np.float64 if dtype == np.float64 else np.float32)
    eps = eps_of(dtype)
    tiny = 4 * float(np.finfo(ours.dtype).smallest_subnormal)
    expected = expected.reshape(ours.shape)
    np.testing.assert_allclose(ours, expected, rtol=ulps * eps, atol=atol * eps + tiny)


def terms_in_a_row(size: int) -> int:
    """Return how many terms may be added one after the other in the precision of the values.

    What the widest vectors (4 of 16 terms) leave over, old releases of LLVM add term by term.
    """
    left_over = size % 128 % 64
    return left_over if llvm_version_info < (16,) else 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "kind"), CASES)
def test_values_of_rows(form: str, kind: str, dtype: Any) -> None:
    for shape in SHAPES:
        check_values(form, kind, shape, dtype)


def check_values(form: str, kind: str, shape: tuple[int, ...], dtype: Any) -> None:
    x, logits = make(form, kind, shape, dtype), form == "logits"
    known = Reference(x, logits)
    stats = kernels.row_stats(x, logits)
    np.testing.assert_array_equal(stats.top, known.top.reshape(-1))
    assert all(stat.dtype == np.float64 for stat in stats)
    narrow = np.float64 if dtype == np.float64 else np.float32
    stats = kernels.RowStats(*(stat.astype(narrow) for stat in stats))
    off = max(4, terms_in_a_row(x.shape[-1]) / 2)  # eps of a total
    check(stats.total, known.total, dtype, off)
    check(stats.log_total, np.log(known.total), dtype, 1, off - 1)
    # Rounding of x - top is relative to it, and so is the error of a probability.
    with np.errstate(invalid="ignore"):
        spread = np.abs(np.where(known.p > eps_of(dtype) ** 2, known.log_p, 0)).max()
    # No power of 2 makes the least numbers 1, so that there are larger logarithms to subtract.
    check(stats.entropy, known.entropy, dtype, off + spread, 40 if kind == "subnormal" else 2)
    assert (stats.entropy >= 0).all()
    if kind == "single" or x.shape[-1] == 1:
        assert (stats.entropy == 0).all()
        assert not np.signbit(stats.entropy).any()

    # The logarithm of that total, and that of logits is rounded.
    magnitude = off + 1 + (float(np.abs(np.log(known.total)).max()) if logits else 0)
    log_p = kernels.every(x, logits, stats[:3], log=True)
    check(log_p, known.log_p, dtype, 4, magnitude)
    p = kernels.every(x, logits, stats[:3], log=False)
    finite = np.where(known.p > 0, -known.log_p, 0)
    assert (np.abs(p - known.p) <= eps_of(dtype) * (off + 1 + finite) * known.p + 1e-44).all()
    assert p.shape == log_p.shape == x.shape
    eps = float(np.finfo(dtype).eps)
    clamped = kernels.every(x, logits, stats[:3], log=True, eps=eps)
    if logits:
        np.testing.assert_array_equal(clamped, log_p)
    else:
        check(clamped, np.log(known.p.clip(eps, 1 - eps)), dtype, 4, 5)

    cdf = kernels.cumulative(x, logits, stats[:3])
    terms = x.shape[-1] if dtype == np.float64 else 0  # each of which may be rounded
    check(cdf, known.p.cumsum(-1), dtype, 8 + spread + terms, 2)
    assert (cdf[..., -1] == 1).all()
    np.testing.assert_array_equal(kernels.mode(x, logits), x.argmax(-1).reshape(-1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("eps", [None, 1e-3])
@pytest.mark.parametrize(("form", "kind"), CASES)
def test_lookup(form: str, kind: str, dtype: Any, log: bool, eps: float | None) -> None:
    for batch, values in BATCHES:
        check_lookup(form, kind, dtype, log, eps, batch, values)


def check_lookup(
    form: str, kind: str, dtype: Any, log: bool, eps: float | None, batch: Any, values: Any
) -> None:
    logits = form == "logits"
    x = make(form, kind, (*batch, 7), dtype)
    v = np.random.default_rng(1).integers(0, 7, values)
    normalizer = kernels.row_stats(x, logits)[:3]
    known = Reference(x, logits) if x.size else None
    shape = np.broadcast_shapes(batch, values)
    table = np.empty((*batch, 7))
    if known:
        table = known.log_p if log else known.p
        if log and eps and not logits:
            table = np.log(known.p.clip(eps, 1 - eps))
    expected = np.take_along_axis(
        np.broadcast_to(table, (*shape, 7)), np.broadcast_to(v, shape)[..., None], -1
    )[..., 0]
    magnitude = 3 + float(np.abs(known.log_p[known.p > 0]).max()) if known else 1
    for layout in (x, np.moveaxis(np.moveaxis(x, -1, 0).copy(), 0, -1), x[..., ::-1][..., ::-1]):
        for order in (v, v.copy(order="F")):
            ours = kernels.lookup(layout, logits, normalizer, order, log=log, eps=eps)
            assert ours is not None
            assert ours.shape == shape
            check(ours, expected, dtype, magnitude, 3 if log else 0)


@pytest.mark.parametrize("wrong", [-1, 7, 2**31, 2**62, -(2**63)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_that_are_no_categories(wrong: int, dtype: Any) -> None:
    x, good = make("logits", "plain", (5, 7), dtype), np.zeros((3, 5), np.int64)
    for params in (x, x[:, ::-1], x.astype(dtype, order="F")):
        normalizer = kernels.row_stats(params, True)[:3]
        assert kernels.lookup(params, True, normalizer, good, log=True) is not None
        for place in [(0, 0), (1, 2), (2, 4)]:
            bad = good.copy()
            bad[place] = wrong
            assert kernels.lookup(params, True, normalizer, bad, log=True) is None


LAYOUTS = ["Fortran", "every second", "backwards", "big-endian", "read-only"]


def layouts(x: Array) -> dict[str, Array]:
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return {
        "Fortran": np.asfortranarray(x),
        "every second": wide[..., ::2],
        "backwards": x[::-1, ::-1].copy()[::-1, ::-1],
        "big-endian": x.astype(x.dtype.newbyteorder(">")),
        "read-only": np.broadcast_to(x, x.shape),
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_layouts(form: str, dtype: Any, layout: str) -> None:
    x, logits = make(form, "plain", (70, 18), dtype), form == "logits"
    other, v = layouts(x)[layout], np.arange(70) % 18
    stats = kernels.row_stats(x, logits)
    normalizer, g = stats[:3], np.ones(70)
    for a, b in zip(stats, kernels.row_stats(other, logits), strict=True):
        np.testing.assert_array_equal(a, b)
    calls: list[Callable[[Array], Any]] = [
        lambda x: kernels.every(x, logits, normalizer, log=True),
        lambda x: kernels.lookup(x, logits, normalizer, v, log=True),
        lambda x: kernels.mode(x, logits),
        lambda x: kernels.cumulative(x, logits, normalizer),
        lambda x: kernels.gradient(x, logits, stats, g, g),
    ]
    for call in calls:
        np.testing.assert_array_equal(call(other), call(x))


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16(form: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 for NumPy is in ml_dtypes")
    logits = form == "logits"
    x = make(form, "plain", (70, 18), np.float32).astype(ml_dtypes.bfloat16)
    wide, v = x.astype(np.float32), np.arange(70) % 18
    stats = kernels.row_stats(x, logits)
    for a, b in zip(stats, kernels.row_stats(wide, logits), strict=True):
        np.testing.assert_array_equal(a, b)
    ours = kernels.lookup(x, logits, stats[:3], v, log=True)
    np.testing.assert_array_equal(ours, kernels.lookup(wide, logits, stats[:3], v, log=True))


INVALID = [
    *[("probs", v) for v in (np.nan, -np.nan, np.inf, -np.inf, -1.0, -1e-44)],
    *[("logits", v) for v in (np.nan, -np.nan, np.inf)],
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 6), (70, 6), (70, 18), (3, 200), (2, 9000)])
@pytest.mark.parametrize(("form", "value"), [*INVALID, ("probs", None), ("logits", None)])
def test_invalid_rows(form: str, value: float | None, shape: Any, dtype: Any) -> None:
    logits = form == "logits"
    x = make(form, "plain", shape, dtype)
    expected = kernels.row_stats(x, logits)
    for place in (0, shape[1] // 2, shape[1] - 1):
        bad = x.copy()
        bad[1, place if value is not None else slice(None)] = (
            value if value is not None else -np.inf if logits else 0
        )
        stats = kernels.row_stats(bad, logits)
        for ours, good in zip(stats[1:], expected[1:], strict=True):
            assert np.isnan(ours[1])
            np.testing.assert_array_equal(np.delete(ours, 1), np.delete(good, 1))
        modes = kernels.mode(bad, logits)
        assert np.flatnonzero(modes == -1).tolist() == [1]
        assert np.isnan(kernels.cumulative(bad, logits, stats[:3])[1]).any()
        one = np.ones(shape[0])
        assert np.isnan(kernels.gradient(bad, logits, stats, one, one)[1]).any()


@pytest.mark.parametrize("form", FORMS)
def test_no_rows(form: str) -> None:
    x, logits = np.empty((2, 0, 5), np.float32), form == "logits"
    stats = kernels.row_stats(x, logits)
    assert all(s.shape == (0,) for s in stats)
    assert kernels.every(x, logits, stats[:3], log=True).shape == x.shape
    assert kernels.cumulative(x, logits, stats[:3]).shape == x.shape
    assert kernels.gradient(x, logits, stats, None, None).shape == x.shape
    assert kernels.mode(x, logits).shape == (0,)


@pytest.mark.parametrize("rows", [5, 70])
def test_the_mode_is_the_first_of_equals(rows: int) -> None:
    for size in (6, 600, 5000):
        x = np.zeros((rows, size), np.float32)
        x[:, [2, 4, -1]] = 1.0
        x[0, 0] = -0.0
        for logits in (False, True):
            assert (kernels.mode(x, logits) == 2).all()
        assert (kernels.mode(x * 0, True) == 0).all()  # -0.0 equals 0.0


# --- gradients ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "kind"), [c for c in CASES if c[1] not in ("subnormal", "large")])
@pytest.mark.parametrize("shape", [(1, 1), (3, 6), (70, 18), (2, 700), (5, 13, 7)])
@pytest.mark.parametrize("given", ["log_total", "entropy", "both", "none"])
def test_gradient(form: str, kind: str, shape: Any, dtype: Any, given: str) -> None:
    logits, x = form == "logits", make(form, kind, shape, dtype)
    known, stats = Reference(x, logits), kernels.row_stats(x, logits)
    rng = np.random.default_rng(0)
    rows = stats.total.size
    by = [rng.normal(size=2 * rows)[::2], np.broadcast_to(rng.normal(), rows)]
    names = "log_total", "entropy"
    used = [g if given in (n, "both") else None for g, n in zip(by, names, strict=True)]
    ours = kernels.gradient(x, logits, stats, *used)
    of_log, of_entropy = (
        (np.zeros(rows) if g is None else g).reshape(*x.shape[:-1], 1) for g in used
    )
    total, entropy = known.total[..., None], known.entropy[..., None]
    log_p = np.where(known.p > 0, known.log_p, -1 if not logits else 0)
    scale = known.p if logits else 1 / total
    expected = scale * (of_log - of_entropy * (log_p + entropy))
    size = np.abs(scale * of_log) + np.abs(scale * of_entropy) * (1 + np.abs(log_p) + entropy)
    error = np.abs(ours - expected)
    tiny = 1e-44 * (1 + np.abs(log_p) + entropy)  # of a rounded subnormal share
    assert (error <= eps_of(dtype) * (6 + np.abs(log_p)) * size + tiny).all()


@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_is_that_of_the_array_operations(form: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch differentiates the reference")
    compat = pytest.importorskip("array_api_compat.torch")
    from anycat import _parameters

    logits, x = form == "logits", make(form, "masked", (40, 9), np.float64)
    g = np.random.default_rng(0).normal(size=(2, 40))
    param = torch.from_numpy(x).requires_grad_()
    functions = _parameters.LOGITS if logits else _parameters.PROBS
    normalizer = functions.normalizer(compat, param)
    p = functions.prob(compat, param, normalizer)
    entropy = _parameters.entropy(compat, p, functions.log_prob(compat, param, normalizer))
    log_total = normalizer[2] if logits else torch.log(normalizer[0])
    if logits:  # of the log-sum-exp, the kernel has only this part
        log_total = log_total + normalizer[0]
    by_log_total, by_entropy = map(torch.from_numpy, g)
    (by_log_total * log_total[:, 0] + by_entropy * entropy).sum().backward()
    ours = kernels.gradient(x, logits, kernels.row_stats(x, logits), *g)
    np.testing.assert_allclose(ours, param.grad.numpy(), rtol=1e-12, atol=1e-15)


# --- accuracy -------------------------------------------------------------------------------


def rms(errors: Array) -> float:
    return float(np.sqrt((errors.astype(np.float64) ** 2).mean()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [18, 100, 1000, 9000])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 5.0])
def test_errors_are_no_larger_than_those_of_torch(size: int, dtype: Any, sigma: float) -> None:
    torch = pytest.importorskip("torch", reason="its errors are the limit")
    rows = max(64, 200_000 // size)
    x = (sigma * np.random.default_rng(size).normal(size=(rows, size))).astype(dtype)
    known, t = Reference(x, True), torch.from_numpy(x).requires_grad_()
    log_p = torch.log_softmax(t, -1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    stats = kernels.row_stats(x, True)
    v = x.argmin(-1)
    ours = kernels.lookup(x, True, stats[:3], v, log=True)
    assert ours is not None
    expected = np.take_along_axis(known.log_p, v[:, None], -1)[:, 0]
    theirs = np.take_along_axis(log_p.detach().numpy(), v[:, None], -1)[:, 0]
    # In float64, which has no wider format to compute in, the errors are alike.
    limit = 1.05 if dtype == np.float64 else 1.0
    assert rms(ours - expected) <= limit * rms(theirs - expected)
    assert rms(stats.entropy - known.entropy) <= limit * rms(
        entropy.detach().numpy() - known.entropy
    )

    g = np.random.default_rng(0).normal(size=(2, rows)).astype(dtype)
    (torch.from_numpy(g[0]) * torch.logsumexp(t, -1)).sum().backward(retain_graph=True)
    (torch.from_numpy(g[1]) * entropy).sum().backward()
    slope = g[0][:, None] - g[1][:, None] * (known.log_p + known.entropy[:, None])
    expected = known.p * slope
    gradient = kernels.gradient(x, True, stats, *g)
    assert t.grad is not None
    assert rms(gradient - expected) <= limit * rms(t.grad.numpy() - expected)

"""No warning comes from valid parameters and arguments, or from unchecked invalid ones.

Warnings are errors in all tests. Here, those of NumPy are too that it does not show by default, and
what numbers do is taken to its limits: the largest, the smallest, and such as overflow, underflow
or lose all digits when they are combined.
"""

from __future__ import annotations

import itertools
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from libraries import each_library, put

from anycat import Categorical, kl_divergence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DTYPES = ["float16", "bfloat16", "float32", "float64", "int8", "int64", "uint64", "bool"]
NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True)
def _strictest() -> Iterator[None]:
    """Make errors of all warnings of NumPy, in the one thread to which that applies."""
    dask = sys.modules.get("dask")
    with np.errstate(all="raise"), dask.config.set(scheduler="sync") if dask else nullcontext():
        yield


def numpy_dtype(name: str) -> Any:
    if name == "bfloat16":
        name = pytest.importorskip("ml_dtypes").bfloat16
    return np.dtype(name)


def rows_of(form: str, valid: bool, dtype: Any) -> list[list[float]]:
    """Return rows of three, which take the numbers of a dtype to their limits."""
    if dtype.kind in "biu":
        most = 1 if dtype.name == "bool" else np.iinfo(dtype).max // 4
        least = 0 if dtype.name == "bool" else np.iinfo(dtype).min
        if form == "logits":
            return [[1, least, most], [most, most, most], [0, 0, 0]]
        return [[1, 0, most], [1, 1, 1]] if valid else [[0, 0, 0], [1, least, most]]
    info = pytest.importorskip("ml_dtypes").finfo(dtype)
    most, normal, least = (float(x) for x in (info.max, info.tiny, info.smallest_subnormal))
    return {
        ("probs", True): [
            [1, 2, 4],
            [least, 2 * least, normal],
            [least, 0, 1],
            [least, normal, most / 4],
            [most / 4, most / 4, 0],
        ],
        ("logits", True): [
            [0, 1, 2],
            [-most, most, 0],
            [most, most, -INF],
            [-most, -most, -INF],
            [least, -least, normal],
            [0, -17, -18],
            [0, -100, -1000],
            [-INF, -INF, -3],
        ],
        ("probs", False): [
            [NAN, 1, 2],
            [INF, 1, 2],
            [INF, -INF, 0],
            [-1, 2, 3],
            [0, 0, 0],
            [most, most, most],
            [-NAN, -INF, -least],
        ],
        ("logits", False): [
            [NAN, 1, 2],
            [INF, 1, 2],
            [INF, INF, INF],
            [-INF, -INF, -INF],
            [INF, -INF, NAN],
            [-NAN, most, -most],
        ],
    }[form, valid]


def parameters(form: str, valid: bool, dtype: Any, size: int) -> Any:
    """Return such rows as an array, with more categories, of probability zero, up to a size."""
    rows = np.array(rows_of(form, valid, dtype), float).reshape(-1, 3)
    with np.errstate(all="ignore"):
        zero = 0.0 if form == "probs" or dtype.kind in "biu" else -INF
        rows = np.pad(rows, [(0, 0), (0, size - 3)], constant_values=zero).astype(dtype)
    return np.ascontiguousarray(rows)


def ones(dist: Categorical) -> Categorical:
    param = dist._xp.astype(dist._xp.ones_like(dist._param), dist.dtype)
    return Categorical(param)


VALUES = [[0], [2], [1]]
MEMBERS: dict[str, Callable[[Categorical], Any]] = {
    "probs": lambda dist: dist.probs,
    "logits": lambda dist: dist.logits,
    "log_prob": lambda dist: dist.log_prob(VALUES),
    "log_prob of floats": lambda dist: dist.log_prob([[0.0], [2.0]]),
    "log_prob of one": lambda dist: dist[0].log_prob(0),
    "prob": lambda dist: dist.prob(VALUES),
    "cdf": lambda dist: dist.cdf([[0.5], [1e300], [-1e300], [INF], [NAN]]),
    "icdf": lambda dist: dist.icdf([[0], [1], [0.5], [1e-300]]),
    "entropy": lambda dist: dist.entropy(),
    "entropy of more": lambda dist: dist.expand((2, *dist.batch_shape)).entropy(),
    "perplexity": lambda dist: dist.perplexity(),
    "mode": lambda dist: dist.mode,
    "mean": lambda dist: dist.mean,
    "support": lambda dist: dist.enumerate_support(),
    "divergence": lambda dist: kl_divergence(dist, dist),
    "divergence from ones": lambda dist: kl_divergence(dist, ones(dist)),
    "divergence of ones": lambda dist: kl_divergence(ones(dist), dist),
    "a draw": lambda dist: dist.sample(rng=0),
    "many draws": lambda dist: dist.sample(3000, rng=0),
}
UNCHECKED: dict[str, Callable[[Categorical], Any]] = {
    "log_prob of no category": lambda dist: dist.log_prob([[-1], [10**6]]),
    "log_prob of no integer": lambda dist: dist.log_prob([[NAN], [INF], [1e300], [-1e300], [0.5]]),
    "prob of no integer": lambda dist: dist.prob([[NAN], [-INF]]),
    "icdf of no probability": lambda dist: dist.icdf([[NAN], [2.0], [-INF], [1e300]]),
}


def array(rows: Any, library: str) -> Any:
    if library == "torch" and rows.dtype.name == "bfloat16":  # it does not take NumPy's
        return put(rows.astype(np.float32), library).bfloat16()
    return put(rows, library)


def check(library: str, dtype: str, form: str, valid: bool) -> None:
    checks = (True, False) if valid else (False,)
    clamps = (True, False) if form == "probs" else (True,)
    sizes = (3, 70, 5000) if library == "numpy" else (3,)
    for size, validate, clamp in itertools.product(sizes, checks, clamps):
        params = array(parameters(form, valid, numpy_dtype(dtype), size), library)
        options = {"validate_args": validate, "clamp_probs": clamp}
        for name, member in {**MEMBERS, **({} if validate else UNCHECKED)}.items():
            try:
                result = member(Categorical(**{form: params}, **options))
                if library == "dask":
                    result.compute()
            except (Warning, FloatingPointError) as error:
                pytest.fail(f"{name}, K = {size}, {options}: {error}")


each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_validity = pytest.mark.parametrize("valid", [True, False], ids=["valid", "invalid"])
SKIPPED = {
    "array_api_strict": {"float16", "bfloat16"},  # it has none
    "dask": set(DTYPES) - {"float16", "float64", "int8"},  # it makes a graph of each operation
    "jax": set(DTYPES),  # it compiles each operation: see below
}


@each_library
@each_validity
@each_form
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_warnings(dtype: str, form: str, valid: bool, library: str) -> None:
    if dtype in SKIPPED.get(library, ()):
        pytest.skip(f"{library} without {dtype}")
    check(library, dtype, form, valid)


@pytest.mark.slow
@each_validity
@each_form
def test_no_warnings_of_jax(form: str, valid: bool) -> None:
    check("jax", "float16", form, valid)


@each_library
def test_no_warnings_of_numbers_that_are_too_large_for_the_dtype(library: str) -> None:
    dist = Categorical(put(np.ones((2, 3), np.float32), library), validate_args=False)
    assert (np.asarray(dist.cdf([1e300, -1e300])) == [1, 0]).all()
    assert (np.asarray(dist.icdf([1e300, -1e300])) == -1).all()

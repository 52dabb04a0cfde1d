"""The benchmark cases: anycat, its alternatives at their best and default settings, and floors.

A benchmark case is a dict from names to functions without arguments. Names that start with "anycat"
are anycat's own. Names that start with "floor" are lower bounds that every implementation must pay:
reading the input once, writing the output once, generating the random words.
"""

from __future__ import annotations

import functools
import importlib
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from anycat import Categorical
from anycat._kernels import cpu, cpu_kernels

Contest = dict[str, Callable[[], Any]]
KEY = np.arange(4, dtype=np.uint64)


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


torch, jax, scipy_sampling = map(optional, ("torch", "jax", "scipy.stats.sampling"))


def parameters(shape: tuple[int, ...], form: str, dtype: str = "float32") -> np.ndarray:
    x = np.random.default_rng(0).standard_normal(shape)
    return (np.exp(x) if form == "probs" else x).astype(dtype)


# --- floors, on as many threads as anycat uses ----------------------------------------------


@numba.njit(nogil=True)
def add_up(x: Any) -> Any:
    total = np.int32(0)
    for i in range(x.size):
        total += x[i]
    return total


def read(x: np.ndarray) -> Callable[[], Any]:
    numbers = x.reshape(-1).view(np.int32)
    return lambda: cpu._in_parallel(
        lambda begin, end: add_up(numbers[begin:end]), numbers.size, x.nbytes / 1e5
    )


def write(n: int) -> Callable[[], Any]:
    def fill() -> None:
        out = np.empty(n, np.int64)
        cpu._in_parallel(lambda begin, end: out[begin:end].fill(1), n, n / 1e5)

    return fill


@numba.njit(nogil=True)
def fill_again(words: Any, times: Any, key: Any) -> None:
    for i in range(times):
        cpu_kernels.fill_words(words, np.uint64(1024), key, np.uint64(i * 1024), np.uint64(1))


def make_words(n: int) -> Callable[[], Any]:
    def make(begin: int, end: int) -> None:
        fill_again(np.empty(1024 + cpu.SPARE, np.uint64), -(-(end - begin) // 1024), KEY)

    return lambda: cpu._in_parallel(make, n, n / 5e4)


# --- what an experienced Numba user would write ---------------------------------------------


@numba.njit(parallel=True)
def numba_rows(x: Any, logits: bool, draws: int) -> Any:
    out = np.empty((draws, x.shape[0]), np.int64)
    for r in numba.prange(x.shape[0]):
        ends = np.empty(x.shape[1])
        top, total = x[r].max(), 0.0
        for k in range(x.shape[1]):
            total += np.exp(x[r, k] - top) if logits else x[r, k]
            ends[k] = total
        for i in range(draws):
            out[i, r] = np.searchsorted(ends, np.random.random() * total, side="right")  # noqa: NPY002
    return out


@numba.njit(parallel=True)
def numba_row(p: Any, draws: int) -> Any:
    ends = np.cumsum(p)
    out = np.empty(draws, np.int64)
    for i in numba.prange(draws):
        out[i] = np.searchsorted(ends, np.random.random() * ends[-1], side="right")  # noqa: NPY002
    return out


# --- benchmark cases ------------------------------------------------------------------------


def one_row(size: int, draws: int = 1_000_000) -> Contest:
    """Many draws from one row, with all set-up done beforehand."""
    p = parameters((size,), "probs", "float64")
    p /= p.sum()
    generator = np.random.default_rng(0)
    dist = Categorical(p)
    ends = np.cumsum(p)
    contest: Contest = {
        "anycat": lambda: dist.sample((draws,), rng=generator),
        "anycat, set-up included": lambda: Categorical(p).sample((draws,), rng=generator),
        "numpy choice": lambda: generator.choice(size, draws, p=p),
        "numpy searchsorted": lambda: np.searchsorted(ends, generator.random(draws), "right"),
        "numba by hand": lambda: numba_row(p, draws),
        "floor: words": make_words(draws),
        "floor: write": write(draws),
    }
    if size <= 1000:
        listed = p.cumsum().tolist()
        contest["random.choices"] = lambda: random.choices(range(size), cum_weights=listed, k=draws)
    if scipy_sampling and size < 10**6:  # the alias method warns about round-off for more
        alias = scipy_sampling.DiscreteAliasUrn(p, random_state=generator)
        contest["scipy alias"] = lambda: alias.rvs(draws)
    if scipy_sampling:
        guide = scipy_sampling.DiscreteGuideTable(p, random_state=generator)
        contest["scipy guide table"] = lambda: guide.rvs(draws)
    if torch:
        t = torch.from_numpy(p)
        contest["torch"] = lambda: torch.distributions.Categorical(t).sample((draws,))
        contest["torch multinomial"] = lambda: torch.multinomial(t, draws, True)
    if jax:
        key, q = jax.random.key(0), jax.numpy.asarray(p, "float32")
        choice = jax.jit(lambda key, q: jax.random.choice(key, size, (draws,), p=q))
        contest["jax choice, jitted"] = lambda: choice(key, q).block_until_ready()
    return contest


def rows(shape: tuple[int, int], form: str, draws: int = 1) -> Contest:
    """A few draws from each of many rows."""
    x = parameters(shape, form)
    generator = np.random.default_rng(0)
    logits = form == "logits"

    def cumsum() -> np.ndarray:
        p = np.exp(x - x.max(-1, keepdims=True)) if logits else x
        ends = np.cumsum(p, -1)
        u = generator.random((draws, shape[0], 1), np.float32) * ends[:, -1:]
        return (ends <= u).sum(-1)

    unchecked = functools.partial(Categorical, **{form: x}, validate_args=False)
    contest: Contest = {
        "anycat": lambda: Categorical(**{form: x}).sample((draws,), rng=generator),
        "anycat, unchecked": lambda: unchecked().sample((draws,), rng=generator),
        "numba by hand": lambda: numba_rows(x, logits, draws),
        "floor: read": read(x),
        "floor: words": make_words(draws * shape[0]),
        "floor: write": write(draws * shape[0]),
    }
    if draws * x.size <= 2e7:
        contest["numpy cumsum"] = cumsum
    if torch:
        t = torch.from_numpy(x)
        distribution = functools.partial(torch.distributions.Categorical, **{form: t})
        contest["torch"] = lambda: distribution().sample((draws,))
        contest["torch, unchecked"] = lambda: distribution(validate_args=False).sample((draws,))
        if not logits and shape[1] < 1 << 24:
            contest["torch multinomial"] = lambda: torch.multinomial(t, draws, True)
    if jax and draws * x.size <= 2e7:
        key, y = jax.random.key(0), jax.numpy.asarray(x)
        log = (lambda y: y) if logits else jax.numpy.log
        gumbel = jax.jit(
            lambda key, y: jax.random.categorical(key, log(y), shape=(draws, shape[0]))
        )
        contest["jax categorical, jitted"] = lambda: gumbel(key, y).block_until_ready()
    return contest


def values(shape: tuple[int, int], member: str) -> Contest:
    """``log_prob`` or ``entropy`` of raw logits."""
    x = parameters(shape, "logits")
    value = np.random.default_rng(0).integers(0, shape[1], shape[0])
    by_log_prob = member == "log_prob"

    def numpy_values() -> np.ndarray:
        top = x.max(-1, keepdims=True)
        powers = np.exp(x - top)
        total = powers.sum(-1, keepdims=True)
        if by_log_prob:
            return np.take_along_axis(x, value[:, None], -1) - top - np.log(total)
        return np.log(total[:, 0]) - ((x - top) * powers).sum(-1) / total[:, 0]

    def ask(dist: Any, v: Any) -> Any:
        return dist.log_prob(v) if by_log_prob else dist.entropy()

    contest: Contest = {
        "anycat": lambda: ask(Categorical(logits=x), value),
        "anycat, unchecked": lambda: ask(Categorical(logits=x, validate_args=False), value),
        "numpy": numpy_values,
        "floor: read": read(x),
    }
    if torch:
        t, v = torch.from_numpy(x), torch.from_numpy(value)
        distribution = functools.partial(torch.distributions.Categorical, logits=t)
        contest["torch"] = lambda: ask(distribution(), v)
        contest["torch, unchecked"] = lambda: ask(distribution(validate_args=False), v)
    if jax:

        def jax_values(y: Any, v: Any) -> Any:
            log = jax.nn.log_softmax(y)
            if by_log_prob:
                return jax.numpy.take_along_axis(log, v[:, None], -1)
            return -(jax.numpy.exp(log) * log).sum(-1)

        y, v_jax = jax.numpy.asarray(x), jax.numpy.asarray(value)
        jitted = jax.jit(jax_values)
        contest["jax, jitted"] = lambda: jitted(y, v_jax).block_until_ready()
    return contest


def tiny() -> Contest:
    """One draw from six categories, including construction of the distribution."""
    p = np.full(6, 1 / 6)
    generator = np.random.default_rng(0)
    contest: Contest = {
        "anycat": lambda: Categorical(p).sample(rng=generator),
        "anycat, unchecked": lambda: Categorical(p, validate_args=False).sample(rng=generator),
        "by hand, numpy": lambda: np.cumsum(p).searchsorted(generator.random(), "right"),
        "by hand, numpy choice": lambda: generator.choice(6, p=p),
    }
    if torch:
        t = torch.from_numpy(p)
        distribution = functools.partial(torch.distributions.Categorical, t)
        contest["torch"] = lambda: distribution().sample()
        contest["torch, unchecked"] = lambda: distribution(validate_args=False).sample()
    return contest


class Group(NamedTuple):
    """A benchmark case, and the speedups that are the goals."""

    make: Callable[[], Contest]
    best: float
    """Over the best alternative at its best settings; in `tiny`, "by hand" does not count."""
    torch: float
    """Over torch at its default settings."""
    ours: str = "anycat"
    floors: float | None = None
    """Upper limit of the time, as a multiple of the sum of the floors."""


one_row_of_a_million = functools.partial(one_row, 10**6)
ROWS, LONG = (100_000, 10), (64, 128_256)
GROUPS: dict[str, Group] = {
    "one row, K = 6, 1e6 draws": Group(lambda: one_row(6), 6, 15, floors=2),
    "one row, K = 1000, 1e6 draws": Group(lambda: one_row(1000), 12, 60, floors=2),
    "one row, K = 1e6, 1e6 draws": Group(one_row_of_a_million, 10, 50),
    "the same, set-up included": Group(one_row_of_a_million, 5, 25, ours="anycat, set-up included"),
    "1e5 rows x 10 probs": Group(lambda: rows(ROWS, "probs"), 6, 25),
    "1e5 rows x 10 logits": Group(lambda: rows(ROWS, "logits"), 6, 25),
    "1e4 rows x 100 logits": Group(lambda: rows((10_000, 100), "logits"), 5, 20),
    "64 rows x 128256 probs": Group(lambda: rows(LONG, "probs"), 25, 130, floors=2),
    "64 rows x 128256 logits": Group(lambda: rows(LONG, "logits"), 15, 60),
    "1 row x 128256 logits": Group(lambda: rows((1, 128_256), "logits"), 8, 60),
    "1000 rows x 1000 probs, 100 draws each": Group(lambda: rows((1000, 1000), "probs", 100), 6, 7),
    "log_prob, 1e5 rows x 10": Group(lambda: values(ROWS, "log_prob"), 1.5, 5),
    "log_prob, 1e4 rows x 100": Group(lambda: values((10_000, 100), "log_prob"), 1.5, 5),
    "log_prob, 64 rows x 128256": Group(lambda: values(LONG, "log_prob"), 1.5, 5),
    "entropy, 1e5 rows x 10": Group(lambda: values(ROWS, "entropy"), 1.5, 8),
    "entropy, 1e4 rows x 100": Group(lambda: values((10_000, 100), "entropy"), 1.5, 8),
    "entropy, 64 rows x 128256": Group(lambda: values(LONG, "entropy"), 1.5, 8),
    "make and draw once, K = 6": Group(tiny, 2, 5),
}

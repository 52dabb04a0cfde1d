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
from anycat._kernels.cpu.jit.philox import fill_random_words
from anycat._kernels.cpu.sizes import SPARE_WORDS
from anycat._kernels.cpu.threads import parallel_for
from anycat._kernels.keys import key_of_words

Case = dict[str, Callable[[], Any]]
KEY = key_of_words(np.arange(4, dtype=np.uint64))


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


torch, jax, scipy_sampling = map(optional, ("torch", "jax", "scipy.stats.sampling"))


def on_one_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function of PyTorch that has one thread, which is faster for small batches."""
    own = functools.partial(function)
    own.threads = 1  # type: ignore[attr-defined]
    return own


def use_threads(function: Callable[[], Any]) -> None:
    """Let PyTorch have as many threads as a function wants, by default as many as anycat."""
    if torch:
        torch.set_num_threads(getattr(function, "threads", numba.config.NUMBA_NUM_THREADS))


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
    return lambda: parallel_for(
        lambda begin, end: add_up(numbers[begin:end]), numbers.size, 1.5 * x.nbytes
    )


def write(n: int) -> Callable[[], Any]:
    def fill() -> None:
        out = np.empty(n, np.int64)
        parallel_for(lambda begin, end: out[begin:end].fill(1), n, 1.5 * n)

    return fill


@numba.njit(nogil=True)
def fill_again(words: Any, times: Any, key: Any) -> None:
    for i in range(times):
        fill_random_words(words, np.uint64(1024), key, np.uint64(i * 1024), np.uint64(1))


def make_words(n: int) -> Callable[[], Any]:
    def make(begin: int, end: int) -> None:
        fill_again(np.empty(1024 + SPARE_WORDS, np.uint64), -(-(end - begin) // 1024), KEY)

    return lambda: parallel_for(make, n, 3 * n)


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


# --- inverse transform sampling by other libraries' functions: in float32, so that rare categories
# --- of long rows are not drawn at their own rate


def torch_rows(x: Any, logits: bool, draws: int) -> Any:
    ends = (x.softmax(-1) if logits else x).cumsum(-1)
    return torch.searchsorted(ends, torch.rand(len(x), draws) * ends[:, -1:], right=True).T


@functools.cache
def jitted_rows(logits: bool, draws: int) -> Any:
    @jax.jit
    def draw(key: Any, x: Any) -> Any:
        ends = (jax.nn.softmax(x) if logits else x).cumsum(-1)
        u = jax.random.uniform(key, (draws, len(x), 1)) * ends[:, -1:]
        return (ends <= u).sum(-1)

    return draw


def jax_rows(key: Any, x: Any, logits: bool, draws: int) -> Any:
    return jitted_rows(logits, draws)(key, x)


# --- benchmark cases ------------------------------------------------------------------------


def one_row(size: int, draws: int = 1_000_000) -> Case:
    """Many draws from one row, with all set-up done beforehand."""
    p = parameters((size,), "probs", "float64")
    p /= p.sum()
    generator = np.random.default_rng(0)
    dist = Categorical(p)
    ends = np.cumsum(p)
    case: Case = {
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
        case["random.choices"] = lambda: random.choices(range(size), cum_weights=listed, k=draws)
    if scipy_sampling and size < 10**6:  # the alias method warns about round-off for more
        alias = scipy_sampling.DiscreteAliasUrn(p, random_state=generator)
        case["scipy alias"] = lambda: alias.rvs(draws)
    if scipy_sampling:
        guide = scipy_sampling.DiscreteGuideTable(p, random_state=generator)
        case["scipy guide table"] = lambda: guide.rvs(draws)
    if torch:
        t = torch.from_numpy(p)
        case["torch"] = lambda: torch.distributions.Categorical(t).sample((draws,))
        case["torch multinomial"] = lambda: torch.multinomial(t, draws, True)
        t_ends = t.cumsum(0)
        case["by hand, torch"] = lambda: torch.searchsorted(
            t_ends, torch.rand(draws, dtype=t.dtype), right=True
        )
    if jax:
        key, q = jax.random.key(0), jax.numpy.asarray(p, "float32")
        choice = jax.jit(lambda key, q: jax.random.choice(key, size, (draws,), p=q))
        case["jax choice, jitted"] = lambda: choice(key, q).block_until_ready()
    return case


def rows(shape: tuple[int, int], form: str, draws: int = 1) -> Case:
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
    case: Case = {
        "anycat": lambda: Categorical(**{form: x}).sample((draws,), rng=generator),
        "anycat, unchecked": lambda: unchecked().sample((draws,), rng=generator),
        "numba by hand": lambda: numba_rows(x, logits, draws),
        "floor: read": read(x),
        "floor: words": make_words(draws * shape[0]),
        "floor: write": write(draws * shape[0]),
    }
    if draws * x.size <= 2e7:
        case["numpy cumsum"] = cumsum
    if torch:
        t = torch.from_numpy(x)
        distribution = functools.partial(torch.distributions.Categorical, **{form: t})
        case["anycat, tensor"] = lambda: Categorical(**{form: t}).sample((draws,))
        case["torch"] = lambda: distribution().sample((draws,))
        case["torch, unchecked"] = lambda: distribution(validate_args=False).sample((draws,))
        case["by hand, torch"] = lambda: torch_rows(t, logits, draws)
        if not logits and shape[1] < 1 << 24:
            case["torch multinomial"] = lambda: torch.multinomial(t, draws, True)
    if jax and draws * x.size <= 2e7:
        key, y = jax.random.key(0), jax.numpy.asarray(x)
        log = (lambda y: y) if logits else jax.numpy.log
        gumbel = jax.jit(
            lambda key, y: jax.random.categorical(key, log(y), shape=(draws, shape[0]))
        )
        case["jax categorical, jitted"] = lambda: gumbel(key, y).block_until_ready()
        case["by hand, jax, jitted"] = lambda: jax_rows(key, y, logits, draws).block_until_ready()
    return case


def seeded(shape: tuple[int, int]) -> Case:
    """Draw once from each row by its own seed, without construction."""
    dist, generator = Categorical(logits=parameters(shape, "logits")), np.random.default_rng(0)
    seeds, starts = generator.integers(0, 2**63, (2, shape[0]), np.uint64)
    return {
        "anycat": lambda: dist.sample(seeds=seeds),
        "anycat, positions": lambda: dist.sample(seeds=seeds, start=starts),
        "without seeds": lambda: dist.sample(rng=generator),
    }


def values(shape: tuple[int, int], member: str) -> Case:
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

    case: Case = {
        "anycat": lambda: ask(Categorical(logits=x), value),
        "anycat, unchecked": lambda: ask(Categorical(logits=x, validate_args=False), value),
        "numpy": numpy_values,
        "floor: read": read(x),
    }
    if torch:
        t, v = torch.from_numpy(x), torch.from_numpy(value)
        distribution = functools.partial(torch.distributions.Categorical, logits=t)
        case["anycat, tensor"] = lambda: ask(Categorical(logits=t), v)
        case["torch"] = lambda: ask(distribution(), v)
        case["torch, unchecked"] = lambda: ask(distribution(validate_args=False), v)
    if jax:

        def jax_values(y: Any, v: Any) -> Any:
            log = jax.nn.log_softmax(y)
            if by_log_prob:
                return jax.numpy.take_along_axis(log, v[:, None], -1)
            return -(jax.numpy.exp(log) * log).sum(-1)

        y, v_jax = jax.numpy.asarray(x), jax.numpy.asarray(value)
        jitted = jax.jit(jax_values)
        case["jax, jitted"] = lambda: jitted(y, v_jax).block_until_ready()
    return case


def tiny() -> Case:
    """One draw from six categories, including construction of the distribution."""
    p = np.full(6, 1 / 6)
    generator = np.random.default_rng(0)
    case: Case = {
        "anycat": lambda: Categorical(p).sample(rng=generator),
        "anycat, unchecked": lambda: Categorical(p, validate_args=False).sample(rng=generator),
        "by hand, numpy": lambda: p.cumsum().searchsorted(generator.random(), "right"),
        "by hand, numpy choice": lambda: generator.choice(6, p=p),
    }
    if torch:
        t = torch.from_numpy(p)
        distribution = functools.partial(torch.distributions.Categorical, t)
        case["torch"] = lambda: distribution().sample()
        case["torch, unchecked"] = lambda: distribution(validate_args=False).sample()
    return case


def batch(shape: tuple[int, int]) -> Case:
    """One draw from each row of normalised probabilities, including construction."""
    p = parameters(shape, "probs")
    p /= p.sum(-1, keepdims=True)
    generator = np.random.default_rng(0)
    case: Case = {
        "anycat": lambda: Categorical(p).sample(rng=generator),
        "numpy by hand": lambda: (p.cumsum(-1) > generator.random((len(p), 1))).argmax(-1),
    }
    if torch:
        t = torch.from_numpy(p)
        distribution = functools.partial(torch.distributions.Categorical, t)
        case["anycat, tensor"] = lambda: Categorical(t).sample()
        case["torch"] = lambda: distribution().sample()
        case["torch, unchecked"] = lambda: distribution(validate_args=False).sample()
        case["torch, unchecked, one thread"] = on_one_thread(case["torch, unchecked"])
        case["by hand, torch"] = lambda: torch_rows(t, False, 1)
        case["by hand, torch, one thread"] = on_one_thread(case["by hand, torch"])
    return case


def jax_batch(shape: tuple[int, int]) -> Case:
    """One draw from each row of a JAX array of logits, including construction."""
    if not jax:
        return {}
    key, logits = jax.random.key(0), jax.numpy.asarray(parameters(shape, "logits"))
    ours = jax.jit(lambda key, x: Categorical(logits=x).sample(rng=key))
    theirs = jax.jit(jax.random.categorical)
    return {
        "anycat": lambda: Categorical(logits=logits).sample(rng=key).block_until_ready(),
        "anycat, jitted": lambda: ours(key, logits).block_until_ready(),
        "jax, jitted": lambda: theirs(key, logits).block_until_ready(),
    }


# --- what programs do with tensors ----------------------------------------------------------


def draw(dist: Any, logits: Any, action: Any) -> Any:
    return dist.sample()


def step(dist: Any, logits: Any, action: Any) -> Any:
    """Act as a policy does, and keep what its training needs."""
    action = dist.sample()
    return action, dist.log_prob(action), dist.entropy()


def update(dist: Any, logits: Any, action: Any) -> None:
    """Compute the gradient of a policy's loss."""
    logits.grad = None
    (dist.log_prob(action).sum() + dist.entropy().sum()).backward()


def by_torch(call: Callable[[Any, bool], Callable[[], Any]]) -> Case:
    """The same calls to torch's class, with its checks or not, and on one thread."""
    theirs = torch.distributions.Categorical
    return {
        "torch": call(theirs, True),
        "torch, unchecked": call(theirs, False),
        "torch, unchecked, one thread": on_one_thread(call(theirs, False)),
    }


def tensors(shape: tuple[int, int], use: Callable[[Any, Any, Any], Any]) -> Case:
    """The same calls to anycat and to torch, which construct a distribution and use it."""
    if not torch:
        return {}
    logits = torch.from_numpy(parameters(shape, "logits")).requires_grad_(use is update)
    action = torch.from_numpy(np.random.default_rng(0).integers(0, shape[1], shape[0]))

    def call(cls: Any, check: bool) -> Callable[[], Any]:
        return lambda: use(cls(logits=logits, validate_args=check), logits, action)

    return {
        "anycat": call(Categorical, True),
        "anycat, unchecked": call(Categorical, False),
        **by_torch(call),
    }


def masked(shape: tuple[int, int], use: Callable[[Any, Any, Any], Any]) -> Case:
    """The same with about half of the categories of each row allowed."""
    if not torch:
        return {}
    logits = torch.from_numpy(parameters(shape, "logits")).requires_grad_(use is update)
    mask = torch.from_numpy(np.random.default_rng(1).random(shape) < 0.5)
    mask[:, 0] = True
    action = torch.zeros(shape[0], dtype=torch.int64)

    def by_hand(cls: Any, check: bool) -> Callable[[], Any]:
        def call() -> Any:
            allowed = logits.masked_fill(~mask, -torch.inf)
            return use(cls(logits=allowed, validate_args=check), logits, action)

        return call

    return {
        "anycat": lambda: use(Categorical(logits=logits).truncate(mask=mask), logits, action),
        "anycat, masked_fill": by_hand(Categorical, True),
        **by_torch(by_hand),
    }


def seeded_tensors(shape: tuple[int, int]) -> Case:
    """Draw once from each row of a tensor by its own seed, including construction."""
    if not torch:
        return {}
    logits = torch.from_numpy(parameters(shape, "logits"))
    seeds = torch.arange(shape[0])
    starts = torch.full_like(seeds, 12)
    return {
        "anycat": lambda: Categorical(logits=logits).sample(seeds=seeds, start=starts),
        "anycat, without positions": lambda: Categorical(logits=logits).sample(seeds=seeds),
        "without seeds": lambda: Categorical(logits=logits).sample(),
    }


# --- the cases, and the goals ---------------------------------------------------------------


class Group(NamedTuple):
    """A benchmark case, what is compared in it, and the speedups that are the goals."""

    make: Callable[..., Case]
    arguments: tuple[Any, ...]
    goal: float | None
    """Over `other`; None for cases that only show what a page says."""
    torch: float | None = None
    """Over torch at its default settings."""
    ours: str = "anycat"
    other: str | None = None
    """The alternative to compare with; None means the fastest one."""
    floors: float | None = None
    """Upper limit of the time, as a multiple of the sum of the floors."""


SET_UP = "anycat, set-up included"
ONE_LONG, LONG, MANY, MEDIUM = (1, 128_256), (64, 128_256), (100_000, 10), (10_000, 100)
UNCHECKED = {"other": "torch, unchecked"}
TENSOR = {"ours": "anycat, tensor", **UNCHECKED}
BY_HAND = {"other": "numpy by hand"}
GROUPS: dict[str, Group] = {
    "one row, K = 6, 1e6 draws": Group(one_row, (6,), 6, 15, floors=2),
    "one row, K = 1000, 1e6 draws": Group(one_row, (1000,), 12, 60, floors=2),
    "one row, K = 1e6, 1e6 draws": Group(one_row, (10**6,), 10, 50),
    "one row, K = 1e6, 1e6 draws, with set-up": Group(one_row, (10**6,), 5, 25, ours=SET_UP),
    "1e5 rows x 10 probs": Group(rows, (MANY, "probs"), 2, 25),
    "1e5 rows x 10 logits": Group(rows, (MANY, "logits"), 3, 25),
    "1e4 rows x 100 logits": Group(rows, (MEDIUM, "logits"), 2, 20),
    "64 rows x 128256 probs": Group(rows, (LONG, "probs"), 4, 60, floors=2),
    "64 rows x 128256 logits": Group(rows, (LONG, "logits"), 3, 60),
    "1 row x 128256 logits": Group(rows, (ONE_LONG, "logits"), 4, 60),
    "the same, over NumPy": Group(rows, (ONE_LONG, "logits"), 10, other="numpy cumsum"),
    "the same, tensor over NumPy": Group(
        rows, (ONE_LONG, "logits"), 9, ours="anycat, tensor", other="numpy cumsum"
    ),
    "1000 rows x 1000 probs, 100 draws each": Group(rows, ((1000, 1000), "probs", 100), 3, 7),
    "1e5 rows x 18 logits, seeds": Group(seeded, ((10**5, 18),), 0.9),
    "1e6 rows x 18 logits, seeds": Group(seeded, ((10**6, 18),), 0.9),
    "log_prob, 1e5 rows x 10": Group(values, (MANY, "log_prob"), 1.5, 5),
    "log_prob, 1e4 rows x 100": Group(values, (MEDIUM, "log_prob"), 1.5, 5),
    "log_prob, 64 rows x 128256": Group(values, (LONG, "log_prob"), 1.5, 5),
    "entropy, 1e5 rows x 10": Group(values, (MANY, "entropy"), 1.5, 8),
    "entropy, 1e4 rows x 100": Group(values, (MEDIUM, "entropy"), 1.5, 8),
    "entropy, 64 rows x 128256": Group(values, (LONG, "entropy"), 1.5, 8),
    "log_prob of tensors, 1e4 x 100": Group(values, (MEDIUM, "log_prob"), 1.8, **TENSOR),
    "log_prob of tensors, 64 x 128256": Group(values, (LONG, "log_prob"), 3, **TENSOR),
    "entropy of tensors, 1e4 x 100": Group(values, (MEDIUM, "entropy"), 2.5, **TENSOR),
    "entropy of tensors, 64 x 128256": Group(values, (LONG, "entropy"), 8, **TENSOR),
    # NumPy by hand makes no distribution, so the alternative in this case is torch.
    "make and draw, NumPy, K = 6": Group(tiny, (), 2, 5, **UNCHECKED),
    "make and draw, NumPy, 1 x 6": Group(batch, ((1, 6),), 1, **BY_HAND),
    "make and draw, NumPy, 64 x 18": Group(batch, ((64, 18),), 2, **BY_HAND),
    "make and draw, tensors, 1 x 6": Group(tensors, ((1, 6), draw), 3),
    "make and draw, tensors, 64 x 18": Group(tensors, ((64, 18), draw), 5),
    "make and draw, JAX, 64 x 18": Group(jax_batch, ((64, 18),), None),
    "make and draw, JAX, 4096 x 18": Group(jax_batch, ((4096, 18),), None),
    "mask and draw, tensors, 64 x 18": Group(masked, ((64, 18), draw), None),
    "mask and draw, tensors, 4096 x 18": Group(masked, ((4096, 18), draw), None),
    "mask and update, 4096 x 18": Group(masked, ((4096, 18), update), None),
    "seeds, tensors, 64 x 18": Group(seeded_tensors, ((64, 18),), None),
    "step of a policy, tensors, 1 x 6": Group(tensors, ((1, 6), step), 4),
    "step of a policy, tensors, 64 x 18": Group(tensors, ((64, 18), step), 5),
    "update with gradient, 64 x 18": Group(tensors, ((64, 18), update), 2),
    "update with gradient, 4096 x 18": Group(tensors, ((4096, 18), update), 2.5),
    "update with gradient, 1e4 x 100": Group(tensors, (MEDIUM, update), 2.5),
}

"""How much memory calls need, and what threads share: neither is made twice."""

from __future__ import annotations

import multiprocessing
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rows

from anycat import Categorical
from anycat._kernels.cpu import small, tiles
from anycat._kernels.cpu.cache import kept
from anycat._kernels.cpu.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, Any]

SHAPE = 64, 128256  # of logits of language models
COPY = 4 * SHAPE[0] * SHAPE[1]  # bytes of them in float32


def to_bfloat16(x: Array) -> Array:
    return x.astype(pytest.importorskip("ml_dtypes").bfloat16)


def to_tensor(x: Array, dtype: str) -> Any:
    torch = pytest.importorskip("torch")
    return torch.from_numpy(x).to(getattr(torch, dtype))


LAYOUTS: dict[str, Callable[[Array], Any]] = {
    "float16": lambda x: x.astype(np.float16),
    "bfloat16": to_bfloat16,
    "tensor of float16": lambda x: to_tensor(x, "float16"),
    "tensor of bfloat16": lambda x: to_tensor(x, "bfloat16"),
    "transposed": np.asfortranarray,
    "every other column": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "transposed tensor": lambda x: to_tensor(np.asfortranarray(x), "float32"),
    "big-endian": lambda x: x.astype(">f4"),
}
ROWWISE: dict[str, Callable[[Categorical], Any]] = {
    "check of probs": lambda dist: Categorical(dist._param),
    "check of logits": lambda dist: Categorical(logits=dist._param),
    "sample": lambda dist: dist.sample(rng=0),
    "samples": lambda dist: dist.sample(3, rng=0),
    "log_prob": lambda dist: dist.log_prob(3),
    "log_prob of draws": lambda dist: dist.log_prob(dist.sample(2, rng=0)),
    "prob": lambda dist: dist.prob(3),
    "entropy": lambda dist: dist.entropy(),
    "mode": lambda dist: dist.mode,
}
CUMULATIVE: dict[str, Callable[[Categorical], Any]] = {
    "cdf": lambda dist: dist.cdf(3),
    "cdf of draws": lambda dist: dist.cdf(dist.sample(2, rng=0)),
    "icdf": lambda dist: dist.icdf(0.5),
}


def tensor_bytes(call: Callable[[], Any]) -> int:
    """Return how many bytes PyTorch allocates in a call."""
    torch = pytest.importorskip("torch")
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        call()
    return sum(max(event.self_cpu_memory_usage, 0) for event in profile.function_events)


def no_tensor_bytes(call: Callable[[], Any]) -> int:
    """Call and return 0."""
    call()
    return 0


def extra_bytes(function: Callable[[Categorical], Any], x: Any) -> int:
    """Return how many bytes NumPy holds at most, and PyTorch allocates, in a call."""
    watch = no_tensor_bytes if isinstance(x, np.ndarray) else tensor_bytes
    few, dist = (Categorical(y, validate_args=False) for y in (x[:2], x))
    watch(lambda: function(few))  # what is compiled takes memory too
    tracemalloc.start()
    try:
        allocated = watch(lambda: function(dist))
        return tracemalloc.get_traced_memory()[1] + allocated
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def weights() -> Array:
    return rows.weights("plain", SHAPE, np.float32)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_parameters_are_converted_block_by_block(
    layout: Callable[[Array], Any], weights: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", 2)  # each has a block of its own
    x = layout(weights)
    used = {name: extra_bytes(function, x) / COPY for name, function in ROWWISE.items()}
    assert max(used.values()) < 0.3, used


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_cumulative_probabilities_are_the_only_copy(
    layout: Callable[[Array], Any], weights: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", 2)
    x = layout(weights)
    kept_as_is = str(x.dtype) in ("float32", "torch.float32")  # else in the dtype of ``x``
    rounded = 0 if kept_as_is else x.dtype.itemsize / 4
    used = {name: extra_bytes(function, x) / COPY for name, function in CUMULATIVE.items()}
    assert max(used.values()) < 1.3 + rounded, used


# --- threads


def in_threads(function: Callable[[], Any]) -> list[Any]:
    """Return the results of a function in several threads that start at once."""
    n = 8
    barrier = threading.Barrier(n)

    def wait_and_call(_: int) -> Any:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(wait_and_call, range(n)))


def count(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[None]:
    """Return a list that grows with each call of a function."""
    calls: list[None] = []
    function = getattr(owner, name)

    def counted(*args: Any) -> Any:
        calls.append(None)
        return function(*args)

    monkeypatch.setattr(owner, name, counted)
    return calls


def test_threads_share_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count(monkeypatch, Table, "prepare")
    dist = Categorical(rows.weights("plain", (50_000,), np.float32))
    draws = in_threads(lambda: dist.sample(100_000, rng=1))
    assert len(calls) == 1
    for other in draws:
        np.testing.assert_array_equal(other, draws[0])


@pytest.mark.parametrize(
    ("shape", "owner", "name"),
    [((40, 9000), tiles, "compute_tile_stats"), ((2, 9000), small, "_tile_stats")],
)
def test_threads_share_tile_statistics(
    shape: tuple[int, ...], owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count(monkeypatch, owner, name)
    dist = Categorical(rows.weights("plain", shape, np.float32), validate_args=False)
    draws = in_threads(lambda: dist.sample(rng=1))
    assert len(calls) == 1
    for other in draws:
        np.testing.assert_array_equal(other, draws[0])


def test_statistics_that_another_thread_finishes_meanwhile() -> None:
    """Those of rows that are converted are not shared before they are complete."""
    x = rows.weights("plain", (40, 9000), np.float16)
    dist = Categorical(x, validate_args=False)
    expected = dist.sample(rng=1)

    class Cache(dict):  # type: ignore[type-arg]
        def get(self, name: str, default: Any = None) -> Any:
            found = super().get(name, default)
            self.update(dist._cache)  # as if another thread did
            return found

    late = Categorical(x, validate_args=False)
    late._cache = Cache()
    np.testing.assert_array_equal(late.sample(rng=1), expected)


def _keep(cache: dict[str, Any], queue: Any) -> None:
    queue.put(kept(cache, "number", lambda: 7))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # by Python,
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")  # and by JAX where it is imported
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork()")
def test_a_fork_while_another_thread_makes_it() -> None:
    context = multiprocessing.get_context("fork")
    cache: dict[str, Any] = {}
    queue, started, finish = context.Queue(), threading.Event(), threading.Event()

    def make() -> int:
        started.set()
        finish.wait(60)
        return 7

    thread = threading.Thread(target=kept, args=(cache, "number", make))
    thread.start()
    started.wait(60)
    child = context.Process(target=_keep, args=(cache, queue))
    child.start()
    try:
        assert queue.get(timeout=30) == 7
    finally:
        finish.set()
        thread.join()
        child.join(30)
        child.kill()

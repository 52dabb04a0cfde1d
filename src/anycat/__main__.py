"""``python -m anycat``: what works on this machine, shown on the worked example."""

from __future__ import annotations

import importlib
import platform
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

import anycat

from ._dispatch import LIBRARIES
from ._kernels import cuda

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._dispatch import Library

EXAMPLE = np.asarray([[[0.25, 0.25, 0.25, 0.25]], [[0.33, 0.33, 0.33, 0.01]]], np.float32)


def main() -> int:
    """Draw the worked example by every library that is installed; return 0 if all agree."""
    print(f"anycat {anycat.__version__}, stream version {anycat.STREAM_VERSION}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {threads()} threads")
    dist = anycat.Categorical(EXAMPLE)
    print(f"\nprobs   {rows(dist.probs)}\nlogits  {rows(dist.logits)}\n")
    print("sample(5, rng=0)")
    expected = dist.sample(5, rng=0)
    agree = True
    for library in LIBRARIES:
        for memory in library.memory:
            if reason := obstacle(library, memory):
                if memory == library.memory[0]:
                    print(f"  {library.name:<28} {reason}")
                continue
            draws = get(anycat.Categorical(put(EXAMPLE, library, memory)).sample(5, rng=0))
            equal = bool((draws == expected).all())
            agree &= equal
            version = importlib.import_module(library.module.partition(".")[0]).__version__
            print(
                f"  {library.name + ' ' + version:<23} {memory.lower():<4} "
                f"{' '.join(map(str, draws[..., 0].tolist()))}  {'equal' if equal else 'DIFFERENT'}"
            )
    print("\n10,000 rows of 100 categories, a draw from each:")
    p = np.random.default_rng(0).random((10_000, 100), np.float32)
    many = anycat.Categorical(p)
    ours, theirs = best(lambda: many.sample(rng=0)), best(lambda: draw_by_numpy(p))
    ratio = f"{theirs / ours:.0f} times as fast"
    print(f"  anycat {ours * 1e3:.1f} ms, numpy cumsum {theirs * 1e3:.1f} ms: {ratio}")
    return 0 if agree else 1


def obstacle(library: Library, memory: str) -> str | None:
    """Tell why an array of a library cannot be in some memory; None if it can."""
    name = library.module.partition(".")[0]
    if memory == "CUDA" and library.name != "jax" and (reason := cuda.unavailable_reason()):
        return reason
    if find_spec(name) is None:
        return "not installed"
    if memory == "CUDA" and library.name == "torch":
        return None if importlib.import_module(name).cuda.is_available() else "finds no GPU"
    if memory == "CUDA" and library.name == "jax":
        try:
            importlib.import_module(name).devices("cuda")
        except RuntimeError as error:
            return str(error)
    return None


def put(x: Any, library: Library, memory: str) -> Any:
    """Return an array of NumPy as one of a library, in one of its kinds of memory."""
    module = importlib.import_module(library.module)
    if library.name == "torch":
        return module.asarray(x, device=memory.lower())
    if library.name == "jax":
        jax = importlib.import_module("jax")
        return jax.device_put(x, jax.devices(memory.lower())[0])
    if library.name == "dask" and memory == "CUDA":
        x = importlib.import_module("cupy").asarray(x)
    return module.asarray(x)


def get(x: Any) -> Any:
    """Return an array of any library as one of NumPy."""
    ways = {
        "cupy": lambda: x.get(),
        "dask": lambda: get(x.compute()),
        "torch": lambda: x.numpy(force=True),
    }
    return np.asarray(ways.get(type(x).__module__.partition(".")[0], lambda: x)())


def threads() -> int:
    """Return the number of threads that kernels use."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


def rows(x: Any) -> str:
    """Return the two rows of the worked example on one line."""
    return "   ".join(" ".join(f"{v:.4f}" for v in row[0]) for row in x)


def draw_by_numpy(p: Any) -> Any:
    """Draw from each row as NumPy's users do it."""
    ends = p.cumsum(-1)
    return (ends < np.random.default_rng(0).random((len(p), 1)) * ends[:, -1:]).sum(-1)


def best(function: Callable[[], object], times: int = 3) -> float:
    """Return the shortest time of a few calls, after one more, in seconds."""
    function()
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return min(durations)


if __name__ == "__main__":
    sys.exit(main())

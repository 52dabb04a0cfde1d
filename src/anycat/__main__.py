"""``python -m anycat``: what works on this machine, shown on the worked example."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import anycat

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = np.asarray([[[0.25, 0.25, 0.25, 0.25]], [[0.33, 0.33, 0.33, 0.01]]], np.float32)
# Where `asarray` is, for each library that is served.
LIBRARIES = {
    "numpy": "numpy",
    "torch": "torch",
    "jax": "jax.numpy",
    "array_api_strict": "array_api_strict",
}


def main() -> int:
    """Draw the worked example by every library that is installed; return 0 if all agree."""
    print(f"anycat {anycat.__version__}, stream version {anycat.STREAM_VERSION}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {threads()} threads")
    dist = anycat.Categorical(EXAMPLE)
    print(f"\nprobs   {rows(dist.probs)}\nlogits  {rows(dist.logits)}\n")
    print("sample(5, rng=0)")
    expected = dist.sample(5, rng=0)
    agree = True
    for name, module in LIBRARIES.items():
        if importlib.util.find_spec(name) is None:
            print(f"  {name:<17} not installed")
            continue
        xp = importlib.import_module(module)
        params = xp.asarray(EXAMPLE)
        draws = np.asarray(anycat.Categorical(params).sample(5, rng=0))
        equal = bool((draws == expected).all())
        agree &= equal
        version = importlib.import_module(name).__version__
        print(
            f"  {name + ' ' + version:<22} cpu  {' '.join(map(str, draws[..., 0].tolist()))}  "
            f"{'equal' if equal else 'DIFFERENT'}"
        )
    print("\nOne row of 1000 categories, a million draws:")
    p = np.random.default_rng(0).random(1000)
    p /= p.sum()
    big = anycat.Categorical(p)
    ours = best(lambda: big.sample(1_000_000, rng=0))
    theirs = best(lambda: np.random.default_rng(0).choice(1000, 1_000_000, p=p))
    ratio = f"{theirs / ours:.0f} times as fast"
    print(f"  anycat {ours * 1e3:.1f} ms, numpy choice {theirs * 1e3:.1f} ms: {ratio}")
    return 0 if agree else 1


def threads() -> int:
    """Return the number of threads that kernels use."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


def rows(x: Any) -> str:
    """Return the two rows of the worked example on one line."""
    return "   ".join(" ".join(f"{v:.4f}" for v in row[0]) for row in x)


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

"""``python -m anycat``: what works on this machine, shown on the worked example."""

from __future__ import annotations

import importlib
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

import anycat

from . import _kernels
from ._backends import registry
from ._backends.registry import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._backends.base import Library

xp = registry.default().xp
EXAMPLE = xp.asarray([[[0.25, 0.25, 0.25, 0.25]], [[0.33, 0.33, 0.33, 0.01]]], dtype=xp.float32)


def main() -> int:
    """Draw the worked example with every library that is installed; return 0 if all agree."""
    print(f"anycat {anycat.__version__}, stream version {anycat.STREAM_VERSION}")
    threads = _kernels.load("cpu").thread_count()
    print(f"Python {platform.python_version()}, {platform.machine()}, {threads} threads")
    dist = anycat.Categorical(EXAMPLE)
    print(f"\nprobs   {rows(dist.probs)}\nlogits  {rows(dist.logits)}\n")
    print("sample(5, rng=0)")
    expected = dist.sample(5, rng=0)
    agree = [shows(library, expected) for library in LIBRARIES]
    print("\n10,000 rows of 100 categories, a draw from each:")
    p = noise(10_000, 100)
    many = anycat.Categorical(p)
    ours, theirs = best(lambda: many.sample(rng=0)), best(lambda: draw_by_cumsum(p))
    ratio = f"{theirs / ours:.0f} times as fast"
    print(f"  anycat {ours * 1e3:.1f} ms, by hand (cumsum) {theirs * 1e3:.1f} ms: {ratio}")
    return 0 if all(agree) else 1


def shows(library: Library, expected: Any) -> bool:
    """Print a line for each kind of memory of a library; tell whether the draws are as expected."""
    agree = True
    for memory in library.memory:
        if reason := registry.unavailable_reason(library, memory):
            if memory == library.memory[0]:
                print(f"  {library.name:<28} {reason}")
            continue
        backend = registry.load(library)
        dist = anycat.Categorical(backend.from_numpy(EXAMPLE, memory))
        draws = backend.to_numpy(dist.sample(5, rng=0))
        equal = bool((draws == expected).all())
        agree &= equal
        print(
            f"  {library.name + ' ' + version(library):<23} {memory.lower():<4} "
            f"{' '.join(map(str, draws[..., 0].tolist()))}  {'equal' if equal else 'DIFFERENT'}"
        )
    return agree


def version(library: Library) -> str:
    """Return the version of an installed library."""
    return str(importlib.import_module(library.name).__version__)


def rows(x: Any) -> str:
    """Return the two rows of the worked example on one line."""
    return "   ".join(" ".join(f"{v:.4f}" for v in row[0]) for row in x)


def noise(*shape: int) -> Any:
    """Return numbers in [0, 1) that are spread like random ones: multiples of the golden ratio."""
    n = shape[0] * shape[1]
    golden = xp.arange(1, n + 1, dtype=xp.float64) * ((5**0.5 - 1) / 2)
    return xp.reshape(xp.astype(golden % 1, xp.float32), shape)


def draw_by_cumsum(p: Any) -> Any:
    """Draw from each row as is usual without anycat."""
    cdf = xp.cumulative_sum(p, axis=-1)
    return xp.sum(cdf < noise(p.shape[0], 1) * cdf[:, -1:], axis=-1)


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

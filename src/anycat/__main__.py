"""``python -m anycat``: which array libraries work on this machine."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anycat

from . import _kernels
from ._backends import registry
from ._backends.registry import LIBRARIES
from ._messages import PIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ._backends.base import Library

xp = registry.default().xp
EXAMPLE = xp.asarray([[[0.25, 0.25, 0.25, 0.25]], [[0.33, 0.33, 0.33, 0.01]]], dtype=xp.float32)
TIMINGS = 9

DESCRIPTION = """\
Show which array libraries work with anycat on this machine. Each library draws
from the same two distributions. Its line shows its version, the draws, and
whether they equal NumPy's, or else what to install. The last lines compare the
time of a draw with that of a few lines of plain NumPy.

The exit status is 1 if any draws differ, and 0 otherwise.
"""


def main(arguments: Sequence[str] = ()) -> int:
    """Draw from the example with every installed library; return 0 if all draws are equal."""
    parser = argparse.ArgumentParser(
        prog="python -m anycat",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON with more details, for a bug report"
    )
    show = print_json if parser.parse_args(arguments).json else print_text
    dist = anycat.Categorical(EXAMPLE)
    expected = dist.sample(5, rng=0)
    found = {
        "anycat": anycat.__version__,
        "stream_version": anycat.STREAM_VERSION,
        **machine(),
        "libraries": [line for x in LIBRARIES for line in check(x, expected)],
        "milliseconds": timings(),
    }
    show(found, dist)
    return 0 if all(line.get("equal", True) for line in found["libraries"]) else 1


def print_json(found: dict[str, Any], dist: anycat.Categorical) -> None:
    """Print the results for a report."""
    print(json.dumps(found, indent=2))


def print_text(found: dict[str, Any], dist: anycat.Categorical) -> None:
    """Print the results for people."""
    print(f"anycat {found['anycat']}, stream version {found['stream_version']}")
    print(f"Python {found['python']}, {found['cpu']}, {found['threads']} threads")
    print("\nTwo distributions over 4 categories:")
    print(f"  probs   {rows(dist.probs)}\n  logits  {rows(dist.logits)}")
    print("\nFive draws from each, sample(5, rng=0), compared with those of NumPy:")
    working = {line["library"] for line in found["libraries"] if "equal" in line}
    missing: set[str] = set()
    for line in found["libraries"]:
        name = line["library"]
        if "equal" in line:
            equal = "equal" if line["equal"] else "DIFFERENT"
            print(
                f"  {name + ' ' + line['version']:<23} {line['memory']:<4} {line['draws']}  {equal}"
            )
        elif name not in working | missing:
            missing.add(name)
            print(f"  {name:<23} {in_lines(line['unavailable'])}")
    (ours, mine), (theirs, other) = found["milliseconds"].items()
    print(f"\nA draw from each of 10,000 rows of 100 categories, medians of {TIMINGS} timings:")
    print(f"  {ours:<23} {mine:.1f} ms\n  {theirs:<23} {other:.1f} ms,", end=" ")
    print(f"{other / mine:.1f} times as long")


def in_lines(reason: str) -> str:
    """Return why a library is unavailable, with each command on its own line."""
    command = f"[:,]? ({re.escape(PIP)} install( '[^']*')+),?"
    return re.sub(command, ":\n      \\1\n   ", reason).rstrip()


def machine() -> dict[str, Any]:
    """Return the properties of this machine for a report."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu(),
        "threads": _kernels.load("cpu").thread_count(),
        "dependencies": dependencies(),
    }


def cpu() -> str:
    """Return the name of the processor, or its architecture if the name is not available."""
    info = Path("/proc/cpuinfo")
    model = re.search("model name\\s*: (.*)", info.read_text()) if info.exists() else None
    return model[1] if model else platform.processor() or platform.machine()


def dependencies() -> dict[str, str]:
    """Return the versions of anycat's dependencies; none if anycat is not installed."""
    try:
        required = metadata.requires(anycat.__name__) or []
    except metadata.PackageNotFoundError:
        return {}
    names = [re.split("[^\\w.-]", x)[0] for x in required if "extra ==" not in x]
    return {name: metadata.version(name) for name in names}


def check(library: Library, expected: Any) -> Iterator[dict[str, Any]]:
    """Draw with a library, in each kind of memory."""
    for memory in library.memory:
        line: dict[str, Any] = {"library": library.name, "memory": memory.lower()}
        if reason := registry.unavailable_reason(library, memory):
            yield {**line, "unavailable": reason}
            continue
        backend = registry.load(library)
        dist = anycat.Categorical(backend.from_numpy(EXAMPLE, memory))
        draws = backend.to_numpy(dist.sample(5, rng=0))
        yield {
            **line,
            "version": str(importlib.import_module(library.name).__version__),
            "device": str(dist.device),
            "draws": " ".join(map(str, draws[..., 0].tolist())),
            "equal": bool((draws == expected).all()),
        }


def timings() -> dict[str, float]:
    """Return the times of a draw from many rows, in milliseconds."""
    p = noise(10_000, 100)
    many = anycat.Categorical(p)
    return {
        "anycat": median(lambda: many.sample(rng=0)),
        "NumPy, by cumsum": median(lambda: draw_by_cumsum(p)),
    }


def rows(x: Any) -> str:
    """Return the two rows of the example on one line."""
    return "   ".join(" ".join(f"{v:.4f}" for v in row[0]) for row in x)


def noise(*shape: int) -> Any:
    """Return numbers in [0, 1) that are spread like random ones: multiples of the golden ratio."""
    n = shape[0] * shape[1]
    golden = xp.arange(1, n + 1, dtype=xp.float64) * ((5**0.5 - 1) / 2)
    return xp.reshape(xp.astype(golden % 1, xp.float32), shape)


def draw_by_cumsum(p: Any) -> Any:
    """Draw from each row with the usual lines of NumPy."""
    cdf = xp.cumulative_sum(p, axis=-1)
    return xp.sum(cdf < noise(p.shape[0], 1) * cdf[:, -1:], axis=-1)


def median(function: Callable[[], object]) -> float:
    """Return the median time of a few calls, after one more, in milliseconds."""
    function()
    durations = []
    for _ in range(TIMINGS):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return round(statistics.median(durations) * 1e3, 4)


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as after `head`: nor what is left for later
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)

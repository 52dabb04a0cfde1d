"""Time draws against K, draws, rows and threads: ``python benchmarks/scaling.py [figure ...]``.

Shows how cost grows, and whether it jumps where one sampling strategy replaces another
(``scaling``), and what a draw costs from one row to many (``batch-size``). Writes a ``.json`` and
an ``.svg`` for each figure to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import functools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import config
from regimes import Case, batch, parameters, torch
from run import RESULTS, compete, machine

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Point = tuple[float, Case]


def ours(x: np.ndarray, form: str, draws: int) -> Any:
    generator = np.random.default_rng(0)
    return lambda: Categorical(**{form: x}, validate_args=False).sample((draws,), rng=generator)


def theirs(x: np.ndarray, form: str, draws: int) -> Any:
    t = torch.from_numpy(x)
    distribution = torch.distributions.Categorical
    return lambda: distribution(**{form: t}, validate_args=False).sample((draws,))


def case(shape: tuple[int, int], draws: int, alternatives: bool = True) -> Case:
    """Return anycat in each dtype and form, and torch unless it fails or is too slow."""
    made: Case = {}
    for dtype in ("float32", "float64", "float16"):
        for form in ("probs", "logits"):
            if dtype == "float32" or form == "probs":
                made[f"anycat, {form}, {dtype}"] = ours(parameters(shape, form, dtype), form, draws)
    if torch and alternatives and shape[1] < 1 << 24:
        made["torch, probs, float32"] = theirs(parameters(shape, "probs"), "probs", draws)
    return made


def categories() -> Iterator[Point]:
    for size in (2, 10, 48, 49, 100, 1000, 4096, 4097, 30_000, 10**5, 10**6, 10**7, 10**8):
        made = case((1, size), 10**5)
        if size == 10**8:  # the only one of interest at this size
            made = {name: f for name, f in made.items() if name == "anycat, probs, float32"}
        yield size, made


def categories_of_rows() -> Iterator[Point]:
    """The same number of parameters each time, split into rows of K."""
    for size in (2, 5, 10, 20, 32, 48, 49, 100, 300, 1000, 4096, 4097, 8192, 30_000, 10**5):
        yield size, case((2 * 10**6 // size, size), 1)


def draws_of_rows() -> Iterator[Point]:
    for draws in (1, 2, 3, 5, 10, 20, 50, 100, 300, 1000):
        yield draws, case((1000, 300), draws)


def draws_of_one() -> Iterator[Point]:
    for draws in (1, 10, 100, 1000, 10**4, 10**5, 10**6, 10**7):
        yield draws, case((1, 1000), draws)


def threads() -> Iterator[Point]:
    whole = config.NUMBA_NUM_THREADS
    for n in range(1, whole + 1):
        config.NUMBA_NUM_THREADS = n
        yield n, case((1000, 10_000), 1, alternatives=False)
    config.NUMBA_NUM_THREADS = whole


def batch_sizes(size: int) -> Iterator[Point]:
    for n in (1, 3, 10, 30, 100, 300, 1000, 3000, 10**4, 3 * 10**4, 10**5):
        yield n, batch((n, size))


Series = dict[str, "Callable[[], Iterator[Point]]"]
FIGURES: dict[str, Series] = {
    "scaling": {
        "categories: 1e5 draws from one row": categories,
        "categories: 2e6 numbers in rows, a draw each": categories_of_rows,
        "draws from one row of 1000": draws_of_one,
        "draws from each of 1000 rows of 300": draws_of_rows,
        "threads: 1000 rows of 10000, a draw each": threads,
    },
    "batch-size": {
        f"rows of {size}, a draw each, construction included": functools.partial(batch_sizes, size)
        for size in (6, 18)
    },
}


def measure(title: str, points: Iterator[Point], seconds: float) -> dict[str, dict[float, float]]:
    """Return for each function the median time at each point, in seconds."""
    lines: dict[str, dict[float, float]] = {}
    for x, made in points:
        for name, time in compete(made, seconds).items():
            lines.setdefault(name, {})[x] = time
            print(f"{title}, {x:>10}: {name:<26} {time * 1e3:10.4f} ms")
    return lines


def plot(series: dict[str, dict[str, dict[float, float]]], path: Path) -> None:
    """Plot the lines of each series in a panel."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    height = -(-len(series) // 2)
    figure, axes = plt.subplots(height, 2, figsize=(10, 3.7 * height), layout="constrained")
    for panel, (title, lines) in zip(axes.flat, series.items(), strict=False):
        for name, line in lines.items():
            panel.loglog(list(line), [t * 1e3 for t in line.values()], marker=".", label=name)
        panel.set(xlabel=title, ylabel="ms")
    for panel in axes.flat[len(series) :]:
        panel.axis("off")
    handles = axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", help="; ".join(FIGURES), default=list(FIGURES))
    parser.add_argument("--seconds", type=float, default=0.6, help="time for each point")
    args = parser.parse_args()
    for name in args.figures:
        series = {
            title: measure(title, points(), args.seconds) for title, points in FIGURES[name].items()
        }
        record = {"machine": machine(), "median seconds": series}
        (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        plot(series, RESULTS / f"{name}.svg")


if __name__ == "__main__":
    main()

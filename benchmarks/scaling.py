"""Time draws against K, draws, rows and threads: ``python benchmarks/scaling.py``.

Shows how cost grows, and whether it jumps where one sampling strategy replaces another.
Writes ``scaling.json`` and ``scaling.svg`` to ``benchmarks/results``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from contests import Contest, parameters, torch
from numba import config
from run import RESULTS, compete, machine

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 0.6  # for each point
Point = tuple[float, Contest]


def ours(x: np.ndarray, form: str, draws: int) -> Any:
    generator = np.random.default_rng(0)
    return lambda: Categorical(**{form: x}, validate_args=False).sample((draws,), rng=generator)


def theirs(x: np.ndarray, form: str, draws: int) -> Any:
    t = torch.from_numpy(x)
    distribution = torch.distributions.Categorical
    return lambda: distribution(**{form: t}, validate_args=False).sample((draws,))


def contest(shape: tuple[int, int], draws: int, peers: bool = True) -> Contest:
    """Return anycat in each dtype and form, and torch unless it fails or is too slow."""
    made: Contest = {}
    for dtype in ("float32", "float64", "float16"):
        for form in ("probs", "logits"):
            if dtype == "float32" or form == "probs":
                made[f"anycat, {form}, {dtype}"] = ours(parameters(shape, form, dtype), form, draws)
    if torch and peers and shape[1] < 1 << 24:
        made["torch, probs, float32"] = theirs(parameters(shape, "probs"), "probs", draws)
    return made


def categories() -> Iterator[Point]:
    for size in (2, 10, 48, 49, 100, 1000, 4096, 4097, 30_000, 10**5, 10**6, 10**7, 10**8):
        made = contest((1, size), 10**5)
        if size == 10**8:  # the only one of interest at this size
            made = {name: f for name, f in made.items() if name == "anycat, probs, float32"}
        yield size, made


def categories_of_rows() -> Iterator[Point]:
    """The same number of parameters each time, split into rows of K."""
    for size in (2, 5, 10, 20, 32, 48, 49, 100, 300, 1000, 4096, 4097, 8192, 30_000, 10**5):
        yield size, contest((2 * 10**6 // size, size), 1)


def draws_of_rows() -> Iterator[Point]:
    for draws in (1, 2, 3, 5, 10, 20, 50, 100, 300, 1000):
        yield draws, contest((1000, 300), draws)


def draws_of_one() -> Iterator[Point]:
    for draws in (1, 10, 100, 1000, 10**4, 10**5, 10**6, 10**7):
        yield draws, contest((1, 1000), draws)


def threads() -> Iterator[Point]:
    whole = config.NUMBA_NUM_THREADS
    for n in range(1, whole + 1):
        config.NUMBA_NUM_THREADS = n
        yield n, contest((1000, 10_000), 1, peers=False)
    config.NUMBA_NUM_THREADS = whole


SERIES = {
    "categories: 1e5 draws from one row": categories,
    "categories: 2e6 numbers in rows, a draw each": categories_of_rows,
    "draws from one row of 1000": draws_of_one,
    "draws from each of 1000 rows of 300": draws_of_rows,
    "threads: 1000 rows of 10000, a draw each": threads,
}


def main() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    record: dict[str, Any] = {"machine": machine(), "median seconds": {}}
    figure, axes = plt.subplots(3, 2, figsize=(10, 11), layout="constrained")
    for panel, (title, points) in zip(axes.flat, SERIES.items(), strict=False):
        lines: dict[str, dict[float, float]] = {}
        for x, made in points():
            for name, seconds in compete(made, SECONDS).items():
                lines.setdefault(name, {})[x] = seconds
                print(f"{title}, {x:>10}: {name:<26} {seconds * 1e3:10.4f} ms")
        for name, line in lines.items():
            panel.loglog(list(line), [t * 1e3 for t in line.values()], marker=".", label=name)
        panel.set(xlabel=title, ylabel="ms")
        record["median seconds"][title] = lines
    axes.flat[-1].axis("off")
    axes.flat[-1].legend(*axes.flat[0].get_legend_handles_labels(), loc="center")
    figure.savefig(RESULTS / "scaling.svg", metadata={"Date": None})
    (RESULTS / "scaling.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Time single draws inside a compiled loop: ``python benchmarks/inside_numba.py``.

The row of each draw is another than that of the draw before, as in a simulation. The alternatives
are the lines that are usually written in Numba: the cumulative sum and `numpy.searchsorted`, and a
scan that subtracts weights until the rest is negative. Writes ``inside-numba.json`` and ``.md`` to
``benchmarks/results``. All times are medians; quote ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import record
from numba import njit
from run import Times, compete

import anycat.numba

# ruff: noqa: NPY002, as Numba compiles no other generator's draws without an argument

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = 10, 30, 100, 300, 1000
ROWS = 64
DRAWS = 2000
OURS, PREPARED = "anycat", "anycat, prepared"


@njit
def by_cumsum(weights, key, i):
    cumulative = np.cumsum(weights)
    return np.searchsorted(cumulative, np.random.random() * cumulative[-1], side="right")


@njit
def by_scan(weights, key, i):
    total = 0.0
    for k in range(weights.size):
        total += weights[k]
    rest, k = np.random.random() * total - weights[0], 0
    while rest >= 0 and k < weights.size - 1:
        k += 1
        rest -= weights[k]
    return k


@njit
def by_cumsum_of_exp(logits, key, i):
    return by_cumsum(np.exp(logits - logits.max()), key, i)


@njit
def by_scan_of_exp(logits, key, i):
    return by_scan(np.exp(logits - logits.max()), key, i)


FUNCTIONS: dict[str, dict[str, Any]] = {
    "probs": {
        OURS: anycat.numba.draw,
        "cumsum, searchsorted": by_cumsum,
        "scan": by_scan,
    },
    "logits": {
        OURS: anycat.numba.draw_logits,
        "cumsum, searchsorted": by_cumsum_of_exp,
        "scan": by_scan_of_exp,
    },
}


def loop(choose: Callable[..., int]) -> Any:
    """Return a compiled loop that draws from one row after the other."""

    def draws(rows: Any, key: Any, first: int, out: Any) -> None:
        for i in range(out.size):
            out[i] = choose(rows[i % rows.shape[0]], key, first + i)

    return njit(draws)


@njit
def prepared(tables, key, first, out):
    for i in range(out.size):
        out[i] = anycat.numba.draw_prepared(tables[0], key, first + i)


def cases(form: str, dtype: str, size: int, loops: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return what makes DRAWS draws, each time others."""
    rows = np.random.default_rng(0).random((ROWS, size)).astype(dtype) + np.finfo(dtype).tiny
    if form == "logits":
        rows = np.log(rows)
    key, out, made = anycat.numba.key(0), np.empty(DRAWS, np.int64), [0]

    def run(draws: Any, x: Any) -> None:
        draws(x, key, made[0], out)
        made[0] += DRAWS

    found = {name: lambda draws=draws: run(draws, rows) for name, draws in loops.items()}
    if form == "probs":
        tables = (anycat.numba.prepare(rows[0]),)
        found[PREPARED] = lambda: run(prepared, tables)
    return found


def table(results: dict[str, Times]) -> str:
    """Return the ratios of the other times to the time of anycat."""
    head = "row", "anycat, ns for a draw"
    return record.ratios(results, head, scale=1e9 / DRAWS, digits=(".0f", ".2f"))


def main() -> None:
    seconds = record.seconds_for_each_case(__doc__, 2.0)
    results = {}
    for form, functions in FUNCTIONS.items():
        loops = {name: loop(choose) for name, choose in functions.items()}
        for dtype in ("float32", "float64"):
            for size in SIZES:
                case = cases(form, dtype, size, loops)
                results[f"{size} {form}, {dtype}"] = compete(case, seconds)
    record.write("inside-numba", results, table(results), draws=DRAWS)


if __name__ == "__main__":
    main()

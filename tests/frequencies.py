"""Statistics at scale: ``python tests/frequencies.py --draws 1e9``.

Draws by each path of the CPU are compared with the exact probabilities, those of the integer CDF,
by G-tests; and pairs of neighbouring draws, seeds and rows are tested for independence. A correct
library would fail a complete run for one choice of the seed in a million: ALARM, shared out evenly
among all tests.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
import oracle
from fuzz import versions
from scipy import stats

from anycat import Categorical
from anycat._kernels import cpu
from anycat._kernels.cpu import draw, small, table
from anycat._kernels.cpu.jit.table import SPARSE
from anycat._kernels.cpu.sizes import TILE
from anycat._kernels.grid import DrawRange
from anycat._kernels.keys import key_of_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Array = np.ndarray[Any, Any]

ALARM = 1e-6
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "statistics.json"
FEWEST = 25  # expected draws of a category; those of fewer are taken together


# --- tests --------------------------------------------------------------------------------------


@numba.njit(nogil=True)
def count(draws: Array, counts: Array) -> None:
    """Count the draws of each row; a draw outside of 0..K-1 is an error."""
    rows, size = counts.shape
    row = 0
    for k in draws:
        if k < 0 or k >= size:
            raise ValueError("a draw is no category")
        counts[row, k] += 1
        row = row + 1 if row + 1 < rows else 0


@numba.njit(nogil=True)
def count_pairs(first: Array, second: Array, counts: Array) -> None:
    """Count pairs of draws."""
    for a, b in zip(first, second):  # noqa: B905 - not in Numba
        counts[a, b] += 1


def probabilities(row: Array, form: str) -> Array:
    """Return the exact probabilities of a row, rounded."""
    ends = oracle.boundaries(row, form)
    assert ends
    return np.array([(b - a) / ends[-1] for a, b in zip([0, *ends], ends, strict=False)])


def g_test(observed: Array, p: Array) -> float:
    """Return the p-value of a G-test; rare categories are taken together."""
    assert not observed[p == 0].any(), "a category of probability zero"
    order = np.argsort(p)
    observed, expected = observed[order], p[order] * observed.sum()
    rare = int(np.searchsorted(expected.cumsum(), FEWEST)) + 1
    rare += int((expected[rare:] < FEWEST).sum())
    starts = np.r_[0, rare : len(expected)]
    observed, expected = (np.add.reduceat(x, starts) for x in (observed, expected))
    if len(observed) < 2:
        return 1.0
    seen = observed > 0
    terms = observed[seen] * np.log(observed[seen] / expected[seen])
    return float(stats.chi2.sf(2 * terms.sum(), len(observed) - 1))


# --- paths --------------------------------------------------------------------------------------

KERNELS: dict[str, tuple[Any, str]] = {  # where the launch code finds each
    "draw_small": (small, "draw_small"),
    "draw_long_small": (small, "draw_long_small"),
    "draw_short_rows": (draw, "SHORT_ROWS"),
    "draw_rows": (draw, "ROWS"),
    "draw_long_rows": (draw, "LONG_ROWS"),
    "draw_summed_rows": (draw, "SUMMED_ROWS"),
    "draw_guided_rows": (draw, "GUIDED_ROWS"),
    "draw_table": (table, "draw_table"),
}


@contextmanager
def called_kernels() -> Iterator[set[str]]:
    """Give the names of the kernels that draw meanwhile."""
    names: set[str] = set()

    def noted(name: str, kernel: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            names.add(name)
            kernel(*args)

        return call

    known = {name: getattr(*place) for name, place in KERNELS.items()}
    try:
        for name, (module, attribute) in KERNELS.items():
            old = known[name]
            strategy = isinstance(old, draw.Strategy)
            new = old._replace(kernel=noted(name, old.kernel)) if strategy else noted(name, old)
            setattr(module, attribute, new)
        yield names
    finally:
        for name, (module, attribute) in KERNELS.items():
            setattr(module, attribute, known[name])


class Setup(NamedTuple):
    """Rows from which one kernel draws."""

    kernel: str
    form: str
    dtype: str
    categories: int
    rows: int
    """Rows with different probabilities, each tested for itself."""
    copies: int
    """How often the batch repeats them."""
    samples: int


SETUPS = {
    "small": Setup("draw_small", "logits", "float32", 10, 8, 1, 128),
    "small, float64": Setup("draw_small", "probs", "float64", 10, 8, 1, 128),
    "small, long rows": Setup("draw_long_small", "logits", "float32", 4200, 1, 1, 16),
    "short rows": Setup("draw_short_rows", "logits", "float32", 20, 8, 1 << 13, 4),
    "short rows, float64": Setup("draw_short_rows", "probs", "float64", 20, 8, 1 << 13, 4),
    "rows": Setup("draw_rows", "logits", "float32", 260, 8, 1 << 10, 4),
    "rows, float64": Setup("draw_rows", "probs", "float64", 260, 8, 1 << 10, 4),
    "summed rows": Setup("draw_summed_rows", "logits", "float32", 300, 8, 256, 125),
    "summed rows, float64": Setup("draw_summed_rows", "probs", "float64", 300, 8, 256, 125),
    "summed long rows": Setup("draw_summed_rows", "logits", "float32", 9000, 4, 8, 1000),
    "guided rows": Setup("draw_guided_rows", "logits", "float32", 300, 8, 16, 2000),
    "guided rows, float64": Setup("draw_guided_rows", "probs", "float64", 300, 8, 16, 2000),
    "long rows": Setup("draw_long_rows", "logits", "float32", 4200, 4, 1 << 8, 1),
    "long rows, float64": Setup("draw_long_rows", "probs", "float64", 4200, 4, 1 << 8, 1),
    "table, dense": Setup("draw_table", "logits", "float32", 1000, 1, 1, 1 << 22),
    "table, dense, float64": Setup("draw_table", "probs", "float64", 1000, 1, 1, 1 << 22),
    "table, sparse": Setup("draw_table", "logits", "float32", 50, 1, 1, 1 << 22),
    "table, sparse, float64": Setup("draw_table", "probs", "float64", 50, 1, 1, 1 << 22),
}


def parameters(setup: Setup) -> Array:
    """Return rows of ordinary weights, with some a million times rarer.

    Of a long row, 99 % of the draws are in its last tile, which is short: a draw reads its tile.
    """
    rng = np.random.default_rng(20261128)
    logits = 1.5 * rng.standard_normal((setup.rows, setup.categories))
    logits[:, 1::7] -= 6 * math.log(10)
    if setup.categories > TILE:
        last = setup.categories % TILE
        logits[:, -last:] += math.log(100 * setup.categories / last)
    return (logits if setup.form == "logits" else np.exp(logits)).astype(setup.dtype)


def frequencies(setup: Setup, draws: float, seed: list[int]) -> Iterator[tuple[str, float]]:
    """Draw through the public API, and yield the p-value of each row."""
    x = parameters(setup)
    batch = () if setup.rows * setup.copies == 1 else (setup.rows * setup.copies,)
    dist = Categorical(**{setup.form: np.tile(x, (setup.copies, 1)).reshape(*batch, -1)})
    if setup.kernel == "draw_table":
        dist.sample(1 << 20, rng=0)  # so that a table pays off
    rng = np.random.Generator(np.random.PCG64(seed))
    with called_kernels() as kernels:
        dist.sample(setup.samples, rng=rng)
    assert kernels == {setup.kernel}, kernels
    if known := dist._cache.get("table"):
        sparse = known.cdf.size * int(SPARSE) <= known.guide.size
        assert sparse == (setup.categories < 100)
    counts = np.zeros(x.shape, np.int64)
    for _ in range(math.ceil(draws / setup.samples / (setup.rows * setup.copies))):
        count(dist.sample(setup.samples, rng=rng).reshape(-1), counts)
    for r, row in enumerate(x):
        yield f"row {r}", g_test(counts[r], probabilities(row, setup.form))


# --- neighbours ---------------------------------------------------------------------------------

CHUNK = 1 << 20  # pairs
WEIGHTS = np.array([1.0, 2, 3, 1, 0.5, 4, 2, 1, 0.1, 1, 2, 2, 3, 1, 1, 0.01])
Pairs = tuple[Array, Array]


def sample(seed: int, n: int = 2 * CHUNK) -> Array:
    return Categorical(WEIGHTS).sample(n, rng=seed)  # type: ignore[no-any-return]


def in_block(i: int) -> Pairs:
    draws = sample(i)
    return draws[0::2], draws[1::2]


def across_blocks(i: int) -> Pairs:
    draws = sample(i)
    return draws[1:-1:2], draws[2::2]


def seeds(i: int) -> Pairs:
    return sample(2 * i, CHUNK), sample(2 * i + 1, CHUNK)


def rows(i: int) -> Pairs:
    """Return draws of neighbouring rows, each of which has one neighbour."""
    draws = sample_rows(i, (CHUNK // 1024,)).reshape(-1, 2)
    return draws[:, 0], draws[:, 1]


def samples(i: int) -> Pairs:
    """Return draws of the same row, in neighbouring samples."""
    draws = sample_rows(i, (CHUNK // 2048, 2))
    return draws[:, 0].reshape(-1), draws[:, 1].reshape(-1)


def sample_rows(i: int, shape: tuple[int, ...]) -> Array:
    """Draw from 2048 rows; every second one has the categories in reverse, which is undone."""
    batch = np.tile(np.stack([WEIGHTS, WEIGHTS[::-1]]), (1024, 1))
    draws: Array = Categorical(batch).sample(shape, rng=(1 << 64) + i)
    draws[..., 1::2] = WEIGHTS.size - 1 - draws[..., 1::2]
    return draws


def by_key(*key: int) -> Array:
    """Draw with given random words as the key and the state."""
    out = np.empty((CHUNK, 1, 1), np.int64)
    bits, draws = key_of_words(np.array(key, np.uint64)), DrawRange(CHUNK, 1, 1, 0, 1, 1)
    cpu.sample(WEIGHTS, False, bits, draws, out, {})
    return out.reshape(-1)


NEIGHBOURS: dict[str, Callable[[int], Pairs]] = {
    "draws in a block of random words": in_block,
    "draws in neighbouring blocks": across_blocks,
    "seeds": seeds,
    "rows": rows,
    "samples of a row": samples,
    "first words of the key": lambda i: (by_key(2 * i, 0, 0, 0), by_key(2 * i + 1, 0, 0, 0)),
    "second words of the key": lambda i: (by_key(0, 2 * i, 0, 0), by_key(0, 2 * i + 1, 0, 0)),
    "first words of the state": lambda i: (by_key(7, 0, 2 * i, 0), by_key(7, 0, 2 * i + 1, 0)),
    "second words of the state": lambda i: (by_key(7, 0, 0, 2 * i), by_key(7, 0, 0, 2 * i + 1)),
}


def independence(pairs: Callable[[int], Pairs], draws: float, seed: int) -> float:
    """Return the p-value that pairs have the product of the probabilities."""
    p = probabilities(WEIGHTS, "probs")
    counts = np.zeros((p.size, p.size), np.int64)
    for i in range(math.ceil(draws / 2 / CHUNK)):
        count_pairs(*pairs((seed << 20) + i), counts)
    return g_test(counts.reshape(-1), np.outer(p, p).reshape(-1))


# --- the run ------------------------------------------------------------------------------------


def run_neighbours(name: str, draws: float, seed: int) -> Iterator[tuple[str, float]]:
    yield name, independence(NEIGHBOURS[name], draws, seed)


def every_run() -> dict[str, Callable[[float, int], Iterator[tuple[str, float]]]]:
    """Return what draws and tests, by name."""

    def drawn(name: str, setup: Setup) -> Callable[[float, int], Iterator[tuple[str, float]]]:
        return lambda draws, seed: frequencies(setup, draws, [seed, *name.encode()])

    def paired(name: str) -> Callable[[float, int], Iterator[tuple[str, float]]]:
        return lambda draws, seed: run_neighbours(name, draws, seed)

    paths = {name: drawn(name, setup) for name, setup in SETUPS.items()}
    return paths | {f"neighbouring {name}": paired(name) for name in NEIGHBOURS}


TESTS = sum(setup.rows for setup in SETUPS.values()) + len(NEIGHBOURS)
THRESHOLD = ALARM / TESTS


def record(name: str, entry: dict[str, Any]) -> None:
    """Record a run in place of the last one of this name."""
    known = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else {}
    entries = {x: entry if x == name else known.get(x) for x in every_run()}
    entries = {x: e for x, e in entries.items() if e}
    content = {
        "false alarms": ALARM,
        "tests": TESTS,
        "threshold": THRESHOLD,
        "failures": [x for x, e in entries.items() if min(e["p-values"]) < THRESHOLD],
        "versions": versions(),
        "runs": entries,
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


def main() -> int:
    runs = every_run()
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"default: all of {', '.join(runs)}")
    parser.add_argument("--draws", type=float, default=1e8, help="of each (default: 1e8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help=f"update {RESULTS.name}")
    options = parser.parse_args()
    failed = False
    for name in options.names or runs:
        start = time.perf_counter()
        values = dict(runs[name](options.draws, options.seed))
        seconds, lowest = time.perf_counter() - start, min(values.values())
        failed |= lowest < THRESHOLD
        verdict = "FAILED" if lowest < THRESHOLD else "passed"
        print(f"{name}: {verdict}, lowest p-value {lowest:.3g}, {seconds:.1f} s", flush=True)
        if options.record:
            entry = {
                "draws": int(options.draws),
                "seed": options.seed,
                "seconds": round(seconds, 1),
                "p-values": [float(f"{p:.4g}") for p in values.values()],
                "date": time.strftime("%Y-%m-%d"),
                **(SETUPS[name]._asdict() if name in SETUPS else {}),
            }
            record(name, entry)
    return failed


if __name__ == "__main__":
    sys.exit(main())

"""Time the counts of n draws of each row.

``python benchmarks/counts.py`` compares `sample_counts` with draws that are counted afterwards, by
anycat, NumPy and PyTorch, with draws alone, and with `Generator.multinomial`. That one does not
draw: it takes each count from a binomial distribution, which no number of draws slows down, but the
counts are those of no draws that could be repeated elsewhere. Writes ``counts.json`` and ``.md`` to
``benchmarks/results``. All times are medians; quote ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import record
from regimes import optional
from run import Times, compete

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Callable

    Case = dict[str, Callable[[], Any]]

CASES = (  # rows, categories, draws of each row
    (1, 10, 10**8),
    (1, 1000, 10**8),
    (1, 100_000, 10**8),
    (1, 10**6, 10**8),
    (1, 10**7, 10**8),
    (1, 1000, 10**6),
    (10_000, 100, 1000),
    (100_000, 18, 10),
    (64, 128_256, 1000),
)
MAX_DRAWS = 10**7  # of which alternatives that take seconds store so many at a time
OURS, ALONE = "anycat", "anycat, sample alone"


def cases(rows: int, size: int, n: int) -> Case:
    """Return what counts n draws of each row."""
    probs = np.random.default_rng(0).random((rows, size), np.float32)
    rng, torch = np.random.default_rng(1), optional("torch")
    exact = probs / probs.sum(-1, keepdims=True, dtype=np.float64)
    dist = Categorical(probs)
    found: Case = {
        OURS: lambda: dist.sample_counts(n, rng=rng),
        ALONE: lambda: dist.sample(n, rng=rng),
        "anycat, sample and bincount": lambda: bincount(dist.sample(n, rng=rng), size),
        "numpy, multinomial": lambda: rng.multinomial(n, exact),
    }
    if rows * n <= MAX_DRAWS:
        found["numpy, choice and bincount"] = lambda: by_choice(exact, n, rng)
    if torch and rows * n <= MAX_DRAWS and size < 1 << 24:
        tensor = torch.tensor(probs)
        found["torch, multinomial and bincount"] = lambda: by_torch(torch, tensor, n)
    return found


def bincount(draws: Any, size: int) -> Any:
    """Count the draws of each row along the first axis."""
    rows = draws.shape[-1]
    if rows == 1:
        return np.bincount(draws[:, 0], minlength=size)
    draws += size * np.arange(rows)
    return np.bincount(draws.reshape(-1), minlength=rows * size).reshape(rows, size)


def by_choice(probs: Any, n: int, rng: np.random.Generator) -> Any:
    """Draw from one row after the other."""
    size = probs.shape[-1]
    return [np.bincount(rng.choice(size, n, p=p), minlength=size) for p in probs]


def by_torch(torch: Any, probs: Any, n: int) -> Any:
    """Draw from all rows at once."""
    rows, size = probs.shape
    draws = torch.multinomial(probs, n, replacement=True) + size * torch.arange(rows)[:, None]
    return torch.bincount(draws.reshape(-1), minlength=rows * size).reshape(rows, size)


def table(results: dict[str, Times]) -> str:
    """Return the ratios of the other times to the time of anycat."""
    head = "rows x categories, draws of each", "anycat, ms"
    return record.ratios(results, head, digits=(".3g", ".3g"))


def main() -> None:
    seconds = record.seconds_for_each_case(__doc__)
    results = {
        f"{rows} x {size}, {n:.0e}": compete(cases(rows, size, n), seconds)
        for rows, size, n in CASES
    }
    record.write("counts", results, table(results))


if __name__ == "__main__":
    main()

"""Time draws without replacement: some of many weights, of many rows, and whole permutations.

``python benchmarks/without_replacement.py`` compares anycat with `Generator.choice`,
`torch.multinomial` and the Gumbel-top-k trick in jitted JAX. NumPy draws from one row only; for
many, its keys are partitioned and sorted. JAX does not check its input; the others do. Writes
``without-replacement.json`` and ``.md`` to ``benchmarks/results``. All times are medians; quote
ratios.

A draw cannot begin before the one before it is removed, since its integers depend on that. So a
whole permutation takes at least, for each draw: half a block of Philox, a search in the two or
three levels of the tree of tiles, one in the blocks of a tile, and one in a block of 64 categories,
whose values come from L3 or memory; then the updates of these sums, which later loads wait for.
Where all is in L1 and L2, that is about 60 ns on a core at 4 GHz.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import record
from regimes import optional
from run import Times, compete

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, Any]

OURS = "anycat"


class Case(NamedTuple):
    """Rows of float32 weights, and the number of draws from each."""

    rows: int
    categories: int
    draws: int

    def __str__(self) -> str:
        rows = f"{self.rows:,} rows x " if self.rows > 1 else ""
        return f"{self.draws:,} of {rows}{self.categories:,}"


CASES = [
    Case(1, 10**6, 256),
    Case(10**4, 100, 8),
    Case(1, 10**7, 10**5),
    Case(1, 10**6, 10**6),
]


def functions(case: Case) -> dict[str, Callable[[], Any]]:
    """Return what draws from the rows of a case: from a new distribution, or from one again."""
    shape = (case.rows, case.categories) if case.rows > 1 else (case.categories,)
    weights = 1 - np.random.default_rng(0).random(shape, np.float32)
    rng, n = np.random.default_rng(1), case.draws
    torch, jax = optional("torch"), optional("jax")
    kept, unchecked = Categorical(weights), partial(Categorical, weights, validate_args=False)
    found: dict[str, Callable[[], Any]] = {
        OURS: lambda: Categorical(weights).sample(n, rng=rng, replace=False),
        "anycat, unchecked": lambda: unchecked().sample(n, rng=rng, replace=False),
        "anycat, again": lambda: kept.sample(n, rng=rng, replace=False),
        "numpy": lambda: by_numpy(weights, n, rng),
    }
    if torch:
        x = torch.tensor(weights)
        found["torch.multinomial"] = lambda: torch.multinomial(x, n, replacement=False)
    if jax:
        draw, y, key = by_jax(jax, n), jax.numpy.asarray(weights), jax.random.key(0)
        found["jax, Gumbel top-k, jitted"] = lambda: draw(y, key).block_until_ready()
    return found


def by_numpy(weights: Array, n: int, rng: np.random.Generator) -> Array:
    """Return indices by `Generator.choice`, or by exponential keys of each of many rows."""
    if weights.ndim == 1:
        p = weights.astype(np.float64)
        return rng.choice(len(weights), n, replace=False, p=p / p.sum())
    keys = rng.standard_exponential(weights.shape, np.float32) / weights
    least = np.argpartition(keys, n, -1)[:, :n]
    order = np.argsort(np.take_along_axis(keys, least, -1), -1)
    return np.take_along_axis(least, order, -1)


def by_jax(jax: Any, n: int) -> Any:
    """Return a function that takes the largest of log-weights with Gumbel noise."""

    @jax.jit
    def draw(weights: Any, key: Any) -> Any:
        noise = jax.random.gumbel(key, weights.shape, weights.dtype)
        return jax.lax.top_k(jax.numpy.log(weights) + noise, n)[1]

    return draw


def table(results: dict[str, Times]) -> str:
    """Return the ratios of the other times to the time of anycat."""
    return record.ratios(results, ("draws", "anycat, ms"))


def main() -> None:
    seconds = record.seconds_for_each_case(__doc__)
    results = {str(case): compete(functions(case), seconds) for case in CASES}
    record.write("without-replacement", results, table(results))


if __name__ == "__main__":
    main()

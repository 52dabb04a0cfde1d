"""Time draws inside a compiled loop of JAX: ``python benchmarks/inside_jax.py``.

Each step of a `jax.lax.scan` moves all chains of a Markov process to their next states, with a key
of its own. The alternatives are JAX's own function, and inverse transform sampling by hand. Writes
``inside-jax.json`` and ``.md`` to ``benchmarks/results``. All times are medians; quote ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import record
from regimes import parameters
from run import Times, compete

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (1, 6), (64, 18), (1000, 6), (4096, 18), (4096, 100)
STEPS = 100


def by_hand(key: Any, logits: Any) -> Any:
    """Draw once from each row by its cumulative sum."""
    sums = jnp.cumsum(jax.nn.softmax(logits), -1)
    u = jax.random.uniform(key, (*logits.shape[:-1], 1)) * sums[..., -1:]
    return (sums <= u).sum(-1)


def cases(chains: int, states: int) -> dict[str, Callable[[], Any]]:
    """Return the same loop by each way to draw."""
    logits = jnp.asarray(parameters((states, states), "logits"))
    start, keys = jnp.zeros(chains, jnp.int32), jax.random.split(jax.random.key(0), STEPS)
    dist = Categorical(logits=logits)
    ways = {
        "anycat": lambda key, at: dist[at].sample(rng=key),
        "jax": lambda key, at: jax.random.categorical(key, logits[at]),
        "by hand": lambda key, at: by_hand(key, logits[at]),
    }
    return {name: loop(move, keys, start) for name, move in ways.items()}


def loop(move: Callable[[Any, Any], Any], keys: Any, start: Any) -> Callable[[], Any]:
    """Return a function that takes all steps."""
    run = jax.jit(lambda *args: jax.lax.scan(lambda at, key: (move(key, at),) * 2, *args))
    return lambda: jax.block_until_ready(run(start, keys))


def table(results: dict[str, Times]) -> str:
    """Return the ratios of the other times to the time of anycat."""
    head = "chains x states", "anycat, µs a step"
    return record.ratios(results, head, scale=1e6 / STEPS, digits=(".3g", ".2g"))


def main() -> None:
    seconds = record.seconds_for_each_case(__doc__)
    results = {f"{n} x {k}": compete(cases(n, k), seconds) for n, k in SIZES}
    record.write("inside-jax", results, table(results), draws=STEPS)


if __name__ == "__main__":
    main()

"""Kernel rooms, one for each kind of memory, with functions of the same signatures.

``sample(params, logits, key, draws, out, cache)``
    Draw from each row of ``params``, an array of shape (..., K) and a real dtype: logits, or else
    probabilities. ``key`` holds four 32-bit numbers as uint64; ``out`` takes the draws, a
    C-contiguous array of integers of shape (samples, rows, repeats), not empty; ``cache`` is a dict
    that the caller keeps for these parameters, for what is worth keeping.

The CPU room has more, since NumPy would pass over memory several times: ``vouch`` checks parameters
in one pass, ``normalizer`` and ``summarize`` find what `log_prob` and `entropy` want of rows, and
``look_up`` entries.
"""

from typing import Any, NamedTuple


class Draws(NamedTuple):
    """The draws [sample, row, repeat] of an output, and their numbers.

    The first one has the number ``first``; from repeat to repeat it grows by one, from row to row
    by ``step``, from sample to sample by ``stride``.
    """

    samples: int
    rows: int
    repeats: int
    first: int
    stride: int
    step: int


def earns_table(cache: dict[str, Any], cost: float, price: float) -> bool:
    """Tell whether so much was drawn from a row that a table would have paid.

    ``cost`` is what the draws at hand cost without one, and ``price`` that of a table.
    """
    cache["spent"] = cache.get("spent", 0.0) + cost
    return bool(cache["spent"] > price)

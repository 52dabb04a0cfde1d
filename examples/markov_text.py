"""Generate text from a Markov chain: the distribution of each character depends on the one before.

The training text is available on every machine: the source of Python's standard library. One
`Categorical` holds the whole chain, with one row for each of the 256 byte values. Since the row of
a draw depends on the draw before, they are made in a loop that Numba compiles::

    python examples/markov_text.py --length 400 --seed 1
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

import anycat.numba
from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Counts = NDArray[np.int64]
    Probs = NDArray[np.float64]


def read_sources(files: int) -> Bytes:
    """Return the first `files` modules of the standard library, in order of name, as one text."""
    paths = sorted(Path(os.__file__).parent.glob("*.py"))[:files]
    return np.frombuffer(b"".join(path.read_bytes() for path in paths), dtype=np.uint8)


def count_pairs(text: Bytes) -> Counts:
    """Count how often each byte (column) follows each byte (row).

    The text is treated as circular: the first byte follows the last. Each byte is then left as
    often as it is reached, so the byte frequencies are the stationary distribution of the chain.
    """
    pairs = 256 * text.astype(np.int64) + np.roll(text, -1)
    return np.bincount(pairs, minlength=256 * 256).reshape(256, 256)


def fit(counts: Counts) -> Categorical:
    """Return the chain, with one distribution for each byte; counts need no normalisation.

    A byte that never occurs has only zero counts, which is not a valid distribution. Its row is
    made uniform instead. A chain that starts at a byte of the text never reaches such a row.
    """
    seen = counts.sum(axis=1, keepdims=True) > 0
    return Categorical(np.where(seen, counts, 1))


def bits_per_character(chain: Categorical, counts: Counts) -> float:
    """Return the mean of -log2(p) over the text, with p the probability under the chain."""
    before, after = counts.nonzero()
    nats = -chain[before].log_prob(after)
    return float(np.average(nats, weights=counts[before, after])) / math.log(2)


def entropy_rate(chain: Categorical, counts: Counts) -> float:
    """Return the entropy rate of the chain, in bits per character."""
    return float(np.average(chain.entropy(), weights=counts.sum(axis=1))) / math.log(2)


def write(chain: Categorical, start: int, length: int, rng: int | np.random.Generator) -> bytes:
    """Generate `length` bytes that follow `start`.

    Each step draws one successor of the byte before. With the same seed, a shorter text is the
    start of a longer one, because step i has draw index i in both.
    """
    text = np.empty(length, np.uint8)
    _write(np.asarray(chain.probs), start, anycat.numba.key(rng), text)
    return text.tobytes()


def _follow(probs: Probs, start: int, key: Any, text: Bytes) -> None:
    for i in range(text.size):
        start = anycat.numba.draw(probs[start], key, i)
        text[i] = start


_write = njit(_follow)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit a chain to the standard library, and print its statistics and a new text."""
    parser = argparse.ArgumentParser(description="Generate text from a Markov chain.")
    parser.add_argument("--files", type=int, default=50, help="number of modules to fit")
    parser.add_argument("--length", type=int, default=400, help="number of characters to generate")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same text")
    options = parser.parse_args(arguments)

    text = read_sources(options.files)
    counts = count_pairs(text)
    chain = fit(counts)
    print(f"{text.size:,} characters read, {np.count_nonzero(counts):,} different pairs")
    print(f"{bits_per_character(chain, counts):.4f} bits per character of the text")
    print(f"{entropy_rate(chain, counts):.4f} bits per character of the chain: its entropy rate")
    print()
    print(write(chain, ord("\n"), options.length, options.seed).decode(errors="replace"))


if __name__ == "__main__":
    main()

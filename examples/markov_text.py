"""Write text as a Markov chain does: each character is drawn by the one before it.

The text to learn from is there on every machine: the source of Python's own standard library.
One `Categorical` holds the whole chain, a row for each of the 256 values of a byte::

    python examples/markov_text.py --length 400 --seed 1
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Counts = NDArray[np.int64]


def read_sources(files: int) -> Bytes:
    """Return the first `files` modules of the standard library, by name, as one text."""
    paths = sorted(Path(os.__file__).parent.glob("*.py"))[:files]
    return np.frombuffer(b"".join(path.read_bytes() for path in paths), dtype=np.uint8)


def count_pairs(text: Bytes) -> Counts:
    """Count how often each byte (column) follows each byte (row).

    The first byte is taken to follow the last. So each byte is left as often as it is reached,
    and how often it occurs is the stationary distribution of the chain.
    """
    pairs = 256 * text.astype(np.int64) + np.roll(text, -1)
    return np.bincount(pairs, minlength=256 * 256).reshape(256, 256)


def fit(counts: Counts) -> Categorical:
    """Return the chain, one distribution for each byte: counts need no normalisation.

    A byte that never occurs has no counts, and a row without weight is no distribution. It gets
    a uniform row, which no chain that starts at a known byte can reach.
    """
    seen = counts.sum(axis=1, keepdims=True) > 0
    return Categorical(np.where(seen, counts, 1))


def bits_per_character(chain: Categorical, counts: Counts) -> float:
    """Return the mean of -log2 of the probabilities that the chain gives to the text."""
    before, after = counts.nonzero()
    nats = -chain[before].log_prob(after)
    return float(np.average(nats, weights=counts[before, after])) / math.log(2)


def entropy_rate(chain: Categorical, counts: Counts) -> float:
    """Return the bits of new information in each character that the chain writes."""
    return float(np.average(chain.entropy(), weights=counts.sum(axis=1))) / math.log(2)


def write(chain: Categorical, start: int, length: int, rng: int | np.random.Generator) -> bytes:
    """Return `length` bytes that follow `start`.

    One call draws a successor of every byte for every step, and the text is the walk from one to
    the next. Most draws go unused, but they are cheaper than `length` calls. A longer text from
    the same seed begins with the shorter one, as more draws begin with the fewer.
    """
    successors = chain.sample(length, rng=rng)
    text = bytearray()
    for row in successors:
        start = int(row[start])
        text.append(start)
    return bytes(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn from the standard library, and print figures and a new text."""
    parser = argparse.ArgumentParser(description="Write text as a Markov chain does.")
    parser.add_argument("--files", type=int, default=50, help="modules to learn from")
    parser.add_argument("--length", type=int, default=400, help="characters to write")
    parser.add_argument("--seed", type=int, default=0, help="the same seed writes the same text")
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

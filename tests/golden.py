"""Make golden*.json: draws of stream version 1, by the oracle.

The first has parameters and rng, the second parameters, seeds and start, the third draws without
replacement. They are the promise that
draws stay as they are. Never make them anew to mend a test: a change of any draw is a new stream
version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import oracle

PATH = Path(__file__).with_name("golden.json")
SEEDS_PATH = PATH.with_name("golden_seeds.json")
DISTINCT_PATH = PATH.with_name("golden_distinct.json")

CASES: list[tuple[str, str, Any, int, list[int]]] = [
    ("probs", "float64", [[[0.25] * 4], [[0.33, 0.33, 0.33, 0.01]]], 0, [4]),
    ("logits", "float64", [[[0.25] * 4], [[0.33, 0.33, 0.33, 0.01]]], 0, [4]),
    ("probs", "float32", [1e-30, 1.0, 0.0, 2.5e-7, 3.0], 1, [20]),
    ("logits", "float32", [-80.5, 0.0, "-inf", -15.25, 1.0625], 2, [20]),
    ("probs", "float16", [[1.0, 2.0, 0.5], [6e-8, 0.0, 1.2e-7]], 3, [3, 2]),
    ("logits", "float16", [[1.0, 2.0, 0.5], [-6e4, 6e4, 5.9e4]], 2**64, [3, 2]),
    ("probs", "int64", [1, 2, 3, 4, 5, 6], 12345, [12]),
    ("logits", "float32", [3e6, 3e6 + 1, -3e38], 7, [12]),
    ("probs", "float64", [5e-324, 1e-323, 0.0], 7, [12]),
    ("probs", "float32", [[k % 7 for k in range(40)]] * 3, 8, [2]),
    ("logits", "float32", [(k * k % 97) / 8 for k in range(300)], 9, [12]),
    ("logits", "float64", [k * k % 13 - 8 * (k // 4096) for k in range(8200)], 10, [12]),
    ("probs", "float32", [k % 4 + 9 * (k // 4096) for k in range(4100)], 11, [12]),
]


# With seeds and start. The numbers are as long as 64 bits can be, and as 32, which JAX may have.
SEEDED_CASES: list[tuple[str, str, Any, Any, Any, list[int]]] = [
    ("probs", "float64", [0.1, 0.2, 0.7], 0, 0, [20]),
    ("probs", "float64", [[1.0, 2.0, 0.5]] * 4, [0, 1, 2**32, 2**64 - 1], 0, [7]),
    ("logits", "float32", [[-0.5, 0.0, 1.25, 0.75]] * 3, 7, [0, 5, 2**33 + 1], [6]),
    (
        "probs",
        "float32",
        [[k % 7 for k in range(40)]] * 3,
        [3, 2**31, 2**32 - 1],
        2**31 - 9,
        [2, 3],
    ),
    ("probs", "int64", [[[1, 2, 3, 4, 5, 6]] * 2] * 2, [[9], [2**63]], [2**64 - 5, 1], [4]),
    ("logits", "float64", [k * k % 13 - 8 * (k // 4096) for k in range(8200)], 10, 2**63, [6]),
    ("logits", "float16", [[1.0, 2.0, 0.5], [0.25, 0.0, -1.5]], [11, 12], 3, []),
]


# Without replacement. The last number is that of the draws.
DISTINCT_CASES: list[tuple[str, str, Any, int, int]] = [
    ("probs", "float64", [0.25, 0.0, 0.75, 1e-9, 1e-300], 0, 4),
    (
        "logits",
        "float32",
        [[-80.5, 0.0, "-inf", -15.25, 1.0625], [3e6, 3e6 + 1, -3e38, 0, 1]],
        1,
        4,
    ),
    ("probs", "float16", [[[1.0, 2.0, 0.5], [6e-8, 3.0, 1.2e-7]]], 2, 3),
    ("logits", "int64", [0, 1, 2, 3, 4, -90], 3, 6),
    ("probs", "float32", [[k % 7 for k in range(40)]] * 3, 4, 34),
    ("logits", "float64", [k * k % 13 - 8 * (k // 4096) for k in range(8200)], 5, 12),
    ("probs", "float32", [1 + (k % 4096 == 9) * 2.0 ** (k // 64) for k in range(8200)], 6, 12),
]


def key(seed: int) -> list[int]:
    """Return k0, k1, s0, s1 as docs/reproducibility.md tells."""
    words = [int(w) for w in np.random.PCG64(seed).random_raw(2)]
    return [half for w in words for half in (w % 2**32, w >> 32)]


def params(numbers: Any, dtype: str) -> np.ndarray[Any, Any]:
    return np.asarray(np.asarray(numbers, "float64" if dtype != "int64" else dtype), dtype)


def main() -> None:
    records = [
        {
            "form": form,
            "dtype": dtype,
            "params": numbers,
            "rng": seed,
            "sample_shape": shape,
            "draws": oracle.draw(params(numbers, dtype), form, key(seed), tuple(shape)).tolist(),
        }
        for form, dtype, numbers, seed, shape in CASES
    ]
    seeded = [
        {
            "form": form,
            "dtype": dtype,
            "params": numbers,
            "seeds": seeds,
            "start": start,
            "sample_shape": shape,
            "draws": oracle.draw_by_seeds(
                params(numbers, dtype), form, seeds, start, tuple(shape)
            ).tolist(),
        }
        for form, dtype, numbers, seeds, start, shape in SEEDED_CASES
    ]
    distinct = [
        {
            "form": form,
            "dtype": dtype,
            "params": numbers,
            "rng": seed,
            "n": n,
            "draws": oracle.draw_distinct(params(numbers, dtype), form, key(seed), n).tolist(),
        }
        for form, dtype, numbers, seed, n in DISTINCT_CASES
    ]
    for path, cases in ((PATH, records), (SEEDS_PATH, seeded), (DISTINCT_PATH, distinct)):
        lines = ",\n".join(json.dumps(record, separators=(",", ":")) for record in cases)
        path.write_text(f'{{"stream_version": 1, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

"""Time the first draw: ``python benchmarks/first_draw.py``.

Measures, in new processes, the import time in addition to that of NumPy, and the first draw of the
worked example, with an empty cache of compiled kernels and with a filled one; and, with an empty
cache, the first draw from many rows, the first token of a language model, the first counts and the
first draws without replacement. Measures also what
Numba takes alone for a trivial kernel, because machines differ: quote the ratio. Writes
``benchmarks/results/first-draw.json``. Takes about two minutes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from run import RESULTS, machine

CODE = """
import time
start = time.perf_counter()
import numpy
numpy_ = time.perf_counter()
import anycat
import_ = time.perf_counter()
anycat.Categorical([[0.25] * 4, [0.33, 0.33, 0.33, 0.01]]).sample(rng=0)
print(numpy_ - start, import_ - numpy_, time.perf_counter() - import_)
"""

# More kernels than those of the worked example.
LARGER = """
import time
import numpy
import anycat
x = numpy.random.default_rng(0).standard_normal({shape}, numpy.float32)
start = time.perf_counter()
{draw}
print(time.perf_counter() - start)
"""
ROWS = LARGER.format(shape=(100_000, 10), draw="anycat.Categorical(logits=x).sample(rng=0)")
TOKENS = LARGER.format(
    shape=(64, 50_000),
    draw="""
truncated = anycat.Categorical(logits=x).truncate(temperature=0.8, top_k=50, top_p=0.9)
truncated.sample(seeds=numpy.arange(64))
""",
)

COUNTS = LARGER.format(
    shape=(1000, 100), draw="anycat.Categorical(logits=x).sample_counts(1000, rng=0)"
)
DISTINCT = LARGER.format(
    shape=50_000, draw="anycat.Categorical(logits=x).sample(100, replace=False, rng=0)"
)
CODES = {
    "first draw ever, 100,000 x 10": ROWS,
    "first token ever, 64 x 50,000": TOKENS,
    "first counts ever, 1000 x 100": COUNTS,
    "first draws without replacement ever": DISTINCT,
}

NUMBA = """
import time
import numpy
start = time.perf_counter()
import numba
numba.njit(lambda x: x[0])(numpy.ones(1))
print(time.perf_counter() - start)
"""

ROUNDS = 4
# An installed package comes with bytecode files; a checkout may have none.
BYTECODE = tempfile.mkdtemp()


def measure(code: str, cache: str) -> list[float]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPYCACHEPREFIX": BYTECODE}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout
    return [float(word) for word in output.split()]


def main() -> None:
    cold, warm, trivial = [], [], []
    larger: dict[str, list[float]] = {name: [] for name in CODES}
    for code in (CODE, NUMBA):
        measure(code, BYTECODE)  # writes the bytecode files
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(measure(CODE, cache))
            warm.append(measure(CODE, cache))
            trivial.append(measure(NUMBA, cache))
        for name, code in CODES.items():
            with tempfile.TemporaryDirectory() as cache:
                larger[name] += measure(code, cache)
    numpy, imported, first = (statistics.median(times) for times in zip(*cold, strict=True))
    seconds = {
        "import numpy": numpy,
        "import anycat after it": imported,
        "first draw ever": first,
        "first draw of a process": statistics.median(times[2] for times in warm),
        **{name: statistics.median(times) for name, times in larger.items()},
        "numba: import, trivial kernel": statistics.median(times[0] for times in trivial),
    }
    for name, value in seconds.items():
        print(f"{name:<36} {value:.3f} s")
    record = {"machine": machine(), "median seconds": seconds}
    (RESULTS / "first-draw.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

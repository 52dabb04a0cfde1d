"""Time the first draw: ``python benchmarks/first_draw.py``.

Measures, in new processes, the import time in addition to that of NumPy, and the first draw of the
worked example, with an empty cache of compiled kernels and with a filled one. Writes
``benchmarks/results/first-draw.json``.
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


# An installed package comes with bytecode files; a checkout may have none.
BYTECODE = tempfile.mkdtemp()


def measure(cache: str) -> list[float]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPYCACHEPREFIX": BYTECODE}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    output = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, check=True, capture_output=True, text=True
    ).stdout
    return [float(word) for word in output.split()]


def main() -> None:
    cold, warm = [], []
    measure(BYTECODE)  # writes the bytecode files
    for _ in range(5):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(measure(cache))
            warm.append(measure(cache))
    numpy, imported, first = (statistics.median(times) for times in zip(*cold, strict=True))
    seconds = {
        "import numpy": numpy,
        "import anycat after it": imported,
        "first draw ever": first,
        "first draw of a process": statistics.median(times[2] for times in warm),
    }
    for name, value in seconds.items():
        print(f"{name:<26} {value:.3f} s")
    record = {"machine": machine(), "median seconds": seconds}
    (RESULTS / "first-draw.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Time the first draw: ``python benchmarks/first_draw.py``.

Measures, in new processes, the import time in addition to that of NumPy, and the first draw of the
worked example, with an empty cache of compiled kernels and with a filled one. Measures also what
Numba takes alone for a trivial kernel, because machines differ: quote the ratio. Writes
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

NUMBA = """
import time
import numpy
start = time.perf_counter()
import numba
numba.njit(lambda x: x[0])(numpy.ones(1))
print(time.perf_counter() - start)
"""

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
    for code in (CODE, NUMBA):
        measure(code, BYTECODE)  # writes the bytecode files
    for _ in range(5):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(measure(CODE, cache))
            warm.append(measure(CODE, cache))
            trivial.append(measure(NUMBA, cache))
    numpy, imported, first = (statistics.median(times) for times in zip(*cold, strict=True))
    seconds = {
        "import numpy": numpy,
        "import anycat after it": imported,
        "first draw ever": first,
        "first draw of a process": statistics.median(times[2] for times in warm),
        "numba: import, trivial kernel": statistics.median(times[0] for times in trivial),
    }
    for name, value in seconds.items():
        print(f"{name:<30} {value:.3f} s")
    record = {"machine": machine(), "median seconds": seconds}
    (RESULTS / "first-draw.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

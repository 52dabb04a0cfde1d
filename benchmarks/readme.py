"""Put the figures of ``benchmarks/results`` into README.md: ``python benchmarks/readme.py``."""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).with_name("results")
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- figures of benchmarks/readme.py -->\n", "<!-- end of figures -->\n"
SHOWN = (0, 4, 2, 6)  # benchmark case, speedup, compared with, over torch
PROSE = """
A tiny call takes {tiny:.0f} us; NumPy by hand, {hand:.0f}. The first draw ever compiles two kernels
({ever:.1f} s here, with all imports); the first draw of a later process took {later:.1f} s. For
comparison, Numba alone takes {numba:.1f} s to be imported and to compile a trivial function.
`import anycat` adds {imported:.0f} ms to NumPy's import time.
"""


def figures() -> str:
    """Return the table, and the sentences with figures below it."""
    lines = (RESULTS / "cpu.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    table = "".join(f"| {' | '.join(row[i] for i in SHOWN)} |\n" for row in rows)
    cpu, first = (
        json.loads((RESULTS / f"{name}.json").read_text())["median seconds"]
        for name in ("cpu", "first-draw")
    )
    tiny = cpu["make and draw once, K = 6"]
    return table + PROSE.format(
        tiny=tiny["anycat"] * 1e6,
        hand=tiny["by hand, numpy"] * 1e6,
        ever=first["first draw ever"],
        later=first["first draw of a process"],
        numba=first["numba: import, trivial kernel"],
        imported=first["import anycat after it"] * 1e3,
    )


def updated(text: str) -> str:
    """Return the text with the figures between its two marks."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + figures() + END + rest.partition(END)[2]


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))

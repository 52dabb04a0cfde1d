"""README.md shows the figures that are in ``benchmarks/results``."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_figures() -> None:
    updated = runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))["updated"]
    text = (ROOT / "README.md").read_text()
    assert updated(text) == text

"""Compiled kernels are kept on disk until any of their sources changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import anycat
from anycat import Categorical

DRAW = """
import numpy as np
from anycat import Categorical
from anycat._kernels.cpu.jit.draw import draw_rows
draws = Categorical(np.ones((50, 1000), np.float32)).sample(rng=1)
print(*draws.ravel(), sum(draw_rows.stats.cache_hits.values()), draw_rows.stats.cache_path)
"""
HELPER = Path("_kernels", "cpu", "jit", "philox.py")  # another file than that of `draw_rows`


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package."""
    source = Path(anycat.__file__).parent
    return shutil.copytree(
        source, tmp_path / "anycat", ignore=shutil.ignore_patterns("__pycache__")
    )


def draw(package: Path, code: str = DRAW) -> tuple[list[str], int, str]:
    """Return the draws of a new process, how many kernels it loaded, and the cache's folder."""
    parent = str(package.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": parent,
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": f"{parent}/cache",
    }
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    *draws, hits, path = output.stdout.split()
    return draws, int(hits), path


def test_a_changed_helper_is_compiled_again(package: Path) -> None:
    draws, hits, path = draw(package)
    assert hits == 0
    assert path.startswith(str(package.parent))
    assert draw(package) == (draws, 1, path)

    helper = package / HELPER
    text = helper.read_text()
    assert text.count("return c0 | (c1 << HALF), c2 | (c3 << HALF)") == 1
    helper.write_text(text.replace("return c0 | (c1 << HALF)", "return c1 | (c0 << HALF)"))
    changed, hits, _ = draw(package)
    assert changed != draws
    assert hits == 0
    assert draw(package)[:2] == (changed, 1)


@pytest.mark.parametrize(
    "missing",
    [
        "del numba.core.caching.Cache._index_key",
        "del numba.core.caching.FunctionCache",
    ],
)
def test_nothing_is_kept_where_numba_has_no_such_cache(package: Path, missing: str) -> None:
    code = f"import numba.core.ccallback; {missing}; {DRAW}"
    draws = Categorical(np.ones((50, 1000), np.float32)).sample(rng=1)
    assert draw(package, code) == ([str(k) for k in draws], 0, "None")
    assert not list(package.parent.glob("cache/**/draw.draw_rows*"))

"""What the sessions of nox rely on: where libraries are missing, their tests are skipped."""

import subprocess
import sys
from pathlib import Path

import pytest

COLLECT = """
import sys
from importlib.machinery import PathFinder

import pytest

ABSENT = {"cuda", "cupy", "dask", "distributed", "jax", "ml_dtypes", "torch"}

class Without(PathFinder):
    def find_spec(name, *args):
        return None if name in ABSENT else PathFinder.find_spec(name, *args)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
sys.exit(pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", sys.argv[1]]))
"""


@pytest.mark.slow
def test_collection_without_optional_libraries() -> None:
    command = [sys.executable, "-c", COLLECT, str(Path(__file__).parent)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr
    for module in ("test_dask.py", "test_jax.py", "test_torch.py"):
        assert f"{module}::" not in found.stdout

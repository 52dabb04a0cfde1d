"""What type checkers infer for users: mypy reads ``tests/typing``; nox also has pyright read it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from anycat import Categorical

ROOT = Path(__file__).parents[1]
FILES = {path.stem.removeprefix("of_"): path for path in (ROOT / "tests/typing").glob("of_*.py")}


@pytest.mark.slow
def test_types_as_mypy_infers_them() -> None:
    pytest.importorskip("mypy")
    # The others are those of the session `typecheck`, which has no PyTorch.
    files = [str(FILES["torch"])] if find_spec("torch") else [str(FILES["numpy"])]
    command = [sys.executable, "-m", "mypy", "--config-file=tests/typing/mypy.ini", *files]
    cache = f"--cache-dir={ROOT / '.mypy_cache/typing'}"
    run = subprocess.run([*command, cache], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_a_class_for_one_kind_of_array_is_the_same_class() -> None:
    """Subscripts are for type checkers alone: they leave no trace in copies or pickles."""
    dist = Categorical[list]([0.5, 0.5])
    assert type(dist) is Categorical
    assert dist._own == {}
    assert "__orig_class__" not in vars(dist.expand(3))

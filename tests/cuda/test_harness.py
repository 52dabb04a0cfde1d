"""The harness catches what a GPU would not forgive, if it is planted, and finds nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cases
import harness
import pytest
import rows

from anycat._kernels import cuda
from anycat._kernels.cuda import compile as compiling
from anycat._kernels.grid import DrawRange

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_cpu")]


def plant(patch: pytest.MonkeyPatch, old: str, new: str) -> None:
    text = compiling.source()
    assert text.count(old) == 1
    patch.setattr(compiling, "source", lambda: text.replace(old, new))
    compiling.kernel.cache_clear()


def outcome(kind: str) -> str:
    """Draw by three kernels: rows for threads, for groups of lanes, and for blocks."""
    for shape in (40, 20), (40, 200), (6, 9000):
        x = cases.make("probs", kind, shape, "float32")
        draws = DrawRange(1, len(x), 1, 0, len(x), 1)
        try:
            if (cases.draw(x, "probs", draws) != rows.draw(x, "probs", draws)).any():
                return "a wrong draw"
        except RuntimeError as error:
            return str(error)
    return "nothing"


FAULTS = {
    "a missing barrier": (
        "warp_scratch[warp_index()] = value;\n  __syncthreads();",
        "warp_scratch[warp_index()] = value;",
        "a wrong draw|where others wait",
    ),
    "a barrier for some": (
        "warp_scratch[warp_index()] = value;\n  __syncthreads();",
        "warp_scratch[warp_index()] = value;\n  if (warp_index() != 3) __syncthreads();",
        "where others wait",
    ),
    "one buffer": ("WARPS * (turn ^= 1)", "0", "a wrong draw|where others wait"),
    "a mask of half a warp": ("ALL_LANES = 0xFFFFFFFF", "ALL_LANES = 0xFFFF", "not in the mask"),
    "a shuffle for some": (
        "value = max(value, __shfl_xor_sync(ALL_LANES, value, distance))",
        "value = lane_index() < 9 ? value : "
        "max(value, __shfl_xor_sync(ALL_LANES, value, distance))",
        "where others wait|no thread can go on",
    ),
    "flushed subnormals": (
        "multiply(multiply(values[k], first), second)",
        "values[k] * first * second",
        "a wrong draw",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, caught = FAULTS[fault]
    kind = "subnormal" if fault == "flushed subnormals" else "plain"
    assert outcome(kind) == "nothing"
    plant(monkeypatch, old, new)
    assert re.search(caught, outcome(kind))


# --- sanitizers --------------------------------------------------------------------------------


def run(*changes: str, sanitized: bool = True) -> subprocess.CompletedProcess[str]:
    """Run sweep.py, with the sanitizers' libraries in front of all others if it is to be so."""
    here, source = Path(__file__).parent, Path(cuda.__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (here, here.parent, source)))}
    if sanitized:
        libraries = [
            subprocess.run(
                [str(harness.COMPILER), f"-print-file-name={name}"],
                capture_output=True, text=True, check=True,
            ).stdout.strip()
            for name in ("libasan.so", "libubsan.so")
        ]  # fmt: skip
        if not all(Path(library).is_absolute() for library in libraries):
            pytest.skip(f"{harness.COMPILER} comes without sanitizers")
        # Compiling takes longer than a run that stops at a fault.
        level = "-O0" if changes else "-O1"
        env |= {"HARNESS_SANITIZED": level, "LD_PRELOAD": " ".join(libraries)}
        env |= {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"}
    command = [sys.executable, str(here / "sweep.py"), "on_cpu", *changes]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_sanitizers_find_nothing() -> None:
    plain, sanitized = run(sanitized=False), run()
    assert sanitized.returncode == 0, sanitized.stderr
    assert sanitized.stderr == ""
    assert sanitized.stdout == plain.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("((u64*)out)[position] = k=>((u64*)out)[position + 1] = k", "heap-buffer-overflow"),
        ("= shared_memory + WARPS=>= shared_memory + 9 + WARPS", "heap-buffer-overflow"),
        ("(u64)x % 16 == 0=>true", "misaligned address"),
        ("(u64)both % 16 == 0=>true", "misaligned address"),
    ],
)
def test_sanitizers_find_what_is_planted(change: str, message: str) -> None:
    found = run(change)
    assert found.returncode != 0
    assert message in found.stderr

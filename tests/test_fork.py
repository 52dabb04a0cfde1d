"""A fork, whatever other threads do: the child draws."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import anycat

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")

FORK = """
import os, signal, threading, time
import numpy as np
from anycat import Categorical, _kernels

def draw(dtype=np.float32, size=50, n=20):
    return Categorical(np.ones(size, dtype), validate_args=False).sample(n, rng=1)

def fork(task=draw):
    child = os.fork()
    if not child:
        signal.alarm(60)
        task()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(status)
"""
FIRST_DRAWS = """
thread = threading.Thread(target=lambda: [draw(), draw(np.float64)], daemon=True)
thread.start()
time.sleep(0.1)
while thread.is_alive():
    fork()
    time.sleep(0.05)
"""
LARGE = """
def draw_many():
    return draw(size=1000, n=300_000)

def draw_often():
    while not enough.is_set():
        draw_many()

def check():
    np.testing.assert_array_equal(draw_many(), expected)

expected, enough = draw_many(), threading.Event()
threads = [threading.Thread(target=draw_often, daemon=True) for i in range(2)]
for thread in threads:
    thread.start()
for i in range(10):
    fork(check)
enough.set()
for thread in threads:
    thread.join()
"""
LOCKS = """
from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock
_kernels.load('cpu')

def draw_in_thread():
    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    thread.join(60)
    print(int(thread.is_alive()), flush=True)

with global_compiler_lock, ffi.lib._lock:
    fork()
fork(draw_in_thread)
draw_in_thread()
"""


def run(code: str, cache: Path | None = None) -> None:
    """Run a process; all numbers that it prints are 0, and nothing is written to stderr."""
    environment = {**os.environ, "PYTHONPATH": str(Path(anycat.__file__).parents[1])}
    if cache:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK + code],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {"0"}


def test_while_another_thread_loads_kernels(tmp_path: Path) -> None:
    run(FIRST_DRAWS, tmp_path)


def test_while_another_thread_compiles(tmp_path: Path) -> None:
    run("_kernels.load('cpu')" + FIRST_DRAWS, tmp_path)


def test_while_other_threads_draw() -> None:
    run(LARGE)


def test_by_the_thread_that_compiles(tmp_path: Path) -> None:
    """It has the locks already. Afterwards, other threads can compile, in both processes."""
    run(LOCKS, tmp_path)

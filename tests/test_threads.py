"""Work on several threads: at any time of a process, and where no thread can be started."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest

from anycat import Categorical
from anycat._kernels.cpu import threads


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use three threads for everything."""
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 3)
    monkeypatch.setattr(threads, "NS_PER_THREAD", 1.0)


def parts_of(n: int, cost: float, min_part: int) -> list[tuple[int, int]]:
    parts = []
    threads.parallel_for(lambda *part: parts.append(part), n, cost, min_part)
    return sorted(parts)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 129, 1000])
@pytest.mark.parametrize("min_part", [1, 64])
@pytest.mark.parametrize("cost", [0.0, 1.5, 100.0, 2.5 * threads.NS_PER_PIECE, 1e12])
def test_parts_are_the_whole(n: int, min_part: int, cost: float) -> None:
    parts = parts_of(n, cost, min_part)
    assert [k for part in parts for k in range(*part)] == list(range(n))
    assert len(parts) == 1 or min(end - begin for begin, end in parts) >= min_part


def test_a_part_is_short() -> None:
    assert len(parts_of(10**6, 100 * threads.NS_PER_PIECE, 1)) == 100


def test_all_threads_work() -> None:
    together = threading.Barrier(3, timeout=60)
    workers = set()

    def task(begin: int, end: int) -> None:
        together.wait()
        workers.add(threading.get_ident())

    threads.parallel_for(task, 3, 3.0)
    assert len(workers) == 3


@pytest.mark.parametrize("fails", ["caller", "helper"])
def test_an_error_is_raised_in_the_caller(fails: str) -> None:
    caller, together, done = threading.current_thread(), threading.Barrier(2, timeout=60), []

    def task(begin: int, end: int) -> None:
        if begin < 2:  # one of the first two is the caller's
            together.wait()
        if (threading.current_thread() is caller) == (fails == "caller"):
            raise ZeroDivisionError(begin)
        done.append(begin)

    threads.config.NUMBA_NUM_THREADS = 2
    with pytest.raises(ZeroDivisionError):
        threads.parallel_for(task, 1000, 1000 * threads.NS_PER_PIECE)
    assert len(done) < 1000
    assert parts_of(9, 1e9, 1)[-1][1] == 9  # the threads still serve


def test_jobs_within_jobs() -> None:
    counts: Counter[int] = Counter()

    def outer(begin: int, end: int) -> None:
        threads.parallel_for(lambda a, b: counts.update(range(a, b)), 50, 1e9)

    threads.parallel_for(outer, 20, 1e9)
    calls = len(parts_of(20, 1e9, 1))
    assert counts == dict.fromkeys(range(50), calls)


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    x = np.random.default_rng(0).random((3000, 20))
    expected = Categorical(x).sample(3, rng=1)
    monkeypatch.setattr(threads, "_threads", [])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    np.testing.assert_array_equal(Categorical(x).sample(3, rng=1), expected)
    assert not threads._threads


LATE = """
import atexit, threading
from anycat import Categorical  # loads what cannot be loaded later, such as concurrent.futures

def draw():
    draws = Categorical([0.1, 0.2, 0.7]).sample(1_000_000, rng=1)
    print(draws.sum(), flush=True)

def later():
    threading.main_thread().join()
    draw()
"""
WHEN = {
    "in a thread, first": "threading.Thread(target=later).start()",
    "in a thread": "draw(); threading.Thread(target=later).start()",
    "at exit, first": "atexit.register(draw)",
    "at exit": "draw(); atexit.register(draw)",
}


@pytest.mark.parametrize("when", WHEN)
def test_after_the_main_thread_has_ended(when: str) -> None:
    code = LATE + WHEN[when]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = Categorical([0.1, 0.2, 0.7]).sample(1_000_000, rng=1).sum()
    assert set(run.stdout.split()) == {str(expected)}
    assert run.stderr == ""

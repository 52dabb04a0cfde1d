"""Ctrl-C in a long draw, and the progress of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError

import anycat
from anycat import Categorical, _progress
from anycat._kernels.cpu import draw, threads
from anycat._kernels.cpu.jit import entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Array = np.ndarray[Any, Any]


class Bar:
    """A bar like tqdm's, which calls a function at each update."""

    def __init__(self, at_update: Callable[[Bar], None] = lambda bar: None) -> None:
        self.at_update = at_update
        self.totals: list[int] = []
        self.done = 0
        self.closed = 0

    def __call__(self, *, total: int, unit: str, unit_scale: bool) -> Bar:
        assert (unit, unit_scale) == ("draw", True)
        self.totals.append(total)
        self.done = 0
        return self

    def update(self, n: int) -> None:
        self.done += n
        self.at_update(self)

    def close(self) -> None:
        self.closed += 1


# A draw for each strategy, of which a piece is a small part.
LONG_DRAWS: dict[str, Callable[[], tuple[Categorical, Any]]] = {
    "table": lambda: (Categorical([0.1, 0.2, 0.7]), 1_000_000),
    "tables": lambda: (Categorical(weights(3, 5)), 300_000),
    "short rows": lambda: (Categorical(weights(5000, 7)), 100),
    "few short rows": lambda: (Categorical(weights(64, 2)), 1000),
    "rows": lambda: (Categorical(weights(5000, 200)), 1),
    "ranks": lambda: (Categorical(weights(500, 200)), 200),
    "long rows": lambda: (Categorical(logits=weights(90, 5000)), 2),
    "a long row": lambda: (Categorical(logits=weights(20_000)), 40),
    "converted": lambda: (Categorical(np.asfortranarray(weights(5000, 200))), 1),
    "repeated rows": lambda: (Categorical(weights(3, 1, 2, 5)).expand((3, 2000, 2)), 50),
}


def weights(*shape: int) -> Array:
    return np.random.default_rng(0).random(shape)


@pytest.fixture(autouse=True)
def takes_interrupts() -> Iterator[None]:
    """Take them even if a shell runs the tests in the background, and so lets them be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each draw take long: in many pieces, with a bar from the first of them."""
    monkeypatch.setattr(threads, "NS_PER_PIECE", 1e4)
    monkeypatch.setattr(draw, "DRAWS_PER_CALL", 10)
    monkeypatch.setattr(_progress, "DELAY", -1)


def interrupt(bar: Bar) -> None:
    """Do what Ctrl-C does, when the first piece is done."""
    if bar.at_update is interrupt:
        bar.at_update = lambda bar: None
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # in another thread, until the main thread has been interrupted


@pytest.mark.usefixtures("in_small_pieces")
@pytest.mark.parametrize("name", LONG_DRAWS)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_interrupt(name: str, n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", n_threads)
    dist, n = LONG_DRAWS[name]()
    expected_rng = np.random.default_rng(7)
    first, second = dist.sample(n, rng=expected_rng), dist.sample(n, rng=expected_rng)
    dist, n = LONG_DRAWS[name]()  # with nothing that has been kept
    bar, rng = Bar(interrupt), np.random.default_rng(7)
    with pytest.raises(KeyboardInterrupt), anycat.progress(bar):
        dist.sample(n, rng=rng)
    assert 0 < bar.done < bar.totals[0] / 2
    assert bar.closed == 1
    np.testing.assert_array_equal(dist.sample(n, rng=rng), second)
    np.testing.assert_array_equal(dist.sample(n, rng=np.random.default_rng(7)), first)


def test_a_copy_of_draws_is_made_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anycat._kernels, "COPIED_ELEMENTS", 100)
    sizes = []
    target = np.empty((7, 3, 90), np.int64).transpose(2, 1, 0)

    class Spy:
        def __setitem__(self, place: slice, part: Array) -> None:
            sizes.append(part.size)
            target[place] = part

        def swapaxes(self, a: int, b: int) -> Spy:
            assert (a, b) == (0, 0)
            return self

    source = np.arange(target.size).reshape(target.shape)
    anycat._kernels._copy(source, Spy())
    np.testing.assert_array_equal(target, source)
    assert max(sizes) <= 100


STORM = """
import signal
import numpy as np
from anycat import Categorical

armed, interrupts = False, 0

def interrupt(*_):
    global armed, interrupts
    if armed:
        armed, interrupts = False, interrupts + 1
        raise KeyboardInterrupt

dist = Categorical(np.ones((3, 7), np.int64))  # of integers, which take the general path
g, twin = np.random.PCG64(1), np.random.PCG64(1)
dist.sample(2, rng=0)
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1.7e-4)
while interrupts < 1000:
    try:
        armed = True
        dist.sample(2, rng=g)
        armed = False
    except KeyboardInterrupt:
        pass
    if g.state != twin.state:
        twin.random_raw(2)
    assert g.state == twin.state
signal.setitimer(signal.ITIMER_REAL, 0)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer()")
def test_a_generator_is_advanced_by_a_whole_call_or_not_at_all() -> None:
    subprocess.run([sys.executable, "-c", STORM], check=True, timeout=120)


# --- while a kernel is compiled


def add_one(x: float) -> float:
    return x + 1


def compile_slowly(kernel: Any, before: Callable[[], Any]) -> None:
    """Let a kernel call a function before it is compiled."""
    compile_now = kernel.compile

    def compile_later(signature: Any) -> Any:
        before()
        return compile_now(signature)

    kernel.compile = compile_later


@pytest.fixture
def kernel() -> Any:
    return entry.entry(add_one)


def test_an_interrupt_of_a_compilation(kernel: Any) -> None:
    compiling: list[threading.Thread] = []
    may_end = threading.Event()

    def interrupt_and_wait() -> None:
        compiling.append(threading.current_thread())
        os.kill(os.getpid(), signal.SIGINT)
        assert may_end.wait(60)

    compile_slowly(kernel, interrupt_and_wait)
    with pytest.raises(KeyboardInterrupt):
        kernel(1.0)
    assert compiling[0] is not threading.main_thread()  # in which LLVM is not interrupted
    assert compiling[0].is_alive()
    assert not kernel.signatures
    may_end.set()
    compiling[0].join()
    assert len(kernel.signatures) == 1
    assert kernel(1.0) == 2
    assert len(compiling) == 1


def test_an_interrupt_while_another_thread_waits_for_a_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 2)
    started, may_end = threading.Event(), threading.Event()
    ended: list[bool] = []

    def wait() -> None:
        started.set()
        ended.append(may_end.wait(60))

    def task(begin: int, end: int) -> None:
        if threading.current_thread() is threading.main_thread():
            assert started.wait(60)
            signal.raise_signal(signal.SIGINT)
        else:
            threads.interruptible(wait)

    with pytest.raises(KeyboardInterrupt):
        threads.parallel_for(task, 2, 1e6)
    assert ended == []
    may_end.set()


def test_a_kernel_compiled_while_another_is(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's function may draw while Numba compiles it. Another thread would wait for ever."""
    monkeypatch.delattr(entry, "interruptible")
    with global_compiler_lock:
        assert kernel(1.0) == 2


def test_errors_of_the_compiler(kernel: Any) -> None:
    with pytest.raises(TypingError, match="add_one"):
        kernel("text")


def test_a_kernel_compiled_where_no_thread_starts(
    kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError

    monkeypatch.setattr(threading.Thread, "start", start)
    assert kernel(1.0) == 2


EXIT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_interrupts import add_one, compile_slowly, entry

kernel = entry.entry(add_one)
compile_slowly(kernel, lambda: os.kill(os.getpid(), signal.SIGINT))
kernel(1.0)
"""


def test_an_exit_waits_for_the_compiler(tmp_path: Path) -> None:
    """At exit, LLVM's memory is freed, which must not be in use by then."""
    environ = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", EXIT, str(Path(__file__).parent)]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert run.stderr.rstrip().endswith("KeyboardInterrupt")
    assert len(list(tmp_path.rglob("*.nbc"))) == 1  # which is written last


# --- progress


@pytest.mark.usefixtures("in_small_pieces")
@pytest.mark.parametrize("name", LONG_DRAWS)
def test_all_draws_are_reported(name: str) -> None:
    dist, n = LONG_DRAWS[name]()
    seen: list[int] = []
    bar = Bar(lambda bar: seen.append(bar.done))
    with anycat.progress(bar):
        draws = dist.sample(n)
    assert bar.totals == [draws.size]
    assert bar.done == draws.size
    assert len(seen) > 2
    assert bar.closed == 1


def test_a_quick_draw_has_no_bar() -> None:
    bar = Bar()
    with anycat.progress(bar):
        Categorical([0.1, 0.2, 0.7]).sample(100_000)
    assert bar.totals == []


@pytest.mark.usefixtures("in_small_pieces")
def test_where_there_is_a_bar() -> None:
    dist, n = LONG_DRAWS["table"]()
    bar, other = Bar(), Bar()
    dist.sample(n)
    with anycat.progress(bar):
        with pytest.raises(TypeError), anycat.progress(other):
            dist.sample(n, rng="seed")
        with anycat.progress(other):
            dist.sample(n)
        thread = threading.Thread(target=dist.sample, args=(n,))
        thread.start()
        thread.join()
    dist.sample(n)
    assert (len(bar.totals), len(other.totals)) == (0, 1)


@pytest.mark.usefixtures("in_small_pieces")
def test_a_bar_of_tqdm(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    dist, n = LONG_DRAWS["table"]()
    with anycat.progress():
        dist.sample(n)
    assert "100%" in capsys.readouterr().err


def test_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="pip install tqdm, or give a bar"), anycat.progress():
        pass

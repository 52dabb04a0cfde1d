"""What the CUDA kernels ask of CuPy: kernels, streams, memory. The harness watches."""

from __future__ import annotations

import contextlib
import tracemalloc
from itertools import pairwise, product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cases
import harness
import numpy as np
import pytest
import rows
from cases import LAYOUTS, check, force, make, one_after_another

from anycat._backends import registry
from anycat._kernels import cuda
from anycat._kernels.cuda import compile as compiling
from anycat._kernels.cuda import draw, launch, streams, table
from anycat._kernels.cuda import rows as cuda_rows
from anycat._kernels.cuda.costs import Costs
from anycat._kernels.cuda.strategy import STRATEGIES
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

pytestmark = pytest.mark.usefixtures("on_cpu")

ROW = make("probs", "plain", (1, 30), "float32")
MANY = DrawRange(1, 1, 50, 0, 50, 50)


@pytest.mark.parametrize(
    ("shape", "dtype", "kernels"),
    [
        ((9, 32), "float32", "draw_short_rows"),
        ((9, 33), "float32", "draw_rows"),
        ((9, 16), "float64", "draw_short_rows"),
        ((9, 17), "float64", "draw_rows"),
        ((9, 1024), "float16", "draw_rows"),
        ((9, 1025), "float16", "draw_long_rows"),
        ((9, 512), "float64", "draw_rows"),
        ((9, 513), "float64", "draw_long_rows"),
        ((9, 4096), "float32", "draw_long_rows"),
        ((9, 4097), "float32", "draw_long_rows"),  # 9 rows are many for two processors
        ((7, 4097), "float32", "reduce_tiles draw_long_rows"),
        ((9, 8 * 4096), "float32", "reduce_tiles draw_long_rows"),
    ],
)
def test_each_size_has_its_kernel(
    shape: tuple[int, ...], dtype: str, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force("direct", monkeypatch)
    launched, kernel = [], launch.kernel
    monkeypatch.setattr(launch, "kernel", lambda *a: launched.append(a[0]) or kernel(*a))
    x = make("probs", "plain", shape, dtype)
    check(x, "probs", one_after_another(x))
    assert launched == kernels.split()


def test_costs_are_weighed() -> None:
    """Few draws never pay for a table, very many always do, and it changes once between."""
    for size, n, strategy in product((5, 100, 10**5), (1, 10, 10**5), STRATEGIES):
        costs = [Costs.of(size, n, 10**e, strategy.ns_per_draw, 500) for e in range(9)]
        tables = [c.table < c.direct for c in costs]
        assert not tables[0] or n * size > 10**5
        assert tables[-1]
        assert sum(a != b for a, b in pairwise(tables)) <= 1


def test_the_source_is_one_text() -> None:
    assert '#include "philox.cuh"' not in compiling.source()
    assert "philox(" in compiling.source()


# --- tables of a row ----------------------------------------------------------------------------


def test_other_streams_wait_for_a_table(
    on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not once it is there."""
    force("table", monkeypatch)
    kept: dict[str, Any] = {}
    own, other = on_cpu.cuda.get_current_stream(), harness.Stream()
    cases.draw(ROW, "probs", MANY, cache=kept)
    made, ready = kept["table"]
    assert ready.recorded == [own]
    monkeypatch.setattr(on_cpu.cuda, "get_current_stream", lambda: other)
    cases.draw(ROW, "probs", MANY, cache=kept)
    assert other.waited == [ready]
    ready.done = True
    cases.draw(ROW, "probs", MANY, cache=kept)
    assert other.waited == [ready]
    assert kept["table"] == (made, None)
    cases.draw(ROW, "probs", MANY, cache=kept)
    assert other.waited == [ready]
    assert not own.waited


def test_a_table_of_a_graph_is_not_kept(
    on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph makes it when it runs, not before."""
    force("table", monkeypatch)
    kept: dict[str, Any] = {}
    stream = on_cpu.cuda.get_current_stream()
    stream.capturing = True
    drawn = cases.draw(ROW, "probs", MANY, cache=kept)
    np.testing.assert_array_equal(drawn, rows.draw(ROW, "probs", MANY))
    assert "table" not in kept
    stream.capturing = False
    cases.draw(ROW, "probs", MANY, cache=kept)
    assert "table" in kept


def test_a_graph_takes_a_table_that_is_there_for_certain(
    on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is captured, an event outside of it can neither be asked nor waited for."""
    force("table", monkeypatch)
    made, make_table = [], table.make_table
    monkeypatch.setattr(table, "make_table", lambda *a: made.append(make_table(*a)) or made[-1])
    kept: dict[str, Any] = {}
    stream = on_cpu.cuda.get_current_stream()
    cases.draw(ROW, "probs", MANY, cache=kept)
    for done, tables in ((False, 2), (True, 2)):
        kept["table"][1].done = done
        cases.draw(ROW, "probs", MANY, cache=kept)  # finds out
        waited, before = len(stream.waited), kept["table"]
        asked = property(lambda _: pytest.fail("an event was asked"))
        with monkeypatch.context() as patch:
            patch.setattr(stream, "capturing", True)
            patch.setattr(harness.Event, "done", asked, raising=False)
            drawn = cases.draw(ROW, "probs", MANY, cache=kept)
        np.testing.assert_array_equal(drawn, rows.draw(ROW, "probs", MANY))
        assert len(made) == tables
        assert len(stream.waited) == waited
        assert kept["table"] is before


# --- memory of other libraries ------------------------------------------------------------------


def test_what_the_stream_still_reads_is_kept(
    on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_in_flight", {})
    first, second, third = [object() for _ in range(3)]
    streams.keep_alive(first)
    streams.keep_alive(second)
    assert list(streams._in_flight.values()) == [first, second]
    for event in streams._in_flight:
        assert event.recorded == [on_cpu.cuda.get_current_stream()]
        event.done = streams._in_flight[event] is first
    streams.keep_alive(third)
    assert list(streams._in_flight.values()) == [second, third]
    monkeypatch.setattr(on_cpu.cuda.get_current_stream(), "capturing", True)  # no event would tell
    streams.keep_alive(object())
    assert list(streams._in_flight.values()) == [second, third]


def test_memory_and_stream_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it draws from tensors: graphs keep what they took of it while captured."""
    torch = pytest.importorskip("torch")
    x = torch.ones(3)
    calls: list[Any] = []
    for name in ("caching_allocator_alloc", "caching_allocator_delete"):
        monkeypatch.setattr(torch.cuda, name, lambda *a, name=name: calls.append((name, *a)))
    current = SimpleNamespace(cuda_stream=77)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda index: current)
    within: list[Any] = []

    @contextlib.contextmanager
    def entered(what: Any) -> Iterator[None]:
        within.append(what)
        yield
        within.remove(what)

    def allocator(malloc: Any, free: Any) -> SimpleNamespace:
        malloc(512, 1)
        free(4096, 1)
        return SimpleNamespace(malloc=malloc)

    stream = SimpleNamespace(from_external=lambda x: entered(x.__cuda_stream__()))
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(
            Device=entered,
            Stream=stream,
            PythonFunctionAllocator=allocator,
            using_allocator=entered,
        )
    )
    kept: list[Any] = []
    monkeypatch.setattr(streams, "keep_alive", kept.append)
    monkeypatch.setattr(streams, "array_module", lambda: cupy)
    kernels = SimpleNamespace(array_module=lambda: cupy)
    with registry.backend_of(x).context(kernels, 1, SimpleNamespace(is_cuda=True)):
        assert within == [1, (0, 77), torch.cuda.caching_allocator_alloc]
    assert calls == [("caching_allocator_alloc", 512, 1), ("caching_allocator_delete", 4096)]
    with streams.context(1, x):
        assert within == [1]
        assert not kept
    assert kept == [x]


# --- pieces of the input ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7,), (5, 7), (4, 5, 7), (2, 3, 4, 7), (1, 1, 7), (2, 100)])
def test_pieces(shape: tuple[int, ...]) -> None:
    """Put together they are the whole, and none is larger than it has to be."""
    x = np.arange(np.prod(shape)).reshape(shape)
    for most in (1, 7, 20, 35, 70, 1000):
        whole = []
        for begin, part in cuda_rows.pieces(x, most):
            assert begin * shape[-1] == len(whole)
            assert part.size <= max(most, shape[-1])
            whole += part.ravel().tolist()
        assert whole == list(range(x.size))


@pytest.mark.parametrize("strategy", ["direct", "table"])
@pytest.mark.parametrize("layout", ["reversed", "transposed batch", "broadcast"])
def test_memory(layout: str, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of what is not as kernels want it, and of tables, are all that is needed."""
    force(strategy, monkeypatch)
    monkeypatch.setattr(draw, "PIECE_ELEMENTS", 1 << 13)
    monkeypatch.setattr(table, "GUIDE_BITS", (4, 6))
    x = harness.on_device(LAYOUTS[layout](make("probs", "plain", (12, 20, 900), "float32")))
    n = x.size // x.shape[-1]
    out, draws = harness.on_device(np.empty(n)), DrawRange(1, n, 1, 0, n, 1)
    cuda.sample(x, False, rows.BITS, draws, out, {})  # compiles kernels
    tracemalloc.start()
    try:
        cuda.sample(x, False, rows.BITS, draws, out, {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 48 * draw.PIECE_ELEMENTS < x.nbytes / 2


# --- inputs beyond what a test can hold ---------------------------------------------------------


class Huge:
    """Rows that nobody has memory for: all that launches ask of an array but its values."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), len(shape)
        self.size = int(np.prod(shape, dtype=object))
        self.itemsize = self.dtype.itemsize
        self.flags = type("Flags", (), {"c_contiguous": True})
        self.device = harness.Device(0)

    def __len__(self) -> int:
        return self.shape[0]

    def reshape(self, size: int) -> Huge:
        assert size == -1
        return Huge((self.size,), self.dtype)

    def __getitem__(self, part: slice) -> Huge:
        return Huge((len(range(*part.indices(self.shape[0]))), *self.shape[1:]), self.dtype)


@pytest.mark.parametrize("strategy", ["direct", "table"])
@pytest.mark.parametrize(
    ("shape", "repeats"),
    [
        ((2**33, 10), 1),
        ((2**31, 33), 1),
        ((2**28, 1025), 1),
        ((2**16 + 1, 2**22), 3),
        ((3, 2**38), 2**40),
        ((1, 2**40), 2**40),
        ((1, 6), 2**62),
    ],
)
def test_launch_limits(
    shape: tuple[int, int],
    repeats: int,
    strategy: str,
    on_cpu: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Grids and shared memory stay within what CUDA has, and so do numbers within 64 bits."""
    force(strategy, monkeypatch)
    monkeypatch.setattr(cuda_rows, "multiprocessors", lambda _: 132)
    monkeypatch.setattr(on_cpu, "empty", lambda size, dtype: Huge((int(size),), dtype))
    monkeypatch.setattr(on_cpu, "ascontiguousarray", lambda x, _: x)
    if strategy == "table" and shape[0] > 3:  # or it would take for ever to go through the pieces
        monkeypatch.setattr(draw, "pieces", lambda x, most: [(0, x[: max(1, most // x.shape[1])])])

    def kernel(grid: tuple[int, ...], block: Any, args: Any, *, shared_mem: int) -> None:
        assert all(0 < n <= most for n, most in zip(grid, (2**31 - 1, 65535), strict=False))
        assert 0 <= shared_mem <= 48 << 10
        grid_struct = next(
            (a for a in args if getattr(a, "dtype", None) == launch.GRID_STRUCT), None
        )
        if grid_struct is not None:
            fields = [int(f) for f in grid_struct.view(np.uint64)]
            assert fields[10] * fields[11] in (repeats, shape[0] * repeats)

    monkeypatch.setattr(launch, "kernel", lambda *_: kernel)
    n = shape[0]
    out, draws = Huge((1, n, repeats), np.int64), DrawRange(1, n, repeats, 0, 0, repeats)
    cuda.sample(Huge(shape, np.float16), False, rows.BITS, draws, out, {})

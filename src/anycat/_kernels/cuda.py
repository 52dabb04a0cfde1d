"""The CUDA room: which kernel, on which grid, over which pieces of the input. The twin of cpu.py.

Everything is queued on the current stream of the array's own device, and nothing waits for it. Of
the source in ``categorical.cu``, each kernel is compiled when it is first wanted for a type of
parameters, and kept on disk by CuPy.
"""

from __future__ import annotations

import contextlib
import math
from functools import cache as cached
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .grid import table_pays_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .grid import DrawRange

    Array = Any

TILE = 4096  # categories that share an exponent: part of the definition
THREADS = 256  # of a block, but that of `draw_short_rows`
PIECE = 1 << 23  # numbers that are converted, or boundaries that are made, at once
GUIDE = 13, 22  # bits: 2**13 entries of a guide table cost nothing, 2**22 are the most
SHARED = 48 << 10  # bytes of shared memory that every block may have
TOLD = 16 * THREADS // 32  # bytes of it in which the warps of a block tell each other numbers
MANY = 8  # tiles of a row of which each is worth a block of its own

NUMBERS = {"float16": "float16", "bfloat16": "bfloat16", "float32": "float", "float64": "double"}
_MASK = (1 << 64) - 1


class Regime(NamedTuple):
    """A kernel that draws from rows, and the least that has to be known of it."""

    kernel: str
    bytes: float  # that a row may have at most, as float32 or float64
    block: int  # threads of a block
    at_once: int  # bytes of rows that a multiprocessor works on at a time
    find: float  # nanoseconds from one draw of a row to the next


REGIMES = (
    Regime("draw_short_rows", 128, 128, 1 << 16, 3000.0),
    Regime("draw_rows", 4096, THREADS, 1 << 16, 200.0),
    Regime("draw_long_rows", math.inf, THREADS, 3 << 14, 3000.0),
)


class Lattice(NamedTuple):
    """DrawRange [row, run, draw] as kernels take them: strides of their numbers and their places."""

    numbers: list[int]
    places: list[int]
    runs: int
    draws: int

    @classmethod
    def of(cls, d: DrawRange) -> Lattice:
        numbers = [d.first, d.row_stride, d.sample_stride, 1]
        places = [0, d.repeats, d.rows * d.repeats, 1]
        runs, draws = d.samples, d.repeats
        if runs > draws:  # let the longer axis be the inner one
            runs, draws = draws, runs
            numbers[2:], places[2:] = numbers[:1:-1], places[:1:-1]
        return cls(numbers, places, runs, draws)

    def at(self, row: int) -> Lattice:
        """Return what is left from a row on."""
        numbers, places = self.numbers.copy(), self.places.copy()
        numbers[0] += numbers[1] * row
        places[0] += places[1] * row
        return self._replace(numbers=numbers, places=places)

    def with_key(self, key: Array) -> Array:
        """Return the struct of the same name in ``categorical.cu``: CuPy passes it by value."""
        k0, k1, s0, s1 = (int(k) for k in key)
        words = [k0 | k1 << 32, s0 | s1 << 32, *self.numbers, *self.places, self.runs, self.draws]
        return np.array([w & _MASK for w in words], np.uint64).view("V96")


class Table(NamedTuple):
    """Rows prepared for many draws."""

    ends: Array
    marks: Array
    guide: Array
    bits: int


class Costs(NamedTuple):
    """Rough nanoseconds of the ways to draw. They choose the way, never the draw."""

    find: float
    table: float

    @classmethod
    def of(cls, size: int, rows: int, draws: int, find: float, at_once: int) -> Costs:
        """Return the costs of some draws from each row, ``at_once`` rows being taken at a time."""
        prepare = 20_000 + 0.02 * rows * size
        return cls(draws * find * max(1.0, rows / at_once), prepare + 0.01 * rows * draws)


def sample(
    params: Array,
    logits: bool,
    key: Array,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
) -> None:
    """Draw from each row of ``params``: see the docstring of the package."""
    out = out.reshape(-1)
    with params.device:
        Room(params, logits, key).draw(draws, out, cache)


class Room:
    """Rows on a device, and the kernels that draw from them."""

    def __init__(self, params: Array, logits: bool, key: Array) -> None:
        cupy = array_module()
        number = NUMBERS.get(params.dtype.name)
        self.cupy, self.params, self.logits, self.key = cupy, params, logits, key
        self.number, self.dtype = number or "double", params.dtype if number else np.float64
        self.ready = number is not None and params.flags.c_contiguous
        self.size: int = params.shape[-1]
        self.tiles = -(-self.size // TILE)
        self.real = 8 if self.number == "double" else 4  # bytes of a number when it is weighed
        self.regime = next(r for r in REGIMES if self.size * self.real <= r.bytes)
        self.processors = _processors(params.device.id)

    def draw(self, draws: DrawRange, out: Array, cache: dict[str, Any]) -> None:
        """Queue what puts the draws into ``out``."""
        lattice, per_row = Lattice.of(draws), draws.samples * draws.repeats
        at_once = self.processors * self.regime.at_once // (self.size * self.real) or 1
        costs = Costs.of(self.size, draws.rows, per_row, self.regime.find, at_once)
        table = self._earned(costs, cache) if draws.rows == 1 else None
        if table is not None:
            self._draw_from_table(table, 1, lattice, out)
            return
        tables = draws.rows > 1 and costs.table < costs.find
        # What kernels take is made just before they take it, and so are tables.
        whole = self.ready and not tables
        for begin, x in [(0, self.params)] if whole else _pieces(self.params, PIECE):
            x = self.cupy.ascontiguousarray(x, self.dtype)
            if tables:
                table = self._prepare(x, _bits(min(2 * self.size, per_row)))
                self._draw_from_table(table, x.size // self.size, lattice.at(begin), out)
            else:
                self._draw_rows(x, lattice.at(begin), out)

    def _earned(self, costs: Costs, cache: dict[str, Any]) -> Table | None:
        """Return the table of the only row, if so much was drawn from it that it earns one."""
        table: Table | None
        earned = table_pays_off(cache, costs.find, costs.table)
        table, ready = cache.get("table", (None, None))
        if ready is None and (table or not earned):
            return table
        stream = self.cupy.cuda.get_current_stream()
        capturing = stream.is_capturing()
        if table and not capturing:  # perhaps it is made on another stream
            if ready.done:
                cache["table"] = table, None  # which graphs may take, too
            else:
                stream.wait_event(ready)
            return table
        # A graph can neither ask for the event nor wait for it, so it makes a table of its own.
        x = self.cupy.ascontiguousarray(self.params, self.dtype)
        table = self._prepare(x, max(_bits(2 * self.size), GUIDE[0]))
        if not capturing:  # or else it may be made later, or never
            ready = self.cupy.cuda.Event(disable_timing=True)
            ready.record(stream)
            cache["table"] = table, ready
        return table

    def _draw_rows(self, x: Array, lattice: Lattice, out: Array) -> None:
        rows, (kernel, _, block, *_) = x.size // self.size, self.regime
        args: list[Any] = [lattice.with_key(self.key), out, np.uint32(out.itemsize)]
        blocks, shared = rows, TOLD
        if kernel == "draw_short_rows":
            blocks, numbers = -(-rows // block), block * self.size
            shared = (numbers + numbers // 32) * self.real
        elif kernel == "draw_rows":
            lanes = 1 << (-(-self.size * self.real // 128) - 1).bit_length()
            blocks = -(-rows * lanes // block)
            args += [np.uint32(lanes)]
        else:
            args += self._measure(x, rows)
        self._launch(kernel, (blocks,), x, rows, *args, block=block, shared=shared)

    def _measure(self, x: Array, rows: int) -> tuple[Array, np.uint32]:
        """Return room for what is known of rows, and whether a grid of their tiles was measured."""
        known = self.cupy.empty(rows * (2 * self.tiles + 3), np.uint64)
        measured = self.tiles >= MANY or (self.tiles > 1 and rows < 4 * self.processors)
        if measured:
            self._launch("measure_tiles", (rows * self.tiles,), x, rows, known)
        return known, np.uint32(measured)

    def _prepare(self, x: Array, bits: int) -> Table:
        empty, rows = self.cupy.empty, x.size // self.size
        ends, marks = empty(rows * self.size, np.uint64), empty(rows * self.size, np.uint32)
        guide = empty(rows << bits, np.uint32)
        known, measured = self._measure(x, rows)
        self._launch("measure_rows", (rows,), x, rows, known, measured)
        self._launch("fill_ends", (rows * self.tiles,), x, rows, known, ends, marks)
        grid = (-(-guide.size // THREADS),)
        self._launch("fill_guide", grid, ends, rows, marks, np.uint32(bits), self._grain, guide)
        return Table(ends, marks, guide, bits)

    def _draw_from_table(self, table: Table, rows: int, lattice: Lattice, out: Array) -> None:
        ends, marks, guide, bits = table
        shared = 4 * (self.size + (1 << bits))
        staged = shared <= SHARED and rows == 1
        pairs = -(-lattice.draws // (2 * THREADS))
        grid = min(pairs, max(1, 8 * self.processors // rows)), min(rows, 0xFFFF)
        self._launch(
            *("draw_table", grid, ends, rows, marks, np.uint32(bits), self._grain, guide),
            *(lattice.with_key(self.key), out, np.uint32(out.itemsize), np.uint32(staged)),
            shared=shared if staged else 0,
        )

    @property
    def _grain(self) -> np.uint32:
        """Return how many bits of a category a guide table leaves out to have entries of 32."""
        return np.uint32(max(0, (self.size - 1).bit_length() - 32))

    def _launch(
        self,
        name: str,
        grid: tuple[int, ...],
        x: Array,
        rows: int,
        *args: Any,
        block: int = THREADS,
        shared: int = TOLD,
    ) -> None:
        kernel = _kernel(name, self.number, self.logits)
        kernel(grid, (block,), (x, np.uint64(self.size), np.uint64(rows), *args), shared_mem=shared)


_held: dict[Any, Array] = {}


def hold(x: Array) -> None:
    """Keep an array until the current stream has come to here, and a later call finds out.

    A library that knows nothing of this stream gives away the memory of an array that is gone.
    What a graph reads is for its maker to keep: no event tells when that has come to an end.
    """
    stream = array_module().cuda.get_current_stream()
    if stream.is_capturing():
        return
    for passed in [event for event in list(_held) if event.done]:
        _held.pop(passed, None)
    event = array_module().cuda.Event(disable_timing=True)
    event.record(stream)
    _held[event] = x


def _bits(entries: int) -> int:
    return min(max(1, (entries - 1).bit_length()), GUIDE[1])


def _pieces(x: Array, most: int, begin: int = 0) -> Iterator[tuple[int, Array]]:
    """Yield parts of ``x`` one after the other, and how many rows come before each.

    A part holds at most so many numbers, but one row at least.
    """
    rows, size = math.prod(x.shape[1:-1]), math.prod(x.shape[1:])
    if x.ndim > 2 and size > most:
        for i, part in enumerate(x):
            yield from _pieces(part, most, begin + i * rows)
    elif x.ndim > 1:
        step = max(1, most // size)
        yield from ((begin + i * rows, x[i : i + step]) for i in range(0, len(x), step))
    else:
        yield begin, x


# --- compiling ------------------------------------------------------------------------------


def source() -> str:
    """Return the CUDA source as one text: CuPy's cache on disk looks at no included file."""
    here = files(__package__)
    philox, categorical = (
        here.joinpath(name).read_text(encoding="utf-8") for name in ("philox.cuh", "categorical.cu")
    )
    return categorical.replace('#include "philox.cuh"\n', philox)


def options(number: str, logits: bool, *kernels: str) -> tuple[str, ...]:
    """Return what the source is compiled with, to have kernels for parameters of a type."""
    macros = f"NUMBER={number}", f"LOGITS={int(logits)}", *map(str.upper, kernels)
    return ("-std=c++17", *map("-D{}".format, macros))


def array_module() -> Any:
    """Return CuPy."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError(unavailable_reason()) from error
    return cupy


@cached
def _kernel(name: str, number: str, logits: bool) -> Callable[..., None]:
    module = array_module().RawModule(code=source(), options=options(number, logits, name))
    try:
        kernel: Callable[..., None] = module.get_function(name)
    except Exception as error:
        if reason := unavailable_reason():
            raise RuntimeError(reason) from error
        raise
    return kernel


@cached
def _processors(device: int) -> int:
    return int(array_module().cuda.Device(device).attributes["MultiProcessorCount"])


def unavailable_reason() -> str | None:
    """Tell what keeps this machine from drawing on a GPU, and what to do; None if nothing does."""
    return next(_obstacles(), None)


def _obstacles() -> Iterator[str]:
    try:
        import cupy
    except ImportError as error:
        yield (
            f"CuPy cannot be imported ({error}): pip install 'anycat[cupy-cuda13x]', or "
            "'anycat[cupy-cuda12x]' for a driver of CUDA 12"
        )
        return
    runtime = cupy.cuda.runtime
    if runtime.is_hip:
        yield (
            "CuPy is built for AMD GPUs, and the kernels are for those of NVIDIA: draw on the CPU, "
            "from cupy.asnumpy(x)"
        )
        return
    built, driver = runtime.runtimeGetVersion() // 1000, runtime.driverGetVersion() // 1000
    if driver == 0:
        yield "there is no NVIDIA driver: install one, and see that nvidia-smi finds the GPU"
    elif driver < built:
        yield (
            f"CuPy is built for CUDA {built}, but the driver knows CUDA {driver} at most: update "
            f"the driver, or replace CuPy: pip uninstall cupy-cuda{built}x, then "
            f"pip install 'anycat[cupy-cuda{driver}x]'"
        )
    try:
        runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        yield f"no CUDA device can be used ({error}): see nvidia-smi and CUDA_VISIBLE_DEVICES"
    suffix = "" if built > 12 else f"-cu{built}"
    wheels = f"pip install 'nvidia-cuda-nvrtc{suffix}=={built}.*'"
    try:
        found = cupy.cuda.nvrtc.getVersion()[0]
    except Exception as error:  # CuPy has had different ones
        yield f"CuPy finds no NVRTC to compile kernels with ({type(error).__name__}): {wheels}"
    else:
        if found != built:
            yield f"CuPy is built for CUDA {built}, but finds NVRTC of CUDA {found}: {wheels}"


@contextlib.contextmanager
def context(index: int, x: Any) -> Iterator[None]:
    with array_module().cuda.Device(index):
        yield
        hold(x)

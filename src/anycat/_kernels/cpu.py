"""The CPU room: which kernel, on which threads, over which pieces of the input.

Kernels want C-contiguous float32 or float64. What is not so is made so piece by piece, each just
before it is read, so that there is never a second copy of the whole input.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import functools
import itertools
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import config

from . import cpu_kernels as kernels
from .grid import table_pays_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .grid import DrawRange

    Array = np.ndarray[Any, Any]

TILE, BLOCK, LANES, WORDS, SPARE = (
    int(n) for n in (kernels.TILE, kernels.BLOCK, kernels.LANES, kernels.WORDS, kernels.SPARE)
)
SHORT = 128  # categories up to which rows may be drawn from LANES at a time
PIECE = 1 << 19  # numbers that are converted at once
GUIDE = 2048  # entries of a guide table at least
MEASURE = 0.7  # rough nanoseconds to measure a category
THREAD = 1.5e5  # nanoseconds of work that are worth a thread of its own: to wake it costs 1e5
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
BRIEF = {FLOAT32: 112, FLOAT64: 36}  # categories up to which rows are summarized LANES at a time


class Lattice(NamedTuple):
    """DrawRange [row, run, draw] as kernels take them: strides of their numbers and their places."""

    numbers: Array
    places: Array
    runs: np.uint64
    draws: np.uint64

    @classmethod
    @functools.lru_cache
    def of(cls, d: DrawRange) -> Lattice:
        numbers = [d.first, d.row_stride, d.sample_stride, 1]
        places = [0, d.repeats, d.rows * d.repeats, 1]
        runs, draws = d.samples, d.repeats
        if draws == 1:  # let the longer axis be the inner one
            runs, draws = draws, runs
            numbers[2:], places[2:] = numbers[:1:-1], places[:1:-1]
        return cls(
            np.array(numbers, np.uint64),
            np.array(places, np.uint64),
            np.uint64(runs),
            np.uint64(draws),
        )

    def at(self, axis: int, begin: int) -> Lattice:
        """Return what is left from an index of axis 1 (row), 2 (run) or 3 (draw) on."""
        if begin == 0:
            return self
        numbers, places = self.numbers.copy(), self.places.copy()
        numbers[0] += numbers[axis] * np.uint64(begin)
        places[0] += places[axis] * np.uint64(begin)
        return self._replace(numbers=numbers, places=places)

    def part(self, begin: int, end: int) -> Lattice:
        """Return a part of the longer of the last two axes."""
        part, n = self.at(2 if self.runs > self.draws else 3, begin), np.uint64(end - begin)
        if n == max(self.runs, self.draws):
            return self
        return part._replace(runs=n) if self.runs > self.draws else part._replace(draws=n)


class Measured(NamedTuple):
    """What is known of rows of many tiles: for each tile, and once more, see `measure_tiles`."""

    tops: Array
    shifts: Array
    starts: Array

    @classmethod
    def room(cls, rows: int, size: int) -> Measured:
        shape = rows, -(-size // TILE) + 1
        return cls(np.zeros(shape), np.empty(shape, np.int64), np.empty(shape, np.uint64))

    def part(self, begin: int, end: int) -> Measured:
        return Measured(*(x[begin:end].reshape(-1) for x in self))


UNMEASURED = Measured(np.empty(0), np.empty(0, np.int64), np.empty(0, np.uint64))


class Table(NamedTuple):
    """A row prepared for many draws."""

    ends: Array
    guide: Array


class Way(NamedTuple):
    """A way to draw from rows: a kernel, the names of what it writes into, the fewest rows."""

    kernel: Callable[..., None]
    needs: str
    least: int = 1
    measured: bool = False
    """Whether it reads what is known of the rows."""


SHORT_ROWS = Way(kernels.draw_short_rows, "", LANES)
ROWS = Way(kernels.draw_rows, "words tile sums")
LONG_ROWS = Way(kernels.draw_long_rows, "words tile sums", measured=True)
SUMMED_ROWS = Way(kernels.draw_summed_rows, "words tile padded lasts", measured=True)


class Costs(NamedTuple):
    """Rough nanoseconds of the ways to draw from a row. They choose the way, never the draw."""

    find: float
    rank: float
    table: float
    lanes: float

    @classmethod
    @functools.lru_cache
    def of(cls, size: int, draws: int, width: int) -> Costs:
        """Return the costs of some draws from a row of some size, with all that they need first.

        ``width`` is that of a number, in bytes.
        """
        again = 0 if size <= TILE else 0.5 * TILE
        tile = min(size, TILE)
        return cls(
            find=MEASURE * size + draws * (30 + 0.6 * min(size, BLOCK) + tile / BLOCK + again),
            rank=80 + 1.5 * size + draws * (20 + 0.6 * math.sqrt(size)),
            table=60_000 + 5.5 * size + draws * 4,  # of many rows, one after the other
            lanes=5 + (0.4 + 0.175 * width) * size + draws * (3 + 0.3 * size),
        )

    @staticmethod
    def prepare(size: int) -> float:
        return 20_000 + 5 * size


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
    rows, lattice = Rows(params), Lattice.of(draws)
    costs = Costs.of(rows.size, draws.samples * draws.repeats, rows.dtype.itemsize)
    lanes = costs.lanes if rows.size <= SHORT and draws.rows >= LANES else math.inf
    least = min(costs.find, costs.rank, lanes)

    if draws.rows == 1 and rows.size < 1 << 32:  # as a guide has them
        table = cache.get("table")
        if table is None and table_pays_off(cache, least, Costs.prepare(rows.size)):
            table = cache["table"] = _prepare(rows.block(0, 1), logits, cache)
        if table is not None:
            _draw_from_table(table, key, lattice, out)
            return

    if draws.rows > 1 and costs.table < least:
        for r in range(draws.rows):
            table = _prepare(rows.block(r, r + 1), logits, {})
            _draw_from_table(table, key, lattice.at(1, r), out)
        return

    if lanes == least:
        way = SHORT_ROWS
    elif costs.rank == least:
        way = SUMMED_ROWS
    else:
        way = LONG_ROWS if rows.size > TILE else ROWS
    size = np.uint64(rows.size)

    def draw(first: int, x: Array, row: int, known: Measured) -> None:
        room = _scratch(rows.size, rows.dtype, way.needs) + (known if way.measured else ())
        way.kernel(x, size, logits, key, *lattice.at(1, first + row), out, *room)

    cost = least if rows.size <= TILE else least - MEASURE * rows.size  # measured before
    for group in rows.groups():
        task, kept = functools.partial(draw, group.first), cache if group is rows else {}
        _measured(group, logits, kept, task, cost, way.least)


def vouch(params: Array, logits: bool, cache: dict[str, Any]) -> bool:
    """Tell whether all rows are distributions for certain.

    Long rows are measured for that, once and for all. Not so logits of float64: what normalises
    them takes another look.
    """
    rows, found = Rows(params), []
    if rows.size > TILE and rows.count <= TILE and (rows.dtype == FLOAT32 or not logits):
        tops, _, starts = _measured(rows, logits, cache)
        terms = 1 if logits else 2 * rows.size  # lest a sum be infinite
        limit = np.finfo(rows.dtype).max / terms
        return bool((starts[:, -1] > 0).all() and (tops[:, -1] <= limit).all())

    def look(x: Array, row: int) -> None:
        size = np.uint64(rows.size)
        found.append(kernels.first_doubt(x, size, logits) == x.size // rows.size)

    rows.each_block(look, 0.08 * rows.size, 1)
    return all(found)


def normalizer(params: Array, logits: bool, cache: dict[str, Any]) -> tuple[Array, ...]:
    """Return what normalises each row, as a `Form` has it, if measuring rows tells it.

    That is so for long rows in float32: in float64 it would not be precise enough.
    """
    rows = Rows(params)
    if rows.size <= TILE or rows.dtype != FLOAT32:
        return ()
    known = [_measured(group, logits, cache if group is rows else {}) for group in rows.groups()]
    tops, units, totals = (
        np.concatenate([x[:, -1] for x in xs]) for xs in zip(*known, strict=True)
    )
    sums, units = np.where(totals > 0, totals, np.nan), units.astype(np.intc)
    if not logits:
        results: tuple[Array, ...] = (np.ldexp(sums, units),)
    else:
        powers, fractions = np.empty_like(units), np.empty_like(tops)
        kernels.exponentials(tops.astype(FLOAT32), fractions, powers)
        sums = np.ldexp(sums / fractions, units - powers)
        results = tops, sums, np.log(sums)
    results = tuple(x.astype(FLOAT32).reshape(*params.shape[:-1], 1) for x in results)
    return () if np.isinf(results[-1]).any() else results  # rounded to more than there is


def summarize(params: Array, logits: bool) -> tuple[Array, Array, Array, Array]:
    """Return what there is to know of each row: see `_dispatch.summarize`.

    Each result has the shape of ``params``, but with one category; NaN for rows that are no
    distributions.
    """
    rows = Rows(params)
    results = tuple(np.empty(rows.count, rows.dtype) for _ in range(4))
    short = rows.size <= BRIEF[rows.dtype] and rows.count >= LANES
    kernel = kernels.summarize_short_rows if short else kernels.summarize

    def add(x: Array, row: int) -> None:
        part = (result[row : row + x.size // rows.size] for result in results)
        kernel(x, np.uint64(rows.size), logits, *part)

    rows.each_block(add, 10 + rows.size, LANES if short else 1)
    tops, totals, logs, entropies = (result.reshape(*params.shape[:-1], 1) for result in results)
    return tops, totals, logs, entropies


def look_up(params: Array, values: Array) -> Array | None:
    """Return the rows' entries at values, whose shape ends with that of the batch.

    None where that is not what they are, or not all are categories.
    """
    rows, batch = Rows(params), params.shape[:-1]
    plain = rows.ready and _is_plain(values, np.int64)
    if not (plain and values.shape[values.ndim - len(batch) :] == batch):
        return None
    flat, out, good = values.reshape(-1), np.empty(values.shape, params.dtype), []
    flat.flags.writeable = False
    x, entries = rows.block(0, rows.count), out.reshape(-1)

    def look(begin: int, end: int) -> None:
        part = np.uint64(begin), np.uint64(end)
        good.append(kernels.look_up(x, np.uint64(rows.size), flat, *part, entries))

    _in_parallel(look, flat.size, 2 * flat.size / THREAD)
    return out if all(good) else None


def _measured(
    rows: Rows,
    logits: bool,
    cache: dict[str, Any],
    task: Callable[[Array, int, Measured], None] = lambda *_: None,
    cost: float = 0.0,
    least: int = 1,
) -> Measured:
    """Do what `Rows.each_block` does, of rows that are measured before, if they are long.

    What must be converted is measured block by block, lest it be converted twice. The task is given
    what is known of its block, too; that of all rows is returned, and kept for other calls.
    """
    if rows.size <= TILE:
        rows.each_block(lambda x, row: task(x, row, UNMEASURED), cost, least)
        return UNMEASURED
    new = "measured" not in cache
    known = Measured.room(rows.count, rows.size) if new else cache["measured"]
    price = MEASURE * rows.size
    if new and rows.ready:  # then threads may share a row
        whole = rows.block(0, rows.count)
        _measure(whole, rows.size, logits, known.part(0, rows.count), price * rows.count / THREAD)

    def measure(x: Array, row: int) -> None:
        part = known.part(row, row + x.size // rows.size)
        if new and not rows.ready:
            _measure(x, rows.size, logits, part)
        task(x, row, part)

    rows.each_block(measure, cost if rows.ready else cost + price, least)
    cache["measured"] = known
    return known


def _measure(x: Array, size: int, logits: bool, known: Measured, parts: float = 0.0) -> None:
    n = x.size // size * -(-size // TILE)

    def measure(begin: int, end: int) -> None:
        (tile,) = _scratch(size, x.dtype, "tile")
        part = np.uint64(begin), np.uint64(end)
        kernels.measure_tiles(x, np.uint64(size), logits, *part, tile, *known)

    _in_parallel(measure, n, parts)
    if not kernels.lay_tiles(np.uint64(size), logits, *known):
        _in_parallel(measure, n, parts)
        kernels.lay_tiles(np.uint64(size), logits, *known)


def _prepare(row: Array, logits: bool, cache: dict[str, Any]) -> Table:
    known = _measured(Rows(row), logits, cache).part(0, 1)
    ends, guide = _scratch(row.size, row.dtype, "ends guide")

    def add_up(begin: int, end: int) -> None:
        (tile,) = _scratch(row.size, row.dtype, "tile")
        kernels.fill_ends(row, logits, np.uint64(begin), np.uint64(end), tile, *known, ends)

    _in_parallel(add_up, -(-row.size // TILE), 2 * row.size / THREAD)

    def fill(begin: int, end: int) -> None:
        kernels.fill_guide(ends, guide, np.uint64(begin), np.uint64(end))

    if ends[-1]:
        _in_parallel(fill, guide.size, 3 * row.size / THREAD)
    return Table(ends, guide)


def _draw_from_table(table: Table, key: Array, lattice: Lattice, out: Array) -> None:
    def draw(begin: int, end: int) -> None:
        room = _scratch(0, None, "words found late")
        kernels.draw_table(*table, key, *lattice.part(begin, end), out, *room)

    n = int(lattice.runs * lattice.draws)
    _in_parallel(draw, max(int(lattice.runs), int(lattice.draws)), 4 * n / THREAD)


# --- pieces of the input --------------------------------------------------------------------


class Rows:
    """The rows of an array, in blocks as kernels want them."""

    def __init__(self, params: Array) -> None:
        kind = params.dtype.kind
        narrow = params.dtype.itemsize <= 4 and kind == "f"
        narrow = narrow or (kind == "V" and params.dtype.name == "bfloat16")
        self.params = params
        self.first = 0
        self.size: int = params.shape[-1]
        self.count = math.prod(params.shape[:-1])
        self.dtype = FLOAT32 if narrow else FLOAT64
        self.ready = _is_plain(params, self.dtype)

    def block(self, begin: int, end: int, room: Array | None = None) -> Array:
        """Return rows ``begin`` to ``end``, one after the other; ``room`` is for what is converted.

        The result is read-only, always: to Numba that is part of a type, and one is enough.
        """
        begin, end = self.first + begin, self.first + end
        if self.params.flags.c_contiguous:
            block = self.params.reshape(-1)[begin * self.size : end * self.size]
        else:
            batch = self.params.shape[:-1]
            index = np.unravel_index(np.arange(begin, end), batch) if batch else ...
            block = self.params[index].reshape(-1)
        if not _is_plain(block, self.dtype):
            out = np.empty(block.size, self.dtype) if room is None else room[: block.size]
            _convert(block, out)
            block = out
        block.flags.writeable = False
        return block

    def groups(self) -> Iterable[Rows]:
        """Return the rows in groups of which all that is measured is no larger than some rows."""
        if self.size <= TILE or self.count <= TILE:
            yield self
            return
        for begin, end in _split(0, self.count, -(-self.count // TILE)):
            group = copy.copy(self)
            group.first, group.count = begin, end - begin
            yield group

    def each_block(self, task: Callable[[Array, int], None], cost: float, least: int) -> None:
        """Call ``task(block, first row)`` for blocks of at least so many rows.

        ``cost`` is that of a row, in nanoseconds.
        """

        def part(begin: int, end: int) -> None:
            if self.ready:
                task(self.block(begin, end), begin)
                return
            pieces = -(-(end - begin) * self.size // PIECE)
            pieces = max(1, min(pieces, (end - begin) // least))
            room = None
            if self.params.dtype != self.dtype:
                room = np.empty(-(-(end - begin) // pieces) * self.size, self.dtype)
            for a, b in _split(begin, end, pieces):
                task(self.block(a, b, room), a)

        _in_parallel(part, self.count, min(cost * self.count / THREAD, self.count // least))


def _is_plain(x: Array, dtype: Any) -> bool:
    """Tell whether kernels can take an array as it is."""
    return x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned


def _convert(x: Array, out: Array) -> None:
    """Put numbers into ``out``, as kernels want them."""
    name = x.dtype.name if x.dtype.itemsize == 2 and x.dtype.isnative else ""
    if name in ("float16", "bfloat16"):
        bits = np.require(x, None, ["C", "A"]).view(np.uint16)
        bits.flags.writeable = False
        kernels.widen(bits, name == "float16", out)
    else:
        out[...] = x


def _scratch(size: int, dtype: Any, needs: str) -> tuple[Array, ...]:
    """Return what kernels write into, by name, for rows of some size."""
    return tuple([np.empty(*shape) for shape in _shapes(size, dtype, needs)])


@functools.lru_cache
def _shapes(size: int, dtype: Any, needs: str) -> list[tuple[int, Any]]:
    entries = max(size // 2, GUIDE)
    group = _up(math.isqrt(size), 16)  # of boundaries that are compared at once, for vectors
    groups = _up(-(-size // group), 16) if group else 0
    shapes: dict[str, tuple[int, Any]] = {
        "words": (WORDS + SPARE, np.uint64),
        "found": (WORDS, np.uint64),
        "late": (WORDS, np.uint32),
        "tile": (min(size, TILE), dtype),  # its weights
        "sums": (TILE // BLOCK, np.uint64),  # of its blocks
        "ends": (size, np.uint64),
        "padded": (group * groups, np.uint64),
        "lasts": (groups, np.uint64),
        "guide": (1 << (entries - 1).bit_length(), np.uint64),
    }
    return [shapes[name] for name in needs.split()]


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


# --- subnormal numbers ----------------------------------------------------------------------
#
# XLA calls back in a mode of the CPU in which they are zero, which `torch.set_flush_denormal` sets
# too. New threads inherit it, so none may be started in it.

_AS_IS = contextlib.nullcontext()
_LEAST = 5e-324  # zero, in that mode


def with_subnormals() -> contextlib.AbstractContextManager[None]:
    """Leave that mode: in it, draws and checks of subnormal numbers would differ."""
    return _AS_IS if _LEAST > 0 else _usual_floats()


@contextlib.contextmanager
def _usual_floats() -> Iterator[None]:
    libc, saved = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    usual = ctypes.c_void_p(-1)  # FE_DFL_ENV of <fenv.h>
    if sys.platform == "darwin":
        usual = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(libc, "_FE_DFL_ENV")))
    libc.fegetenv(saved)
    libc.fesetenv(usual)
    try:
        yield
    finally:
        libc.fesetenv(saved)


# --- threads --------------------------------------------------------------------------------
#
# Plain threads and nogil kernels: Numba's own thread layers do not survive fork(), or abort when
# two threads call them at once.

_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _split(begin: int, end: int, parts: int) -> Iterable[tuple[int, int]]:
    """Split a range into parts that differ in length by one at most."""
    ends = [begin + (end - begin) * i // parts for i in range(parts + 1)]
    return itertools.pairwise(ends)


def _in_parallel(task: Callable[[int, int], None], n: int, parts: float) -> None:
    """Run ``task`` on parts of ``range(n)``, at most as many as there are threads."""
    global _pool
    most = min(int(parts), n, config.NUMBA_NUM_THREADS)
    if most < 2:
        task(0, n)
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(config.NUMBA_NUM_THREADS, thread_name_prefix="anycat")
    first, *others = _split(0, n, most)
    running = [_pool.submit(task, *part) for part in others]
    try:
        task(*first)
    finally:  # the others write into an array that must outlive them
        errors = [error for future in running if (error := future.exception())]
    if errors:
        raise errors[0]


def array_module() -> Any:
    """Return NumPy."""
    return np


def unavailable_reason() -> None:
    """Return None: there always is CPU memory."""


def thread_count() -> int:
    return int(config.NUMBA_NUM_THREADS)


def context(index: int, x: Any) -> contextlib.AbstractContextManager[None]:
    return with_subnormals()


default_float_env = with_subnormals
rows_valid, row_stats, gather = vouch, summarize, look_up

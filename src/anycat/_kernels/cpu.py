"""The CPU room: which kernel, on which threads, over which pieces of the input.

Kernels want C-contiguous float32 or float64. What is not so is made so piece by piece, each just
before it is read, so that there is never a second copy of the whole input.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import config

from . import cpu_kernels as kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from . import Draws

    Array = np.ndarray[Any, Any]

TILE, BLOCK, LANES, WORDS = (
    int(n) for n in (kernels.TILE, kernels.BLOCK, kernels.LANES, kernels.WORDS)
)
SHORT = 32  # categories up to which rows are drawn from LANES at a time
PIECE = 1 << 17  # numbers that are converted at once
GUIDE = 1 << 12, 1 << 21  # the least and the most entries of a guide table
THREAD = 1e5  # nanoseconds of work that are worth a thread of its own


class Lattice(NamedTuple):
    """Draws [row, run, draw] as kernels take them: strides of their numbers and their places."""

    numbers: Array
    places: Array
    runs: np.uint64
    draws: np.uint64

    @classmethod
    def of(cls, d: Draws) -> Lattice:
        numbers = [d.first, d.repeats if d.step is None else d.step, d.stride, 1]
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
        numbers, places = self.numbers.copy(), self.places.copy()
        numbers[0] += numbers[axis] * np.uint64(begin)
        places[0] += places[axis] * np.uint64(begin)
        return self._replace(numbers=numbers, places=places)


class Table(NamedTuple):
    """A row prepared for many draws."""

    ends: Array
    marks: Array
    guide: Array


class Costs(NamedTuple):
    """Rough nanoseconds of the ways to draw from a row. They choose the way, never the draw."""

    find: float
    bisect: float
    table: float

    @classmethod
    def of(cls, size: int, draws: int) -> Costs:
        """Return the costs of some draws from a row of some size, with all that they need first."""
        measure = 0.5 * size
        again = 0 if size <= TILE else 0.5 * TILE
        return cls(
            find=measure + draws * (12 + 0.6 * min(size, BLOCK) + again),
            bisect=4 * measure + draws * 5 * size.bit_length(),
            table=4 * measure + cls.prepare(size) + draws * 4,
        )

    @staticmethod
    def prepare(size: int) -> float:
        return 20_000 + 7 * size


def sample(
    params: Array,
    logits: bool,
    key: Array,
    draws: Draws,
    out: Array,
    cache: dict[str, Any],
) -> None:
    """Draw from each row of ``params``: see the docstring of the package."""
    out = out.reshape(-1)
    if draws.rows == 1 and draws.stride == draws.repeats:
        draws = draws._replace(samples=1, repeats=out.size)
    rows, lattice = Rows(params), Lattice.of(draws)
    costs = Costs.of(rows.size, draws.samples * draws.repeats)

    if draws.rows == 1:
        # A row that is drawn from again and again earns its table.
        cache["spent"] = cache.get("spent", 0.0) + min(costs[:2])
        if "table" not in cache and cache["spent"] > Costs.prepare(rows.size):
            cache["table"] = _prepare(rows.block(0, 1), logits)
        if "table" in cache:
            _draw_from_table(cache["table"], key, lattice, out)
            return

    short = rows.size <= SHORT and draws.rows >= LANES
    if not short and draws.rows > 1 and costs.table < min(costs[:2]):
        for r in range(draws.rows):
            _draw_from_table(_prepare(rows.block(r, r + 1), logits), key, lattice.at(1, r), out)
        return

    if short:
        kernel, needs, cost = kernels.draw_short_rows, "", 30 + costs.bisect
    elif costs.bisect < costs.find:
        kernel, needs, cost = (
            kernels.draw_summed_rows,
            "words tile shifts starts ends",
            costs.bisect,
        )
    elif rows.size > TILE:
        kernel, needs, cost = kernels.draw_long_rows, "words tile sums shifts starts", costs.find
    else:
        kernel, needs, cost = kernels.draw_rows, "words tile sums", costs.find
    size, least = np.uint64(rows.size), LANES if short else 1

    def draw(begin: int, end: int) -> None:
        room = _scratch(rows.size, rows.dtype, needs)
        parts = 1 if rows.ready else -(-(end - begin) * rows.size // PIECE)
        for a, b in _split(begin, end, min(parts, (end - begin) // least)):
            kernel(rows.block(a, b), size, logits, key, *lattice.at(1, a), out, *room)

    _in_parallel(draw, draws.rows, min(cost * draws.rows / THREAD, draws.rows // least))


def _prepare(row: Array, logits: bool) -> Table:
    room = _scratch(row.size, row.dtype, "tile shifts starts ends marks guide")
    kernels.fill_table(row, logits, *room)
    return Table(*room[-3:])


def _draw_from_table(table: Table, key: Array, lattice: Lattice, out: Array) -> None:
    axis = 3 if lattice.draws >= lattice.runs else 2

    def draw(begin: int, end: int) -> None:
        part, n = lattice.at(axis, begin), np.uint64(end - begin)
        part = part._replace(draws=n) if axis == 3 else part._replace(runs=n)
        kernels.draw_table(*table, key, *part, out, np.empty(WORDS + 2, np.uint64))

    _in_parallel(draw, int(lattice[axis]), 4 * int(lattice.runs * lattice.draws) / THREAD)


# --- pieces of the input --------------------------------------------------------------------


class Rows:
    """The rows of an array, in blocks as kernels want them."""

    def __init__(self, params: Array) -> None:
        narrow = params.dtype.kind == "f" and params.dtype.itemsize <= 4
        self.params = params
        self.size: int = params.shape[-1]
        self.dtype = np.dtype(np.float32 if narrow else np.float64)
        self.ready = (
            params.dtype == self.dtype and params.flags.c_contiguous and params.flags.aligned
        )

    def block(self, begin: int, end: int) -> Array:
        """Return rows ``begin`` to ``end``, one after the other.

        The result is read-only, always: to Numba that is part of a type, and one is enough.
        """
        if self.ready:
            block = self.params.reshape(-1)[begin * self.size : end * self.size]
        else:
            batch = self.params.shape[:-1]
            index = np.unravel_index(np.arange(begin, end), batch) if batch else ...
            block = np.ascontiguousarray(self.params[index], self.dtype).reshape(-1)
        block.flags.writeable = False
        return block


def _scratch(size: int, dtype: np.dtype[Any], needs: str) -> tuple[Array, ...]:
    """Return what kernels write into, by name, for rows of some size."""
    tiles = -(-size // TILE)
    entries = min(max(2 * size, GUIDE[0]), GUIDE[1])
    shapes: dict[str, tuple[int, Any]] = {
        "words": (WORDS + 2, np.uint64),
        "tile": (min(size, TILE), dtype),  # its weights
        "sums": (TILE // BLOCK, np.uint64),  # of its blocks
        "shifts": (tiles, np.int64),
        "starts": (tiles + 1, np.uint64),
        "ends": (size, np.uint64),
        "marks": (size, np.uint32),
        "guide": (1 << (entries - 1).bit_length(), np.uint32 if size < 1 << 32 else np.uint64),
    }
    return tuple(np.empty(*shapes[name]) for name in needs.split())


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


def _split(begin: int, end: int, parts: int) -> Iterator[tuple[int, int]]:
    """Split a range into parts that differ in length by one at most."""
    parts = max(1, parts)
    ends = [begin + (end - begin) * i // parts for i in range(parts + 1)]
    return itertools.pairwise(ends)


def _in_parallel(task: Callable[[int, int], None], n: int, parts: float) -> None:
    """Run ``task`` on parts of ``range(n)``, at most as many as there are threads."""
    global _pool
    first, *others = _split(0, n, min(int(parts), n, config.NUMBA_NUM_THREADS))
    if others and _pool is None:
        _pool = ThreadPoolExecutor(config.NUMBA_NUM_THREADS, thread_name_prefix="anycat")
    running = [_pool.submit(task, *part) for part in others if _pool]
    try:
        task(*first)
    finally:  # the others write into an array that must outlive them
        errors = [error for future in running if (error := future.exception())]
    if errors:
        raise errors[0]

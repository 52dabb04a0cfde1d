"""Draws without replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from anycat._progress import ignore

from .cache import kept
from .costs import NS_PER_ELEMENT
from .grid import grid_args, grid_of
from .jit import distinct_long as long
from .jit.distinct import draw_distinct_rows
from .rows import Rows
from .sizes import TILE
from .threads import NS_PER_PIECE, parallel_for, thread_count
from .workspace import allocate

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawGrid, DrawRange
    from anycat._kernels.keys import Key
    from anycat._progress import Done

    Array = np.ndarray[Any, Any]

NS_PER_DRAW = 30
NS_PER_DRAW_OF_LONG_ROW = 100
KEPT_WEIGHTS = 16  # for each draw, that take no longer to keep than to compute when they are needed


class Left(NamedTuple):
    """What is left of a row: see `jit.distinct_long`."""

    tile_max: Array
    records: Array
    block_cdf: Array
    removed: Array
    tree: Array
    numbers: Array
    left_weights: Array

    @classmethod
    def of_all(cls, size: int, dtype: Any, draws: int) -> Left:
        """Return that of a row before it is measured, for so many draws."""
        left = cls(*allocate(size, dtype, " ".join(cls._fields)))
        if draws * KEPT_WEIGHTS < size:
            left = left._replace(left_weights=left.left_weights[:0])
        left.tile_max[-1] = 0.0
        left.removed[...] = 0
        left.numbers[...] = 0
        return left


def sample_distinct(
    params: Array,
    logits: bool,
    key: Key,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Draw from each row of ``params`` without replacement, as `draw.sample` does with it.

    Of ``draws.samples`` and ``draws.repeats``, one at least is 1. Draw j of a row is the outcome
    for the row in which the categories of its earlier draws have no weight; -1 if none is left.
    """
    rows, grid = Rows(params), grid_of(draws)
    if grid.draws > rows.size:
        rest = out[rows.size :] if draws.repeats == 1 else out[:, :, rows.size :]
        _fill(rest, done)
        grid = grid.part(0, rows.size)
    draw = _draw_rows if rows.size <= TILE else _draw_long_rows
    draw(rows, logits, key, grid, out.reshape(-1), cache, done)


def _fill(out: Array, done: Done) -> None:
    """Store -1, what is drawn when nothing is left."""
    axis = max(range(out.ndim), key=out.shape.__getitem__)
    longest = out.swapaxes(0, axis)

    def fill(begin: int, end: int) -> None:
        longest[begin:end] = -1
        done(longest[begin:end].size)

    parallel_for(fill, len(longest), out.size)


def _draw_rows(
    rows: Rows,
    logits: bool,
    key: Key,
    grid: DrawGrid,
    out: Array,
    cache: dict[str, Any],
    done: Done,
) -> None:
    """Draw from rows of one tile."""
    names = "random_words tile_values padded_weights tile_integers tile_sums"

    def draw(x: Array, row: int) -> None:
        args = np.uint64(rows.size), logits, key, *grid_args(grid.from_row(row)), out
        draw_distinct_rows(x, *args, *allocate(rows.size, rows.dtype, names))
        done(x.size // rows.size * grid.draws)

    rows.each_block(draw, NS_PER_ELEMENT * rows.size + NS_PER_DRAW * grid.draws, 1)


def _draw_long_rows(
    rows: Rows,
    logits: bool,
    key: Key,
    grid: DrawGrid,
    out: Array,
    cache: dict[str, Any],
    done: Done,
) -> None:
    """Draw from rows of several tiles: several rows at once, or else on all threads from one."""

    def draw(x: Array, row: int, cost: float = 0.0) -> None:
        args = np.uint64(rows.size), logits, key, *grid_args(grid.from_row(row)), out
        _draw_block(x, args, cache if rows.count == 1 and rows.is_zero_copy else {}, cost, done)

    cost = NS_PER_ELEMENT * rows.size
    if rows.count >= max(2, thread_count()):
        rows.each_block(draw, cost + NS_PER_DRAW_OF_LONG_ROW * grid.draws, 1)
        return
    for r in range(rows.count):
        draw(rows.block(r, r + 1), r, cost)


def _draw_block(
    x: Array, args: tuple[Any, ...], cache: dict[str, Any], cost: float, done: Done
) -> None:
    """Draw from long rows; ``cost`` is that of measuring one, or 0 on one thread."""
    size, logits, draws = int(args[0]), args[1], int(args[6])
    workspace = allocate(size, x.dtype, "random_words padded_values padded_weights")
    budget = int(NS_PER_PIECE / NS_PER_DRAW_OF_LONG_ROW)
    tiles, finished = -(-size // TILE), 0

    def measure(left: Left) -> None:
        def part(begin: int, end: int) -> None:
            buffers = allocate(size, x.dtype, "padded_values padded_weights")
            indices = np.uint64(begin), np.uint64(end)
            long.measure_tiles(x, args[0], logits, *indices, *buffers, *left)

        parallel_for(part, tiles, cost)
        left.numbers[long.STAGE] = long.MEASURED

    def measured() -> tuple[Array, ...]:
        left = Left.of_all(size, x.dtype, 0)
        measure(left)
        return left[:3]

    left = Left.of_all(size, x.dtype, draws)
    if cost and tiles > long.SERIAL_TILES and not left.left_weights.size:
        for target, source in zip(left, kept(cache, "distinct", measured), strict=False):
            target[...] = source
        left.numbers[long.STAGE] = long.MEASURED
    more = True
    while more:
        more = not long.draw_distinct_long_rows(x, *args, budget, *workspace, *left)
        before = finished
        finished = int(left.numbers[long.ROW]) * draws + int(left.numbers[long.DRAW])
        if finished > before:
            done(finished - before)
        if more and left.numbers[long.STAGE] < long.MEASURED:
            measure(left)

"""Counts: draws are made in pieces that stay in the cache, and counted there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.grid import DrawGrid
from anycat._progress import ignore

from .costs import NS_PER_TABLE_DRAW, Costs
from .draw import each_part
from .grid import grid_args
from .jit.counts import add_parts, count_draws, count_table, divide_words
from .rows import Rows
from .threads import parallel_for, split
from .tiles import TileStats
from .workspace import allocate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anycat._kernels.grid import DrawRange
    from anycat._progress import Done

    from .draw import Strategy
    from .table import Table

    Array = np.ndarray[Any, Any]

BUFFERED_DRAWS = 1 << 16
MAX_DRAWS_BY_LANES = 1 << 20  # of a row: a table is better, as its draws are made by all threads
MAX_DRAWS_IN_PIECES = 1 << 40  # at once
PARTS_MAX_K = 1 << 14  # categories, of more of which too many share a part
MIN_PARTS, MAX_PARTS = 1 << 12, 1 << 16  # which fit into the L1 and the L2 cache
PARTS_PER_CATEGORY = 16
DRAWS_PER_PART = 16  # from which on parts pay off


def sample_counts(
    params: Array,
    logits: bool,
    key: Array,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Count the draws of each row: see the docstring of `anycat._kernels`."""
    rows = Rows(params)
    size, n = rows.size, draws.samples * draws.repeats
    grid = DrawGrid.of(draws, samples_inside=draws.samples >= draws.repeats)
    costs = Costs.of(size, n, rows.dtype.itemsize)
    if n > MAX_DRAWS_BY_LANES:
        costs = costs._replace(lanes=math.inf)

    def by_table(table: Table, row: int) -> None:
        _count_by_table(table, key, grid.from_row(row), out[row], done)

    def by_kernel(strategy: Strategy, x: Array, row: int, stats: TileStats) -> None:
        count, counts = x.size // size, out.reshape(-1)
        stats = TileStats(*(s.reshape(count, -1) for s in stats))
        out[row : row + count] = 0
        blocks = min(-(-count * n // BUFFERED_DRAWS), count // strategy.min_rows)
        for begin, end in split(0, count, max(1, blocks)):
            block, part = x[begin * size : end * size], stats.part(begin, end)
            for piece in _pieces(grid.from_row(row + begin), BUFFERED_DRAWS // (end - begin)):
                found = np.empty((end - begin) * piece.runs * piece.draws, np.int64)
                in_turn = piece._replace(
                    out_strides=(0, 1, (end - begin) * piece.draws, end - begin)
                )
                strategy.draw(block, size, logits, key, in_turn, found, part)
                numbers = piece.runs * piece.draws, size, row + begin
                count_draws(found, *map(np.uint64, numbers), counts)
        done(count * n)

    each_part(rows, logits, costs, cache, by_table, by_kernel)


def _pieces(grid: DrawGrid, most: int) -> Iterable[DrawGrid]:
    """Yield parts of a grid of at most so many draws of a row, or one."""
    n, longer = grid.runs * grid.draws, max(grid.runs, grid.draws)
    if n <= most or n == 1:
        yield grid
        return
    for begin, end in split(0, longer, min(longer, -(-n // most))):
        yield from _pieces(grid.part(begin, end), most)


def _count_by_table(table: Table, key: Array, grid: DrawGrid, out: Array, done: Done) -> None:
    """Count the draws of a grid of one row."""
    n = grid.runs * grid.draws
    out[...] = 0 if table.cdf[-1] else -1
    if not table.cdf[-1]:
        done(n)
        return
    no_words, categories = _parts(table, n)
    idle = [(out, no_words.copy())]  # counts, and counts of words, that no thread uses

    def count(piece: DrawGrid) -> None:
        try:
            counts, parts = idle.pop()
        except IndexError:
            counts, parts = np.zeros_like(out), no_words.copy()
        workspace = allocate(0, None, "random_words found deferred")
        counter_strides, _, runs, draws = grid_args(piece)
        count_table(*table, key, counter_strides, runs, draws, parts, counts, *workspace)
        idle.append((counts, parts))
        done(piece.runs * piece.draws)

    def on_threads(part: DrawGrid) -> None:
        n, longer = part.runs * part.draws, max(part.runs, part.draws)
        # So many draws take as long as the counts of another thread.
        least = max(1, out.size * longer // (2 * n))
        cost = NS_PER_TABLE_DRAW * n
        parallel_for(lambda begin, end: count(part.part(begin, end)), longer, cost, least)

    for part in _pieces(grid, MAX_DRAWS_IN_PIECES):
        on_threads(part)
    for counts, parts in idle:
        add_parts(parts, categories, counts)
    _add([counts for counts, _ in idle if counts is not out], out)


def _add(others: list[Array], out: Array) -> None:
    """Add arrays to ``out``."""

    def add(begin: int, end: int) -> None:
        for x in others:
            out[begin:end] += x[begin:end]

    parallel_for(add, out.size, out.size * len(others))


def _parts(table: Table, n: int) -> tuple[Array, Array]:
    """Return equal parts of the range of words, without words, and the first category of each.

    There are none if they would not pay off.
    """
    size = table.cdf.size
    count = 1 << (PARTS_PER_CATEGORY * size - 1).bit_length()
    count = min(max(count, MIN_PARTS), MAX_PARTS)
    if size > PARTS_MAX_K or n < DRAWS_PER_PART * count:
        count = 0
    parts, categories = np.empty(count, np.uint64), np.empty(count, np.uint64)
    divide_words(table.cdf, parts, categories)
    return parts, categories

"""Counts: draws are made in pieces that stay in the cache, and counted there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.grid import DrawGrid, split
from anycat._progress import ignore

from .costs import NS_PER_TABLE_DRAW, Costs
from .draw import each_part
from .grid import grid_args
from .jit.counts import add_parts, count_draws, count_table, divide_words
from .rows import Rows
from .threads import parallel_for
from .tiles import TileStats
from .workspace import allocate

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawRange
    from anycat._kernels.keys import Key
    from anycat._progress import Done

    from .draw import Strategy
    from .table import Table

    Array = np.ndarray[Any, Any]

MAX_COUNT = (1 << 32) - 1  # of draws that are added at once
BUFFERED_DRAWS = 1 << 16
MAX_DRAWS_BY_LANES = 1 << 20  # of a row: a table is better, as its draws are made by all threads
BUFFERED_COUNTS = 1 << 17
PARTS_MAX_K = 1 << 14  # categories, of more of which too many share a part
MIN_PARTS, MAX_PARTS = 1 << 12, 1 << 16  # which fit into the L1 and the L2 cache
PARTS_PER_CATEGORY = 16
DRAWS_PER_PART = 16  # from which on parts pay off


def sample_counts(
    params: Array,
    logits: bool,
    key: Key,
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
        blocks = max(-(-count * n // BUFFERED_DRAWS), -(-count * size // BUFFERED_COUNTS))
        for begin, end in split(0, count, max(1, min(blocks, count // strategy.min_rows))):
            out[row + begin : row + end] = 0
            block, part = x[begin * size : end * size], stats.part(begin, end)
            for piece in grid.from_row(row + begin).pieces(BUFFERED_DRAWS // (end - begin)):
                found = np.empty((end - begin) * piece.runs * piece.draws, np.int64)
                in_turn = piece._replace(
                    out_strides=(0, 1, (end - begin) * piece.draws, end - begin)
                )
                strategy.draw(block, size, logits, key, in_turn, found, part)
                numbers = piece.runs * piece.draws, size, row + begin
                count_draws(found, *map(np.uint64, numbers), counts)
        done(count * n)

    each_part(rows, logits, costs, cache, by_table, by_kernel)


def _count_by_table(table: Table, key: Key, grid: DrawGrid, out: Array, done: Done) -> None:
    """Count the draws of a grid of one row."""
    n = grid.runs * grid.draws
    out[...] = 0 if table.cdf[-1] else -1
    if not table.cdf[-1]:
        done(n)
        return
    no_words, categories = _parts(table, n)
    for part in grid.pieces(MAX_COUNT):
        _add_by_table(table, key, part, no_words, categories, out, done)


def _add_by_table(
    table: Table,
    key: Key,
    grid: DrawGrid,
    no_words: Array,
    categories: Array,
    out: Array,
    done: Done,
) -> None:
    """Add the draws of a grid of one row to its counts: for parts, see `_parts`."""
    n, longer = grid.runs * grid.draws, max(grid.runs, grid.draws)
    idle: list[tuple[Array, Array]] = []  # counts, and counts of words, that no thread uses

    def count(begin: int, end: int) -> None:
        try:
            parts, counts = idle.pop()
        except IndexError:
            parts, counts = no_words.copy(), np.zeros(out.size, np.uint32)
        piece = grid.part(begin, end)
        counter_strides, _, runs, draws = grid_args(piece)
        workspace = allocate(0, None, "random_words found deferred")
        count_table(*table, key, counter_strides, runs, draws, parts, counts, *workspace)
        idle.append((parts, counts))
        done(piece.runs * piece.draws)

    # So many draws take as long as the counts of another thread.
    least = max(1, out.size * longer // (2 * n))
    parallel_for(count, longer, NS_PER_TABLE_DRAW * n, least)
    for parts, _ in idle:
        add_parts(parts, categories, out)
    _add([counts for _, counts in idle], out)


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

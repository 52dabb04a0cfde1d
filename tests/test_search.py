"""Every search finds the category on either side of every boundary.

Random words never meet a boundary exactly: one in 2**50 does. So the searches are called by hand.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import numpy as np
import oracle
import pytest
import rows
from numba import njit

from anycat._kernels.cpu.jit import guide as guides
from anycat._kernels.cpu.jit import search, table
from anycat._kernels.cpu.jit.constants import BEYOND_CDF, ONE, ZERO
from anycat._kernels.cpu.rows import Rows
from anycat._kernels.cpu.sizes import TILE
from anycat._kernels.cpu.table import Table
from anycat._kernels.cpu.tiles import tile_stats
from anycat._kernels.cpu.workspace import allocate

Array = np.ndarray[Any, Any]


@njit
def search_table(cdf: Array, guide: Array, words: Array, out: Array) -> None:
    found, deferred = np.empty(words.size, np.uint64), np.empty(words.size, np.uint32)
    n = np.uint64(words.size)
    table.search_table(cdf, guide, words, ZERO, n, out, ZERO, ONE, found, deferred)


@njit
def rank(cdf: Array, group_cdf: Array, targets: Array, out: Array) -> None:
    group = np.uint64(cdf.size // group_cdf.size)
    for i in range(targets.size):
        out[i] = search.rank(cdf, group_cdf, group, targets[i])


@njit
def search_tiles(
    x: Array, logits: bool, targets: Array, workspace: Any, stats: Any, out: Array
) -> None:
    weights, block_sums = workspace
    tile_max, tile_shift, tile_offset = stats
    n = np.uint64(x.size)
    for i in range(targets.size):
        out[i] = search.search_tiles(
            x, ZERO, n, logits, weights, block_sums,
            tile_max, tile_shift, tile_offset, ZERO, targets[i],
        )  # fmt: skip


@njit
def cells_of(ends: Array, total: Any, bits: Any, out: Array) -> None:
    last = (ONE << bits) - ONE
    cells = np.float64(np.int64(last + ONE)) / np.float64(np.int64(total))
    for i in range(ends.size):
        out[i] = guides.cell_of(ends[i], total, cells, last, np.uint64(64) - bits)


@pytest.mark.parametrize("bits", [17, 28, 39])
@pytest.mark.parametrize("total", [2**50, 3**33, 2**62 - 57])
def test_cells_where_ends_are_at_their_borders(bits: int, total: int) -> None:
    """There rounding moves every other quotient to the wrong side."""
    borders = [i * total // 2**bits for i in range(1, 2**bits, 2**bits // 999)]
    ends = [0, total, *(b + d for b in borders for d in (0, 1))]
    out, down = np.empty(len(ends), np.uint64), 64 - bits
    cells_of(np.array(ends, np.uint64), np.uint64(total), np.uint64(bits), out)
    for end, cell in zip(ends, out.tolist(), strict=True):
        assert 0 <= cell < 2**bits
        assert cell == 0 or ((cell << down) - 1) * total >> 64 < end
        assert cell + 1 == 2**bits or ((cell + 1) << down) * total >> 64 >= end


@pytest.mark.parametrize("size", [1, 7, 5000])
@pytest.mark.parametrize("kind", ["plain", "sparse", "single"])
def test_a_guide_may_be_filled_in_parts(kind: str, size: int) -> None:
    """So threads may do it: in parts where nothing ends, and whose neighbours are filled later."""
    cdf, guide = Table.prepare(rows.make("probs", kind, (size,), np.float64, size), False, {})
    again = np.zeros_like(guide)
    borders = [0, 1, 2, *np.random.default_rng(0).integers(3, guide.size, 9), guide.size]
    parts = list(pairwise(np.sort(np.array(borders, np.uint64))))
    for begin, end in parts[::2] + parts[1::2]:
        guides.fill_guide(cdf, again, begin, end)
    np.testing.assert_array_equal(again, guide)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 5, 64, 65, 1000, 4096, 4097, 9000])
@pytest.mark.parametrize(("form", "kind"), [c for c in rows.KINDS if c[1] != "huge"])
def test_both_sides_of_every_boundary(form: str, kind: str, size: int) -> None:
    x = rows.make(form, kind, (size,), np.float64, size)
    ends = oracle.boundaries(x, form)
    assert ends is not None
    total = ends[-1]
    some = sorted({*ends[:20], *ends[-20:], *ends[:: -(-size // 200)]})
    targets = [t for end in some for t in (end - 1, end, end + 1) if 0 <= t < total]
    words = [u for t in targets for u in (-(-(t << 64) // total) - 1, -(-(t << 64) // total))]
    words = [u for u in words if 0 <= u < 2**64]

    block = Rows(x).block(0, 1)
    prepared = Table.prepare(block, form == "logits", {})
    assert prepared.cdf.tolist() == ends
    found = np.empty(len(targets), np.int64)
    expected = [bisect_right(ends, t) for t in targets]
    padded_cdf, group_cdf = allocate(size, None, "padded_cdf group_cdf")
    padded_cdf[:] = group_cdf[:] = BEYOND_CDF
    padded_cdf[:size] = ends
    groups = padded_cdf.reshape(group_cdf.size, -1)
    group_cdf[:] = np.where(groups[:, 0] < BEYOND_CDF, groups[:, -1], BEYOND_CDF)
    rank(padded_cdf, group_cdf, np.array(targets, np.uint64), found)
    assert found.tolist() == expected
    if size > TILE:
        workspace = allocate(size, block.dtype, "weights block_sums")
        stats = tile_stats(Rows(x), form == "logits", {}).part(0, 1)
        search_tiles(block, form == "logits", np.array(targets, np.uint64), workspace, stats, found)
        assert found.tolist() == expected

    found = np.empty(len(words), np.int64)
    search_table(*prepared, np.array(words, np.uint64), found)
    assert found.tolist() == [oracle.outcome(ends, u) for u in words]

"""Draws from rows, one row after the other.

A row is the part of the flat array ``x`` from ``begin`` to ``end``.
"""

import numpy as np

from .bits import multiply_high
from .cdf import fill_row_cdf
from .constants import BEYOND_CDF, ONE, THREE, WORD_BUFFER, ZERO
from .entry import entry
from .grid import grid_point, refill
from .guide import fill_guide
from .philox import fill_random_words
from .search import rank, search_tile, search_tiles
from .table import search_table
from .tiles import tile_count
from .weights import fill_weights, logit_offset, sum_blocks, valid_max


@entry
def draw_rows(
    x, size, logits, key, counter_strides, out_strides, runs, draws, out,
    random_words, weights, block_sums,
):  # fmt: skip
    """Draw from rows of one tile, block by block: for few draws a row."""
    skip = ZERO
    rows, single = np.uint64(x.size) // size, runs * draws == ONE
    for r in range(rows):
        begin = r * size
        top = valid_max(x, begin, begin + size, logits)
        offset = logit_offset(top, logits)
        _, scale = fill_weights(x, begin, begin + size, logits, top, offset, weights)
        total = sum_blocks(weights, size, scale, block_sums) if scale else ZERO
        if single:  # a loop of its own, which does not wait for the others' bookkeeping
            if r % WORD_BUFFER == ZERO:
                n, first = min(WORD_BUFFER, rows - r), grid_point(counter_strides, r, ZERO, ZERO)
                skip = fill_random_words(random_words, n, key, first, counter_strides[ONE])
            k = np.int64(-1)
            if total:
                target = multiply_high(random_words[skip + r % WORD_BUFFER], total)
                k = np.int64(search_tile(weights, scale, block_sums, target))
            out[grid_point(out_strides, r, ZERO, ZERO)] = k
            continue
        for j in range(runs):
            for first in range(ZERO, draws, WORD_BUFFER):
                n = min(WORD_BUFFER, draws - first)
                index = grid_point(counter_strides, r, j, first)
                position = grid_point(out_strides, r, j, first)
                skip = fill_random_words(random_words, n, key, index, counter_strides[THREE])
                for i in range(n):
                    k = np.int64(-1)
                    if total:
                        target = multiply_high(random_words[skip + i], total)
                        k = np.int64(search_tile(weights, scale, block_sums, target))
                    out[position + i * out_strides[THREE]] = k


@entry
def draw_long_rows(
    x, size, logits, key, counter_strides, out_strides, runs, draws, out,
    random_words, weights, block_sums, tile_max, tile_shift, tile_offset,
):  # fmt: skip
    """Draw from rows with tile statistics: only the tile of a draw is read again."""
    skip = ZERO
    rows, tiles = np.uint64(x.size) // size, tile_count(size)
    for r in range(rows):
        begin, end, base = r * size, r * size + size, r * (tiles + ONE)
        total = tile_offset[base + tiles]
        for j in range(runs):
            for first in range(ZERO, draws, WORD_BUFFER):
                skip, at = refill(
                    random_words, skip, key, counter_strides, rows, r, runs, j, draws, first
                )
                position = grid_point(out_strides, r, j, first)
                for i in range(min(WORD_BUFFER, draws - first)):
                    k = np.int64(-1)
                    if total:
                        target = multiply_high(random_words[at + i], total)
                        found = search_tiles(
                            x, begin, end, logits, weights, block_sums,
                            tile_max, tile_shift, tile_offset, base, target,
                        )  # fmt: skip
                        k = np.int64(found)
                    out[position + i * out_strides[THREE]] = k


@entry
def draw_summed_rows(
    x, size, logits, key, counter_strides, out_strides, runs, draws, out,
    random_words, weights, cdf, group_cdf, tile_max, tile_shift, tile_offset,
):  # fmt: skip
    """Draw from each row by its cdf, which is in groups: for some draws a row.

    ``group_cdf`` has the last entry of each group. Both arrays are padded to whole groups of equal
    size, for loops without a remainder.
    """
    rows, skip = np.uint64(x.size) // size, ZERO
    tiles = tile_count(size)
    group = np.uint64(cdf.size) // np.uint64(group_cdf.size)
    groups = (size + group - ONE) // group
    for k in range(size, np.uint64(cdf.size)):
        cdf[k] = BEYOND_CDF
    for g in range(groups, np.uint64(group_cdf.size)):
        group_cdf[g] = BEYOND_CDF
    for r in range(rows):
        begin, base = r * size, r * (tiles + ONE)
        fill_row_cdf(
            x, begin, size, logits, ZERO, tiles, weights,
            tile_max, tile_shift, tile_offset, base, cdf,
        )  # fmt: skip
        total = cdf[size - ONE]
        for g in range(groups):
            group_cdf[g] = cdf[min(g * group + group, size) - ONE]
        for j in range(runs):
            for first in range(ZERO, draws, WORD_BUFFER):
                skip, at = refill(
                    random_words, skip, key, counter_strides, rows, r, runs, j, draws, first
                )
                position = grid_point(out_strides, r, j, first)
                for i in range(min(WORD_BUFFER, draws - first)):
                    k = np.int64(-1)
                    if total:
                        target = multiply_high(random_words[at + i], total)
                        k = np.int64(rank(cdf, group_cdf, group, target))
                    out[position + i * out_strides[THREE]] = k


@entry
def draw_guided_rows(
    x, size, logits, key, counter_strides, out_strides, runs, draws, out,
    random_words, weights, cdf, guide, found, deferred, tile_max, tile_shift, tile_offset,
):  # fmt: skip
    """Draw from each row by its cdf and a guide table to it: for many draws a row."""
    rows, skip = np.uint64(x.size) // size, ZERO
    tiles = tile_count(size)
    for r in range(rows):
        begin, base = r * size, r * (tiles + ONE)
        fill_row_cdf(
            x, begin, size, logits, ZERO, tiles, weights,
            tile_max, tile_shift, tile_offset, base, cdf,
        )  # fmt: skip
        valid = cdf[size - ONE] > ZERO
        if valid:
            fill_guide(cdf, guide, ZERO, np.uint64(guide.size))
        for j in range(runs):
            for first in range(ZERO, draws, WORD_BUFFER):
                skip, at = refill(
                    random_words, skip, key, counter_strides, rows, r, runs, j, draws, first
                )
                n, position = min(WORD_BUFFER, draws - first), grid_point(out_strides, r, j, first)
                if valid:
                    search_table(
                        cdf, guide, random_words, at, n,
                        out, position, out_strides[THREE], found, deferred,
                    )  # fmt: skip
                for i in range(ZERO if valid else n):
                    out[position + i * out_strides[THREE]] = -1

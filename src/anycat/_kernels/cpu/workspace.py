"""What kernels write into: arrays by name."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .sizes import BLOCK, CHILDREN, SPARE_WORDS, TILE, WORD_BUFFER

MIN_GUIDE_ENTRIES, MIN_SMALL_GUIDE_ENTRIES = 2048, 16
FIELDS, NUMBERS = 4, 12  # of a tile and a row: see `jit.distinct_long`


def allocate(size: int, dtype: Any, names: str) -> tuple[np.ndarray[Any, Any], ...]:
    """Return new arrays, by their names, for rows of ``size`` categories."""
    return tuple([np.empty(*spec) for spec in _specs(size, dtype, names)])


@functools.lru_cache
def _specs(size: int, dtype: Any, names: str) -> list[tuple[int, Any]]:
    group = _round_up(math.isqrt(size), 16)  # entries that are compared at once, for vectors
    groups = _round_up(-(-size // group), 16) if group else 0
    tiles, padded = -(-size // TILE), _round_up(min(size, TILE), BLOCK)
    specs: dict[str, tuple[int, Any]] = {
        "random_words": (WORD_BUFFER + SPARE_WORDS, np.uint64),
        "found": (WORD_BUFFER, np.uint64),
        "deferred": (WORD_BUFFER, np.uint32),
        "weights": (min(size, TILE), dtype),
        **dict.fromkeys(("padded_values", "padded_weights"), (padded, dtype)),
        "tile_values": (TILE, dtype),
        "tile_integers": (TILE, np.uint64),
        "tile_sums": (2 * TILE // BLOCK, np.uint64),
        "block_sums": (TILE // BLOCK, np.uint64),
        "cdf": (size, np.uint64),
        "padded_cdf": (group * groups, np.uint64),
        "group_cdf": (groups, np.uint64),
        "tile_max": (tiles + 1, np.float64),
        "records": (tiles * FIELDS, np.int64),
        "left_weights": (tiles * TILE, dtype),
        **dict.fromkeys(("removed", "block_cdf"), (tiles * (TILE // BLOCK), np.uint64)),
        "tree": (_tree_entries(tiles), np.uint64),
        "numbers": (NUMBERS, np.int64),
        "guide": (_power_of_two(max(size // 2, MIN_GUIDE_ENTRIES)), np.uint64),
        "small_guide": (_power_of_two(max(size // 2, MIN_SMALL_GUIDE_ENTRIES)), np.uint64),
    }
    return [specs[name] for name in names.split()]


def _tree_entries(tiles: int) -> int:
    """Return the size of a complete tree, on whose lowest level there is an entry for each tile."""
    level = total = CHILDREN
    while level < tiles:
        level *= CHILDREN
        total += level
    return total


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple

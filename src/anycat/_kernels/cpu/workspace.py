"""What kernels write into: arrays by name."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .sizes import BLOCK, SPARE_WORDS, TILE, WORD_BUFFER

MIN_GUIDE_ENTRIES, MIN_SMALL_GUIDE_ENTRIES = 2048, 16
BUCKETS = 1 << 14  # by which entries are counted; of fewer entries, none are


def allocate(size: int, dtype: Any, names: str) -> tuple[np.ndarray[Any, Any], ...]:
    """Return new arrays, by their names, for rows of ``size`` categories."""
    return tuple([np.empty(*spec) for spec in _specs(size, dtype, names)])


@functools.lru_cache
def _specs(size: int, dtype: Any, names: str) -> list[tuple[int, Any]]:
    group = _round_up(math.isqrt(size), 16)  # entries that are compared at once, for vectors
    groups = _round_up(-(-size // group), 16) if group else 0
    tiles, keys = -(-size // TILE), np.dtype(f"i{np.dtype(dtype).itemsize}")
    specs: dict[str, tuple[int, Any]] = {
        "random_words": (WORD_BUFFER + SPARE_WORDS, np.uint64),
        "found": (WORD_BUFFER, np.uint64),
        "deferred": (WORD_BUFFER, np.uint32),
        "weights": (min(size, TILE), dtype),
        "block_sums": (TILE // BLOCK, np.uint64),
        "cdf": (size, np.uint64),
        "padded_cdf": (group * groups, np.uint64),
        "group_cdf": (groups, np.uint64),
        **dict.fromkeys(("indices", "rest", "integers"), (size, np.uint64)),
        "values": (size, dtype),
        "keys": (size, keys),
        **dict.fromkeys(("counts", "masses"), (BUCKETS, np.uint64)),
        "block_keys": (-(-size // BLOCK), keys),
        **dict.fromkeys(("before", "above", "equal"), (tiles, np.uint64)),
        **dict.fromkeys(("exponents", "tile_shift"), (tiles + 1, np.int64)),
        "tile_max": (tiles + 1, np.float64),
        "tile_offset": (tiles + 1, np.uint64),
        "guide": (_power_of_two(max(size // 2, MIN_GUIDE_ENTRIES)), np.uint64),
        "small_guide": (_power_of_two(max(size // 2, MIN_SMALL_GUIDE_ENTRIES)), np.uint64),
    }
    return [specs[name] for name in names.split()]


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple

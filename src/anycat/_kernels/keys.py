"""Keys: the random bits of a call as kernels take them.

A key is three arrays of uint64:

- ``words``, on the host: four 32-bit words, k0, k1 (Philox's key), s0, s1 (the upper half of its
  counter). If rows have seeds, they are 0 except the first, which may be a position that the first
  draws of all rows share;
- ``seeds``: the seed of each row of the whole batch, in C order; empty if rows have none;
- ``starts``: the position of the first draw of each row; empty if they share one.

On the CPU, a key may also be that of rows that are a part of a batch. It has no seeds. ``starts``
are the draw indices of the first draw of each row, and a fifth word tells by how much the index
grows from one draw of a row to the next.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from .layout import Block

    Array = Any

Key: TypeAlias = "tuple[Array, Array, Array]"

KEY_WORDS = 4
_NONE = np.empty(0, np.uint64)


def key_of_rows(module: Any, numbers: tuple[Array, Array], batch: tuple[int, ...]) -> Key:
    """Return the key of seeds and positions, integers that broadcast to the batch, modulo 2**64.

    They are arrays, which the key may share, or Python's ints below 2**64.
    """
    words, (seeds, start) = np.zeros(KEY_WORDS, np.uint64), numbers
    if not isinstance(start, int):
        return words, _of_each_row(module, seeds, batch), _of_each_row(module, start, batch)
    words[0] = start
    return words, _of_each_row(module, seeds, batch), _NONE


def _of_each_row(module: Any, x: Array, batch: tuple[int, ...]) -> Array:
    if isinstance(x, int):
        rows = module.empty(math.prod(batch), np.uint64)
        rows[...] = x
        return rows
    x = as_uint64(module.asarray(x))
    # Kernels take read-only and unaligned arrays as another type, for which they would be compiled.
    if x.shape == batch and (x.flags.carray if module is np else x.flags.c_contiguous):
        return x.reshape(-1)
    return module.broadcast_to(x, batch).astype(np.uint64, "C").reshape(-1)


def as_uint64(x: Array) -> Array:
    """Return integers modulo 2**64, without a copy if they have 64 bits."""
    plain = x.dtype.itemsize == 8 and x.dtype.isnative
    return x.view(np.uint64) if plain else x.astype(np.uint64)


def key_of_words(words: Array) -> Key:
    """Return the key of four words."""
    return words, _NONE, _NONE


def key_of_part(key: Key, block: Block, ndim: int) -> Key:
    """Return the key for draws that are numbered as if there were no other rows than a block's.

    The rows are along the last ``ndim`` axes of the block.
    """
    samples = len(block.shape) - ndim
    starts = np.array(block.first % 2**64, np.uint64)
    stride = 1
    for n, start, whole in reversed([*zip(*(x[samples:] for x in block[:3]), strict=True)]):
        along = np.arange(start, start + n, dtype=np.uint64) * np.uint64(stride)
        starts = np.add.outer(along, starts)
        stride *= whole
    return np.append(key[0], np.uint64(stride)), _NONE, starts.reshape(-1)


def key_of_flat(flat: Array) -> Key:
    """Return the key that is one array where it is traced, of uint32 or of integers of 64 bits.

    It has four words. If rows have seeds, these follow, and then a start for each row: integers of
    64 bits, which may be in halves, the low first.
    """
    if flat.size == KEY_WORDS:
        return key_of_words(flat.astype(np.uint64))
    if flat.dtype.itemsize == 4:
        flat = np.array(flat, "<u4").view("<u8")
    seeds, starts = as_uint64(flat)[KEY_WORDS:].reshape(2, -1)
    return np.zeros(KEY_WORDS, np.uint64), seeds, starts

"""From ``rng`` to the 128 bits that a call of ``sample`` uses."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    Key: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
    RNG: TypeAlias = (
        int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | None
    )


def key(rng: RNG) -> Key:
    """Take 128 bits from ``rng``.

    Parameters
    ----------
    rng
        None for fresh entropy; an int or a SeedSequence, which seed a PCG64; a BitGenerator or a
        Generator, which is advanced by 128 bits.

    Returns
    -------
    key : uint64 array of shape (4,)
        The 32-bit words k0, k1 (Philox's key), s0, s1 (the upper half of its counter).
    """
    if rng is None:
        return np.frombuffer(os.urandom(16), np.uint32).astype(np.uint64)
    low, high = _next_words(_bit_generator(rng))
    mask = 0xFFFFFFFF
    return np.array([low & mask, low >> 32, high & mask, high >> 32], np.uint64)


def _bit_generator(rng: object) -> np.random.BitGenerator:
    if isinstance(rng, np.random.Generator):
        return rng.bit_generator
    if isinstance(rng, np.random.BitGenerator):
        return rng
    if isinstance(rng, np.random.SeedSequence):
        return np.random.PCG64(rng)
    try:
        seed = None if isinstance(rng, bool) else operator.index(rng)  # type: ignore[arg-type]
    except TypeError:
        seed = None
    if seed is None:
        raise TypeError(
            "rng must be None, an int, or a numpy.random.SeedSequence, BitGenerator or Generator; "
            f"got {type(rng).__name__}"
        )
    if seed < 0:
        raise ValueError(f"rng must not be negative; got {seed}")
    return np.random.PCG64(seed)


def _next_words(bit_generator: np.random.BitGenerator) -> tuple[int, int]:
    """Return the next two 64-bit words, the same way for generators of 32 and of 64 bits."""
    interface = bit_generator.ctypes
    with bit_generator.lock:
        return (
            interface.next_uint64(interface.state),
            interface.next_uint64(interface.state),
        )

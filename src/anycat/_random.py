"""From ``rng`` to the 128 bits that a call of ``sample`` uses."""

from __future__ import annotations

import operator
import os
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Key: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
    RNG: TypeAlias = Any


def key(rng: RNG) -> Key:
    """Take 128 bits from ``rng``.

    Parameters
    ----------
    rng
        None for fresh entropy; an int or a SeedSequence, which seed a PCG64; a BitGenerator or a
        Generator, which is advanced by 128 bits; a generator or a key of another library.

    Returns
    -------
    key : uint64 array of shape (4,)
        The 32-bit words k0, k1 (Philox's key), s0, s1 (the upper half of its counter).
    """
    return np.asarray(words(rng), np.uint64)


def words(rng: RNG) -> Any:
    """Return the four words of `key`, in an array of JAX for a key of JAX, which may be traced."""
    if rng is None:
        return np.frombuffer(os.urandom(16), np.uint32)
    if native := _native(rng):
        return native(rng)
    return _halves(_next_words(_bit_generator(rng)))


def is_stateless(rng: RNG) -> bool:
    """Tell whether ``rng`` gives the same bits whenever it is asked: a seed, or a key."""
    if rng is None or _native(rng) in (_of_torch, _of_cupy):
        return False
    return not isinstance(rng, np.random.Generator | np.random.BitGenerator)


def _halves(words: tuple[int, int]) -> list[int]:
    low, high = words
    mask = 0xFFFFFFFF
    return [low & mask, low >> 32, high & mask, high >> 32]


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
        from ._dispatch import LIBRARIES

        natives = ", ".join(f"a {library.rng}" for library in LIBRARIES if library.rng)
        raise TypeError(
            "rng must be None, an int, a numpy.random.SeedSequence, BitGenerator or Generator, "
            f"or {natives}; got {type(rng).__name__}"
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


# --- generators and keys of other libraries -------------------------------------------------


def _native(rng: object) -> Callable[[Any], Any] | None:
    """Return what takes words from an ``rng`` of another library, if it is of one."""
    if isinstance(rng, int) or type(rng).__module__.startswith("numpy."):
        return None
    if "torch" in sys.modules:
        import torch

        if isinstance(rng, torch.Generator):
            return _of_torch
    if "cupy" in sys.modules:
        import cupy

        if isinstance(rng, cupy.random.Generator):
            return _of_cupy
    if "jax" in sys.modules:
        import jax

        if isinstance(rng, jax.Array) and (
            _is_typed(rng) or (rng.ndim, rng.dtype) == (1, "uint32")
        ):
            return _of_jax
    return None


def _of_torch(rng: Any) -> list[int]:
    """Return the next 128 bits of a `torch.Generator`, whatever its device."""
    import torch

    bits = torch.empty(2, dtype=torch.int64, device=rng.device)
    bits.random_(-(2**63), None, generator=rng)  # all of an int64
    low, high = (word % 2**64 for word in bits.tolist())
    return _halves((low, high))


def _of_cupy(rng: Any) -> list[int]:
    """Return the next four 32-bit numbers of a `cupy.random.Generator`."""
    return [int(word) for word in rng.integers(0, 2**32, 4).get()]


def _of_jax(rng: Any) -> Any:
    """Return 128 bits of a key of `jax.random`, which stays as it is, and may be traced."""
    import jax

    if _is_typed(rng) and rng.ndim:
        raise TypeError(f"rng must be one key; got keys of shape {rng.shape}: use jax.vmap")
    with jax.ensure_compile_time_eval():  # while others are traced
        return jax.random.bits(rng, (4,), "uint32")


def _is_typed(rng: Any) -> bool:
    import jax

    return bool(jax.numpy.issubdtype(rng.dtype, jax.dtypes.prng_key))

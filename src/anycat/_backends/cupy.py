"""CuPy: its arrays, which kernels take as they are, and its random number generators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cupy

from .base import Backend

if TYPE_CHECKING:
    from collections.abc import Hashable
    from contextlib import AbstractContextManager

    Array = Any


class CuPyBackend(Backend):
    """CuPy."""

    def _traits_key(self, x: Array) -> tuple[Hashable, ...]:
        return (None,)  # its devices have no hash, and the same dtypes

    def context(self, kernels: Any, index: int, x: Array) -> AbstractContextManager[Any]:
        """Work on the device of the array. CuPy itself keeps what its streams still read."""
        device: AbstractContextManager[Any] = cupy.cuda.Device(index)
        return device

    def on_cpu(self, x: Array) -> None:
        """Return None: no array is."""

    def to_kernel(self, x: Array, module: Any) -> Array:
        """Return the array itself."""
        return x

    def from_kernel(self, out: Array, params: Array) -> Array:
        """Return the draws themselves."""
        return out

    def reads(self, rng: Any) -> bool:
        """Tell whether ``rng`` is a `cupy.random.Generator`."""
        return isinstance(rng, cupy.random.Generator)

    def random_words(self, rng: Any) -> list[int]:
        """Return the generator's next four numbers below 2**32."""
        return [int(word) for word in rng.integers(0, 2**32, 4).get()]

    def to_numpy(self, x: Array) -> Any:
        """Copy an array to the CPU."""
        return x.get()

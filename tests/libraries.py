"""Where arrays can be: in every library that is served, in every kind of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from anycat._backends import registry
from anycat._backends.registry import LIBRARIES, backend_of
from anycat._kernels import cuda

if TYPE_CHECKING:
    import numpy as np

BY_NAME = {library.name: library for library in LIBRARIES}
REASON = cuda.unavailable_reason()
GPU = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

each_library = pytest.mark.parametrize(
    "library",
    [pytest.param(x.name, marks=() if "CPU" in x.memory else GPU) for x in LIBRARIES],
)
each_place = pytest.mark.parametrize(
    ("library", "memory"),
    [
        pytest.param(x.name, memory, marks=() if memory == "CPU" else GPU)
        for x in LIBRARIES
        for memory in x.memory
    ],
)


def put(x: np.ndarray[Any, Any], library: str, memory: str | None = None) -> Any:
    """Return a copy of an array in a library, and in a kind of memory: by default its first."""
    memory = memory or BY_NAME[library].memory[0]
    if reason := registry.unavailable_reason(BY_NAME[library], memory):
        pytest.skip(f"{library} in {memory} memory: {reason}")
    y = registry.load(BY_NAME[library]).from_numpy(x.copy(), memory)
    return y.rechunk(tuple(-(-n // 3) for n in y.shape)) if library == "dask" else y


def get(x: Any) -> Any:
    """Return an array of any library as one of NumPy."""
    return backend_of(x).to_numpy(x)


def key(rng: Any) -> Any:
    """Return the 128 bits that a call takes from ``rng``."""
    return registry.reader_of(rng).random_key(rng)

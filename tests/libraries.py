"""Where arrays can be: in every library that is served, in every kind of memory."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from anycat._dispatch import LIBRARIES
from anycat._kernels import cuda

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES = {library.name: library.module for library in LIBRARIES}
OBSTACLE = cuda.why_not()
GPU = [pytest.mark.gpu, pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE))]

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
    if library == "numpy":
        return x.copy()
    module = pytest.importorskip(MODULES[library])
    cpu = memory == "CPU" or (memory is None and library != "cupy")
    if library == "dask":
        chunks = tuple(-(-n // 3) for n in x.shape)
        return module.from_array(x if cpu else put(x, "cupy"), chunks=chunks)
    if library == "jax":
        jax = importlib.import_module("jax")
        try:
            return jax.device_put(x, jax.devices("cpu" if cpu else "cuda")[0])
        except RuntimeError as error:
            pytest.skip(f"JAX finds no GPU: {error}")
    return module.asarray(x, device="cuda") if library == "torch" and not cpu else module.asarray(x)


def get(x: Any) -> np.ndarray[Any, Any]:
    """Return an array of any library as one of NumPy."""
    ways: dict[str, Callable[[], Any]] = {
        "cupy": lambda: x.get(),
        "torch": lambda: x.numpy(force=True),
        "dask": lambda: get(x.compute()),
    }
    return np.asarray(ways.get(type(x).__module__.partition(".")[0], lambda: x)())

"""The CUDA kernels on a machine without a GPU, and on one with it."""

import importlib.util
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from types import ModuleType

import harness
import pytest

from anycat._kernels import cuda
from anycat._kernels.cuda import compile as compiling
from anycat._kernels.cuda import rows, streams

CACHED = compiling.kernel, rows.multiprocessors


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if reason := cuda.unavailable_reason():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=reason))


def forget() -> None:
    for function in CACHED:
        function.cache_clear()


@pytest.fixture
def fresh() -> Iterator[None]:
    """Let no other test know of this one's CuPy."""
    forget()
    yield
    forget()
    streams._in_flight.clear()


@pytest.fixture(scope="session")
def built() -> None:
    """Build the kernels for all types of parameters, two at a time."""
    if reason := harness.why_not():
        pytest.skip(reason)
    types = product(compiling.C_TYPES.values(), (False, True))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda t: harness.build(compiling.source(), compiling.options(*t)), types))


@pytest.fixture
def on_cpu(built: None, fresh: None, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Let the harness be CuPy."""
    cupy = harness.fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


@pytest.fixture(scope="session")
def device() -> ModuleType:
    """Return the real CuPy, for tests that are marked ``gpu``."""
    import cupy

    return cupy


@pytest.fixture(params=["on_cpu", pytest.param("device", marks=pytest.mark.gpu)])
def cupy(
    request: pytest.FixtureRequest, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """Return each CuPy in turn, with a device so small that small cases look large to it."""
    cupy: ModuleType = request.getfixturevalue(request.param)
    monkeypatch.setattr(rows, "multiprocessors", lambda _: 2)
    return cupy


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the benchmarks on a GPU as a module."""
    path = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu", module)
    spec.loader.exec_module(module)
    return module

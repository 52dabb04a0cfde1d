"""Array libraries for the tests: ``library`` -> ``xp`` -> ``device``, and the way in and out.

NumPy's arrays are read-only, and array-api-strict is as strict as it can be, so that a test that
passes on both writes to no input and keeps to the standard.
"""

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import array_api_compat as compat
import array_api_strict
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave some GPU to the others

settings.register_profile("anycat", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("anycat")

array_api_strict.set_array_api_strict_flags(
    boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
)


# They compile most of the kernels, and reach little else that no other test reaches.
UNTRACED = {"test_distinct", "test_draw", "test_fuzz", "test_numba_functions", "test_truncate"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure the coverage of some tests only: tracing takes half as long as a test, or more."""
    for item in items:
        if item.get_closest_marker("slow") or item.path.stem in UNTRACED:
            item.add_marker("no_cover")


# Of those that are served, JAX compiles each operation for each shape, and Dask makes a graph of
# it: they have tests of their own, as what needs a GPU has.
@pytest.fixture(scope="session", params=["numpy", "array_api_strict", "torch"])
def library(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def xp(library: str) -> ModuleType:
    """Return the namespace that stands for the library."""
    xp = pytest.importorskip(library)
    if library == "torch":
        xp.set_warn_always(True)  # not just once, or it depends on the order of the tests
    return compat.array_namespace(xp.empty(0))


@pytest.fixture(scope="session")
def device(library: str) -> Any:
    """Return a device that is not the default one, if there is one on every machine."""
    return {"array_api_strict": array_api_strict.Device("device1")}.get(library, "cpu")


@pytest.fixture(scope="session")
def array(xp: ModuleType, device: Any) -> Callable[..., Any]:
    """Return ``array(values, dtype="float64")``, which makes an array of the library."""

    def make(values: npt.ArrayLike, dtype: str = "float64") -> Any:
        if not hasattr(xp, dtype):
            pytest.skip(f"{xp.__name__} has no {dtype}")
        host = np.array(values, dtype, order="C")
        if compat.is_numpy_namespace(xp):
            host.flags.writeable = False
            return host
        return xp.asarray(host, device=device, copy=True)

    return make


@pytest.fixture(scope="session")
def host(xp: ModuleType, device: Any) -> Callable[[Any], npt.NDArray[Any]]:
    """Return a function that checks whose an array is and where it lies, and makes it NumPy's."""

    def fetch(x: Any) -> npt.NDArray[Any]:
        assert compat.is_array_api_obj(x)
        assert compat.array_namespace(x) is xp
        assert str(compat.device(x)) == str(device)
        return np.asarray(x) if compat.is_numpy_array(x) else np.from_dlpack(x)

    return fetch

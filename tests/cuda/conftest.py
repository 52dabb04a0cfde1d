"""The CUDA room on a machine without a GPU."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import harness
import pytest

from anycat._kernels import cuda


def forget() -> None:
    for known in (cuda._module, cuda._kernel, cuda._processors):
        known.cache_clear()


@pytest.fixture
def fresh() -> Iterator[None]:
    """Let no other test know of this one's CuPy."""
    forget()
    yield
    forget()


@pytest.fixture(scope="session")
def built() -> None:
    """Build the kernels for all types of parameters, two at a time."""
    if harness.COMPILER is None:
        pytest.skip("there is no C++ compiler")
    types = product(cuda.NUMBERS.values(), (False, True))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda t: harness.build(cuda.source(), cuda.options(*t)), types))


@pytest.fixture
def gpu(built: None, fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the harness be CuPy."""
    monkeypatch.setitem(sys.modules, "cupy", harness.fake_cupy())

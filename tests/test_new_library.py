"""A library that anycat does not know works by itself, and with the example of CONTRIBUTING.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from anycat import Categorical, kl_divergence
from anycat._backends import registry
from anycat._backends.base import Backend, Library

if TYPE_CHECKING:
    from collections.abc import Iterator


class Array:
    """An array of the library "toy", which wraps one of NumPy."""

    pending = False

    def __init__(self, x: Any) -> None:
        self.data = np.asarray(x)

    def __array_namespace__(self, api_version: str | None = None) -> ModuleType:
        return sys.modules["toy"]

    def __getattr__(self, name: str) -> Any:
        if name not in ("shape", "ndim", "dtype", "size", "device"):
            raise AttributeError(name)
        return getattr(self.data, name)

    def __getitem__(self, index: Any) -> Array:
        return Array(self.data[unwrapped(index)])

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Array:
        return self


class Generator:
    """Its random number generator."""

    def __init__(self) -> None:
        self.count = 0

    def next(self) -> int:
        self.count += 2**40 + 1
        return self.count


def unwrapped(x: Any) -> Any:
    return (
        x.data if isinstance(x, Array) else tuple(map(unwrapped, x)) if isinstance(x, tuple) else x
    )


def wrapped(function: Any) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        args, options = map(unwrapped, args), {k: unwrapped(v) for k, v in options.items()}  # type: ignore[assignment]
        result = function(*args, **options)
        return Array(result) if isinstance(result, np.ndarray | np.generic) else result

    return call


OPERATORS = "add radd sub rsub mul rmul truediv rtruediv floordiv mod and rand or invert neg lt le"
for name in [*OPERATORS.split(), "gt", "ge", "eq", "bool", "int", "float"]:
    setattr(Array, f"__{name}__", wrapped(getattr(np.ndarray, f"__{name}__")))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the library, imported and then gone with all that anycat knows of it."""
    module = ModuleType("toy")
    for name in (name for name in dir(np) if not name.startswith("_")):
        value = getattr(np, name)
        function = callable(value) and not isinstance(value, type)
        setattr(module, name, wrapped(value) if function else value)
    module.from_dlpack = lambda x, **_: Array(np.from_dlpack(x))  # type: ignore[attr-defined]
    module.__array_namespace_info__ = np.__array_namespace_info__  # type: ignore[attr-defined]
    module.Array, module.Generator = Array, Generator  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy", module)
    yield module
    registry._BY_TYPE.pop(Array, None)


X = np.random.default_rng(0).random((2, 3, 5))


def check(dist: Categorical) -> None:
    expected = Categorical(X)
    draws = dist.sample(4, rng=0)
    assert isinstance(draws, Array)
    assert_array_equal(draws.data, expected.sample(4, rng=0))
    value = Array(expected.sample(4, rng=0))
    for name, args in [("log_prob", [value]), ("cdf", [value]), ("entropy", []), ("icdf", [0.5])]:
        found = getattr(dist, name)(*args)
        assert isinstance(found, Array)
        assert_allclose(found.data, getattr(expected, name)(*map(unwrapped, args)))
    assert_allclose(dist.logits.data, expected.logits)
    assert_allclose(kl_divergence(dist, dist[:1]).data, kl_divergence(expected, expected[:1]))
    assert_array_equal(dist[1, 1:].expand((4, 2)).mode.data, expected[1, 1:].expand((4, 2)).mode)


@pytest.mark.usefixtures("toy")
def test_any_library_with_dlpack_works() -> None:
    dist = Categorical(Array(X))
    assert type(dist._backend) is Backend
    check(dist)
    with pytest.raises(ValueError, match=r"probs\[0, 1, 2\] is -1"):
        Categorical(Array(np.where(np.arange(30).reshape(X.shape) == 7, -1, X)))
    with pytest.raises(TypeError, match="value is an array of numpy, the distribution one of toy"):
        dist.log_prob(np.zeros(3, int))


PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def example() -> tuple[ModuleType, Library]:
    """Return the file and the row of the table that CONTRIBUTING.md shows."""
    text = PAGE.read_text(encoding="utf-8")
    file_text, row_text = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    file = ModuleType("anycat._backends.toy")
    exec(file_text, vars(file))
    return file, eval(row_text, {"Library": Library})


def test_the_example_of_the_documentation(toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    file, row = example()
    monkeypatch.setitem(sys.modules, file.__name__, file)
    monkeypatch.setattr(Library, "owns", lambda self, xp: xp.__name__ == self.name)
    monkeypatch.setattr(registry, "LIBRARIES", (*registry.LIBRARIES, row))
    dist = Categorical(Array(X))
    assert type(dist._backend) is file.ToyBackend
    check(dist)
    draws, again = (dist.sample(4, rng=Generator()) for _ in range(2))
    assert_array_equal(dist._backend.to_numpy(draws), again.data)
    with pytest.raises(TypeError, match=r"a key of jax\.random, or a toy\.Generator; got str"):
        dist.sample(rng="0")
    pending = Array(-X)  # its values are not looked at
    pending.pending = True
    assert (Categorical(pending).sample(rng=0).data == -1).all()

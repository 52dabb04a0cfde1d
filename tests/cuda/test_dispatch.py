"""From the class to the CUDA room: what stands for CuPy's arrays draws by its kernels."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import golden
import harness
import numpy as np
import pytest
from cases import LAYOUTS, make

from anycat import Categorical
from anycat._backends import registry
from anycat._kernels.layout import Block
from anycat._random import RandomBits

if TYPE_CHECKING:
    from types import ModuleType


def sample(
    cupy: ModuleType, form: str, x: Any, shape: tuple[int, ...], batch: tuple[int, ...], rng: Any
) -> np.ndarray[Any, Any]:
    """Draw as the class does for an array of CuPy's."""
    dtype, logits = np.dtype(np.int64), form == "logits"
    bits = RandomBits(rng, registry.reader_of(rng))
    block = Block.all_of(shape + batch)
    draws = registry.backend_of(x).sample(x, logits, block, bits, dtype, {})
    assert type(draws) is harness.ndarray
    return np.asarray(draws)


def test_golden_vectors(on_cpu: ModuleType) -> None:
    for case in json.loads(golden.PATH.read_text())["cases"]:
        x = on_cpu.asarray(golden.params(case["params"], case["dtype"]))
        shape = tuple(case["sample_shape"])
        draws = sample(on_cpu, case["form"], x, shape, x.shape[:-1], case["rng"])
        np.testing.assert_array_equal(draws, case["draws"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, on_cpu: ModuleType) -> None:
    x, change = make("probs", "plain", (3, 5, 90), "float32"), LAYOUTS[layout]
    on_gpu = change(on_cpu.asarray(x)).view(harness.ndarray)
    draws = sample(on_cpu, "probs", on_gpu, (4,), on_gpu.shape[:-1], 5)
    np.testing.assert_array_equal(draws, Categorical(change(x)).sample((4,), rng=5))


@pytest.mark.parametrize("form", ["probs", "logits"])
def test_bfloat16(form: str, on_cpu: ModuleType) -> None:
    """The class takes it from what stands for CuPy, which asks NumPy about dtypes, too."""
    for shape, samples in (((7, 5), 3), ((300, 200), ()), ((9000,), 2000)):
        x = make(form, "plain", shape, "bfloat16")
        draws = Categorical(**{form: on_cpu.asarray(x)}).sample(samples, rng=7)
        assert type(draws) is harness.ndarray
        expected = Categorical(**{form: np.float32(x)}).sample(samples, rng=7)
        np.testing.assert_array_equal(draws, expected)


@pytest.mark.parametrize("base", [(), (1,), (4,), (3, 1), (3, 4), (2, 1, 4), (2, 3, 1), (2, 3, 4)])
def test_batches(base: tuple[int, ...], on_cpu: ModuleType) -> None:
    for form, shape in product(("probs", "logits"), ((), (7,), (2, 0))):
        x = make(form, "plain", (*base, 33), "float32")
        draws = sample(on_cpu, form, on_cpu.asarray(x), shape, (2, 3, 4), 6)
        expected = Categorical(**{form: x}).expand((2, 3, 4)).sample(shape, rng=6)
        np.testing.assert_array_equal(draws, expected)

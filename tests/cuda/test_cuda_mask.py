"""Masks by CUDA kernels are those on the CPU, bit for bit, and stay on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rows
from cases import DTYPES, LAYOUTS, make

from anycat import Categorical
from anycat._kernels import cpu, cuda

if TYPE_CHECKING:
    from types import ModuleType

Array = np.ndarray[Any, Any]


def empty(module: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    return module.empty(shape, dtype)


def check(cupy: ModuleType, x: Array, mask: Array, form: str) -> None:
    """Compare with the kernel for the CPU."""
    for given in (mask, rows.packed(mask), rows.packed(mask).view(np.uint32)):
        expected, rows_left = cpu.masked(x, given, form == "logits", empty)
        found = cuda.masked(cupy.asarray(x), cupy.asarray(given), form == "logits", empty)
        assert found is not None
        assert found[0].dtype == x.dtype
        assert cupy.asnumpy(found[0]).tobytes() == expected.tobytes()
        np.testing.assert_array_equal(cupy.asnumpy(found[1]), rows_left)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_hard_rows(form: str, kind: str, dtype: str, cupy: ModuleType) -> None:
    for size in (1, 2, 31, 32, 33, 64, 65, 300, 4095, 4096, 4097):
        x = make(form, kind, (4, size), dtype)
        mask = np.random.default_rng(size).random((4, size)) < 0.5
        x[0, ::2] = -0.0 if form == "probs" else x[0, ::2]
        mask[1], mask[2] = False, np.arange(size) == size - 1
        for given in (mask, *mask):  # for each row, and for all
            check(cupy, x, given, form)


@pytest.mark.parametrize("form", ["probs", "logits"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (2, 3)])
def test_masks_of_batches(shape: tuple[int, ...], form: str, cupy: ModuleType) -> None:
    x = make(form, "plain", (2, 3, 70), "float32")
    mask = np.random.default_rng(1).random((*shape, 70)) < 0.5
    check(cupy, x, mask, form)
    if not shape:
        check(cupy, x[0, 0], mask, form)
        check(cupy, x[:0], mask, form)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_the_class(form: str, layout: str, on_cpu: ModuleType) -> None:
    change = LAYOUTS[layout]
    x = change(make(form, "plain", (3, 5, 90), "float32"))
    mask = change(np.random.default_rng(0).random((3, 5, 90)) < 0.5)
    on_gpu = change(on_cpu.asarray(make(form, "plain", (3, 5, 90), "float32"))).view(on_cpu.ndarray)
    expected = np.where(mask, x, np.float32(-np.inf if form == "logits" else 0))
    for given in (mask, rows.packed(mask)):
        dist = Categorical(**{form: on_gpu}, validate_args=False)
        dist = dist.truncate(mask=on_cpu.asarray(given))
        assert type(dist._param) is on_cpu.ndarray
        np.testing.assert_array_equal(dist._param, expected)


def test_a_row_of_which_nothing_is_left(on_cpu: ModuleType) -> None:
    mask = np.ones((2, 3, 40), bool)
    mask[1, 0] = False
    dist = Categorical(on_cpu.asarray(np.ones((2, 3, 40))))
    for given in map(on_cpu.asarray, (mask, rows.packed(mask))):
        with pytest.raises(ValueError, match=r"it allows none in row \[1, 0\]"):
            dist.truncate(mask=given)


def test_dtypes_without_kernels(on_cpu: ModuleType) -> None:
    x, mask = np.array([[1, 2, 3], [4, 5, 6]]), np.array([True, False, True])
    dist = Categorical(on_cpu.asarray(x)).truncate(mask=on_cpu.asarray(mask))
    assert dist._param.dtype == x.dtype
    np.testing.assert_array_equal(dist._param, [[1, 0, 3], [4, 0, 6]])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_many_blocks(form: str, dtype: str, device: ModuleType) -> None:
    """Blocks that run at once do not disturb each other."""
    for n, size in ((20_011, 10), (3001, 200), (300, 4096), (20, 50257), (3, 128256)):
        x = make(form, "plain", (n, size), dtype)
        mask = np.random.default_rng(size).random((n, size)) < 0.5
        mask[::7] = np.arange(size) == size - 1
        mask[1::7] = False
        check(device, x, mask, form)

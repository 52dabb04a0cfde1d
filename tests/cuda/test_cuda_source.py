"""Draws inside kernels of users are those of the class: `anycat.cuda_source()`."""

from __future__ import annotations

import io
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import oracle
import pytest
import rows
from cases import neighbours
from philox_inverse import find_words

import anycat
from anycat._kernels.cpu.table import Table
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

Array = np.ndarray[Any, Any]

USER = """
typedef unsigned long long u64;
template <typename T>
__device__ void draw_all(const T* x, u64 size, long long stride, const u64* key, u64 first, u64 n,
                         int logits, long long* out) {
  const u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[i] = logits ? anycat::draw_logits(x, size, key, first + i, stride)
                  : anycat::draw(x, size, key, first + i, stride);
}
namespace anycat {
extern "C" __global__ void
draw_float(const float* x, u64 size, long long stride, const u64* key, u64 first, u64 n, int logits,
           long long* out) {
  draw_all(x, size, stride, key, first, n, logits, out);
}
extern "C" __global__ void
draw_double(const double* x, u64 size, long long stride, const u64* key, u64 first, u64 n,
            int logits, long long* out) {
  draw_all(x, size, stride, key, first, n, logits, out);
}
extern "C" __global__ void
draw_table(const u64* cdf, u64 size, const u64* key, u64 first, u64 n, long long* out) {
  const u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x;
  if (i < n) out[i] = anycat::draw_prepared(cdf, size, key, first + i);
}
}  // namespace anycat
"""


@cache
def in_harness(name: str) -> Any:
    if reason := harness.why_not():
        pytest.skip(reason)
    library = harness.build(anycat.cuda_source() + USER, ("-std=c++17",))
    return harness.RawKernel(name, library[f"launch_{name}"])


@pytest.fixture(params=["on_cpu", pytest.param("device", marks=pytest.mark.gpu)])
def where(request: pytest.FixtureRequest) -> Iterator[tuple[ModuleType, Any]]:
    """Return an array module, and what compiles the kernels of a user."""
    if request.param == "on_cpu":
        return harness.fake_cupy(), in_harness
    cupy = request.getfixturevalue("device")
    module = cupy.RawModule(code=anycat.cuda_source() + USER, options=("-std=c++17",))
    return cupy, module.get_function


def drawn(
    where: tuple[ModuleType, Any],
    x: Array,
    form: str,
    n: int,
    first: int = 0,
    key: Array = rows.KEY,
    stride: int = 1,
) -> Array:
    cupy, kernel = where
    out = cupy.asarray(np.full(n, 99))
    name = "draw_float" if x.dtype == np.float32 else "draw_double"
    sizes = np.uint64(-(-x.size // stride)), np.int64(stride)
    draws = np.uint64(first), np.uint64(n), np.int32(form == "logits")
    args = (cupy.asarray(x), *sizes, cupy.asarray(key.astype(np.uint64)), *draws, out)
    kernel(name)((-(-n // 64),), (64,), args)
    return cupy.asnumpy(out)


def expected(x: Array, form: str, n: int, first: int = 0) -> Array:
    return rows.draw(x[None], form, DrawRange(1, 1, n, first, n, n)).ravel()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_every_size(form: str, kind: str, dtype: str, where: tuple[ModuleType, Any]) -> None:
    for size in (1, 2, 33, 300, 4096, 4097, 3 * 4096 - 1):
        x = rows.make(form, kind, (size,), dtype, size)
        n, first = min(20, 40_000 // size), 2**33 + size
        np.testing.assert_array_equal(drawn(where, x, form, n, first), expected(x, form, n, first))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_words_at_boundaries(form: str, dtype: str, where: tuple[ModuleType, Any]) -> None:
    for size in (7, 300, 4 * 4096 + 3):
        x = rows.make(form, "plain", (size,), dtype)
        tile = np.arange(size) // 4096
        x = (x + 3 * tile if form == "logits" else x * 8.0**tile).astype(dtype)
        ends = oracle.boundaries(x, form)
        assert ends is not None
        for category, after, below, at in list(neighbours(ends, 3))[:9]:
            state, index = find_words(below, at)
            found = drawn(where, x, form, 2, index, np.array(state, np.uint64))
            assert found.tolist() == [category, after]


def test_strides(where: tuple[ModuleType, Any]) -> None:
    for dtype in ("float32", "float64"):
        x = rows.make("probs", "plain", (300,), dtype)
        np.testing.assert_array_equal(
            drawn(where, x, "probs", 20, stride=3), expected(x[::3].copy(), "probs", 20)
        )


def test_invalid_rows(where: tuple[ModuleType, Any]) -> None:
    for form, values in (("probs", [np.nan, np.inf, -1]), ("logits", [np.nan, np.inf])):
        for dtype, size in (("float32", 5), ("float64", 5000)):
            for value in values:
                x = rows.make(form, "plain", (size,), dtype)
                x[-2] = value
                assert (drawn(where, x, form, 3) == -1).all()
            x[:] = 0 if form == "probs" else -np.inf
            assert (drawn(where, x, form, 3) == -1).all()
    assert drawn(where, np.ones(0, np.float32), "probs", 1).tolist() == [-1]


def drawn_prepared(
    where: tuple[ModuleType, Any], cdf: Array, n: int, first: int, key: Array = rows.KEY
) -> Array:
    cupy, kernel = where
    out = cupy.asarray(np.full(n, 99))
    row = cupy.asarray(cdf), np.uint64(cdf.size)
    draws = cupy.asarray(key), np.uint64(first), np.uint64(n)
    kernel("draw_table")((1,), (64,), (*row, *draws, out))
    return cupy.asnumpy(out)


def test_prepared_rows(where: tuple[ModuleType, Any]) -> None:
    for form, size in (("probs", 1), ("probs", 7), ("logits", 5000)):
        x = rows.make(form, "plain", (size,), "float32")
        cdf = Table.prepare(x, form == "logits", {}).cdf
        np.testing.assert_array_equal(
            drawn_prepared(where, cdf, 50, 5), expected(x, form, 50, first=5)
        )
        for category, after, below, at in list(neighbours(cdf.tolist(), 3))[:9]:
            state, index = find_words(below, at)
            found = drawn_prepared(where, cdf, 2, index, np.array(state, np.uint64))
            assert found.tolist() == [category, after]
    assert (drawn_prepared(where, np.zeros(3, np.uint64), 3, 0) == -1).all()


def test_it_needs_no_cupy() -> None:
    code = "import anycat, sys; anycat.cuda_source(); print('cupy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.slow
@pytest.mark.parametrize("ftz", [False, True])
def test_nvrtc_compiles_it(ftz: bool) -> None:
    """In a kernel of a user, with CuPy's options and without."""
    pytest.importorskip("cuda.core", reason="needs cuda-core, cuda-bindings and nvidia-cuda-nvrtc")
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(arch="sm_90", std="c++17", ftz=ftz, ptxas_options=["-v"])
    log = io.StringIO()
    program = Program(anycat.cuda_source() + USER, code_type="c++", options=options)
    assert program.compile("cubin", logs=log).code.startswith(b"\x7fELF")
    assert "warning" not in log.getvalue().lower()

"""What only a GPU can show: equality with the CPU room, streams, memory, devices, no waiting."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
import rows

from anycat import Categorical
from anycat._kernels import Draws, cuda

REASON = cuda.why_not()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=str(REASON))]
if REASON is None:
    import cupy
    import cupyx

Array = np.ndarray[Any, Any]

SIZES = (*rows.SIZES, 16, 17, 512, 513, 1024, 1025, 50257, 128256)
WAYS = ("chosen", "find", "table", "a block for each row")
DTYPES = ("float16", "bfloat16", "float32", "float64")


def take(way: str, patch: pytest.MonkeyPatch) -> None:
    """Take a way to a draw, whatever the cost model says of it."""
    if way != "chosen":
        costs = cuda.Costs(0.0, 1e18) if way != "table" else cuda.Costs(1e18, 0.0)
        patch.setattr(cuda.Costs, "of", lambda *_: costs)
    if way == "a block for each row":
        patch.setattr(cuda, "MANY", 10**9)
        patch.setattr(cuda, "_processors", lambda _: 0)


def make(form: str, kind: str, shape: tuple[int, ...], dtype: str) -> Array:
    if dtype != "bfloat16":
        return rows.make(form, kind, shape, np.dtype(dtype), shape[-1])
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    bits = rows.make(form, kind, shape, np.float32, shape[-1]).view(np.uint32)
    return (bits if kind == "subnormal" else bits >> 16).astype(np.uint16).view(bfloat16)


def check(x: Array, form: str, draws: Draws, dtype: Any = np.int64) -> None:
    out = cupy.full(draws[:3], 99, dtype)
    cuda.sample(cupy.asarray(x), form == "logits", rows.KEY, draws, out, {})
    wide = x.astype(np.float32) if x.dtype.name == "bfloat16" else x
    np.testing.assert_array_equal(out.get(), rows.draw(wide, form, draws, dtype), str(x.shape))


def pair(form: str, x: Any) -> tuple[Categorical, Categorical]:
    """Return a distribution on the GPU and its twin on the CPU, neither of them validated."""
    return tuple(Categorical(**{form: y}, validate_args=False) for y in (cupy.asarray(x), x))


# --- equality -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_every_size(
    form: str, kind: str, dtype: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subnormal kinds show that -ftz=true does nothing here."""
    take(way, monkeypatch)
    for size in SIZES:
        n = 3 if size > 4096 or way == "table" else 700
        check(make(form, kind, (n, size), dtype), form, Draws(2, n, 1, 3, n))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["probs", "logits"])
@pytest.mark.parametrize(("samples", "repeats"), [(1, 10**5), (10**5, 1), (7, 300)])
def test_several_draws(
    form: str, samples: int, repeats: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(way, monkeypatch)
    for n, size, first in product((1, 3), (5, 70, 5000), (0, 2**32 - 3, 2**63 + 1)):
        if way != "find" or samples * repeats < 10**4 or size < 100:
            x = make(form, "plain", (n, size), "float32")
            check(x, form, Draws(samples, n, repeats, first, n * repeats))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint64])
def test_output_dtypes(dtype: Any) -> None:
    for n, size in product((1, 1000), (5, 100)):
        check(make("probs", "plain", (n, size), "float32"), "probs", Draws(3, n, 1, 1, n), dtype)


def test_golden_vectors() -> None:
    for case in json.loads(golden.PATH.read_text())["cases"]:
        x = golden.params(case["params"], case["dtype"])
        on_gpu, _ = pair(case["form"], x)
        draws = on_gpu.sample(tuple(case["sample_shape"]), rng=case["rng"])
        np.testing.assert_array_equal(draws.get(), case["draws"])


# --- the class ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["probs", "logits"])
def test_class(form: str) -> None:
    x = make(form, "plain", (4, 5, 300), "float32")
    on_gpu, on_cpu = pair(form, x)
    views = [
        lambda d: d,
        lambda d: d[1:, ::2],
        lambda d: d[2, 3],
        lambda d: d.expand((3, 4, 5)),
        lambda d: d[:, :1].expand((4, 6)),
        lambda d: d[:1].expand((4, 5)),
    ]
    for view, shape in product(views, ((), (3,), (2, 0), (1000,))):
        draws = view(on_gpu).sample(shape, rng=1)
        assert isinstance(draws, cupy.ndarray)
        expected = view(on_cpu).sample(shape, rng=1)
        assert draws.dtype == expected.dtype
        np.testing.assert_array_equal(draws.get(), expected)
    value = on_gpu.sample(rng=1)
    np.testing.assert_allclose(on_gpu.log_prob(value).get(), on_cpu.log_prob(value.get()), 1e-4)
    np.testing.assert_allclose(on_gpu.entropy().get(), on_cpu.entropy(), 1e-4)
    with pytest.raises(TypeError):
        on_gpu.log_prob(value.get())


def test_strides() -> None:
    x = make("probs", "plain", (6, 8, 900), "float32")
    for change in (
        lambda x: x.swapaxes(0, 1),
        lambda x: x[::-1, ::2, ::-1],
        lambda x: x[..., 1:],
        lambda x: x.transpose(2, 1, 0),
    ):
        on_gpu = Categorical(change(cupy.asarray(x)), validate_args=False)
        on_cpu = Categorical(change(x), validate_args=False)
        np.testing.assert_array_equal(on_gpu.sample(9, rng=2).get(), on_cpu.sample(9, rng=2))


def test_void_rows() -> None:
    for form, size in product(("probs", "logits"), (3, 33, 5000)):
        x = make(form, "plain", (40, size), "float32")
        x[[3, 9], 1] = np.nan, -np.nan
        x[20] = 0 if form == "probs" else -np.inf
        x[30, -1] = -1.0 if form == "probs" else np.inf
        on_gpu, on_cpu = pair(form, x)
        draws = on_gpu.sample(rng=3).get()
        np.testing.assert_array_equal(draws, on_cpu.sample(rng=3))
        assert set(np.flatnonzero(draws < 0)) == {3, 9, 20, 30}


# --- sizes beyond 32 bits -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2**32 + 5), (2**16 + 1, 2**16), (2**27, 32)])
def test_more_than_32_bits(shape: tuple[int, int]) -> None:
    if cupy.cuda.runtime.memGetInfo()[0] < 3 * 2**32:
        pytest.skip("the GPU has less than 12 GiB of free memory")
    x = cupy.zeros(shape, np.float16)
    x[-1, -1] = 1
    out = cupy.empty((1, shape[0], 1), np.int64)
    cuda.sample(x, False, rows.KEY, Draws(1, shape[0], 1, 0, shape[0]), out, {})
    assert int(out[0, -1, 0]) == shape[1] - 1
    assert int(out.max()) == shape[1] - 1
    assert int((out < 0).sum()) == shape[0] - 1


# --- streams, devices, memory -------------------------------------------------------------------


def test_two_streams_at_once() -> None:
    """Draws on streams of their own are right, also by a table that one of them made."""
    x = make("probs", "plain", (64, 20_000), "float32")
    row = make("logits", "plain", (1000,), "float64")
    (many, many_cpu), (one, one_cpu) = pair("probs", x), pair("logits", row)
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    drawn = []
    for i in range(20):
        with streams[i % 2]:
            drawn.append((i, many.sample(5, rng=i), one.sample(10**6, rng=i)))
    for stream in streams:
        stream.synchronize()
    for i, a, b in drawn:
        np.testing.assert_array_equal(a.get(), many_cpu.sample(5, rng=i))
        np.testing.assert_array_equal(b.get(), one_cpu.sample(10**6, rng=i))


def test_other_device() -> None:
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")
    x = make("probs", "plain", (50, 5000), "float32")
    with cupy.cuda.Device(1):
        there = cupy.asarray(x)
    draws = Categorical(there).sample(4, rng=0)
    assert draws.device.id == 1
    np.testing.assert_array_equal(draws.get(), Categorical(x).sample(4, rng=0))


@pytest.mark.parametrize(
    ("shape", "samples", "contiguous"),
    [
        ((512, 128256), 1, True),
        ((10**6, 10), 1, True),
        ((10**6, 10), 1, False),
        ((1000,), 10**7, True),
    ],
)
def test_memory(shape: tuple[int, ...], samples: int, contiguous: bool) -> None:
    """Beside the output, little is needed: pieces of what is not contiguous, and of tables."""
    x = cupy.random.random(shape, np.float32)
    dist = Categorical(x if contiguous else x[::-1], validate_args=False)
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        out = dist.sample(samples, rng=0)
    assert pool.total_bytes() - out.nbytes < (4 << 20 if contiguous else 16 * cuda.PIECE)


@pytest.mark.parametrize("shape", [(40, 10), (40, 100), (40, 2000), (40, 9000), (9, 128256), (50,)])
def test_nothing_waits(shape: tuple[int, ...]) -> None:
    """CuPy reports no waiting, and a graph can hold the draws, which it cannot if one waits."""
    x = make("logits", "plain", shape, "float32")
    dist, on_cpu = pair("logits", x)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream, cupyx.allow_synchronize(False):
        for _ in range(3):
            dist.sample(3, rng=0)
    stream.synchronize()
    with stream:
        stream.begin_capture()
        draws = dist.sample(3, rng=0)
        graph = stream.end_capture()
        draws[...] = 99
        graph.launch()
    stream.synchronize()
    np.testing.assert_array_equal(draws.get(), on_cpu.sample(3, rng=0))


# --- the sanitizers of CUDA ---------------------------------------------------------------------

SWEEP = """
import cupy, numpy as np, rows
from itertools import product
from anycat._kernels import Draws, cuda
cupy.cuda.set_allocator(None)  # so that arrays do not lie next to each other
of = cuda.Costs.of
for dtype, form, table in product(("f2", "f4", "f8"), ("probs", "logits"), (False, True)):
    cuda.Costs.of = lambda *_: cuda.Costs(1.0, 0.0) if table else cuda.Costs(0.0, 1.0)
    for n, size in ((300, 10), (30, 33), (9, 1000), (9, 4001), (3, 4097), (2, 40001)):
        x = cupy.asarray(rows.make(form, "plain", (n, size), dtype))
        out = cupy.empty((3, n, 1), "i8")
        cuda.sample(x, form == "logits", rows.KEY, Draws(3, n, 1, 1, n), out, {})
cupy.cuda.runtime.deviceSynchronize()
"""


@pytest.mark.parametrize("tool", ["memcheck", "racecheck"])
def test_compute_sanitizer(tool: str) -> None:
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not on PATH")
    here, source = Path(__file__).parent, Path(cuda.__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (here, source)))}
    command = [sanitizer, "--tool", tool, "--error-exitcode", "7", sys.executable, "-c", SWEEP]
    found = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if "Device not supported" in found.stdout:
        pytest.skip("compute-sanitizer does not support this device")
    assert found.returncode == 0, found.stdout[-3000:]

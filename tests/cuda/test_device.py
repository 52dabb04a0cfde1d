"""What only a GPU can show: large inputs, streams, devices, memory, no waiting; and the class."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import golden
import numpy as np
import pytest
import rows
from cases import DTYPES, LAYOUTS, STRATEGIES, check, force, make, one_after_another

from anycat import Categorical
from anycat._kernels import cuda
from anycat._kernels.cuda import draw
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("device")]


def pair(cupy: ModuleType, form: str, x: Any) -> tuple[Categorical, Categorical]:
    """Return a distribution on the GPU and its twin on the CPU, neither of them validated."""
    return tuple(Categorical(**{form: y}, validate_args=False) for y in (cupy.asarray(x), x))


# --- large inputs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "dtype"),
    [("chosen", d) for d in DTYPES] + [(s, d) for s in STRATEGIES[2:] for d in DTYPES[2:]],
)
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_many_blocks(
    form: str, kind: str, dtype: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    for n, size in ((20_011, 10), (3001, 200), (700, 1000), (300, 4096), (20, 50257), (3, 128256)):
        n = n if strategy != "table" else min(n, 50)
        x = make(form, kind, (n, size), dtype)
        check(x, form, one_after_another(x, 2, first=3))


@pytest.mark.parametrize("form", ["probs", "logits"])
@pytest.mark.parametrize(("samples", "repeats"), [(1, 10**6), (10**6, 1), (7, 10**5)])
def test_many_draws(form: str, samples: int, repeats: int) -> None:
    for n, size, first in product((1, 3), (5, 5000, 10**6), (1, 2**32 - 3, 2**63 + 1)):
        x = make(form, "plain", (n, size), "float32")
        check(x, form, one_after_another(x, samples, repeats, first))


@pytest.mark.parametrize("shape", [(1, 2**32 + 5), (2**16 + 1, 2**16), (2**27, 32)])
def test_more_than_32_bits(shape: tuple[int, int], device: ModuleType) -> None:
    """Of all values only the last is not zero."""
    if device.cuda.runtime.memGetInfo()[0] < 3 * 2**32:
        pytest.skip("the GPU has less than 12 GiB of free memory")
    x = device.zeros(shape, np.float16)
    x[-1, -1] = 1
    out = device.empty((1, shape[0], 1), np.int64)
    cuda.sample(x, False, rows.BITS, DrawRange(1, shape[0], 1, 0, shape[0], 1), out, {})
    drawn = out.get().ravel()
    assert drawn[-1] == shape[1] - 1
    assert (drawn[:-1] == -1).all()


# --- the class ----------------------------------------------------------------------------------


def test_golden_vectors(device: ModuleType) -> None:
    for case in json.loads(golden.PATH.read_text())["cases"]:
        x = golden.params(case["params"], case["dtype"])
        on_gpu, _ = pair(device, case["form"], x)
        draws = on_gpu.sample(tuple(case["sample_shape"]), rng=case["rng"])
        np.testing.assert_array_equal(draws.get(), case["draws"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_class(form: str, dtype: str, device: ModuleType) -> None:
    x = make(form, "plain", (4, 5, 300), dtype)
    on_gpu, on_cpu = pair(device, form, x)
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
        assert isinstance(draws, device.ndarray)
        expected = view(on_cpu).sample(shape, rng=1)
        assert draws.dtype == expected.dtype
        np.testing.assert_array_equal(draws.get(), expected)


@pytest.mark.parametrize("form", ["probs", "logits"])
def test_everything_but_draws(form: str, device: ModuleType) -> None:
    """Up to rounding, all else is equal too, and stays on the GPU."""
    on_gpu, on_cpu = pair(device, form, make(form, "plain", (4, 5, 30), "float32"))
    value = on_cpu.sample(rng=1)
    q = np.linspace(0.1, 0.9, 5, dtype=np.float32)
    for ask in (
        lambda d, **_: d.probs,
        lambda d, **_: d.logits,
        lambda d, **_: d.entropy(),
        lambda d, **_: d.mode,
        lambda d, value, **_: d.log_prob(value),
        lambda d, value, **_: d.cdf(value),
        lambda d, q, **_: d.icdf(q),
    ):
        actual = ask(on_gpu, value=device.asarray(value), q=device.asarray(q))
        assert isinstance(actual, device.ndarray)
        np.testing.assert_allclose(actual.get(), ask(on_cpu, value=value, q=q), 1e-4, 1e-6)


def test_nothing_moves_in_silence(device: ModuleType) -> None:
    on_gpu = Categorical(device.ones(3))
    with pytest.raises(TypeError, match="value"):
        on_gpu.log_prob(np.array([1]))
    with pytest.raises(TypeError, match="q"):
        on_gpu.icdf(np.array([0.5]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_the_class(layout: str, device: ModuleType) -> None:
    x, change = make("probs", "plain", (6, 8, 900), "float32"), LAYOUTS[layout]
    on_gpu, on_cpu = Categorical(change(device.asarray(x))), Categorical(change(x))
    np.testing.assert_array_equal(on_gpu.sample(9, rng=2).get(), on_cpu.sample(9, rng=2))


def test_invalid_rows(device: ModuleType) -> None:
    for form, size in product(("probs", "logits"), (3, 33, 5000)):
        x = make(form, "plain", (40, size), "float32")
        x[[3, 9], 1] = np.nan, -np.nan
        x[20] = 0 if form == "probs" else -np.inf
        x[30, -1] = -1.0 if form == "probs" else np.inf
        with pytest.raises(ValueError, match=form):
            Categorical(**{form: device.asarray(x)})
        on_gpu, on_cpu = pair(device, form, x)
        draws = on_gpu.sample(rng=3).get()
        np.testing.assert_array_equal(draws, on_cpu.sample(rng=3))
        assert set(np.flatnonzero(draws < 0)) == {3, 9, 20, 30}


# --- streams, devices, memory -------------------------------------------------------------------


def test_two_streams_at_once(device: ModuleType) -> None:
    """Draws on streams of their own are right, also by a table that one of them made."""
    x = make("probs", "plain", (64, 20_000), "float32")
    row = make("logits", "plain", (1000,), "float64")
    (many, many_cpu), (one, one_cpu) = pair(device, "probs", x), pair(device, "logits", row)
    device.cuda.get_current_stream().synchronize()  # the parameters are there
    streams = [device.cuda.Stream(non_blocking=True) for _ in range(2)]
    drawn = []
    for i in range(20):
        with streams[i % 2]:
            drawn.append((i, many.sample(5, rng=i), one.sample(10**6, rng=i)))
    for stream in streams:
        stream.synchronize()
    for i, a, b in drawn:
        np.testing.assert_array_equal(a.get(), many_cpu.sample(5, rng=i))
        np.testing.assert_array_equal(b.get(), one_cpu.sample(10**6, rng=i))


def test_other_device(device: ModuleType) -> None:
    if device.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")
    for shape, samples in (((50, 5000), 4), ((100,), 10**6)):
        x = make("probs", "plain", shape, "float32")
        with device.cuda.Device(1):
            there = device.asarray(x)
        draws = Categorical(there).sample(samples, rng=0)
        assert draws.device.id == 1
        np.testing.assert_array_equal(draws.get(), Categorical(x).sample(samples, rng=0))


@pytest.mark.parametrize(
    ("shape", "samples", "contiguous"),
    [
        ((512, 128256), 1, True),
        ((10**6, 10), 1, True),
        ((10**6, 10), 1, False),
        ((1000,), 10**7, True),
    ],
)
def test_memory(
    shape: tuple[int, ...],
    samples: int,
    contiguous: bool,
    device: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside the output, little is needed: pieces of what is not contiguous, and a table."""
    monkeypatch.setattr(draw, "PIECE_ELEMENTS", 1 << 18)
    x = device.asarray(np.random.default_rng(0).random(shape, np.float32))
    dist = Categorical(x if contiguous else x[::-1], validate_args=False)
    pool = device.cuda.MemoryPool()
    with device.cuda.using_allocator(pool.malloc):
        out = dist.sample(samples, rng=0)
    assert pool.total_bytes() - out.nbytes < (4 << 20 if contiguous else 40 * draw.PIECE_ELEMENTS)


@pytest.mark.parametrize("samples", [1, 3, 10**5])
@pytest.mark.parametrize(
    "shape", [(40, 10), (40, 100), (40, 2000), (40, 9000), (9, 128256), (3, 1, 200), (50,)]
)
def test_nothing_waits(
    shape: tuple[int, ...], samples: int, device: ModuleType, gpu: ModuleType
) -> None:
    """A call comes back while the stream is busy, and a graph holds it, which no waiting can."""
    x = make("logits", "plain", shape, "float32")
    dist, on_cpu = pair(device, "logits", x)
    if len(shape) == 3:
        dist, on_cpu = dist.expand((3, 4)), on_cpu.expand((3, 4))
    samples = samples if len(shape) == 1 else min(samples, 3)
    spin = device.RawKernel(gpu.SPIN, "spin")
    device.cuda.get_current_stream().synchronize()  # the parameters are there
    stream = device.cuda.Stream(non_blocking=True)
    with stream:
        for _ in range(3):  # compile what there is to compile, and fill the pool
            spin((1,), (1,), (np.uint64(1),))
            dist.sample(samples, rng=0)
        stream.synchronize()
        spin((1,), (1,), (np.uint64(300_000_000),))
        draws = dist.sample(samples, rng=0)
        assert not stream.done
        np.testing.assert_array_equal(draws.get(), on_cpu.sample(samples, rng=0))
        stream.begin_capture()
        draws = dist.sample(samples, rng=0)
        graph = stream.end_capture()
        draws[...] = 99
        graph.launch()
        np.testing.assert_array_equal(draws.get(), on_cpu.sample(samples, rng=0))


# --- the sanitizers of CUDA ---------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["memcheck", "racecheck"])
def test_compute_sanitizer(tool: str) -> None:
    sanitizer = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:/usr/local/cuda/bin")
    if sanitizer is None:
        pytest.skip("there is no compute-sanitizer")
    here, source = Path(__file__).parent, Path(cuda.__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (here, here.parent, source)))}
    command = [sanitizer, "--tool", tool, "--error-exitcode", "7", sys.executable]
    found = subprocess.run(
        [*command, str(here / "sweep.py"), "device"],
        capture_output=True, text=True, env=env, check=False, timeout=150,
    )  # fmt: skip
    if "Device not supported" in found.stdout:
        pytest.skip("compute-sanitizer does not support this device")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]

"""A CuPy without a GPU: the few names that `_kernels.cuda` uses, on NumPy's memory and harness.h.

What is not here, such as all that waits for a device, `_kernels.cuda` does not use.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).parent
COMPILER = shutil.which("g++") or shutil.which("clang++")
FLAGS = ["-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing", f"-I{HERE}"]
SANITIZED = ["-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


class ndarray(np.ndarray):
    """An array on the only device."""

    @property
    def device(self) -> Device:
        return Device(0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"data": (self.ctypes.data, False)}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


class Device:
    """The only device: a small one, so that small cases look large to it."""

    processors = 2

    def __init__(self, number: int) -> None:
        self.id = number
        self.attributes = {"MultiProcessorCount": self.processors}

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class Stream:
    """The stream with a number."""

    def __init__(self, ptr: int = 0) -> None:
        self.ptr = ptr
        self.waited: list[Event] = []
        self.capturing = False

    def wait_event(self, event: Event) -> None:
        self.waited.append(event)

    def is_capturing(self) -> bool:
        return self.capturing


class Event:
    def __init__(self, disable_timing: bool = False) -> None:
        self.recorded: list[Stream] = []
        self.done = False

    def record(self, stream: Stream) -> None:
        self.recorded.append(stream)


class Launch(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_size_t),
        ("seed", ctypes.c_uint),
    )


class RawModule:
    """Compiles as CuPy's does, with another compiler."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        standard, param, logits, *kernels = options
        self.library = build(code, (standard, param, logits))
        self.defined = kernels

    def get_function(self, name: str) -> RawKernel:
        assert f"-D{name.upper()}" in self.defined
        return RawKernel(name, self.library[f"launch_{name}"])


class RawKernel:
    seeds = itertools.count()

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.function = name, function
        function.restype = ctypes.c_char_p

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0
    ) -> None:
        pad = (1, 1)
        launch = Launch((*grid, *pad)[:3], (*block, *pad)[:3], shared_mem, next(self.seeds))
        assert all(launch.grid)
        values = [self._by_value(a) for a in args]
        pointers = (ctypes.c_void_p * len(values))(*(v.ctypes.data for v in values))
        failure = self.function(ctypes.byref(launch), pointers)
        if failure:
            raise RuntimeError(f"{self.name}: {failure.decode()}")

    @staticmethod
    def _by_value(a: Any) -> np.ndarray[Any, Any]:
        if isinstance(a, ndarray):
            assert a.flags.c_contiguous
            return np.array(a.ctypes.data, np.uint64)
        if isinstance(a, np.ndarray):
            assert a.size == 1
            return a
        assert isinstance(a, np.generic), "a scalar without an explicit width"
        return np.array(a)


def why_not() -> str | None:
    """Tell why kernels cannot be built here; None if they can."""
    if sys.platform != "linux":
        return "the harness is for Linux"
    return None if COMPILER else "there is no C++ compiler: install g++"


@cache
def build(code: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """Compile all kernels to a shared library, kept in a folder of temporary files."""
    kernels = re.findall(r"__global__.*\n(\w+)\(", code)
    head = [*(f"#define {k.upper()}" for k in kernels), '#include "harness.h"']
    text = "\n".join([*head, '#line 1 "categorical.cu"', code, *map("KERNEL({})".format, kernels)])
    level = os.environ.get("HARNESS_SANITIZED")
    flags = [*FLAGS, *([*SANITIZED, level] if level else []), *options]
    parts = [text, *flags, *((HERE / h).read_text() for h in ("harness.h", "host.h"))]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"anycat-harness-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{name}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source, result = Path(scratch, "kernels.cpp"), Path(scratch, "kernels.so")
            source.write_text(text)
            command = [COMPILER, *flags, "-o", result, source]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                raise RuntimeError(made.stderr)
            result.replace(library)
    return ctypes.CDLL(str(library))


def on_device(x: Any) -> ndarray:
    """Return an array as if it were on the device."""
    return np.asarray(x).view(ndarray)


def _empty(shape: int | tuple[int, ...], dtype: Any) -> ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return on_device(np.full(size, 0xA5, np.uint8).view(dtype).reshape(shape))


def _ascontiguousarray(x: Any, dtype: Any = None) -> ndarray:
    assert isinstance(x, ndarray)
    return on_device(np.ascontiguousarray(x, dtype))


def fake_cupy() -> ModuleType:
    """Return a module that stands for CuPy."""
    cupy: Any = ModuleType("cupy")
    stream = Stream()
    cupy.ndarray, cupy.RawModule = ndarray, RawModule
    cupy.empty = _empty
    cupy.zeros = lambda shape, dtype: on_device(np.zeros(shape, dtype))
    cupy.broadcast_to = lambda x, shape: on_device(np.broadcast_to(x, shape))
    cupy.asarray = lambda x: x if isinstance(x, ndarray) else on_device(x)
    cupy.asnumpy = np.asarray
    cupy.ascontiguousarray = _ascontiguousarray
    cupy.cuda = SimpleNamespace(
        Device=Device, Stream=Stream, Event=Event, get_current_stream=lambda: stream
    )
    cupy.random = SimpleNamespace(Generator=type("Generator", (), {}))
    return cupy

"""Where this machine cannot draw on a GPU, an error says what to do."""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import cases
import harness
import numpy as np
import pytest
import rows

from anycat._kernels import cuda
from anycat._kernels.grid import DrawRange


class CUDARuntimeError(RuntimeError):
    pass


def machine(
    driver: int = 13000, built: int = 13020, devices: int = 1, nvrtc: int = 13, amd: bool = False
) -> ModuleType:
    """Return a CuPy on a machine of some kind; 0 is for what is not there."""

    def devices_or_error() -> int:
        if not devices or not driver:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return devices

    def nvrtc_or_error() -> tuple[int, int]:
        if not nvrtc:
            raise OSError("libnvrtc.so.13: cannot open shared object file")
        return nvrtc, 0

    cupy: Any = ModuleType("cupy")
    runtime = SimpleNamespace(
        is_hip=amd,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: built,
        getDeviceCount=devices_or_error,
        CUDARuntimeError=CUDARuntimeError,
    )
    cupy.cuda = SimpleNamespace(runtime=runtime, nvrtc=SimpleNamespace(getVersion=nvrtc_or_error))
    return cupy


@pytest.mark.parametrize(
    ("cupy", "message"),
    [
        (
            None,
            "CuPy is not installed: .*'cupy-cuda13x>=14.0' 'nvidia.*'cupy-cuda12x>=14.0' 'nvidia",
        ),
        (machine(driver=0), "no NVIDIA driver: install one"),
        (
            machine(driver=12090),
            "update the driver, or .*then .*pip install 'cupy-cuda12x>=14.0' 'nvidia-.*-cu12==12",
        ),
        (machine(driver=11080), "update the driver$"),
        (machine(devices=0), "no CUDA device can be used .*CUDA_VISIBLE_DEVICES"),
        (machine(nvrtc=0), r"no NVRTC .*pip install 'nvidia-cuda-nvrtc==13\.\*'"),
        (machine(nvrtc=0, built=12090), r"pip install 'nvidia-cuda-nvrtc-cu12==12\.\*'"),
        (machine(amd=True), "AMD"),
        (machine(nvrtc=12), r"CUDA 13, but finds NVRTC of CUDA 12: .* -m pip install"),
    ],
)
def test_reasons(cupy: ModuleType | None, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    reason = cuda.unavailable_reason()
    assert reason is not None
    assert re.search(message, reason)
    assert "\n" not in reason


def test_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", machine())
    assert cuda.unavailable_reason() is None


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("nvrtc", [0, 13])
def test_errors_of_the_compiler(nvrtc: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that has a known reason tells it, and any other is left as it is."""

    class RawModule:
        def __init__(self, **_: Any) -> None: ...

        def get_function(self, name: str) -> None:
            raise OSError("the error of the compiler")

    cupy: Any = machine(nvrtc=nvrtc)
    cupy.RawModule, cupy.cuda.Device = RawModule, harness.Device
    cupy.asarray = cupy.ascontiguousarray = lambda x, *_: harness.on_device(x)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    expected = (OSError, "the error of the compiler") if nvrtc else (RuntimeError, "no NVRTC")
    with pytest.raises(expected[0], match=expected[1]):
        cases.draw(np.ones((2, 3)), "probs", DrawRange(1, 2, 1, 0, 2, 1))


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    x = harness.on_device(np.ones((2, 3)))
    with pytest.raises(ImportError, match="CuPy is not installed"):
        cuda.sample(x, False, rows.BITS, DrawRange(1, 2, 1, 0, 2, 1), x, {})

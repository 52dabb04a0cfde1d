"""Whether this machine can draw on a GPU, and what to do if not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycat._messages import PIP

if TYPE_CHECKING:
    from collections.abc import Iterator


def array_module() -> Any:
    """Return CuPy."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError(unavailable_reason()) from error
    return cupy


def unavailable_reason() -> str | None:
    """Return why this machine cannot draw on a GPU, and what to do; None if it can."""
    return next(_problems(), None)


def _problems() -> Iterator[str]:
    try:
        import cupy
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        problem = "is not installed" if missing else f"cannot be imported ({error})"
        yield f"CuPy {problem}: {_install(13)}, or, for a driver of CUDA 12, {_install(12)}"
        return
    runtime = cupy.cuda.runtime
    if runtime.is_hip:
        yield (
            "CuPy is built for AMD GPUs, and the kernels are for those of NVIDIA: draw on the CPU, "
            "from cupy.asnumpy(x)"
        )
        return
    built, driver = runtime.runtimeGetVersion() // 1000, runtime.driverGetVersion() // 1000
    if driver == 0:
        yield "there is no NVIDIA driver: install one, and see that nvidia-smi finds the GPU"
    elif driver < built:
        other = f", or replace CuPy: {PIP} uninstall cupy-cuda{built}x, then {_install(driver)}"
        yield (
            f"CuPy is built for CUDA {built}, but the driver supports CUDA {driver} at most: "
            f"update the driver{other if driver >= 12 else ''}"
        )
    try:
        runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        yield f"no CUDA device can be used ({error}): see nvidia-smi and CUDA_VISIBLE_DEVICES"
    wheels = f"{PIP} install '{_wheel('nvrtc', built)}'"
    try:
        found = cupy.cuda.nvrtc.getVersion()[0]
    except Exception as error:  # CuPy has had different ones
        yield f"CuPy finds no NVRTC to compile kernels with ({type(error).__name__}): {wheels}"
    else:
        if found != built:
            yield f"CuPy is built for CUDA {built}, but finds NVRTC of CUDA {found}: {wheels}"


def _install(cuda: int) -> str:
    """Return the command that installs CuPy for a version of CUDA, and what compiles kernels."""
    wheels = f"'{_wheel('nvrtc', cuda)}' '{_wheel('runtime', cuda)}'"
    return f"{PIP} install 'cupy-cuda{cuda}x>=14.0' {wheels}"


def _wheel(part: str, cuda: int) -> str:
    suffix = "" if cuda > 12 else f"-cu{cuda}"
    return f"nvidia-cuda-{part}{suffix}=={cuda}.*"

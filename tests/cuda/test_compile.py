"""The CUDA source compiles for each generation of GPUs, without one, and fits its registers."""

from __future__ import annotations

import io
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor

import pytest

from anycat._kernels.cuda import compile as compiling

pytest.importorskip("cuda.core", reason="needs cuda-core, cuda-bindings and nvidia-cuda-nvrtc")

pytestmark = pytest.mark.slow

# Each architecture, and some of the rest: registers depend on the type more than on the others.
CASES = [
    ("float16", True, "sm_80"),
    ("bfloat16", False, "sm_120"),
    ("float", False, "sm_100"),
    ("float", True, "sm_80"),
    ("double", False, "sm_90"),
    ("double", True, "sm_120"),
]

# Registers of a thread: 64 let four blocks of 256 threads share a multiprocessor, 128 let two.
LIMITS = {
    "draw_short_rows": 64,
    "draw_rows": 128,
    "reduce_tiles": 64,
    "draw_long_rows": 128,
    "scan_tiles": 128,
    "fill_cdf": 128,
    "fill_guide": 32,
    "draw_table": 64,
    "truncate_rows": 128,
    "mask_rows": 32,
    "draw_distinct_rows": 128,
    "draw_distinct_long_rows": 128,
    "count_table": 64,
}
LIMITS_FLOAT64 = LIMITS | {
    "draw_long_rows": 208,
    "scan_tiles": 208,
    "truncate_rows": 216,
    "draw_distinct_long_rows": 248,
}


def compiled(case: tuple[str, bool, str], *kernels: str) -> str:
    """Compile as CuPy would; return what the compiler says."""
    from cuda.core import Program, ProgramOptions

    c_type, logits, architecture = case
    standard, *macros = compiling.options(c_type, logits, *(kernels or LIMITS))
    options = ProgramOptions(
        arch=architecture,
        std=standard.removeprefix("-std="),
        define_macro=[macro.removeprefix("-D") for macro in macros],
        ftz=True,  # CuPy appends it
        ptxas_options=["-v"],
    )
    log = io.StringIO()
    program = Program(compiling.source(), code_type="c++", options=options)
    assert program.compile("cubin", logs=log).code.startswith(b"\x7fELF")
    return log.getvalue()


@pytest.fixture(scope="module")
def logs() -> dict[tuple[str, bool, str], str]:
    """Compile all cases, two at a time: NVRTC compiles one at a time in a process."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        return dict(zip(CASES, pool.map(compiled, CASES), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{['probs', 'logits'][c[1]]}-{c[2]}")
def test_kernels_fit(case: tuple[str, bool, str], logs: dict[tuple[str, bool, str], str]) -> None:
    log = logs[case]
    assert "warning" not in log.lower()
    found = re.findall(
        r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
        r"(\d+) bytes spill loads.*?Used (\d+) registers",
        log,
        re.DOTALL,
    )
    limits = LIMITS_FLOAT64 if case[0] == "double" else LIMITS
    assert {name for name, *_ in found} == set(limits)
    for name, *local, registers in found:
        assert local == ["0", "0", "0"], f"{name} spills"
        assert int(registers) <= limits[name], name


@pytest.mark.parametrize("kernel", LIMITS)
def test_each_kernel_compiles_alone(kernel: str) -> None:
    log = compiled(("float", True, "sm_90"), kernel)
    assert "warning" not in log.lower()
    assert re.findall(r"entry function '(\w+)'", log) == [kernel]

"""The benchmarks on a GPU come to their end, and their table says what is so: run without one."""

from __future__ import annotations

import json
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from anycat._kernels import cuda

if TYPE_CHECKING:
    from pathlib import Path

FLOORS = {"copy": 1e12, "write": 2e12}


class Clock:
    """Takes the time of the CPU."""

    def __init__(self, cupy: Any) -> None: ...

    def time(self, call: Any, on_host: bool = False) -> float:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin


def libraries() -> SimpleNamespace:
    """Return libraries that take NumPy's arrays for CuPy's; one fails, and one is absent."""
    runtime = SimpleNamespace(
        memGetInfo=lambda: (10**12, 10**12),
        deviceSynchronize=lambda: None,
        driverGetVersion=lambda: 13000,
        getDeviceProperties=lambda _: {"name": b"NVIDIA Slow 1", "multiProcessorCount": 1},
    )
    of_cuda = SimpleNamespace(
        runtime=runtime,
        Device=lambda: SimpleNamespace(id=0),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 5)),
    )
    cupy = SimpleNamespace(
        asarray=np.asarray,
        ones=np.ones,
        cuda=of_cuda,
        random=SimpleNamespace(choice=np.random.default_rng(0).choice),
        get_default_memory_pool=lambda: SimpleNamespace(free_all_blocks=lambda: None),
    )
    torch = pytest.importorskip("torch")
    return SimpleNamespace(cupy=cupy, torch=torch, jax=None, flashinfer=SimpleNamespace())


@pytest.fixture
def few(gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the benchmarks with few and small groups, for the CPU."""
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--results", str(tmp_path / "results")])
    monkeypatch.setattr(cuda, "unavailable_reason", lambda: None)
    for name, value in {
        "libraries": libraries,
        "Clock": Clock,
        "bandwidths": lambda _: FLOORS,
        "first_draws": lambda: [1.25, 0.5],
        "DRAWS": 1000,
        "ROUNDS": 3,
        "GROUPS": {
            "probs": lambda lib: gpu.batch(lib, 3, 5000, "probs"),
            "logits": lambda lib: gpu.batch(lib, 1, 30, "logits"),
            "row": lambda lib: gpu.one_row(lib, 6),
        },
    }.items():
        monkeypatch.setattr(gpu, name, value)
    return gpu


def test_all_of_it(few: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu = few
    gpu.main()
    assert "without flashinfer_batch" in capsys.readouterr().out
    kept = json.loads((tmp_path / "results" / "gpu-nvidia-slow-1.json").read_text())
    assert list(kept["results"]) == ["probs", "logits", "row"]
    row = kept["results"]["row"]["case"]
    assert {"anycat", "anycat, set-up included", "cupy choice", "torch"} <= set(row)
    text = (tmp_path / "results" / "gpu-nvidia-slow-1.md").read_text()
    assert text == gpu.page(kept)
    assert "NVIDIA Slow 1" in text
    assert "| ahead, 80% of copy |" in text
    assert "| ahead, 20 us |" in text
    assert "first draw ever: 1.2 s" in text
    assert "Left out" not in text


def test_a_group_that_fails_is_named(
    few: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was found before is written by then, and the rest goes on."""

    def fail(lib: SimpleNamespace) -> None:
        kept = json.loads((tmp_path / "results" / "gpu-nvidia-slow-1.json").read_text())
        assert list(kept["results"]) == ["probs"]
        raise MemoryError("too little")

    monkeypatch.setitem(few.GROUPS, "logits", fail)
    with pytest.raises(SystemExit, match="Left out: logits"):
        few.main()
    kept = json.loads((tmp_path / "results" / "gpu-nvidia-slow-1.json").read_text())
    assert list(kept["results"]) == ["probs", "row"]
    text = (tmp_path / "results" / "gpu-nvidia-slow-1.md").read_text()
    assert text.endswith("Left out:\n\n- logits: MemoryError: too little\n")


def test_nothing_is_begun_when_time_is_over(
    few: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(few.time, "monotonic", lambda: now[0])

    def late(lib: SimpleNamespace) -> Any:
        now[0] = 61 * few.MINUTES
        return few.batch(lib, 1, 30, "logits")

    monkeypatch.setitem(few.GROUPS, "logits", late)
    with pytest.raises(SystemExit, match="Left out: row"):
        few.main()
    kept = json.loads((tmp_path / "results" / "gpu-nvidia-slow-1.json").read_text())
    assert list(kept["results"]) == ["probs", "logits"]
    assert kept["left out"] == {"row": "8 minutes were over"}


def test_no_gpu(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    monkeypatch.setattr(cuda, "unavailable_reason", lambda: "there is none")
    with pytest.raises(SystemExit, match="there is none"):
        gpu.main()


def test_who_fails_is_out(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise MemoryError("too little")

    freed: list[int] = []
    late = iter([1, 2, 3, fail])
    case = {
        "anycat": lambda: None,
        "alternative": fail,
        "later": lambda: next(late) is fail and fail(),
        "jax alternative": lambda: None,
        "slow": lambda: None,
    }
    asked: list[bool] = []

    def time_of(call: Any, on_host: bool) -> float:
        asked.append(on_host)
        call()
        return 9.0 if call is case["slow"] else 2.0

    times = gpu.compete(time_of, case, 3.0, lambda: freed.append(1))
    assert times == {"anycat": 2.0, "jax alternative": 2.0, "slow": 9.0}
    rounds = gpu.ROUNDS
    assert sum(asked) == 2 + rounds
    assert len(asked) == 2 * (2 + rounds) + 1 + 4 + 2  # all but who fails or is slow in all rounds
    assert len(freed) == 5
    out = capsys.readouterr().out
    assert "  alternative is out: MemoryError: too little" in out
    assert "  later is out: MemoryError: too little" in out
    with pytest.raises(MemoryError):
        gpu.compete(time_of, {"anycat": fail}, 0.0, lambda: None)


@pytest.mark.parametrize(
    ("group", "seconds", "alternative", "met"),
    [
        ({"share": 0.8}, 1.0, 2.0, True),  # all of the bandwidth
        ({"share": 0.8}, 2.0, 3.0, False),  # half of it
        ({}, 2.0, 3.0, True),
        ({}, 2.0, 1.9, False),  # not ahead
        ({"seconds": 1.5}, 1.4, 2.0, True),
        ({"seconds": 1.5}, 1.6, 2.0, False),
        ({}, 2.0, None, True),
    ],
)
def test_goals(
    group: dict[str, float], seconds: float, alternative: float | None, met: bool, gpu: ModuleType
) -> None:
    times = {"anycat": seconds, "anycat, checked": 9.0}
    times |= {} if alternative is None else {"slow": 50.0, "alternative": alternative}
    result = gpu.record(gpu.Group({}, 10**12, "copy", **group), times, FLOORS)
    assert result["met"] is met
    assert result["case"]["anycat"]["bytes/s"] == 1e12 / seconds
    line = gpu.summary({"regime": result}).splitlines()[-1].split(" | ")
    assert line[:3] == ["| regime", f"{seconds * 1e6:.1f}", f"{1 / seconds:.0%} of copy"]
    assert line[4] == ("met" if met else "MISSED")
    assert line[6] == ("alternative" if alternative else "none took part")
    if alternative:
        assert line[5] == f"{alternative * 1e6:.1f}"
        assert line[7] == f"{alternative / seconds:.1f} |"


def test_groups_without_replacement_and_of_counts(
    gpu: ModuleType, on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "DRAWS", 1000)
    lib = SimpleNamespace(cupy=on_cpu, torch=None, jax=None)
    for group in (gpu.distinct(lib, 3, 50, 4), gpu.counts(lib, 6)):
        group.case["anycat"]()
    torch, x = pytest.importorskip("torch"), np.ones((3, 50), np.float32)
    for call in (gpu.torch_distinct(torch, x, 4) | gpu.torch_counts(torch, x[0], 9)).values():
        assert len(call())

"""``python -m anycat``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import anycat
from anycat import __main__ as program
from anycat import _kernels
from anycat._backends import registry
from anycat._backends.registry import LIBRARIES
from anycat._messages import PIP


def test_it_shows_equal_draws(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main() == 0
    shown = capsys.readouterr().out
    assert f"anycat {anycat.__version__}, stream version 1" in shown
    assert "-1.1087 -1.1087 -1.1087 -4.6052" in shown
    lines = [line for line in shown.splitlines() if line.endswith("equal")]
    assert lines[0].split()[:3] == ["numpy", np.__version__, "cpu"]
    assert all("[2, 0] [0, 2] [3, 0] [2, 2] [3, 1]" in line for line in lines)
    served = {
        name
        for x in LIBRARIES
        if (name := x.name) and not registry.unavailable_reason(x, x.memory[0])
    }
    assert {line.split()[0] for line in lines} == served
    assert "medians of 9 timings" in shown
    assert shown.endswith(" times as long\n")


def test_it_tells_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry.find_spec
    monkeypatch.setattr(
        registry, "find_spec", lambda name: found(name) if name == "numpy" else None
    )
    monkeypatch.setattr(
        _kernels.load("cuda"), "unavailable_reason", lambda: "there is no driver: install one"
    )
    assert program.main() == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert " cupy there is no driver: install one " in shown
    for library in LIBRARIES[2:]:
        command = f"{PIP} install '{library.requirement}'"
        assert f" {library.name} not installed: {command} " in shown


def test_what_is_not_installed_needs_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    (jax,) = (library for library in LIBRARIES if library.name == "jax")
    assert "not installed" in str(registry.unavailable_reason(jax, "CUDA"))
    assert jax.requirement in str(registry.unavailable_reason(jax, "CUDA"))


@pytest.mark.slow
def test_nobody_reads_what_it_prints() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = [sys.executable, "-m", "anycat", "--json"]
    found = subprocess.run(code, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert "BrokenPipeError" not in found.stderr


def test_a_library_that_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(library: Any) -> Any:
        if library.name == "numpy":
            return registry.default()
        raise OSError("a file is missing")

    monkeypatch.setattr(registry, "find_spec", lambda name: True)
    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setattr(_kernels.load("cuda"), "unavailable_reason", lambda: None)
    assert program.main() == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    for library in LIBRARIES[1:]:
        assert f" {library.name} cannot be imported (OSError: a file is missing) " in shown


def test_commands_stand_on_lines_of_their_own() -> None:
    short = "there is no driver: install one"
    assert program.in_lines(short) == short
    first, second = f"{PIP} install 'a>=1' 'b==2.*'", f"{PIP} install 'c'"
    long = f"CuPy is not installed: {first}, or, for a driver of CUDA 12, {second}"
    assert [line.strip() for line in program.in_lines(long).splitlines()] == [
        *("CuPy is not installed:", first, "or, for a driver of CUDA 12:", second)
    ]


def test_it_fails_if_draws_differ(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = iter(range(100))
    sample = anycat.Categorical.sample
    monkeypatch.setattr(
        anycat.Categorical,
        "sample",
        lambda self, shape=(), *, rng: sample(self, shape, rng=next(seeds)),
    )
    assert program.main() == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["anycat"] == anycat.__version__
    assert {"python", "platform", "cpu", "threads", "stream_version"} <= found.keys()
    for line in found["libraries"]:
        assert line["equal"] if "version" in line else line["unavailable"]
    first = found["libraries"][0]
    assert (first["library"], first["version"], first["device"]) == ("numpy", np.__version__, "cpu")
    assert first["draws"] == "[2, 0] [0, 2] [3, 0] [2, 2] [3, 1]"
    assert [len(x.memory) for x in LIBRARIES] == [
        sum(line["library"] == x.name for line in found["libraries"]) for x in LIBRARIES
    ]
    assert all(time > 0 for time in found["milliseconds"].values())


def test_the_versions_of_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    required = ["numpy>=2.2", "array-api-compat>=1.15.0", "torch>=2.6; extra == 'torch'"]
    monkeypatch.setattr(program.metadata, "requires", lambda name: required)
    assert list(program.dependencies()) == ["numpy", "array-api-compat"]
    assert program.dependencies()["numpy"] == np.__version__


def test_a_median_is_not_moved_by_one_slow_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, *(x for i in range(20) for x in (10.0 + i, 10.5 + i))])
    monkeypatch.setattr(program.time, "perf_counter", lambda: next(clock))
    assert program.median(lambda: None) == 500


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        program.main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: python -m anycat [-h] [--json]")
    assert "exit status" in shown

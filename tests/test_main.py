"""``python -m anycat``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import anycat
from anycat import __main__ as program
from anycat import _kernels
from anycat._backends import registry
from anycat._backends.registry import LIBRARIES

if TYPE_CHECKING:
    import pytest


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
    assert "times as fast" in shown


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
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["cupy", "there is no driver: install one"] in lines
    for library in LIBRARIES[2:]:
        assert [library.name, f"not installed: pip install '{library.requirement}'"] in lines


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

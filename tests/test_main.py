"""``python -m anycat``."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np

import anycat
from anycat import __main__ as program

if TYPE_CHECKING:
    import pytest


def test_it_shows_equal_draws(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main() == 0
    shown = capsys.readouterr().out
    assert f"anycat {anycat.__version__}, stream version 1" in shown
    assert "-1.1087 -1.1087 -1.1087 -4.6052" in shown
    lines = [line for line in shown.splitlines() if line.endswith("equal")]
    assert lines[0].split()[:2] == ["numpy", np.__version__]
    assert all("[2, 0] [0, 2] [3, 0] [2, 2] [3, 1]" in line for line in lines)
    assert "times as fast" in shown


def test_it_names_what_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found(name) if name == "numpy" else None
    )
    assert program.main() == 0
    assert "torch             not installed" in capsys.readouterr().out


def test_it_fails_if_draws_differ(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = iter(range(100))
    sample = anycat.Categorical.sample
    monkeypatch.setattr(
        anycat.Categorical,
        "sample",
        lambda self, shape, rng: sample(self, shape, rng=next(seeds)),
    )
    assert program.main() == 1
    assert "DIFFERENT" in capsys.readouterr().out

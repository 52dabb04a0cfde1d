"""The floating-point modes of a thread: draws and checks are as in the default mode."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rows

from anycat import Categorical
from anycat._kernels.cpu import threads
from anycat._kernels.float_env import default_float_env, is_default_float_env

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = np.ndarray[Any, Any]

# The arguments of fesetround(), as <fenv.h> of the x86 defines them.
ROUNDING = {"downward": 0x400, "upward": 0x800, "toward zero": 0xC00}
X86 = sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")
MODES = [
    "no subnormal numbers",
    *(
        pytest.param(name, marks=pytest.mark.skipif(not X86, reason="needs Linux on an x86"))
        for name in ROUNDING
    ),
]
SHAPES = [(3,), (40, 5), (70, 100), (5, 5000), (5000, 7), (40, 5000)]


@contextlib.contextmanager
def mode(name: str) -> Iterator[None]:
    if name in ROUNDING:
        libm = ctypes.CDLL("libm.so.6")
        assert libm.fesetround(ROUNDING[name]) == 0
        try:
            yield
        finally:
            libm.fesetround(0)
        return
    torch = pytest.importorskip("torch")
    assert torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def outcome(x: Array, form: str, validate: bool) -> Any:
    """Return the draws, or the message of an error."""
    try:
        return Categorical(**{form: x}, validate_args=validate).sample(20, rng=1)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("name", MODES)
def test_which_mode_it_is(name: str) -> None:
    assert is_default_float_env()
    with mode(name):
        assert not is_default_float_env()
        with default_float_env():
            assert is_default_float_env()
        assert not is_default_float_env()
    assert is_default_float_env()


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("form", "kind"),
    [(form, kind) for form, kind in rows.KINDS if kind in ("plain", "subnormal", "wide", "high")],
)
def test_draws_and_checks(name: str, shape: Any, dtype: Any, form: str, kind: str) -> None:
    x = rows.make(form, kind, shape, dtype)
    place = tuple(n // 2 for n in shape[:-1])
    impossible, invalid = x.copy(), x.copy()
    impossible[place] = -np.inf if form == "logits" else 0
    invalid[(*place, -1)] = np.nan
    for y in (x, impossible, invalid):
        for validate in (False, True):
            expected = outcome(y, form, validate)
            assert isinstance(expected, str) == (validate and y is not x)
            with mode(name):
                found = outcome(y, form, validate)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", MODES)
def test_rows_that_are_looked_at_one_by_one(name: str) -> None:
    x = np.zeros((20_000, 2))
    x[:, 1] = np.finfo(x.dtype).smallest_subnormal
    x[7] = 1e308, 1e307  # whose sum might be infinite, so that all rows are checked again
    with mode(name):
        draws = Categorical(x).sample(rng=1)
    assert draws[7] in (0, 1)
    assert (np.delete(draws, 7) == 1).all()


def test_threads_that_start_in_that_mode_do_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(threads, "NS_PER_THREAD", 1.0)
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 3)
    monkeypatch.setattr(threads, "_threads", [])
    monkeypatch.setattr(threads, "_jobs", SimpleQueue())
    x = rows.make("probs", "subnormal", (3000, 20), np.float64)
    assert torch.set_flush_denormal(True)
    try:
        dist = Categorical(x)
        assert np.isfinite(dist.entropy()).all()
    finally:
        torch.set_flush_denormal(False)
    assert threads._threads
    assert dist.sample(rng=1).min() >= 0

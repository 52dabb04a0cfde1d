"""Truncation by CUDA kernels keeps what the definition says, and stays on the device."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import oracle
import pytest
import rows
from cases import DTYPES, LAYOUTS, make, widened

from anycat import Categorical
from anycat._kernels import cpu, cuda

if TYPE_CHECKING:
    from types import ModuleType

Array = np.ndarray[Any, Any]

truncation: Any = importlib.import_module("anycat._kernels.cuda.truncate")

NAMES = "temperature", "top_k", "top_p", "min_p"
ARGUMENTS: list[dict[str, float]] = [
    {"top_k": 1},
    {"top_k": 60, "top_p": 0.7},
    {"top_p": 0.5, "min_p": 0.01},
    {"temperature": 0.7, "top_k": 40, "top_p": 0.95, "min_p": 1e-3},
    {"temperature": 1e3, "top_p": 0.999},
]


def truncated(cupy: ModuleType, x: Array, form: str, arguments: dict[str, Any]) -> Array:
    """Truncate rows by the CUDA kernels."""
    given = [arguments.get(name) for name in NAMES]
    given = [cupy.asarray(y) if isinstance(y, np.ndarray) else y for y in given]
    return cupy.asnumpy(cuda.truncate(cupy.asarray(x), form == "logits", given, {}))


def check(cupy: ModuleType, x: Array, form: str, arguments: dict[str, Any]) -> None:
    """Compare the rows of a matrix with the oracle."""
    found = truncated(cupy, x, form, arguments)
    for r, row in enumerate(widened(x)):
        of_row = {n: a[r].item() if isinstance(a, np.ndarray) else a for n, a in arguments.items()}
        expected = oracle.truncated(row, form, **of_row)
        np.testing.assert_array_equal(found[r], expected, f"{x.shape}, {of_row}")


def tied(x: Array, ties: str) -> Array:
    """Return rows in which values repeat."""
    rng = np.random.default_rng(x.shape[-1])
    with np.errstate(all="ignore"):
        if ties == "rounded":
            return (np.round(x * 4) / 4).astype(x.dtype)
        x = x.copy()
        x[..., rng.integers(x.shape[-1], size=x.shape[-1] // 2)] = x[..., :1]
    return x


def of_form(arguments: dict[str, float], form: str) -> dict[str, float]:
    return {n: a for n, a in arguments.items() if form == "logits" or n != "temperature"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_vectors(form: str, dtype: str, on_cpu: ModuleType) -> None:
    for weights, arguments, left in rows.TRUNCATIONS:
        if "temperature" in arguments and form == "probs":
            continue
        x = np.asarray(weights, dtype)
        x = np.log(x) if form == "logits" else x
        dist = Categorical(**{form: on_cpu.asarray(x)}, validate_args=False).truncate(**arguments)
        if dtype != "float16":  # NumPy, for CuPy, masks those on the CPU; and logits are rounded
            assert type(dist._param) is on_cpu.ndarray
            kept = np.asarray(dist._param) > (-np.inf if form == "logits" else 0)
            assert kept.tolist() == [w > 0 for w in left]
        expected = Categorical(**{form: x}).truncate(**arguments)
        np.testing.assert_array_equal(dist._param, expected._param)
        drawn = dist.sample(30, rng=5)
        assert type(drawn) is type(dist._param)
        np.testing.assert_array_equal(drawn, expected.sample(30, rng=5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_hard_rows(form: str, kind: str, dtype: str, cupy: ModuleType) -> None:
    for i, size in enumerate((1, 2, 31, 64, 65, 300)):
        x = make(form, kind, (2, size), dtype)
        check(cupy, x, form, of_form(ARGUMENTS[i % len(ARGUMENTS)], form))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_long_hard_rows(form: str, kind: str, dtype: str, cupy: ModuleType) -> None:
    for i, size in enumerate((4095, 4096, 4097, 8193)):
        x = make(form, kind, (1, size), dtype)
        check(cupy, x, form, of_form(ARGUMENTS[(i + 1) % len(ARGUMENTS)], form))


@pytest.mark.parametrize("ties", ["rounded", "repeated"])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_ties(form: str, ties: str, cupy: ModuleType) -> None:
    for size in (65, 4097):
        x = tied(make(form, "plain", (1, size), "float32"), ties)
        for arguments in ({"top_k": size // 3}, {"top_p": 0.4}, {"top_k": 50, "top_p": 0.6}):
            check(cupy, x, form, arguments)


def test_zeros_are_equal(cupy: ModuleType) -> None:
    x = np.array([[0.0, -0.0, 0.0, -1.0, -0.0]], np.float32)
    for k in range(1, 6):
        check(cupy, x, "logits", {"top_k": k})


def test_tiles_of_other_exponents(cupy: ModuleType) -> None:
    """Integers of tiles are compared and summed in one unit."""
    x = make("logits", "plain", (1, 3 * 4096), "float32")
    x[0, 5000], x[0, 9000] = 12, 30
    x[0, 4096:8192] += np.float32(14)
    arguments: dict[str, Any]
    for arguments in (
        {"top_k": 3},
        {"top_p": 1 - 1e-7},
        {"top_p": 1 - 1e-7, "min_p": 1e-6},
        {"min_p": 1e-6},
        {"top_k": 900, "min_p": 1e-9},
    ):
        check(cupy, x, "logits", arguments)
        check(cupy, np.exp(x), "probs", arguments)


@pytest.mark.parametrize("x", [0.3, 2**-20, 2**-20 * (1 + 2**-52), 1 - 2**-53, 5e-324, 1e-9])
def test_a_share_is_exact(x: float, cupy: ModuleType) -> None:
    for weights in ([2**48 + 1, 2**48 - 1, 3], [1, 1, 1, 1], [3, 2, 1], [2**30, 1, 1]):
        for name in ("top_p", "min_p"):
            check(cupy, np.array([weights], np.float64), "probs", {name: x})


@pytest.mark.parametrize("heat", [-0.0, 5e-324, 1e-60, 1e-40, 3e38, 1e39, 1e300])
def test_extreme_temperatures(heat: float, cupy: ModuleType) -> None:
    """CuPy's division takes subnormals for zero; a temperature beyond the type is its largest."""
    for dtype in ("float32", "float64"):
        x = np.array([[-np.inf, 1.5, 2.0, -3e38, 2.0, 0.1]], dtype)
        check(cupy, x, "logits", {"temperature": heat})
        check(cupy, x, "logits", {"temperature": heat, "top_p": 0.5})
        found = cpu.truncate(x, True, [heat, None, 0.5, None], {})
        expected = oracle.truncated(x[0], "logits", heat, top_p=0.5)
        np.testing.assert_array_equal(found[0], expected)


def test_arguments_of_rows(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truncation, "MAX_BLOCKS", 5)  # so that each truncates several rows
    rng, x = np.random.default_rng(1), make("logits", "plain", (12, 90), "float32")
    arguments = {
        "temperature": rng.choice([0, 0.5, 1, 2], 12).astype(np.float32),
        "top_k": rng.choice(np.array([1, 3, 50, 2**64 - 1], np.uint64), 12),
        "top_p": rng.choice(np.array([0.3, 0.9, 1], np.float32), 12),
        "min_p": rng.choice(np.array([0, 0.01, 0.2], np.float16), 12),
    }
    check(cupy, x, "logits", arguments)
    monkeypatch.setattr(truncation, "PIECE_ELEMENTS", 200)
    check(cupy, np.asfortranarray(x), "logits", arguments)


def test_invalid_rows(cupy: ModuleType) -> None:
    nan, inf = np.nan, np.inf
    x = np.ones((12, 5000), np.float32)
    x[0, 4999], x[1, 0], x[2, 4096], x[3] = nan, -nan, inf, 0
    x[4, 7] = -1
    bad = {
        "temperature": np.array([1.0] * 5 + [-1, nan, inf] + [1] * 4),
        "top_k": np.array([9] * 8 + [0] + [9] * 3),
        "top_p": np.array([0.5] * 9 + [0, nan, 0.5]),
        "min_p": np.array([0.0] * 11 + [1.5]),
    }
    for form in ("probs", "logits"):
        found = truncated(cupy, x, form, bad)
        view = [bad[name] for name in NAMES]
        np.testing.assert_array_equal(found, cpu.truncate(x, form == "logits", view, {}))
        assert np.isnan(found[5:]).all()
        assert not cuda.keeps(cupy.asarray(found[5:]), form == "logits").any()
    assert np.isnan(truncated(cupy, x[:5], "probs", {"top_k": 3})).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_class(layout: str, on_cpu: ModuleType) -> None:
    """Parameters and draws are those on the CPU, for any layout and batch."""
    x, change = make("probs", "plain", (3, 5, 90), "float32"), LAYOUTS[layout]
    arguments: dict[str, Any] = {"top_k": 20, "top_p": 0.8, "min_p": 0.1}
    expected = Categorical(change(x)).truncate(**arguments)
    on_gpu = change(on_cpu.asarray(x)).view(on_cpu.ndarray)
    dist = Categorical(on_gpu, validate_args=False).truncate(**arguments)
    assert type(dist._param) is on_cpu.ndarray
    np.testing.assert_array_equal(dist._param, expected._param)
    drawn = dist.sample(3, rng=1)
    np.testing.assert_array_equal(drawn, expected.sample(3, rng=1))


def test_subnormals_are_kept(on_cpu: ModuleType) -> None:
    """Dtypes other than those of the kernels are truncated by a mask of what is kept."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = np.array([1e-40, 3e-40, 0, 2e-40], np.float32).astype(bfloat16)
    dist = Categorical(on_cpu.asarray(x), validate_args=False).truncate(top_k=2)
    assert dist._param.dtype == bfloat16
    assert (np.asarray(dist._param) != 0).tolist() == [False, True, False, True]
    assert Categorical(on_cpu.asarray(np.zeros((0, 5))), validate_args=False).truncate(
        top_k=2
    )._param.shape == (0, 5)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_many_blocks(form: str, dtype: str, device: ModuleType) -> None:
    """Blocks that run at once do not disturb each other."""
    for n, size in ((20_011, 10), (3001, 200), (300, 4096), (20, 50257), (3, 128256)):
        x = make(form, "plain", (n, size), dtype)
        for arguments in ARGUMENTS:
            given = of_form(arguments, form)
            view = [given.get(name) for name in NAMES]
            expected = cpu.truncate(widened(x), form == "logits", view, {})
            np.testing.assert_array_equal(truncated(device, x, form, given), expected)

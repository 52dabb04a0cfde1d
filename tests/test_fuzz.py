"""A bounded run of `fuzz.py`, and each of its checks with a fault that it must find."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sys
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import fuzz
import hostile
import numpy as np
import pytest

import anycat.numba
from anycat import Categorical, _progress, _shapes, _validation
from anycat._backends.base import Backend
from anycat._kernels.keys import key_of_flat
from anycat.numba import draw_prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIBRARIES = hostile.installed()
PARTS, CASES = 4, 1000


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_hostile_parameters(part: int) -> None:
    indices = range(part * CASES, (part + 1) * CASES)
    _, counts, failures = fuzz.run_cases(0, indices, LIBRARIES)
    commands = [fuzz.command(0, LIBRARIES, failure.index) for failure in failures]
    assert not failures, "\n".join([failures[0].case, failures[0].error, *commands])
    assert counts["draws that the oracle makes"] > CASES / 2
    assert counts["refused parameters"] > CASES / 20
    assert all(counts[name] for name in (*fuzz.CHECKS, "bars"))
    for names in (hostile.LAYOUTS["numpy"], hostile.INTEGERS, hostile.FLOATS[:3]):
        assert all(counts[f"layout: {x}"] or counts[f"dtype: {x}"] for x in names)


def test_a_case_follows_from_the_seed_and_its_number() -> None:
    for index in range(50):
        one, other = (fuzz.Case(3, index, LIBRARIES) for _ in range(2))
        assert one.describe() == other.describe()
        assert one.plain.tobytes() == other.plain.tobytes()
        assert fuzz.name_of(one.plain.dtype) == one.params.dtype
    descriptions = {fuzz.Case(seed, 0, LIBRARIES).describe() for seed in range(20)}
    assert len(descriptions) == 20


# --- faults, by the check that finds them


def changed(name: str, change: Callable[..., Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what makes a method return ``change(result, arguments)``."""
    member = vars(Categorical)[name]
    get = member if callable(member) else member.__get__

    @functools.wraps(get)
    def method(dist: Categorical, *args: Any, **options: Any) -> Any:
        return change(get(dist, *args, **options), options)

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(Categorical, name, method if callable(member) else property(method))

    return plant


def changed_arguments(
    name: str, argument: str, change: Callable[[Any], Any]
) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what makes a method take another argument than the one given."""
    get = vars(Categorical)[name]

    def method(dist: Categorical, *args: Any, **options: Any) -> Any:
        if argument in options:
            options[argument] = change(options[argument])
        return get(dist, *args, **options)

    return replaced(Categorical, name, method)


def larger(x: Any, _: Any) -> Any:
    return x * 1.01 + 0.001 if "float64" in str(x.dtype) else x


def next_category(draws: Any, _: Any) -> Any:
    return draws + (draws == 0)


def next_in_other_dtypes(draws: Any, options: Any) -> Any:
    return draws + (draws == 0) if "dtype" in options else draws


def next_without_replacement(draws: Any, options: Any) -> Any:
    return draws if options.get("replace", True) else draws + (draws == 0)


def one_word_more(draws: Any, options: Any) -> Any:
    rng = options.get("rng")
    if isinstance(rng, np.random.BitGenerator):
        rng.random_raw()
    return draws


def warned(x: Any, _: Any) -> Any:
    warnings.warn("invalid value", RuntimeWarning, stacklevel=1)
    return x


def replaced(owner: Any, name: str, new: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(owner, name, new)


def replaced_in_backend(name: str, new: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what replaces something of a backend, whose library need not be installed."""
    return lambda patch: patch.setattr(f"anycat._backends.{name}", new)


def first_draws(patch: pytest.MonkeyPatch) -> None:
    from anycat._backends import dask

    def draws_of(block: Any, draws: Any, find: Any = dask._draws_of) -> Any:
        return find(block, draws)._replace(start=(0,) * len(draws.shape))

    patch.setattr(dask, "_draws_of", draws_of)


@contextlib.contextmanager
def report_half(total: int, report: Any = _progress.report) -> Iterator[Callable[[int], None]]:
    with report(total) as done:
        yield lambda n: done(n // 2)


FAULTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "invalid rows are accepted": (
        "construct",
        replaced(Backend, "validate_rows", lambda self, name, x, cache: x),
    ),
    "a warning leaks": ("entropy", changed("entropy", warned)),
    "draws of probability zero": ("draws", changed("sample", next_category)),
    "other draws": ("oracle", changed("sample", next_category)),
    "other draws in other dtypes": ("ways", changed("sample", next_in_other_dtypes)),
    "a word more is taken": ("generator", changed("sample", one_word_more)),
    "other draws without replacement": ("distinct", changed("sample", next_without_replacement)),
    "other counts": ("counts", changed("sample_counts", lambda x, _: x + 1)),
    "another part": ("parts", changed("__getitem__", lambda part, _: part.expand((2, 1)))),
    "other seeds": (
        "seeds",
        changed_arguments("sample", "seeds", lambda seeds: seeds + 1 if np.ndim(seeds) else seeds),
    ),
    "other positions": (
        "seeds",
        changed_arguments("sample", "start", lambda start: start * (np.ndim(start) == 0)),
    ),
    "more is kept": ("truncate", changed_arguments("truncate", "top_k", lambda k: k + 1)),
    "less is kept": ("truncate", changed_arguments("truncate", "top_p", lambda p: p * 0.9)),
    "icdf": ("icdf", changed("icdf", lambda x, _: x + 1)),
    "mode": ("mode", changed("mode", lambda x, _: x + 1)),
    "the support": ("attributes", changed("enumerate_support", lambda x, _: x + 1)),
    "another log_prob of draws": (
        "sample_and_log_prob",
        changed("sample_and_log_prob", lambda both, _: (both[0], larger(both[1], _))),
    ),
    "half of the progress": ("progress", replaced(_progress, "report", report_half)),
    "another draw by Numba": (
        "numba",
        replaced(
            anycat.numba, "draw_prepared", lambda table, key, i: draw_prepared(table, key, i + 1)
        ),
    ),
    "each chunk has the first draws": ("dask", first_draws),
    "invalid rows of chunks are accepted": (
        "dask",
        replaced_in_backend("dask.DaskBackend.validate_rows", lambda self, name, x, cache: x),
    ),
    "other draws in compiled functions of JAX": (
        "jax",
        replaced_in_backend("jax.key_of_flat", lambda words: key_of_flat(words + 1)),
    ),
    "other results of JAX": (
        "jax",
        replaced_in_backend("jax.JAXBackend.from_kernel", lambda self, out, params: np.flip(out)),
    ),
    "divergence": ("kl_divergence", changed("_kl_divergence", larger)),
    "a quantile is not checked": (
        "wrong arguments",
        replaced(_validation, "check_quantile", lambda *_: None),
    ),
    "an error of NumPy's own": (
        "wrong arguments",
        replaced(_shapes, "check_expansion", lambda _, shape: np.empty(-1)),
    ),
    **{
        name: (name, changed(name, larger))
        for name in ("log_prob", "prob", "cdf", "probs", "logits", "entropy", "perplexity")
    },
}


@pytest.mark.parametrize(("check", "plant"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found(
    check: str, plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = ("numpy", check) if check in hostile.OTHERS else ("numpy",)
    for library in libraries:
        pytest.importorskip(library)
    plant(monkeypatch)
    only = {check: fuzz.CHECKS[check]} if check in fuzz.CHECKS else fuzz.CHECKS
    monkeypatch.setattr(fuzz, "CHECKS", only)
    counts: Counter[str] = Counter()
    failures = (fuzz.run_case(0, index, libraries, counts) for index in range(400))
    assert any(failure and failure.check == check for failure in failures)


# --- the program


def run(patch: pytest.MonkeyPatch, *options: str) -> int:
    patch.setattr(sys, "argv", ["fuzz.py", "--libraries=numpy", *options])
    return fuzz.main()


@pytest.mark.slow
def test_a_failure_prints_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--cases=30", "--first=7") == 0
    assert "30 cases in " in capsys.readouterr().out
    monkeypatch.setattr(Categorical, "mode", property(lambda dist: 1 / 0))
    assert run(monkeypatch, "--cases=200") == 1
    commands = re.findall(r"--seed 0 --libraries numpy --only (\d+)", capsys.readouterr().out)
    assert run(monkeypatch, f"--only={commands[0]}") == 1
    assert "1 cases in " in capsys.readouterr().out


def test_a_run_goes_on_with_the_recorded_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fuzz, "RESULTS", tmp_path / "fuzz.json")

    def recorded(first: int, cases: int) -> dict[str, Any]:
        run(monkeypatch, f"--first={first}", f"--cases={cases}", "--record")
        found: dict[str, Any] = json.loads(fuzz.RESULTS.read_text())
        return {name: found[name] for name in ("first", "cases", "failures", "counts")}

    whole = recorded(0, 50)
    assert whole["first"] == 0
    assert whole["cases"] == 50
    recorded(0, 20)
    assert recorded(20, 30) == whole
    assert recorded(51, 5)["cases"] == 5  # after a gap


# --- what fuzzing has found


@pytest.mark.parametrize("rows", [1, 70])
def test_entropy_with_the_largest_number_in_a_later_tile(rows: int) -> None:
    logits = np.zeros((rows, 5000))
    logits[:, -1] = np.finfo(np.float64).max
    np.testing.assert_array_equal(Categorical(logits=logits).entropy(), np.zeros(rows))


def test_values_with_more_than_32_axes() -> None:
    dist = Categorical(np.ones((*(1,) * 40, 2, 4)))
    np.testing.assert_array_equal(dist.prob([1, 2]), np.full((*(1,) * 40, 2), 0.25))
    np.testing.assert_array_equal(dist.prob(3), np.full((*(1,) * 40, 2), 0.25))


def test_values_in_half_precision_with_a_last_axis_of_length_1() -> None:
    random = np.random.default_rng(0)
    x, value = random.integers(1, 4, (3, 1, 18)), random.integers(0, 18, (3000, 3, 1))
    found, expected = (Categorical(x.astype(dtype)).prob(value) for dtype in ("f2", "f4"))
    np.testing.assert_array_equal(found, expected.astype("f2"))


def test_refused_tensors_with_a_gradient_do_not_warn() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"probs\[1\] is -1.0"):
        Categorical(torch.tensor([1.0, -1.0], requires_grad=True))

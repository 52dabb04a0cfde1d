"""The package: its names, and what importing it costs."""

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import anycat
from anycat._backends.registry import LIBRARIES
from anycat._kernels.cuda import diagnose
from anycat._messages import PIP

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
HEAVY = ["cupy", "dask", "jax", "numba", "torch"]
IMPORTS = {"torch": "torch", "jax": "jax", "jnp": "jax.numpy", "da": "dask.array"}
IMPORTS |= {"array_api_strict": "array_api_strict"}
USE = """from anycat import Categorical
def use(x):
    d = Categorical(x)
    draws = d.sample(5, rng=0)
    return d.log_prob(draws) + d.entropy()
0"""


def run(code: str, *options: str) -> str:
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def test_public_names() -> None:
    public = {
        name
        for name, value in vars(anycat).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public | {"__version__"} == set(anycat.__all__)
    assert len(anycat.__all__) == len(set(anycat.__all__))


def test_modules_are_imported_when_they_are_asked_for() -> None:
    code = "import sys, anycat; print('anycat.numba' in sys.modules, anycat.numba.draw.__name__)"
    assert run(code) == "False draw"
    with pytest.raises(AttributeError, match="module 'anycat' has no attribute 'jax'"):
        _ = anycat.jax


def test_dir_lists_modules_before_they_are_imported() -> None:
    modules = {"numba", "torch"} if find_spec("torch") else {"numba"}
    assert set(dir(anycat)) == {*anycat.__all__, *modules}


def test_every_public_name_is_documented() -> None:
    members = {k: v for k, v in vars(anycat.Categorical).items() if not k.startswith("_")}
    things = {"class": anycat.Categorical, "kl_divergence": anycat.kl_divergence, **members}
    docs = {name: (thing.__doc__, type(thing).__doc__) for name, thing in things.items()}
    assert [name for name, (own, of_type) in docs.items() if own in (None, "", of_type)] == []


@pytest.mark.parametrize(
    "code", ["import anycat", "import anycat as a; a.Categorical([0.5, 0.5]).sample()"]
)
def test_the_namespace_of_numpy_is_loaded_when_it_is_needed(code: str) -> None:
    """It loads all of NumPy's submodules, which takes longer than all else."""
    assert run(f"{code}; import sys; print('array_api_compat.numpy' in sys.modules)") == "False"


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import anycat", []),
        ("from anycat import Categorical as C, kl_divergence", []),
        ("import anycat.numba", ["numba"]),
        ("from anycat import Categorical as C; C([1, 3]).sample()", ["numba"]),
        (f"{USE}; use(torch.ones(3))", ["numba", "torch"]),
        (f"{USE}; use(jnp.ones(3)); jax.jit(use)(jnp.ones(3))", ["jax", "numba"]),
        (f"{USE}; use(da.ones(3)); use(da.ones(3)).compute()", ["dask", "numba"]),
        (f"{USE}; use(array_api_strict.ones(3))", ["numba"]),
    ],
)
def test_what_is_imported(code: str, loaded: list[str]) -> None:
    """What is not asked for costs nothing: no library imports another."""
    for name, module in IMPORTS.items():
        if f"{name}." in code:
            pytest.importorskip(module)
            code = f"import {module} as {name}; {code}"
    found = run(f"{code}; import sys; print(*sorted(set({HEAVY}) & set(sys.modules)))")
    assert found.split() == loaded


@pytest.mark.slow
def test_the_compiler_of_pytorch_is_not_loaded() -> None:
    """It takes a second, and turns off the checks of `torch.distributions`."""
    pytest.importorskip("torch")
    code = (
        f"import torch, anycat.torch; {USE}; use(torch.ones(3)); torch.vmap(use)(torch.ones(2, 3))"
    )
    assert run(f"{code}; import sys; print('torch._dynamo' in sys.modules)") == "False"


TRY = """
from anycat import Categorical
for options in ({}, {'validate_args': None}, {'validate_args': True}, {'validate_args': False}):
    try:
        print(Categorical([[-1.0, 2.0]], **options).batch_shape, end=' ')
    except ValueError:
        print('ValueError', end=' ')
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "expected"),
    [((), "ValueError ValueError ValueError (1,)"), (("-O",), "(1,) (1,) ValueError (1,)")],
    ids=["python", "python -O"],
)
def test_validate_args_by_default(options: tuple[str, ...], expected: str) -> None:
    assert run(TRY, *options) == expected


# --- what pyproject.toml says, and what messages and tests make of it


def test_pythons() -> None:
    """From the oldest that is required on, each is named, and so tested by nox."""
    found = [x.split(" 3.")[-1] for x in PROJECT["project"]["classifiers"] if ":: 3." in x]
    oldest = int(PROJECT["project"]["requires-python"].removeprefix(">=3."))
    assert list(map(int, found)) == list(range(oldest, oldest + len(found)))


def test_what_messages_install_is_what_the_extras_do() -> None:
    """They name requirements, not extras, so that they also work where anycat is on no index."""
    tests = PROJECT["dependency-groups"]["tests"]
    for library in LIBRARIES[2:]:
        assert library.requirement in EXTRAS.get(library.name, tests), library
    for cuda in (12, 13):
        command = diagnose._install(cuda)
        assert command.startswith(f"{PIP} install '")
        assert set(re.findall("'(.*?)'", command)) == set(EXTRAS[f"cupy-cuda{cuda}x"]) - {
            "ml_dtypes>=0.5"  # which only bfloat16 needs
        }

"""Compiled kernels are kept on disk until any of their sources changes, if the disk can be used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import pytest

import anycat
from anycat import Categorical
from anycat._kernels import fork
from anycat._kernels.cpu.jit import disk
from anycat._kernels.cpu.jit import entry as entry_module
from anycat._kernels.cpu.jit.entry import entry

if TYPE_CHECKING:
    from collections.abc import Callable

DRAW = """
import numpy as np
from anycat import Categorical
draws = Categorical(np.ones(50, np.float32), validate_args=False).sample(20, rng=1)
from anycat._kernels.cpu.jit.small import draw_small
print(*draws, sum(draw_small.stats.cache_hits.values()), draw_small.stats.cache_path)
"""
DRAWS = [str(k) for k in Categorical(np.ones(50, np.float32)).sample(20, rng=1)]
HELPER = Path("_kernels", "cpu", "jit", "philox.py")  # another file than that of `draw_small`

# --- other processes --------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package."""
    source = Path(anycat.__file__).parent
    return shutil.copytree(
        source, tmp_path / "anycat", ignore=shutil.ignore_patterns("__pycache__")
    )


def start(package: Path, code: str = DRAW, **variables: str) -> subprocess.Popen[str]:
    """Start a process that keeps kernels in a folder beside the package."""
    parent = str(package.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": parent,
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": f"{parent}/cache",
        **variables,
    }
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[list[str], int, str]:
    """Return the draws of a process, how many kernels it loaded, and the cache's folder."""
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    *draws, hits, path = output.split()
    return draws, int(hits), path


@pytest.mark.slow
def test_a_changed_helper_is_compiled_again(package: Path) -> None:
    at_once = [start(package), start(package)]  # neither disturbs the other
    for process in at_once:
        draws, hits, path = finish(process)
        assert draws == DRAWS
        assert path.startswith(str(package.parent))
    assert finish(start(package)) == (DRAWS, 1, path)

    helper = package / HELPER
    text = helper.read_text()
    assert text.count("return c0 | (c1 << HALF), c2 | (c3 << HALF)") == 1
    helper.write_text(text.replace("return c0 | (c1 << HALF)", "return c1 | (c0 << HALF)"))
    changed, hits, _ = finish(start(package))
    assert changed != DRAWS
    assert hits == 0
    assert finish(start(package))[:2] == (changed, 1)
    assert len(list(package.parent.glob("cache/**/small.draw_small*"))) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="the user's cache cannot be moved")
def test_no_folder_to_write_to(package: Path) -> None:
    """As where the package is read-only and there is no home: files stand for these folders."""
    file = package.parent / "file"
    for path in (file, package / HELPER.parent / "__pycache__"):
        path.touch()
    folders = dict.fromkeys(["NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME"], str(file))
    code = DRAW.replace(", validate_args=False", "")  # another kernel
    output, errors = start(package, code, **folders).communicate()
    assert output.split() == [*DRAWS, "0", "None"]
    assert errors.count("Warning") == 1
    assert errors.startswith("<string>:4: RuntimeWarning: anycat cannot keep its compiled kernels")
    assert "Set the environment variable NUMBA_CACHE_DIR to a folder" in errors
    assert "no locator available" in errors  # Numba's reason


def test_a_compiler_that_is_turned_off(package: Path) -> None:
    code = """if True:
        import anycat
        for i in range(2):
            try:
                anycat.Categorical([0.5, 0.5])
            except RuntimeError as error:
                print(error)"""
    output, errors = start(package, code, NUMBA_DISABLE_JIT="1").communicate()
    assert not errors
    assert output.count("unset the environment variable NUMBA_DISABLE_JIT") == 2


# --- this process -----------------------------------------------------------------------------


def increment(x: Any) -> Any:
    """Return the next number, of the same type: two signatures that differ in their code."""
    return x + 1


class Failed(Exception):
    """What a test raises in place of the disk."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new folder in which this process keeps what it compiles."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(disk, "_warned", False)
    return tmp_path


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def run(argument: Any = 1) -> int:
    """Call the function in a new dispatcher; return how many signatures that loaded."""
    function = entry(increment)
    assert function(argument) == argument + 1
    return sum(function.stats.cache_hits.values())


def test_a_file_for_each_signature(cache: Path) -> None:
    assert [run(1), run(1.5), run(1), run(1.5)] == [0, 0, 1, 1]
    assert len(files(cache)) == 2


def test_options_are_part_of_the_key(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [entry(increment, fastmath=x)(1.5) for x in (True, False)] == [2.5, 2.5]
    assert len(files(cache)) == 2
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)  # as by NUMBA_BOUNDSCHECK=1
    assert entry(increment, fastmath=True)(1.5) == 2.5
    assert len(files(cache)) == 3


DAMAGE: dict[str, Callable[[bytes, bytes], bytes]] = {
    "empty": lambda good, other: b"",
    "short": lambda good, other: good[:20],
    "truncated": lambda good, other: good[:-100],
    "longer": lambda good, other: good + b"\0",
    "a bit flipped": lambda good, other: good[:3000] + bytes([good[3000] ^ 1]) + good[3001:],
    "zeros": lambda good, other: bytes(len(good)),
    "a pickle of something else": lambda good, other: b"\x80\x04N.",
    "of another signature": lambda good, other: other,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_replaced(cache: Path, damage: str) -> None:
    run(1)
    (path,) = files(cache)
    good = path.read_bytes()
    run(1.5)
    (other,) = set(files(cache)) - {path}
    path.write_bytes(DAMAGE[damage](good, other.read_bytes()))
    assert [run(1), run(1)] == [0, 1]
    assert len(files(cache)) == 2


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        (numba, "__version__", "0.0"),
        (disk, "DIGEST", "of other sources"),
        ("numba.core.codegen.JITCPUCodegen", "magic_tuple", lambda _: ("another processor",)),
    ],
    ids=["Numba", "sources", "processor"],
)
def test_what_another_made_is_not_loaded(
    cache: Path, monkeypatch: pytest.MonkeyPatch, target: Any, name: str, value: Any
) -> None:
    """Not even under the name that this one looks for."""
    where = (target, name) if not isinstance(target, str) else (f"{target}.{name}",)
    with monkeypatch.context() as patch:
        patch.setattr(*where, value)
        run()
    (foreign,) = files(cache)
    if name == "magic_tuple":
        assert run() == 0
        (path,) = set(files(cache)) - {foreign}
        foreign.replace(path)
    assert [run(), run()] == [0, 1]
    assert len(files(cache)) == 1


def test_a_folder_that_vanishes(cache: Path) -> None:
    run()
    for folder in cache.iterdir():
        shutil.rmtree(folder)
    assert [run(), run()] == [0, 1]


def test_a_full_disk(cache: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match=r"NUMBA_CACHE_DIR .*OSError.*File too large"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(cache) == []  # not even a part
    assert [run(), run()] == [0, 1]


def test_a_folder_in_place_of_the_file(cache: Path) -> None:
    run()
    (path,) = files(cache)
    path.unlink()
    path.mkdir()
    with pytest.warns(RuntimeWarning, match="Is a directory|Permission denied") as caught:
        assert [run(), run()] == [0, 0]
    assert len(caught) == 1
    assert caught[0].filename == __file__  # not a file of anycat or Numba
    assert files(cache) == []


@pytest.mark.parametrize(
    ("missing", "kept", "locks"),
    [("caching.CompileResultCacheImpl", 0, 2), ("compiler_lock.global_compiler_lock", 1, 0)],
)
def test_a_numba_without_an_undocumented_name(
    cache: Path, monkeypatch: pytest.MonkeyPatch, missing: str, kept: int, locks: int
) -> None:
    spec = spec_from_file_location(f"{disk.__package__}.copy", str(entry_module.__file__))
    assert spec
    assert spec.loader
    copy = module_from_spec(spec)
    monkeypatch.setattr(fork, "LOCKS", [])
    with monkeypatch.context() as patch:
        patch.delattr(f"numba.core.{missing}")
        patch.delitem(sys.modules, disk.__name__)
        spec.loader.exec_module(copy)
        function = copy.entry(increment)
    assert function(1) == 2
    assert (len(files(cache)), len(fork.LOCKS)) == (kept, locks)


@pytest.mark.parametrize("method", ["rebuild", "reduce", "check_cachable"])
def test_what_numba_raises_does_no_harm(
    cache: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*args: Any) -> None:
        raise Failed

    run()
    monkeypatch.setattr(disk.CompileResultCacheImpl, method, fail)
    with pytest.warns(RuntimeWarning, match="Failed"):
        assert [run(1.5), run(1)] == [0, method != "rebuild"]


def test_what_compiling_raises_is_not_hidden(cache: Path) -> None:
    with pytest.raises(numba.TypingError):
        entry(increment)("text")
    assert files(cache) == []

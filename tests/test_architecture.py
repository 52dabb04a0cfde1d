"""The imports within the package: no circle, and none that points up."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import anycat
from anycat._backends.registry import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(anycat.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
    for path in ROOT.rglob("*.py")
}

# From the top down. A file may import from its own layer, and from those below it.
LAYERS = [
    ["__main__", "__init__", "cuda", "numba", "torch"],
    ["categorical"],
    ["_display", "_pickling", "_truncation"],
    ["_validation"],
    ["_arguments"],
    ["_shapes", "_keywords"],
    ["_backends"],
    ["_parameters", "_random", "_kernels", "_messages", "_progress", "_typing"],
]


def imported(module: str, node: ast.AST) -> Iterator[str]:
    """Yield the files of the package that an import statement names."""
    if isinstance(node, ast.Import):
        names = [name.name for name in node.names]
        yield from (x.removeprefix("anycat.") for x in names if x.startswith("anycat."))
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:  # relative to the package of the file
            package = module.split(".") if is_package(module) else module.split(".")[:-1]
            base = ".".join(filter(None, ["anycat", *package, base]))
        if base.partition(".")[0] != "anycat":
            return
        base = base.removeprefix("anycat").removeprefix(".")
        for name in node.names:
            inner = f"{base}.{name.name}".removeprefix(".")
            yield inner if inner in FILES or f"{inner}.__init__" in FILES else base


def is_package(module: str) -> bool:
    return f"{module}.__init__" in FILES


def imports(module: str) -> set[str]:
    name = module.removesuffix(".__init__")
    found = {x for node in ast.walk(FILES[module]) for x in imported(name, node)}
    files = {f"{x}.__init__" if f"{x}.__init__" in FILES else x for x in found}
    return {x for x in files if x in FILES and x != module}


GRAPH = {module: imports(module) for module in FILES}


def layer(module: str) -> int:
    return next(
        i
        for i, names in enumerate(LAYERS)
        if module.removesuffix(".__init__").split(".")[0] in names
    )


def test_the_reader_of_imports_reads_them() -> None:
    assert "_validation" in GRAPH["categorical"]
    assert "_backends.base" in GRAPH["_backends.torch"]
    assert "_kernels.__init__" in GRAPH["_backends.base"]
    assert "_kernels.layout" in GRAPH["_kernels.__init__"]
    assert "categorical" in GRAPH["torch"]
    assert "torch" not in GRAPH["_backends.torch"]  # which imports PyTorch, not the file here


def test_there_is_no_circle() -> None:
    """Imports for types, and those within functions, count too."""
    TopologicalSorter(GRAPH).prepare()  # raises CycleError, which names the files


@pytest.mark.parametrize("module", sorted(FILES))
def test_no_import_points_up(module: str) -> None:
    above = [x for x in GRAPH[module] if layer(x) < layer(module)]
    assert not above


@pytest.mark.parametrize("library", [x.name for x in LIBRARIES])
def test_only_the_registry_loads_the_file_of_a_library(library: str) -> None:
    """It does so by name; no other file imports one."""
    assert f"_backends.{library}" in FILES
    assert not [module for module in FILES if f"_backends.{library}" in GRAPH[module]]


@pytest.mark.parametrize("module", sorted(FILES))
def test_only_backends_and_kernels_name_an_array_library(module: str) -> None:
    """Not by an import, and not by a string either. A public file has the name of its library.

    That for Numba takes NumPy's arrays.
    """
    if module.startswith(("_backends.", "_kernels.")) or module == "_typing":  # for types alone
        return
    libraries = ({x.name for x in LIBRARIES} | {"numba", "ml_dtypes"}) - {module}
    libraries -= {"numpy"} if module == "numba" else set()
    named = [
        name
        for node in ast.walk(FILES[module])
        for name in (
            [alias.name.partition(".")[0] for alias in node.names]
            if isinstance(node, ast.Import)
            else [(node.module or "").partition(".")[0]]
            if isinstance(node, ast.ImportFrom) and not node.level
            else [node.value]
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            else []
        )
        if name in libraries
    ]
    assert not named

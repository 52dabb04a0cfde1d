"""Read `benchmarks/results`, and format its figures, and a notebook's output, for the pages."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from anycat import Categorical

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"
sys.path.append(str(BENCHMARKS))

# Of several functions of one library, the fastest counts.
LIBRARIES = {
    "NumPy": ("numpy", "by hand, numpy"),
    "SciPy": ("scipy",),
    "JAX": ("jax",),
    "PyTorch": ("torch",),
    "Numba by hand": ("numba",),
}
Times = dict[str, float]


def record(name: str) -> dict[str, Any]:
    """Return one of the result files."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def by_library(times: Times) -> Times:
    """Return the shortest time of each library."""
    found = {
        library: [t for name, t in times.items() if name.startswith(prefixes)]
        for library, prefixes in LIBRARIES.items()
    }
    return {library: min(ts) for library, ts in found.items() if ts}


def cases() -> dict[str, tuple[float, Times]]:
    """Return for each benchmark case the time of anycat, and of each library, in seconds."""
    from regimes import GROUPS

    medians = record("cpu")["median seconds"]
    return {name: (times[GROUPS[name].ours], by_library(times)) for name, times in medians.items()}


def ratio(x: float) -> str:
    return f"{x:.1g}" if x < 0.1 else f"{x:.1f}" if x < 10 else f"{x:.0f}"


def duration(seconds: float) -> str:
    """Return a time with its unit, to three digits."""
    units = ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
    scale, unit = next(x for x in units if seconds * x[0] >= 1)
    return f"{float(f'{seconds * scale:.3g}'):g} {unit}"


def table() -> str:
    """Return the time of anycat in each case, and that of each library divided by it."""
    head = ["benchmark case", "anycat", *LIBRARIES]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, (ours, others) in cases().items():
        shown = (f"{ratio(others[x] / ours)} \u00d7" if x in others else "" for x in LIBRARIES)
        rows.append([name, duration(ours), *shown])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


# For each table: the results, its first column, the names of anycat, and the titles of the others.
BESIDE: dict[str, tuple[str, str, tuple[str, ...], dict[str, str]]] = {
    "truncation": (
        *("language-models", "rows x tokens", ("anycat", "anycat, tensor")),
        {
            "anycat, plain draw": "anycat, no truncation",
            "anycat, top_p alone": "anycat, `top_p` alone",
            "anycat, min_p alone": "anycat, `min_p` alone",
            "numpy, sorted": "NumPy, sorted",
            "torch, warpers": "PyTorch, as in Transformers",
            "jax, lax.top_k, jitted": "JAX, `lax.top_k`",
        },
    ),
    "distinct": (
        *("without-replacement", "draws", ("anycat",)),
        {
            "anycat, again": "anycat, second call",
            "numpy": "NumPy",
            "torch.multinomial": "PyTorch",
            "jax, Gumbel top-k, jitted": "JAX, Gumbel top-k",
        },
    ),
    "counts": (
        *("counts", "rows x categories, draws from each", ("anycat",)),
        {
            "anycat, sample and bincount": "anycat, `sample` and `bincount`",
            "numpy, multinomial": "NumPy, `multinomial`",
            "numpy, choice and bincount": "NumPy, `choice` and `bincount`",
            "torch, multinomial and bincount": "PyTorch, `multinomial` and `bincount`",
        },
    ),
    "numba": (
        *("inside-numba", "row", ("anycat",)),
        {
            "anycat, prepared": "`draw_prepared`",
            "cumsum, searchsorted": "`cumsum` and `searchsorted`",
            "scan": "a loop that subtracts weights",
        },
    ),
}


def against(name: str) -> dict[str, tuple[float, Times]]:
    """Return for each case of a table the time of anycat, in seconds, and all times."""
    file, _, ours, _ = BESIDE[name]
    medians = record(file)["median seconds"]
    return {case: (next(t[x] for x in ours if x in t), t) for case, t in medians.items()}


def beside(name: str) -> str:
    """Return the time of anycat in each case of a table, and other times divided by it."""
    file, head, _, others = BESIDE[name]
    calls = record(file).get("draws", 1)
    rows = [[head, "anycat", *others.values()], ["---", *["---:"] * (1 + len(others))]]
    for case, (ours, times) in against(name).items():
        ratios = (f"{ratio(times[x] / ours)} \u00d7" if x in times else "" for x in others)
        rows.append([case.replace("e+0", "e"), duration(ours / calls), *ratios])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def machine() -> str:
    """Describe where the results come from."""
    found = record("cpu")["machine"]
    packages = {"numpy": "NumPy", "scipy": "SciPy", "jax": "JAX", "torch": "PyTorch"}
    versions = (f"{title} {found['versions'][name]}" for name, title in packages.items())
    return (
        f"{found['cpu']}, {found['cores']} cores, Python {found['python']}, {', '.join(versions)}"
    )


def repository() -> str | None:
    """Return the address of the repository, if pyproject.toml has one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    urls = {name.lower(): url for name, url in project.get("urls", {}).items()}
    return next((urls[x] for x in ("repository", "source", "homepage") if x in urls), None)


def substitutions() -> dict[str, Any]:
    """Return what pages may show as ``{{ name }}``, or ``{{ speedup["case"]["library"] }}``."""
    first = record("first-draw")["median seconds"]
    return {
        "speedup": {
            name: {library: ratio(t / ours) for library, t in others.items()}
            for name, (ours, others) in cases().items()
        },
        "time": {name: duration(ours) for name, (ours, _) in cases().items()},
        "first": {name: duration(t) for name, t in first.items()},
        "beside": {
            name: {
                case: {other: ratio(t / ours) for other, t in times.items()}
                for case, (ours, times) in against(name).items()
            }
            for name in BESIDE
        },
        "table": table(),
        **{name: beside(name) for name in BESIDE},
        "machine": machine(),
        "notebook": Categorical([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])._repr_html_(),
    }

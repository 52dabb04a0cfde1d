"""What pages and plots show: `benchmarks/results` in several forms, and what a notebook shows."""

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
    return f"{x:.2f}" if x < 0.1 else f"{x:.1f}" if x < 10 else f"{x:.0f}"


def duration(seconds: float) -> str:
    """Return a time with its unit, to three digits."""
    scale, unit = next(x for x in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if seconds * x[0] >= 1)
    return f"{float(f'{seconds * scale:.3g}'):g} {unit}"


def table() -> str:
    """Return the time of anycat in each case, and that of each library divided by it."""
    head = ["benchmark case", "anycat", *LIBRARIES]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, (ours, others) in cases().items():
        shown = (f"{ratio(others[x] / ours)} \u00d7" if x in others else "" for x in LIBRARIES)
        rows.append([name, duration(ours), *shown])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


# What is timed beside truncation and a draw, and how the table calls it.
BESIDE_TRUNCATION = {
    "anycat, plain draw": "anycat, no truncation",
    "anycat, top_p alone": "anycat, `top_p` alone",
    "anycat, min_p alone": "anycat, `min_p` alone",
    "numpy, sorted": "NumPy, sorted",
    "torch, warpers": "PyTorch, as in Transformers",
    "jax, lax.top_k, jitted": "JAX, `lax.top_k`",
}


def truncation() -> str:
    """Return the time of truncation and a draw, and other times divided by it."""
    medians = record("language-models")["median seconds"]
    timed = {name for times in medians.values() for name in times}
    shown = {name: title for name, title in BESIDE_TRUNCATION.items() if name in timed}
    rows = [["rows x tokens", "anycat", *shown.values()], ["---", *["---:"] * (1 + len(shown))]]
    for name, times in medians.items():
        ours = times.get("anycat", times["anycat, tensor"])
        ratios = (f"{ratio(times[x] / ours)} \u00d7" if x in times else "" for x in shown)
        rows.append([name, duration(ours), *ratios])
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
    models = record("language-models")["median seconds"]
    return {
        "speedup": {
            name: {library: ratio(t / ours) for library, t in others.items()}
            for name, (ours, others) in cases().items()
        },
        "time": {name: duration(ours) for name, (ours, _) in cases().items()},
        "first": {name: duration(t) for name, t in first.items()},
        "truncate": {
            name: {other: ratio(t / times["anycat"]) for other, t in times.items()}
            for name, times in models.items()
            if "anycat" in times
        },
        "table": table(),
        "truncation": truncation(),
        "machine": machine(),
        "notebook": Categorical([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])._repr_html_(),
    }

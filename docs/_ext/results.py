"""Put the figures of `benchmarks/results` into README.md and the pages.

``python docs/_ext/results.py`` updates what stands between ``<!-- = expression -->`` and
``<!-- end -->``; see `values` for the names. So pages can be read as they are, and a test tells
whether a figure differs from its file.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"
sys.path.append(str(BENCHMARKS))

# How the names of their functions begin. Of several of one library, the fastest counts.
LIBRARIES = {
    "NumPy": "(by hand, )?numpy choice",
    "SciPy": "scipy",
    "JAX": "jax",
    "PyTorch": "torch",
    "NumPy by hand": "(by hand, )?numpy(?! choice)",
    "JAX by hand": "by hand, jax",
    "PyTorch by hand": "by hand, torch",
    "Numba by hand": "numba",
}
Times = dict[str, float]


def record(name: str) -> dict[str, Any]:
    """Return one of the result files."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def by_library(times: Times) -> Times:
    """Return the shortest time of each library."""
    found = {
        library: [t for name, t in times.items() if re.match(start, name)]
        for library, start in LIBRARIES.items()
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


# The cases of the README and of the plot, in other words.
SHOWN = {
    "one row, K = 6, 1e6 draws": "a million draws from 6 categories, after set-up",
    "one row, K = 1000, 1e6 draws": "a million draws from 1000 categories, after set-up",
    "one row, K = 1e6, 1e6 draws, with set-up": (
        "a million draws from a million categories, with set-up"
    ),
    "1e5 rows x 10 probs": "100,000 rows of 10 probabilities",
    "1e4 rows x 100 logits": "10,000 rows of 100 logits",
    "64 rows x 128256 logits": "64 rows of 128,256 logits",
    "make and draw, NumPy, K = 6": "one row of 6 probabilities, NumPy",
    "make and draw, NumPy, 64 x 18": "64 rows of 18 probabilities, NumPy",
    "step of a policy, tensors, 64 x 18": "policy step, 64 rows of 18, PyTorch",
    "update with gradient, 4096 x 18": "policy gradient, 4096 rows of 18, PyTorch",
    "log_prob, 64 rows x 128256": "log_prob, 64 rows of 128,256 logits",
    "entropy, 1e5 rows x 10": "entropy, 100,000 rows of 10 logits",
}


def summary() -> str:
    """Return how many times as long the fastest alternative takes in each case, and PyTorch."""
    rows = [
        ["benchmark case", "fastest alternative", "PyTorch"],
        ["---", "---:", "---:"],
    ]
    found = cases()
    for name, title in SHOWN.items():
        ours, others = found[name]
        library = min(others, key=others.__getitem__)
        torch = f"{ratio(others['PyTorch'] / ours)} \u00d7"
        rows.append([title, f"{library}: {ratio(others[library] / ours)} \u00d7", torch])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def table() -> str:
    """Return the time of anycat in each case, and that of each library divided by it."""
    head = ["benchmark case", "anycat", *LIBRARIES]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, (ours, others) in cases().items():
        again = name.startswith("the same, ") and "over NumPy" in name  # another ratio of one case
        if again or not others:
            continue
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
    "policies": (
        *("policies", "rows x actions", ("drop-in",)),
        {
            "torch": "PyTorch",
            "drop-in, compiled": "anycat, compiled",
            "torch, compiled": "PyTorch, compiled",
            "anycat": "`anycat.Categorical`",
        },
    ),
    "scan": (
        *("inside-jax", "chains x states", ("anycat",)),
        {"jax": "`jax.random.categorical`", "by hand": "JAX by hand"},
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


def growth(series: str, size: str, other: str, line: str = "anycat, probs, float32") -> str:
    """Return how many times as long the other size of a plot takes."""
    times = record("scaling")["median seconds"][series][line]
    return ratio(times[other] / times[size])


def statistics() -> dict[str, str]:
    """Return the extent of the statistical tests, and how many failed."""
    found = record("statistics")
    return {
        "draws": f"{min(run['draws'] for run in found['runs'].values()):,}",
        "tests": str(found["tests"]),
        "failures": str(len(found["failures"]) or "none"),
    }


@functools.cache
def values() -> dict[str, Any]:
    """Return what expressions in pages may name, as in ``speedup["case"]["library"]``."""
    first, medians = (record(name)["median seconds"] for name in ("first-draw", "cpu"))
    return {
        "speedup": {
            name: {who: ratio(t / ours) for who, t in {**medians[name], **others}.items()}
            for name, (ours, others) in cases().items()
        },
        "first": {name: duration(t) for name, t in first.items()},
        "beside": {
            name: {
                case: {other: ratio(t / ours) for other, t in times.items()}
                for case, (ours, times) in against(name).items()
            }
            for name in BESIDE
        },
        "summary": summary(),
        "table": table(),
        **{name: beside(name) for name in BESIDE},
        "machine": machine(),
        "growth": growth,
        "statistics": statistics(),
    }


FIGURE = re.compile("(<!-- = (.*?) -->)(.*?)(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """Return a page with its figures as they are in the files."""

    def fill(found: re.Match[str]) -> str:
        shown = eval(found[2], {}, values())
        return found[1] + (f"\n\n{shown}\n\n" if "\n" in shown else shown) + found[4]

    return FIGURE.sub(fill, text)


def main() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

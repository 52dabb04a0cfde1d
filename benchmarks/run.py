"""Time anycat and its peers side by side: ``python benchmarks/run.py [group ...]``.

Contestants of a group take turns, round by round: a slow spell of the machine hits them all.
Figures are medians; the ones to quote are ratios. Writes a JSON and a Markdown file to
``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Idle threads of OpenMP shall not spin on cores that the next contestant needs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from anycat import Categorical

RESULTS = Path(__file__).with_name("results")
TURN = 20e-3  # seconds that a contestant is timed for at once, or one call of it if that is longer
Contest = dict[str, Callable[[], Any]]


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


torch, jax, scipy_sampling = map(optional, ("torch", "jax", "scipy.stats.sampling"))


def parameters(shape: tuple[int, ...], form: str, dtype: str = "float32") -> np.ndarray:
    x = np.random.default_rng(0).standard_normal(shape)
    return (np.exp(x) if form == "probs" else x).astype(dtype)


# --- contests: each returns what to time, by name -------------------------------------------


def one_row(size: int, draws: int = 1_000_000) -> Contest:
    """Many draws from one row, with what can be prepared prepared."""
    p = parameters((size,), "probs", "float64")
    p /= p.sum()
    generator = np.random.default_rng(0)
    dist = Categorical(p)
    contest: Contest = {
        "anycat": lambda: dist.sample((draws,), rng=generator),
        "anycat, set-up included": lambda: Categorical(p).sample((draws,), rng=generator),
        "numpy choice": lambda: generator.choice(size, draws, p=p),
    }
    ends = np.cumsum(p)
    contest["numpy searchsorted"] = lambda: np.searchsorted(ends, generator.random(draws), "right")
    if scipy_sampling:
        alias = scipy_sampling.DiscreteAliasUrn(p, random_state=generator)
        guide = scipy_sampling.DiscreteGuideTable(p, random_state=generator)
        contest["scipy alias"] = lambda: alias.rvs(draws)
        contest["scipy guide table"] = lambda: guide.rvs(draws)
    if torch:
        t = torch.from_numpy(p)
        contest["torch"] = lambda: torch.distributions.Categorical(t).sample((draws,))
        contest["torch multinomial"] = lambda: torch.multinomial(t, draws, True)
    if jax:
        key, q = jax.random.key(0), jax.numpy.asarray(p, "float32")
        choice = jax.jit(lambda key, q: jax.random.choice(key, size, (draws,), p=q))
        contest["jax choice, jitted"] = lambda: choice(key, q).block_until_ready()
    return contest


def batch(shape: tuple[int, int], form: str, draws: int = 1) -> Contest:
    """A few draws from each of many rows."""
    x = parameters(shape, form)
    generator = np.random.default_rng(0)

    def cumsum() -> np.ndarray:
        p = x if form == "probs" else np.exp(x - x.max(-1, keepdims=True))
        ends = np.cumsum(p, -1)
        u = generator.random((draws, shape[0], 1), np.float32) * ends[:, -1:]
        return (ends <= u).sum(-1)

    contest: Contest = {
        "anycat": lambda: Categorical(**{form: x}).sample((draws,), rng=generator),
        "anycat, unchecked": lambda: Categorical(**{form: x}, validate_args=False).sample(
            (draws,), rng=generator
        ),
    }
    if draws * x.size <= 2e7:
        contest["numpy cumsum"] = cumsum
    if torch:
        t = torch.from_numpy(x)
        torch_class = torch.distributions.Categorical
        contest["torch"] = lambda: torch_class(**{form: t}).sample((draws,))
        contest["torch, unchecked"] = lambda: torch_class(**{form: t}, validate_args=False).sample(
            (draws,)
        )
    if jax and draws * x.size <= 2e7:
        key, y = jax.random.key(0), jax.numpy.asarray(x)
        log = (lambda y: y) if form == "logits" else jax.numpy.log
        gumbel = jax.jit(
            lambda key, y: jax.random.categorical(key, log(y), shape=(draws, shape[0]))
        )
        contest["jax categorical, jitted"] = lambda: gumbel(key, y).block_until_ready()
    return contest


def tiny() -> Contest:
    """One draw from six categories, the distribution made anew."""
    p = np.full(6, 1 / 6)
    generator = np.random.default_rng(0)
    contest: Contest = {
        "anycat": lambda: Categorical(p).sample(rng=generator),
        "anycat, unchecked": lambda: Categorical(p, validate_args=False).sample(rng=generator),
        "numpy by hand": lambda: np.cumsum(p).searchsorted(generator.random(), "right"),
        "numpy choice": lambda: generator.choice(6, p=p),
    }
    if torch:
        t = torch.from_numpy(p)
        torch_class = torch.distributions.Categorical
        contest["torch"] = lambda: torch_class(t).sample()
        contest["torch, unchecked"] = lambda: torch_class(t, validate_args=False).sample()
    return contest


GROUPS: dict[str, Callable[[], Contest]] = {
    "one row, K = 6, 1e6 draws": lambda: one_row(6),
    "one row, K = 1000, 1e6 draws": lambda: one_row(1000),
    "one row, K = 1e6, 1e6 draws": lambda: one_row(10**6),
    "1e5 rows x 10 probs": lambda: batch((100_000, 10), "probs"),
    "1e5 rows x 10 logits": lambda: batch((100_000, 10), "logits"),
    "1e4 rows x 100 logits": lambda: batch((10_000, 100), "logits"),
    "64 rows x 128256 logits": lambda: batch((64, 128256), "logits"),
    "64 rows x 128256 probs": lambda: batch((64, 128256), "probs"),
    "1000 rows x 1000 probs, 100 draws each": lambda: batch((1000, 1000), "probs", 100),
    "make and draw once, K = 6": tiny,
}


# --- timing ---------------------------------------------------------------------------------


def compete(contest: Contest, seconds: float) -> dict[str, float]:
    """Return the median time of each contestant, in seconds.

    A turn begins with a call that is not timed, which finds the caches, the clock and the memory
    allocator as the contestant before has left them.
    """
    times: dict[str, list[float]] = {name: [] for name in contest}
    loops = dict.fromkeys(contest, 1)
    for function in contest.values():
        function()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 5:
        for name, function in contest.items():
            function()
            start = time.perf_counter()
            for _ in range(loops[name]):
                function()
            times[name].append((time.perf_counter() - start) / loops[name])
            loops[name] = max(1, int(TURN / times[name][-1]))
    return {name: statistics.median(ts) for name, ts in times.items()}


def machine() -> dict[str, Any]:
    packages = ("anycat", "numpy", "numba", "scipy", "torch", "jax")
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    info = Path("/proc/cpuinfo")
    models = (line for line in info.read_text().splitlines() if line.startswith("model name"))
    model = next(models, "").partition(": ")[2] if info.exists() else platform.processor()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """Return a table of times and of ratios to the best peer and to torch at its defaults."""
    lines = [
        "| regime | anycat, ms | unchecked | best peer, ms | | times as fast | than torch |",
        "|---|---|---|---|---|---|---|",
    ]
    for group, times in results.items():
        ours = times["anycat"]
        peers = {name: t for name, t in times.items() if not name.startswith("anycat")}
        best = min(peers, key=lambda name: peers[name])
        cells = [
            group,
            f"{ours * 1e3:.3g}",
            f"{times['anycat, unchecked'] * 1e3:.3g}" if "anycat, unchecked" in times else "",
            f"{peers[best] * 1e3:.3g}",
            best,
            f"{peers[best] / ours:.1f}",
            f"{times['torch'] / ours:.1f}" if "torch" in times else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", help="parts of the names of groups; default: all")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each group")
    parser.add_argument("--name", default="cpu", help="of the files in benchmarks/results")
    args = parser.parse_args()
    results = {}
    for group, make in GROUPS.items():
        if args.groups and not any(part in group for part in args.groups):
            continue
        results[group] = compete(make(), args.seconds)
        print(f"\n{group}")
        for name, seconds in sorted(results[group].items(), key=lambda item: item[1]):
            print(f"  {name:<26} {seconds * 1e3:10.4f} ms")
    print("\n" + table(results))
    if not args.groups:
        RESULTS.mkdir(exist_ok=True)
        record = {"machine": machine(), "median seconds": results}
        (RESULTS / f"{args.name}.json").write_text(json.dumps(record, indent=1) + "\n")
        (RESULTS / f"{args.name}.md").write_text(table(results))


if __name__ == "__main__":
    main()

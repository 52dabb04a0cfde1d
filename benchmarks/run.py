"""Time anycat and its alternatives side by side: ``python benchmarks/run.py [group ...]``.

The functions of a group run in turn, round by round, so that slow periods of the machine affect all
of them. Each round has a different order. Before each turn is a pause, in which idle threads of
OpenMP, which spin for a while on cores that the next function needs, go to sleep. All times are
medians; quote ratios, not times. Writes ``cpu.json``, ``cpu.md`` and ``cpu.svg`` to
``benchmarks/results``: if groups are named, only with ``--record``, which replaces their recorded
times.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import platform
import random
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regimes import GROUPS, Case, Group, use_threads

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).with_name("results")
TURN = 20e-3  # seconds of calls in one turn, or a single call if that takes longer
PAUSE = 5e-3
Times = dict[str, float]


def compete(case: Case, seconds: float) -> Times:
    """Return the median time of each function, in seconds.

    Each turn starts with an untimed call, because the caches, the clock and the memory allocator
    are still in the state that the previous function left.
    """
    times: dict[str, list[float]] = {name: [] for name in case}
    loops = dict.fromkeys(case, 1)
    order = random.Random(0)
    for function in case.values():
        function()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 5:
        for name in order.sample(list(case), len(case)):
            function = case[name]
            use_threads(function)
            time.sleep(PAUSE)
            function()
            start = time.perf_counter()
            for _ in range(loops[name]):
                function()
            times[name].append((time.perf_counter() - start) / loops[name])
            loops[name] = max(1, int(TURN / times[name][-1]))
    return {name: statistics.median(ts) for name, ts in times.items()}


@functools.cache
def measure(make: Callable[..., Case], arguments: tuple[Any, ...], seconds: float) -> Times:
    """Print and return the times of a case, which several groups may share."""
    case = make(*arguments)
    times = compete(case, seconds) if case else {}
    for name, time_ in sorted(times.items(), key=lambda item: item[1]):
        print(f"  {name:<30} {time_ * 1e3:10.4f} ms")
    return times


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


# --- reports --------------------------------------------------------------------------------


def other_of(group: Group, times: Times) -> str:
    """Return the name of the alternative that anycat is compared with."""
    others = [name for name in times if not name.startswith(("anycat", "floor"))]
    return group.other or min(others, key=lambda name: times[name])


def ratios(group: Group, times: Times) -> tuple[float, float | None, float | None]:
    """Return the speedups over the alternative and torch, and the multiple of the floors."""
    ours = times[group.ours]
    torch = times["torch"] / ours if "torch" in times else None
    floors = [t for name, t in times.items() if name.startswith("floor")]
    return times[other_of(group, times)] / ours, torch, ours / sum(floors) if floors else None


LEGEND = """\
*torch* is PyTorch with its checks, as by default, and *torch, unchecked* without them. *Floors* are
the lower bounds: reading the input once, writing the output once, generating the random words.
PyTorch has as many threads as anycat, unless a name says otherwise.
`benchmarks/regimes.py` has the goals, and says what anycat is compared with where that is not the
fastest alternative.

"""
COLUMNS = (
    *("benchmark case", "anycat, ms", "compared with", "its ms", "speedup", "its goal"),
    *("speedup over torch", "its goal", "time / floors", "at most (goal)"),
)


def cells(name: str, times: Times) -> list[str]:
    """Return a row of the table."""
    group = GROUPS[name]
    other = other_of(group, times)
    speedup, torch, floors = ratios(group, times)
    ours, theirs = (f"{times[who] * 1e3:.3g}" for who in (group.ours, other))
    numbers = [(speedup, group.goal), (torch, group.torch), (floors, group.floors)]
    shown = (
        text
        for ratio, goal in numbers
        for text in (f"{ratio:.1f}" if ratio else "", f"{goal:g}" if goal else "")
    )
    return [name, ours, other, theirs, *shown]


def table(results: dict[str, Times]) -> str:
    """Return the table of ratios and goals."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(cells(*item) for item in results.items())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def plot(results: dict[str, Times], path: Path) -> None:
    """Plot the speedups of each benchmark case as bars."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    names = list(results)[::-1]
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(names) + 1), layout="constrained")
    for shift, colour, label, which in (
        (0.2, "C0", "the alternative of the table", 0),
        (-0.2, "C1", "torch", 1),
    ):
        lengths = [ratios(GROUPS[name], results[name])[which] or 0 for name in names]
        places = [i + shift for i in range(len(names))]
        bars = axes.barh(places, lengths, 0.38, color=colour, label=label)
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", yticks=range(len(names)), yticklabels=names, xlabel="speedup over")
    axes.legend(loc="lower right")
    figure.savefig(path, metadata={"Date": None})


def recorded(results: dict[str, Times]) -> dict[str, Any]:
    """Return the record of all groups, with the results of some of them replaced."""
    record = json.loads((RESULTS / "cpu.json").read_text())
    now = machine()
    if {**now, "date": record["machine"]["date"]} != record["machine"]:
        raise SystemExit("The other groups were recorded on another machine: run all of them.")
    later = {**record.get("later dates", {}), **dict.fromkeys(results, now["date"])}
    found = {**record["median seconds"], **results}
    ordered = {name: found[name] for name in GROUPS if name in found}
    return {"machine": record["machine"], "later dates": later, "median seconds": ordered}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", help="substrings of group names; default: all groups")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each group")
    parser.add_argument("--record", action="store_true", help="record the times of named groups")
    args = parser.parse_args()
    results: dict[str, Times] = {}
    for name, group in GROUPS.items():
        if args.groups and not any(part in name for part in args.groups):
            continue
        print(f"\n{name}")
        times = measure(group.make, group.arguments, args.seconds)
        if {group.ours, group.other or group.ours} <= times.keys():  # or a library is missing
            results[name] = times
    print("\n" + table(results))
    if args.groups and not args.record:
        return
    RESULTS.mkdir(exist_ok=True)
    everything = {"machine": machine(), "median seconds": results}
    record = recorded(results) if args.groups else everything
    results = record["median seconds"]
    (RESULTS / "cpu.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "cpu.md").write_text(LEGEND + table(results))
    plot(results, RESULTS / "cpu.svg")


if __name__ == "__main__":
    main()

"""What benchmarks of a few functions, case by case, write to ``benchmarks/results``."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from run import RESULTS, Times, machine

if TYPE_CHECKING:
    from collections.abc import Sequence


def seconds_for_each_case(description: str | None, default: float = 10.0) -> float:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=default, help="time for each case")
    return float(parser.parse_args().seconds)


def ratios(
    results: dict[str, Times],
    head: Sequence[str],
    ours: Sequence[str] = ("anycat",),
    scale: float = 1e3,
    digits: Sequence[str] = (".3g", ".2f"),
) -> str:
    """Return a table of the time of anycat in each case, and of the other times divided by it.

    ``head`` has the titles of the cases and of the times, which are multiplied by ``scale``. In
    each case, the first name of ``ours`` that it has is that of anycat.
    """
    names = dict.fromkeys(name for times in results.values() for name in times)
    others = [name for name in names if [name] != list(ours)]
    lines = [[*head, *(f"{name}, over it" for name in others)]]
    lines.append(["---"] * len(lines[0]))
    for case, times in results.items():
        own = next(times[name] for name in ours if name in times)
        cells = (f"{times[name] / own:{digits[1]}}" if name in times else "" for name in others)
        lines.append([case, f"{own * scale:{digits[0]}}", *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(name: str, results: dict[str, Times], table: str, **more: Any) -> None:
    """Write the results and their table to files of a name, and print the table."""
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine(), **more, "median seconds": results}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(table)
    print(table)

"""Count ten billion draws, or as many of them as you have time for, on a Dask cluster.

It needs ``pip install distributed``. All draws form one lazy Dask array of 80 GB. No process ever
holds more than a few of its chunks. The first n draws are the same for any total, whichever worker
makes them::

    python examples/dask_draws.py --draws 1e9 --seed 1
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import TYPE_CHECKING

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, progress

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PLANNED = 10**10
WEIGHTS = 1 / np.arange(1, 1001)  # Zipf's law: category k is as likely as 1 / (k + 1)


def plan(seed: int) -> da.Array:
    """Return all draws as a lazy array."""
    return Categorical(da.from_array(WEIGHTS)).sample(PLANNED, rng=seed)


def count(draws: da.Array) -> da.Array:
    """Return how often each category was drawn; each chunk is counted where it is drawn."""
    return da.bincount(draws, minlength=WEIGHTS.size)


def largest_deviation(counts: NDArray[np.int64]) -> float:
    """Return the largest deviation of a count from its expectation, in standard deviations."""
    p = WEIGHTS / WEIGHTS.sum()
    n = counts.sum()
    return float((np.abs(counts - n * p) / np.sqrt(n * p * (1 - p))).max())


def peak_memory() -> float:
    """Return the peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kilobytes on Linux


def main(arguments: Sequence[str] | None = None) -> None:
    """Count draws on a local cluster, and print the time, the memory and the counts."""
    parser = argparse.ArgumentParser(description="Count draws on a Dask cluster.")
    parser.add_argument(
        "--draws", type=float, default=2e8, help=f"how many to count, up to {PLANNED:.0e}"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same counts")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)

    with dask.config.set({"array.chunk-size": "32 MiB"}):
        draws = plan(options.seed)
    print(
        f"{draws.size:.0e} draws planned: {draws.npartitions} chunks, {draws.nbytes / 1e9:.0f} GB"
    )

    cluster = LocalCluster(
        n_workers=options.processes,
        threads_per_worker=1,
        env={"NUMBA_NUM_THREADS": "1"},  # the processes already use all cores
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )
    with cluster, Client(cluster) as client:
        begin = time.perf_counter()
        counts = count(draws[: int(options.draws)]).persist()
        progress(counts)
        counts = counts.compute()
        seconds = time.perf_counter() - begin
        peak = max(client.run(peak_memory).values())
    print(f"\n{counts.sum():.0e} draws made and counted in {seconds:.1f} s")
    print(f"peak memory: {peak:.0f} MB in each of {options.processes} processes")
    print("counts:", *counts[:6], "...")
    print(f"largest deviation of {counts.size} counts: {largest_deviation(counts):.1f} sigma")


if __name__ == "__main__":
    main()

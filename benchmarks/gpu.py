"""Time draws on a GPU, with anycat and alternatives: ``python benchmarks/gpu.py [group ...]``.

The functions of a group run in turn, round by round, each with a cold cache. Times are medians over
the rounds, measured on the GPU between two events. JAX uses its own stream, so its times are
measured on the host, from the call until the result is ready. Each time is also given as an
effective bandwidth, which counts the bytes that must be read and written once, and as a share of
the bandwidth that a copy (or, for many draws, a write) reaches in the same run. Alternatives that
are not installed, or that fail, are left out.

Writes ``gpu-<device>.json`` and ``.md`` to ``benchmarks/results`` after each group, so that an
interrupted run keeps its results. The files also name groups that failed or started too late.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from anycat import Categorical, __version__
from anycat._kernels import cuda
from anycat._kernels.cuda.rows import TILE
from anycat._kernels.grid import DrawRange
from anycat._kernels.keys import key_of_words

RESULTS = Path(__file__).with_name("results")
MINUTES = 8.0  # after which no group is started
DRAWS = 10**8  # from one row
ROUNDS = 30  # at most
PACKAGES = (
    *("numpy", "cupy-cuda12x", "cupy-cuda13x"),
    *("torch", "jax", "jaxlib", "flashinfer-python"),
)

Case = dict[str, Callable[[], Any]]


class Group(NamedTuple):
    """What to time, and the goals for anycat besides being the fastest."""

    case: Case
    bytes: int  # to be read or written at least
    floor: str  # the bandwidth to compare with: "copy" or "write"
    share: float = 0.0  # of that bandwidth, at least
    seconds: float = math.inf  # at most


def libraries() -> SimpleNamespace:
    """Return CuPy and the alternatives; None for those that cannot use the GPU."""
    found = SimpleNamespace()
    for name in ("cupy", "torch", "jax", "flashinfer"):
        try:
            library = importlib.import_module(name)
            if name == "torch" and not library.cuda.is_available():
                library = None
            if name == "jax" and library.default_backend() != "gpu":
                library = None
        except Exception as error:  # it may be installed but not work with this GPU
            print(f"without {name}: {short(error)}")
            library = None
        setattr(found, name, library)
    return found


def short(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"


# --- groups -------------------------------------------------------------------------------------


def batch(lib: SimpleNamespace, rows: int, size: int, form: str) -> Group:
    """One draw from each row."""
    host = np.random.default_rng(0).standard_normal((rows, size), np.float32)
    x = lib.cupy.asarray(np.exp(host) if form == "probs" else host)
    generator = np.random.default_rng(0)
    case: Case = {
        "anycat": lambda: Categorical(**{form: x}, validate_args=False).sample(rng=generator),
        "anycat, checked": lambda: Categorical(**{form: x}).sample(rng=generator),
    }
    invite(case, lib.torch, torch_batch, x, form)
    invite(case, lib.jax, jax_batch, x, form)
    invite(case, lib.torch and lib.flashinfer, flashinfer_batch, lib.torch, x, form)
    goals = {}
    if rows == 1:
        goals["seconds"] = 20e-6
    elif size > TILE:
        goals["share"] = 0.8 if form == "probs" else 0.7
    return Group(case, x.nbytes + 8 * rows, "copy", **goals)


def one_row(lib: SimpleNamespace, size: int) -> Group:
    """Many draws from one row, with all set-up done beforehand."""
    fits = lib.cupy.cuda.runtime.memGetInfo()[0] > 60 * DRAWS
    draws, generator = DRAWS if fits else DRAWS // 10, np.random.default_rng(0)
    p = lib.cupy.asarray(generator.random(size, np.float32) + np.float32(0.01))
    dist = Categorical(p, validate_args=False)
    case: Case = {
        "anycat": lambda: dist.sample(draws, rng=generator),
        "anycat, set-up included": lambda: Categorical(p).sample(draws, rng=generator),
    }
    invite(case, lib.cupy, cupy_choice, p, draws)
    invite(case, lib.torch, torch_one_row, p, draws)
    invite(case, lib.jax, jax_one_row, p, draws)
    return Group(case, 8 * draws, "write", share=0.6)


def one_after_another(rows: int, n: int) -> DrawRange:
    return DrawRange(n, rows, 1, 0, rows, 1)


def distinct(lib: SimpleNamespace, rows: int, size: int, n: int) -> Group:
    """Draws without replacement."""
    host = np.random.default_rng(0).random((rows, size), np.float32) + np.float32(0.01)
    x, key = lib.cupy.asarray(host), key_of_words(np.arange(4, dtype=np.uint64))
    out, draws = lib.cupy.empty((n, rows, 1), np.int64), one_after_another(rows, n)
    case: Case = {"anycat": lambda: cuda.sample_distinct(x, False, key, draws, out, {})}
    invite(case, lib.torch, torch_distinct, x, n)
    invite(case, lib.jax, jax_distinct, x, n)
    return Group(case, x.nbytes + out.nbytes, "copy")


def counts(lib: SimpleNamespace, size: int) -> Group:
    """Counts of many draws from one row."""
    p = lib.cupy.asarray(np.random.default_rng(0).random((1, size), np.float32) + np.float32(0.01))
    key, cache = key_of_words(np.arange(4, dtype=np.uint64)), {}
    out, draws = lib.cupy.empty((1, size), np.int64), one_after_another(1, DRAWS)
    case: Case = {"anycat": lambda: cuda.sample_counts(p, False, key, draws, out, cache)}
    invite(case, lib.torch, torch_counts, p[0], DRAWS)
    return Group(case, 8 * DRAWS, "write")


def invite(case: Case, library: Any, make: Callable[..., Case], *args: Any) -> None:
    """Add an alternative if it is installed and its set-up succeeds."""
    if library:
        try:
            case |= make(library, *args)
        except Exception as error:
            print(f"without {make.__name__}: {short(error)}")


def torch_batch(torch: Any, x: Any, form: str) -> Case:
    t, distribution = torch.from_dlpack(x), torch.distributions.Categorical
    weights = (lambda: t) if form == "probs" else (lambda: torch.softmax(t, -1))
    return {
        "torch": lambda: distribution(**{form: t}).sample(),
        "torch, unchecked": lambda: distribution(**{form: t}, validate_args=False).sample(),
        "torch multinomial": lambda: torch.multinomial(weights(), 1, True),
    }


def jax_batch(jax: Any, x: Any, form: str) -> Case:
    key, y = jax.random.key(0), jax.dlpack.from_dlpack(x)
    log = jax.numpy.log if form == "probs" else lambda y: y
    draw = jax.jit(lambda key, y: jax.random.categorical(key, log(y)))
    return {"jax categorical, jitted": lambda: draw(key, y).block_until_ready()}


def flashinfer_batch(flashinfer: Any, torch: Any, x: Any, form: str) -> Case:
    t = torch.from_dlpack(x)
    y = t / t.sum(-1, keepdim=True) if form == "probs" else t
    sample = getattr(flashinfer.sampling, f"sampling_from_{form}")
    return {"flashinfer": lambda: sample(y)}


def cupy_choice(cupy: Any, p: Any, draws: int) -> Case:
    q = p.astype(np.float64)
    q /= q.sum()
    return {"cupy choice": lambda: cupy.random.choice(q.size, draws, p=q)}


def torch_one_row(torch: Any, p: Any, draws: int) -> Case:
    t, distribution = torch.from_dlpack(p), torch.distributions.Categorical
    return {
        "torch": lambda: distribution(t).sample((draws,)),
        "torch multinomial": lambda: torch.multinomial(t, draws, True),
    }


def jax_one_row(jax: Any, p: Any, draws: int) -> Case:
    key, y = jax.random.key(0), jax.dlpack.from_dlpack(p)
    choice = jax.jit(lambda key, y: jax.random.choice(key, y.size, (draws,), p=y))
    return {"jax choice, jitted": lambda: choice(key, y).block_until_ready()}


def torch_distinct(torch: Any, x: Any, n: int) -> Case:
    t = torch.from_dlpack(x)
    return {"torch multinomial": lambda: torch.multinomial(t, n, False)}


def jax_distinct(jax: Any, x: Any, n: int) -> Case:
    key, y = jax.random.key(0), jax.dlpack.from_dlpack(x)
    draw = jax.jit(
        lambda key, y: jax.lax.top_k(jax.numpy.log(y) + jax.random.gumbel(key, y.shape), n)[1]
    )
    return {"jax Gumbel top-k, jitted": lambda: draw(key, y).block_until_ready()}


def torch_counts(torch: Any, p: Any, draws: int) -> Case:
    t = torch.from_dlpack(p)
    return {
        "torch multinomial, bincount": lambda: torch.bincount(
            torch.multinomial(t, draws, True), minlength=len(t)
        ),
    }


GROUPS: dict[str, Callable[[SimpleNamespace], Group]] = {
    **{
        f"{rows} x {size} {form}": lambda lib, args=(rows, size, form): batch(lib, *args)
        for rows, size in ((512, 128256), (64, 128256), (1, 128256), (10**6, 10), (10**5, 1000))
        for form in ("probs", "logits")
    },
    **{
        f"one row, K = {size}, 1e8 draws": lambda lib, size=size: one_row(lib, size)
        for size in (6, 1000, 10**6, 10**8)
    },
    **{
        f"{rows} x {size}, {n} without replacement": lambda lib, args=(rows, size, n): distinct(
            lib, *args
        )
        for rows, size, n in ((10**4, 100, 8), (512, 128256, 8), (1, 10**6, 256))
    },
    **{
        f"counts, K = {size}, 1e8 draws": lambda lib, size=size: counts(lib, size)
        for size in (6, 1000, 10**6)
    },
}


# --- timing -------------------------------------------------------------------------------------

SPIN = r"""
extern "C" __global__ void spin(unsigned long long nanoseconds) {
  unsigned long long begin, now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begin));
  do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  while (now - begin < nanoseconds);
}
"""


class Clock:
    """Times calls with a cold cache, hiding the host's launch overhead where possible."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        cache = cupy.cuda.Device().attributes["L2CacheSize"]
        self.filler = cupy.zeros(max(4 * cache, 1 << 27), np.uint8)
        self.spin = cupy.RawKernel(SPIN, "spin")

    def time(self, call: Callable[[], Any], on_host: bool = False) -> float:
        """Return the time of one call, in seconds."""
        start, end = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        self.filler += 1
        if on_host:
            self.cupy.cuda.runtime.deviceSynchronize()
            begin = time.perf_counter()
            call()
            return time.perf_counter() - begin
        self.spin((1,), (1,), (np.uint64(1_000_000),))
        start.record()
        result = call()
        end.record()
        end.synchronize()
        del result
        return float(self.cupy.cuda.get_elapsed_time(start, end)) * 1e-3


def compete(
    time_of: Callable[[Callable[[], Any], bool], float],
    case: Case,
    seconds: float,
    free: Callable[[], Any],
) -> dict[str, float]:
    """Return the median time of each function, in seconds; alternatives that fail are left out.

    ``seconds`` limits the total time of the rounds. Functions that need more for one call are not
    run again.
    """
    times: dict[str, list[float]] = {name: [] for name in case}

    def turn(name: str) -> None:
        try:
            times[name].append(time_of(case[name], name.startswith("jax")))
        except Exception as error:
            if name.startswith("anycat"):
                raise
            print(f"  {name} is out: {short(error)}")
            del times[name]

    for name in case:
        for _ in range(2):  # the first compiles, the second allocates
            if name in times:
                turn(name)
        free()
    quick = [name for name, taken in times.items() if taken[-1] <= seconds]
    end = time.perf_counter() + seconds
    for done in range(ROUNDS):
        if done >= 5 and time.perf_counter() > end:
            break
        for name in quick:
            if name in times:
                turn(name)
    return {name: statistics.median(taken[2:] or taken[1:]) for name, taken in times.items()}


def bandwidths(clock: Clock) -> dict[str, float]:
    """Return the bandwidths of a copy and of a write, in bytes per second."""
    a, b = (clock.cupy.zeros(1 << 28, np.float32) for _ in range(2))
    copy = statistics.median(clock.time(lambda: clock.cupy.copyto(b, a)) for _ in range(11))
    write = statistics.median(clock.time(lambda: b.fill(2)) for _ in range(11))
    return {"copy": 2 * a.nbytes / copy, "write": b.nbytes / write}


def call_after_call(cupy: Any, calls: int = 300) -> float:
    """Return the time per call for one long row in back-to-back calls, in seconds."""
    x, generator = cupy.ones((1, 128256), np.float32), np.random.default_rng(0)
    for n in (20, calls):
        cupy.cuda.runtime.deviceSynchronize()
        begin = time.perf_counter()
        for _ in range(n):
            Categorical(x, validate_args=False).sample(rng=generator)
        cupy.cuda.runtime.deviceSynchronize()
    return (time.perf_counter() - begin) / calls


FIRST_DRAW = """
import time, cupy, numpy as np
from anycat import Categorical
x = cupy.asarray(np.ones((64, 128256), np.float32))
cupy.cuda.runtime.deviceSynchronize()
begin = time.perf_counter()
Categorical(x, validate_args=False).sample().get()
print(time.perf_counter() - begin)
"""


def first_draws() -> list[float]:
    """Return the times of the first draw ever and of the first draw of a later process."""
    with tempfile.TemporaryDirectory() as folder:
        command, env = [sys.executable, "-c", FIRST_DRAW], {**os.environ, "CUPY_CACHE_DIR": folder}
        run = partial(subprocess.run, command, env=env, check=True, timeout=120)
        return [float(run(stdout=subprocess.PIPE).stdout) for _ in range(2)]


# --- results ------------------------------------------------------------------------------------


def machine(cupy: Any) -> dict[str, Any]:
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    versions = {"anycat": __version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "CUDA of the driver": cupy.cuda.runtime.driverGetVersion(),
        "driver": driver(),
        "NVRTC": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "python": platform.python_version(),
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def driver() -> str:
    path = Path("/proc/driver/nvidia/version")
    found = re.search(r"\d{3,}\.\d+(\.\d+)?", path.read_text()) if path.exists() else None
    return found[0] if found else "unknown"


def record(group: Group, times: dict[str, float], floors: dict[str, float]) -> dict[str, Any]:
    """Return the results of a group, as they are saved."""
    case = {
        name: {
            "seconds": seconds,
            "bytes/s": group.bytes / seconds,
            "share": group.bytes / seconds / floors[group.floor],
        }
        for name, seconds in times.items()
    }
    goals, ours = ["ahead"], case["anycat"]
    if group.share:
        goals.append(f"{group.share:.0%} of {group.floor}")
    if group.seconds < math.inf:
        goals.append(f"{group.seconds * 1e6:.0f} us")
    alternatives = [s for name, s in times.items() if not name.startswith("anycat")]
    met = ours["seconds"] <= min([group.seconds, *alternatives]) and ours["share"] >= group.share
    return {"floor": group.floor, "goal": ", ".join(goals), "met": met, "case": case}


def report(name: str, result: dict[str, Any]) -> None:
    print(f"\n{name}")
    for who, r in sorted(result["case"].items(), key=lambda item: item[1]["seconds"]):
        print(
            f"  {who:<26} {r['seconds'] * 1e6:12.1f} us {r['bytes/s'] / 1e9:9.0f} GB/s "
            f"{r['share']:7.1%} of {result['floor']}",
            flush=True,
        )


def summary(results: dict[str, Any]) -> str:
    """Return a table of times, shares, speedups and goals."""
    lines = [
        "| benchmark case | anycat, us | share | goal | | best alternative, us | | speedup |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        case = result["case"]
        ours = case["anycat"]
        alternatives = {
            who: r["seconds"] for who, r in case.items() if not who.startswith("anycat")
        }
        best = min(alternatives, key=lambda who: alternatives[who], default=None)
        cells = [
            name,
            f"{ours['seconds'] * 1e6:.1f}",
            f"{ours['share']:.0%} of {result['floor']}",
            result["goal"],
            "met" if result["met"] else "MISSED",
            f"{alternatives[best] * 1e6:.1f}" if best else "",
            best or "none took part",
            f"{alternatives[best] / ours['seconds']:.1f}" if best else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(kept: dict[str, Any]) -> str:
    """Return all results as a page in Markdown."""
    info, calls = kept["machine"], kept["seconds"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GB/s" for name, rate in kept["bytes/s"].items())
    text = (
        f"{info['device']}, driver {info['driver']}, NVRTC {info['NVRTC']}, "
        f"Python {info['python']}, {versions}; {info['date']}.\n\n"
        f"Bandwidths of this device, in the same run: {rates}.\n\n"
        f"{summary(kept['results'])}"
    )
    if seconds := calls.get("call after call"):
        text += f"\n1 x 128256, back-to-back calls with a warm cache: {seconds * 1e6:.1f} us.\n"
    if both := calls.get("first draws"):
        text += f"\nThe first draw ever: {both[0]:.1f} s; of a later process: {both[1]:.2f} s.\n"
    if kept["left out"]:
        text += "\nLeft out:\n\n"
        text += "".join(f"- {name}: {why}\n" for name, why in kept["left out"].items())
    return text


def write(kept: dict[str, Any], folder: Path) -> None:
    slug = re.sub(r"\W+", "-", kept["machine"]["device"].lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in ("json", json.dumps(kept, indent=1) + "\n"), ("md", page(kept)):
        (folder / f"gpu-{slug}.{suffix}").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", help="substrings of group names; default: all groups")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each group")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time for the whole run")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    if reason := cuda.unavailable_reason():
        sys.exit(f"No benchmarks on a GPU: {reason}")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    lib = libraries()
    clock = Clock(lib.cupy)

    def free() -> None:
        lib.cupy.get_default_memory_pool().free_all_blocks()
        if lib.torch:
            lib.torch.cuda.empty_cache()

    floors = bandwidths(clock)
    print(", ".join(f"{name} {rate / 1e9:.0f} GB/s" for name, rate in floors.items()))
    kept: dict[str, Any] = {"machine": machine(lib.cupy), "bytes/s": floors}
    kept |= {"seconds": {}, "results": {}, "left out": {}}

    def keep(where: str, name: str, find: Callable[[], Any]) -> None:
        """Save a result, or the reason for its absence, and write all results so far."""
        free()
        if time.monotonic() > end:
            kept["left out"][name] = f"{args.minutes:g} minutes were over"
        else:
            try:
                kept[where][name] = find()
            except Exception as error:  # the others may succeed
                traceback.print_exc()
                kept["left out"][name] = short(error)
        if not args.groups:
            write(kept, args.results)

    def find(name: str) -> dict[str, Any]:
        group = GROUPS[name](lib)
        result = record(group, compete(clock.time, group.case, args.seconds, free), floors)
        report(name, result)
        return result

    if not args.groups:
        keep("seconds", "call after call", lambda: call_after_call(lib.cupy))
        keep("seconds", "first draws", first_draws)
    for name in GROUPS:
        if not args.groups or any(part in name for part in args.groups):
            keep("results", name, lambda name=name: find(name))
    print("\n" + page(kept))
    if kept["left out"]:
        sys.exit(f"Left out: {', '.join(kept['left out'])}")


if __name__ == "__main__":
    main()

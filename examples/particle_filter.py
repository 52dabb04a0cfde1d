"""Track a hidden state with a particle filter: at each step, n draws from n weights.

In this well-known test problem, a state moves by a nonlinear rule with noise. Only its square is
observed, with noise again, so the sign has to be inferred from the motion. The particles are often
in two groups, which a plot shows best::

    python examples/particle_filter.py --particles 10000 --seed 1 --plot filter.png
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = 90


def move(x: Floats, step: int, rng: np.random.Generator) -> Floats:
    """Return the next states."""
    drift: Floats = x / 2 + 25 * x / (1 + x**2) + 8 * np.cos(1.2 * step)
    return drift + rng.normal(0, 10**0.5, x.shape)


def simulate(steps: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the state and what is observed of it, at each step."""
    states, x = np.empty(steps), np.zeros(())
    for step in range(steps):
        states[step] = x = move(x, step, rng)
    return states, states**2 / 20 + rng.normal(size=steps)


def track(observed: Floats, particles: int, rng: np.random.Generator) -> Floats:
    """Return the particles after each step, an array of shape (steps, particles)."""
    found, x = np.empty((len(observed), particles)), rng.normal(size=particles)
    for step, y in enumerate(observed):
        x = move(x, step, rng)
        weights = Categorical(logits=-((y - x**2 / 20) ** 2) / 2)
        found[step] = x = x[weights.sample(particles, rng=rng)]
    return found


def covered(states: Floats, particles: Floats, share: float = 0.9) -> float:
    """Return the share of steps whose state is within the central ``share`` of the particles."""
    low, high = np.quantile(particles, [(1 - share) / 2, (1 + share) / 2], axis=1)
    return float(np.mean((low <= states) & (states <= high)))


def plot(ax: Any, states: Floats, particles: Floats) -> None:
    """Plot the density of the particles at each step, their mean, and the state."""
    from matplotlib import rcParams
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    low, high = particles.min(), particles.max()
    density = [np.histogram(x, BINS, (low, high), density=True)[0] for x in particles]
    blue = to_rgb("C0")
    ax.imshow(
        np.transpose(density),
        extent=(-0.5, len(states) - 0.5, low, high),
        vmax=0.3,
        cmap=LinearSegmentedColormap.from_list("", [(*blue, 0), blue]),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
    )
    ax.fill_between([], [], color=blue, label="density of the particles")
    ax.plot(particles.mean(axis=1), color="C1", linewidth=1, label="mean of the particles")
    ax.plot(states, "o", color=rcParams["text.color"], markersize=4, label="true state")
    title = f"{particles.shape[1]:,} particles track a state of which only the square is observed"
    ax.set(xlabel="step", ylabel="state", title=title)
    ax.figure.legend(loc="outside lower center", ncols=3, frameon=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many states the particles cover; plot them if asked."""
    parser = argparse.ArgumentParser(description="Track a hidden state with a particle filter.")
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same particles")
    parser.add_argument("--plot", metavar="FILE", help="write a plot; needs matplotlib")
    options = parser.parse_args(arguments)

    rng = np.random.default_rng(options.seed)
    states, observed = simulate(options.steps, rng)
    track(observed[:1], options.particles, np.random.default_rng(0))  # compiles what it needs
    begin = time.perf_counter()
    particles = track(observed, options.particles, rng)
    seconds = time.perf_counter() - begin
    print(f"{options.steps} steps of {options.particles:,} particles in {seconds:.2f} s")
    print(f"states within the central 90 % of the particles: {covered(states, particles):.0%}")
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 5), layout="constrained")
        plot(figure.subplots(), states, particles)
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()

"""Order and disorder in the Potts model: Gibbs steps on several grids of spins at once.

Each spin has one of three states, and tends to be equal to its four neighbours: the more so, the
larger the coupling. Above a critical coupling of log(1 + sqrt(3)), or about 1.005, large regions of
equal spins form, which a plot shows best. Each half of a sweep is one draw for all grids::

    python examples/spins.py --sweeps 300 --seed 1 --plot spins.png
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Spins = NDArray[np.int64]

STATES = 3


def logits(spins: Spins, couplings: Sequence[float]) -> NDArray[np.float32]:
    """Return the coupling times the number of neighbours in each state; the edges are joined."""
    one_hot = np.eye(STATES, dtype=np.float32)[spins]
    neighbours = sum(np.roll(one_hot, shift, axis) for shift in (-1, 1) for axis in (-3, -2))
    return np.array(couplings, np.float32)[:, None, None, None] * neighbours


def simulate(couplings: Sequence[float], size: int, sweeps: int, seed: int) -> Spins:
    """Return a grid for each coupling, an array of shape (couplings, size, size)."""
    rng = np.random.default_rng(seed)
    spins = rng.integers(0, STATES, (len(couplings), size, size))
    parity = np.indices((size, size)).sum(0) % 2
    for half in range(2 * sweeps):
        new = Categorical(logits=logits(spins, couplings)).sample(rng=rng)
        spins = np.where(parity == half % 2, new, spins)
    return spins


def order(spins: Spins) -> NDArray[np.float64]:
    """Return the share of equal neighbours on each grid: 1/3 of spins that are independent."""
    equal = np.array([spins == np.roll(spins, 1, axis) for axis in (-2, -1)])
    shares: NDArray[np.float64] = equal.mean(axis=(0, -2, -1))
    return shares


def plot(axes: Sequence[Any], spins: Spins, couplings: Sequence[float]) -> None:
    """Show each grid, with a colour for each state."""
    from matplotlib.colors import ListedColormap

    for ax, grid, coupling, share in zip(axes, spins, couplings, order(spins), strict=True):
        colours = ListedColormap(["C0", "C1", "C2"])
        ax.imshow(grid, cmap=colours, vmin=0, vmax=STATES - 1, interpolation="nearest")
        ax.set(xticks=[], yticks=[], title=f"coupling {coupling:g}")
        ax.set_xlabel(f"{share:.0%} of neighbours are equal")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the order of each grid; plot the grids if asked."""
    parser = argparse.ArgumentParser(description="Gibbs steps on grids of the Potts model.")
    parser.add_argument("--couplings", type=float, nargs="+", default=[0.8, 1.0, 1.2])
    parser.add_argument("--size", type=int, default=100, help="rows and columns of a grid; even")
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same grids")
    parser.add_argument("--plot", metavar="FILE", help="write a plot; needs matplotlib")
    options = parser.parse_args(arguments)

    spins = simulate(options.couplings, options.size, options.sweeps, options.seed)
    for coupling, share in zip(options.couplings, order(spins), strict=True):
        print(f"coupling {coupling:g}: {share:.0%} of neighbours are equal")
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3 * len(spins), 3.4), layout="constrained")
        plot(figure.subplots(1, len(spins), squeeze=False)[0], spins, options.couplings)
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()

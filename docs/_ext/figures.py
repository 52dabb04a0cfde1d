"""Draw the figures of the pages, each for a light and a dark background."""

from __future__ import annotations

import functools
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import results
from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

from anycat import Categorical

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import particle_filter
import spins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OUT = Path(__file__).parents[1] / "_build" / "figures"

Theme = dict[str, Any]
THEMES: dict[str, Theme] = {
    "light": {
        "ink": "#1f2328",
        "soft": "#6e7781",
        "grid": "#d8dee4",
        "fill": "#eef2f6",
        "on": "#ffffff",
        "anycat": "#0b6bcb",
        "categories": ("#0b6bcb", "#d9480f", "#2b8a3e", "#862e9c", "#b08900"),
    },
    "dark": {
        "ink": "#e6edf3",
        "soft": "#9aa4af",
        "grid": "#3a424b",
        "fill": "#22282f",
        "on": "#0d1117",
        "anycat": "#58a6ff",
        "categories": ("#58a6ff", "#ff8c4b", "#56d364", "#d29bf0", "#e3b341"),
    },
}
# The colour, by its number among those of categories, and the marker of each library.
STYLES = {
    "NumPy": (2, "s"),
    "SciPy": (4, "D"),
    "JAX": (3, "^"),
    "PyTorch": (1, "o"),
    "NumPy by hand": (2, "P"),
    "JAX by hand": (3, "P"),
    "PyTorch by hand": (1, "P"),
    "Numba by hand": (None, "P"),
}


def style(theme: Theme) -> dict[str, Any]:
    """Return the settings of matplotlib for a theme."""
    ink, soft = theme["ink"], theme["soft"]
    return {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.facecolor": "none",
        "legend.edgecolor": "none",
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.edgecolor": soft,
        "xtick.color": soft,
        "ytick.color": soft,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "grid.color": theme["grid"],
        "axes.prop_cycle": plt.cycler(color=theme["categories"]),
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.labelsize": 10,
        "font.size": 9.5,
        "svg.hashsalt": "anycat",
    }


# --- plots of benchmark results ---------------------------------------------------------------


def colour(theme: Theme, library: str) -> str:
    number = STYLES[library][0]
    return theme["soft"] if number is None else theme["categories"][number]


def speed(theme: Theme) -> Any:
    """Plot the time of each library in some cases, relative to that of anycat."""
    found = results.cases()
    figure, axes = plt.subplots(figsize=(8.4, 5.2), layout="constrained")
    for place, name in enumerate(results.SHOWN):
        ours, others = found[name]
        axes.plot([1, max(others.values()) / ours], [place] * 2, color=theme["grid"], zorder=1)
        for library, time in others.items():
            axes.plot(
                *(time / ours, place, STYLES[library][1]),
                color=colour(theme, library),
                markersize=7.5,
                fillstyle="none" if library == "PyTorch" else "full",  # so that it hides no other
                markeredgewidth=2 if library == "PyTorch" else 0,
                label=library,
            )
    axes.axvline(1, color=theme["anycat"], linewidth=2.5, label="anycat")
    axes.set(
        xscale="log",
        yticks=range(len(results.SHOWN)),
        yticklabels=results.SHOWN.values(),
        title="Time of each library, relative to anycat",
        xlabel="times as long as anycat (logarithmic; left of the line: faster)",
    )
    axes.invert_yaxis()
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50, 100], minor=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}\u00d7"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=False, axis="y")
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    names = ["anycat", *STYLES]
    figure.legend(
        [handles[x] for x in names], names, loc="outside lower center", ncols=6, frameon=False
    )
    return figure


K, TIME = "number of categories, K", "time"
ONE_OF_TWO = {
    "anycat, probs, float32": "anycat, probs",
    "anycat, logits, float32": "anycat, logits",
}
DTYPES = {
    **ONE_OF_TWO,
    "anycat, probs, float64": "anycat, probs, float64",
    "anycat, probs, float16": "anycat, probs, float16",
    "torch, probs, float32": "PyTorch, probs",
}
SMALL = {
    "anycat": "anycat, NumPy array",
    "numpy by hand": "NumPy by hand",
    "anycat, tensor": "anycat, tensor",
    "torch, unchecked": "PyTorch, unchecked",
    "torch": "PyTorch",
}
# For each figure: the file, the lines, and for each panel the series, its title and its abscissa.
PANELS: dict[str, tuple[str, dict[str, str], dict[str, tuple[str, str]]]] = {
    "categories": (
        *("scaling", DTYPES),
        {
            "categories: 1e5 draws from one row": ("100,000 draws from one row", K),
            "categories: 2e6 numbers in rows, a draw each": (
                *("2 million weights in rows of K:\none draw from each row", K),
            ),
        },
    ),
    "draws": (
        *("scaling", DTYPES),
        {
            "draws from one row of 1000": ("One row of 1000 categories", "number of draws"),
            "draws from each of 1000 rows of 300": (
                *("1000 rows of 300 categories", "draws from each row"),
            ),
        },
    ),
    "rows": (
        *("batch-size", SMALL),
        {
            f"rows of {k}, a draw each, construction included": (
                f"Construction and one draw from\neach row, {k} categories",
                "batch size: number of rows",
            )
            for k in (6, 18)
        },
    ),
}
LINES = {
    "anycat": ("anycat", "-", "o"),
    "anycat, NumPy array": ("anycat", "-", "o"),
    "anycat, tensor": ("anycat", "--", "s"),
    "anycat, probs": ("anycat", "-", "o"),
    "anycat, logits": ("anycat", "--", "s"),
    "anycat, probs, float64": (2, "-", "^"),
    "anycat, probs, float16": (3, "-", "v"),
    "NumPy by hand": (2, "-", "D"),
    "PyTorch, unchecked": (4, "-", "P"),
    "PyTorch, probs": (1, "-", "X"),
    "PyTorch": (1, "-", "X"),
}


def scaling(name: str, theme: Theme) -> Any:
    """Plot the time of a draw against the size of the problem."""
    file, labels, panels = PANELS[name]
    found = results.record(file)["median seconds"]
    count = len(panels)
    figure, axes = plt.subplots(
        *(1, count),
        figsize=(8.4, 4),
        layout="constrained",
        sharey=name == "rows",
        squeeze=False,
    )
    for panel, (series, (title, abscissa)) in zip(axes.flat, panels.items(), strict=True):
        for line, label in labels.items():
            if line not in found[series]:
                continue
            times = found[series][line]
            which, dashes, marker = LINES[label]
            panel.loglog(
                *([float(x) for x in times], list(times.values()), dashes),
                marker=marker,
                markersize=4.5,
                label=label,
                color=theme["anycat"] if which == "anycat" else theme["categories"][which],
            )
        panel.set(title=title, xlabel=abscissa)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.yaxis.set_major_formatter(EngFormatter(unit="s"))
        panel.yaxis.set_minor_formatter(NullFormatter())
    axes.flat[0].set_ylabel(TIME)
    handles = axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


# --- plots of examples --------------------------------------------------------------------------


@functools.cache
def tracked() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    states, observed = particle_filter.simulate(50, rng)
    return states, particle_filter.track(observed, 10_000, rng)


def particles(theme: Theme) -> Any:
    """Plot the particles of the example, and the state that they track."""
    figure = plt.figure(figsize=(8.4, 4.4), layout="constrained")
    particle_filter.plot(figure.subplots(), *tracked())
    return figure


COUPLINGS = 0.8, 1.0, 1.2


@functools.cache
def grids() -> Any:
    return spins.simulate(COUPLINGS, 100, 200, 0)


def potts(theme: Theme) -> Any:
    """Plot the grids of the example."""
    figure, axes = plt.subplots(1, len(COUPLINGS), figsize=(8.4, 3.2), layout="constrained")
    spins.plot(axes, grids(), COUPLINGS)
    for ax in axes:
        ax.grid(visible=False)
    return figure


FILTERS: dict[str, dict[str, float]] = {
    "(no arguments)": {},
    "temperature=0.5": {"temperature": 0.5},
    "temperature=2": {"temperature": 2},
    "top_k=5": {"top_k": 5},
    "top_p=0.8": {"top_p": 0.8},
    "min_p=0.2": {"min_p": 0.2},
}


def filters(theme: Theme) -> Any:
    """Plot what the arguments of truncate make of a distribution."""
    model = Categorical(logits=np.log(0.8) * np.arange(15))
    figure, axes = plt.subplots(
        *(2, 3), figsize=(8.4, 4.4), layout="constrained", sharex=True, sharey=True
    )
    for ax, (title, arguments) in zip(axes.flat, FILTERS.items(), strict=True):
        model.truncate(**arguments).plot(ax, label="after truncate")
        ax.stairs(model.probs, np.arange(16) - 0.5, color="C1", linewidth=1.5, label="before")
        ax.set_title(title)
        ax.label_outer()
        ax.grid(visible=False, axis="x")
    handles = axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def plots(theme: Theme) -> Any:
    """Plot a distribution, and a batch."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained")
    Categorical([1, 2, 4, 3, 2, 1]).plot(axes[0])
    axes[0].grid(visible=False, axis="x")
    rows, categories = np.ogrid[:40, :30]
    logits = -((categories - 15 - 10 * np.sin(rows / 7)) ** 2) / (4 + rows)
    Categorical(logits=logits).plot(axes[1])
    axes[1].grid(visible=False)
    return figure


# --- drawings ----------------------------------------------------------------------------------


class Drawing:
    """The elements of an SVG drawing."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img" '
            "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\">"
            f"<title>{escape(title)}</title>"
        ]

    def add(self, tag: str, text: str = "", **attributes: Any) -> None:
        listed = "".join(f' {k.replace("_", "-")}="{v}"' for k, v in attributes.items())
        self.parts.append(f"<{tag}{listed}>{escape(text)}</{tag}>")

    def rect(self, x: float, y: float, width: float, height: float, fill: str, **more: Any) -> None:
        box = {k: f"{v:.2f}" for k, v in zip("xy", (x, y), strict=True)}
        self.add("rect", **box, width=f"{width:.2f}", height=f"{height:.2f}", fill=fill, **more)

    def text(self, x: float, y: float, text: str, fill: str, size: float = 13, **more: Any) -> None:
        anchor = {"text_anchor": "middle", **more}
        self.add("text", text, x=f"{x:.2f}", y=f"{y:.2f}", fill=fill, font_size=size, **anchor)

    def line(self, *ends: float, stroke: str, width: float = 1.2, **more: Any) -> None:
        places = dict(zip(("x1", "y1", "x2", "y2"), (f"{x:.2f}" for x in ends), strict=True))
        self.add("line", **places, stroke=stroke, stroke_width=width, **more)

    def arrow(self, *ends: float, stroke: str) -> None:
        """A line from one point to another, with a head at the second."""
        x1, y1, x2, y2 = ends
        along = np.array([x2 - x1, y2 - y1]) / np.hypot(x2 - x1, y2 - y1)
        across = np.array([-along[1], along[0]])
        tip = np.array([x2, y2])
        base = tip - 9 * along
        self.line(x1, y1, *base, stroke=stroke, width=1.8)
        corners = (tip, base + 4.5 * across, base - 4.5 * across)
        self.add("polygon", points=" ".join(f"{x:.2f},{y:.2f}" for x, y in corners), fill=stroke)

    def save(self, path: Path) -> None:
        path.write_text("\n".join([*self.parts, "</svg>\n"]), encoding="utf-8")


MONO = "ui-monospace, 'DejaVu Sans Mono', monospace"
WEIGHTS = (0.2, 0.35, 0.0, 0.3, 0.15)


def draw(theme: Theme) -> Drawing:
    """Draw how the weights of a row become the boundaries of intervals of integers."""
    ink, soft, colours = theme["ink"], theme["soft"], theme["categories"]
    exponent = int(np.floor(np.log2(max(WEIGHTS))))
    q = [round(w * 2.0 ** (49 - exponent)) for w in WEIGHTS]
    ends = np.cumsum(q).tolist()
    total = ends[-1]
    left, width = 150, 560
    out = Drawing(760, 408, "Weights become integers, whose sums are boundaries of intervals")

    out.text(14, 74, "weights", ink, text_anchor="start", font_weight="bold")
    out.text(14, 92, "floating point", soft, 11.5, text_anchor="start")
    out.text(14, 174, "integers q", ink, text_anchor="start", font_weight="bold")
    out.text(14, 192, "rounded once", soft, 11.5, text_anchor="start")
    out.text(14, 268, "boundaries C", ink, text_anchor="start", font_weight="bold")
    out.text(14, 286, "sums of integers", soft, 11.5, text_anchor="start")
    step = width / len(WEIGHTS)
    for k, (w, integer) in enumerate(zip(WEIGHTS, q, strict=True)):
        middle = left + (k + 0.5) * step
        height = 190 * w
        if w:
            out.rect(middle - 24, 92 - height, 48, height, colours[k], rx=3)
        out.text(middle, 86 - height, f"{w:g}", ink)
        out.line(left + k * step + 16, 92, left + (k + 1) * step - 16, 92, stroke=soft)
        out.text(middle, 109, f"category {k}", soft, 11.5)
        out.arrow(middle, 122, middle, 150, stroke=soft)
        out.text(middle, 172, f"{integer:,}".replace(",", "\u2009"), ink, 9.5)
        start = left + width * (ends[k] - integer) / total
        end = left + width * ends[k] / total
        if integer:
            out.line(middle, 184, (start + end) / 2, 236, stroke=colours[k], stroke_dasharray="3 4")
            out.rect(start, 240, end - start, 42, colours[k], opacity=0.85)
            out.text((start + end) / 2, 267, str(k), theme["on"], 16, font_weight="bold")
    out.text(left + 2.5 * step, 192, "empty interval", soft, 11.5)
    for boundary, name in zip((0, *ends), ("0", "C₀", "C₁ = C₂", "", "C₃", "T"), strict=True):
        x = left + width * boundary / total
        out.line(x, 234, x, 292, stroke=ink)
        out.text(x, 308, name, ink, 12.5)
    chosen = int(Categorical(np.array(WEIGHTS)).sample(rng=2))
    place = left + width * (ends[chosen] - 0.36 * q[chosen]) / total
    out.arrow(place, 352, place, 286, stroke=ink)
    out.text(place, 370, "t = ⌊u · T / 2⁶⁴⌋", ink, 14)
    out.text(place, 391, f"outcome {chosen}: the smallest k with Cₖ > t", soft, 12)
    return out


def front(theme: Theme) -> Drawing:
    """Draw a batch of distributions, and the same draws from each library."""
    ink, soft, colours = theme["ink"], theme["soft"], theme["categories"]
    p = np.array([[0.4, 0.3, 0.2, 0.1], [0.05, 0.15, 0.6, 0.2], [0.25, 0.25, 0.25, 0.25]])
    draws = Categorical(p).sample(9, rng=0).T
    out = Drawing(760, 250, "A batch of three distributions, and the same draws in each library")
    out.text(110, 22, "a batch of distributions", soft, 13)
    for row, weights in enumerate(p):
        base = 92 + 70 * row
        out.line(26, base, 194, base, stroke=soft)
        for k, w in enumerate(weights):
            out.rect(36 + 40 * k, base - 82 * w, 28, 82 * w, colours[k], rx=3)
    out.text(277, 128, "sample(9, rng=0)", ink, 14, font_family=MONO)
    out.arrow(212, 146, 342, 146, stroke=ink)
    out.text(490, 22, "the same draws", soft, 13)
    for row, line in enumerate(draws):
        for i, k in enumerate(line):
            x, y = 356 + 30 * i, 58 + 70 * row
            out.rect(x, y, 26, 30, colours[k], rx=5)
            out.text(x + 13, y + 20.5, str(k), theme["on"], 14, font_weight="bold")
    for i, name in enumerate(("NumPy", "PyTorch", "JAX", "Dask", "CuPy")):
        y = 48 + 38 * i
        out.rect(650, y, 96, 28, theme["fill"], rx=14, stroke=theme["grid"])
        out.text(698, y + 19, name, ink, 13)
    return out


PLOTS: dict[str, Callable[[Theme], Any]] = {
    "speed": speed,
    **{name: lambda theme, name=name: scaling(name, theme) for name in PANELS},
    "particles": particles,
    "potts": potts,
    "filters": filters,
    "plots": plots,
}
DRAWINGS = {"draw": draw, "front": front}


def make(out: Path = OUT) -> Iterable[Path]:
    """Write each figure for each theme."""
    mpl.use("svg")
    out.mkdir(parents=True, exist_ok=True)
    for shade, theme in THEMES.items():
        for name, drawing in DRAWINGS.items():
            drawing(theme).save(out / f"{name}-{shade}.svg")
        with mpl.rc_context(style(theme)):
            for name, plot in PLOTS.items():
                figure = plot(theme)
                figure.savefig(out / f"{name}-{shade}.svg", metadata={"Date": None})
                plt.close(figure)
    return out.iterdir()


if __name__ == "__main__":
    print(*sorted(make()), sep="\n")

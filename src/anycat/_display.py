"""Display of a distribution: as text, in a notebook, and as a plot."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from ._backends import registry
from ._messages import PIP
from ._parameters import PROBS

if TYPE_CHECKING:
    Array = Any

LINE = 88  # characters of a line with numbers
ROWS, BARS = 5, 12  # in a notebook: so many fit beside each other
MOST_VALUES = 2**22  # that are read for it
MOST_BARS = 64  # of a plot: more are drawn as one outline
MOST_CELLS = 256  # of a heat map along each axis, which has more pixels than that


# --- a line of text -----------------------------------------------------------------------------


def text(dist: Any, numbers: bool = True) -> str:
    """Return a line with the parameters if they are few, otherwise with their type and shapes."""
    name, form = type(dist).__name__, dist._form.name
    if dist._backend is None:  # JAX has put something in place of the array
        return f"{name}({form}: {dist._param!r})"
    kind = f"{dist._backend.name}.{str(dist.dtype).rpartition('.')[2]}"
    few = numbers and 0 < math.prod(dist.param_shape) <= LINE
    if few and (view := _view(dist)) is not None:
        options = "" if kind == _DEFAULT else f", {kind}"
        if dist._form is PROBS and not dist._clamp_probs:
            options += ", clamp_probs=False"
        line = f"{name}({form}={_list(view)}{options})"
        if len(line) <= LINE:
            return line
    shapes = f"batch_shape={tuple(dist.batch_shape)}, num_categories={dist.num_categories}"
    return f"{name}({form}: {kind}{_place(dist)}, {shapes})"


_DEFAULT = f"{registry.default().name}.float64"  # of lists, too


def _place(dist: Any) -> str:
    try:
        return "" if dist.device is None else f" on {dist.device}"
    except Exception:  # such as that of an array that has been deleted
        return ""


def _list(x: Array) -> str:
    """Return an array as nested lists of numbers of four digits."""
    if x.ndim:
        return f"[{', '.join(map(_list, x))}]"
    return str(x) if x.dtype.kind in "biu" else f"{float(_floats(x)) + 0.0:.4g}"  # 0 for -0.0


def _view(dist: Any) -> Array | None:
    """View the parameters as a NumPy array, if their values are available in CPU memory.

    They are not if a device or a lazy array would have to compute them, or if they are traced.
    """
    backend, param = dist._backend, dist._param
    try:
        backend.check_supported(dist._form.name, param)  # its memory may have been freed
        if not backend.has_values(param):
            return None
        view = backend.on_cpu(param)
        return view if view is None else _numpy().broadcast_to(view, dist.param_shape)
    except Exception:  # whatever the library may raise, there is another way to show it
        return None


def _floats(x: Array) -> Array:
    """Return numbers in float64. NumPy views bfloat16 as a void dtype of two bytes."""
    if x.dtype.kind == "V":
        x = (x.view("u2").astype("u4") << 16).view("f4")
    return x.astype("f8")


def _numpy() -> Any:
    return registry.default().xp


# --- notebooks ----------------------------------------------------------------------------------

# Styles are inline, and colours fit any background: so it looks the same in light and dark themes,
# and where style sheets are removed, as from notebooks that are not trusted.
_SMALL = 'style="font-size:.8em;opacity:.75"'
_CHART = (
    'style="display:flex;align-items:flex-end;gap:3px;margin:.6em 0;overflow-x:auto;'
    'font-size:.75em;line-height:1.4;text-align:center"'
)
_PLACE = 'style="flex:none;min-width:5em;text-align:left"'
_BAR = 'style="flex:none;width:5.5em"'
_COLOUR = "#4a90d9"
_HEIGHT = 40  # of the highest bar, in pixels


def html(dist: Any, numbers: bool = True) -> str:
    """Return the line, and bars for the first rows if their values are available."""
    from html import escape  # not before it is needed: it takes a while to import

    head = f"<div><code>{escape(text(dist, numbers=False))}</code></div>"
    view = _view(dist) if numbers and dist._backend is not None else None
    if view is None or not view.size or view.shape[-1] > MOST_VALUES:
        return head
    batch, size = view.shape[:-1], view.shape[-1]
    count = min(ROWS, MOST_VALUES // size)
    places = list(itertools.islice(itertools.product(*map(range, batch)), count))
    rows = [_probs(dist._form, view[place]) for place in places]
    highest = max((float(row.max()) for row in rows if row[0] == row[0]), default=1.0)
    charts = "".join(_chart(*both, highest) for both in zip(places, rows, strict=True))
    notes = [f"The {BARS} most probable categories."] if size > BARS else []
    if left := math.prod(batch) - len(places):
        notes.append(f"{left:,} more row{'s' * (left > 1)}.")
    foot = f"<div {_SMALL}>{' '.join(notes)}</div>" if notes else ""
    return f"{head}{charts}{foot}"


def _probs(form: Any, row: Array) -> Array:
    """Return the probabilities of a row, NaN if it is invalid."""
    xp = _numpy()
    with registry.default().errstate():
        x = _floats(row)
        return form.prob(xp, x, form.normalizer(xp, x))


def _chart(place: tuple[int, ...], probs: Array, highest: float) -> str:
    label = f"<div {_PLACE}>[{', '.join(map(str, place))}]</div>" if place else ""
    if probs[0] != probs[0]:
        return f"<div {_CHART}>{label}<div {_BAR}>invalid</div></div>"
    shown = list(range(len(probs)))
    if len(probs) > BARS:
        top: list[int] = probs.argpartition(-BARS)[-BARS:].tolist()
        shown = sorted(top, key=lambda k: (-probs[k], k))
    bars = "".join(_bar(k, float(probs[k]), highest) for k in shown)
    return f"<div {_CHART}>{label}{bars}</div>"


def _bar(category: int, p: float, highest: float) -> str:
    height = math.ceil(_HEIGHT * p / highest)
    bar = f'<div style="height:{height}px;background:{_COLOUR}"></div>'
    return f'<div {_BAR} title="category {category}: {p:.6g}">{p:.3g}{bar}{category}</div>'


# --- plots --------------------------------------------------------------------------------------


def plot(dist: Any, ax: Any = None, **style: Any) -> Any:
    """Plot the probabilities: see `Categorical.plot`."""
    if dist._backend.is_traced(dist._param):
        raise TypeError("plot needs values, which traced arrays and those on device meta lack")
    if ax is None:
        ax = _pyplot().subplots()[1]
    from matplotlib.ticker import MaxNLocator

    probs = dist._backend.to_numpy(dist.probs)
    if str(probs.dtype) == "bfloat16":
        probs = probs.astype("float32")
    size, rows = probs.shape[-1], math.prod(probs.shape[:-1])
    categories = f"{size:,} categor{'y' if size == 1 else 'ies'}"
    ax.set_xlabel("category")
    ticks: dict[str, Any] = {
        "nbins": "auto",
        "integer": True,
        "steps": [1, 2, 5, 10],
        "min_n_ticks": 1,
    }
    ax.xaxis.set_major_locator(MaxNLocator(**ticks))
    if probs.ndim == 1:
        _plot_row(ax, probs, style)
        ax.set(ylabel="probability", title=f"Distribution over {categories}")
        return ax
    label, style = "probability", {"aspect": "auto", "interpolation": "nearest", "vmin": 0, **style}
    cells, high, wide = _cells(probs.reshape(rows, size))
    if not rows:  # matplotlib warns of axes without a height
        style = {"extent": (-0.5, size - 0.5, 0.5, -0.5), **style}
    elif high * wide > 1:
        bottom, right = (n * step - 0.5 for n, step in zip(cells.shape, (high, wide), strict=True))
        style = {"extent": (-0.5, right, bottom, -0.5), **style}
        label = f"largest probability in a cell of {high} x {wide}"
    image = ax.imshow(cells, **style)
    ax.figure.colorbar(image, ax=ax, label=label)
    ax.yaxis.set_major_locator(MaxNLocator(**ticks))
    axes = "" if probs.ndim == 2 else f" of the batch {tuple(probs.shape[:-1])}, in C order"
    title = f"{rows:,} distribution{'s' * (rows != 1)} over {categories}"
    ax.set(ylabel=f"row{axes}", title=title)
    return ax


def _plot_row(ax: Any, probs: Array, style: dict[str, Any]) -> None:
    size = len(probs)
    if size <= MOST_BARS:
        ax.bar(range(size), probs, **style)
    else:
        edges = [k - 0.5 for k in range(size + 1)]
        outline = ax.stairs(probs, edges, **{"fill": True, "linewidth": 1, **style})
        if not {"ec", "edgecolor"} & style.keys():  # so that no bar is narrower than a line
            outline.set_edgecolor(outline.get_facecolor())


def _cells(probs: Array) -> tuple[Array, int, int]:
    """Return the largest value of each cell, so that none is left out, and the size of a cell."""
    steps = [max(1, -(-n // MOST_CELLS)) for n in probs.shape]
    for axis, step in enumerate(steps):
        if step > 1:
            starts = range(0, probs.shape[axis], step)
            probs = _numpy().fmax.reduceat(probs, starts, axis=axis)
    return probs, *steps


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(f"plot() needs matplotlib: {PIP} install matplotlib") from error
    return pyplot

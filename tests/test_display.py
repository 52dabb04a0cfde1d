"""What a distribution looks like: in a terminal, in a notebook, and as a plot."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from libraries import put

from anycat import Categorical, _display
from anycat._backends.registry import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = np.float32([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
LARGE = np.ones((7, 20))
INVALID = [[np.nan, 1.0], [0.0, 0.0], [1.0, 3.0]]

LINES = [
    (Categorical([0.1, 0.2, 0.7]), "Categorical(probs=[0.1, 0.2, 0.7])"),
    (Categorical([1, 3]), "Categorical(probs=[1, 3])"),
    (Categorical([True, False]), "Categorical(probs=[True, False])"),
    (Categorical([1 / 3, 2 / 3]), "Categorical(probs=[0.3333, 0.6667])"),
    (Categorical([1e-12, 1e9]), "Categorical(probs=[1e-12, 1e+09])"),
    (Categorical(logits=[[0.5, -np.inf]]), "Categorical(logits=[[0.5, -inf]])"),
    (Categorical([1, 3]).expand((2,)), "Categorical(probs=[[1, 3], [1, 3]])"),
    (Categorical([1, -0.0]), "Categorical(probs=[1, 0])"),
    (Categorical(INVALID[:2], validate_args=False), "Categorical(probs=[[nan, 1], [0, 0]])"),
    (Categorical(ROWS[0]), "Categorical(probs=[0.1, 0.2, 0.7], numpy.float32)"),
    (Categorical([1, 3], clamp_probs=False), "Categorical(probs=[1, 3], clamp_probs=False)"),
    (Categorical([1, 3]).truncate(top_k=1), "Categorical(probs=[0, 3], clamp_probs=False)"),
    (Categorical(logits=[1, 3], clamp_probs=False), "Categorical(logits=[1, 3])"),
    (
        Categorical(LARGE),
        "Categorical(probs: numpy.float64 on cpu, batch_shape=(7,), num_categories=20)",
    ),
    (
        Categorical(np.empty((2, 0, 3))),
        "Categorical(probs: numpy.float64 on cpu, batch_shape=(2, 0), num_categories=3)",
    ),
]


@pytest.mark.parametrize(("dist", "line"), LINES)
def test_the_repr(dist: Categorical, line: str) -> None:
    assert repr(dist) == line


def test_the_repr_of_a_subclass() -> None:
    class Policy(Categorical):
        pass

    assert repr(Policy([0.5, 0.5])) == "Policy(probs=[0.5, 0.5])"


def test_a_repr_with_numbers_fits_a_line() -> None:
    """More numbers are not shown, be they few but long."""
    assert len(repr(Categorical(np.ones(20)))) <= _display.LINE
    for x in (np.ones(40), np.full(9, 1.234e-10), np.ones((1,) * 40)):
        assert "num_categories" in repr(Categorical(x))


@pytest.mark.parametrize("library", [x.name for x in LIBRARIES if "CPU" in x.memory])
def test_each_library(library: str) -> None:
    """Arrays with values in CPU memory are shown, lazy ones never."""
    dist = Categorical(put(ROWS[0], library))
    lazy = library == "dask"
    if lazy:
        line = "Categorical(probs: dask.float32 on cpu, batch_shape=(), num_categories=3)"
    else:
        line = f"Categorical(probs=[0.1, 0.2, 0.7], {library}.float32)"
    assert repr(dist) == line
    assert ("0.7<" in dist._repr_html_()) == (not lazy)


def shown(dist: Categorical) -> list[str]:
    return [repr(dist), dist._repr_html_()]


def traced(library: str, transform: str) -> list[str]:
    module = pytest.importorskip(library)
    lines: list[str] = []
    getattr(module, transform)(lambda x: lines.extend(shown(Categorical(x))) or x)(
        getattr(module, "numpy", module).ones((2, 3))
    )
    return lines[:2]


def on_meta_device() -> list[str]:
    torch = pytest.importorskip("torch")
    return shown(Categorical(torch.ones(3, device="meta")))


def deleted() -> list[str]:
    x = pytest.importorskip("jax.numpy").ones(3)
    dist = Categorical(x)
    x.delete()
    return shown(dist)


def freed() -> list[str]:
    x = pytest.importorskip("torch").ones(3)
    dist = Categorical(x)
    x.untyped_storage().resize_(0)
    return shown(dist)


def lazy() -> list[str]:
    def fail(block: Any) -> Any:
        raise AssertionError("a block was computed")

    ones = pytest.importorskip("dask.array").ones((2, 3))
    return shown(Categorical(ones.map_blocks(fail, dtype=float, meta=np.empty((0, 0)))))


@pytest.mark.parametrize(
    "without_values",
    [
        pytest.param(lambda: traced("jax", "jit"), id="jit"),
        pytest.param(lambda: traced("torch", "vmap"), id="vmap"),
        *(on_meta_device, deleted, freed, lazy),
    ],
)
def test_values_that_are_not_at_hand(without_values: Callable[[], list[str]]) -> None:
    line, html = without_values()
    assert re.fullmatch(r"Categorical\(probs: .*, batch_shape=.*, num_categories=3\)", line)
    assert html == f"<div><code>{line}</code></div>"


def test_lazy_arrays_are_not_even_viewed(monkeypatch: pytest.MonkeyPatch) -> None:
    dist = Categorical(pytest.importorskip("dask.array").ones(3))
    viewed: list[Any] = []
    monkeypatch.setattr(type(dist._backend), "on_cpu", lambda self, x: viewed.append(x))
    shown(dist)
    assert not viewed


def test_arrays_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is copied or computed: a backend that cannot view an array shows none of it."""
    dist = Categorical([0.5, 0.5])
    monkeypatch.setattr(type(dist._backend), "on_cpu", lambda self, x: None)
    assert (
        repr(dist) == "Categorical(probs: numpy.float64 on cpu, batch_shape=(), num_categories=2)"
    )
    assert "px" not in dist._repr_html_()


def test_bfloat16() -> None:
    torch = pytest.importorskip("torch")
    dist = Categorical(torch.tensor([0.25, 0.75], dtype=torch.bfloat16))
    assert repr(dist) == "Categorical(probs=[0.25, 0.75], torch.bfloat16)"
    assert "0.75<" in dist._repr_html_()


def test_what_pytorch_users_assign() -> None:
    """The parameter is not shown where it may not be what counts."""
    torch = pytest.importorskip("torch")
    from anycat.torch import Categorical as Own

    dist = Own(torch.tensor([0.25, 0.75]))
    assert repr(dist) == "Categorical(probs=[0.25, 0.75], torch.float32)"
    dist.probs = torch.tensor([0.5, 0.5])
    assert repr(dist).startswith("Categorical(probs: torch.float32")
    assert "0.25" not in dist._repr_html_()


# --- notebooks


class Bars(HTMLParser):
    """Reads the texts and the heights of bars; checks that each element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.heights: list[int] = []
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.heights += map(int, re.findall(r"height:(\d+)px", dict(attrs).get("style", "")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def bars(dist: Categorical) -> Bars:
    return Bars(dist._repr_html_())


def test_bars() -> None:
    found = bars(Categorical([[0.1, 0.2, 0.7], [0, 7, 3]]))
    one = ["[0]", "0.1", "0", "0.2", "1", "0.7", "2"]
    assert found.texts[1:] == [*one, "[1]", "0", "0", "0.7", "1", "0.3", "2"]
    assert found.heights == [6, 12, 40, 0, 40, 18]


def test_bars_of_logits() -> None:
    found = bars(Categorical(logits=np.log([0.25, 0.75]) + 1000))
    assert found.texts[1:] == ["0.25", "0", "0.75", "1"]


def test_bars_of_invalid_rows() -> None:
    found = bars(Categorical(INVALID, validate_args=False))
    assert found.texts[1:] == ["[0]", "invalid", "[1]", "invalid", "[2]", "0.25", "0", "0.75", "1"]
    assert not bars(Categorical(INVALID[:2], validate_args=False)).heights


def test_the_first_rows_of_a_batch() -> None:
    found = bars(Categorical(np.ones((3, 1000, 2))))
    assert [text for text in found.texts if text[0] == "["] == [f"[0, {i}]" for i in range(5)]
    assert found.texts[-1] == "2,995 more rows."


def test_the_most_probable_of_many_categories() -> None:
    p = np.ones(100_000)
    p[[7, 77_777]] = 3e5, 2e5
    found = bars(Categorical(p))
    assert found.texts[1:5] == ["0.5", "7", "0.333", "77777"]
    assert len(found.heights) == 12
    assert found.texts[-1] == "The 12 most probable categories."


def test_html_is_small_whatever_the_batch() -> None:
    assert len(Categorical(np.ones((1000, 1000)))._repr_html_()) < 20_000
    wide = np.broadcast_to(np.float32(1), (3, _display.MOST_VALUES + 1))
    assert "px" not in Categorical(wide, validate_args=False)._repr_html_()
    narrow = Categorical(wide[:, : _display.MOST_VALUES // 2 + 1], validate_args=False)
    assert bars(narrow).texts[-1].endswith("2 more rows.")  # one of them is all that is read


def test_html_of_an_empty_batch() -> None:
    assert not bars(Categorical(np.ones((0, 3)))).heights


def test_html_is_escaped() -> None:
    dist = type("<b>", (Categorical,), {})([0.5, 0.5])
    assert bars(dist).texts[0].startswith("<b>(")
    assert "<b>" not in dist._repr_html_()


# --- plots


@pytest.fixture
def pyplot() -> Iterator[Any]:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def test_a_plot_of_one_row(pyplot: Any) -> None:
    ax = Categorical([1, 3]).plot(color="red")
    assert [bar.get_height() for bar in ax.patches] == [0.25, 0.75]
    assert ax.patches[0].get_facecolor() == (1, 0, 0, 1)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("category", "probability")
    assert ax.get_title() == "Distribution over 2 categories"
    ax.figure.canvas.draw()


def test_a_plot_of_many_categories_is_one_outline(pyplot: Any) -> None:
    ax = Categorical(np.arange(1.0, 10_001)).plot()
    assert len(ax.patches) == 1
    values, edges, _ = ax.patches[0].get_data()
    assert values[-1] == pytest.approx(2 / 10_001)
    assert (edges[0], edges[-1]) == (-0.5, 9999.5)


def pixels(ax: Any) -> np.ndarray[Any, Any]:
    """Return the colours within the axes."""
    ax.axis("off")
    ax.figure.canvas.draw()
    box = ax.get_window_extent()
    image = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]
    height = image.shape[0]
    return image[height - int(box.y1) : height - int(box.y0), int(box.x0) : int(box.x1)]


@pytest.mark.parametrize("size", [65, 2000, 100_000])
def test_a_narrow_peak_can_be_seen(size: int, pyplot: Any) -> None:
    p = np.zeros(size)
    p[size * 7 // 10] = 1
    shown = pixels(Categorical(p).plot(color="black"))
    dark = (shown < 128).all(-1)
    middle = shown.shape[0] // 2
    assert dark[middle].any()
    assert dark[middle].sum() < 30


@pytest.mark.parametrize("shape", [(20, 2000), (256, 256), (700, 300)])
def test_a_heat_map_leaves_out_no_peak(shape: tuple[int, int], pyplot: Any) -> None:
    peaks = np.arange(shape[0]) * 97 % shape[1]
    ax = Categorical(np.eye(shape[1])[peaks]).plot(cmap="gray_r")
    (image,) = ax.images
    high, wide = (-(-n // _display.MOST_CELLS) for n in shape)
    for row, k in enumerate(peaks):
        assert image.get_array()[row // high, k // wide] == 1
    label = (
        f"largest probability in a cell of {high} x {wide}" if high * wide > 1 else "probability"
    )
    assert ax.figure.axes[1].get_ylabel() == label
    left, right, bottom, top = image.get_extent()
    assert (left, top) == (-0.5, -0.5)
    assert 0 <= right - (shape[1] - 0.5) < wide
    assert 0 <= bottom - (shape[0] - 0.5) < high
    if shape[0] == 20:
        assert ((pixels(ax) < 128).all(-1).any(axis=1)).mean() > 0.99


def test_a_plot_of_one_row_and_category(pyplot: Any) -> None:
    ax = Categorical([[2.0]]).plot()
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        assert [tick for tick in axis.get_majorticklocs() if low <= tick <= high] == [0]
    assert ax.get_title() == "1 distribution over 1 category"


@pytest.mark.parametrize("size", [4, 100])
def test_plots_into_the_same_axes_are_not_clipped(size: int, pyplot: Any) -> None:
    ax = Categorical(np.ones(size)).plot()
    Categorical(np.arange(size)).plot(ax)
    low, high = ax.get_ylim()
    assert low == 0
    assert 2 / size < high < 2.2 / size


def test_a_plot_of_a_batch(pyplot: Any) -> None:
    _, ax = pyplot.subplots()
    assert Categorical(ROWS).plot(ax, cmap="magma") is ax
    (image,) = ax.images
    np.testing.assert_allclose(image.get_array(), ROWS, rtol=1e-6)
    assert image.get_cmap().name == "magma"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("category", "row")
    assert ax.get_title() == "2 distributions over 3 categories"
    assert ax.figure.axes[1].get_ylabel() == "probability"
    ax = Categorical(np.ones((2, 3, 4))).plot()
    assert ax.get_ylabel() == "row of the batch (2, 3), in C order"
    ax.figure.canvas.draw()


def test_a_plot_of_an_empty_batch(pyplot: Any) -> None:
    """It does not warn."""
    ax = Categorical(np.empty((0, 3))).plot()
    assert ax.get_title() == "0 distributions over 3 categories"
    ax.figure.canvas.draw()


@pytest.mark.parametrize("library", [x.name for x in LIBRARIES if "CPU" in x.memory])
def test_plots_of_each_library(library: str, pyplot: Any) -> None:
    (image,) = Categorical(put(ROWS, library)).plot().images
    np.testing.assert_allclose(image.get_array(), ROWS, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (300,), (2, 3)])
def test_plots_of_bfloat16(shape: tuple[int, ...], pyplot: Any) -> None:
    torch = pytest.importorskip("torch")
    ax = Categorical(torch.ones(shape, dtype=torch.bfloat16)).plot()
    assert ax.patches or ax.images


def test_a_plot_of_traced_values(pyplot: Any) -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda x: Categorical(x).plot() and x)(jax.numpy.ones(3))


def test_a_plot_on_the_meta_device(pyplot: Any) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="those on device meta"):
        Categorical(torch.ones(3, device="meta")).plot()


def test_plots_need_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        Categorical([0.5, 0.5]).plot()

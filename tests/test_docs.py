"""The pages of the documentation: their examples, links, figures and language."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import itertools
import operator
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import libraries
import pytest

import anycat.numba  # for the API page
from anycat import Categorical
from anycat._kernels.cpu.costs import Costs

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
FILES = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
MARKS = {"from-cupy": libraries.GPU}


def load(name: str) -> ModuleType:
    """Import a file of `docs/_ext`."""
    path = DOCS / "_ext" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_of_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_code(text: str) -> str:
    """Return a page without code, as a reader sees the rest."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^ *(```+).*?^ *\1", "", text, flags=re.M | re.S))


# --- examples ---------------------------------------------------------------------------------


def examples(text: str, name: str) -> doctest.DocTest:
    """Return the examples of a page. A fence ends the output above it, as a blank line does."""
    unfenced = re.sub(r"^ *```.*$", "", text, flags=re.M)
    return doctest.DocTestParser().get_doctest(unfenced, {}, name, name, 0)


def run(text: str, name: str) -> doctest.TestResults:
    test = examples(text, name)
    for source in (example.source for example in test.examples):
        for library in re.findall(r"^(?:import|from) (\w+)", source, flags=re.M):
            try:
                with warnings.catch_warnings(action="ignore"):  # which are not about the page
                    importlib.import_module(library)
            except Exception as error:  # a release may not go with those of its dependencies
                pytest.skip(f"{library} cannot be imported: {error}")
    report: list[str] = []
    found = doctest.DocTestRunner().run(test, out=report.append)
    assert found.failed == 0, "".join(report)
    return found


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=MARKS.get(page.stem, ()), id=page.stem) for page in PAGES]
)
def test_examples(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert run(text, page.name).attempted == len(re.findall(r"^ *>>> ", text, flags=re.M))


def test_an_example_with_another_output_fails() -> None:
    run("```pycon\n>>> 1 + 1\n2\n```\nText\n", "right")
    with pytest.raises(AssertionError, match=r"Got:\s+2\n"):
        run("```pycon\n>>> 1 + 1\n3\n```\nText\n", "wrong")


# --- the API ----------------------------------------------------------------------------------


def missing_from_api(page: str) -> list[str]:
    """Return the public members of `Categorical` without a row in the table, or an entry."""
    members = [name for name in dir(Categorical) if not name.startswith("_")]
    linked = set(re.findall(r"\(#anycat\.Categorical\.(\w+)\)", page))
    entries = set(re.findall(r"^\.\. auto\w+:: Categorical\.(\w+)$", page, flags=re.M))
    return [name for name in members if name not in linked & entries]


def test_the_api_page_has_every_member() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    assert missing_from_api(page) == []
    assert missing_from_api(page.replace(".. automethod:: Categorical.cdf", "")) == ["cdf"]
    assert missing_from_api(page.replace("#anycat.Categorical.icdf", "")) == ["icdf"]


# What is not on that page: Python's own names, and a class of matplotlib.
FAMILIAR = {"Any", "Axes", "Callable", "Iterator", "None", "Self", "SupportsIndex", "Categorical"}


def unexplained_types(page: str) -> list[str]:
    """Return parameters and results without a type, and names of types that a page leaves out."""
    explained = FAMILIAR | set(re.findall(r"^\.\. py:type:: (\w+)$", page, flags=re.M))
    found = []
    for name in re.findall(r"^\.\. auto(?:method|property|function|class):: (.+)$", page, re.M):
        if name.startswith("anycat.torch."):  # it may not be installed
            continue
        path = name.removeprefix("anycat.")
        member = operator.attrgetter(path)(anycat)
        function = getattr(member, "fget", None) or getattr(member, "func", None) or member
        signature = inspect.signature(function)
        for each in [*signature.parameters.values(), signature]:
            type_ = getattr(each, "annotation", signature.return_annotation)
            if type_ is inspect.Signature.empty and each is not signature.parameters.get("self"):
                found.append(f"{name}: {each}")
            found += [x for x in re.findall(r"[A-Z]\w*", str(type_)) if x not in explained]
    return found


def test_the_api_page_explains_the_types_in_signatures() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    assert unexplained_types(page) == []
    assert set(unexplained_types(page.replace(":: Shape", ":: Sizes"))) == {"Shape"}


# --- links ------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """Return the anchor of a heading."""
    text = re.sub(r"[`*]|\[(.*?)\]\(.*?\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def headings(file: Path) -> list[str]:
    """Return the headings of a page, and of a file that it includes."""
    text = file.read_text(encoding="utf-8")
    included = re.findall(r"^```\{include\} (.+)$", text, flags=re.M)
    return sum((headings(file.parent / x) for x in included), re.findall(r"^#+ (.+)$", text, re.M))


def broken_links(page: Path, text: str) -> list[str]:
    """Return the links to files or headings that do not exist."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        path, _, anchor = target.partition("#")
        if "://" in path or anchor.startswith("anycat."):  # Sphinx checks the API
            continue
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in map(slug, headings(file))):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.stem)
def test_links(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_broken_links_are_found() -> None:
    text = "[a](docs/draw.md#truncation) [b](docs/draw.md#nowhere) [c](docs/none.md)"
    assert broken_links(ROOT / "README.md", text) == ["docs/draw.md#nowhere", "docs/none.md"]


# --- figures ----------------------------------------------------------------------------------

WORDS = (
    "half(?: an?)?|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|fifty"
    "|(?:a )?(?:dozen|hundred|thousand)"
)
NUMBER = rf"\b(?:\d[\d.,]*|(?:{WORDS})\b)"
UNIT = r"(?:[nmuµμ]?s|(?:nano|micro|milli)?seconds?|minutes?|hours?)\b"
PACE = r"(?:as (?:long|fast|slow|quick)|the (?:time|speed))"
# A ratio, a time or a share, in prose.
FIGURE = re.compile(
    rf"{NUMBER}[ -]?{UNIT}"
    rf"|{NUMBER} times (?:{PACE}|faster|slower|longer|shorter|quicker|more time|less time)"
    rf"|\b(?:half|twice) {PACE}"
    rf"|{NUMBER} ?\u00d7|\b\d[\d.,]*x\b"
    rf"|(?:{NUMBER}[ -]?|\b(?:{WORDS}))fold\b|\borders? of magnitude"
    rf"|\b(?:factors?|speed-?ups?)(?: (?:of|is|about|up to|more than))* {NUMBER}"
    rf"|{NUMBER} ?(?:%|per ?cent\b)",
    flags=re.I,
)
ACCURACY = "follows from the specification"
SETTING = "a constant of the code"
# Those that no benchmark measures.
UNMEASURED = {
    "README": {"0.4 %": ACCURACY},
    "draw": dict.fromkeys(("0.1 %", "0.13 %", "0.3 %", "0.4 %"), ACCURACY),
    "reproducibility": {"0.3 %": ACCURACY, "0.4 %": ACCURACY},
    "tutorial": {"half a second": SETTING},
    "speed": {"0.15 ms": SETTING},
    "CONTRIBUTING": {"8 minutes": SETTING},
}


def typed_figures(text: str) -> list[str]:
    """Return the figures that a page spells out, in place of those of the benchmarks."""
    prose = without_code(re.sub(r"\{\{.*?\}\}", "", load("results").FIGURE.sub("", text)))
    return FIGURE.findall(re.sub(r"\s+", " ", prose))


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.stem)
def test_figures_come_from_the_benchmarks(page: Path) -> None:
    found = typed_figures(page.read_text(encoding="utf-8"))
    assert sorted(set(found)) == sorted(UNMEASURED.get(page.stem, {}))


@pytest.mark.parametrize(
    "figure",
    [
        *("3.4 times as long", "3\ntimes as fast", "13 times faster", "twelve times as long"),
        *("twice as fast", "half the time", "15x", "15\u00d7", "1.5 \u00d7", "tenfold", "3-fold"),
        *("12 ms", "20 ns", "1.2 us", "1.2 \u00b5s", "2.5 s", "1.25 seconds", "two minutes"),
        *("a factor of 9", "a factor of up to 1.8", "a speedup of 25", "40 %", "40%", "5 percent"),
    ],
)
def test_typed_figures_are_found(figure: str) -> None:
    assert len(typed_figures(f"It takes {figure}, or `12 ms`.\n```sh\n{figure}\n```\n")) == 1
    assert typed_figures(f"It takes <!-- = x -->{figure}<!-- end -->.") == []


def test_other_numbers_are_no_figures() -> None:
    assert typed_figures("64 x 18, Philox4x32-10, ten draws, thousands, 0.6 min(K, 64)") == []


@each_page
def test_figures_are_those_of_the_results(page: Path) -> None:
    """And none begins a line of prose, which would be HTML then."""
    text = page.read_text(encoding="utf-8")
    assert load("results").updated(text) == text, "run `python docs/_ext/results.py`"
    assert re.findall(r"^<!-- = .* -->(?!\n).*", text, flags=re.M) == []


def test_figures_are_those_of_the_files() -> None:
    results = load("results")
    times = results.record("cpu")["median seconds"]["one row, K = 6, 1e6 draws"]
    ratio = min(times["torch"], times["torch multinomial"]) / times["anycat"]
    shown = results.values()["speedup"]["one row, K = 6, 1e6 draws"]["PyTorch"]
    assert float(shown) == pytest.approx(ratio, rel=0.05)
    assert [results.ratio(x) for x in (0.0314, 3.1416, 31.416)] == ["0.03", "3.1", "31"]
    assert [results.duration(t) for t in (2.5, 0.0123, 6.789e-6)] == ["2.5 s", "12.3 ms", "6.79 µs"]


def formulas(page: str) -> dict[str, str]:
    """Return the costs of the strategies on the page about speed, as Python has them."""
    found = dict(
        re.findall(r"^\| (find|rank|table|lanes|guide) \| ([^|;]+?)(?:;.*)? \|$", page, re.M)
    )
    for strategy, formula in found.items():
        formula = re.sub(r", and (.+) more for (.+)$", r" + (\1) (\2)", formula)
        formula = formula.replace("√K", "K ** 0.5")
        found[strategy] = re.sub(r"(?<=[\w)]) (?=[A-Za-z(])", " * ", formula)
    return found


def test_costs_are_those_of_the_model() -> None:
    found = formulas((DOCS / "speed.md").read_text(encoding="utf-8"))
    assert set(found) == set(Costs._fields)
    for K, n, w in itertools.product((1, 63, 65, 4096, 4097, 10**6), (1, 7, 10**5), (4, 8)):
        costs = {name: eval(code, {"K": K, "n": n, "w": w}) for name, code in found.items()}
        assert costs == pytest.approx(Costs.of(K, n, w)._asdict())


# --- language ---------------------------------------------------------------------------------

# Code has no mind: these words belong to people.
MINDFUL = re.compile(
    r"\b(?:anycat|code|class|kernels?|library|compiler|distribution|it|they|that)"
    r" (?:knows?|sees?|asks?|learns?|wants?|is told|are told)\b",
    flags=re.I,
)


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.stem)
def test_code_has_no_mind(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))
    assert [match.group() for match in MINDFUL.finditer(text)] == []


def test_code_with_a_mind_is_found() -> None:
    assert MINDFUL.search("What the library sees")
    assert not MINDFUL.search("See the library")


# --- layout -----------------------------------------------------------------------------------

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", flags=re.M | re.S)
COLUMN = re.compile(r"^::::\{grid-item\}\n(.*?)^::::$", flags=re.M | re.S)
WIDTH, COLUMN_WIDTH = 100, 51  # characters that fit without scrolling


def faults_of_layout(text: str) -> list[str]:
    """Return lines of code that do not fit, and blank lines at the end of code."""
    columns = "".join(COLUMN.findall(text))
    faults = []
    for part, width in ((COLUMN.sub("", text), WIDTH), (columns, COLUMN_WIDTH)):
        for _, _, code in BLOCK.findall(part):
            faults += [line for line in code.splitlines() if len(line) > width]
            faults += ["(blank)"] * (code.endswith("\n\n") or code.startswith("\n"))
    return faults


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.stem)
def test_code_is_not_clipped(page: Path) -> None:
    assert faults_of_layout(page.read_text(encoding="utf-8")) == []


def test_faults_of_layout_are_found() -> None:
    text = (
        "```text\n" + "x" * 101 + "\n```\n::::{grid-item}\n```text\n" + "y" * 52 + "\n\n```\n::::\n"
    )
    assert faults_of_layout(text) == ["x" * 101, "y" * 52, "(blank)"]


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://example.org/someone/anycat.git", "https://example.org/someone/anycat"),
        ("git@example.org:someone/anycat.git", "https://example.org/someone/anycat"),
        ("ssh://git@example.org/someone/anycat", "https://example.org/someone/anycat"),
        ("/home/someone/anycat", None),
        ("../anycat", None),
    ],
)
def test_the_pages_link_to_the_repository(remote: str, address: str | None) -> None:
    assert load("repository").web_address(remote) == address

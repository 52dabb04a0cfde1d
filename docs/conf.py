"""Configuration of Sphinx."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("_ext")))

import figures
import repository
import signatures
from docutils import nodes

import anycat

NOTEBOOK = anycat.Categorical([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])

project = "anycat"
author = "The anycat developers"
copyright = f"2026, {author}"
version = release = anycat.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
default_role = "py:obj"  # of docstrings
nitpicky = True
# The types of other libraries, and of anycat's own modules, are not on these pages.
nitpick_ignore_regex = [("py:.*", r"(?!anycat\.(Categorical|kl_divergence|progress|torch)).*")]

myst_enable_extensions = ["colon_fence", "substitution"]
myst_heading_anchors = 3  # links may name a heading
myst_substitutions = {"notebook": NOTEBOOK._repr_html_()}

autodoc_mock_imports = ["torch"]  # of anycat.torch; on Linux it may bring 5 GB of CUDA
autodoc_preserve_defaults = True
autosummary_generate = False
numpydoc_show_class_members = False  # api.md lists them
maximum_signature_line_length = 60
toc_object_entries_show_parents = "hide"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "anycat"
html_static_path = ["_static"]
html_css_files = ["anycat.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6bcb", "color-brand-content": "#0b6bcb"},
    "dark_css_variables": {"color-brand-primary": "#58a6ff", "color-brand-content": "#58a6ff"},
}
# The links to the repository, if it is on the web, and to each page, where the theme can make them.
if url := repository.address():
    html_theme_options["footer_icons"] = [{"name": "Repository", "url": url, "html": "Repository"}]
    if url.split("/")[2] in ("github.com", "gitlab.com", "bitbucket.org"):
        html_theme_options |= {
            "source_repository": url,
            "source_branch": "main",
            "source_directory": "docs/",
        }


def link_to_pages(*event):
    """Let links to a file that a page includes, which work in a checkout, lead to the page."""
    content = event[-1]
    content[0] = re.sub(r"\]\((\.\./)?CONTRIBUTING\.md", "](contributing.md", content[0])


def let_figures_scroll(app, doctree):
    """Put each plot into an element that scrolls where the screen is too narrow for its text."""
    for image in list(doctree.findall(nodes.image)):
        if "/figures/" in image["uri"]:
            image.replace_self(nodes.container("", image.deepcopy(), classes=["figure"]))


def setup(app):
    app.connect("include-read", link_to_pages)
    app.connect("source-read", link_to_pages)
    app.connect("builder-inited", lambda app: figures.make())
    app.connect("builder-inited", signatures.leave_out_overloads)
    app.connect("autodoc-process-signature", signatures.shown)
    app.connect("doctree-read", let_figures_scroll)

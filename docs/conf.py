"""Configuration of Sphinx."""

import anycat

project = "anycat"
author = "The anycat developers"
copyright = f"2026, {author}"
version = release = anycat.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build"]
nitpicky = True

myst_heading_anchors = 2  # links may name a heading

autodoc_mock_imports = ["torch"]  # of anycat.torch; on Linux it may bring 5 GB of CUDA
autodoc_typehints = "none"  # the docstrings say it
autosummary_generate = False
numpydoc_show_class_members = False  # api.md lists them

html_theme = "furo"
html_title = f"anycat {version}"

"""The site of the documentation: ``nox -s docs`` builds it; the pages are those that are read as Markdown, too.

The source folder is the whole repository, so that a link from one file to another is the same in both forms.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]  # the extensions below, and the package as it is in this checkout

from sources import linkcode_resolve  # noqa: E402, F401

import tinygrad_mnist as tg  # noqa: E402

project = "tinygrad_mnist"
author = "The tinygrad_mnist authors"
copyright = "the tinygrad_mnist authors; MIT license"
release = version = tg.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.linkcode",
    "numpydoc",
    "formulas",
    "front",
    "players",
    "reference",
    "sources",
]
root_doc = "README"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
include_patterns = [
    "*.md",
    "docs/**.md",
    "docs/site/reference/*.rst",
    "examples/notebooks/*.ipynb",
    "tests/benchmarks/README.md",
]
exclude_patterns = [
    "docs/site/contents.md",
    "build",
    "dist",
    "runs",
    "shared",
    "tinygrad_mnist",
    ".*",
    "**/.*",
]
nitpick_ignore = [("py:obj", "places")]  # an attribute, whose default is the class of lists
nitpicky = True  # a reference in a docstring that leads nowhere is a warning, and a warning is an error
suppress_warnings = ["mystnb.unknown_mime_type"]  # widgets and the like have a plain form as well

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_typehints = "none"  # the docstrings say the types, with shapes
autodoc_inherit_docstrings = False  # forward() of each layer says no more than that of Module
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

linkcheck_ignore = ["^(?!https?:)"]  # what is within the site is known when it is built

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "tinygrad_mnist"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
pygments_style = "tango"
pygments_dark_style = "monokai"

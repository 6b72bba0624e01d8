"""Sphinx configuration; build with ``make docs``."""

from importlib.metadata import version as installed

project = "AltEraser"
author = "The AltEraser authors"
copyright = "2026, The AltEraser authors"
release = version = installed("alteraser")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 2  # links to headings
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "AltEraser"
autodoc_member_order = "bysource"
autodoc_typehints = "none"

"""Sphinx configuration."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "scrapy_resilience"
author = "scrapy_resilience contributors"
copyright = author
release = version = installed_version("scrapy-resilience")

# No intersphinx: the documentation builds without a network.
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "resilience_metrics",
    "resilience_settings",
]
exclude_patterns = ["_build"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
doctest_test_doctest_blocks = "default"
doctest_global_setup = f"""
import sys
sys.path.insert(0, {str(HERE / "_ext")!r})
from snippet import Snippet
"""

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["messages.css"]
html_title = f"scrapy_resilience {release}"

"""Sphinx configuration."""

from importlib.metadata import version as installed_version

project = "scrapy_resilience"
author = "scrapy_resilience contributors"
copyright = author
release = version = installed_version("scrapy-resilience")

# No intersphinx: the documentation builds without a network.
extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
autodoc_typehints = "description"
doctest_test_doctest_blocks = "default"

html_theme = "furo"
html_title = f"scrapy_resilience {release}"

"""The benchmarks can be run: each module of theirs is one that Python can import."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import benchmarks

MODULES = sorted(path.stem for path in Path(benchmarks.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_imported(name):
    """What it takes from the package is where it looks for it."""
    assert importlib.import_module(f"benchmarks.{name}").__doc__

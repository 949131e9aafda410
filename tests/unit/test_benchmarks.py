"""The benchmarks can be run: each module of theirs is one that Python can import."""

from __future__ import annotations

import importlib
from pathlib import Path

import benchmarks
from report import report

MODULES = sorted(path.stem for path in Path(benchmarks.__file__).parent.glob("[a-z]*.py"))


def test_they_can_be_imported():
    """What they take from the package is where they look for it."""
    failed = []
    for name in MODULES:
        try:
            importlib.import_module(f"benchmarks.{name}")
        except ImportError as error:
            failed.append(f"benchmarks.{name}: {error}")
    assert "spiders" in MODULES
    report(failed)

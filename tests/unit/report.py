"""One test for many cases: all that fail are in its report."""

from __future__ import annotations

import pytest

__all__ = ["report"]


def report(violations):
    """Fail with a line for each violation."""
    lines = [str(violation) for violation in violations]
    if lines:
        pytest.fail("\n".join([f"{len(lines)} violations:", *lines]), pytrace=False)

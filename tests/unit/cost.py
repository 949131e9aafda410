"""What a call costs, measured by another one beside it: as true on a busy machine."""

from __future__ import annotations

import time

__all__ = ["passes"]


def _seconds(function, tries):
    """The processor time of this thread, at the best of some calls with different numbers."""
    taken = []
    for number in range(tries):
        started = time.thread_time()
        function(number)
        taken.append(time.thread_time() - started)
    return min(taken)


def passes(function, tries=5):
    """How often Python could walk over 100,000 characters while ``function(number)`` runs."""
    text = "x" * 10_000
    return _seconds(function, tries) / _seconds(lambda _: sum(map(ord, text)), 10) / 10

"""Which request is the next trial of a half-open breaker.

A page that has failed may be bad, and one that was never tried may be bad, too: neither tells
whether its domain is down. So a trial is a page that is *known* to work, the latest of the
domain's that was answered: when it is answered again, the breaker closes, and the failures of
other pages are their own. Should it have gone bad meanwhile, every other trial is whatever
comes next. While the domain has never answered, a page that has failed goes before an untried
one: where each page fails once, it gets through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.core.gate import Gate
    from scrapy_resilience.frontier.lanes import Frontier

__all__ = ["RETRIES", "Trials", "is_of_retries"]

RETRIES: Final = "\tretry"
"""What the name of a lane of retries ends in."""


def is_of_retries(lane: str) -> bool:
    """Whether the requests of *lane* have failed before."""
    return lane.endswith(RETRIES)


class Trials:
    """Of one crawl. *check* asks for a page of which only the gates are to hear."""

    def __init__(self, frontier: Frontier, check: Callable[[str], None]) -> None:
        self._frontier = frontier
        self._check = check

    def has_turn(self, lane: str, gate: Gate) -> bool:
        """Whether the trial is a request of *lane*."""
        if gate.breaker.trips % 2:
            return True
        if gate.known_page:
            self._check(gate.known_page)
            return False
        return is_of_retries(lane) or not self._frontier.waiting(lane + RETRIES)

"""Which request is the next trial of a half-open breaker.

Trials take turns: a page that has failed, and an untried one from the other end of the queue.
Where only pages that have failed are left, their failures don't tell whether the domain is down
or the pages are bad. Then every other trial is a page that is *known* to work: the latest of
the domain's that was answered. When it is answered again, the breaker closes, and each
failure of the others is their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.gates import FROM_THE_END

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.core.gates import Gate
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

    def has_turn(self, lane: str, gate: Gate, ready: float) -> bool:
        """Whether the trial is a request of *lane*; *ready* is what the gate has said."""
        wants_untried = ready == FROM_THE_END
        if not is_of_retries(lane):
            return wants_untried or not self._frontier.waiting(lane + RETRIES)
        if self._frontier.waiting(lane.removesuffix(RETRIES)):
            return not wants_untried
        if wants_untried or not gate.known_page:
            return True
        self._check(gate.known_page)
        return False

"""Who asks the gates, what they need of it, and whom they ask in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request

    from scrapy_resilience.checkpoint.commit import Committer
    from scrapy_resilience.frontier.in_flight import InFlightRequests
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.jobs.job import Job

__all__ = ["Asking", "BudgetGate", "Places"]


class Asking(Protocol):
    """What the gates need of our scheduler."""

    frontier: Frontier
    in_flight: InFlightRequests
    committer: Committer | None
    job: Job | None
    commit_soon: Callable[[], None]

    def issued(self, request: Request, /) -> bool: ...


class Places(Protocol):
    """Who limits how many requests of a browser are handed out."""

    def ready_at(self, lane: str, now: float) -> float:
        """When a request of *lane* may go: not after *now* where there is a place."""

    def handed_out(self, request: Request, lane: str, now: float) -> None: ...


class BudgetGate(Protocol):
    """Budgets that requests are held for."""

    def ready_at(self, domain: str, now: float) -> float:
        """When a request to *domain* has room, on the monotonic clock; 0 when it has."""

    def why(self, domain: str) -> str:
        """What a domain that has no room waits for, in words; empty when it has room."""

    def holds_until(self, now: float) -> float:
        """When the first domain without room may have some; 0: none waits, inf: never."""

    def reserve(self, request: Request, domain: str) -> None:
        """*request* is handed out."""

    def release(self, request: Request) -> None:
        """It has ended, or claims now; of no effect for one that has reserved nothing."""

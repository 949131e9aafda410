"""What your code spends: language models, browsers, searches, whatever has a price or a budget.

.. code-block:: python

    from scrapy_resilience.cost import track, tracking, usage


    def parse(self, response):
        answer = ask_model(response.text)
        track("llm_tokens", answer.tokens, domain="shop.example")
        with tracking("browser_minutes"):
            take_picture(response.url)

It is counted for the crawl that runs the code: several crawls in one process do not mix.
Outside of a crawl it is counted together, without budgets; make a :class:`CostTracker` to have
your own. Requests, bytes and proxied requests of a crawl are counted by themselves.

Prices are in ``RESILIENCE_PRICES`` and budgets in ``RESILIENCE_BUDGETS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience._scrapy.here import Here
from scrapy_resilience.guard.cost.tracker import CostTracker
from scrapy_resilience.guard.cost.tracking import Tracking

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience.observe.view import BudgetView, CostView

__all__ = [
    "CostTracker", "Tracking", "check_limits", "enter", "leave", "track", "tracking", "usage",
]  # fmt: skip


def track(
    resource: str,
    amount: float = 1,
    *,
    domain: str | None = None,
    proxy: str | None = None,
    enforce: bool = False,
) -> bool:
    """Count that so much of a resource was spent; never waits.

    :param resource: one of ``llm_tokens``, ``browser_minutes``, ``search_requests``,
        ``requests``, ``proxy_requests``, ``bytes``, or one of your own that has a price or a
        budget
    :param amount: 0 or more; 1 by default
    :param domain: for which domain; it counts in the budgets of that domain, too
    :param proxy: likewise, ``host:port``
    :param enforce: count it only if all budgets have room for it. Call it before you spend then
    :returns: False when a budget that it counts in, other than one that only warns, is used up
        now. The crawl is paused or closed by itself: no request is sent before there is room.
    :raises BudgetExceededError: with *enforce*, when there is no room; nothing was counted
    :raises ConfigurationError: for a resource that has neither a price nor a budget
    :raises ValueError: for an amount below 0, or none at all
    """
    return _current().track(resource, amount, domain=domain, proxy=proxy, enforce=enforce)


def tracking(resource: str, *, domain: str | None = None, proxy: str | None = None) -> Tracking:
    """A context manager (``with`` or ``async with``) that counts what its block spends.

    A resource whose name ends with ``_seconds``, ``_minutes`` or ``_hours`` is charged for the
    time that the block takes, also when it raises; in a job up to each commit, so that a kill
    loses the time since the last one only. For any other one, call ``add(amount)`` of what the
    context manager gives.

    Arguments are as in :func:`track`, and so is what is raised.
    """
    return Tracking(_current, resource, domain, proxy)


def usage() -> CostView:
    """What the job has spent in all its runs, and what its budgets have left."""
    return _current().usage()


def check_limits(*, enforce: bool = False) -> list[BudgetView]:
    """The budgets that have no room now, those that only warn included; empty when all have.

    :param enforce: raise :exc:`BudgetExceededError` for the first one that does not only warn
    """
    return _current().check_limits(enforce=enforce)


# --- of which crawl -------------------------------------------------------------------------

_outside: Final = CostTracker()
_here: Final = Here[CostTracker]("costs")


def enter(crawler: Crawler, tracker: CostTracker) -> None:
    """Whatever runs in this context from now on spends for the crawl."""
    _here.enter(crawler, tracker)


def leave(crawler: Crawler) -> None:
    """The crawl has ended."""
    _here.leave(crawler)


def _current() -> CostTracker:
    return _here.current() or _outside

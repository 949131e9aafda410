"""What a failure costs its page, and how often and how late that is tried again.

While nobody else gets an answer of its domain, a failure is the domain's, unless it is about
the page: it costs none of the page's tries, for the requests of the domain wait until it is up
again. Where nobody holds them, each failure counts, and so it does until the breaker opens
where somebody has limited the retries.
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import _clock, names
from scrapy_resilience.core.backoff import MOST_TRIES, fast_backoff
from scrapy_resilience.core.breaker import State
from scrapy_resilience.core.failures import BLOCKED, THROTTLED
from scrapy_resilience.scheduling.requests import is_robots

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

    from scrapy_resilience.core.failures import Verdict
    from scrapy_resilience.gates.gatekeeper import Gatekeeper
    from scrapy_resilience.gates.policies import Choice

__all__ = ["Tries"]

_NEVER_OPEN: Final = (State.DISABLED, State.METRICS_ONLY)
_MOST_WHILE_CLOSED: Final = 2.0
"""Seconds until the next try while a breaker looks after the domain: it opens the sooner."""


class Tries:
    """Of the pages of a crawl, by what its gatekeeper knows of their domains."""

    def __init__(self, keeper: Gatekeeper) -> None:
        self._keeper = keeper

    def costs_one(
        self,
        request: Request,
        result: Response | Exception,
        verdict: Verdict,
        *,
        limited: bool = False,
    ) -> bool:
        """Whether a failure uses up one of the tries of its page."""
        keeper, gate = self._keeper, self._keeper.known(request)
        if is_robots(request):
            return True  # pages wait for it, and go on without it
        if isinstance(result, Exception) and keeper.probes.was_cut_short(request):
            return False
        if not verdict.counts_against_domain or keeper.is_failed_by_proxy(request):
            return True
        if not self._are_held(request) or (limited and gate.lets_through):
            return True
        if keeper.is_about_the_page(request, result, verdict):
            return True
        return gate.costs_a_try(request.meta.get(names.META_ANSWERS_BEFORE))

    def ask_if_alone(self, request: Request, verdict: Verdict) -> None:
        """A page that has failed again, and alone, is not told from a domain that is down.

        So another page of its host is asked for, one that is known to work; not where it asks
        for less.
        """
        if names.META_FAILED_AT not in request.meta or not self._are_held(request):
            return
        known = self._keeper.known(request).known_page
        host = urlparse_cached(request).netloc
        is_its_host = known is not None and urlsplit(known.url).netloc == host
        if is_its_host and verdict.failure_class not in {BLOCKED, THROTTLED}:
            self._keeper.ask_if_alone(request)

    def _are_held(self, request: Request) -> bool:
        """Whether requests like this one wait while their domain is down."""
        keeper = self._keeper
        return (
            keeper.active
            and keeper.config.breaker_enabled
            and self._opens_at_last(request)
            and keeper.is_scheduled(request)
            and keeper.open_action(request) == "hold"
        )

    def _opens_at_last(self, request: Request) -> bool:
        """Whether the breaker opens where one page fails again and again, and no other."""
        keeper, domain = self._keeper, self._keeper.domain(request)
        threshold = keeper.domains.breaker(domain).failure_threshold
        return threshold > 0 and keeper.gates.known(domain).breaker.state not in _NEVER_OPEN

    def retries(self, request: Request, choice: Choice, verdict: Verdict) -> int:
        """How many times the page may be tried again, those that were included."""
        if choice.retries is not None:
            return choice.retries
        if self._keeper.is_failed_by_proxy(request):
            return MOST_TRIES - 1  # another proxy may do
        if verdict.failure_class == BLOCKED:
            return choice.policy.attempts - 1
        return self._keeper.known(request).tries - 1

    def delay(self, request: Request, choice: Choice, verdict: Verdict, attempts: int) -> float:
        """Seconds; few while the domain answers others, unless somebody chose a policy.

        And few as long as its breaker is closed: a last page that never answers waited for
        minutes until it was known to be the only one.
        """
        gate, is_blocked = self._keeper.known(request), verdict.failure_class == BLOCKED
        is_usual = not (choice.is_named or is_robots(request) or is_blocked)
        if is_usual and gate.answers_lately(_clock.monotonic()):
            return fast_backoff(attempts, random)
        delay = choice.policy.delay(attempts, random, verdict.failure_class)
        if is_usual and gate.lets_through and self._are_held(request):
            return min(delay, _MOST_WHILE_CLOSED)
        return delay

"""What the scheduler does about requests that can't go now: wait, look again, give up, end."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import close_spider, is_starting, under_way, wake
from scrapy_resilience.core.failures import TRANSIENT
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.gates.crawl_pauses import pauses_of

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience._clock import Timer
    from scrapy_resilience.core.gate import Gate
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.frontier.store import Row
    from scrapy_resilience.gates.gatekeeper import Gatekeeper

__all__ = ["HeldRequests", "WakeTimer"]

logger = get_logger(__name__)

_GIVEN_UP_AT_ONCE: Final = 100
_TOLD_FROM: Final = 5.0
"""Seconds of a wait from which the log says why nothing happens."""
_TOLD_AGAIN: Final = 60.0
_TOLD_DOMAINS: Final = 3
_LOST: Final = "without a JOBDIR they are lost, and listed as dead letters"


class WakeTimer:
    """Wakes the engine when the next request is due, and only then."""

    def __init__(self, crawler: Crawler, frontier: Frontier) -> None:
        self._crawler = crawler
        self._frontier = frontier
        self._set: tuple[float, Timer] | None = None

    def set(self, now: float) -> None:
        due = self._frontier.next_due()
        if due is None or (self._set is not None and self._set[0] == due):
            return
        self.cancel()
        self._set = due, _clock.call_later(max(due - now, 0), self._ring)

    def cancel(self) -> None:
        if self._set is not None:
            self._set[1].cancel()
            self._set = None

    def _ring(self) -> None:
        self._set = None
        wake(self._crawler.engine)


class HeldRequests:
    """Requests that their domains' gates hold back."""

    def __init__(
        self, crawler: Crawler, frontier: Frontier, keeper: Gatekeeper, *, durable: bool
    ) -> None:
        """*durable*: whether there is a job, which keeps what is held for the next run."""
        self._crawler = crawler
        self._frontier = frontier
        self._durable = durable
        self._keeper = keeper
        self._stats: Any = crawler.stats
        self._letters = letters_of(crawler)
        self._pauses = pauses_of(crawler)
        self._alone: tuple[int, float] | None = None
        """How many requests had succeeded when only held ones were left, and since when."""
        self._told_at = -_TOLD_AGAIN

    def may_find_more(self, now: float) -> bool:
        """Whether another look at the frontier may find what the last one did not."""
        gates = self._keeper.gates
        return gates.pass_on() or (not is_starting(self._crawler.engine) and gates.excuse(now))

    # --- giving up ---

    def given_up(self) -> list[tuple[Row, Gate]]:
        """Some rows of a domain that did not recover; the rest in the next turn."""
        if not self._keeper.given_up:
            return []
        lane, gate = next(iter(self._keeper.given_up.items()))
        self._frontier.recall(lane)
        rows: list[tuple[Row, Gate]] = []
        while len(rows) < _GIVEN_UP_AT_ONCE and (row := self._frontier.take(lane)) is not None:
            rows.append((row, gate))
        if len(rows) < _GIVEN_UP_AT_ONCE:
            del self._keeper.given_up[lane]
            self._frontier.release(lane)  # to hear of those that come later
        wake(self._crawler.engine)
        return rows

    def write_off(self, request: Request, gate: Gate) -> None:
        """A request of such a domain becomes a dead letter."""
        self._stats.inc_value(names.STAT_GIVEN_UP)
        self._letters.add(
            request,
            kind="held",
            failure_class=gate.failure_class or TRANSIENT,
            reason=f"{gate.domain} did not recover: {gate.breaker.last_failure}",
            attempts=request.meta.get(names.SCRAPY_RETRY_TIMES, 0),
        )

    # --- the end ---

    def lose(self, request: Request) -> None:
        """A request that is held when a crawl ends that has no job."""
        self._letters.add(
            request,
            kind="held",
            failure_class=TRANSIENT,
            reason="held when the crawl ended, which had no JOBDIR",
            attempts=request.meta.get(names.SCRAPY_RETRY_TIMES, 0),
        )

    def check(self, now: float) -> None:
        """Close a crawl that has nothing but held requests, and for too long."""
        if not self._is_alone():
            return
        successes, since = self._alone or (-1, 0.0)
        if successes != self._keeper.gates.successes:
            successes, since = self._alone = self._keeper.gates.successes, now
        due, since = self._frontier.next_due(), max(since, self._pauses.ended_at)
        is_late = due is None or due > since + self._keeper.config.hold_timeout
        budgets = self._keeper.budgets
        until = 0.0 if budgets is None else budgets.holds_until(now)
        if is_late and not self._frontier.next_is_delayed() and not now < until < inf:
            self._alone = None
            self._give_up_waiting(forever=until == inf)
        elif due is not None and due - now >= _TOLD_FROM and now - self._told_at >= _TOLD_AGAIN:
            self._told_at = now
            logger.info(
                "Nothing else to do: %d requests are held, the next one is due in %.0f s%s",
                self._frontier.held,
                due - now,
                self._reasons(now),
            )

    def _give_up_waiting(self, *, forever: bool) -> None:
        count, later = self._frontier.held, "the next run goes on with them"
        fate = later if self._durable else _LOST
        if forever:
            logger.warning("%d requests have no room in a budget of this job: %s", count, fate)
        else:
            logger.warning(
                "%d requests are held for longer than RESILIENCE_HOLD_TIMEOUT: %s", count, fate
            )
        reason = names.REASON_BUDGET if forever else names.REASON_HELD
        close_spider(self._crawler, reason)

    def _why(self, domain: str, now: float) -> str:
        budgets = self._keeper.budgets
        spent = "" if budgets is None else budgets.why(domain)
        return spent or self._keeper.gates.why(domain, now)

    def _reasons(self, now: float) -> str:
        gates = self._keeper.gates
        domains = gates.waiting()
        told = [f"{domain}: {self._why(domain, now)}" for domain in domains[:_TOLD_DOMAINS]]
        if len(domains) > _TOLD_DOMAINS:
            told.append(f"and {len(domains) - _TOLD_DOMAINS} more domains")
        return f" ({'; '.join(told)})" if told else ""

    def _is_alone(self) -> bool:
        engine = self._crawler.engine
        return bool(
            self._frontier
            and not (self._keeper.given_up or self._keeper.is_checking)
            and not is_starting(engine)
            and not under_way(engine)
        )

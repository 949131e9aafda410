"""What is said of a domain: of a breaker that has another state, a hold, a giving up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import names, signals
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.breaker import State

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.breaker import Event

__all__ = ["announce", "tell"]

logger = get_logger(__name__)

_STATS: Final = {
    State.OPEN: names.STAT_BREAKER_OPENED,
    State.HALF_OPEN: names.STAT_BREAKER_HALF_OPEN,
    State.CLOSED: names.STAT_BREAKER_CLOSED,
}


def announce(crawler: Crawler, domain: str, old: State, new: State, event: Event) -> None:
    """Tell that the breaker of *domain* has changed; one that is on trial is less news."""
    stats: Any = crawler.stats
    if (stat := _STATS.get(new)) is not None:
        stats.inc_value(stat)
    level = logging.WARNING if State.CLOSED in {old, new} else logging.INFO
    logger.log(level, "The circuit breaker of %s is %s: %s", domain, new.value, event.value)
    crawler.signals.send_catch_log(
        signals.breaker_changed,
        domain=domain,
        old=old.value,
        new=new.value,
        reason=event.value,
    )


def tell(crawler: Crawler, kind: str, text: str, domain: str, severity: str = "info") -> None:
    """Send an event of a *kind* about *domain*."""
    crawler.signals.send_catch_log(
        signals.crawl_event, kind=kind, text=text, severity=severity, domain=domain
    )

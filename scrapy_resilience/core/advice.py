"""What to change, in one sentence, where time accounting says what a crawl waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from scrapy_resilience.core.accounting import (
    BLOCKED,
    CALLBACKS,
    COMMIT,
    DELAYED,
    FRONTIER,
    GATE,
    OTHER_WORK,
    PACED,
    PER_DOMAIN,
    PROCESSOR,
    SERVERS,
    START,
    Part,
    Sum,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["advice", "span_of"]

_ENOUGH: Final = 5.0
"""Seconds from which on a share means anything."""
_AT_ONCE: Final = "circuit breaker"
"""What is so before them, too: it is not how a crawl begins."""
_NEARLY: Final = 0.97
_TWO: Final = 1.5
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_MUCH: Final = 0.25
"""Of the time of servers that limits of domains have, from which on they are named."""


class _Told(NamedTuple):
    """What was waited for, and what changes it."""

    what: str
    change: str


_GATES: Final = {
    "rate limit": _Told(
        "waited for the rate limit of {domains}{rate}", "RESILIENCE_RATE_LIMITS"
    ),
    "robots.txt": _Told(
        "waited for the Crawl-delay that robots.txt of {domains} asks for{rate}",
        "RESILIENCE_CRAWL_DELAY_MAX",
    ),
    PACED: _Told(
        "waited for the download delay of {domains}{rate}",
        "DOWNLOAD_DELAY, DOWNLOAD_SLOTS or AUTOTHROTTLE_TARGET_CONCURRENCY",
    ),
    "circuit breaker": _Told(
        "waited for {domains}, whose circuit breaker is not closed",
        "look at its errors first, then at RESILIENCE_BREAKER_GIVE_UP_AFTER",
    ),
    "slowed down": _Told(
        "waited for {domains}, which refuses what comes faster{rate}",
        "more addresses may help, or RESILIENCE_ADAPTIVE_RATE",
    ),
    "no answer yet": _Told(
        "waited for a first answer of {domains} before more is asked", "RESILIENCE_SLOW_START"
    ),
    "too many domains": _Told(
        "waited for domains that do not answer, such as {domains}", "raise CONCURRENT_REQUESTS"
    ),
    "too many retries": _Told(
        "waited for other retries, of {domains} and others", "RESILIENCE_RETRY_CONCURRENCY"
    ),
    DELAYED: _Told(
        "waited for requests whose time has not come: retries, and resilience_delay",
        "RESILIENCE_RETRY_POLICY",
    ),
}
"""By what a reason begins with."""
_HOLD: Final = _Told(
    "waited for {domains}, which is held ({reason})", "RESILIENCE_RETRY_AFTER_MAX"
)

_OTHERS: Final = {
    (PROCESSOR, ""): _Told(
        "the processor was busy with this crawl",
        "make callbacks and pipelines cheaper, or share the work between several crawls",
    ),
    (PROCESSOR, OTHER_WORK): _Told(
        "the processor was busy with other work of this machine",
        "give the crawl a processor of its own",
    ),
    (SERVERS, ""): _Told(
        "waited for answers of {domains}", "raise CONCURRENT_REQUESTS if the site allows it"
    ),
    (SERVERS, PER_DOMAIN): _Told(
        "waited for answers of {domains}, with as many requests under way as a domain may have",
        "raise CONCURRENT_REQUESTS_PER_DOMAIN if the site allows it",
    ),
    (FRONTIER, ""): _Told(
        "nothing was left to ask for that was not under way",
        "more start URLs at once, or pages that lead to more",
    ),
    (FRONTIER, START): _Told(
        "start() had not put out more requests", "let it yield them faster"
    ),
    (CALLBACKS, ""): _Told(
        "waited for callbacks and pipelines",
        "find out what for, then raise CONCURRENT_ITEMS or SCRAPER_SLOT_MAX_ACTIVE_SIZE",
    ),
    (CALLBACKS, BLOCKED): _Told(
        "the event loop was blocked by a call that does not compute",
        "await it, or use asyncio.to_thread()",
    ),
    (COMMIT, ""): _Told(
        "waited for commits",
        "RESILIENCE_CHECKPOINT_INTERVAL, RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT or a faster disk",
    ),
}


def advice(
    found: Sum, rate_of: Callable[[str, str], str] = lambda *_: "", *, of: str = ""
) -> str:
    """What took most of *found*, and what to change; empty while there is too little.

    *rate_of* gives how fast a domain is asked, as ``5/s``, from (reason, domain). *of* names
    the span, where it is not the last that has passed.
    """
    parts = found.parts()
    if not parts:
        return ""
    part = parts[0]
    if found.seconds < _ENOUGH and not part.detail.startswith(_AT_ONCE):
        return ""
    told = _told(part)
    rate = rate_of(part.detail, part.domains[0]) if part.domains else ""
    what = told.what.format(
        domains=_named(part.domains), rate=f", {rate}" if rate else "", reason=part.detail
    )
    span = of or span_of(found.seconds)
    return f"{100 * part.share:.0f} % of {span} {what}: {told.change}"


def _told(part: Part) -> _Told:
    if part.cause == GATE:
        starts = (told for begin, told in _GATES.items() if part.detail.startswith(begin))
        return next(starts, _HOLD)
    detail = part.detail
    if part.cause == SERVERS and part.detail != PER_DOMAIN and part.detail_share < 1 - _MUCH:
        detail = PER_DOMAIN
    return _OTHERS.get((part.cause, detail), _OTHERS[part.cause, ""])


def _named(domains: list[str]) -> str:
    if not domains:
        return "its domains"
    return domains[0] if len(domains) == 1 else f"{', '.join(domains[:-1])} and {domains[-1]}"


def span_of(seconds: float) -> str:
    """``the last hour``, or how much of it there is."""
    if seconds >= _NEARLY * _HOUR:
        return "the last hour"
    if seconds >= 2 * _MINUTE:
        return f"the last {seconds / _MINUTE:.0f} minutes"
    if seconds >= _NEARLY * _MINUTE:
        return "the last minute" if seconds < 1.5 * _MINUTE else "the last 2 minutes"
    return f"the last {seconds:.0f} seconds" if seconds >= _TWO else "the last second"

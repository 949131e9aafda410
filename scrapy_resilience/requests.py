"""What the scheduler reads off a request."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience._log import get_logger
from scrapy_resilience.frontier.outputs import content_key
from scrapy_resilience.names import (
    META_ANSWERS_BEFORE,
    META_DELAY,
    META_FAILED_AT,
    SCRAPY_REDIRECT_TIMES,
)

if TYPE_CHECKING:
    from scrapy import Request

__all__ = [
    "forget_failures",
    "host_of",
    "is_redirected",
    "is_robots",
    "pop_delay",
    "request_key",
]

logger = get_logger(__name__)


def pop_delay(request: Request) -> float:
    """The seconds of ``resilience_delay``, which a copy of the request does not inherit."""
    if not request.meta or META_DELAY not in request.meta:
        return 0.0
    value = request.meta.pop(META_DELAY)
    try:
        delay = float(value)
    except (TypeError, ValueError):
        delay = nan
    if isfinite(delay) and delay >= 0:
        return delay
    logger.warning("%s=%r of %s: use seconds, 0 or more", META_DELAY, value, request)
    return 0.0


def forget_failures(request: Request) -> None:
    """Those of the page with whose meta a callback has made *request*: it is no retry."""
    for key in (META_FAILED_AT, META_ANSWERS_BEFORE):
        request.meta.pop(key, None)


def request_key(request: Request) -> int:
    """What a request asks for and who takes the answer: the same in each run."""
    callback = getattr(request.callback, "__name__", "") or ""
    return content_key(
        request.method.encode(), request.url.encode(), request.body, callback.encode()
    )


def is_redirected(new: Request, old: Request) -> bool:
    """Whether Scrapy sends *new* because *old* was redirected; it bounds how often."""
    times = new.meta.get(SCRAPY_REDIRECT_TIMES, 0)
    return bool(times > old.meta.get(SCRAPY_REDIRECT_TIMES, 0))


def is_robots(request: Request) -> bool:
    """Whether Scrapy asks for a robots.txt, and not the spider."""
    asked = request.meta.get("dont_obey_robotstxt")
    return bool(asked) and urlparse_cached(request).path == "/robots.txt"


def host_of(url: str) -> str:
    """The host of a URL in lower case; empty for what is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""

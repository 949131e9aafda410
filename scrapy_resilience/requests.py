"""What the scheduler reads off a request."""

from __future__ import annotations

import logging
from math import isfinite, nan
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience.frontier.outputs import content_key
from scrapy_resilience.names import META_ANSWERS_BEFORE, META_DELAY, META_FAILED_AT

if TYPE_CHECKING:
    from scrapy import Request

__all__ = [
    "WrongMeta",
    "forget_failures",
    "host_of",
    "is_robots",
    "pop_delay",
    "request_key",
]

logger = logging.getLogger(__name__)


_TOLD: Final = 100


class WrongMeta:
    """Tells of each wrong value of a meta key once: a spider gives it to all its requests."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, key: str, request: Request, advice: str, value: Any) -> None:
        what = key, repr(value)
        if what not in self._told and len(self._told) < _TOLD:
            self._told.add(what)
            logger.warning("%s=%r of %s: use %s", key, value, request, advice)


def pop_delay(request: Request, wrong: WrongMeta) -> float:
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
    wrong.tell(META_DELAY, request, "seconds, 0 or more", value)
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

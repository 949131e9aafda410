"""What the scheduler reads off a request."""

from __future__ import annotations

from hashlib import blake2b
from math import isfinite, nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from scrapy.http.request import NO_CALLBACK
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience._log import get_logger
from scrapy_resilience.frontier.handed_out import content_key
from scrapy_resilience.names import (
    META_DELAY,
    OF_A_PAGE,
    OF_A_TRY,
    PREFIX_OF_META,
    SCRAPY_REDIRECT_TIMES,
)
from scrapy_resilience.scheduling.canonical import content_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Request

__all__ = [
    "WrongMeta",
    "forget_parent",
    "host_of",
    "is_redirected",
    "is_robots",
    "pop_delay",
    "request_key",
    "way_to",
]

logger = get_logger(__name__)

_CALLBACKS: Final = ("callback", "errback")
_UNTOLD: Final = frozenset({"priority", "flags", "encoding", "dont_filter"})
_OF_THE_RUN: Final = frozenset({"is_start_request", "download_slot"})
"""Scrapy's meta keys that it may set before or after we look at a request."""
_TRACEPARENT: Final = b"Traceparent"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
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


def forget_parent(request: Request, *, is_page: bool = False) -> None:
    """The failures and ids of the page with whose meta a callback has made *request*.

    The request of the page itself keeps the ids: it is tried again, and may still run.
    """
    meta = request.meta
    if OF_A_PAGE.isdisjoint(meta):  # nearly always
        return
    for key in OF_A_TRY if is_page else OF_A_PAGE:
        meta.pop(key, None)


def request_key(request: Request, inherited: Mapping[str, Any] = _NOTHING) -> int:
    """What makes a request another one than those beside it: the same in each run.

    What it asks for, who takes the answer, and what goes there with it. Not its priority.
    Nor is meta that is *inherited*, as ``meta=response.meta`` does: it has times and proxies
    that change, and tells no two requests of one page apart.
    """
    names = [name for name in request.attributes if name not in _UNTOLD]
    told = {name: getattr(request, name, None) for name in names}
    told["headers"] = headers = dict(request.headers)
    headers.pop(_TRACEPARENT, None)  # it names another span in each run
    told["meta"] = _own_meta(request, inherited)
    told.update((name, getattr(told[name], "__name__", "")) for name in _CALLBACKS)
    told = {name: value for name, value in told.items() if value}
    return content_key(type(request).__qualname__.encode(), *content_parts(told))


def _own_meta(request: Request, inherited: Mapping[str, Any]) -> dict[Any, Any]:
    return {
        key: value
        for key, value in request.meta.items()
        if not (key in inherited and inherited[key] is value)
        and key not in _OF_THE_RUN
        and not str(key).startswith(PREFIX_OF_META)
    }


def is_redirected(new: Request, old: Request) -> bool:
    """Whether Scrapy sends *new* because *old* was redirected; it bounds how often."""
    times = new.meta.get(SCRAPY_REDIRECT_TIMES, 0)
    return bool(times > old.meta.get(SCRAPY_REDIRECT_TIMES, 0))


def way_to(request: Request) -> str:
    """Tells requests apart that were redirected to one page; empty for one that was not."""
    urls = request.meta.get("redirect_urls")
    if not urls:
        return ""
    way = "\n".join(map(str, urls)).encode("utf-8", "surrogatepass")
    return f"-{blake2b(way, digest_size=8).hexdigest()}"


def is_robots(request: Request) -> bool:
    """Whether Scrapy asks for a robots.txt, and not the spider, which wants an answer."""
    asked = request.callback is NO_CALLBACK and request.meta.get("dont_obey_robotstxt")
    if not asked:
        return False
    first = request.meta.get("redirect_urls")  # a site may keep it elsewhere
    path = urlsplit(first[0]).path if first else urlparse_cached(request).path
    return path == "/robots.txt"


def host_of(url: str) -> str:
    """The host of a URL in lower case; empty for what is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""

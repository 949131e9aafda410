"""What the fault site answers, request by request; the caller passes the time.

Healthy hosts answer as ``model`` says. Each faulty host does one thing wrong, whatever
the path:

==============  ======================================================================
silent.test     never answers
slow.test       answers after ``slow`` seconds more
error.test      always 503
throttled.test  more than ``throttle_requests`` within ``throttle_period``: 429 for
                ``throttle_window``; ``/retry-after/KIND``: always 429, with that kind
outage.test     503 until ``outage`` seconds after its first request
banned.test     after every ``ban_after`` requests a captcha for ``ban_window``
loop.test       every path redirects, and back again
truncated.test  announces more bytes than it sends, then closes
==============  ======================================================================

Hosts below them, such as ``a.silent.test``, have the same fault, each on its own.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from . import answers, model
from .answers import Answer, Delivery
from .pages import shop_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import SiteConfig

__all__ = ["Gate", "SiteModel", "Visit"]

_KEPT_PAGES = 20_000


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, and all that a fault may depend on.

    ``attempt`` counts earlier requests of the path, ``age`` is the time since the
    host's first request, ``wait`` the time until the host's gate opens (0: open).
    """

    host: str
    path: str
    now: float
    attempt: int
    age: float
    wait: float


@dataclass(slots=True)
class Gate:
    """Lets ``limit`` requests pass in a ``period``, then none while ``closed``."""

    limit: int
    period: float
    closed: float
    _opened: float = -math.inf
    _count: int = 0
    _closed_until: float = -math.inf

    def wait(self, now: float) -> float:
        """Count a request: the seconds until the gate opens, 0 where it passes."""
        if now < self._closed_until:
            return self._closed_until - now
        if now - self._opened >= self.period:
            self._opened, self._count = now, 0
        self._count += 1
        if self._count <= self.limit:
            return 0.0
        self._opened, self._closed_until = -math.inf, now + self.closed
        return self.closed


@dataclass(slots=True)
class _HostMemory:
    first: float
    gate: Gate | None
    attempts: Counter[str] = field(default_factory=Counter)

    def visit(self, host: str, path: str, now: float) -> Visit:
        wait = self.gate.wait(now) if self.gate else 0.0
        visit = Visit(host, path, now, self.attempts[path], now - self.first, wait)
        self.attempts[path] += 1
        return visit


class SiteModel:
    """The answers of a site; remembers attempts and gates, owns no clock."""

    def __init__(self, config: SiteConfig) -> None:
        self.config = config
        self._memories: dict[str, _HostMemory] = {}
        self._pages: dict[tuple[str, int], Answer] = {}

    def warm_up(self) -> None:
        """Render the healthy pages now, as many as are kept in memory."""
        for host in model.healthy_hosts(self.config):
            for page in range(self.config.pages):
                if len(self._pages) >= _KEPT_PAGES:
                    return
                self._page(host, page)

    def reset(self) -> None:
        """Forget every request; first tries, gates and outages start anew."""
        self._memories.clear()

    def answer(self, host: str, path: str, now: float) -> Answer:
        """Answer the next request; ``now`` is in seconds since the Unix epoch."""
        memory = self._memories.get(host)
        if memory is None:
            memory = self._memories[host] = _HostMemory(now, self._gate(host))
        visit = memory.visit(host, path, now)
        return _FAULTS.get(_fault(host), _healthy)(self, visit)

    def own_page(self, visit: Visit) -> Answer:
        """Answer as a host without faults and redirects would."""
        page = model.page_number(self.config, visit.path)
        return answers.NOT_FOUND if page is None else self._page(visit.host, page)

    def _gate(self, host: str) -> Gate | None:
        c = self.config
        if _fault(host) == model.BANNED:
            return Gate(c.ban_after, math.inf, c.ban_window)
        if _fault(host) == model.THROTTLED:
            return Gate(c.throttle_requests, c.throttle_period, c.throttle_window)
        return None

    def _page(self, host: str, page: int) -> Answer:
        answer = self._pages.get((host, page))
        if answer is None:
            answer = answers.page(shop_page(self.config, host, page))
            if len(self._pages) < _KEPT_PAGES:
                self._pages[host, page] = answer
        return answer


def _fault(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def _healthy(site: SiteModel, visit: Visit) -> Answer:
    config = site.config
    if not model.is_healthy(config, visit.host):
        return answers.NOT_FOUND
    target = model.redirect_target(config, visit.path)
    if target is not None:
        return answers.redirect(model.page_path(target))
    page = model.page_number(config, visit.path)
    first = page is not None and visit.attempt == 0
    if first and model.fails_first(config, visit.host, page or 0):
        return answers.UNAVAILABLE
    return site.own_page(visit)


def _silent(_site: SiteModel, _visit: Visit) -> Answer:
    return answers.SILENCE


def _slow(site: SiteModel, visit: Visit) -> Answer:
    return replace(site.own_page(visit), delay=site.config.slow)


def _error(_site: SiteModel, _visit: Visit) -> Answer:
    return answers.UNAVAILABLE


def _throttled(site: SiteModel, visit: Visit) -> Answer:
    config = site.config
    kind = visit.path.removeprefix("/retry-after/")
    if kind in model.RETRY_AFTER_KINDS:
        return answers.too_many(kind, config.throttle_window, visit.now)
    if visit.wait:
        return answers.too_many(config.retry_after, visit.wait, visit.now)
    return site.own_page(visit)


def _outage(site: SiteModel, visit: Visit) -> Answer:
    over = visit.age >= site.config.outage
    return site.own_page(visit) if over else answers.UNAVAILABLE


def _banned(site: SiteModel, visit: Visit) -> Answer:
    if visit.wait:
        return answers.captcha(compressed=site.config.ban_gzip)
    return site.own_page(visit)


def _loop(_site: SiteModel, visit: Visit) -> Answer:
    path = visit.path.rstrip("/")
    if path.endswith("/again"):
        return answers.redirect(path.removesuffix("/again") or "/")
    return answers.redirect(f"{path}/again")


def _truncated(site: SiteModel, visit: Visit) -> Answer:
    return replace(site.own_page(visit), outcome="cut", delivery=Delivery.CUT)


_FAULTS: dict[str, Callable[[SiteModel, Visit], Answer]] = {
    model.SILENT: _silent,
    model.SLOW: _slow,
    model.ERROR: _error,
    model.THROTTLED: _throttled,
    model.OUTAGE: _outage,
    model.BANNED: _banned,
    model.LOOP: _loop,
    model.TRUNCATED: _truncated,
}

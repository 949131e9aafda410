"""The health of a crawl: components that are looked at, and checks of the user's own.

What the crawl knows of itself is judged when somebody looks. A check of the user's may ask a
database or a proxy: it is run when its last answer has grown old and somebody looks, never
twice at a time, and for a bounded time; whoever looks is told its last answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.core.health import Finding, as_finding, is_ready, overall
from scrapy_resilience.core.masking import error_text, shown
from scrapy_resilience.observe.health.calls import BoundedCall
from scrapy_resilience.observe.view import Component, Health, View

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["HealthRegistry", "health_of", "register_health_check"]

logger = get_logger(__name__)

Check: TypeAlias = Callable[[], Any]
Look: TypeAlias = Callable[[View], "Finding | None"]

_LONGEST: Final = 300
"""Characters of a detail."""


class _Watched(msgspec.Struct):
    name: str
    look: Look
    informs: bool


class _Checked:
    """A check of the user's, and what it has answered last."""

    def __init__(self, name: str, check: Check, recover: Check | None) -> None:
        self.name = name
        self.recover = recover
        self.finding = Finding("unknown", "not checked yet")
        self.checked: float | None = None
        """Seconds since 1970."""
        self.due = 0.0
        self.task: asyncio.Task[None] | None = None
        self.call = BoundedCall(check, f"resilience-health-{name}")

    async def run(self, timeout: float) -> None:
        """Ask once; never raises."""
        try:
            found = as_finding(await self.call.answer(timeout))
        except asyncio.CancelledError:
            raise
        except asyncio.TimeoutError:
            found = Finding("unhealthy", f"no answer in {timeout:g} s")
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a thread, too
            found = Finding("unhealthy", error_text(error))
        found = Finding(found.status, shown(found.detail)[:_LONGEST])
        is_news = self.checked is None or found.status != self.finding.status
        if is_news and found.status in {"unhealthy", "unknown"}:
            logger.warning("The health check %s: %s (%s)", self.name, *found)
        self.finding, self.checked = found, _clock.wall()


class HealthRegistry:
    """The components of one crawl, from :func:`health_of`.

    :param timeout: seconds that a check of the user's may take
    :param interval: seconds for which its answer is good
    """

    def __init__(self, timeout: float = 5.0, interval: float = 10.0) -> None:
        self.timeout = timeout
        self.interval = interval
        self._watched: dict[str, _Watched] = {}
        self._checked: dict[str, _Checked] = {}

    def register(self, name: str, check: Check, recover: Check | None = None) -> None:
        """Have *check* asked, without arguments, as the component *name*.

        It may be a coroutine function; any other is called in a thread. None or True is
        healthy, False is unhealthy; ``"degraded"``, or ``("degraded", "why")``, says it in
        words. One that raises, or does not come back in time, is unhealthy.

        *recover* is kept for who tries to make it well again. A name that is known is replaced.
        Raises :exc:`TypeError` for what can't be called.
        """
        for function in (check, recover or check):
            if not callable(function):
                raise TypeError(f"{function!r} can't be called: give a function")
        if (before := self._checked.pop(name, None)) is not None:
            _stop(before)
        self._checked[name] = _Checked(name, check, recover)

    def watch(self, name: str, look: Look, *, informs: bool = False) -> None:
        """Have *look* judge a view: what the crawl knows of itself. None leaves it out.

        *informs*: whether it makes the whole degraded at most.
        """
        self._watched[name] = _Watched(name, look, informs)

    def recover_of(self, name: str) -> Check | None:
        """The function that may make a component well again."""
        return self._checked[name].recover if name in self._checked else None

    def findings(self) -> dict[str, Finding]:
        """The last answer of each check, by its component."""
        return {each.name: each.finding for each in self._checked.values()}

    def ask_again(self, name: str) -> None:
        """The last answer of a check is not good any more."""
        if name in self._checked:
            self._checked[name].due = 0.0

    def view(self, crawl: View) -> Health:
        """How the crawl is, as far as it is known now; begins the checks that are due."""
        self._begin()
        found = [
            (Component(name=each.name, status=finding.status, detail=finding.detail,
                       checked=crawl.time), each.informs)
            for each in self._watched.values()
            if (finding := _looked(each, crawl)) is not None
        ]  # fmt: skip
        found += [
            (Component(name=each.name, status=each.finding.status, detail=each.finding.detail,
                       checked=each.checked), False)
            for each in self._checked.values()
        ]  # fmt: skip
        parts = [(component.status, informs) for component, informs in found]
        return Health(
            status=overall(parts),
            ready=is_ready(parts) and crawl.job.state == "running",
            components=[component for component, _ in found],
        )

    async def refresh(self, wait: float) -> None:
        """Run the checks that are due, and wait for so many seconds at most."""
        if running := self._begin():
            await asyncio.wait(running, timeout=wait)

    def close(self) -> None:
        """Ask nobody any more."""
        for each in self._checked.values():
            _stop(each)
        self._checked.clear()
        self._watched.clear()

    def _begin(self) -> list[asyncio.Task[None]]:
        now = _clock.monotonic()
        for each in self._checked.values():
            if now >= each.due and not each.call.is_under_way and _is_over(each.task):
                each.due = now + self.interval
                each.task = asyncio.ensure_future(each.run(self.timeout))
        return [
            each.task
            for each in self._checked.values()
            if each.task is not None and not each.task.done()
        ]


def _looked(watched: _Watched, crawl: View) -> Finding | None:
    try:
        return watched.look(crawl)
    except Exception:
        logger.exception("The health of %s can't be told", watched.name)
        return Finding("unknown", "it can't be told: see the log")


def _is_over(task: asyncio.Task[None] | None) -> bool:
    return task is None or task.done()


def _stop(check: _Checked) -> None:
    if check.task is not None:
        check.task.cancel()
    check.call.leave()


_registries = OfCrawlers["HealthRegistry"]("health")


def health_of(crawler: Crawler) -> HealthRegistry:
    """The components of a crawl."""
    return _registries.of(crawler, HealthRegistry)


def register_health_check(
    crawler: Crawler, name: str, check: Check, recover: Check | None = None
) -> None:
    """Have *check* asked for the crawl's health: see :meth:`HealthRegistry.register`."""
    health_of(crawler).register(name, check, recover)

"""Components of the user's: their checks asked each interval, and made well again.

Checks are those of the health registry, whoever has registered them. What it comes to is told
by signals when it changes, and a component that is unhealthy is recovered by its own function:
at once, then after delays that grow (:mod:`scrapy_resilience.core.recovery`), never twice at a
time, and for a bounded time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import ref

from scrapy.utils.misc import load_object

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import clipped, error_text, shown
from scrapy_resilience.core.recovery import Recovery
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.health.calls import BoundedCall, with_crawler
from scrapy_resilience.observe.health.registry import health_of
from scrapy_resilience.signals import crawl_event, guard_breached, guard_recovered

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.health import Finding
    from scrapy_resilience.settings import Config

__all__ = ["Components", "load_components", "register_component"]

logger = get_logger(__name__)

_SETTING: Final = "RESILIENCE_COMPONENTS"
_FUNCTIONS: Final = ("check", "recover")
_LONGEST_DELAY: Final = 600.0
_LONGEST: Final = 300
"""Characters of a detail."""


def register_component(
    crawler: Crawler,
    name: str,
    check: Callable[[], Any],
    recover: Callable[[], Any] | None = None,
) -> None:
    """Have *check* asked while the crawl runs, and *recover* called while it is unhealthy.

    Both are called without arguments, and may be coroutine functions; any other is called in a
    thread. *check* says how well the component *name* is: None or True is healthy, False is
    unhealthy; ``"degraded"``, or ``("degraded", "why")``, says it in words. One that raises, or
    takes longer than ``RESILIENCE_HEALTH_TIMEOUT``, is unhealthy.

    It is asked each ``RESILIENCE_WATCHDOG_INTERVAL`` seconds, and when somebody looks at the
    health of the crawl. When it gets worse the signal ``guard_breached`` is sent, and
    ``guard_recovered`` when it is healthy again.

    *recover* returns None or True when it has done what it can; False, or an exception, says
    that it could not. It may take ``RESILIENCE_RECOVER_TIMEOUT`` seconds. The check is asked
    again after it; while that finds it unhealthy, *recover* is called again after
    ``RESILIENCE_RECOVER_DELAY`` seconds, twice as many the next time, and so on up to ten
    minutes.

    A name that is known is replaced. Raises :exc:`TypeError` for what can't be called.
    """
    health_of(crawler).register(name, check, recover)


class _Component:
    """What is known of one."""

    def __init__(self, delay: float) -> None:
        self.recovery = Recovery(delay, _LONGEST_DELAY)
        self.task: asyncio.Task[None] | None = None
        self.call: BoundedCall | None = None
        """Of its function, as it was registered last."""
        self.recover: Callable[[], Any] | None = None

    def may_call(self, name: str, recover: Callable[[], Any]) -> bool:
        """Whether the last try has come back, cancelled or not."""
        if self.task is not None and not self.task.done():
            return False
        if self.call is not None and self.call.is_under_way:
            return False
        if recover is not self.recover:
            self.recover = recover
            self.call = BoundedCall(recover, f"resilience-recover-{name}")
        return True


class Components:
    """Of one crawl. Raises :exc:`ConfigurationError`."""

    def __init__(self, crawler: Crawler, config: Config) -> None:
        self._crawler = crawler
        self._config = config
        self._stats: Any = crawler.stats
        self._registry = health_of(crawler)
        self._registry.timeout = config.health_timeout
        self._registry.interval = min(config.health_interval, config.watchdog_interval)
        self._known: dict[str, _Component] = {}
        self._task: asyncio.Task[None] | None = None
        self._timer: _clock.Timer | None = None
        self._closed = False
        crawl = ref(crawler)  # the registry is kept for as long as the crawler
        for name, functions in load_components(config.components).items():
            check, recover = functions
            self._registry.register(
                name,
                with_crawler(check, crawl),
                None if recover is None else with_crawler(recover, crawl),
            )

    def start(self) -> None:
        """The event loop runs: look, now and each interval."""
        self._timer = _clock.call_later(self._config.watchdog_interval, self.start)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._look())

    def heal(self) -> None:
        """Look now: the crawl has stalled, and a component may be the reason."""
        if self._timer is not None and not self._closed:
            self._timer.cancel()
            self.start()

    def close(self) -> None:
        """Ask nobody any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._task, *(each.task for each in self._known.values())):
            if task is not None:
                task.cancel()
        for each in self._known.values():
            if each.call is not None:
                each.call.leave()
        self._registry.close()

    # --- looks ---

    async def _look(self) -> None:
        try:
            await self._registry.refresh(self._config.health_timeout + 1)
            for name, finding in self._registry.findings().items():
                self._judge(name, finding)
        except Exception:
            logger.exception("How components are can't be told")

    def _judge(self, name: str, finding: Finding) -> None:
        if self._closed:
            return
        found = self._known.setdefault(name, _Component(self._config.recover_delay))
        now = _clock.monotonic()
        change = found.recovery.look(now, finding.status)
        if change:
            self._tell(name, finding, change)
        # in a dry run nothing is changed
        recover = None if self._config.dry_run else self._registry.recover_of(name)
        is_due = recover is not None and found.recovery.is_due(now)
        if recover is not None and is_due and found.may_call(name, recover):
            found.recovery.begin()
            found.task = asyncio.ensure_future(self._recover(name, found))

    def _tell(self, name: str, finding: Finding, change: str) -> None:
        name = shown(name)
        if change == "breached":
            self._stats.inc_value(names.STAT_COMPONENTS_BREACHED)
            text = f"{name} is {finding.status}: {finding.detail or 'its check says so'}"
            if finding.status == "degraded":  # else the registry has said so
                logger.warning("%s", text)
            self._event(text, "warning" if finding.status == "degraded" else "error")
            self._send(guard_breached, name=name, status=finding.status, detail=finding.detail)
        else:
            self._stats.inc_value(names.STAT_COMPONENTS_RECOVERED)
            logger.info("%s is healthy again", name)
            self._event(f"{name} is healthy again", "info")
            self._send(guard_recovered, name=name, detail=finding.detail)

    # --- recovery ---

    async def _recover(self, name: str, found: _Component) -> None:
        assert found.call is not None
        self._stats.inc_value(names.STAT_RECOVERIES)
        timeout = self._config.recover_timeout
        try:
            problem = _problem(await found.call.answer(timeout))
        except asyncio.CancelledError:
            if self._closed:
                raise
            problem = "it was cancelled"
        except asyncio.TimeoutError:
            problem = f"no answer in {timeout:g} s"
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a thread, too
            problem = error_text(error)
        if problem:
            self._stats.inc_value(names.STAT_RECOVERY_ERRORS)
            text = f"{shown(name)} could not be made well again: {clipped(problem, _LONGEST)}"
            logger.warning("%s", text)
            self._event(text, "warning")
        found.recovery.end(_clock.monotonic())
        if not self._closed:
            self._registry.ask_again(name)
            asyncio.get_running_loop().call_soon(self.heal)  # this task ends first

    # --- what others are told ---

    def _event(self, text: str, severity: str) -> None:
        self._send(crawl_event, kind="component", text=text, severity=severity, domain="")

    def _send(self, signal: object, **arguments: object) -> None:
        self._crawler.signals.send_catch_log(signal, **arguments)


def _problem(answer: Any) -> str:
    """What is wrong with the answer of a function that makes a component well again."""
    if answer is None or answer is True:
        return ""
    if answer is False:
        return "its function says that it could not"
    return f"its function has answered with {type(answer).__name__}, not True or False"


# --- the setting ---


def load_components(
    setting: Mapping[str, Any],
) -> dict[str, tuple[Callable[[Crawler], Any], Callable[[Crawler], Any] | None]]:
    """The functions that the setting names. Raises :exc:`ConfigurationError`."""
    found = {}
    for name, functions in setting.items():
        known = isinstance(functions, Mapping) and set(functions) <= set(_FUNCTIONS)
        if not known or "check" not in functions:
            raise ConfigurationError(
                f'{_SETTING}[{name!r}]: use {{"check": import path}}, and "recover" beside it '
                "where there is such a function."
            )
        check, recover = (_loaded(name, key, functions.get(key)) for key in _FUNCTIONS)
        assert check is not None
        found[str(name)] = (check, recover)
    return found


def _loaded(name: str, key: str, path: Any) -> Callable[[Crawler], Any] | None:
    if path is None and key != "check":
        return None
    place = f"{_SETTING}[{name!r}][{key!r}]={path!r}"
    try:
        function = load_object(path) if isinstance(path, str) else path
    except (ImportError, NameError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{place}: {error}.") from None
    if not callable(function):
        raise ConfigurationError(f"{place}: use a function, or its import path.")
    return cast("Callable[[Crawler], Any]", function)

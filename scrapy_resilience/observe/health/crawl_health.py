"""What a crawl's health is made of: its own components, and those that settings name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from scrapy.utils.misc import load_object

from scrapy_resilience.core import health as judge
from scrapy_resilience.core.health import Finding
from scrapy_resilience.core.measures import DEFAULT, find, threshold_sets
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.health.calls import with_crawler
from scrapy_resilience.observe.health.registry import health_of
from scrapy_resilience.observe.health.resources import ResourceMeter, meter_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy.crawler import Crawler

    from scrapy_resilience.core.thresholds import Threshold
    from scrapy_resilience.observe.view import Health, Resources, View

__all__ = ["CrawlHealth", "load_checks"]

_SETTING: Final = "RESILIENCE_HEALTH_CHECKS"
_RESOURCES: Final = {"cpu": True, "memory": False, "disk": False, "open_files": True}
"""By what the watchdog measures; whether each only informs."""


class CrawlHealth:
    """Resources and health of one crawl. Raises :exc:`ConfigurationError`."""

    def __init__(self, crawler: Crawler) -> None:
        config = Config.from_settings(crawler.settings)
        self.meter = meter_of(crawler)
        self.registry = health_of(crawler)
        self.registry.timeout = config.health_timeout
        self.registry.interval = config.health_interval
        self._watch(config)
        crawl = ref(crawler)  # the registry is kept for as long as the crawler
        for name, check in load_checks(config.health_checks).items():
            self.registry.register(name, with_crawler(check, crawl))

    def start(self) -> None:
        """The event loop runs."""
        self.meter.start()

    def stop(self) -> None:
        """The crawl has ended."""
        self.meter.stop()
        self.registry.close()

    def resources(self) -> Resources:
        """What the process uses now."""
        return self.meter.view()

    def view(self, crawl: View) -> Health:
        """How the crawl is; *crawl* has all but this."""
        return self.registry.view(crawl)

    async def refresh(self, wait: float) -> None:
        """Run the checks that are due, for so many seconds at most."""
        await self.registry.refresh(wait)

    def _watch(self, config: Config) -> None:
        watch = self.registry.watch
        levels = threshold_sets(config.thresholds, config.cpu_limit_percent / 100)[DEFAULT]
        for name, informs in _RESOURCES.items():
            watch(name, partial(_resource, name, levels[name], self.meter), informs=informs)
        watch("event_loop", _lag, informs=True)
        watch("frontier", _frontier, informs=True)
        watch("store", partial(_store, config.checkpoint_interval))
        watch("breakers", lambda crawl: judge.breakers(crawl.breakers), informs=True)
        watch("sinks", _sinks, informs=True)


def load_checks(paths: Mapping[str, Any]) -> dict[str, Callable[[Crawler], Any]]:
    """The functions that the setting names. Raises :exc:`ConfigurationError`."""
    found = {}
    for name, path in paths.items():
        try:
            function = load_object(path) if isinstance(path, str) else path
        except (ImportError, NameError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"{_SETTING}[{name!r}]={path!r}: {error}.") from None
        if not callable(function):
            raise ConfigurationError(
                f"{_SETTING}[{name!r}]={path!r}: use a function, or its import path."
            )
        found[str(name)] = function
    return found


def _resource(name: str, threshold: Threshold, meter: ResourceMeter, crawl: View) -> Finding:  # noqa: ARG001 - as all are called
    return find({name: threshold}, meter.reading())[name]


def _lag(crawl: View) -> Finding:
    late = crawl.resources.loop_lag
    return Finding(judge.LOOP_LAG.judge(late), f"{late:.2f} s late in the last minute")


def _frontier(crawl: View) -> Finding:
    return judge.frontier(crawl.progress.pending, crawl.progress.held)


def _store(interval: float, crawl: View) -> Finding | None:
    checkpoint = crawl.checkpoint
    if not checkpoint.enabled:
        return None
    age = None if checkpoint.last is None else max(crawl.time - checkpoint.last, 0.0)
    return judge.store(age, interval, checkpoint.trouble)


def _sinks(crawl: View) -> Finding:
    waits = crawl.job.waiting_for
    if waits:
        return Finding("degraded", f"no answer for ten seconds: {', '.join(waits)}")
    return Finding("healthy", "none is waited for")

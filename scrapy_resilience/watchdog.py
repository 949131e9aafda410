"""What a crawl uses, whether that is too much, and components that are made well again.

.. code-block:: python

    from scrapy_resilience.watchdog import check_thresholds, current_metrics

    used = current_metrics(self.crawler).used
    findings = check_thresholds("strict", self.crawler)
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from scrapy_resilience.core.health import CPU
from scrapy_resilience.core.measures import DEFAULT, find, threshold_sets
from scrapy_resilience.core.readings import Disk, Reading
from scrapy_resilience.guard.caches import register_cache
from scrapy_resilience.guard.components import register_component
from scrapy_resilience.guard.freeables import register_freeable
from scrapy_resilience.guard.watchdog.watch import (
    OnBreach,
    known_set,
    resource_watch_of,
    sets_of,
)
from scrapy_resilience.observe.health.disks import crawl_folders
from scrapy_resilience.observe.health.resources import ResourceMeter, meter_of

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience.core.health import Status

__all__ = [
    "Disk",
    "Reading",
    "ResourceFinding",
    "check_thresholds",
    "current_metrics",
    "on_breach",
    "register_cache",
    "register_component",
    "register_freeable",
]  # fmt: skip


class ResourceFinding(NamedTuple):
    """How one resource is."""

    name: str
    """What is measured: ``memory``, ``disk`` …"""
    status: Status
    """``healthy``, ``degraded``, ``unhealthy`` or ``unknown``."""
    detail: str
    """A few words, with the number."""


def current_metrics(crawler: Crawler | None = None) -> Reading:
    """What the process uses now.

    While the *crawler* runs, this takes some microseconds: memory of the process is of now, all
    else of the last second, or of the last look of the watchdog where it would block. Outside
    of a crawl, all of it is read before this returns, which may block, and *cpu* is None the
    first time.
    """
    meter = _process_meter() if crawler is None else meter_of(crawler)
    return meter.reading() if meter.is_running else meter.look_now()


def check_thresholds(
    name: str = DEFAULT, crawler: Crawler | None = None
) -> list[ResourceFinding]:
    """Tell what a set of thresholds says of the resources now, a spike included.

    *name* is a set of ``RESILIENCE_THRESHOLDS``, or ``default``, which is there without a
    *crawler*, too. Raises :exc:`.ConfigurationError` for another name.
    """
    sets = threshold_sets({}, CPU.degraded) if crawler is None else sets_of(crawler)
    found = find(known_set(sets, name), current_metrics(crawler))
    return [ResourceFinding(what, *finding) for what, finding in found.items()]


def on_breach(crawler: Crawler, name: str, callback: OnBreach) -> None:
    """Call *callback* when a resource has got worse by a set of thresholds, or is well again.

    It is given what is measured and a finding, which has a *status* and a *detail*; neither a
    spike nor noise around a level is told. It must not block. The signals
    :data:`~scrapy_resilience.signals.guard_breached` and ``guard_recovered`` tell the same of
    the set ``default``. A *name* that no setting has is refused with
    :exc:`.ConfigurationError`: at the start, where the crawl has not begun.
    """
    resource_watch_of(crawler).on_breach(name, callback)


@cache
def _process_meter() -> ResourceMeter:
    return ResourceMeter(crawl_folders(None, ()))

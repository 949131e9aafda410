"""A site with faults on this machine, to test crawls against; clocks that tests move.

Serving needs the extra ``testing`` (aiohttp); the resolver works without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .address import SiteAddress
from .counters import HostStats, SiteStats, TotalStats
from .model import FAULTY_HOSTS, SiteConfig
from .process import RunningFolder, RunningSite, running_folder, running_site
from .walk import walk_folder

if TYPE_CHECKING:
    from .clock import FakeClock, ScaledClock, use_clock
    from .feeds import check_exporter, check_storage
    from .resolver import LoopbackResolver
    from .sinks import SinkContract
    from .site import FaultSite

__all__ = (
    "FAULTY_HOSTS",
    "FakeClock",
    "FaultSite",
    "HostStats",
    "LoopbackResolver",
    "RunningFolder",
    "RunningSite",
    "ScaledClock",
    "SinkContract",
    "SiteAddress",
    "SiteConfig",
    "SiteStats",
    "TotalStats",
    "check_exporter",
    "check_storage",
    "running_folder",
    "running_site",
    "use_clock",
    "walk_folder",
)


def __getattr__(name: str) -> object:
    # The server needs no Scrapy, and a project that uses the resolver no aiohttp.
    if name == "FaultSite":
        from .site import FaultSite  # noqa: PLC0415 - on first use

        return FaultSite
    if name in {"FakeClock", "ScaledClock", "use_clock"}:
        from . import clock  # noqa: PLC0415 - on first use

        return getattr(clock, name)
    if name in {"check_exporter", "check_storage"}:
        from . import feeds  # noqa: PLC0415 - on first use

        return getattr(feeds, name)
    if name == "LoopbackResolver":
        from .resolver import LoopbackResolver  # noqa: PLC0415 - on first use

        return LoopbackResolver
    if name == "SinkContract":
        from .sinks import SinkContract  # noqa: PLC0415 - on first use

        return SinkContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""A site with faults on this machine, to test crawls against.

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
    from .resolver import LoopbackResolver
    from .site import FaultSite

__all__ = (
    "FAULTY_HOSTS",
    "FaultSite",
    "HostStats",
    "LoopbackResolver",
    "RunningFolder",
    "RunningSite",
    "SiteAddress",
    "SiteConfig",
    "SiteStats",
    "TotalStats",
    "running_folder",
    "running_site",
    "walk_folder",
)


def __getattr__(name: str) -> object:
    # The server needs no Scrapy, and a project that uses the resolver no aiohttp.
    if name == "FaultSite":
        from .site import FaultSite  # noqa: PLC0415 - on first use

        return FaultSite
    if name == "LoopbackResolver":
        from .resolver import LoopbackResolver  # noqa: PLC0415 - on first use

        return LoopbackResolver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

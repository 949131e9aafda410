"""Scrapy crawls that survive.

``ADDONS = {"scrapy_resilience.ResilienceAddon": 500}`` in a project's settings and a
``JOBDIR`` are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrapy_resilience.addon import ResilienceAddon
    from scrapy_resilience.jobs.crawl_job import register_state
    from scrapy_resilience.scheduler import ResilientScheduler
    from scrapy_resilience.scheduling.item_context import item_id

__all__ = ["ResilienceAddon", "ResilientScheduler", "item_id", "register_state"]

__version__ = "0.1.0"

_WHERE = {
    "ResilienceAddon": "addon",
    "ResilientScheduler": "scheduler",
    "item_id": "scheduling.item_context",
    "register_state": "jobs.crawl_job",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a command that needs one part does not pay for all."""
    if name in _WHERE:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

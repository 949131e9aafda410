"""Checks of what a crawl needs, none of which writes anything: for dry runs and the doctor.

A part of this package has a function, named by its path in :data:`CHECKS`, which takes a
:class:`Subject` and gives findings. A component of the user's, or one of ours that is made of
its class, may have a class method ``dry_run_check(settings)`` instead, which raises what is
wrong. Both run in threads of their own and may block; one that has not come back in time has
failed. They open no file to write, and send nothing that changes something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from threading import Thread
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy.utils.misc import load_object

from scrapy_resilience import _clock
from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import message_of, shown

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["CHECKS", "Check", "Subject", "checks_of", "examine"]


class Subject(NamedTuple):
    """What is examined: settings as a crawl would have them."""

    settings: BaseSettings
    config: Config
    spider: str = ""
    """Its name; empty where no spider is meant."""
    arguments: Mapping[str, Any] = MappingProxyType({})
    """Of the spider."""


Check = Callable[[Subject], Iterable[Finding]]

CHECKS: Final[Mapping[str, str]] = {
    "job": "scrapy_resilience.doctor.jobs.check_job",
    "database": "scrapy_resilience.doctor.services.check_sql",
    "redis": "scrapy_resilience.doctor.services.check_redis",
    "feeds": "scrapy_resilience.doctor.places.check_feeds",
    "files": "scrapy_resilience.doctor.places.check_files",
    "selectors": "scrapy_resilience.doctor.selector_sets.check_selectors",
    "endpoint": "scrapy_resilience.doctor.services.check_endpoint",
    "services": "scrapy_resilience.doctor.services.check_services",
    "snapshots": "scrapy_resilience.doctor.services.check_snapshots",
    "seen": "scrapy_resilience.doctor.seen.check_seen_store",
    "browser": "scrapy_resilience.doctor.browser.check_browser",
}
"""By name: what is examined, and the path of the function that does it.

A function that finds that its part is not used gives nothing.
"""

_PATIENCE: Final = 30.0
_COMPONENTS: Final = (
    "EXTENSIONS",
    "ITEM_PIPELINES",
    "SPIDER_MIDDLEWARES",
    "DOWNLOADER_MIDDLEWARES",
)
_METHOD: Final = "dry_run_check"


def checks_of(settings: BaseSettings) -> dict[str, Check]:
    """All checks of a crawl, by name: ours, and those of its components."""
    found: dict[str, Check] = {name: load_object(path) for name, path in CHECKS.items()}
    for setting in _COMPONENTS:
        for cls in map(_loaded, settings.get_component_priority_dict_with_base(setting)):
            check = getattr(cls, _METHOD, None)
            if check is not None:
                name = f"{cls.__module__}.{cls.__qualname__}"
                found[name] = partial(_of_component, name, check)
    return found


def _loaded(key: Any) -> Any:
    try:
        return load_object(key)
    except Exception:  # noqa: BLE001 - Scrapy says what is wrong with it
        return None


def _of_component(name: str, check: Callable[[Any], Any], subject: Subject) -> list[Finding]:
    said = check(subject.settings)
    return [Finding(name, "ok", shown(said) if isinstance(said, str) else "is well")]


def examine(
    checks: Mapping[str, Check], subject: Subject, patience: float = _PATIENCE
) -> list[Finding]:
    """What they find, all at the same time, in so many seconds at most."""
    found: dict[str, list[Finding]] = {}

    def run(name: str, check: Check) -> None:
        found[name] = _findings(name, check, subject)

    threads = {
        name: Thread(
            target=run, args=(name, check), name=f"resilience-check-{name}", daemon=True
        )
        for name, check in checks.items()
    }
    for thread in threads.values():
        thread.start()
    end = _clock.monotonic() + patience
    for thread in threads.values():
        thread.join(max(end - _clock.monotonic(), 0))
    late = f"has not answered within {patience:g} s"
    return [
        each for name in checks for each in found.get(name, [Finding(name, "problem", late)])
    ]


def _findings(name: str, check: Check, subject: Subject) -> list[Finding]:
    try:
        return list(check(subject))
    except Exception as error:  # noqa: BLE001 - of whatever kind: that is what it found
        told = message_of(error) or type(error).__name__
        return [Finding(name, "problem", shown(told))]

"""Optional libraries: which of them the settings ask for, and whether they are there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.findings import Finding
from scrapy_resilience.doctor.versions import installed, judge_requirements, requirements
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.guard.notify.channels import channels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["check_libraries", "judge_libraries", "uses_playwright", "wanted_extras"]

_OPTIONAL: Final = {
    "quality": "fewer values are understood",
    "speed": "crawls are slower",
    "terminal": "the progress is not shown on the terminal",
}
"""Extras that nothing fails without, and what is so without them."""
_BY_SETTING: Final = {"sql_url": "sql", "cache_url": "redis", "httpcache_redis_url": "redis"}
"""Fields of the config."""


def check_libraries(settings: BaseSettings, config: Config) -> Iterator[Finding]:
    """Of this process."""
    wanted = wanted_extras(settings, config, has_terminal=sys.stderr.isatty())
    yield from judge_libraries(wanted, installed)


def wanted_extras(
    settings: BaseSettings, config: Config, *, has_terminal: bool
) -> dict[str, str]:
    """Extra → the setting because of which it is of use."""
    found = {
        "fsspec": "RESILIENCE_SNAPSHOT_DIR" if "://" in config.snapshot_dir else "",
        "otel": "RESILIENCE_TRACES" if config.traces != "off" else "",
        "notify": "RESILIENCE_NOTIFY" if _uses_apprise(config) else "",
        "playwright": "DOWNLOAD_HANDLERS" if uses_playwright(settings) else "",
        "quality": "RESILIENCE_NORMALIZE" if config.normalize else "",
        "speed": "RESILIENCE_UVLOOP_ENABLED" if _uses_uvloop(config) else "",
        "terminal": "RESILIENCE_TERMINAL" if config.terminal and has_terminal else "",
    }
    for name, extra in _BY_SETTING.items():
        if getattr(config, name):
            found[extra] = f"RESILIENCE_{name.upper()}"
    return {extra: setting for extra, setting in found.items() if setting}


def uses_playwright(settings: BaseSettings) -> bool:
    """Whether pages are downloaded by scrapy-playwright, or by a class made of its."""
    handlers = settings.getdict("DOWNLOAD_HANDLERS").values()
    return any("playwright" in _module(handler) for handler in handlers)


def _module(handler: Any) -> str:
    if isinstance(handler, type):
        return " ".join(each.__module__ for each in handler.__mro__)
    return str(handler)


def _uses_apprise(config: Config) -> bool:
    try:
        return any(channel.kind == "apprise" for channel in channels_of(config))
    except ConfigurationError:
        return False  # which is told of the settings


def _uses_uvloop(config: Config) -> bool:
    return config.uvloop_enabled and sys.platform != "win32"


def judge_libraries(
    wanted: Mapping[str, str], version: Callable[[str], str | None]
) -> Iterator[Finding]:
    """*wanted* is what :func:`wanted_extras` gives."""
    missing = 0
    for extra, setting in wanted.items():
        for each in judge_requirements(
            requirements(extra), version, about="libraries", extra=extra
        ):
            missing += 1
            if extra in _OPTIONAL:
                what = f"{each.what}: {_OPTIONAL[extra]} ({setting})"
                yield each._replace(level="note", what=what)
            else:
                yield each._replace(what=f"{each.what}, and {setting} needs it")
    if not missing:
        named = ", ".join(wanted)
        yield Finding(
            "libraries", "ok", f"there are those of {named}" if named else "none is needed"
        )

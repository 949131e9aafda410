"""A limit of the memory that can't be kept from the start is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.health import MEMORY
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.health.process_look import resident

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["check_memory_limit"]

_SETTING: Final = "RESILIENCE_MEMORY_LIMIT_MB"
_MB: Final = 1 << 20


def check_memory_limit(settings: BaseSettings, config: Config, root: Path = Path("/")) -> None:
    """Raises :exc:`ConfigurationError` where the process uses too much of it already.

    Not for the default: it is nobody's wrong setting, and the watchdog says what is so.
    """
    limit = config.memory_limit_mb
    if not config.watchdog_enabled or not limit or settings.get(_SETTING) is None:
        return
    used = resident(root)
    if used is not None and used >= limit * _MB * MEMORY.degraded:
        raise ConfigurationError(
            f"{_SETTING}={limit:g}: the process uses {used / _MB:.0f} MB already, and from"
            f" {MEMORY.degraded:.0%} of the limit on a crawl eases off: use more, or 0 for no"
            " limit."
        )

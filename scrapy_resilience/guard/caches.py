"""What a crawl can give back when memory is short: garbage, caches, and what is free.

Cleared are caches of a bounded size (``functools.lru_cache``) of ours and of the libraries that
a crawl goes through, those that components have registered, and those that a setting names. An
unbounded one of a library may be more than a cache, and stays.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy.signals import engine_stopped
from scrapy.utils.misc import load_object

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import engine_of, our_scheduler
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scrapy.crawler import Crawler

__all__ = ["Caches", "Cleaned", "caches_of", "register_cache"]

logger = get_logger(__name__)

_LIBRARIES: Final = frozenset({
    "cssselect", "itemadapter", "itemloaders", "lxml", "parsel", "scrapy", "scrapy_resilience",
    "tldextract", "w3lib",
})  # fmt: skip


class Cleaned(NamedTuple):
    """What a cleaning has done."""

    caches: int
    failed: list[str]
    """Names of those whose function has raised."""
    garbage: int
    """Objects that only circles kept."""
    seconds: float
    """For which the event loop stood still."""


class Caches:
    """Of one crawl, from :func:`caches_of`."""

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._registered: dict[str, Callable[[], Any]] = {}
        self._failing: set[str] = set()
        for name in named:
            self._registered[name] = _clear_of(name)

    def register(self, name: str, clear: Callable[[], Any]) -> None:
        """Have *clear* called when memory is short; a name that is known is replaced.

        Raises :exc:`TypeError` for what can't be called.
        """
        if not callable(clear):
            raise TypeError(f"{clear!r} can't be called: give a function")
        self._registered[name] = clear

    def clean(self, crawler: Crawler) -> Cleaned:
        """Clear all, collect garbage, and give what is free to the system."""
        began = _clock.stopwatch()
        failed = [
            name for name, clear in self._registered.items() if not self._call(name, clear)
        ]
        cleared = len(self._registered) - len(failed) + _clear_libraries()
        _spill(crawler)
        garbage = gc.collect()  # what is frozen was collected before, and stays
        _trim()
        return Cleaned(cleared, failed, garbage, _clock.stopwatch() - began)

    def close(self) -> None:
        """The crawl has ended: what was registered may keep it."""
        self._registered.clear()

    def _call(self, name: str, clear: Callable[[], Any]) -> bool:
        try:
            clear()
        except Exception:  # the others are cleared all the same
            if name not in self._failing:  # once: memory may be short for long
                self._failing.add(name)
                logger.exception("The cache %s can't be cleared", name)
            return False
        return True


def _clear_of(name: str) -> Callable[[], Any]:
    """The function that clears the cache which a setting names."""
    try:
        found = load_object(name)
    except (ImportError, NameError, ValueError, TypeError) as error:
        raise ConfigurationError(f"RESILIENCE_MEMORY_CACHES={name!r}: {error}") from error
    clears = (getattr(found, "cache_clear", None), getattr(found, "clear", None), found)
    clear: Callable[[], Any] | None = next(filter(callable, clears), None)
    if clear is not None:
        return clear
    raise ConfigurationError(
        f"RESILIENCE_MEMORY_CACHES={name!r} is a {type(found).__name__}: name a function with "
        "functools.lru_cache, something with a method clear(), or a function that clears."
    )


# --- what the process has ---


def _clear_libraries() -> int:
    """How many caches were cleared."""
    count = 0
    for clear in _bounded_caches():
        with suppress(Exception):
            clear()
            count += 1
    _forget_errors_of_lxml()
    return count


def _bounded_caches() -> Iterator[Callable[[], None]]:
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] not in _LIBRARIES or module is None:
            continue
        for value in [*vars(module).values()]:
            if getattr(value, "__module__", None) == name and _is_bounded(value):
                yield value.cache_clear


def _is_bounded(function: Any) -> bool:
    parameters = getattr(function, "cache_parameters", None)
    return callable(parameters) and parameters()["maxsize"] is not None


def _forget_errors_of_lxml() -> None:
    """It keeps what it has complained of."""
    if (etree := sys.modules.get("lxml.etree")) is not None:
        etree.clear_error_log()


def _spill(crawler: Crawler) -> None:
    """Leave to the store what it has of the frontier, and forget idle domains."""
    gatekeeper_of(crawler).gates.give_back(_clock.monotonic())
    engine = engine_of(crawler)
    scheduler = None if engine is None else our_scheduler(engine)
    if scheduler is not None:
        scheduler.frontier.give_back()


def _trim() -> None:
    """What was freed is Python's and the C library's, until they give it back."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Of glibc; other C libraries have none, and give back by themselves, or don't."""
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 - seldom needed

    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


# --- of a crawl ---

_caches = OfCrawlers["Caches"]("caches")


def caches_of(crawler: Crawler) -> Caches:
    """The caches of a crawl. Raises :exc:`ConfigurationError` for one that a setting names."""
    found = _caches.get(crawler)
    if found is None:
        named = Config.from_settings(crawler.settings).memory_caches
        found = _caches[crawler] = Caches(named)
        crawler.signals.connect(found.close, engine_stopped)
    return found


def register_cache(crawler: Crawler, name: str, clear: Callable[[], Any]) -> None:
    """Have *clear* called, without arguments, when memory is short.

    It runs in the event loop's thread and should take milliseconds; what it raises is logged
    once. A *name* that is known is replaced. The function is kept as long as the crawler: give
    one that does not keep what it clears, such as ``self.cache.clear``. Raises
    :exc:`TypeError` for what can't be called.
    """
    caches_of(crawler).register(name, clear)

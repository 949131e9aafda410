"""What :class:`ResilientScheduler` takes over from Scrapy's: settings, and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy import Request, Spider, squeues
from scrapy.dupefilters import BaseDupeFilter
from scrapy.pqueues import DownloaderAwarePriorityQueue
from scrapy.utils.misc import load_object

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.frontier.codec import RequestCodec
from scrapy_resilience.frontier.lane import Order
from scrapy_resilience.scheduling.duplicates import only_fingerprints
from scrapy_resilience.scheduling.requests import request_key
from scrapy_resilience.scheduling.slots import slot_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.settings import BaseSettings

    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.gates.gatekeeper import Gatekeeper
    from scrapy_resilience.jobs.job import Job

__all__ = ["check_retries", "check_settings", "order_of", "take_over"]

_ASYNCIO_REACTOR: Final = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"


def order_of(settings: BaseSettings) -> Order:
    """The order that Scrapy's queue settings ask for.

    Raises :exc:`ConfigurationError` for classes whose order can't be known.
    """
    name = "SCHEDULER_PRIORITY_QUEUE"
    if _load(settings, name) is not DownloaderAwarePriorityQueue:
        raise ConfigurationError(
            f"{name}={settings[name]!r}: ResilientScheduler has its own, which asks the least "
            "busy domain first. Remove the setting, or set RESILIENCE_SCHEDULER_ENABLED=False."
        )
    kind = "DISK" if settings.get("JOBDIR") else "MEMORY"
    lifo = _is_lifo(settings, f"SCHEDULER_{kind}_QUEUE")
    start = f"SCHEDULER_START_{kind}_QUEUE"
    return Order(lifo=lifo, start_lifo=_is_lifo(settings, start) if settings[start] else None)


def _is_lifo(settings: BaseSettings, name: str) -> bool:
    cls = _load(settings, name)
    for known, found in vars(squeues).items():
        if found is cls:
            return "Lifo" in known
    raise ConfigurationError(
        f"{name}={settings[name]!r}: ResilientScheduler takes only the order from it, and "
        "knows the classes of scrapy.squeues. Use one of those."
    )


def check_settings(settings: BaseSettings) -> None:
    """Raises :exc:`ConfigurationError` for a setting of Scrapy that can't be honoured."""
    if settings.getbool("TWISTED_REACTOR_ENABLED") and (
        settings["TWISTED_REACTOR"] != _ASYNCIO_REACTOR
    ):
        raise ConfigurationError(
            f"TWISTED_REACTOR={settings['TWISTED_REACTOR']!r}: needs asyncio: "
            "leave the setting at Scrapy's default."
        )
    order_of(settings)
    cls = _load(settings, "DUPEFILTER_CLASS")
    if settings.get("JOBDIR") and not (cls is BaseDupeFilter or only_fingerprints(cls)):
        raise ConfigurationError(
            f"DUPEFILTER_CLASS={settings['DUPEFILTER_CLASS']!r} can't be part of a "
            "checkpoint: its memory would not match the job after a kill. Use "
            "REQUEST_FINGERPRINTER_CLASS to say which requests are the same, or run without "
            "JOBDIR."
        )


def _load(settings: BaseSettings, name: str) -> Any:
    try:
        return load_object(settings[name])
    except (ImportError, NameError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}={settings[name]!r}: {error}.") from None


def check_retries(settings: BaseSettings) -> None:
    """Raises :exc:`ConfigurationError` for a wrong ``RETRY_*``, of which Scrapy says less."""
    for name in _RETRIES:
        _check_retry(settings, name)


def _check_retry(settings: BaseSettings, name: str) -> None:
    read, wanted = _RETRIES[name]
    try:
        read(settings, name)
    except (ImportError, NameError, TypeError, ValueError):
        raise ConfigurationError(f"{name}={settings[name]!r}: use {wanted}.") from None


def _codes(settings: BaseSettings, name: str) -> list[int]:
    return [int(code) for code in settings.getlist(name)]


def _exceptions(settings: BaseSettings, name: str) -> list[Any]:
    return [load_object(each) for each in settings.getlist(name)]


_RETRIES: Final[dict[str, tuple[Callable[[BaseSettings, str], Any], str]]] = {
    "RETRY_ENABLED": (lambda settings, name: settings.getbool(name), "True or False"),
    "RETRY_TIMES": (lambda settings, name: settings.getint(name), "a whole number"),
    "RETRY_PRIORITY_ADJUST": (lambda settings, name: settings.getint(name), "a whole number"),
    "RETRY_HTTP_CODES": (_codes, "a list of statuses"),
    "RETRY_EXCEPTIONS": (_exceptions, "a list of exceptions, or their import paths"),
}


def take_over(
    job: Job, frontier: Frontier, spider: Spider, keeper: Gatekeeper | None
) -> list[int]:
    """Put a job of Scrapy's own into the frontier; returns what of ``start()`` it holds.

    Scrapy runs ``start()`` again at each resume. What is filtered is known by its
    fingerprint; of the rest, what is pending is, and ``start_urls`` are: Scrapy's own
    ``start()`` never waits, and is through before the first page is.
    """
    stock, codec = job.stock, RequestCodec(spider, job.values)
    if stock is None:
        return []
    for request in stock.requests:
        lane = slot_name(request.slot)
        if keeper is not None:
            lane = keeper.lane(lane, codec.decode(request.payload))
        frontier.push(
            lane,
            request.payload,
            priority=request.priority,
            start=request.start,
        )
    for fingerprint in stock.fingerprints:
        frontier.settle(fingerprint)
    starts = stock.unfiltered_starts
    if stock.requests and type(spider).start is Spider.start:
        starts = [Request(url, dont_filter=True) for url in spider.start_urls]
    keys = [request_key(request) for request in starts]
    for key in keys:
        frontier.note_start(key)
    return keys

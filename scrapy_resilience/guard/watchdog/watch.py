"""What the watchdog has seen of a crawl's resources, what that comes to, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import ref

from scrapy_resilience import _clock, signals
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers, WeakOfCrawlers
from scrapy_resilience.core.health import Finding, Status
from scrapy_resilience.core.masking import shown
from scrapy_resilience.core.measures import DEFAULT, MEASURES, finding, threshold_sets
from scrapy_resilience.core.readings import Reading
from scrapy_resilience.core.thresholds import Trend
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler

    from scrapy_resilience.core.thresholds import Threshold

__all__ = [
    "Listener", "OnBreach", "ResourceWatch", "known_set", "resource_watch_of", "sets_of",
]  # fmt: skip

logger = get_logger(__name__)

Listener: TypeAlias = Callable[[float, Reading], None]
OnBreach: TypeAlias = Callable[[str, Finding], Any]

_EVENT: Final = "resource"
_QUICK: Final = frozenset({"memory", "memory_mb"})
"""What is anew in a reading of the memory only."""
_INFORMS: Final = frozenset({"cpu", "loop_lag"})
"""A healthy crawl may use its whole core: that is no reason to warn."""
_WORSE: Final[tuple[Status, ...]] = ("degraded", "unhealthy")


class _Judged:
    """A set of thresholds, and what the readings have come to by it."""

    def __init__(self, thresholds: dict[str, Threshold], patience: float) -> None:
        self._trends = {name: Trend(each, patience) for name, each in thresholds.items()}
        self.findings = {name: Finding("unknown", "not looked at yet") for name in thresholds}

    def take(self, now: float, reading: Reading) -> Iterator[tuple[str, Status, Finding]]:
        """By measure, what has changed: the status before, and the finding."""
        for name, trend in self._trends.items():
            if reading.complete or name in _QUICK:
                before = trend.status
                found = finding(name, reading, trend.add(now, MEASURES[name].value(reading)))
                self.findings[name] = found
                if found.status != before:
                    yield name, before, found


class ResourceWatch:
    """Of one crawl, from :func:`resource_watch_of`: keep a reference to it.

    Settings are read when they are needed: a spider may ask for it before they are complete.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.reading: Reading | None = None
        """The last one."""
        self.on_reading: list[Listener] = []
        """Each is called with the time (monotonic) and each reading, after :attr:`findings`."""
        self.read_memory: Callable[[], Reading | None] = lambda: None
        """Reads the memory anew, for who can't wait for the next look; None: not now."""
        self._crawler = ref(crawler)
        self._callbacks = _callbacks.of(crawler, dict)
        self._judged: dict[str, _Judged] = {}

    @property
    def findings(self) -> dict[str, Finding]:
        """How each resource is, by name: ``memory``, ``disk``, ``cpu``, ``loop_lag``.

        ``open_files``, and what else of :mod:`scrapy_resilience.core.measures` the set has.
        A spike is no finding, and noise changes none: :mod:`scrapy_resilience.core.thresholds`.
        """
        return self._judged[DEFAULT].findings if self._judged else {}

    def start(self) -> None:
        """The settings are complete. Raises :exc:`ConfigurationError` for what they lack."""
        crawler = self._crawler()
        assert crawler is not None
        sets = sets_of(crawler)
        patience = Config.from_settings(crawler.settings).watchdog_interval
        for name in [DEFAULT, *self._callbacks]:
            self._judged[name] = _Judged(known_set(sets, name), patience)

    def on_breach(self, name: str, callback: OnBreach) -> None:
        """Call *callback* when something of the set *name* has got worse, or is well again.

        With what is measured, and the finding. Raises :exc:`ConfigurationError` for a set that
        no setting names; at the start of the crawl, where it has not begun.
        """
        crawler = self._crawler()
        if self._judged and name not in self._judged and crawler is not None:
            patience = Config.from_settings(crawler.settings).watchdog_interval
            self._judged[name] = _Judged(known_set(sets_of(crawler), name), patience)
        self._callbacks.setdefault(name, []).append(callback)

    def close(self) -> None:
        """The crawl has ended: nobody hears any more."""
        self._callbacks.clear()
        self.on_reading.clear()

    def look(self) -> None:
        """Read the memory now, and tell of it."""
        if (reading := self.read_memory()) is not None:
            self.take(_clock.monotonic(), reading)

    def take(self, now: float, reading: Reading) -> None:
        """Note a reading and tell of it; a listener that raises is logged."""
        self.reading = reading
        for name, judged in self._judged.items():
            for what, before, found in [*judged.take(now, reading)]:
                self._changed(name, what, before, found)
        for listen in self.on_reading:
            _call(listen, now, reading)

    def _changed(self, name: str, what: str, before: Status, found: Finding) -> None:
        was_bad = before in _WORSE
        if found.status in _WORSE:
            if was_bad and found.status == "degraded":
                return  # better, but not well
        elif not was_bad:
            return  # it is known for the first time, or not any more
        for callback in self._callbacks.get(name, ()):
            _call(callback, what, found)
        if name == DEFAULT:
            self._tell(what, found)

    def _tell(self, what: str, found: Finding) -> None:
        crawler, detail = self._crawler(), shown(found.detail)
        if crawler is None:
            return
        send = crawler.signals.send_catch_log
        if found.status in _WORSE:
            severity = "info" if what in _INFORMS else "warning"
            text = f"{_named(what)} {found.status}: {detail}"
            send(signals.guard_breached, name=what, status=found.status, detail=detail)
        else:
            again = " again" if found.status == "healthy" else ""
            severity, text = "info", f"{_named(what)} {found.status}{again}: {detail}"
            send(signals.guard_recovered, name=what, detail=detail)
        (logger.info if severity == "info" else logger.warning)("%s", text)
        send(signals.crawl_event, kind=_EVENT, text=text, severity=severity, domain="")


def _named(what: str) -> str:
    words = "Processor" if what == "cpu" else what.replace("_", " ").capitalize()
    return f"{words} are" if words.endswith("s") else f"{words} is"


def _call(function: Callable[..., Any], *args: Any) -> None:
    try:
        function(*args)
    except Exception:
        logger.exception("A listener of the watchdog has failed")


def sets_of(crawler: Crawler) -> dict[str, dict[str, Threshold]]:
    """The thresholds of the settings, by the name of their set.

    Raises :exc:`ConfigurationError` for wrong ones.
    """
    config = Config.from_settings(crawler.settings)
    return threshold_sets(config.thresholds, config.cpu_limit_percent / 100)


def known_set(sets: dict[str, dict[str, Threshold]], name: str) -> dict[str, Threshold]:
    """Raises :exc:`ConfigurationError` for a name that no setting has."""
    if name not in sets:
        known = ", ".join(map(repr, sets))
        raise ConfigurationError(
            f"RESILIENCE_THRESHOLDS has no set {name!r}: use one of {known}."
        )
    return sets[name]


_callbacks = OfCrawlers["dict[str, list[OnBreach]]"]("breach_callbacks")
"""By set. They stay where a watch goes: a spider that gives one keeps nothing."""
_watches: Final = WeakOfCrawlers(ResourceWatch)


def resource_watch_of(crawler: Crawler) -> ResourceWatch:
    """The watch of a crawler, made by whoever asks first, and kept by those who ask."""
    return _watches.of(crawler)

"""Metrics of your own: counted where something happens, exported at ``/metrics`` with the rest.

.. code-block:: python

    from scrapy_resilience.metrics import counter, timed

    PRICES = counter("shop_prices", "Prices that were read.", labels=["currency"])


    @timed("shop_parse_seconds", "Time to parse a page.")
    def parse_product(response):
        PRICES.inc(currency="EUR")

A metric that is made at the top of a module belongs to whichever crawl uses it: several crawls
in one process do not mix. Outside of a crawl, it counts in :func:`metrics_of` ``(None)``.

The library prometheus_client, extra ``metrics``, is imported when the first one is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.here import Here
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.callables import check_function, is_async
from scrapy_resilience.core.metricnames import checked_labels, checked_name
from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from scrapy.crawler import Crawler
    from typing_extensions import Self

__all__ = [
    "SECONDS", "Counter", "Gauge", "Histogram", "Metrics", "Timing", "counter", "enter",
    "gauge", "histogram", "leave", "metrics_of", "timed",
]  # fmt: skip

logger = get_logger(__name__)

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The upper bounds of a histogram, by default."""
_MOST: Final = 1_000
"""Values of labels of one metric; what comes later is counted as ``other``."""
_LONGEST: Final = 200
_OTHER: Final = "other"

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Metrics:
    """The user's metrics of one crawl, from :func:`metrics_of`."""

    def __init__(self) -> None:
        self._registry: CollectorRegistry | None = None
        self._parents: dict[str, tuple[_Metric, Any]] = {}
        self._children: dict[tuple[str, ...], Any] = {}
        self._counts: dict[str, int] = {}
        """How many values of labels each was given."""
        self._lock = Lock()

    @property
    def registry(self) -> CollectorRegistry:
        """The registry of prometheus_client: register collectors of its own kinds there.

        Raises :exc:`.MissingLibraryError` without the extra ``metrics``.
        """
        if self._registry is None:
            self._registry = _library().CollectorRegistry()
        return self._registry

    @property
    def used(self) -> bool:
        """Whether there is a registry."""
        return self._registry is not None

    def counter(self, name: str, meaning: str = "", labels: Iterable[str] = ()) -> Counter:
        """Make :func:`counter` of this crawl, whoever uses it."""
        return Counter(name, meaning, labels, owner=self)

    def gauge(self, name: str, meaning: str = "", labels: Iterable[str] = ()) -> Gauge:
        """Make :func:`gauge` of this crawl, whoever uses it."""
        return Gauge(name, meaning, labels, owner=self)

    def histogram(
        self,
        name: str,
        meaning: str = "",
        labels: Iterable[str] = (),
        buckets: Iterable[float] = SECONDS,
    ) -> Histogram:
        """Make :func:`histogram` of this crawl, whoever uses it."""
        return Histogram(name, meaning, labels, buckets, owner=self)

    def child(self, metric: _Metric, values: tuple[str, ...]) -> Any:
        """What counts for these values of the labels."""
        key = (metric.name, *values)
        found = self._children.get(key)
        if found is None or self._parents[metric.name][0] is not metric:
            return self._new_child(metric, key)
        return found

    def _new_child(self, metric: _Metric, key: tuple[str, ...]) -> Any:
        with self._lock:
            parent = self._parent(metric)
            if not metric.labels:
                child = parent
            elif key not in self._children and self._known(metric) >= _MOST:
                return parent.labels(*[_OTHER] * len(metric.labels))
            else:
                child = parent.labels(*key[1:])
            self._children[key] = child
        return child

    def _known(self, metric: _Metric) -> int:
        self._counts[metric.name] = count = self._counts.get(metric.name, -1) + 1
        if count == _MOST:
            logger.warning(
                "The metric %s has %d values of its labels: all others are counted as 'other'",
                metric.name,
                _MOST,
            )
        return count

    def _parent(self, metric: _Metric) -> Any:
        if metric.name not in self._parents:
            self._parents[metric.name] = metric, metric.make(self.registry)
        known, parent = self._parents[metric.name]
        if known is not metric and known.shape != metric.shape:
            raise ConfigurationError(
                f"The metric {metric.name!r} is {known.shape} already, and can't be "
                f"{metric.shape} too: use another name."
            )
        return parent


class _Metric:
    """What it is called and counts; where, is decided at each use, unless it has an owner."""

    kind = ""

    def __init__(
        self, name: str, meaning: str, labels: Iterable[str], *, owner: Metrics | None = None
    ) -> None:
        self.name = checked_name(name, self.kind)
        self.meaning = str(meaning) or name
        self.labels = checked_labels(f"The metric {name!r}", labels)
        self._owner = owner

    @property
    def shape(self) -> str:
        """What makes it different from another one of its name."""
        labels = f" with the labels {', '.join(self.labels)}" if self.labels else ""
        return f"a {self.kind}{labels}"

    def make(self, registry: CollectorRegistry) -> Any:
        """The metric of the library."""
        made = getattr(_library(), type(self).__name__)
        try:
            return made(self.name, self.meaning, self.labels, registry=registry, **self._more())
        except ValueError as error:  # a collector of the user's has the name
            raise ConfigurationError(
                f"The metric {self.name!r} can't be made: {error}"
            ) from None

    def _more(self) -> dict[str, Any]:
        return {}

    def _child(self, given: dict[str, Any]) -> Any:
        metrics = self._owner or _current()
        if not given and not self.labels:
            return metrics.child(self, ())
        try:
            values = tuple([str(given[label])[:_LONGEST] for label in self.labels])
        except KeyError:
            values = ()
        if len(given) != len(self.labels) or not values:
            raise ConfigurationError(
                f"The metric {self.name!r} has the labels {list(self.labels)}, and was given "
                f"{list(given)}: give each of them."
            )
        return metrics.child(self, values)


class Counter(_Metric):
    """A number that only grows."""

    kind = "counter"

    def inc(self, amount: float = 1, /, **labels: Any) -> None:
        """Add *amount*, which is not negative (:exc:`ValueError`)."""
        self._child(labels).inc(amount)


class Gauge(_Metric):
    """A number that goes up and down."""

    kind = "gauge"

    def set(self, value: float, /, **labels: Any) -> None:
        """Make it *value*."""
        self._child(labels).set(value)

    def inc(self, amount: float = 1, /, **labels: Any) -> None:
        """Add *amount*."""
        self._child(labels).inc(amount)

    def dec(self, amount: float = 1, /, **labels: Any) -> None:
        """Take *amount* away."""
        self._child(labels).dec(amount)


class Histogram(_Metric):
    """How many values are up to each of some bounds, and their sum."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Iterable[str],
        buckets: Iterable[float],
        *,
        owner: Metrics | None = None,
    ) -> None:
        super().__init__(name, meaning, labels, owner=owner)
        self.buckets = tuple(map(float, buckets))
        if not self.buckets or list(self.buckets) != sorted(set(self.buckets)):
            raise ConfigurationError(
                f"The metric {name!r}: buckets={self.buckets!r}: use numbers that grow."
            )

    @property
    def shape(self) -> str:
        return f"{super().shape} and the buckets {self.buckets}"

    def _more(self) -> dict[str, Any]:
        return {"buckets": self.buckets}

    def observe(self, value: float, /, **labels: Any) -> None:
        """Count *value*."""
        self._child(labels).observe(value)

    def time(self, **labels: Any) -> Timing:
        """Observe the seconds that a block or a function takes: see :func:`timed`."""
        return Timing(self, labels)


class Timing:
    """A decorator of functions, async ones too, and a context manager, ``async with`` too.

    Time is counted when what is timed raises, too.
    """

    def __init__(self, metric: Histogram, labels: dict[str, Any]) -> None:
        self._metric = metric
        self._labels = labels
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = _clock.stopwatch()
        return self

    def __exit__(self, *_: object) -> None:
        self._metric.observe(_clock.stopwatch() - self._began, **self._labels)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __call__(self, function: _Function) -> _Function:
        """Time each call. Raises :exc:`TypeError` for a generator: it has done nothing yet."""
        check_function(function)
        if is_async(function):

            @wraps(function)
            async def timed_async(*args: Any, **kwargs: Any) -> Any:
                with Timing(self._metric, self._labels):
                    return await function(*args, **kwargs)

            return timed_async  # type: ignore[return-value]

        @wraps(function)
        def timed_call(*args: Any, **kwargs: Any) -> Any:
            with Timing(self._metric, self._labels):
                return function(*args, **kwargs)

        return timed_call  # type: ignore[return-value]


def counter(name: str, meaning: str = "", labels: Iterable[str] = ()) -> Counter:
    """A number that only grows, of the crawl that uses it; exported as *name* ``_total``.

    Raises :exc:`.ConfigurationError` for a name or a label that Prometheus does not allow.
    """
    return Counter(name, meaning, labels)


def gauge(name: str, meaning: str = "", labels: Iterable[str] = ()) -> Gauge:
    """A number that goes up and down, of the crawl that uses it. Raises as :func:`counter`."""
    return Gauge(name, meaning, labels)


def histogram(
    name: str,
    meaning: str = "",
    labels: Iterable[str] = (),
    buckets: Iterable[float] = SECONDS,
) -> Histogram:
    """Counts values between bounds, of the crawl that uses it. Raises as :func:`counter`.

    :param buckets: the upper bounds, seconds from 0.005 to 60 by default
    """
    return Histogram(name, meaning, labels, buckets)


def timed(
    name: str, meaning: str = "", *, buckets: Iterable[float] = SECONDS, **labels: Any
) -> Timing:
    """Observe in a histogram the seconds that a function or a block takes.

    .. code-block:: python

        @timed("shop_parse_seconds")  # a function, or a coroutine function
        def parse_price(text): ...


        with timed("shop_login_seconds", site="a.example"):  # or async with
            ...

    :param labels: and their values
    """
    return Timing(Histogram(name, meaning, labels, buckets), labels)


# --- of which crawl -----------------------------------------------------------------------

_of_crawlers = OfCrawlers["Metrics"]("user_metrics")
_outside: Final = Metrics()
_here: Final = Here[Metrics]("metrics")


def metrics_of(crawler: Crawler | None) -> Metrics:
    """The user's metrics of a crawl; of None, those of what runs outside of all."""
    if crawler is None:
        return _outside
    return _of_crawlers.of(crawler, Metrics)


def enter(crawler: Crawler) -> None:
    """Whatever runs in this context from now on belongs to the crawl."""
    _here.enter(crawler, metrics_of(crawler))


def leave(crawler: Crawler) -> None:
    """The crawl has ended."""
    _here.leave(crawler)


def _current() -> Metrics:
    return _here.current() or _outside


def _library() -> Any:
    try:
        import prometheus_client  # noqa: PLC0415 - the extra "metrics"
    except ImportError:
        raise MissingLibraryError(
            "Metrics of your own need prometheus_client: install scrapy-resilience[metrics]."
        ) from None
    return prometheus_client

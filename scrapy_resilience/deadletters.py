"""The seam for components that give a request up: ``letters_of(crawler).add(request, …)``."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypedDict
from weakref import WeakSet

from scrapy import Request
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import _clock
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.core.deadletter import About
from scrapy_resilience.frontier.codec import RequestCodec, UnserializableError, ValueCodec
from scrapy_resilience.frontier.store import Letter
from scrapy_resilience.names import (
    COMPLETE,
    META_FAILED_AT,
    SCRAPY_RETRY_TIMES,
    STAT_DEAD_LETTERS,
    STAT_INCOMPLETE,
)
from scrapy_resilience.observe.trace_ids import trace_id_of
from scrapy_resilience.scheduling.requests import host_of, is_robots
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import NotRequired, Unpack

    from scrapy_resilience.frontier.in_flight import InFlightRequests

    GivenUp = Callable[[Request, Response | None, "Told"], object]

__all__ = ["Letters", "Told", "letters_of"]

_KEPT: Final = 1000
_plain: Final = ValueCodec(allow_pickle=False)


class Told(TypedDict):
    """What is said of a request that is given up."""

    kind: str
    """One of :data:`~scrapy_resilience.core.deadletter.KINDS`."""
    failure_class: str
    """Counted as the stat ``resilience/deadletters/<class>``."""
    reason: str
    attempts: NotRequired[int]
    """How often it was sent: Scrapy's ``retry_times`` and one by default, without the one where
    it did not reach the downloader."""
    status: NotRequired[int | None]
    """Of the last response."""
    exception: NotRequired[BaseException | str | None]
    first: NotRequired[float | None]
    """When it failed for the first time, in seconds since 1970.

    By default the time of its first retry, where that is known, else now.
    """


class Letters:
    """The dead letters of one crawl.

    With a job, a letter is written in the commit in which its request is done, or with the
    next one when the request is not under way. Without one, the newest 1,000 are kept here.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._enabled = Config.from_settings(crawler.settings).deadletters_enabled
        self._stats: Any = crawler.stats
        self._in_flight: InFlightRequests | None = None
        self._noted: WeakSet[Request] = WeakSet()
        self.sent: WeakSet[Request] | None = None
        """What has reached the downloader; None while nobody watches that."""
        self.kept: deque[About] = deque(maxlen=_KEPT)
        """Without a job: the newest."""
        self.on_given_up: list[GivenUp] = []
        """Each is called with each request that is given up, enabled or not, before its letter
        is written; with the response that has failed, where there is one."""
        self.count = 0
        """Letters that are there, those of earlier runs included."""
        self._left = 0
        self._is_early = False

    def attach(self, in_flight: InFlightRequests, codec: RequestCodec, count: int) -> None:
        """A job is open that holds *count* letters of earlier runs."""
        self._in_flight, self._codec = in_flight, codec
        self._grow(count)

    def add(
        self,
        request: Request,
        *,
        anew: bool = False,
        response: Response | None = None,
        **told: Unpack[Told],
    ) -> None:
        """Give up *request*: only the first letter of a request object counts.

        Not a robots.txt: Scrapy goes on without it, and no page is missing.

        A replay leaves out what the request had put out before it failed, or repeats it with
        *anew*. Nothing is written when a stop has cut the request off: the next run does it
        again. *response* is not part of the letter.
        """
        if is_robots(request):
            return
        if self._in_flight is None or not self._in_flight.frozen:
            for tell in self.on_given_up:
                tell(request, response, told)
        if not self._enabled:
            return
        retries = request.meta.get(SCRAPY_RETRY_TIMES)
        before = retries if isinstance(retries, int) else 0
        told.setdefault("attempts", before + 1)
        if self.sent is not None and request not in self.sent:
            told["attempts"] = before
        told.setdefault("first", request.meta.get(META_FAILED_AT))
        domain = urlparse_cached(request).hostname or ""
        about = _about(request.url, domain, told, trace_id_of(request))
        if self._in_flight is not None:
            told_of = _plain.encode(about.row())
            if self._in_flight.give_up(request, told_of, self._encoded, anew=anew):
                return
        if request not in self._noted:
            self._noted.add(request)
            self._write(about, request)

    def add_encoded(self, data: bytes | None, *, url: str, **told: Unpack[Told]) -> None:
        """Give up a request of which there are only the bytes of its row, or none at all.

        The letter is in the next commit: whoever takes the row away in the same turn of the
        event loop neither loses nor doubles it.
        """
        if self._enabled:
            self._write(_about(url, host_of(url), told), data)

    def ended(self, reason: str, left: int = 0) -> None:
        """The spider was closed with *reason*, and so many requests are left that are known."""
        self._left, self._is_early = left, reason not in COMPLETE
        self._grow(0)

    @property
    def incomplete(self) -> int:
        """Requests that were given up, or left at the end: one at least of an early end."""
        return max(self.count + self._left, int(self._is_early))

    def of_items(
        self,
        request: Request | None,
        stored: Any,
        ordinals: Iterable[int],
        **told: Unpack[Told],
    ) -> list[Letter]:
        """The letter of items that are written, and that a sink has refused since.

        It is for the commit that makes them durable: a handler of ``checkpoint_prepare`` gives
        it back. A replay brings these items of *request* and nothing else, and only to sinks
        that are no feeds. *stored* are the bytes of the request, where there are some. Without
        a job there is no commit, and the letter is kept here.
        """
        if request is not None:
            for tell in self.on_given_up:
                tell(request, None, told)
        if not self._enabled:
            return []
        url = "" if request is None else request.url
        trace_id = "" if request is None else trace_id_of(request)
        about = _about(url, host_of(url), told, trace_id)
        if self._in_flight is None:
            self._write(about, request)
            return []
        data = stored if isinstance(stored, bytes) else None
        if data is None and request is not None:
            data = self._encoded(request)
        record = self._in_flight.only_items(ordinals)
        return [Letter(0, data, _plain.encode(about.row()), record)]

    def count_letters(self, letters: Iterable[Letter]) -> None:
        """Count the letters that a commit writes: its requests have added them already."""
        for letter in letters:
            self._count(About.load(_plain.decode(letter.about)))

    def _write(self, about: About, request: Request | bytes | None) -> None:
        if self._in_flight is None:
            self.kept.append(about)
            self._count(about)
        else:
            data = self._encoded(request) if isinstance(request, Request) else request
            self._in_flight.add_letter(Letter(0, data, _plain.encode(about.row())))

    def _encoded(self, request: Request) -> bytes | None:
        """None for a request that can't be replayed: it is listed only.

        It can live in memory only, or a media pipeline waits for its answer, and no callback.
        """
        if request.callback is NO_CALLBACK:
            return None
        try:
            return self._codec.encode(request)
        except UnserializableError:
            return None

    def _count(self, about: About) -> None:
        self._stats.inc_value(STAT_DEAD_LETTERS + about.failure_class)
        self._grow(1)

    def _grow(self, count: int) -> None:
        self.count += count
        if self.incomplete:
            self._stats.set_value(STAT_INCOMPLETE, self.incomplete)


def _about(url: str, domain: str, told: Told, trace_id: str = "") -> About:
    now = _clock.wall()
    return About.make(url=url, domain=domain, now=now, trace_id=trace_id, **told)


_letters = OfCrawlers["Letters"]("letters")


def letters_of(crawler: Crawler) -> Letters:
    """The dead letters of a crawler: the same object for all who ask."""
    return _letters.of(crawler, lambda: Letters(crawler))

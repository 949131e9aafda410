"""What storages of the HTTP cache have in common that keep entries as bytes in a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Event
from typing import TYPE_CHECKING, Final, Protocol

from scrapy.utils.misc import load_object

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience.httpcache.access import Access
from scrapy_resilience.httpcache.entries import Codec, Entry, EntryError
from scrapy_resilience.httpcache.writing import WriteBehind
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

__all__ = ["EntryStorage", "Store", "check_storage"]

logger = get_logger(__name__)

_OPENING: Final = 5.0
_CLOSING: Final = 10.0
"""Seconds for which the beginning and the end of a crawl wait for the store."""


class Store(Protocol):
    """Entries of one spider. Whatever is wrong is raised, as any exception.

    Only :meth:`get` is called in the event loop; all others by one thread, beside it.
    """

    place: str
    """What to look after when it fails."""

    def open(self) -> None:
        """Make :meth:`get` work, the first time or again."""

    def get(self, key: bytes) -> bytes | None:
        """The data of an entry, soon."""

    def put(self, entries: list[Entry]) -> None:
        """Store entries, each whole or not at all, and let go of the oldest above the limit."""

    def close(self) -> None:
        """Nothing is asked for any more."""


class EntryStorage(ABC):
    """Pages are looked up in the event loop, and written behind the crawl by a thread.

    A store that fails costs entries and no page: one warning says so, and it is tried again
    after a while, without holding the crawl up.
    """

    def __init__(self, settings: BaseSettings) -> None:
        self._config = Config.from_settings(settings)
        self.check(self._config)
        self._expires = max(0, settings.getint("HTTPCACHE_EXPIRATION_SECS"))
        self._most = int(self._config.httpcache_max_mb * 1e6)
        self._codec = Codec(settings.getint("DOWNLOAD_MAXSIZE"))
        self._ready = False
        """Whether the store may be read."""
        self._opening = False
        self._told: set[str] = set()

    @classmethod  # noqa: B027 - most have nothing to check
    def check(cls, config: Config) -> None:
        """Raises :exc:`ConfigurationError` for settings with which no store can be made."""

    @abstractmethod
    def _store_of(self, spider: str) -> Store:
        """The store of a spider, which is not open yet."""

    # --- Scrapy's seam ---

    def open_spider(self, spider: Spider) -> None:
        assert spider.crawler.stats is not None
        assert spider.crawler.request_fingerprinter is not None
        self._stats = spider.crawler.stats
        self._fingerprinter = spider.crawler.request_fingerprinter
        self._store = self._store_of(spider.name)
        self._reads = Access("read", self._store.place)
        self._writes = Access("store", self._store.place)
        self._behind = WriteBehind(self._write)
        opened = Event()
        self._open_soon()
        self._behind.do(opened.set)
        opened.wait(_OPENING)

    def close_spider(self, spider: Spider) -> None:
        if not self._behind.close(self._close, _CLOSING):
            logger.warning(
                "The HTTP cache was not closed in time: its last pages may not be in it. "
                "Look after %s",
                self._store.place,
            )
        self._count()

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        key = self._fingerprinter.fingerprint(request)
        data = self._behind.get(key) or self._read(key)
        if data is None:
            return None
        try:
            response, stored = self._codec.decode(data)
        except EntryError as error:
            self._reads.lose()
            self._tell("read", request, error)
            return None
        if 0 < self._expires < _clock.wall() - stored:
            return None
        request.meta["cache_timestamp"] = stored
        return response

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        now = _clock.wall()
        try:
            data = self._codec.encode(response, now)
        except EntryError as error:
            self._writes.lose()
            self._tell("store", request, error)
            return
        if 0 < self._most < len(data):
            self._writes.lose()
            self._tell("store", request, "it is larger than RESILIENCE_HTTPCACHE_MAX_MB")
        elif self._writes.rests:
            self._writes.lose()
            self._count()
        elif not self._behind.put(Entry(self._fingerprinter.fingerprint(request), now, data)):
            self._writes.failed("it is slower than the crawl")

    # --- the store ---

    def _read(self, key: bytes) -> bytes | None:
        if self._ready:
            try:
                found = self._store.get(key)
            except Exception as error:  # noqa: BLE001 - the page is asked for instead
                self._ready = False
                self._reads.failed(error)
            else:
                self._reads.worked()
                return found
        else:
            self._reads.lose()
            if not (self._opening or self._reads.rests):
                self._open_soon()
        self._count()
        return None

    def _open_soon(self) -> None:
        self._opening = True
        self._behind.do(self._open)

    def _open(self) -> None:
        try:
            self._store.open()
        except Exception as error:  # noqa: BLE001 - the crawl goes on without it
            self._reads.failed(error, 0)
        else:
            self._ready = True
        self._opening = False

    def _write(self, entries: list[Entry]) -> None:
        if self._writes.rests:
            self._writes.lose(len(entries))
            return
        try:
            self._store.put(entries)
        except Exception as error:  # noqa: BLE001 - the pages have gone on
            self._writes.failed(error, len(entries))
        else:
            self._writes.worked()

    def _close(self) -> None:
        try:
            self._store.close()
        except Exception as error:  # noqa: BLE001 - what was stored stays
            self._writes.failed(error, 0)

    # --- what is told ---

    def _tell(self, verb: str, request: Request, error: object) -> None:
        self._count()
        if verb not in self._told:
            self._told.add(verb)
            logger.warning(
                "The HTTP cache can't %s %s, which goes on without it: %s - no more such pages "
                "will be logged",
                verb,
                request.url,
                error,
            )

    def _count(self) -> None:
        for name, access in (
            (names.STAT_CACHE_UNREAD, self._reads),
            (names.STAT_CACHE_UNSTORED, self._writes),
        ):
            if access.lost:
                self._stats.set_value(name, access.lost)


def check_storage(settings: BaseSettings, config: Config) -> None:
    """Raises :exc:`ConfigurationError` for a storage of ours that can't be made."""
    storage = load_object(settings["HTTPCACHE_STORAGE"])
    if isinstance(storage, type) and issubclass(storage, EntryStorage):
        storage.check(config)

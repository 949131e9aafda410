"""Which pages of a crawl are skipped, and which count as seen when they have ended."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from itemadapter import ItemAdapter
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience.core.revisit import ALWAYS, Revisit
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.frontier.codec import UnserializableError
from scrapy_resilience.scheduling.canonical import canonical_bytes
from scrapy_resilience.seen.marks import (
    DIGEST,
    Mark,
    Validators,
    digests,
    ident_of_key,
    ident_of_page,
    kept_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.seen.marks import Entry
    from scrapy_resilience.seen.store import SeenStore
    from scrapy_resilience.settings import Config

__all__ = ["SeenPages", "check_seen", "revisit_of", "seen_pages", "store_path"]

logger = get_logger(__name__)

_ITEMS: Final = 10_000
"""Of a page, whose hashes are kept: those behind them are always brought."""
_LONGEST: Final = 2_000
"""Characters of a URL, bytes of a validator: a longer one is of no use."""
_NONE: Final = Validators(None, None)


class _Page:
    """What has come of a page so far."""

    def __init__(self) -> None:
        self.is_loaded = False
        self.entry: Entry | None = None
        """As it was seen before."""
        self.known = frozenset[bytes]()
        self.validators = _NONE
        self.items = 0
        self.found: list[bytes] = []
        self.keys: list[Any] = []
        self.links = self.failed = self.settled = False


class SeenPages:
    """*store* has those of earlier jobs, and of this one as far as they are durable."""

    def __init__(self, crawler: Crawler, store: SeenStore, config: Config) -> None:
        self.store = store
        self._config = config
        self._revisit = revisit_of(config)
        self._fingerprinter: Any = crawler.request_fingerprinter
        self._stats: Any = crawler.stats
        self._pages: WeakKeyDictionary[Request, _Page] = WeakKeyDictionary()
        self._told: set[str] = set()
        self.keep: Callable[[Mark], object] = lambda _: None
        """Called with each mark of a page that has ended."""
        self.drop: Callable[[int], object] = lambda _: None
        """Called with a page whose mark is to be kept no longer."""
        self.is_cut: Callable[[], bool] = lambda: False
        """Whether what ends now is to be done again by the next run."""
        self.on_damage: Callable[[Exception], object] = lambda _: None
        """Called when the store can't be read: what it holds would be asked for again."""

    # --- requests ---

    def skips(self, request: Request) -> bool:
        """Whether a request that comes to the scheduler is not due; not asked of redirects."""
        meta = request.meta
        for key in (names.META_SEEN_FIRST, names.META_CONDITIONAL):  # of the page it is on
            meta.pop(key, None)
        if _is_exempt(request) or (request.dont_filter and not meta.get(names.META_SEEN)):
            return False
        entry = self._find(self._ident(request))
        if entry is None:
            return False
        due = self._revisit.is_due(entry.at, entry.period, _clock.wall())
        self._stats.inc_value(names.STAT_SEEN_DUE if due else names.STAT_SEEN_SKIPPED)
        return not due

    def conditions(self, request: Request) -> Validators | None:
        """What a request that is sent may say of the page that was seen."""
        if not self._config.seen_conditional or _is_exempt(request):
            return None
        entry = self._find(self._ident(request))
        if entry is None or entry.period == ALWAYS:
            return None
        try:
            return self.store.validators(self._page_ident(request))
        except sqlite3.Error as error:
            self._failed_to_read(error)
            return None

    def first_asked(self, request: Request) -> None:
        """Whatever takes the place of this request, such as a redirect, stands for it too."""
        if not self._config.seen_field and names.META_SEEN_KEY not in request.meta:
            request.meta.setdefault(names.META_SEEN_FIRST, self._page_ident(request))

    def _ident(self, request: Request) -> int | None:
        key = request.meta.get(names.META_SEEN_KEY)
        if key is not None:
            return ident_of_key(key)
        return None if self._config.seen_field else self._page_ident(request)

    def _page_ident(self, request: Request) -> int:
        return ident_of_page(self._fingerprinter.fingerprint(request))

    def _find(self, ident: int | None) -> Entry | None:
        try:
            return None if ident is None else self.store.find(ident)
        except sqlite3.Error as error:
            self._failed_to_read(error)
            return None

    def _failed_to_read(self, error: sqlite3.Error) -> None:
        if "locked" not in str(error):
            self.on_damage(error)
        elif "locked" not in self._told:
            self._told.add("locked")
            logger.warning("%s: %s: some pages are not skipped", self.store.path, error)

    # --- what comes of a page ---

    def is_unchanged(self, item: Any, response: Response) -> bool:
        """Take note of an item of a page; whether an earlier job has brought it as it is."""
        request = response.request
        if request is None or request.callback is NO_CALLBACK or _is_exempt(request):
            return False
        page = self._page(request)
        if not page.items:
            self._load(page, request)
            page.validators = _validators_of(response)
        page.items += 1
        if self._config.seen_field:
            key = ItemAdapter(item).get(self._config.seen_field)
            page.keys += [] if key is None else [key]
        digest = self._digest(item) if len(page.found) < _ITEMS else None
        if digest is None:
            return False
        page.found.append(digest)
        if not (self._config.seen_changed_only and digest in page.known):
            return False
        self._stats.inc_value(names.STAT_SEEN_ITEMS)
        return True

    def _digest(self, item: Any) -> bytes | None:
        """None for an item that can't be compared: it is always brought."""
        ignored = self._config.seen_ignored_fields
        fields = {name: each for name, each in ItemAdapter(item).items() if name not in ignored}
        try:
            return blake2b(canonical_bytes(fields), digest_size=DIGEST).digest()
        except UnserializableError:
            return None

    def _page(self, request: Request) -> _Page:
        page = self._pages.get(request)
        if page is None:
            page = self._pages[request] = _Page()
        return page

    def _load(self, page: _Page, request: Request) -> None:
        if not page.is_loaded:
            page.is_loaded, page.entry = True, self._find(self._ident(request))
            page.known = frozenset() if page.entry is None else digests(page.entry.content)

    def gave_link(self, request: Request) -> None:
        """A page has put out a request."""
        self._page(request).links = True

    def given_up(self, request: Request, *_: object) -> None:
        """There is a dead letter: of a page, or of items that a sink has refused since."""
        self._page(request).failed = True
        self.drop(self._page_ident(request))

    def failed(self, request: Request | None) -> None:
        """Something of a page is lost: an item, or what the callback would have put out."""
        if request is not None:
            self._page(request).failed = True

    def not_modified(self, request: Request) -> None:
        """A server has answered with 304."""
        page = self._page(request)
        self._load(page, request)
        page.settled = True

    def is_settled(self, result: Any, request: Request) -> bool:
        """Whether the spider need not see what a request has come to."""
        page = self._pages.get(request)
        return (
            page is not None
            and page.settled
            and isinstance(result, Response)
            and result.status == _NOT_MODIFIED
        )

    def ended(self, request: Request, came: bool) -> None:  # noqa: FBT001 - as hooks call it
        """A page is through, with its callback and all of its items."""
        page = self._pages.pop(request, None)
        if not came or self.is_cut():
            return
        forced = bool(request.meta.get(names.META_SEEN))
        if page is None and forced:
            page = _Page()
        if page is None or page.failed:
            return
        if page.items or forced:
            self._load(page, request)
            self._mark(request, page, forced=forced)
        elif page.settled and page.entry is not None:  # else it was forgotten meanwhile
            self._mark_unchanged(request, page.entry)

    def _mark(self, request: Request, page: _Page, *, forced: bool) -> None:
        entry, config = page.entry, self._config
        changed = frozenset(page.found) != page.known
        if entry is not None and not changed:
            self._stats.inc_value(names.STAT_SEEN_UNCHANGED)
        before = None if entry is None else entry.period
        period = self._revisit.next_period(before, changed=changed)
        if page.links and not (config.seen_with_links or forced):
            period = ALWAYS
            self._tell_of_links()
        content, ident = b"".join(page.found), self._page_ident(request)
        kept = _NONE if page.links or not config.seen_conditional else page.validators
        mark = Mark(0, int(_clock.wall()), period, content, ident, *kept)
        known_by = (
            {ident_of_key(key): kept_url(str(key)) for key in page.keys}
            if config.seen_field
            else self._idents(request)
        )
        self._keep(mark, known_by)

    def _mark_unchanged(self, request: Request, entry: Entry) -> None:
        self._stats.inc_value(names.STAT_SEEN_UNCHANGED)
        period = self._revisit.next_period(entry.period, changed=False)
        page = self._page_ident(request)
        mark = Mark(0, int(_clock.wall()), period, entry.content, page, keeps=True)
        self._keep(mark, self._idents(request))

    def _keep(self, mark: Mark, known_by: dict[int, str]) -> None:
        for ident, text in known_by.items():
            self._stats.inc_value(names.STAT_SEEN_MARKED)
            url = text if self._config.seen_urls else None
            self.keep(mark._replace(ident=ident, url=url))

    def _idents(self, request: Request) -> dict[int, str]:
        """What a page is known by, each with its URL."""
        found: dict[int, str] = {}
        if (ident := self._ident(request)) is not None:
            found[ident] = kept_url(request.url)
        first = request.meta.get(names.META_SEEN_FIRST)
        if isinstance(first, int):
            asked = request.meta.get("redirect_urls") or [request.url]
            found.setdefault(first, kept_url(str(asked[0])))
        return found

    def _tell_of_links(self) -> None:
        self._stats.inc_value(names.STAT_SEEN_LINKING)
        if "links" not in self._told:
            self._told.add("links")
            logger.info(
                "Pages that give requests beside items are asked for each time, so that what "
                "they link to is found. RESILIENCE_SEEN_WITH_LINKS=True skips them, too"
            )


_NOT_MODIFIED: Final = 304


def store_path(config: Config, spider: str) -> Path:
    """Where the pages of a spider are kept. Raises :exc:`.ConfigurationError`."""
    path = config.seen_store.replace("%(spider)s", spider.replace("/", "_"))
    if "%(" in config.seen_store.replace("%(spider)s", ""):
        raise ConfigurationError(
            f"RESILIENCE_SEEN_STORE={config.seen_store!r}: only %(spider)s has something that "
            "takes its place, as the file is for the jobs of all days."
        )
    return Path(path).absolute()


def check_seen(config: Config) -> None:
    """Raises :exc:`.ConfigurationError` for settings that make no sense together."""
    store_path(config, "spider")
    revisit_of(config)


def revisit_of(config: Config) -> Revisit:
    """The rule that the settings ask for. Raises :exc:`.ConfigurationError`."""
    if config.seen_adaptive and not config.seen_age:
        raise ConfigurationError(
            "RESILIENCE_SEEN_ADAPTIVE needs an age to begin with: set RESILIENCE_SEEN_AGE, "
            "such as 86_400 for a day."
        )
    if config.seen_age_min > config.seen_age_max:
        raise ConfigurationError(
            f"RESILIENCE_SEEN_AGE_MIN={config.seen_age_min:g} is more than "
            f"RESILIENCE_SEEN_AGE_MAX={config.seen_age_max:g}: use a smaller one."
        )
    return Revisit(
        age=config.seen_age,
        adaptive=config.seen_adaptive,
        least=config.seen_age_min,
        most=config.seen_age_max,
    )


def _is_exempt(request: Request) -> bool:
    return request.meta.get(names.META_SEEN) is False


def _validators_of(response: Response) -> Validators:
    found = (response.headers.get(name) for name in ("ETag", "Last-Modified"))
    return Validators(*(each if each and len(each) <= _LONGEST else None for each in found))


_seen = OfCrawlers["SeenPages"]("seen")


def seen_pages(crawler: Crawler, pages: SeenPages | None = None) -> SeenPages | None:
    """Those of a crawler; None where nothing is kept. *pages* become those of the crawler."""
    if pages is not None:
        _seen[crawler] = pages
        return pages
    return _seen.get(crawler)

"""Requests that middlewares return in the place of others: redirects, second tries."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from scrapy_resilience.scheduling.requests import is_redirected
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.deadletters import Letters
    from scrapy_resilience.gates.gatekeeper import Gatekeeper
    from scrapy_resilience.scheduling.duplicates import Duplicates

__all__ = ["Replacements"]


class Replacements:
    """Knows which one is being scheduled; *keeper* hears that the other one has ended."""

    def __init__(
        self,
        crawler: Crawler,
        letters: Letters,
        duplicates: Duplicates,
        keeper: Gatekeeper | None,
    ) -> None:
        self._letters = letters
        self._duplicates = duplicates
        self._keeper = keeper
        filters_redirects = Config.from_settings(crawler.settings).filter_redirects
        self._follows_redirects = not (filters_redirects or duplicates.is_own)
        self._latest: tuple[Request, Request] | None = None

    @contextmanager
    def replacing(self, new: Request, old: Request) -> Iterator[None]:
        """A middleware has returned *new* for *old*, and the engine schedules it now."""
        self._latest = new, old
        try:
            yield
        finally:
            self._latest = None
            if self._keeper is not None:
                self._keeper.replaced(old)

    def replaced_by(self, request: Request) -> Request | None:
        """The request that *request* stands for from now on, as a second try does."""
        if self._latest is None or self._latest[0] is not request:
            return None  # somebody else puts it in meanwhile
        return self._latest[1]

    def is_duplicate(
        self, request: Request, fingerprint: bytes | None, replaced: Request
    ) -> bool:
        """Whether the filter drops *request*; *replaced* may be a dead letter then."""
        if self._follows_redirects and is_redirected(request, replaced):
            return False  # the same request on its way
        if not self._duplicates.has(request, fingerprint):
            return False
        if self._duplicates.alike(request, replaced):
            self.give_up(
                replaced,
                "a middleware has sent it again without dont_filter=True, and the filter of "
                "duplicates has dropped it",
            )
        return True

    def give_up(self, request: Request, reason: str, error: Exception | None = None) -> None:
        """A request that was replaced comes to nothing: a dead letter."""
        self._letters.add(
            request, kind="ignored", failure_class="ignored", reason=reason, exception=error
        )

"""Who waits in this process, not in the frontier: for a turn, or for the cut of a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience import _clock
from scrapy_resilience._scrapy.engine import is_closing

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler

    from scrapy_resilience.checkpoint.commit import Committer

__all__ = ["WaitsInProcess"]

_LOOK: Final = 0.5
"""Seconds between two looks at whether a stop is over."""


class WaitsInProcess:
    """*committer* gives that of the job, None without one."""

    def __init__(self, crawler: Crawler, committer: Callable[[], Committer | None]) -> None:
        self._crawler = crawler
        self._committer = committer
        self.requests: set[Request] = set()
        """Those that wait."""
        self.stopping = False
        """Whether a stop cuts off what waits: the job has it for the next run."""

    @property
    def are_over(self) -> bool:
        """Whether the spider is being closed and nobody keeps what waits for the next run."""
        if not is_closing(self._crawler.engine):
            return False
        committer = self._committer()
        return committer is None or committer.abandoned

    async def sleep(self, request: Request, seconds: float) -> None:
        """Somebody waits for *request* meanwhile."""
        self.requests.add(request)
        try:
            await _clock.sleep(seconds)
        finally:
            self.requests.discard(request)

    async def for_cut(self, request: Request) -> None:
        """Keep whoever waits for *request* from going on without it; it is begun anew."""
        while self.stopping:
            await self.sleep(request, _LOOK)

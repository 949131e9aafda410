"""What became of requests where no gates hear of it: the downloader tells.

Of pages it has the bodies as they were sent, so those of bans are answers here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy import signals

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.gates.gatekeeper import gatekeeper_of

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience.gates.gatekeeper import OnSettled

__all__ = ["Downloads"]

logger = get_logger(__name__)


class Downloads:
    """Those of one crawl whose engine is there, as far as *tell* is to hear of them."""

    def __init__(self, crawler: Crawler, tell: OnSettled) -> None:
        self._keeper = gatekeeper_of(crawler)
        self._tell = tell
        hooks_of(crawler.engine).try_failed = self._ended
        crawler.signals.connect(self._answered, signals.response_downloaded)

    def _answered(self, response: Response, request: Request) -> None:
        self._ended(request, response)

    def _ended(self, request: Request, result: Response | Exception) -> None:
        try:
            verdict = self._keeper.judge(request, result)
            self._tell(request, result, verdict, self._keeper.domain(request))
        except Exception:
            logger.exception("What became of %s can't be counted", request)

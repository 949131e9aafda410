"""What middlewares ask and tell about domains. A stand-in until the gates are here."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from scrapy_resilience.judge import Judge
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from scrapy_resilience.core.classify import Verdict

__all__ = ["Gatekeeper", "gatekeeper_of"]


class Gatekeeper:
    """Knows domains by their hosts, holds none."""

    def __init__(self, crawler: Crawler) -> None:
        self._judge = Judge(Config.from_settings(crawler.settings))
        self._verdicts: WeakKeyDictionary[Request, tuple[int, Verdict]] = WeakKeyDictionary()

    def domain(self, request: Request) -> str:
        return urlsplit(request.url).hostname or ""

    def judge(self, request: Request, outcome: Response | Exception) -> Verdict:
        """One judgement for each outcome, whoever asks."""
        known = self._verdicts.get(request)
        if known is not None and known[0] == id(outcome):
            return known[1]
        verdict = self._judge(outcome)
        if verdict.failed:
            self._verdicts[request] = id(outcome), verdict
        return verdict

    def hold(self, request: Request, seconds: float, reason: str) -> None:
        """Let nobody ask the domain of *request* for some seconds."""

    def blameless(self, request: Request) -> bool:
        """Whether the domain is known to be sick, so that a try does not count."""
        return False

    def open_action(self, request: Request) -> str:
        """``hold`` or ``fail``."""
        return "hold"


_GATEKEEPERS: WeakKeyDictionary[Crawler, Gatekeeper] = WeakKeyDictionary()


def gatekeeper_of(crawler: Crawler) -> Gatekeeper:
    """The one gatekeeper of a crawler."""
    if crawler not in _GATEKEEPERS:
        _GATEKEEPERS[crawler] = Gatekeeper(crawler)
    return _GATEKEEPERS[crawler]

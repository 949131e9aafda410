"""The shops of this example get a new look in the middle of a crawl, as real ones do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Request, Response
    from typing_extensions import Self

_PAGE = b"<main data-page="
_AMOUNT = re.compile(rb'<span class="amount">([^<]+)</span>')
_NEW_LOOK = rb'<span class="value">\1</span>'
_SOLD_OUT = b'<span class="value">sold out</span>'
_SOLD_OUT_EACH = 20


class Redesign:
    """Changes the HTML of each shop once ``spider.redesign`` of its pages were shown.

    The class of prices is another one then, and on some pages nothing is left to buy.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        if _PAGE not in response.body:
            return response
        shown = self._count(response)
        if shown <= self.crawler.spider.redesign:
            return response
        price = _NEW_LOOK if shown % _SOLD_OUT_EACH else _SOLD_OUT
        return response.replace(body=_AMOUNT.sub(price, response.body))

    def _count(self, response: Response) -> int:
        """How many pages of the shop were shown; spider.state remembers it after a kill."""
        shown = self.crawler.spider.state.setdefault("shown", {})
        host = urlsplit(response.url).hostname
        shown[host] = shown.get(host, 0) + 1
        return shown[host]

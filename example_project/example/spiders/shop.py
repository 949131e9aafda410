"""Crawls the fault site of scrapy_resilience.testing: small shops, some of them ill.

Its fields come from a selector set, whose alarms say when a shop is redesigned; prices and
so on are normalized, and each item has a confidence.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy.http import TextResponse

from example.local import LocalSpider
from scrapy_resilience.selectors import registry
from scrapy_resilience.testing import SiteAddress, SiteConfig, running_site
from scrapy_resilience.watchdog import register_freeable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self


class ShopSpider(LocalSpider):
    """Finds every product of every shop.

    Arguments: ``hosts`` and ``pages`` per host; ``port`` of the site that the spider
    starts, the port after it refuses connections; ``site=http://127.0.0.1:PORT`` for a
    site that runs already; ``faults=outage,silent`` for faulty hosts to crawl as well;
    ``redesign``, after how many of its pages a shop gets a new look: by default after two
    thirds; ``leak``, how many MB each page keeps until memory is short.
    """

    name = "shop"
    custom_settings = {  # noqa: RUF012 - Scrapy's own form
        "DOWNLOAD_TIMEOUT": 5,
        "DOWNLOADER_MIDDLEWARES": {"example.redesign.Redesign": 500},
        "FEEDS": {
            "items/shop.jsonl": {
                "format": "jsonlines",
                "overwrite": False,
                "fields": ["host", "page", "sku", "name", "price"],
            },
            "items/shop-review.jsonl": {
                "format": "jsonlines",
                "overwrite": False,
                "item_filter": "scrapy_resilience.pipelines.confidence.DoubtfulItems",
            },
        },
        "RESILIENCE_NORMALIZE": {"price": {"type": "price", "currency": "EUR"}},
        "RESILIENCE_CONFIDENCE_FIELD": "confidence",
        # A page in ten answers 503 at first; a site that starts anew with a killed crawl has
        # forgotten which, and those that are left may be all of them: look again soon.
        "RESILIENCE_BREAKER_RECOVERY_TIMEOUT": 1,
        # Small shops: by default a field is known after 100 pages.
        "RESILIENCE_DRIFT_WINDOW": 20,
        "RESILIENCE_DRIFT_BASELINE": 20,
    }

    def __init__(
        self,
        *,
        site: str = "",
        port: str = "18600",
        hosts: str = "4",
        pages: str = "90",
        faults: str = "",
        redesign: str = "",
        leak: str = "0",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        config = SiteConfig(
            hosts=int(hosts),
            pages=int(pages),
            latency=0.02,
            redirects=0.2,
            first_try_503=0.1,
        )
        self.redesign = int(redesign or config.pages * 2 // 3)
        self.leak = int(float(leak) * 2**20)
        self.kept: list[bytes] = []
        number = (urlsplit(site).port or 80) if site else int(port)
        self.starts_site = not site
        self.address = SiteAddress(config, number, number + 1)
        faulty = [f"{name}.test" for name in faults.split(",") if name]
        self.start_urls = self.address.start_urls()
        self.start_urls += map(self.address.url, faulty)

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        register_freeable(crawler, "the shop's pages", spider.kept.clear)
        return spider

    def server(self) -> AbstractContextManager[object]:
        if not self.starts_site:
            return nullcontext()
        address = self.address
        return running_site(
            address.config, port=address.port, refused_port=address.refused_port
        )

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        # A captcha is HTML with status 200 too, but it has no page number.
        page = response.css("main::attr(data-page)").get()
        if page is None or not isinstance(response, TextResponse):
            self.logger.warning("No shop page: %s", response.url)
            return
        if self.leak:
            self.kept.append(b"x" * self.leak)
        found = registry.get("shelf").extract(response)
        for sku, name, price in zip(found["sku"], found["name"], found["price"], strict=True):
            yield {
                "host": urlsplit(response.url).hostname,
                "page": int(page),
                "sku": sku,
                "name": name,
                "price": price,
            }
        yield from response.follow_all(css="nav a")

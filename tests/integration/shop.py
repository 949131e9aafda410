"""What child processes import: a spider of the fault site, and small components."""

from __future__ import annotations

from urllib.parse import urlsplit

import scrapy


class Base(scrapy.Spider):
    """Finds every item of every shop, once; ``START`` comes from the settings."""

    name = "shop"

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        self = super().from_crawler(crawler, *args, **kwargs)
        self.start_urls = crawler.settings.getlist("START")
        return self

    async def start(self):
        for url in self.start_urls:
            yield scrapy.Request(url)

    def parse(self, response, **_):
        yield from self.products(response)
        yield from self.links(response)

    def products(self, response):
        for product in response.css("li.product"):
            yield {
                "host": urlsplit(response.url).hostname,
                "page": int(response.css("main::attr(data-page)").get()),
                "sku": product.attrib["data-sku"],
                "name": product.css(".name::text").get(),
                "price": product.css(".amount::text").get(),
            }

    def links(self, response, **kwargs):
        yield from response.follow_all(css="nav a", **kwargs)

    def below(self, response, **kwargs):
        yield from response.follow_all(css="nav.below a", **kwargs)


def number(response):
    """The page's number, from its own HTML."""
    return int(response.css("main::attr(data-page)").get())

"""A list of products, asked for each night, and their pages, asked for when they are due."""

from __future__ import annotations

import scrapy


class Shop(scrapy.Spider):
    """What is new since last night, and what has changed."""

    name = "shop"

    async def start(self):
        """The lists, each night: they give no items, so they are never skipped."""
        for url in self.settings.getlist("URLS"):
            yield scrapy.Request(url)

    def parse(self, response):
        """Those that were seen before, and are not due, go no further."""
        yield from response.follow_all(css="a", callback=self.parse_product)

    def parse_product(self, response):
        """A page that gives an item, and no request, is skipped from then on."""
        sku = int(response.url.rpartition("/")[2])
        yield {"sku": sku, "price": response.css("p::text").get()}

"""Metrics of a project: in a spider, a pipeline and a function."""

import scrapy

from scrapy_resilience.metrics import counter, histogram, timed

PRICES = counter("shop_prices", "Prices that were read.", labels=["currency"])
REVIEWS = histogram("shop_reviews", "Reviews of a product.", buckets=[0, 1, 10, 100, 1000])


@timed("shop_parse_seconds", "Time to parse a page.")
def parse_product(response: scrapy.http.Response) -> dict[str, str | None]:
    """A plain function."""
    with timed("shop_css_seconds", "Time of the selectors."):
        name = response.css("h1::text").get()
    REVIEWS.observe(len(response.css(".review")))
    return {"name": name, "currency": "EUR"}


class ShopSpider(scrapy.Spider):
    """Scrapes one page."""

    name = "shop"

    async def parse(self, response: scrapy.http.Response):
        """Yield the product of a page."""
        yield parse_product(response)


class CountPrices:
    """Counts by currency."""

    def process_item(self, item: dict) -> dict:
        """Let each item through."""
        PRICES.inc(currency=item["currency"])
        return item

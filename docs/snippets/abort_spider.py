import scrapy

from scrapy_resilience.abort import evaluate_abort, record_failure

ENOUGH = 0.5


def too_few_prices(view):
    """A condition of our own: called with the view of the crawl, in a thread."""
    share = {each.field: each.share for each in view.items.coverage}.get("price", 1.0)
    return f"only {share:.0%} of all items have a price" if share < ENOUGH else None


class ShopSpider(scrapy.Spider):
    name = "shop"
    custom_settings = {
        "ADDONS": {"scrapy_resilience.ResilienceAddon": 500},
        "RESILIENCE_ABORT_POLICY": "night",
        "RESILIENCE_ABORT_POLICIES": {
            "night": {
                "failures_in_a_row": 20,
                "coverage": {"price": 0.8},
                "function": too_few_prices,
                "actions": ["snapshot", "notify", "close"],
            },
        },
        "RESILIENCE_ABORT_INTERVAL": 0.2,
        "DOWNLOAD_DELAY": 0.02,
        "CONCURRENT_REQUESTS": 1,
    }

    async def start(self):
        for number in range(1000):
            yield scrapy.Request(f"data:,page {number}")

    def parse(self, response):
        if "page 1" in response.text:
            record_failure(
                self.crawler,
                "logged out",
                category="login",
                context={"account": "nightly"},
                request=response.request,
            )
        yield {"url": response.url, "price": 9.5}

    def closed(self, reason):
        told = evaluate_abort(self.crawler)
        print(reason, sorted(each.name for each in told.met))

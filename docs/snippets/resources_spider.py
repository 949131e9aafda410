"""A spider that looks at what its crawl uses."""

import scrapy

from scrapy_resilience.watchdog import check_thresholds, current_metrics, on_breach


class Shop(scrapy.Spider):
    name = "shop"

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        self = super().from_crawler(crawler, *args, **kwargs)
        self.thumbnails = {}
        on_breach(crawler, "strict", self.breached)
        return self

    def breached(self, what, finding):
        """Forget what can be made again, before the crawl has to ease off."""
        self.logger.info("%s is %s: %s", what, finding.status, finding.detail)
        if finding.status != "healthy":
            self.thumbnails.clear()

    async def start(self):
        for url in self.settings.getlist("URLS"):
            yield scrapy.Request(url)

    def parse(self, response):
        used = current_metrics(self.crawler).used
        wrong = [
            finding.name
            for finding in check_thresholds("strict", self.crawler)
            if finding.status != "healthy"
        ]
        yield {"sku": response.url, "memory": used, "wrong": wrong}

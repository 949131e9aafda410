import json

from scrapy import Request
from scrapy_redis.spiders import RedisSpider

from scrapy_resilience.selectors import registry


class ProductsSpider(RedisSpider):
    name = "products"

    def make_request_from_data(self, data):
        task = json.loads(data)
        again = task.get("again", False)
        return Request(task["url"], errback=self.failed, dont_filter=again)

    def parse(self, response):
        item = registry.get("ecommerce_product").extract(response)
        item["url"] = response.url
        yield item
        yield from response.follow_all(css="a", errback=self.failed)

    def failed(self, failure):
        """Nobody else keeps what is given up."""
        task = {"url": failure.request.url, "again": True, "why": repr(failure.value)}
        self.server.rpush(f"{self.name}:failed", json.dumps(task))

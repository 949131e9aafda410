import scrapy

from scrapy_resilience.cache import cache_of, cached


@cached(ttl=3600)
async def exchange_rate(currency):
    """Ask a slow service: once an hour, however many pages there are."""
    print(f"asked for {currency}")
    return {"EUR": 1.0, "USD": 0.92}[currency]


class InEuros:
    """Adds what an item costs in euros."""

    @classmethod
    def from_crawler(cls, crawler):
        pipeline = cls()
        pipeline.cache = cache_of(crawler)
        return pipeline

    async def process_item(self, item):
        item["euros"] = item["price"] * await exchange_rate("USD")
        await self.cache.set(f"last:{item['sku']}", item["euros"], ttl=86_400)
        return item


class ShopSpider(scrapy.Spider):
    name = "cache"
    custom_settings = {
        "ADDONS": {"scrapy_resilience.ResilienceAddon": 500},
        "ITEM_PIPELINES": {InEuros: 300},
    }

    async def start(self):
        yield scrapy.Request(self.site)

    async def parse(self, response):
        yield {"sku": response.url, "price": 10.0}
        yield {"sku": f"{response.url}#2", "price": 20.0}

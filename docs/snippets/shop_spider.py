from scrapy import Request, Spider


class ShopSpider(Spider):
    name = "shop"
    custom_settings = {
        "ADDONS": {"scrapy_resilience.ResilienceAddon": 500},
        "JOBDIR": "job",
        "FEEDS": {"items.jsonl": {"format": "jsonlines"}},
        "RESILIENCE_CHECKPOINT_INTERVAL": 0.2,
    }

    def __init__(self, site, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [site]

    async def start(self):
        for url in self.start_urls:
            yield Request(url)

    def parse(self, response):
        for product in response.css("li.product"):
            yield {"sku": product.attrib["data-sku"]}
        yield from response.follow_all(css="nav a")

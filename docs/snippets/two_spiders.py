import sys

from scrapy import Request, Spider
from scrapy.crawler import AsyncCrawlerProcess


class Pages(Spider):
    custom_settings = {"FEEDS": {"%(name)s.jsonl": {"format": "jsonlines"}}}

    async def start(self):
        yield Request(self.url)

    def parse(self, response):
        yield {"url": response.url}
        yield from response.follow_all(css="nav a")


class Books(Pages):
    name = "books"


class Films(Pages):
    name = "films"


if __name__ == "__main__":
    process = AsyncCrawlerProcess(
        {
            "ADDONS": {"scrapy_resilience.ResilienceAddon": 500},
            "JOBDIR": "crawls/%(spider)s",
            "TWISTED_DNS_RESOLVER": "scrapy_resilience.testing.LoopbackResolver",
            "LOG_LEVEL": "WARNING",
        }
    )
    process.crawl(Books, url=sys.argv[1])
    process.crawl(Films, url=sys.argv[2])
    process.start()

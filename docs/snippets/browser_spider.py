"""Quotes that a script puts into the page, and their authors, which are plain HTML.

scrapy runspider browser_spider.py -a url=https://quotes.toscrape.com/js/
"""

import scrapy
from scrapy_playwright.page import PageMethod

HANDLER = "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"


class QuotesSpider(scrapy.Spider):
    name = "quotes"
    custom_settings = {
        "ADDONS": {"scrapy_resilience.ResilienceAddon": 500},
        "JOBDIR": "job",
        "FEEDS": {"quotes.jsonl": {"format": "jsonlines"}},
        "DOWNLOAD_HANDLERS": {"http": HANDLER, "https": HANDLER},
        "PLAYWRIGHT_MAX_PAGES_PER_CONTEXT": 4,
        "DOWNLOAD_TIMEOUT": 30,
    }

    async def start(self):
        wait = PageMethod("wait_for_selector", ".quote")
        meta = {"playwright": True, "playwright_page_methods": [wait]}
        yield scrapy.Request(self.url, meta=meta)

    def parse(self, response):
        for quote in response.css(".quote"):
            yield {"text": quote.css(".text::text").get()}
        for link in response.css("a[href*=author]"):
            yield response.follow(link, self.parse_author)  # not in the browser

    def parse_author(self, response):
        yield {"author": response.css("h3::text").get()}

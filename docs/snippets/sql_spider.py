import scrapy

from scrapy_resilience.sql import read_pages


class Shops(scrapy.Spider):
    name = "shops"

    async def start(self):
        rows = read_pages("SELECT id, url FROM shops", crawler=self.crawler)
        async for row in rows:
            yield scrapy.Request(row["url"], cb_kwargs={"shop": row["id"]})

    def parse(self, response, shop):
        yield {"shop": shop, "title": response.css("title::text").get()}

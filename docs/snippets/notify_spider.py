import scrapy

from scrapy_resilience.notifications import notify


class ShopSpider(scrapy.Spider):
    name = "shop"

    def parse(self, response):
        products = response.css(".product")
        if not products:
            notify(self.crawler, f"No product on {response.url}", severity="warning")
        for product in products:
            yield {"name": product.css("h2::text").get()}

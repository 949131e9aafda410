import scrapy

from scrapy_resilience.logs import log_execution_time, set_request_context


class Books(scrapy.Spider):
    name = "books"

    async def start(self):
        yield scrapy.Request(self.settings["START"])

    @log_execution_time
    def parse(self, response):
        set_request_context(user_id="shop-7", shelf="summer")
        self.logger.info("Reading a page", extra={"size": len(response.body)})
        yield {"title": response.css("title::text").get()}

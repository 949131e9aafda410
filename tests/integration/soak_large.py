"""Jobs with many start URLs, many domains or big items, killed at random moments."""

from __future__ import annotations

from crawls import SHOP, Crawl
from soaking import check_items, drawn_settings, drawn_site

from scrapy_resilience.testing import SiteConfig, running_site

MANY = """
    import scrapy
    from scrapy.http import TextResponse
    class Answers:
        def process_request(self, request):
            return TextResponse(request.url, body=b"page")
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for number in range(self.settings.getint("URLS")):
                host = number % self.settings.getint("HOSTS")
                yield scrapy.Request(f"http://h{host}.test/{number}")
        def parse(self, response):
            yield dict(sku=response.url)
"""


def test_start_urls(tmp_path, rng, killer):
    """Each of up to 100,000 start URLs comes once; a middleware answers, to be quick."""
    count, hosts = rng.choice([10_000, 30_000, 100_000]), rng.choice([1, 10, 1000])
    settings = {"DOWNLOADER_MIDDLEWARES": {"spider.Answers": 50}, "URLS": count, "HOSTS": hosts}
    drawn = {**drawn_settings(rng), "CONCURRENT_REQUESTS": 32}
    job = Crawl(tmp_path, MANY, rng=rng, **drawn, **settings)

    killer.survive(job)

    urls = (f"http://h{number % hosts}.test/{number}" for number in range(count))
    check_items(job, [{"sku": url} for url in urls])


def test_domains(tmp_path, rng, killer):
    """Each item of hundreds of domains comes once."""
    config = SiteConfig(hosts=rng.choice([100, 400]), pages=5, latency=0.02, items=1)
    drawn = {**drawn_settings(rng), "CONCURRENT_REQUESTS": 32}
    with running_site(config) as site:
        job = Crawl(tmp_path, SHOP, site, rng, **drawn)

        killer.survive(job)

        check_items(job)


BIG = """
    from shop import Base
    class Shop(Base):
        def products(self, response):
            for item in super().products(response):
                yield {**item, "text": item["sku"] * self.settings.getint("TIMES")}
"""


def test_big_items(tmp_path, rng, killer):
    """Items of up to a megabyte come once, and whole."""
    with running_site(drawn_site(rng)) as site:
        times = rng.choice([1_000, 10_000, 100_000])
        job = Crawl(tmp_path, BIG, site, rng, **drawn_settings(rng), TIMES=times)

        killer.survive(job)

        check_items(job)
        for name in job.settings["FEEDS"]:
            read = job.items if name.endswith("jsonl") else job.csv_rows
            assert all(item["text"] == item["sku"] * times for item in read(name))

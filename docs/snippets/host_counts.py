from collections import Counter
from urllib.parse import urlsplit

from scrapy import signals

from scrapy_resilience import register_state


class HostCounts:
    """Counts responses by host, over all runs of a job."""

    def __init__(self, crawler):
        self.counts = Counter()
        register_state(crawler, "host_counts", lambda: dict(self.counts), self.counts.update)
        crawler.signals.connect(self.response_received, signals.response_received)
        crawler.signals.connect(self.spider_closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def response_received(self, response):
        self.counts[urlsplit(response.url).hostname] += 1

    def spider_closed(self, spider):
        print(dict(self.counts))

import asyncio
import sqlite3

from scrapy import Request, Spider

from scrapy_resilience import signals


class QueueSpider(Spider):
    """Takes URLs from a queue, and removes them there when a commit has them."""

    name = "queue"
    custom_settings = {
        "ADDONS": {"scrapy_resilience.ResilienceAddon": 500},
        "JOBDIR": "queue-job",
        "FEEDS": {"pages.jsonl": {"format": "jsonlines"}},
        "RESILIENCE_CHECKPOINT_INTERVAL": 0.2,
        "RESILIENCE_RERUN_START": True,  # the queue knows what is left, not the job
    }

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        self = super().from_crawler(crawler, *args, **kwargs)
        self.queue = sqlite3.connect("queue.sqlite")
        self.taken, self.covered = [], []
        crawler.signals.connect(self.prepare, signals.checkpoint_prepare)
        crawler.signals.connect(self.committed, signals.checkpoint_committed)
        return self

    async def start(self):
        last = 0
        rows = "SELECT number, url FROM queue WHERE number > ? ORDER BY number LIMIT 1"
        while message := self.queue.execute(rows, (last,)).fetchone():
            last, url = message
            yield Request(url)
            self.taken.append(last)  # the job has the request now
            await asyncio.sleep(0)

    def parse(self, response):
        yield {"url": response.url}

    def prepare(self):
        """A plain function: it runs at the moment of the commit."""
        self.covered, self.taken = self.taken, []

    async def committed(self):
        with self.queue:
            numbers = [(number,) for number in self.covered]
            self.queue.executemany("DELETE FROM queue WHERE number = ?", numbers)

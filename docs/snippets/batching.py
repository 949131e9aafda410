import json
import sqlite3

from scrapy_resilience import item_id, signals


class BatchingPipeline:
    """Collects rows, and writes many in one transaction."""

    SIZE = 100

    @classmethod
    def from_crawler(cls, crawler):
        self = cls()
        crawler.signals.connect(self.flush, signals.checkpoint_prepare)
        return self

    def open_spider(self):
        self.rows = []
        self.db = sqlite3.connect("batches.sqlite")
        self.db.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, item TEXT)")

    def process_item(self, item):
        self.rows.append((item_id(), json.dumps(dict(item))))
        if len(self.rows) >= self.SIZE:
            self.flush()
        return item

    def flush(self):
        """Whatever was collected is durable afterwards, or an error stops the commit."""
        if self.rows:
            with self.db:
                self.db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?)", self.rows)
            self.rows.clear()

    def close_spider(self):
        self.flush()
        self.db.close()

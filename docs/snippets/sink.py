import json
import sqlite3

from scrapy_resilience import item_id


class SQLitePipeline:
    """One row for each item, also when a request runs twice."""

    def open_spider(self):
        self.db = sqlite3.connect("items.sqlite", isolation_level=None)
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, item TEXT NOT NULL)"
        )

    def process_item(self, item):
        row = item_id(), json.dumps(dict(item))
        self.db.execute("INSERT OR REPLACE INTO items VALUES (?, ?)", row)
        return item

    def close_spider(self):
        self.db.close()

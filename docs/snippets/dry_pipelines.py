import sqlite3
from contextlib import closing
from pathlib import Path


class TitlePipeline:
    """Changes items, and writes nothing: a dry run may run it."""

    dry_run_safe = True

    def process_item(self, item):
        item["title"] = item["title"].title()
        return item


class RowsPipeline:
    """Writes: a dry run leaves it out, and asks whether it could."""

    @classmethod
    def dry_run_check(cls, settings):
        path = settings["ROWS_FILE"]
        if not Path(path).exists():
            raise FileNotFoundError(
                f"ROWS_FILE: there is no {path}: make it with the table rows"
            )
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
            database.execute("SELECT title FROM rows LIMIT 0")
        return f"{path} has its table"

    @classmethod
    def from_crawler(cls, crawler):
        self = cls()
        self.database = sqlite3.connect(crawler.settings["ROWS_FILE"], isolation_level=None)
        return self

    def process_item(self, item):
        self.database.execute("INSERT INTO rows (title) VALUES (?)", (item["title"],))
        return item

"""Exporters, filters, storages and feed exporters of the user's own."""

from __future__ import annotations

import json

import pytest
from crawls import SHOP, check_same

pytestmark = pytest.mark.integration

EXPORTERS = """
    from scrapy.exporters import CsvItemExporter, JsonLinesItemExporter
    from shop import Base

    class Shop(Base): pass

    class Framed(JsonLinesItemExporter):
        def start_exporting(self):
            self.file.write(b'{"items": [')
            self.first = True

        def export_item(self, item):
            self.file.write(b"" if self.first else b",")
            self.first = False
            super().export_item(item)

        def finish_exporting(self):
            self.file.write(b"]}")

    class Late(CsvItemExporter):
        def __init__(self, file, **kwargs):
            super().__init__(file, **{**kwargs, "encoding": "utf-8-sig"})
            self.rows = []

        def export_item(self, item):
            self.rows.append(item)

        def finish_exporting(self):
            for row in self.rows:
                super().export_item(row)
            super().finish_exporting()
"""


def skus(items):
    """What tells the items apart."""
    return [item["sku"] for item in items]


@pytest.mark.parametrize("batch", [0, 30])
def test_exporters(crawl, batch):
    """One with a head and a foot, and one that buffers, write whole feeds over kills."""
    name = "%(batch_id)d." if batch else ""
    job = crawl(
        EXPORTERS,
        FEEDS={f"{name}framed": {"format": "framed"}, f"{name}late": {"format": "late"}},
        FEED_EXPORTERS={"framed": "spider.Framed", "late": "spider.Late"},
        FEED_EXPORT_BATCH_ITEM_COUNT=batch,
        FEED_EXPORT_ENCODING=None,
    )

    job.survive(kills=2, commits=2)

    framed, late = [], []
    for path in job.folder.glob("*framed"):
        framed += json.loads(path.read_text())["items"]
    for path in job.folder.glob("*late"):
        assert path.read_bytes().startswith(b"\xef\xbb\xbfhost,")
        late += path.read_text("utf-8-sig").splitlines()[1:]
    check_same(skus(framed), skus(job.site.expected_items()))
    check_same([line.split(",")[2] for line in late], skus(job.site.expected_items()))


REFUSED = """
    from pathlib import Path
    from shop import Base

    class Shop(Base):
        def parse(self, response):
            for item in self.products(response):
                if item["page"] == 3 and not Path("mended").exists():
                    yield {"sku": item["sku"], **BAD}
                else:
                    yield item
            yield from self.links(response)
"""
FEEDS = {
    "items.jsonl": {"format": "jsonlines"},
    "items.csv": {"format": "csv"},
    "items.json": {"format": "json"},
}


@pytest.mark.parametrize("bad", ['{"host": object()}', '{None: "no name"}'])
def test_items_that_a_feed_refuses(crawl, bad):
    """They are in no feed, not scraped, and dead letters; a replay brings each once."""
    job = crawl(REFUSED.replace("**BAD", f"**{bad}"), FEEDS=FEEDS)
    expected = job.site.expected_items()
    bad = [item for item in expected if item["page"] == 3]

    run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert run.stats["item_scraped_count"] == len(expected) - len(bad)
    listed = json.loads(job.run("resilience", "deadletters", "job", "--json").out)
    assert {row["kind"] for row in listed} == {"pipeline"}
    assert {row["reason"] for row in listed} == {"a feed has refused the item"}
    assert all("items.jsonl can't hold the item: TypeError" in r["exception"] for r in listed)
    assert {row["url"].rpartition("/")[2] for row in listed} == {"3"}
    job.check_items([item for item in expected if item["page"] != 3])

    job.write("mended", "")
    job.path("items.json").unlink()
    assert job.run("resilience", "replay", "job").code == 0
    job.finish()
    job.check_items(expected)
    check_same(skus(json.loads(job.path("items.json").read_text())), skus(bad))


def test_items_that_a_feed_refuses_over_kills(crawl):
    """Whatever is killed, the others are in each feed once, and nothing of those."""
    job = crawl(REFUSED.replace("**BAD", '"host": object()'), FEEDS=FEEDS)

    for _ in range(2):
        job.run_until(commits=1)
    run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    expected = [item for item in job.site.expected_items() if item["page"] != 3]
    job.check_items(expected)
    check_same(skus(json.loads(job.path("items.json").read_text())), skus(expected))


def test_a_filter_that_a_function_makes(crawl):
    """A factory in FEEDS works as in Scrapy."""
    job = crawl(
        """
        from scrapy.extensions.feedexport import ItemFilter
        from shop import Base

        class Shop(Base): pass

        class Odd(ItemFilter):
            def accepts(self, item):
                return item["page"] % 2 == 1

        def odd(options):
            return Odd(options)
        """,
        FEEDS={"items.jsonl": {"format": "jsonlines", "item_filter": "spider.odd"}},
    )

    job.survive(kills=1, commits=2)

    job.check_items([i for i in job.site.expected_items() if i["page"] % 2], table=None)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_exporter_that_can_not_be_made(crawl, kind):
    """It ends the crawl at the start, in one line, and not each item."""
    options = {"format": kind, "item_export_kwargs": {"no_such": 1}}
    job = crawl(SHOP, FEEDS={"items.jsonl": {"format": "jsonlines"}, "feed": options})

    run = job.run()

    run.check_refused("the feed feed can't be opened: TypeError", "no_such")


FEED_EXPORTER = """
    from pathlib import Path

    from scrapy.extensions.feedexport import FeedExporter
    from shop import Base

    class Shop(Base): pass

    class Sending(FeedExporter):
        def __init__(self, crawler):
            super().__init__(crawler)
            self.told = []

        def open_spider(self, spider):
            self.told.append("opened")
            super().open_spider(spider)

        async def close_spider(self, spider):
            await super().close_spider(spider)
            Path("told").write_text(" ".join([*self.told, "closed"]))

        def _get_uri_params(self, spider, function, slot=None):
            return {**super()._get_uri_params(spider, function, slot), "place": "there"}

    class Changing(FeedExporter):
        def item_scraped(self, item, spider):
            super().item_scraped({"sku": item["sku"]}, spider)
"""
THEIRS = {
    "FEEDS": {"%(place)s.jsonl": {"format": "jsonlines"}, "%(place)s.csv": {"format": "csv"}},
    "EXTENSIONS": {"scrapy.extensions.feedexport.FeedExporter": None, "spider.Sending": 0},
}


def test_a_feed_exporter(crawl):
    """One that is derived from Scrapy's does what it does, and its feeds are exact."""
    job = crawl(FEED_EXPORTER, **THEIRS)

    job.survive(kills=2, commits=2)

    job.check_items(jsonl="there.jsonl", table="there.csv")
    assert job.path("told").read_text() == "opened closed"


def test_a_feed_exporter_that_can_not_be_covered(crawl):
    """One that overrides what ours does is refused, and runs uncovered where that is wanted."""
    extensions = {"scrapy.extensions.feedexport.FeedExporter": None, "spider.Changing": 0}
    job = crawl(FEED_EXPORTER, EXTENSIONS=extensions)

    job.run().check_refused(
        "spider.Changing overrides item_scraped", "RESILIENCE_FEEDS_ENABLED"
    )
    assert not job.job.exists()

    job.configure(RESILIENCE_FEEDS_ENABLED=False)
    run = job.run()
    run.check_finished()
    assert "The feeds of Changing are not covered by the checkpoint" in run.log
    check_same(skus(job.items()), skus(job.site.expected_items()))


MEMORY = """
    from scrapy.extensions.feedexport import ItemFilter
    from shop import Base

    class Shop(Base): pass

    class FirstOfPage(ItemFilter):
        def __init__(self, options):
            super().__init__(options)
            self.pages = set()

        def accepts(self, item):
            page = item["host"], item["page"]
            new = page not in self.pages
            self.pages.add(page)
            return new

    class Remembering(FirstOfPage):
        def get_state(self):
            return self.pages

        def set_state(self, pages):
            self.pages = pages

    class FirstOfHost(Remembering):
        def accepts(self, item):
            return super().accepts({**item, "page": 0})
"""


def test_a_filter_that_remembers(crawl):
    """What a filter gives is part of the commits: over kills it accepts what it would have."""
    feeds = {
        "items.jsonl": {"format": "jsonlines", "item_filter": "spider.FirstOfHost"},
        "pages.json": {"format": "json", "item_filter": "spider.Remembering"},
    }
    job = crawl(MEMORY, FEEDS=feeds)

    job.survive(kills=3, commits=1)

    hosts = {item["host"] for item in job.site.expected_items()}
    pages = {(item["host"], item["page"]) for item in job.site.expected_items()}
    check_same([item["host"] for item in job.items()], hosts)
    found = json.loads(job.path("pages.json").read_text())
    check_same([(item["host"], item["page"]) for item in found], pages)


def test_a_filter_that_forgets(crawl):
    """A filter that seems to remember, and gives nothing, is named at the start."""
    options = {"format": "jsonlines", "item_filter": "spider.FirstOfPage"}
    job = crawl(MEMORY, FEEDS={"items.jsonl": options}, CLOSESPIDER_PAGECOUNT=1)

    run = job.run()

    assert (
        "What the item filter FirstOfPage of the feed items.jsonl remembers is lost" in run.log
    )


STORAGE = """
    from pathlib import Path
    from shop import Base

    class Shop(Base): pass

    class Storage:
        def __init__(self, uri, *, feed_options=None):
            self.path = Path(uri.partition("://")[2])

        def open(self, spider):
            return Path(f"{self.path}.draft").open("wb")

        def store(self, file):
            file.close()
            Path(f"{self.path}.draft").replace(self.path)

    class Replacing(Storage):
        resilience_replaces = True
"""


@pytest.mark.parametrize("name", ["Storage", "Replacing"])
def test_a_storage(crawl, name):
    """One that says that it replaces has the feed of a stop; another one is named."""
    job = crawl(
        STORAGE,
        FEEDS={"mine://feed.json": {"format": "json"}},
        FEED_STORAGES={"mine": f"spider.{name}"},
        CLOSESPIDER_ITEMCOUNT=40,
    )

    run = job.run()

    assert ("nobody knows whether Storage replaces" in run.log) is (name == "Storage")
    assert job.path("feed.json").exists() is (name == "Replacing")
    job.configure(CLOSESPIDER_ITEMCOUNT=0)
    job.survive(kills=1, commits=2)
    check_same(
        skus(json.loads(job.path("feed.json").read_text())), skus(job.site.expected_items())
    )

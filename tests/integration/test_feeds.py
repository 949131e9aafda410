"""Feeds of a job that is killed and resumed."""

from __future__ import annotations

import json
from contextlib import suppress
from math import inf
from pathlib import Path

import pytest
from crawls import SHOP, check_same

pytestmark = pytest.mark.integration


def jsonl(name, **options):
    """FEEDS with one JSON Lines feed."""
    return {name: {"format": "jsonlines", **options}}


def skus(rows):
    """What tells the items apart."""
    return [row["sku"] for row in rows]


def all_items(job, pattern):
    """The items of all feeds that the pattern finds."""
    return [
        json.loads(line)
        for path in sorted(job.folder.glob(pattern))
        for line in path.read_text("utf-8").splitlines()
    ]


def test_overwrite_on_the_command_line(crawl):
    """-O on a resume goes on with the feed and does not empty it."""
    job = crawl(SHOP, FEEDS={})

    job.survive("crawl", "shop", "-O", "items.jsonl", kills=2, commits=2)

    job.check_items(table=None)


def test_overwrite_of_an_old_file(crawl):
    """Overwrite empties a file of before the job once, at the first run's first item."""
    job = crawl(SHOP, FEEDS=jsonl("items.jsonl", overwrite=True))
    job.write("items.jsonl", '{"sku": "old"}\n')

    job.survive(kills=2, commits=2)

    job.check_items(table=None)


def test_append_to_an_old_file(crawl):
    """Without overwrite the lines of before the job stay, whatever is cut."""
    job = crawl(SHOP, FEEDS=jsonl("items.jsonl", overwrite=False))
    job.write("items.jsonl", '{"sku": "old"}\n')

    job.survive(kills=2, commits=2)

    assert job.items()[0] == {"sku": "old"}
    job.check_items([{"sku": "old"}, *job.site.expected_items()], table=None)


def test_empty_feeds(crawl):
    """A resume without items leaves the items of the first run in the feed."""
    job = crawl(
        """
        from shop import Base
        class Shop(Base):
            def parse(self, response):
                many, self.state["many"] = self.state.get("many"), True
                if not many:
                    yield from self.products(response)
                yield from self.links(response)
        """,
        FEEDS=jsonl("items.jsonl", overwrite=True, store_empty=True),
    )

    job.survive(kills=2, commits=1)

    assert len(job.items()) == 2


CHANGING = """
    from shop import Base, number
    class Shop(Base):
        def parse(self, response):
            extra = "odd" if number(response) % 2 else "even"
            for item in self.products(response):
                yield {"sku": item["sku"], extra: "yes", "name": item["name"]}
            yield from self.links(response)
"""


def test_csv_columns(crawl):
    """A CSV feed has one header, and the columns of its first item to its end."""
    job = crawl(CHANGING, FEEDS={"items.csv": {"format": "csv"}})
    job.run_until(commits=2)
    header = job.path("items.csv").read_text().splitlines()[0]

    job.survive(kills=2, commits=1)

    lines = job.path("items.csv").read_text().splitlines()
    assert lines[0] == header == "sku,even,name"
    assert lines.count(header) == 1
    assert {line.count(",") for line in lines} == {2}
    job.check_items(jsonl=None)


@pytest.mark.parametrize(
    "fields", [["sku", "page"], {"sku": "Number", "page": "Page"}], ids=["list", "map"]
)
def test_csv_fields(crawl, fields):
    """Chosen and renamed CSV fields are the same after a resume."""
    job = crawl(SHOP, FEEDS={"items.csv": {"format": "csv", "fields": fields}})

    job.survive(kills=2, commits=1)

    lines = job.path("items.csv").read_text().splitlines()
    assert lines[0] == ",".join(fields.values() if isinstance(fields, dict) else fields)
    check_same([line.split(",")[0] for line in lines[1:]], skus(job.site.expected_items()))


@pytest.mark.parametrize(
    "uri", ["items-%(batch_id)d.jsonl", "out/%(batch_time)s-%(batch_id)05d.jsonl"]
)
def test_batches(crawl, uri):
    """Batches go on with their number and size, and together hold each item once."""
    job = crawl(SHOP, FEEDS=jsonl(uri), FEED_EXPORT_BATCH_ITEM_COUNT=25)

    job.survive(kills=2, commits=1)

    pattern = "out/*.jsonl" if "/" in uri else "items-*.jsonl"
    check_same(skus(all_items(job, pattern)), skus(job.site.expected_items()))
    files = list(job.folder.glob(pattern))
    numbers = sorted(int(path.stem.rpartition("-")[2]) for path in files)
    assert numbers == list(range(1, len(numbers) + 1))
    sizes = [len(path.read_text().splitlines()) for path in files]
    assert max(sizes) <= 25
    assert len(sizes) == pytest.approx(len(job.site.expected_items()) / 25, abs=1)


def test_csv_batches(crawl):
    """Each CSV batch has one header."""
    job = crawl(
        SHOP, FEEDS={"items-%(batch_id)d.csv": {"format": "csv", "batch_item_count": 30}}
    )

    job.survive(kills=2, commits=1)

    found = []
    for path in job.folder.glob("items-*.csv"):
        rows = job.csv_rows(path.name)
        assert "sku" not in skus(rows)
        found += skus(rows)
    check_same(found, skus(job.site.expected_items()))


def test_batches_that_are_taken_away(crawl):
    """A full batch that somebody has taken away does not stop a resume."""
    job = crawl(SHOP, FEEDS=jsonl("items-%(batch_id)d.jsonl"), FEED_EXPORT_BATCH_ITEM_COUNT=10)
    taken = []
    for _ in range(3):
        run = job.run_until(commits=2)
        if run.code == 0:
            break
        known = {record["path"] for record in job.states("resilience.feed/")}
        for path in job.folder.glob("items-*.jsonl"):
            if str(path) not in known:  # a commit has let it go
                taken += [json.loads(line)["sku"] for line in path.read_text().splitlines()]
                path.unlink()
    else:
        job.finish()

    assert taken
    check_same(taken + skus(all_items(job, "items-*.jsonl")), skus(job.site.expected_items()))


def test_time_in_the_name(crawl):
    """A feed with %(time)s in its name goes on in the file of the first run."""
    job = crawl(SHOP, FEEDS=jsonl("items-%(time)s.jsonl"))

    job.run_until(commits=2)
    first = [path.name for path in job.folder.glob("items-*.jsonl")]
    job.survive(kills=1, commits=1, at_least=1)

    assert [path.name for path in job.folder.glob("items-*.jsonl")] == first
    job.check_items(jsonl=first[0], table=None)


def test_item_filters(crawl):
    """Feeds with filters hold what they accept, once."""
    job = crawl(
        """
        from shop import Base
        from scrapy.extensions.feedexport import ItemFilter
        class Shop(Base): pass
        class Odd(ItemFilter):
            def accepts(self, item):
                return item["page"] % 2 == 1
        class First(ItemFilter):
            def accepts(self, item):
                return item["host"] == "h0.test"
        """,
        FEEDS={
            "odd.jsonl": {"format": "jsonlines", "item_filter": "spider.Odd"},
            "first.csv": {"format": "csv", "item_filter": "spider.First"},
            "none.csv": {"format": "csv", "item_classes": ["decimal.Decimal"]},
        },
    )

    job.survive(kills=2, commits=1)

    items = job.site.expected_items()
    check_same(skus(job.items("odd.jsonl")), skus(i for i in items if i["page"] % 2))
    check_same(
        skus(job.csv_rows("first.csv")), skus(i for i in items if i["host"] == "h0.test")
    )


def test_items_that_no_feed_takes(crawl):
    """Items that a pipeline drops come into no feed, in no run."""
    job = crawl(
        """
        from scrapy.exceptions import DropItem
        from shop import Base
        class Shop(Base): pass
        class Drop:
            def process_item(self, item):
                if item["page"] % 3 == 0:
                    raise DropItem("a third", log_level="DEBUG")
                return item
        """,
        ITEM_PIPELINES={"spider.Drop": 1},
    )

    job.survive(kills=2, commits=1)

    job.check_items([item for item in job.site.expected_items() if item["page"] % 3])


def test_an_item_that_a_feed_cannot_write(plain_crawl):
    """An error of one feed at one item leaves the other items and feeds whole."""
    job = plain_crawl(
        """
        from shop import Base, number
        class Shop(Base):
            def parse(self, response):
                for item in self.products(response):
                    yield item
                if number(response) == 5:
                    yield {"sku": "bad", "host": object()}
                yield from self.links(response)
        """,
        FEEDS={"items.jsonl": {"format": "jsonlines"}},
    )

    for _ in range(2):
        job.run_until(commits=1)
    run = job.run()

    assert run.code == 0, run
    job.check_items(table=None)


def test_absolute_uris_and_folders(crawl, tmp_path):
    """file:// URIs and feeds in folders that do not exist yet go on after a kill."""
    path = tmp_path / "deep" / "er" / "ünï items.jsonl"
    job = crawl(SHOP, FEEDS=jsonl(path.as_uri()))

    job.survive(kills=2, commits=1)

    check_same(skus(all_items(job, "deep/er/*.jsonl")), skus(job.site.expected_items()))


def test_no_feeds(crawl):
    """A job without feeds runs and resumes."""
    job = crawl(SHOP, FEEDS={})

    run = job.survive(kills=2, commits=1)

    assert run.stats["resilience/total/item_scraped_count"] == len(job.site.expected_items())


def test_a_second_feed_in_the_second_run(crawl):
    """A feed that a resume adds holds the items from then on; the old one holds all."""
    job = crawl(SHOP, FEEDS=jsonl("items.jsonl"))
    job.run_until(commits=2)
    before = job.commits()
    job.configure(FEEDS={**jsonl("items.jsonl"), **jsonl("more.jsonl")})
    assert before

    job.finish()

    job.check_items(table=None)
    assert {item["sku"] for item in job.items("more.jsonl")} < {
        item["sku"] for item in job.items()
    }


def test_no_feed_any_more(crawl):
    """A feed that is missed on a resume is named, also when it was the only one."""
    job = crawl(SHOP, FEEDS={"items.jsonl": {"format": "jsonlines"}})
    job.run_until(commits=2)
    job.configure(FEEDS={})

    run = job.run()

    assert run.code == 0, run
    assert "The feed items.jsonl of the last run is not in FEEDS any more" in run.log


# --- batches that came after the snapshot to which a job goes back -------------------------


def damage(job):
    """Leave a store that nobody can read."""
    for path in job.job.glob("resilience.db*"):
        path.write_bytes(bytes(path.stat().st_size))


def in_batches(job, kind):
    """The items of all batches."""
    found = []
    for path in job.folder.glob("b-*"):
        if kind == "csv":
            found += job.csv_rows(path.name)
        elif kind == "json":
            found += json.loads(path.read_text())
        else:
            found += job.items(path.name)
    return found


def batches_behind_a_snapshot(crawl, kind, name):
    """A job that was killed some batches behind its last snapshot."""
    job = crawl(
        SHOP,
        FEEDS={name: {"format": kind, "batch_item_count": 7}},
        RESILIENCE_SNAPSHOT_ITEMS=60,
        RESILIENCE_SNAPSHOT_INTERVAL=0,
    )

    def times(pattern):
        for path in job.folder.glob(pattern):
            with suppress(FileNotFoundError):  # of a batch that has another name now
                yield path.stat().st_mtime

    def far_behind():
        made = max(times("job/snapshots/*.snapshot"), default=inf)
        return sum(time > made for time in times("b-*")) >= 4

    job.run_until(until=far_behind)
    assert job.kills == 1
    return job


@pytest.mark.parametrize("name", ["b-%(batch_id)d", "b-%(batch_time)s-%(batch_id)d"])
@pytest.mark.parametrize("kind", ["jsonlines", "csv", "json"])
def test_batches_after_a_snapshot(crawl, kind, name):
    """When a damaged job goes back to a snapshot, all batches together hold each item once."""
    job = batches_behind_a_snapshot(crawl, kind, name)
    damage(job)

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    assert "going on from the snapshot" in run.log
    check_same(skus(in_batches(job, kind)), skus(job.site.expected_items()))
    assert not list(job.folder.glob("*.part"))


def batches_let_go(job):
    """The full batches that no commit needs any more: whoever reads them may take them."""
    lines = (job.job / "resilience.batches").read_text().split("\n")
    noted = [json.loads(line) for line in lines if line.endswith("}")]
    return [Path(each["record"]["path"]) for each in noted if each["over"]]


def test_batches_after_a_snapshot_that_were_taken_away(crawl):
    """Somebody may have them: what came before the snapshot is not made again."""
    job = batches_behind_a_snapshot(crawl, "jsonlines", "b-%(batch_id)d")
    let_go = batches_let_go(job)
    assert let_go
    taken = {sku for path in let_go for sku in skus(job.items(path.name))}
    for path in let_go:
        path.unlink()
    damage(job)

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    found = skus(in_batches(job, "jsonlines"))
    assert len(found) == len(set(found))
    assert taken | set(found) == set(skus(job.site.expected_items()))
    assert taken - set(found)


@pytest.mark.parametrize("kind", ["jsonlines", "json"])
def test_batches_of_a_finished_job_that_goes_back(crawl, kind):
    """Batches after the snapshot that ``restore`` puts back are written anew."""
    job = crawl(
        SHOP,
        FEEDS={"b-%(batch_time)s-%(batch_id)d": {"format": kind, "batch_item_count": 7}},
        RESILIENCE_SNAPSHOT_ITEMS=60,
        RESILIENCE_SNAPSHOT_INTERVAL=0,
    )
    job.finish()
    names = sorted(path.name for path in job.folder.glob("b-*"))
    ident = sorted(path.stem for path in job.job.glob("snapshots/*.snapshot"))[1]
    assert job.run("resilience", "restore", "job", ident).code == 0

    job.run_until(commits=2)
    job.finish()

    assert sorted(path.name for path in job.folder.glob("b-*")) == names
    check_same(skus(in_batches(job, kind)), skus(job.site.expected_items()))

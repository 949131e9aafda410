"""Pages of last night are skipped, and none that it has not brought."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from crawls import BUSY, KILLED, Crawl, check_same
from web import serving

pytestmark = pytest.mark.integration

PRODUCTS = 60
SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"
KILLED_AT = """

import os, signal
from scrapy_resilience.failpoints import reached

step, _, times = os.environ.get("KILL_AT", "").partition(":")
left = int(times or 1)

def kill(name):
    global left
    left -= name == step
    if name == step and not left:
        os.kill(os.getpid(), signal.SIGKILL)

reached.append(kill)
"""
SETTINGS = {
    **BUSY,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 3,
    "RESILIENCE_SEEN_STORE": "seen/%(spider)s.seen",
    "RESILIENCE_CHECKPOINT_INTERVAL": 0.1,
    "RETRY_ENABLED": False,
}


class Shop:
    """A list of products on a.test and b.test; only a.test has ETags."""

    def __init__(self):
        self.prices = dict.fromkeys(range(PRODUCTS), 1)
        self.conditional = 0

    def __call__(self, host, path, _count):
        time.sleep(0.03)
        if path == "/":
            numbers = range(host == "b.test", PRODUCTS, 2)
            return 200, {}, "".join(f"<a href=/p/{n}>{n}</a>" for n in numbers).encode()
        body = f"<p>{self.prices[int(path[3:])]}</p>".encode()
        if host == "b.test":
            return 200, {}, body
        etag = f'"{sha256(body).hexdigest()}"'
        asked = self.web.request.headers.get("If-None-Match")
        self.conditional += asked is not None
        return (304, {"ETag": etag}) if asked == etag else (200, {"ETag": etag}, body)

    def change(self, *numbers):
        """Other prices, tonight."""
        for number in numbers:
            self.prices[number] += 1


@pytest.fixture
def shop():
    """The shop, and a server for it."""
    found = Shop()
    with serving(found) as found.web:
        yield found


@pytest.fixture
def nightly(tmp_path, shop, rng):
    """A crawl of it; each night has a job and a feed of its own."""
    urls = [shop.web.url(host) for host in ("a.test", "b.test")]
    source = (SNIPPETS / "nightly_spider.py").read_text("utf-8") + KILLED_AT
    return Crawl(tmp_path, source, None, rng, URLS=urls, **SETTINGS)


def night(job, number, **more):
    """Begin another one."""
    feeds = {f"{number}.jsonl": {"format": "jsonlines"}}
    job.configure(JOBDIR=f"job{number}", FEEDS=feeds, **more)
    job.kills = 0
    job.code = None


def skus(job, number):
    """What a night has brought."""
    return [item["sku"] for item in job.items(f"{number}.jsonl")]


def products_asked(shop):
    """The products that were asked for since the last look."""
    found = [path for _, _, path in shop.web.asked if path != "/"]
    shop.web.asked.clear()
    return found


def test_two_nights_with_a_kill_each(nightly, shop):
    """The second brings what has changed, once; a third, with nothing due, asks for none."""
    night(nightly, 1)
    nightly.survive(kills=1)
    check_same(skus(nightly, 1), range(PRODUCTS))

    shop.change(3, 4, 50)
    products_asked(shop)
    night(nightly, 2, RESILIENCE_SEEN_AGE=0.01)
    nightly.survive(kills=1)
    check_same(skus(nightly, 2), [3, 4, 50])
    assert len(products_asked(shop)) >= PRODUCTS
    assert shop.conditional >= PRODUCTS // 2

    shop.change(5)
    night(nightly, 3, RESILIENCE_SEEN_AGE=3_600)
    run = nightly.finish()
    assert (skus(nightly, 3), products_asked(shop)) == ([], [])
    assert run.stats["resilience/seen/skipped"] == PRODUCTS
    assert "downloader/response_status_count/404" not in run.stats


@pytest.mark.parametrize("step", ["commit/sealed:3", "commit/written:3", "commit/done:3"])
def test_a_job_that_is_given_up_has_marked_nothing_too_much(nightly, shop, step):
    """What it has not brought is asked for by the next one, and nothing else."""
    night(nightly, 1)
    assert nightly.run(env={"KILL_AT": step}).code == KILLED
    totals = nightly.state("resilience.totals")
    brought = totals.get("item_scraped_count", 0)
    products_asked(shop)

    night(nightly, 2)
    nightly.finish()
    asked = len({*products_asked(shop)})  # a busy machine may ask for one twice
    assert PRODUCTS - brought <= asked <= PRODUCTS
    left_out = set(range(PRODUCTS)) - set(skus(nightly, 2))
    assert left_out <= set(skus(nightly, 1)[:brought])


def test_a_job_that_goes_back_takes_back_what_it_has_seen(nightly, shop):
    """After a restore the pages beyond are brought again, and then are seen."""
    night(nightly, 1, RESILIENCE_SNAPSHOT_ITEMS=10)
    nightly.run_until(number=signal.SIGTERM, until=lambda: shop.web.counts["a.test"] > 25)
    listed = json.loads(nightly.run("resilience", "checkpoints", "job1", "--json").out)
    assert nightly.run("resilience", "restore", "job1", listed[-1]["id"]).code == 0
    run = nightly.finish()
    assert "are taken back" in run.log
    check_same(skus(nightly, 1), range(PRODUCTS))

    products_asked(shop)
    night(nightly, 2)
    nightly.finish()
    assert (skus(nightly, 2), products_asked(shop)) == ([], [])
    show = nightly.run("resilience", "seen", "seen/shop.seen", "--json")
    found = json.loads(show.out)
    assert (found["pages"], found["urls"], found["undo"]) == (PRODUCTS, PRODUCTS, 0)

    forgotten = nightly.run("resilience", "seen", "seen/shop.seen", "forget", "*/p/1?")
    assert "10 pages forgotten" in forgotten.out
    night(nightly, 3)
    nightly.finish()
    check_same(skus(nightly, 3), range(10, 20))
    exported = nightly.run("resilience", "seen", "seen/shop.seen", "export")
    assert len(exported.out.splitlines()) == PRODUCTS


BREAKS = """
import sqlite3
from scrapy_resilience.seen.store import SeenStore

found, calls = SeenStore.find, []

def find(self, ident):
    calls.append(ident)
    if len(calls) > 20:
        raise sqlite3.DatabaseError("database disk image is malformed")
    return found(self, ident)

SeenStore.find = find
"""


def test_damage_that_is_found_on_the_way(nightly):
    """The crawl is closed, and goes on when the store is well."""
    night(nightly, 1)
    source = nightly.path("spider.py").read_text("utf-8")
    nightly.write("spider.py", source + BREAKS)
    run = nightly.run()
    assert (run.code, run.reason) == (1, "resilience_storage")
    assert "is damaged: database disk image is malformed. Put a copy" in run.log
    nightly.write("spider.py", source)
    nightly.finish()
    check_same(skus(nightly, 1), range(PRODUCTS))


def test_a_row_that_a_database_refuses(nightly, shop):
    """Its page is asked for again: all others are in the database."""
    with closing(sqlite3.connect(nightly.path("shop.db"))) as database:
        database.execute(
            "CREATE TABLE items(sku INTEGER PRIMARY KEY, price TEXT CHECK(price<>'9'))"
        )
    shop.prices[7] = 9
    sink = {"RESILIENCE_SQL_URL": "sqlite:///shop.db", "RESILIENCE_SQL_KEY": ["sku"]}
    night(nightly, 1, **sink)
    first = nightly.run()
    assert first.stats["resilience/sql/bad_rows"] == 1
    assert len(products_asked(shop)) == PRODUCTS
    night(nightly, 2)
    nightly.run()
    assert products_asked(shop) == ["/p/7"]


MANY = """
    import scrapy
    from scrapy.exceptions import DropItem

    class Fails:
        def process_item(self, item):
            if item["path"] == "/fails":
                raise ValueError("no")
            if item["path"] == "/dropped":
                raise DropItem("not wanted")
            return item

    class Shop(scrapy.Spider):
        name = "shop"
        custom_settings = {"ITEM_PIPELINES": {"spider.Fails": 300}}
        async def start(self):
            for path in ("leaf", "none", "links", "fails", "dropped", "raises", "old", "meta"):
                yield self.ask(path)
            yield self.ask("start", dont_filter=True)
            yield self.ask("forced", dont_filter=True, meta={"resilience_seen": True})
            yield self.ask("exempt", meta={"resilience_seen": False})
            yield self.ask(f"keyed?{id(self)}", meta={"resilience_seen_key": "k1"})
            yield self.ask("quiet", meta={"resilience_seen": True})
        def ask(self, path, **more):
            return scrapy.Request(self.settings["URLS"][0] + path, **more)
        def parse(self, response):
            path = "/" + response.url.rpartition("/")[2].partition("?")[0]
            if path in ("/none", "/quiet"):
                return
            yield {"path": path}
            if path == "/links":
                yield self.ask("linked", meta=response.meta)
            if path == "/raises":
                raise ValueError("late")
"""


HTML = {"Content-Type": "text/html"}


def answer(_host, path, _count):
    """Redirects, by status and by a tag, as people do."""
    if path == "/old":
        return 302, {"Location": "/new"}
    if path == "/meta":
        return 200, HTML, b"<meta http-equiv=refresh content='0; url=/newer'>"
    return 200, {**HTML, "Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}


@pytest.mark.parametrize("with_job", [True, False])
def test_what_counts_as_seen(tmp_path, with_job):
    """Pages that gave items, none that failed, and what was redirected to them."""
    with serving(answer) as web:
        job = Crawl(tmp_path, MANY, URLS=[web.url("a.test", "/")], **SETTINGS)
        jobs = [f"job{n}" if with_job else None for n in (1, 2)]
        job.configure(JOBDIR=jobs[0], FEEDS={"1.jsonl": {"format": "jsonlines"}})
        first = job.run()
        asked = sorted(path for _, _, path in web.asked)
        web.asked.clear()
        job.configure(JOBDIR=jobs[1], FEEDS={"2.jsonl": {"format": "jsonlines"}})
        second = job.run()
        again = sorted(path for _, _, path in web.asked)

    seen = {"/leaf", "/old", "/new", "/meta", "/newer", "/dropped", "/forced", "/keyed"}
    seen |= {"/quiet", "/linked"}
    assert (first.code, second.code) == (0, 0)
    assert again == sorted(set(asked) - seen)
    check_same([item["path"] for item in job.items("2.jsonl")], ["/exempt", "/raises"])
    assert second.stats["resilience/seen/linking"] == 1
    assert ("Without a JOBDIR" in first.log) is not with_job
    assert "RESILIENCE_SEEN_WITH_LINKS=True" in first.log
    assert second.stats["resilience/seen/unchanged_items"] == 2


@contextmanager
def broken(path, how):
    """A store that can't be used."""
    path.parent.mkdir()
    path.write_bytes(b"no store" * 1000 if how == "garbage" else b"")
    if how == "folder":
        path.unlink()
        path.mkdir()
    yield


@pytest.mark.parametrize(
    ("how", "words"),
    [("garbage", "is damaged: file is not a database"), ("folder", "Is a directory")],
)
def test_a_store_that_cannot_be_used_refuses_the_crawl(nightly, shop, how, words):
    """In one line, before anything is asked for."""
    night(nightly, 1)
    with broken(nightly.path("seen/shop.seen"), how):
        nightly.run().check_refused("RESILIENCE_SEEN_STORE", words)
    nightly.configure(RESILIENCE_SEEN_STORE="job1/x.seen")
    nightly.run().check_refused("RESILIENCE_SEEN_STORE", "lies in the JOBDIR")
    assert shop.web.asked == []
    assert not nightly.path("1.jsonl").exists()

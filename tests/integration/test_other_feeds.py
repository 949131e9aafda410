"""Feeds that can't be cut: each is produced from its spool, however often the job is killed."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import marshal
import os
import pickle
import warnings
from io import StringIO
from itertools import chain
from threading import Thread

import pytest
from crawls import KILLED, SHOP, check_same, wait_until
from scrapy.selector import Selector

pytestmark = pytest.mark.integration


def skus(items):
    """What tells the items apart."""
    return [item["sku"] for item in items]


def from_xml(data):
    """The items of an XML feed."""
    items = Selector(text=data.decode(), type="xml").xpath("/items/item")
    return [{"sku": item.xpath("sku/text()").get()} for item in items]


def from_stream(load):
    """A reader of items one behind the other."""

    def read(data):
        from io import BytesIO  # noqa: PLC0415

        file, items = BytesIO(data), []
        while file.tell() < len(data):
            items.append(load(file))
        return items

    return read


def from_lines(data):
    """The items of JSON Lines."""
    return [json.loads(line) for line in data.splitlines()]


GZIP = {"postprocessing": ["scrapy.extensions.postprocessing.GzipPlugin"]}
BZ2 = {"postprocessing": ["scrapy.extensions.postprocessing.Bz2Plugin"]}
KINDS = {
    "json": ({"format": "json"}, json.loads),
    "xml": ({"format": "xml"}, from_xml),
    "pickle": ({"format": "pickle"}, from_stream(pickle.load)),
    "marshal": ({"format": "marshal"}, from_stream(marshal.load)),
    "gzip": ({"format": "jsonlines", **GZIP}, lambda data: from_lines(gzip.decompress(data))),
    "bz2": (
        {"format": "csv", **BZ2},
        lambda data: list(csv.DictReader(StringIO(bz2.decompress(data).decode()))),
    ),
}


def check(job, data, read):
    """A feed holds all items of the site, each once."""
    check_same(skus(read(data)), skus(job.site.expected_items()))


def no_leftovers(job):
    """Neither spools nor unfinished feeds are left."""
    assert list(job.job.glob("spool/*")) == []
    assert list(job.folder.glob("*.part")) == []


def test_each_kind(crawl):
    """A feed of each kind holds every item once after kills."""
    feeds = {f"feed.{kind}": options for kind, (options, _) in KINDS.items()}
    job = crawl(SHOP, FEEDS={**feeds, "items.jsonl": {"format": "jsonlines"}})

    job.survive(kills=2, commits=2)

    for kind, (_, read) in KINDS.items():
        check(job, job.path(f"feed.{kind}").read_bytes(), read)
    job.check_items(table=None)
    no_leftovers(job)


def test_batches(crawl):
    """Full batches of a JSON feed are produced while the crawl runs, each item is in one."""
    job = crawl(SHOP, FEEDS={"b-%(batch_id)d.json": {"format": "json", "batch_item_count": 40}})

    job.survive(kills=2, commits=1)

    batches = [json.loads(path.read_text()) for path in sorted(job.folder.glob("b-*.json"))]
    check_same(skus(chain.from_iterable(batches)), skus(job.site.expected_items()))
    assert sorted(map(len, batches)) == [40] * 6
    no_leftovers(job)


def test_batches_that_no_commit_has_seen(crawl):
    """Batches that were filled since the last commit are produced again, in their order."""
    feeds = {"b-%(batch_id)d.json": {"format": "json", "batch_item_count": 20}}
    job = crawl(SHOP, FEEDS=feeds, RESILIENCE_CHECKPOINT_INTERVAL=60)
    job.run_until(until=job.path("b-3.json").exists, spread=0)
    assert job.commits() == 0

    job.finish()

    batches = [json.loads(job.path(f"b-{n}.json").read_text()) for n in range(1, 13)]
    check_same(skus(chain.from_iterable(batches)), skus(job.site.expected_items()))
    assert {len(items) for items in batches} == {20}
    no_leftovers(job)


def test_a_stop_writes_what_is_there(crawl):
    """A stopped job has its feed so far, and the resume writes all of it."""
    job = crawl(SHOP, FEEDS={"feed.json": {"format": "json"}}, CLOSESPIDER_ITEMCOUNT=40)
    job.run()
    some = json.loads(job.path("feed.json").read_text())
    assert 40 <= len(some) < 240

    job.configure(CLOSESPIDER_ITEMCOUNT=0)
    job.finish()

    items = json.loads(job.path("feed.json").read_text())
    assert items[: len(some)] == some
    check_same(skus(items), skus(job.site.expected_items()))
    no_leftovers(job)


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_old_file(crawl, overwrite):
    """What stood in a file stays in front with overwrite off, and goes with overwrite."""
    job = crawl(SHOP, FEEDS={"feed.gz": {**KINDS["gzip"][0], "overwrite": overwrite}})
    old = gzip.compress(b'{"sku": "old"}\n')
    job.path("feed.gz").write_bytes(old)

    job.survive(kills=2, commits=2)

    data = job.path("feed.gz").read_bytes()
    assert data.startswith(old) is not overwrite
    kept = [] if overwrite else ["old"]
    check_same(skus(from_lines(gzip.decompress(data))), kept + skus(job.site.expected_items()))


def test_what_others_append_is_kept(crawl):
    """Bytes that others add behind an old file go to a side file, not away."""
    job = crawl(SHOP, FEEDS={"feed.gz": {**KINDS["gzip"][0], "overwrite": False}})
    job.path("feed.gz").write_bytes(gzip.compress(b'{"sku": "old"}\n'))
    job.run_until(commits=2)
    with job.path("feed.gz").open("ab") as file:
        file.write(b"of others")

    job.finish()

    assert [path.read_bytes() for path in job.job.glob("cut/feed.gz.*")] == [b"of others"]
    items = from_lines(gzip.decompress(job.path("feed.gz").read_bytes()))
    check_same(skus(items), ["old", *skus(job.site.expected_items())])


ITEMS = """
    import datetime as dt
    from dataclasses import dataclass
    from decimal import Decimal

    import scrapy
    from scrapy.exporters import PythonItemExporter
    from shop import Base

    @dataclass
    class Card:
        sku: str
        when: dt.datetime
        price: Decimal

    class Row(scrapy.Item):
        sku = scrapy.Field()
        tags = scrapy.Field(serializer=lambda tags: "|".join(sorted(tags)))

    class Shop(Base):
        def products(self, response):
            for number, item in enumerate(super().products(response)):
                sku = item["sku"]
                if number % 2:
                    yield Card(sku, dt.datetime(2026, 1, 2, 3, 4, 5), Decimal("1.50"))
                else:
                    yield Row(sku=sku, tags={"b", "a"})
"""


@pytest.mark.parametrize("pickles", [True, False])
def test_items_of_any_type(crawl, pickles):
    """Dataclasses and items with serializers come to the exporter as what they were."""
    job = crawl(
        ITEMS,
        FEEDS={"feed.json": {"format": "json", "fields": ["sku", "when", "price", "tags"]}},
        RESILIENCE_ALLOW_PICKLE=pickles,
    )

    job.survive(kills=2, commits=2)

    items = json.loads(job.path("feed.json").read_text())
    check_same(skus(items), skus(job.site.expected_items()))
    kinds = {tuple(sorted(item.items() - {("sku", item["sku"])})) for item in items}
    assert kinds == {
        (("price", "1.50"), ("when", "2026-01-02T03:04:05")),
        (("tags", "a|b"),),
    }


# --- storages ----------------------------------------------------------------------------

BROKEN = """
    from pathlib import Path

    from scrapy.extensions.feedexport import BlockingFeedStorage

    class Storage(BlockingFeedStorage):
        def __init__(self, uri, *, feed_options=None):
            self.path = Path(uri.partition("://")[2])

        def _store_in_thread(self, file):
            if Path("away").exists():
                raise OSError("the storage is away")
            file.seek(0)
            with self.path.open("ab") as stored:
                stored.write(file.read())
"""
MINE = {"mine": "storage.Storage"}


def test_a_storage_that_is_away(crawl):
    """A feed that can't be stored keeps its spool and exits with 1; the next run stores it."""
    job = crawl(SHOP, FEEDS={"mine://feed.json": {"format": "json"}}, FEED_STORAGES=MINE)
    job.write("storage.py", BROKEN.replace("\n    ", "\n"))
    job.write("away", "")

    run = job.run()

    assert run.code == 1
    assert "run the job again" in run.log
    assert job.state()["finished"] is False
    assert job.state()["pending"] == 0

    job.path("away").unlink()
    job.finish()
    check(job, job.path("feed.json").read_bytes(), json.loads)
    no_leftovers(job)


STUCK = BROKEN.replace('raise OSError("the storage is away")', "threading.Event().wait()")
STUCK = STUCK.replace("from pathlib", "import threading\n    from pathlib")


def test_a_storage_that_does_not_come_back(crawl):
    """It is given up in time, and keeps neither crawl nor process; the next run stores."""
    job = crawl(
        SHOP,
        FEEDS={"mine://feed.json": {"format": "json"}},
        FEED_STORAGES=MINE,
        RESILIENCE_FEED_TIMEOUT=0.5,
    )
    job.write("storage.py", STUCK.replace("\n    ", "\n"))
    job.write("away", "")

    run = job.run()

    assert run.code == 75
    assert "the storage of mine://feed.json: not done in time" in run.log
    assert "run the job again" in run.log
    assert job.state()["finished"] is False

    job.path("away").unlink()
    job.finish()
    check(job, job.path("feed.json").read_bytes(), json.loads)


def test_batches_of_a_storage_that_comes_back(crawl):
    """Batches that could not be stored at their end are stored when the spider closes."""
    feeds = {"mine://b-%(batch_id)d.json": {"format": "json", "batch_item_count": 60}}
    job = crawl(SHOP, FEEDS=feeds, FEED_STORAGES=MINE)
    job.write("storage.py", BROKEN.replace("\n    ", "\n"))
    job.write("away", "")

    with job.process() as process:
        wait_until(lambda: "the storage is away" in job.last().log)
        job.path("away").unlink()
        run = job.ended(process)

    assert (run.code, run.reason) == (0, "finished")
    batches = [json.loads(path.read_text()) for path in sorted(job.folder.glob("b-*.json"))]
    check_same(skus(chain.from_iterable(batches)), skus(job.site.expected_items()))
    no_leftovers(job)


def test_a_storage_that_appends(crawl):
    """A storage that may append gets its feed once, when the job is over."""
    job = crawl(
        SHOP,
        FEEDS={"mine://feed.jsonl": {"format": "jsonlines"}},
        FEED_STORAGES=MINE,
        CLOSESPIDER_ITEMCOUNT=40,
    )
    job.write("storage.py", BROKEN.replace("\n    ", "\n"))
    job.run()
    assert not job.path("feed.jsonl").exists()

    job.configure(CLOSESPIDER_ITEMCOUNT=0)
    job.finish()

    check(job, job.path("feed.jsonl").read_bytes(), from_lines)


DYING = (
    BROKEN
    + """
            if not Path("died").exists():
                Path("died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
"""
)


def test_a_kill_while_a_feed_is_appended(crawl):
    """A storage that appends gets a feed twice when a kill comes before it has confirmed."""
    feeds = {"mine://feed.jsonl": {"format": "jsonlines"}}
    job = crawl(SHOP, FEEDS=feeds, FEED_STORAGES=MINE)
    job.write("storage.py", "import os, signal" + DYING.replace("\n    ", "\n"))
    assert job.run().code == KILLED

    job.finish()

    twice = skus(job.site.expected_items()) * 2
    check_same(skus(from_lines(job.path("feed.jsonl").read_bytes())), twice)


GCS = """
from pathlib import Path

class Client:
    def __init__(self, project):
        self.place = Path()

    def bucket(self, name):
        self.place /= name
        self.place.mkdir(exist_ok=True)
        return self

    def blob(self, name):
        self.place /= name
        return self

    def upload_from_file(self, file, predefined_acl):
        self.place.write_bytes(file.read())
"""


def test_gcs(crawl):
    """A feed on Google Cloud Storage, of which the client is a fake, holds each item once."""
    job = crawl(SHOP, FEEDS={"gs://bucket/items.json": {"format": "json"}})
    job.path("google/cloud").mkdir(parents=True)
    job.write("google/cloud/storage.py", GCS)

    job.survive(kills=2, commits=2)

    check(job, job.path("bucket/items.json").read_bytes(), json.loads)
    no_leftovers(job)


@pytest.fixture(scope="session")
def s3():
    """``s3.url``: a server that speaks S3; ``s3.get(bucket, key)`` reads an object."""
    import boto3  # noqa: PLC0415
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()

    class S3:
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="key",
            aws_secret_access_key="secret",  # noqa: S106 - of a server on this machine
            region_name="us-east-1",
        )

        def get(self, bucket, key):
            return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

        def keys(self, bucket):
            found = self.client.list_objects_v2(Bucket=bucket).get("Contents", [])
            return sorted(each["Key"] for each in found)

    yield S3()
    server.stop()


def on_s3(s3, bucket):
    """Settings for feeds in a new bucket."""
    s3.client.create_bucket(Bucket=bucket)
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": s3.url,
        "AWS_REGION_NAME": "us-east-1",
    }


def test_s3_and_others_at_once(crawl, s3):
    """Two feeds on S3 and one local one hold the same items, each once."""
    settings = on_s3(s3, "feeds")
    feeds = {
        "s3://feeds/items.json": {"format": "json"},
        "s3://feeds/items.jsonl.gz": KINDS["gzip"][0],
        "items.jsonl": {"format": "jsonlines"},
    }
    job = crawl(SHOP, FEEDS=feeds, **settings)

    job.survive(kills=2, commits=2)

    check(job, s3.get("feeds", "items.json"), json.loads)
    check(job, s3.get("feeds", "items.jsonl.gz"), KINDS["gzip"][1])
    job.check_items(table=None)
    no_leftovers(job)


def test_s3_in_batches(crawl, s3):
    """Batches on S3 that bear the time keep their names over kills: none is there twice."""
    uri = "s3://batches/%(batch_time)s-%(batch_id)d.json"
    feeds = {uri: {"format": "json", "batch_item_count": 50}}
    job = crawl(SHOP, FEEDS=feeds, **on_s3(s3, "batches"))

    job.survive(kills=2, commits=1)

    batches = [json.loads(s3.get("batches", key)) for key in s3.keys("batches")]
    check_same(skus(chain.from_iterable(batches)), skus(job.site.expected_items()))


@pytest.fixture
def ftp(tmp_path):
    """The URL of an FTP server, and its folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of asyncore
        from pyftpdlib.authorizers import DummyAuthorizer  # noqa: PLC0415
        from pyftpdlib.handlers import FTPHandler  # noqa: PLC0415
        from pyftpdlib.servers import FTPServer  # noqa: PLC0415

    root = tmp_path / "ftp"
    root.mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_user("me", "secret", str(root), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    server = FTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"timeout": 0.05, "handle_exit": False})
    thread.start()
    yield f"ftp://me:secret@127.0.0.1:{server.address[1]}", root
    server.close_all()
    thread.join()


def test_ftp(crawl, ftp):
    """A feed on FTP holds each item once, and no secret of its URI is in the log."""
    url, root = ftp
    job = crawl(SHOP, FEEDS={f"{url}/items.xml": {"format": "xml"}})

    job.survive(kills=2, commits=2)

    check(job, (root / "items.xml").read_bytes(), from_xml)


# --- refusals ------------------------------------------------------------------------------


def test_two_jobs_on_one_feed(crawl):
    """A second job that would produce the same file is refused, before it has done anything."""
    job = crawl(SHOP, FEEDS={"feed.json": {"format": "json"}}, DOWNLOAD_DELAY=0.5)
    with job.process():
        wait_until(lambda: job.commits() >= 1)
        job.configure(JOBDIR="other")
        job.run().check_refused("feed.json", "another job")


def test_a_feed_that_can_not_be_opened(crawl):
    """A feed in a folder that can't be made ends the crawl at once, in one line."""
    job = crawl(SHOP, FEEDS={"file/feed.json": {"format": "json"}})
    job.write("file", "not a folder")

    run = job.run()

    assert run.code == 1
    assert "feed.json can't be opened" in run.log
    assert "Traceback" not in run.log


@pytest.mark.parametrize("name", ["/dev/null", "pipe", "stdout:"])
def test_what_is_not_covered(crawl, name):
    """A feed that is not a file is written as it is, with one warning."""
    job = crawl(SHOP, FEEDS={name: {"format": "jsonlines"}})
    os.mkfifo(job.path("pipe"))
    pipe = os.open(job.path("pipe"), os.O_RDWR | os.O_NONBLOCK)

    run = job.run()

    assert run.code == 0
    written = {"pipe": lambda: os.read(pipe, 2**20), "stdout:": run.out.encode}
    if name in written:
        check(job, written[name](), from_lines)
    os.close(pipe)
    assert run.log.count("is not covered by the checkpoint") == 1


def test_a_spool_that_a_kill_has_left(crawl):
    """A finished job that runs again writes nothing of a spool that the last commit let go."""
    feeds = {"feed.json": {"format": "json", "overwrite": True, "store_empty": True}}
    job = crawl(SHOP, FEEDS=feeds)
    job.run_until(commits=3)
    (spool,) = job.job.glob("spool/*")
    left = spool.read_bytes()
    job.finish()
    spool.write_bytes(left)  # as a kill between that commit and the removal leaves it

    job.configure(RESILIENCE_RERUN_START=True)
    job.finish()

    assert json.loads(job.path("feed.json").read_text()) == []


# --- spools that the disk has changed ----------------------------------------------------


def flip_in_spool(job, place):
    """Flip one bit of the only spool, *place* of its length behind its beginning."""
    (path,) = job.job.glob("spool/*")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(data)


@pytest.fixture
def spooling(crawl):
    """A killed job with two snapshots at least and one feed in a spool."""
    job = crawl(
        SHOP,
        FEEDS={"feed.json": {"format": "json"}},
        RESILIENCE_SNAPSHOT_ITEMS=40,
        RESILIENCE_SNAPSHOT_INTERVAL=0,
    )
    job.run_until(until=lambda: len(list(job.job.glob("snapshots/*.snapshot"))) >= 3)
    assert job.kills == 1
    return job


@pytest.mark.parametrize("place", [0, 0.5, 0.95])
def test_a_spool_with_a_flipped_bit(spooling, place):
    """A snapshot takes its place, and the feed holds every item once, as it was."""
    flip_in_spool(spooling, place)

    run = spooling.run()

    assert (run.code, run.reason) == (0, "finished"), run
    feed = json.loads(spooling.path("feed.json").read_text())
    assert sorted(map(str, feed)) == sorted(map(str, spooling.site.expected_items()))
    no_leftovers(spooling)


def test_a_spool_that_was_damaged_before_its_snapshots(crawl):
    """A snapshot that holds the damage is not used, and an older one is."""
    job = crawl(
        SHOP,
        FEEDS={"feed.json": {"format": "json"}},
        RESILIENCE_SNAPSHOT_ITEMS=60,
        RESILIENCE_SNAPSHOT_INTERVAL=0,
        CLOSESPIDER_ITEMCOUNT=70,
    )
    job.run()
    old = set(job.job.glob("snapshots/*.snapshot"))
    job.configure(CLOSESPIDER_ITEMCOUNT=0)
    with job.process() as process:
        wait_until(lambda: "Spider opened" in job.last().log)
        flip_in_spool(job, 0.1)
        wait_until(lambda: set(job.job.glob("snapshots/*.snapshot")) > old or process.poll())
        process.kill()
        job.ended(process)

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    feed = json.loads(job.path("feed.json").read_text())
    assert sorted(map(str, feed)) == sorted(map(str, job.site.expected_items()))


def test_a_damaged_spool_without_a_snapshot(crawl):
    """It is refused in words, and another JOBDIR is a way out."""
    job = crawl(SHOP, FEEDS={"feed.json": {"format": "json"}}, RESILIENCE_SNAPSHOT_INTERVAL=0)
    job.run_until(commits=3)
    for path in job.job.glob("snapshots/*"):
        path.unlink()
    flip_in_spool(job, 0.5)

    job.run().check_refused("is damaged", "no snapshot can take its place", "another JOBDIR")
    assert not job.path("feed.json").exists()

    job.configure(JOBDIR="other")
    job.finish()
    check(job, job.path("feed.json").read_bytes(), json.loads)

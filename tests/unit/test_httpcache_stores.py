"""What all storages of the HTTP cache do, what when their store fails, and what only some."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event

import pytest
from redis_process import running_redis
from scrapy import Request, Spider
from scrapy.downloadermiddlewares.httpcache import HttpCacheMiddleware
from scrapy.extensions.httpcache import RFC2616Policy
from scrapy.http import HtmlResponse, Response, TextResponse
from scrapy.utils.test import get_crawler
from test_httpcache_entries import PricedResponse, same

from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError
from scrapy_resilience.httpcache import redis as redis_storage
from scrapy_resilience.httpcache import sqlite as sqlite_storage
from scrapy_resilience.httpcache import storage as storage_module
from scrapy_resilience.settings import Config

URL = "http://shop.test/"
REQUEST = Request(URL)
UNREAD, UNSTORED = "resilience/httpcache/unread", "resilience/httpcache/unstored"
SECONDS = 60
KINDS = ("Atomic", "SQLite", "Redis")


def page(body=b"<h1>Oak Chair</h1>", cls=HtmlResponse, **values):
    """A page of the shop."""
    return cls(URL, body=body, **values)


def told(caplog):
    """What was logged as a warning, up to the error in it."""
    return [record.getMessage().partition(":")[0] for record in caplog.records]


class Cache:
    """A storage as one process has it, with its spider."""

    def __init__(self, settings, name="shop"):
        self.crawler = get_crawler(Spider, settings)
        self.middleware = HttpCacheMiddleware.from_crawler(self.crawler)
        self.spider = self.crawler.spider = self.crawler._create_spider(name)
        self.storage = self.middleware.storage
        self.storage.open_spider(self.spider)

    def store(self, response, request=REQUEST):
        self.storage.store_response(self.spider, request, response)

    def retrieve(self, request=REQUEST):
        return self.storage.retrieve_response(self.spider, request.copy())

    def settle(self):
        """Wait until all is written that was stored, and the store was opened again."""
        if hasattr(self.storage, "_behind"):
            done = Event()
            self.storage._behind.do(done.set)
            assert done.wait(SECONDS)

    def close(self):
        self.storage.close_spider(self.spider)

    def stat(self, name):
        return self.crawler.stats.get_value(name, 0)


@pytest.fixture(scope="module")
def server(redis_program, tmp_path_factory):
    """A Redis for all tests that leave it as it was."""
    with running_redis(redis_program, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def caches(tmp_path):
    """``caches(kind, …)``: a storage on the same store each time; all are closed in the end."""
    made = []

    def make(kind, name="shop", **settings):
        settings = {
            "HTTPCACHE_ENABLED": True,
            "HTTPCACHE_DIR": str(tmp_path),
            "HTTPCACHE_STORAGE": f"scrapy_resilience.httpcache.{kind}CacheStorage",
            "RESILIENCE_HTTPCACHE_REDIS_TIMEOUT": 10,  # a busy machine is no slow Redis
            **settings,
        }
        made.append(Cache(settings, name))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def on_redis(caches, server):
    """``on_redis(…)``: a storage on an empty Redis."""
    server.client.flushdb()
    url = {"RESILIENCE_HTTPCACHE_REDIS_URL": server.url}
    return lambda *args, **settings: caches("Redis", *args, **{**url, **settings})


@pytest.fixture
def cache_of(caches, request):
    """``cache_of(kind, …)``; only the one on Redis needs a server."""

    def make(kind, *args, **settings):
        if kind == "Redis":
            return request.getfixturevalue("on_redis")(*args, **settings)
        return caches(kind, *args, **settings)

    return make


@pytest.mark.parametrize("kind", KINDS)
class TestContract:
    """What Scrapy, its policies and several processes ask of a storage."""

    @pytest.fixture
    def cache(self, cache_of, kind):
        """``cache(…)``: another process on the same store."""
        return lambda *args, **settings: cache_of(kind, *args, **settings)

    @pytest.mark.parametrize(
        "response",
        [
            page(),
            page(b"\x00\xff" * 50, TextResponse, status=404, flags=["partial"], protocol="h2"),
            page(headers={"Set-Cookie": ["a=1", "b=2"], "X-Odd": b"\xe9\xff"}),
            page(cls=PricedResponse, price=(1, None)),
            page(b""),
        ],
        ids=repr,
    )
    def test_a_page_comes_back(self, cache, response):
        """From the process that stored it at once, and from another one."""
        ours = cache()
        assert ours.retrieve() is None
        ours.store(response)
        assert same(ours.retrieve(), response)
        ours.settle()
        assert same(ours.retrieve(), response)
        ours.close()

        theirs = cache()
        assert same(theirs.retrieve(), response)
        assert (theirs.stat(UNREAD), theirs.stat(UNSTORED)) == (0, 0)

    def test_the_newest_page_counts(self, cache):
        """It takes the place of the one before, whoever stored that."""
        ours, theirs = cache(), cache()
        for body in (b"first", b"second"):
            ours.store(page(body))
        ours.settle()
        assert theirs.retrieve().body == b"second"
        theirs.store(page(b"third"))
        theirs.settle()

        assert ours.retrieve().body == b"third"

    def test_pages_are_told_apart(self, cache):
        """By the request's fingerprint: its method and body, too."""
        ours = cache()
        requests = [REQUEST, Request(URL, method="POST", body=b"a=1"), Request(f"{URL}?page=2")]
        for number, request in enumerate(requests):
            ours.store(page(b"%d" % number), request)
        ours.settle()

        assert [ours.retrieve(each).body for each in requests] == [b"0", b"1", b"2"]

    def test_spiders_have_their_own(self, cache):
        """As Scrapy's storages do; a name may hold anything."""
        names = ["shop", "shop/2", "größe: *"]
        for name in names:
            ours = cache(name)
            assert ours.retrieve() is None
            ours.store(page(name.encode()))
            ours.settle()

        assert [cache(name).retrieve().body.decode() for name in names] == names

    def test_a_page_expires(self, cache, fake_clock, tmp_path):
        """After HTTPCACHE_EXPIRATION_SECS of the process that asks."""
        ours = cache()
        ours.store(page())
        ours.settle()
        fake_clock.advance(100)
        for meta in tmp_path.rglob("pickled_meta"):  # whose time is the file's
            when = meta.stat().st_mtime - 100
            os.utime(meta, (when, when))

        assert cache(HTTPCACHE_EXPIRATION_SECS=50).retrieve() is None
        assert cache(HTTPCACHE_EXPIRATION_SECS=200).retrieve() is not None
        assert cache(HTTPCACHE_EXPIRATION_SECS=0).retrieve() is not None

    def test_when_it_was_stored_is_told(self, cache):
        """In the request's meta, as Scrapy's policies know it."""
        ours = cache()
        ours.store(page())
        request = REQUEST.copy()
        ours.storage.retrieve_response(ours.spider, request)

        assert isinstance(request.meta["cache_timestamp"], float)

    def test_the_stock_policy(self, cache):
        """A page that was downloaded once answers from then on, with its flag."""
        ours = cache()
        middleware = ours.middleware
        assert middleware.process_request(REQUEST) is None
        middleware.process_response(REQUEST, page())

        found = middleware.process_request(REQUEST)

        assert (found.body, found.flags) == (page().body, ["cached"])
        assert [ours.stat(f"httpcache/{each}") for each in ("miss", "store", "hit")] == [1] * 3

    def test_the_policy_of_http(self, cache):
        """A stale page is asked for anew with its ETag, and a 304 makes it fresh again."""
        ours = cache(HTTPCACHE_POLICY=RFC2616Policy)
        middleware = ours.middleware
        stale = {"ETag": "v1", "Cache-Control": "max-age=0", "X-Two": ["a", "b"]}
        middleware.process_response(REQUEST, page(headers=stale))
        again = REQUEST.copy()
        assert middleware.process_request(again) is None
        assert again.headers["If-None-Match"] == b"v1"

        unchanged = page(b"", Response, status=304, headers={"Cache-Control": "max-age=60"})
        assert middleware.process_response(again, unchanged).body == page().body

        found = middleware.process_request(REQUEST.copy())
        assert (found.status, found.body) == (200, page().body)
        assert found.headers.getlist("X-Two") == [b"a", b"b"]

    def test_processes_share_a_store(self, cache):
        """Writers and readers at once: a page is whole, or not there yet."""
        bodies = [bytes([number]) * 5_000 for number in range(4)]
        all_of_them = [cache() for _ in bodies]

        def work(own, body):
            found = set()
            for number in range(40):
                own.store(page(body), Request(f"{URL}{number % 5}"))
                found.add(own.retrieve(Request(f"{URL}{(number + 1) % 5}")))
            own.settle()
            return {each.body for each in found if each}

        with ThreadPoolExecutor(4) as pool:
            found = set().union(*pool.map(work, all_of_them, bodies))

        assert found <= set(bodies)
        assert all(
            cache().retrieve(Request(f"{URL}{number}")).body in bodies for number in range(5)
        )
        assert sum(each.stat(UNREAD) + each.stat(UNSTORED) for each in all_of_them) == 0


# --- a store that fails ------------------------------------------------------------------


class FailingError(Exception):
    """Whatever a store may raise."""


class Failing:
    """Takes the place of a storage's store, and fails as it is told."""

    def __init__(self, cache):
        self.inner = cache.storage._store
        self.calls = []
        self.broken = ()
        cache.storage._store = self

    def __getattr__(self, name):
        def call(*args):
            self.calls.append(name)
            if name in self.broken:
                raise FailingError("the store is ill")
            return getattr(self.inner, name)(*args)

        return call


@pytest.fixture
def ill(caches):
    """A cache that has a page, and its store, which can fail."""
    cache = caches("SQLite")
    cache.store(page())
    cache.settle()
    return cache, Failing(cache)


def test_a_store_that_can_not_be_read_costs_no_page(ill, fake_clock, caplog):
    """It is tried again after a while, in the thread, and told of once; storing goes on."""
    cache, store = ill
    store.broken = ("get", "open")
    for _ in range(3):
        assert cache.retrieve() is None
        cache.store(page(b"new"), Request(f"{URL}new"))
        cache.settle()
    assert store.calls.count("get") == 1
    assert told(caplog) == ["The HTTP cache can't read pages, which go on without it"]
    assert cache.stat(UNREAD) == 3

    for _ in range(3):
        fake_clock.advance(31)
        cache.retrieve()
        cache.settle()
    assert (store.calls.count("open"), store.calls.count("get")) == (3, 1)
    store.broken = ()
    fake_clock.advance(31)
    cache.retrieve()
    cache.settle()
    assert cache.retrieve().body == page().body
    assert cache.retrieve(Request(f"{URL}new")).body == b"new"
    assert (cache.stat(UNSTORED), len(caplog.records)) == (0, 1)


def test_a_store_that_can_not_be_written_costs_no_page(ill, fake_clock, caplog):
    """What it has is read all the same; pages are stored again after a while."""
    cache, store = ill
    store.broken = ("put",)
    for number in range(3):
        cache.store(page(), Request(f"{URL}{number}"))
        cache.settle()
    assert store.calls.count("put") == 1
    assert told(caplog) == ["The HTTP cache can't store pages, which go on without it"]
    assert cache.retrieve().body == page().body

    fake_clock.advance(31)
    store.broken = ()
    cache.store(page(), Request(f"{URL}3"))
    cache.settle()
    cache.close()
    found = [cache.storage._store.calls.count("put"), cache.stat(UNSTORED), cache.stat(UNREAD)]
    assert found == [2, 3, 0]


def test_a_store_that_hangs(caches, monkeypatch, caplog):
    """Neither the beginning nor the end of a crawl waits for long, and pages go on."""
    may = Event()
    with monkeypatch.context() as patch:
        patch.setattr(storage_module, "_OPENING", 0)
        patch.setattr(storage_module, "_CLOSING", 0)
        patch.setattr(sqlite_storage.SQLiteEntries, "open", lambda _: may.wait(SECONDS))
        cache = caches("SQLite")
        assert cache.retrieve() is None
        cache.store(page())
        assert cache.retrieve().body == page().body
        cache.close()
        may.set()
    cache.close()

    assert told(caplog) == ["The HTTP cache was not closed in time"]


def test_a_damaged_entry_is_none(caches, tmp_path, caplog):
    """The page is asked for anew, and stored in its place; the log names the first."""
    cache = caches("SQLite")
    requests = [Request(f"{URL}{number}?password=hunter2") for number in range(2)]
    for request in requests:
        cache.store(page(), request)
    cache.settle()
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as database:
        database.execute("UPDATE entries SET data=substr(data, 1, 40)")
        database.commit()

    assert [cache.retrieve(each) for each in requests] == [None, None]
    assert cache.stat(UNREAD) == 2
    assert len(caplog.records) == 1
    assert "it is damaged" in caplog.text
    assert "hunter2" not in caplog.text
    cache.store(page(), requests[0])
    cache.settle()
    assert cache.retrieve(requests[0]).body == page().body


def test_a_page_that_can_not_be_stored(caches, caplog):
    """What a class of one's own holds may be no plain data."""
    cache = caches("SQLite")
    for _ in range(2):
        cache.store(page(cls=PricedResponse, price=object()))

    assert cache.retrieve() is None
    assert (cache.stat(UNSTORED), len(caplog.records)) == (2, 1)
    assert "let to_dict() put text" in caplog.text


# --- a limit, and what has expired -------------------------------------------------------

BODY = 20_000


def many(cache, numbers, size=BODY):
    """Store a page that can't be made smaller under each number."""
    for number in numbers:
        cache.store(page(os.urandom(size), Response), Request(f"{URL}{number}"))
        cache.settle()


def kept(cache, numbers):
    """Those of the pages that are there."""
    return [number for number in numbers if cache.retrieve(Request(f"{URL}{number}"))]


@pytest.mark.parametrize("kind", ["SQLite", "Redis"])
def test_the_oldest_pages_go_first(cache_of, kind, caplog):
    """As many as leave the limit; one that was stored anew is no old one."""
    cache = cache_of(kind, RESILIENCE_HTTPCACHE_MAX_MB=1)
    stored = [*range(1, 30), 0, *range(30, 70)]
    many(cache, [0, *stored])

    found = kept(cache, stored)
    assert 35 <= len(found) <= 50
    assert found == stored[-len(found) :]
    other = cache_of(kind, RESILIENCE_HTTPCACHE_MAX_MB=1)
    many(other, [found[0], 70])
    assert found[0] in kept(other, found)
    assert not caplog.records


@pytest.mark.parametrize("kind", ["SQLite", "Redis"])
def test_a_lower_limit_is_reached_step_by_step(cache_of, kind):
    """No batch lets go of more than a few."""
    many(cache_of(kind, RESILIENCE_HTTPCACHE_MAX_MB=9), range(200))
    cache = cache_of(kind, RESILIENCE_HTTPCACHE_MAX_MB=1)
    many(cache, [200])
    assert len(kept(cache, range(201))) > 100

    many(cache, range(201, 220))
    assert len(kept(cache, range(220))) <= 50


@pytest.mark.parametrize("kind", ["SQLite", "Redis"])
def test_a_page_larger_than_the_limit(cache_of, kind, caplog):
    """It is not stored, and all others stay."""
    cache = cache_of(kind, RESILIENCE_HTTPCACHE_MAX_MB=0.1)
    cache.store(page(b"small"))
    many(cache, [1, 2], 200_000)

    assert cache.retrieve().body == b"small"
    assert (cache.stat(UNSTORED), len(caplog.records)) == (2, 1)
    assert "larger than RESILIENCE_HTTPCACHE_MAX_MB" in caplog.text


def test_what_has_expired_leaves_the_file(caches, tmp_path, fake_clock):
    """Without a limit, too, as others come."""
    cache = caches("SQLite", HTTPCACHE_EXPIRATION_SECS=50)
    many(cache, range(10))
    fake_clock.advance(40)
    many(cache, range(10, 20))
    fake_clock.advance(40)
    many(cache, [20])

    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (11,)


def test_redis_deletes_what_has_expired(on_redis, server):
    """By itself, and what is known of it in time; without an expiration nothing goes."""
    many(on_redis(HTTPCACHE_EXPIRATION_SECS=50), [1])
    many(on_redis("limited", HTTPCACHE_EXPIRATION_SECS=50, RESILIENCE_HTTPCACHE_MAX_MB=1), [1])
    many(on_redis("kept"), [1])
    ttl = {key: server.client.ttl(key) for key in server.client.scan_iter("*")}

    assert len(ttl) == 5
    for key, seconds in ttl.items():
        assert (seconds == -1) == (b"kept" in key)
        assert seconds <= 50


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(0, 50, -1), (50, 0, -1), (500, 50, 500), (50, 500, 500)]
)
def test_an_expiration_that_was_changed(on_redis, server, before, after, expected):
    """What is known of older entries is there as long as they are: they count."""
    for seconds in (before, after):
        limited = {"RESILIENCE_HTTPCACHE_MAX_MB": 1, "HTTPCACHE_EXPIRATION_SECS": seconds}
        many(on_redis(**limited), [seconds])

    for key in ("httpcache:shop:index", "httpcache:shop:sizes"):
        assert expected - 50 < server.client.ttl(key) <= expected


def test_what_is_known_of_expired_entries_goes(on_redis, server, fake_clock):
    """The sum of sizes is that of what is there."""
    cache = on_redis(HTTPCACHE_EXPIRATION_SECS=50, RESILIENCE_HTTPCACHE_MAX_MB=1)
    many(cache, range(20))
    for key in server.client.scan_iter("httpcache:shop:*"):
        if server.client.type(key) == b"string":
            server.client.delete(key)  # as Redis does at their time
    fake_clock.advance(60)
    many(cache, range(20, 30))

    assert server.client.zcard("httpcache:shop:index") == 10
    total = int(server.client.hget("httpcache:shop:sizes", ""))
    assert total == sum(server.client.strlen(key) for key in entries_of(server))


def entries_of(server):
    """The keys of entries."""
    found = server.client.scan_iter("httpcache:shop:*")
    return [key for key in found if server.client.type(key) == b"string"]


# --- SQLite's file -----------------------------------------------------------------------


def test_the_file_is_the_users_alone(caches, tmp_path):
    """It may hold pages that only a login shows."""
    cache = caches("SQLite")
    cache.store(page())
    cache.settle()

    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("shop.sqlite*")} == {0o600}


def refused(cache, caplog, *words):
    """The pages go on without the file, and one line for each way to use it says why."""
    for _ in range(3):
        assert cache.retrieve() is None
        cache.store(page())
        cache.settle()
    cache.close()
    assert sorted(told(caplog)) == [
        "The HTTP cache can't read pages, which go on without it",
        "The HTTP cache can't store pages, which go on without it",
    ]
    for word in words:
        assert word in caplog.text


def test_a_link_is_not_followed(caches, tmp_path, caplog):
    """Somebody else may have put it there."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"")
    (tmp_path / "shop.sqlite").symlink_to(elsewhere)

    refused(caches("SQLite"), caplog, "link")
    assert elsewhere.read_bytes() == b""


def test_a_file_of_another_program(caches, tmp_path, caplog):
    """It is left as it is."""
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as database:
        database.execute("CREATE TABLE mine (x)")
    before = (tmp_path / "shop.sqlite").read_bytes()

    refused(caches("SQLite"), caplog, "another program has made it")
    assert (tmp_path / "shop.sqlite").read_bytes() == before


@pytest.mark.parametrize("damage", [b"no database at all" * 1_000, None])
def test_a_file_that_is_none(caches, tmp_path, caplog, damage):
    """Other bytes, and a folder in its place."""
    if damage is None:
        (tmp_path / "shop.sqlite").mkdir()
    else:
        (tmp_path / "shop.sqlite").write_bytes(damage)

    refused(caches("SQLite"), caplog, "shop.sqlite, which you may delete")


def test_a_folder_that_can_not_be_made(caches, tmp_path, caplog):
    """HTTPCACHE_DIR leads through a file."""
    (tmp_path / "file").write_text("")

    refused(caches("SQLite", HTTPCACHE_DIR=str(tmp_path / "file" / "cache")), caplog)


def test_a_damaged_file(caches, tmp_path):
    """Pages of which nothing is left are asked for anew; nothing is raised."""
    cache = caches("SQLite")
    many(cache, range(30))
    cache.close()
    path = tmp_path / "shop.sqlite"
    data = bytearray(path.read_bytes())
    data[8192:] = bytes(len(data) - 8192)
    path.write_bytes(data)

    cache = caches("SQLite")
    assert kept(cache, range(30)) == []
    many(cache, range(3))


def test_a_full_disk(caches, caplog):
    """What was stored is read, and a page that finds no room costs nothing else."""
    cache = caches("SQLite")
    many(cache, range(3))
    writer = cache.storage._store._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={pages}")
    many(cache, [3, 4])

    assert kept(cache, range(5)) == [0, 1, 2]
    assert told(caplog) == ["The HTTP cache can't store pages, which go on without it"]
    assert "full" in caplog.text


def test_a_file_that_somebody_has_locked(caches, tmp_path, monkeypatch, caplog):
    """Pages are read as before; those that can't be stored in time go on."""
    monkeypatch.setattr(sqlite_storage, "_WRITE_WAIT", 0.01)
    cache = caches("SQLite")
    many(cache, [0])
    with closing(sqlite3.connect(tmp_path / "shop.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        many(cache, [1, 2])

    assert kept(cache, range(3)) == [0]
    assert "locked" in caplog.text
    assert len(caplog.records) == 1


def test_a_folder_that_can_only_be_read(caches, tmp_path, monkeypatch, caplog):
    """A cache on a medium without room for SQLite's other files is read."""
    cache = caches("SQLite")
    many(cache, [0])
    cache.close()
    path = tmp_path / "shop.sqlite"
    path.chmod(0o400)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_storage.SQLiteEntries, "_to_write", read_only)
        cache = caches("SQLite")
        many(cache, [1, 2])

        assert kept(cache, range(3)) == [0]
        assert told(caplog) == ["The HTTP cache can't store pages, which go on without it"]
    assert {each.name for each in tmp_path.iterdir()} == {"shop.sqlite"}


def read_only(_):
    """What SQLite says where it can't write."""
    raise sqlite3.OperationalError("attempt to write a readonly database")


def test_processes_make_a_file_at_once(caches, caplog):
    """One file comes of it, and nobody's page is lost."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: caches("SQLite"), range(8)))
    for number, cache in enumerate(made):
        cache.store(page(), Request(f"{URL}{number}"))
    for cache in made:
        cache.settle()

    assert kept(caches("SQLite"), range(8)) == [*range(8)]
    assert not caplog.records


# --- Redis -------------------------------------------------------------------------------


@pytest.fixture
def own_server(redis_program, tmp_path):
    """A Redis that a test may break."""
    with running_redis(redis_program, tmp_path) as server:
        yield server


@pytest.fixture
def on_own(caches, own_server):
    """A storage on it, with one page."""
    cache = caches("Redis", RESILIENCE_HTTPCACHE_REDIS_URL=own_server.url)
    many(cache, [0])
    return cache


def after_a_while(cache, fake_clock):
    """The time for which it rests has passed, and it was opened again."""
    fake_clock.advance(31)
    cache.retrieve()
    cache.settle()


def test_a_redis_that_is_killed_and_started_again(on_own, own_server, fake_clock, caplog):
    """Pages go on without it, and it is used again by itself."""
    caplog.set_level("INFO", "scrapy_resilience")
    own_server.kill()
    assert kept(on_own, [0]) == []
    many(on_own, [1])
    own_server.start()
    after_a_while(on_own, fake_clock)
    many(on_own, [2])

    assert kept(on_own, [0, 1, 2]) == [2]
    assert sorted(told(caplog)) == [
        "The HTTP cache can read pages again",
        "The HTTP cache can store pages again",
        "The HTTP cache can't read pages, which go on without it",
        "The HTTP cache can't store pages, which go on without it",
    ]


def test_a_connection_that_redis_has_closed(on_own, own_server, caplog):
    """Another one is made, and no page goes on without the cache."""
    own_server.client.client_kill_filter(_type="normal", skipme=True)
    many(on_own, [1])

    assert kept(on_own, [0, 1]) == [0, 1]
    assert not caplog.records


@pytest.mark.usefixtures("fake_clock")
def test_a_redis_that_is_slow(caches, own_server, caplog):
    """It is waited for once, for RESILIENCE_HTTPCACHE_REDIS_TIMEOUT."""
    wait = {"RESILIENCE_HTTPCACHE_REDIS_TIMEOUT": 0.25}
    on_own = caches("Redis", RESILIENCE_HTTPCACHE_REDIS_URL=own_server.url, **wait)
    many(on_own, [0])
    own_server.client.execute_command("CLIENT", "PAUSE", 5_000, "ALL")

    assert kept(on_own, range(3)) == []
    assert told(caplog) == ["The HTTP cache can't read pages, which go on without it"]
    assert on_own.stat(UNREAD) == 3


@pytest.mark.parametrize("limit", [0, 1])
def test_a_redis_that_is_full(caches, own_server, caplog, limit):
    """What it has is read."""
    settings = {"RESILIENCE_HTTPCACHE_MAX_MB": limit}
    cache = caches("Redis", RESILIENCE_HTTPCACHE_REDIS_URL=own_server.url, **settings)
    many(cache, [0])
    own_server.client.config_set("maxmemory", 1_000)
    many(cache, [1, 2])

    assert kept(cache, range(3)) == [0]
    assert told(caplog) == ["The HTTP cache can't store pages, which go on without it"]
    assert "memory" in caplog.text


def test_a_redis_that_is_read_only(on_own, own_server, caplog):
    """A replica, whose pages are read."""
    own_server.client.replicaof("127.0.0.1", 1)
    many(on_own, [1, 2])

    assert kept(on_own, range(3)) == [0]
    assert told(caplog) == ["The HTTP cache can't store pages, which go on without it"]


@pytest.mark.parametrize("place", ["wrong:hunter2@127.0.0.1:PORT/0", "127.0.0.1:PORT/99"])
def test_a_wrong_password_or_database(caches, server, caplog, place):
    """The log says what Redis says, and no password."""
    url = f"redis://{place.replace('PORT', str(server.port))}"

    refused(caches("Redis", RESILIENCE_HTTPCACHE_REDIS_URL=url), caplog, "HTTPCACHE_REDIS_URL")
    assert "hunter2" not in caplog.text


def test_nobody_listens(caches, caplog):
    """The crawl begins at once, and goes on."""
    url = "redis://127.0.0.1:1/0"

    refused(caches("Redis", RESILIENCE_HTTPCACHE_REDIS_URL=url), caplog, "refused")


def test_a_url_that_asks_for_text(on_redis, server):
    """Pages are bytes."""
    cache = on_redis(RESILIENCE_HTTPCACHE_REDIS_URL=f"{server.url}?decode_responses=true")
    many(cache, [0])

    assert kept(cache, [0]) == [0]


def test_keys_begin_as_the_setting_says(on_redis, server):
    """Two projects on one Redis."""
    many(on_redis(RESILIENCE_HTTPCACHE_REDIS_PREFIX="mine"), [0])

    (key,) = server.client.scan_iter("*")
    assert key.startswith(b"mine:shop:")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:6379",
        "http://user:hunter2@127.0.0.1",
        "redis://:hunter/2@127.0.0.1:6379",
        "redis://:hunter2@127.0.0.1:6379?colour=red",
        "redis://:hunter2@127.0.0.1:6379?socket_timeout=soon",
    ],
)
def test_a_url_that_is_none_is_refused(caches, url):
    """Before the crawl begins, without a secret."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_HTTPCACHE_REDIS_URL") as raised:
        caches("Redis", RESILIENCE_HTTPCACHE_REDIS_URL=url)

    assert "hunter" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_without_the_extra(monkeypatch):
    """One line says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "redis", None)

    with pytest.raises(MissingLibraryError, match=r"scrapy-resilience\[redis\]"):
        redis_storage.RedisCacheStorage.check(Config(httpcache_redis_url="redis://127.0.0.1"))

"""The cache on a real Redis: killed, stopped, full, refusing."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pytest
from crawls import TIME_LIMIT, Crawl, check_same, wait_until
from ports import free_port
from redis_server import RedisServer
from web import serving

from scrapy_resilience.cache import Cache, cached
from scrapy_resilience.exceptions import ConfigurationError

pytestmark = pytest.mark.integration

QUICK = {"timeout": 0.2, "retry_after": 0.4}
"""For what is soon over; a busy machine makes it slower, and no other."""
LONG = {"timeout": 30.0}


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(120)


@pytest.fixture(scope="module")
def shared_server(redis_program, tmp_path_factory):
    """A Redis for tests that do it no harm."""
    folder = tmp_path_factory.mktemp("redis")
    more = {"rename_command": ["HELLO", ""], "enable_debug_command": "yes"}
    server = RedisServer(redis_program, folder, **more).start()
    yield server
    server.close()


@pytest.fixture
def server(shared_server):
    """The same, empty. It speaks RESP2 only."""
    shared_server.client.flushall()
    shared_server.client.config_resetstat()
    return shared_server


@pytest.fixture
def own_server(redis_program, tmp_path):
    """Make a Redis that ends with the test."""
    made = []

    def make(**options):
        server = RedisServer(redis_program, tmp_path, **options)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        with suppress(ProcessLookupError, AttributeError):
            server.go_on()
        server.close()


async def until(condition):
    """Wait for it."""
    for _ in range(6_000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


def test_all_there_is_to_do(server):
    """Values, times, patterns, many keys, odd keys; others' keys are left alone."""

    async def scenario():
        async with Cache(server.url, prefix="a*[b]:", **LONG) as cache:
            assert await cache.get("a") is None
            await cache.set("a", {"x": [1, None, "é"]}, ttl=500)
            await cache.set("big", ["long"] * 10_000)
            assert await cache.get("a") == {"x": [1, None, "é"]}
            assert await cache.get("big") == ["long"] * 10_000
            assert server.client.strlen("a*[b]:big") < 1_000
            assert 499_000 < server.client.pttl("a*[b]:a") <= 500_000
            many = {f"n:{n}": n for n in range(1_200)}
            assert await cache.mset(many) == 1_200
            assert await cache.mget([*many, "none"]) == many
            large = {f"large:{n}": f"{n}" * 300_000 for n in range(10)}
            assert await cache.mset(large) == 10
            assert await cache.mget(large) == large
            assert await cache.clear("large:*") == 10
            odd = ["*", "a?", "[x]", "\\", "\ud800", "\0\n", "é", "k" * 5_000]
            for key in odd:
                await cache.set(key, key == "*")
            assert [await cache.exists(key) for key in odd] == [True] * len(odd)
            assert await cache.delete(*odd, "none") == len(odd)
            server.client.mset({"axb:n:1": 1, "n:1": 1})
            assert await cache.clear("n:*") == 1_200
            assert await cache.clear() == 2
            assert sorted(server.client.keys()) == [b"axb:n:1", b"n:1"]
            assert await cache.warm("abc", str.upper) == 3
            stats = await cache.get_stats()
            assert (stats.fallbacks, stats.redis, stats.size) == (0, "on", 0)
            assert (await cache.health_check()).status == "healthy"

    run(scenario())
    assert server.client.info("clients")["connected_clients"] <= 2


def test_a_pattern_of_many_keys(server):
    """It is done in steps, between which others are served; KEYS is never sent."""

    async def scenario():
        server.client.execute_command("DEBUG", "POPULATE", 50_000, "cache:x", 10)
        server.client.set("other", 1)
        async with Cache(server.url, prefix="cache:", **LONG) as cache:
            clearing = asyncio.ensure_future(cache.clear("x:*"))
            served = 0
            while not clearing.done():
                await cache.set("y", served)
                served += 1
            assert await clearing == 50_000
            assert served > 10
        assert server.client.dbsize() == 2

    run(scenario())
    commands = server.client.info("commandstats")
    assert "cmdstat_keys" not in commands
    assert commands["cmdstat_unlink"]["calls"] >= 50


def test_more_at_a_time_than_connections(server):
    """They take turns, and nobody takes Redis for slow."""

    async def scenario():
        async with Cache(server.url, connections=5, **LONG) as cache:
            await cache.mset({f"{n}": n for n in range(300)})
            found = await asyncio.gather(*(cache.get(f"{n}") for n in range(300)))
            assert found == [*range(300)]
            assert cache.stats().fallbacks == 0
            assert server.client.info("clients")["connected_clients"] <= 6

    run(scenario())


def test_of_another_version_or_class(server):
    """Entries of others are as good as none, and no pickle of theirs is read."""

    async def scenario():
        pickled = {"serializer": "pickle", "secret": "that of these tests", **LONG}
        async with Cache(server.url, **pickled) as first, Cache(server.url, **LONG) as other:
            await first.set("a", dt.date(2024, 1, 1))
            assert await first.get("a") == dt.date(2024, 1, 1)
            assert await other.get("a") is None
            await other.set("b", 1)
            assert await first.get("b") is None
            server.client.set("scrapy:c", b"\xc1R9j-1")
            server.client.rpush("scrapy:list", 1)
            assert await other.mget(["a", "b", "c", "list"]) == {"b": 1}
            assert await other.get("list") is None
            assert (first.stats().unreadable, other.stats().unreadable) == (1, 4)
            assert await other.set("list", 1)
            assert other.stats().redis == "on"

    run(scenario())


# --- away ---


def test_killed_and_begun_again(own_server, caplog):
    """Memory meanwhile; then what it had kept is there, but for what was changed meanwhile."""
    caplog.set_level(logging.INFO)
    server = own_server()

    async def scenario():
        async with Cache(server.url, **QUICK) as cache:
            await cache.mset({"kept": 1, "written": 1, "deleted": 1, "cleared:1": 1})
            server.client.save()
            server.kill()
            assert await cache.get("kept") is None
            await cache.set("written", 2)
            assert await cache.get("written") == 2
            await cache.delete("deleted")
            await cache.clear("cleared:*")
            assert (await cache.health_check()).status == "degraded"
            server.start()
            await until(lambda: cache.exists("kept"))
            wanted = ["kept", "written", "deleted", "cleared:1"]
            assert await cache.mget(wanted) == {"kept": 1}
            assert await cache.set("written", 3)
            assert server.client.exists("scrapy:written")
            assert cache.stats().fallbacks == 1

    run(scenario())
    assert caplog.text.count("is away") == caplog.text.count("is back.") == 1
    assert "Deleted there, as changed meanwhile: 3" in caplog.text


def test_one_that_does_not_answer(own_server):
    """It is waited for once; a write that comes late is not read."""
    server = own_server()

    async def scenario():
        async with Cache(server.url, **QUICK) as cache:
            await cache.set("a", "before")
            server.stop()
            found = await asyncio.gather(*(cache.set("a", n) for n in range(20)))
            assert found == [True] * 20
            calls = cache.stats().redis_calls
            await cache.set("a", "last")
            for _ in range(100):
                assert await cache.get("a") == "last"
            assert cache.stats().redis_calls == calls, "somebody waited for it"
            server.go_on()

            async def is_back():
                return cache.stats().redis == "on"

            await until(is_back)
            assert await cache.get("a") is None
            assert await cache.set("a", "after")
            assert server.client.exists("scrapy:a")

    run(scenario())


def test_nobody_there_from_the_start(redis_program, tmp_path, caplog):
    """The cache is in memory, and finds it when it comes."""

    async def scenario():
        server = RedisServer(redis_program, tmp_path)
        try:
            async with Cache(server.url, **QUICK) as cache:
                await cache.set("a", 1)
                assert await cache.get("a") == 1
                server.start()

                async def is_there():
                    await cache.set("b", 1)
                    return server.client.exists("scrapy:b")

                await until(is_there)
        finally:
            server.close()

    run(scenario())
    assert "Connect" in caplog.text or "connect" in caplog.text


# --- refusals ---


def refused(url, **more):
    """What is said at the start."""

    async def scenario():
        async with Cache(url, **{**LONG, **more}):
            pass

    with pytest.raises(ConfigurationError) as caught:
        run(scenario())
    assert "hidden" not in str(caught.value)
    return str(caught.value)


def test_what_refuses_for_good(own_server):
    """A wrong password or none, a user who may not write, no such database, a replica."""
    server = own_server(requirepass="right")
    place = f"127.0.0.1:{server.port}"

    assert f"Redis at {place} refuses the cache" in refused(f"redis://:hidden@{place}")
    assert "uthentication" in refused(server.url)
    assert "DB index" in refused(f"redis://:right@{place}/99")
    server.client.acl_setuser("reader", enabled=True, passwords=["+hidden"], keys=["*"],
                              commands=["+get", "+ping"])  # fmt: skip
    assert "permission" in refused(f"redis://reader:hidden@{place}")
    server.client.replicaof("127.0.0.1", free_port())
    assert "read only replica" in refused(f"redis://:right@{place}")


def test_one_that_is_full(own_server, caplog):
    """What does not fit in is not kept, and nothing older is read; it is told once."""
    server = own_server()

    async def scenario():
        async with Cache(server.url, **LONG) as cache:
            await cache.mset({"a": 1, "b": 1})
            server.client.config_set("maxmemory", 1)
            assert not await cache.set("a", 2)
            assert await cache.mset({"c": 1, "d": 1}) == 0
            assert await cache.mget("abcd") == {"b": 1}
            await cache.check()
            assert (cache.stats().redis, cache.stats().refused) == ("on", 3)
            server.client.config_set("maxmemory", 0)
            assert await cache.set("a", 3)

    run(scenario())
    assert caplog.text.count("is full") == 1


def certificate(folder):
    """A key, and a certificate for 127.0.0.1 that it signs itself."""
    import ipaddress  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis.test")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, *plain))
    (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
    return folder / "key.pem", folder / "cert.pem"


def test_tls(own_server, tmp_path):
    """A certificate that is trusted is, and another one is refused."""
    key, cert = certificate(tmp_path)
    port = free_port()
    own_server(tls_port=port, tls_cert_file=cert, tls_key_file=key, tls_ca_cert_file=cert,
               tls_auth_clients="no")  # fmt: skip

    async def scenario():
        async with Cache(f"rediss://127.0.0.1:{port}?ssl_ca_certs={cert}", **LONG) as cache:
            await cache.set("a", 1)
            assert await cache.get("a") == 1
            assert cache.stats().redis == "on"

    run(scenario())
    assert "certificate verify failed" in refused(f"rediss://127.0.0.1:{port}").lower()


# --- functions, and several processes ---


def test_a_function_in_two_caches(server):
    """What one has asked for, the other one has."""

    async def scenario():
        asked = []

        def make(cache):
            @cached(key_prefix="shared:", cache=cache)
            async def ask(x):
                asked.append(x)
                return {"x": x}

            return ask

        async with Cache(server.url, **LONG) as one, Cache(server.url, **LONG) as other:
            first, second = make(one), make(other)
            await asyncio.gather(*(first(1) for _ in range(20)))
            assert await second(1) == {"x": 1}
            assert asked == [1]
            assert await second.cache_clear() == 1
            await first(1)
            assert asked == [1, 1]

    run(scenario())


SPIDER = """
    import scrapy
    from scrapy_resilience.cache import cache_of, cached

    def note(what):
        with open("asked", "a") as file:
            file.write(what + "\\n")

    @cached(ttl=600)
    async def rate(currency):
        note(currency)
        return {"rate": len(currency)}

    class Pipeline:
        @classmethod
        def from_crawler(cls, crawler):
            self = cls()
            self.cache = cache_of(crawler)
            return self

        @cached(ttl=600, ignore="self")
        def plain(self, value):
            return value

        async def process_item(self, item):
            item["rate"] = (await rate("EUR"))["rate"]
            await self.cache.set(f"seen:{item['sku']}", True)
            assert self.plain(item["sku"]) == item["sku"]
            return item

    class Shop(scrapy.Spider):
        name = "shop"

        async def start(self):
            yield scrapy.Request(self.settings["URL"])

        async def parse(self, response):
            yield {"sku": response.url, "dollars": (await rate("USD"))["rate"]}
            for link in response.css("a::attr(href)"):
                yield response.follow(link)
"""
REACTORS = {
    "asyncio": ({}, "shop.test"),
    "none": ({"TWISTED_REACTOR_ENABLED": False, "TWISTED_DNS_RESOLVER": None}, "127.0.0.1"),
}


class Chain:
    """A site in which each page leads to the next one until *enough* says so.

    Meanwhile Redis is killed, and begun again when the cache has noticed.
    """

    def __init__(self, redis_server, asked):
        self.redis = redis_server
        self.asked = asked
        self.pages = 0
        self.was_killed = self.was_used = 0

    def __call__(self, _host, _path, _count):
        self.pages += 1
        if self.pages == 10:
            assert self.redis.client.exists("scrapy:seen:first") == 0
            self.was_killed = self.redis.client.dbsize()
            self.redis.kill()
        elif self.pages == 20:
            self.redis.start()
        elif self.pages > 20:
            self.was_used = self.redis.client.dbsize()
        enough = self.was_used > 5 or self.pages >= 5_000
        link = b"" if enough else b'<a href="/%d">on</a>' % self.pages
        return 200, {"Content-Type": "text/html"}, b"<html>" + link


@pytest.mark.parametrize("reactor", REACTORS)
def test_a_crawl_whose_redis_is_killed(own_server, tmp_path, reactor):
    """Functions of spider and pipeline go on, in Redis again when it is back; it is counted."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = own_server()
    settings, host = REACTORS[reactor]
    chain = Chain(server, tmp_path)
    with serving(chain) as web:
        job = Crawl(
            tmp_path / "project",
            SPIDER,
            URL=web.url(host),
            ITEM_PIPELINES={"spider.Pipeline": 300},
            RESILIENCE_CACHE_URL=server.url,
            RESILIENCE_CACHE_TIMEOUT=0.2,
            RESILIENCE_CACHE_RETRY_AFTER=0.4,
            RESILIENCE_HTTP_ENABLED=False,
            **settings,
        )
        run = job.run()

    run.check_finished()
    assert chain.was_killed > 5
    assert chain.was_used > 5
    assert len(job.items()) == chain.pages
    assert {(item["rate"], item["dollars"]) for item in job.items()} == {(3, 3)}
    assert run.stats["resilience/cache/fallbacks"] >= 1
    assert run.stats["resilience/cache/hits"] > chain.pages
    assert run.stats["resilience/cache/without_redis"] > 5
    assert run.stats["resilience/cache/redis_calls"] > 20
    assert run.log.count("is away: the cache is in memory") == run.log.count("is back.")
    asked = job.path("asked").read_text().split()
    assert 4 <= len(asked) <= 20, asked  # once in Redis, in memory, and in the new Redis


def test_a_crawl_that_is_killed(server, tmp_path, rng):
    """The next run has in Redis what this one has asked for."""
    killed = Event()

    def answer(_host, _path, count):
        if count > 40:  # the others wait for the kill
            killed.wait(TIME_LIMIT)
        return 200, {"Content-Type": "text/html"}, b"<html>"

    with serving(answer) as web:
        source = SPIDER.replace('self.settings["URL"])', "url) ").replace(
            "yield scrapy.Request(url)", 'for url in self.settings["URLS"]:\n'
            "                yield scrapy.Request(url)")  # fmt: skip
        job = Crawl(
            tmp_path / "project",
            source,
            rng=rng,
            URLS=web.urls("shop.test", 60),
            ITEM_PIPELINES={"spider.Pipeline": 300},
            RESILIENCE_CACHE_URL=server.url,
            RESILIENCE_CACHE_TIMEOUT=30,
        )
        job.run_until(commits=1)
        assert job.kills == 1
        killed.set()
        job.finish()
    check_same([item["sku"] for item in job.items()], web.urls("shop.test", 60))
    assert sorted(job.path("asked").read_text().split()) == ["EUR", "USD"]


def test_a_crawl_that_redis_refuses(own_server, tmp_path):
    """One line says so, without the password; nothing is asked for, the job can go on later."""
    server = own_server(requirepass="right")
    with serving(lambda *_: (200, {"Content-Type": "text/html"}, b"<html>")) as web:
        job = Crawl(
            tmp_path / "project",
            SPIDER,
            URL=web.url("shop.test"),
            ITEM_PIPELINES={"spider.Pipeline": 300},
        )
        job.write("items.jsonl", "of last night")
        url = f"redis://:wrong-hidden@127.0.0.1:{server.port}"
        run = job.run(env={"RESILIENCE_CACHE_URL": url})
        run.check_refused("refuses the cache", "invalid username-password pair")
        assert not web.asked
        assert not job.job.exists()
        assert job.path("items.jsonl").read_text() == "of last night"
        shown = job.run("resilience", "config", "--json", env={"RESILIENCE_CACHE_URL": url})
        assert json.loads(shown.out)
        assert "wrong-hidden" not in run.log + shown.out + shown.log

        job.path("items.jsonl").unlink()
        right = f"redis://:right@127.0.0.1:{server.port}"
        job.finish(env={"RESILIENCE_CACHE_URL": right})
    assert len(job.items()) == 1


def test_health_and_metrics(own_server, tmp_path):
    """They say that Redis is away, and that it is not."""
    server = own_server()
    source = SPIDER.replace(
        'yield scrapy.Request(self.settings["URL"])',
        """
            import asyncio
            from scrapy_resilience.observe.observer import observer_of
            observer = observer_of(self.crawler)
            async def health(status):
                for _ in range(3000):
                    observer.renew()
                    found = {each.name: each for each in observer.view().health.components}
                    if "cache" in found and found["cache"].status == status:
                        return
                    await asyncio.sleep(0.02)
                raise AssertionError(found)
            await rate("EUR")
            await health("healthy")
            open("healthy", "w").close()
            await health("degraded")
            from scrapy_resilience.observe.metrics.exporter import exporter_of
            text = exporter_of(self.crawler).text(observer.view())
            open("metrics", "wb").write(text)
            return
            yield""",
    )
    job = Crawl(
        tmp_path / "project",
        source,
        RESILIENCE_CACHE_URL=server.url,
        RESILIENCE_HEALTH_INTERVAL=0.1,
        RESILIENCE_HTTP_ENABLED=False,
    )
    with job.process() as process:
        wait_until(lambda: job.path("healthy").exists() or process.poll() is not None)
        server.kill()
        run = job.ended(process)
    assert run.reason == "finished", run
    text = job.path("metrics").read_text()
    for name, value in {"misses_total": 1, "writes_total": 1, "fallbacks_total": 1}.items():
        assert f'scrapy_resilience_cache_{name}{{spider="shop"}} {value}' in text

"""The cache, in memory and with a server that comes and goes."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cache_parts import FakeServer, run, turns, with_server
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from scrapy_resilience import _clock
from scrapy_resilience.cache import Cache
from scrapy_resilience.cache.redis_server import is_refusal
from scrapy_resilience.core.cachevalues import Codec
from scrapy_resilience.dryrun import flag
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.testing import FakeClock


@pytest.fixture(autouse=True)
def clock():
    """A clock that the test moves; who sleeps moves it."""
    clock = FakeClock()
    with _clock.use(clock):
        yield clock


def test_a_dry_run_leaves_the_server_alone(monkeypatch):
    """A cache that a spider has made itself is in memory then."""

    async def scenario():
        cache, server = with_server()
        await cache.set("a", 1)
        assert server.entries
        monkeypatch.setattr(flag, "_is_dry", False)
        flag.set_dry_run()
        await cache.set("b", 2)
        await cache.delete("a")
        assert await cache.get("b") == 2
        assert not cache.remote.is_away
        await cache.clear()
        await cache.check()
        await cache.close()
        assert [*server.entries] == ["a"]
        assert "check" not in server.calls

    run(scenario())


DOWN = ConnectionError("refused")


@pytest.mark.parametrize("make", [Cache, lambda: with_server()[0]], ids=["memory", "server"])
def test_all_there_is_to_do(make):
    """The same with a server and without."""

    async def scenario():
        cache = make()
        assert await cache.get("a") is None
        assert await cache.get("a", 5) == 5
        assert await cache.set("a", {"x": [1, None]})
        assert await cache.get("a") == {"x": [1, None]}
        assert await cache.exists("a")
        assert not await cache.exists("b")
        assert await cache.mset({"b": 1, "c": None}) == 2
        assert await cache.mget(["a", "b", "c", "d", "b"]) == {
            "a": {"x": [1, None]},
            "b": 1,
            "c": None,
        }
        assert await cache.delete("a", "d") == 1
        assert await cache.delete() == 0
        assert await cache.clear("b*") == 1
        assert await cache.mget("abc") == {"c": None}
        assert await cache.clear() == 1
        assert not await cache.exists("c")
        stats = await cache.get_stats()
        assert (stats.hits, stats.misses, stats.writes) == (1 + 3 + 1, 2 + 1 + 2, 3)
        assert stats.hit_rate == 0.5
        assert (await cache.health_check()).status == "healthy"
        await cache.close()

    run(scenario())


def test_time_and_room(clock):
    """Values end with their time, those not asked for make room."""

    async def scenario():
        cache = Cache(ttl=10, size=2)
        await cache.set("a", 1)
        await cache.set("b", 2, ttl=30)
        clock.advance(10)
        assert await cache.mget("ab") == {"b": 2}
        await cache.set("c", 3)
        await cache.get("b")
        await cache.set("d", 4)
        assert await cache.mget("bcd") == {"b": 2, "d": 4}
        assert (await cache.get_stats()).evicted == 1
        assert not await Cache(memory_mb=0.001).set("a", "x" * 2_000)
        cache.clear_memory()
        assert (await cache.get_stats()).size == 0

    run(scenario())


@pytest.mark.parametrize(
    "settings",
    [{"ttl": 0}, {"ttl": float("nan")}, {"ttl": True}, {"size": -1}, {"timeout": 0},
     {"connections": 0}, {"secret": "short"}, {"wait": "x"}, {"serializer": "yaml"},
     {"url": "http://x"},
     {"url": "redis://:hidden@/x"}, {"url": "redis://h/x"}, {"url": "redis://h:0"},
     {"url": "redis://h:hidden"}, {"url": "redis://:hidden/x@h"}, {"url": "redis://:/hidden@h"},
     {"url": "redis://u:1/hidden@h"}, {"url": "redis://u:1#hidden@h"},
     {"url": "redis://u:1?hidden@h"}, {"url": "redis://[hidden@h"},
     {"url": "redis://h/0?decode_responses=1&password=hidden"},
     {"url": "redis://h", "serializer": "pickle"}],
    ids=repr,
)  # fmt: skip
def test_wrong_settings(settings):
    """Each is refused when the cache is made, and no password is shown."""
    with pytest.raises(ConfigurationError) as caught:
        Cache(**settings)
    assert "hidden" not in str(caught.value)


def test_wrong_arguments():
    """They change nothing."""

    async def scenario():
        cache = Cache()
        with pytest.raises(TypeError, match="use a text"):
            await cache.set(1, 2)
        with pytest.raises(TypeError, match="use a text"):
            await cache.get("")
        with pytest.raises(TypeError, match="a tuple, does not come back"):
            await cache.mset({"a": 1, "b": (1,)})
        with pytest.raises(ConfigurationError, match="ttl=-1"):
            await cache.set("a", 1, ttl=-1)
        assert (await cache.get_stats()).size == 0

    run(scenario())


def test_its_secrets_are_not_shown():
    """Neither by repr nor in its name."""
    cache = Cache("redis://user:secret@h:1/2?ssl_password=secret", secret="s" * 16)
    assert repr(cache) == "<Cache in Redis at h:1>"
    assert "secret" not in repr(cache.__dict__)


def test_many_keys_of_one_thread_and_many_threads():
    """The memory is for all of them."""
    cache = Cache(size=50)

    def work(number):
        async def scenario():
            for turn in range(200):
                await cache.set(f"{turn % 60}", number)
                await cache.get(f"{turn % 7}")
                if turn % 50 == 0:
                    await cache.clear("1*")

        asyncio.run(scenario())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.stats().size <= 50
    assert cache.clear_memory() is None
    assert cache.stats().size_bytes == 0


# --- a server that is away ---


def test_a_server_that_goes_away_and_comes_back(caplog):
    """It is told once each, nothing waits for it meanwhile, what was changed is gone."""
    caplog.set_level(logging.INFO)

    async def scenario():
        cache, server = with_server()
        await cache.mset({"kept": 1, "written": 1, "deleted": 1, "cleared:1": 1})
        server.error = DOWN
        assert await cache.get("kept") is None
        asked = len(server.calls)
        cache.remote._task.cancel()  # nobody looks for now
        await turns()
        server.error = None
        cache.remote.look_again = lambda: None
        assert await cache.set("written", 2)
        assert await cache.get("written") == 2
        assert await cache.delete("deleted") == 0
        assert await cache.mset({"new": 3}) == 1
        assert await cache.mget(["written", "new", "kept"]) == {"written": 2, "new": 3}
        assert await cache.exists("new")
        assert await cache.clear("cleared:*") == 0
        assert (await cache.health_check()).status == "degraded"
        assert len(server.calls) == asked, "somebody asked it"
        assert cache.stats().redis == "away"

        del cache.remote.look_again
        assert await cache.get("kept") is None
        await turns()
        assert sorted(server.entries) == ["kept"]
        assert await cache.mget(["kept", "written", "deleted", "new", "cleared:1"]) == {
            "kept": 1
        }
        assert (await cache.health_check()).status == "healthy"
        stats = cache.stats()
        assert (stats.fallbacks, stats.redis, stats.size) == (1, "on", 0)
        assert stats.without_redis == 9

    run(scenario())
    assert [
        (r.levelname, r.getMessage()) for r in caplog.records if "Redis" in r.getMessage()
    ] == [
        ("WARNING", "Redis at fake is away: the cache is in memory until it is back (refused)"),
        ("INFO", "Redis at fake is back. Deleted there, as changed meanwhile: 3"),
    ]


def test_looks_become_rare(clock):
    """A server that stays away is asked again after 10, 20 and 30 seconds and so on."""

    async def scenario():
        cache, server = with_server()
        server.error = DOWN
        await cache.get("a")
        began = clock.now
        await turns(100)
        looks = server.calls.count("ping")
        assert looks >= 4
        assert clock.now - began > 20 * (looks - 2)
        assert cache.stats().fallbacks == 1
        await cache.close()
        assert server.closed

    run(scenario())


def test_a_way_back_that_fails_is_tried_again():
    """What is to be deleted stays to be deleted, also what came meanwhile."""

    async def scenario():
        cache, server = with_server()
        await cache.mset({"a": 1, "b": 1})
        server.error = DOWN
        await cache.delete("a")
        fails = iter([DOWN, DOWN])
        server.error = None

        async def delete(keys, real=server.delete):
            if (error := next(fails, None)) is not None:
                await cache.set("b", 2)
                raise error
            return await real(keys)

        server.delete = delete
        await turns(100)
        assert cache.stats().redis == "on"
        assert server.entries == {}

    run(scenario())


def test_a_way_back_while_others_write():
    """It comes to an end, though each of its steps finds something new."""

    async def scenario():
        cache, server = with_server()
        over = False

        async def write(key):
            number = 0
            while not over:
                number += 1
                await cache.set(key, number)
                assert await cache.get(key) in {number, None}
                await asyncio.sleep(0)

        server.error = DOWN
        await cache.set("x", 1)
        writers = [asyncio.ensure_future(write(f"{n}")) for n in range(10)]
        await turns()
        assert cache.stats().redis == "away"
        server.error = None
        await turns(200)
        assert cache.stats().redis == "on"
        assert server.entries
        over = True
        await asyncio.gather(*writers)

    run(scenario())


def test_one_that_was_slow_has_done_it_all_the_same():
    """A write whose answer was lost is not read again once something else was written."""

    async def scenario():
        cache, server = with_server()
        server.error, server.lost_answer = asyncio.TimeoutError(), True
        assert await cache.set("a", "lost")
        assert await cache.set("a", "newer")
        assert await cache.get("a") == "newer"
        server.error = None
        await turns()
        assert await cache.get("a") is None

    run(scenario())


def test_closed_while_it_is_away(caplog):
    """It is tried a last time, and told when that fails."""

    async def scenario():
        cache, server = with_server()
        await cache.set("a", 1)
        server.error = DOWN
        await cache.delete("a")
        await cache.close()
        server.error = None
        await cache.close()
        assert server.entries == {}

    run(scenario())
    assert (
        "is away to the end (refused): what was changed meanwhile may come back" in caplog.text
    )


def test_closed_while_it_is_coming_back():
    """What its way back was about to delete is deleted all the same."""

    async def scenario():
        cache, server = with_server()
        await cache.set("a", 1)
        server.error = DOWN
        await cache.delete("a")
        server.error = None
        deleting, real = asyncio.Event(), server.delete

        async def delete(_):
            deleting.set()
            await asyncio.Event().wait()

        server.delete = delete
        await deleting.wait()
        assert not cache.remote.meanwhile
        server.delete = real
        await cache.close()
        assert server.entries == {}
        assert server.closed

    run(scenario())


class OneWayError(Exception):
    """It can be pickled, and does not come back."""

    def __init__(self, one, other):
        super().__init__(one)


def test_a_value_that_does_not_come_back():
    """It is as good as none."""

    async def scenario():
        cache = Cache(serializer="pickle")
        await cache.set("a", OneWayError(1, 2))
        assert await cache.get("a", "none") == "none"
        assert await cache.mget(["a"]) == {}
        assert cache.stats().size == 0

    run(scenario())


def test_a_full_server(caplog):
    """What has no room is not kept, nor is what was there before; it is told once."""

    async def scenario():
        cache, server = with_server()
        await cache.mset({"a": 1, "b": 1, "c": 1})
        server.full = True
        assert not await cache.set("a", 2)
        assert await cache.mset({"b": 2, "d": 2}) == 0
        assert await cache.mget("abcd") == {"c": 1}
        stats = cache.stats()
        assert (stats.refused, stats.redis, stats.fallbacks) == (3, "on", 0)

    run(scenario())
    assert caplog.text.count("Redis at fake is full") == 1


def test_entries_of_others(caplog):
    """They are as good as none, counted, and told once."""

    async def scenario():
        cache, server = with_server()
        pickled = Codec("pickle", "x" * 16)
        server.entries |= {"a": b"plain", "b": pickled.to_wire("b", pickled.pack([1]))}
        assert await cache.get("a") is None
        assert await cache.mget("ab") == {}
        assert cache.stats().unreadable == 3
        assert await cache.set("a", 1)
        assert await cache.get("a") == 1

    run(scenario())
    assert caplog.text.count("as good as none") == 1


def test_one_that_is_cancelled():
    """Neither is the server away, nor is a place lost."""

    async def scenario():
        cache, server = with_server()

        async def never(_):
            await asyncio.Event().wait()

        server.get = never
        tasks = [asyncio.ensure_future(cache.get("a")) for _ in range(50)]
        await turns()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await cache.exists("a") is False
        assert cache.stats().redis == "on"

    run(scenario())


def test_another_event_loop_looks():
    """The one that looked has ended."""
    cache, server = with_server()
    server.error = DOWN

    async def first():
        await cache.delete("a")
        cache.remote._task.cancel()

    async def second():
        server.error = None
        server.places = asyncio.Semaphore(1)
        await cache.get("b")
        await turns()
        assert cache.stats().redis == "on"

    run(first())
    run(second())


class RebelError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "error", [RebelError(), RuntimeError("redis://:hidden@h"), KeyError("x")]
)
def test_whatever_it_raises(error, caplog):
    """The cache never fails for it, and shows no secret."""

    async def scenario():
        cache, server = with_server()
        server.error = error
        assert await cache.get("a", 1) == 1
        await cache.check()
        assert (await cache.health_check()).status == "degraded"
        await cache.close()

    run(scenario())
    assert "hidden" not in caplog.text


# --- warm ---


def test_warm(caplog):
    """What is there is not made again; what fails is left out."""

    async def scenario():
        cache = Cache()
        await cache.set("a", 0)
        busy = most = 0

        async def load(key):
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1
            if key == "bad":
                raise ValueError(key)
            return key * 2

        keys = ["a", "b", "bad", *map(str, range(20)), "b"]
        assert await cache.warm(keys, load, concurrency=3) == 21
        assert most == 3
        assert await cache.mget(["a", "b", "bad", "7"]) == {"a": 0, "b": "bb", "7": "77"}
        assert await cache.warm(["c"], str.upper, ttl=5) == 1
        assert await cache.get("c") == "C"

    run(scenario())
    assert "can't be made" in caplog.text


# --- a model of a server that comes and goes ---


class ComesAndGoes(RuleBasedStateMachine):
    """Whatever happens, a value is the last one that was written, or there is none.

    Another process deletes what it likes: what it has deleted does not come back, but by being
    written again.
    """

    keys = st.sampled_from(["a", "b", "c:1", "c:2"])

    def __init__(self):
        super().__init__()
        self.thread = ThreadPoolExecutor(1)  # pytest's own has an event loop that runs
        self.loop = asyncio.new_event_loop()
        self.clock = _clock.use(FakeClock())
        self.cache, self.server = self.do(self.make())
        self.cache.remote.meanwhile._most = 2
        self.server.ping = self.ping
        self.truth = {}
        self.gone = set()
        """What another process has deleted while we could not see it."""
        self.number = 0

    async def make(self):
        return with_server(FakeServer(), ttl=1e9)

    async def ping(self):
        """Yield, so that a server that is away is not asked without end."""
        for _ in range(10):
            await asyncio.sleep(0)
        if self.server.error is not None:
            raise self.server.error

    def do(self, coroutine):
        return self.thread.submit(self.loop.run_until_complete, coroutine).result(60)

    @rule(key=keys)
    def write(self, key):
        self.number += 1
        self.do(self.cache.set(key, self.number))
        self.truth[key] = self.number

    @rule(keys=st.lists(keys, min_size=1))
    def write_many(self, keys):
        self.number += 1
        self.do(self.cache.mset(dict.fromkeys(keys, self.number)))
        self.truth |= dict.fromkeys(keys, self.number)

    @rule(key=keys)
    def delete(self, key):
        self.do(self.cache.delete(key))
        self.truth.pop(key, None)

    @rule(pattern=st.sampled_from(["c:*", "*", "a"]))
    def clear(self, pattern):
        self.do(self.cache.clear(pattern))
        kept = {"c:*": "ab", "*": "", "a": ["b", "c:1", "c:2"]}[pattern]
        self.truth = {key: value for key, value in self.truth.items() if key in kept}

    @rule(key=keys)
    def another_deletes(self, key):
        """It has a connection of its own, and sees nothing of our memory."""
        self.server.entries.pop(key, None)
        if self.cache.remote.is_away:
            self.gone.add(key)
        else:
            self.truth.pop(key, None)

    @rule(lost=st.booleans())
    def go_away(self, lost):
        self.server.error, self.server.lost_answer = DOWN, lost

    @rule()
    def come_back(self):
        self.server.error = None
        self.do(turns(60))
        self.check()

    def check(self):
        """What is there now, if we see it."""
        if not self.cache.remote.is_away:
            assert self.server.entries.keys() <= self.truth.keys()
            assert not self.server.entries.keys() & self.gone
            self.gone.clear()

    @rule(key=keys)
    def read(self, key):
        found = self.do(self.cache.get(key))
        assert found in (None, self.truth.get(key))
        assert self.do(self.cache.exists(key)) <= (key in self.truth)

    @rule()
    def read_all(self):
        found = self.do(self.cache.mget(["a", "b", "c:1", "c:2"]))
        assert found.items() <= self.truth.items()

    def teardown(self):
        self.server.error = None
        self.do(self.cache.delete("a"))
        self.do(turns(60))
        self.check()
        self.do(self.cache.close())
        self.do(turns())
        self.loop.close()
        self.thread.shutdown()
        self.clock.close()


TestComesAndGoes = ComesAndGoes.TestCase
TestComesAndGoes.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize(
    ("text", "passes"), [("NOREPLICAS Not enough good", True), ("x", False)]
)
def test_what_passes_by_itself_is_no_refusal(text, passes):
    """Whoever tries again is answered then."""

    class ResponseError(Exception):
        pass

    assert is_refusal(ResponseError(text)) is not passes

"""Functions whose results are kept."""

from __future__ import annotations

import asyncio
import math
import threading
from functools import partial

import pytest
from cache_parts import run, turns, with_server
from hypothesis import given
from hypothesis import strategies as st
from scrapy.utils.test import get_crawler

from scrapy_resilience import _clock
from scrapy_resilience._scrapy import here
from scrapy_resilience.cache import Cache, cache_of, cached
from scrapy_resilience.cache.of_crawl import current
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.testing import FakeClock


class Service:
    """Something slow, and how often it was asked; *cached* calls of it."""

    def __init__(self, cache=None, answer=None, **options):
        self.calls = []
        self.cache = Cache() if cache is None else cache
        self.answer = answer or (lambda x: {"x": x})
        self.gate = asyncio.Event()
        self.gate.set()

        async def ask(x):
            self.calls.append(x)
            await self.gate.wait()
            return self.answer(x)

        def ask_here(x):
            self.calls.append(x)
            return self.answer(x)

        options = {"key_prefix": "t:", "cache": self.cache, **options}
        self.ask = cached(**options)(ask)
        self.ask_here = cached(**options)(ask_here)


def fails(error):
    """A function that raises, each time anew."""

    def fail(_):
        raise type(error)(*error.args)

    return fail


def nothing(_):
    """Find nothing."""


@pytest.fixture(params=["memory", "server"])
def make_cache(request):
    """Make a cache with a server, and one without."""
    return Cache if request.param == "memory" else lambda **more: with_server(**more)[0]


def test_results_are_kept(make_cache):
    """By arguments; each gets a copy; it can be forgotten."""

    async def scenario():
        service = Service(make_cache())
        first = await service.ask(1)
        first["x"] = "changed"
        assert await service.ask(1) == await service.ask(x=1) == {"x": 1}
        assert await service.ask("1") == {"x": "1"}
        assert service.calls == [1, "1"]
        assert service.ask.cache_info() == (2, 2, 0, 0)
        await service.cache.set("other", 1)
        assert await service.ask.cache_clear() == 2
        assert await service.ask(1) == {"x": 1}
        assert service.calls == [1, "1", 1]
        assert await service.cache.get("other") == 1

    run(scenario())


def test_plain_functions():
    """They are kept in memory, with and without an event loop, and with a server, too."""
    cache, server = with_server_of_no_loop()
    service = Service(cache)

    assert service.ask_here(1) == service.ask_here(1) == {"x": 1}

    async def inside():
        return service.ask_here(1)

    assert run(inside()) == {"x": 1}
    assert service.calls == [1]
    assert server.calls == []
    assert service.ask_here.cache_clear() == 1
    assert service.ask_here(1) == {"x": 1}
    assert service.ask_here.cache_info() == (2, 2, 0, 0)


def with_server_of_no_loop():
    """A cache with a server, made where no event loop runs."""

    async def make():
        return with_server()

    return run(make())


# --- one computes, others wait ---


def test_one_computes_for_all(make_cache):
    """However many call meanwhile; each gets a copy."""

    async def scenario():
        service = Service(make_cache())
        service.gate.clear()
        tasks = [asyncio.ensure_future(service.ask(1)) for _ in range(20)]
        await turns()
        service.gate.set()
        found = await asyncio.gather(*tasks)
        assert found == [{"x": 1}] * 20
        found[0]["x"] = found[1]["x"] = 2
        assert found[2:] == [{"x": 1}] * 18
        assert service.calls == [1]
        assert service.ask.cache_info() == (19, 1, 19, 0)
        assert len(service.cache._flights) == 0

    run(scenario())


def test_a_hit_in_the_server_is_for_all_who_wait():
    """It is asked once; each gets a copy."""

    async def scenario():
        cache, server = with_server()
        service = Service(cache)
        await service.ask(1)
        server.calls.clear()
        found = await asyncio.gather(*(service.ask(1) for _ in range(5)))
        found[0]["x"] = 2
        assert found[1:] == [{"x": 1}] * 4
        assert server.calls == ["get"]
        assert service.calls == [1]

    run(scenario())


def test_a_failure_is_for_all_who_wait(make_cache):
    """And who calls later tries again."""

    async def scenario():
        service = Service(make_cache(), fails(ValueError("no")))
        service.gate.clear()
        tasks = [asyncio.ensure_future(service.ask(1)) for _ in range(5)]
        await turns()
        service.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [*map(repr, found)] == ["ValueError('no')"] * 5
        service.answer = lambda x: x
        assert await service.ask(1) == 1
        assert service.calls == [1, 1]

    run(scenario())


def test_one_that_is_cancelled_takes_nobody_with_it(make_cache):
    """Another one computes in its place."""

    async def scenario():
        service = Service(make_cache())
        service.gate.clear()
        tasks = [asyncio.ensure_future(service.ask(1)) for _ in range(5)]
        await turns()
        tasks[0].cancel()  # it computes
        tasks[3].cancel()  # it waits
        await turns()
        assert service.calls == [1, 1]
        service.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each).__name__ for each in found] == [
            "CancelledError", "dict", "dict", "CancelledError", "dict",
        ]  # fmt: skip
        assert service.calls == [1, 1]
        assert len(service.cache._flights) == 0

    run(scenario())


@given(st.lists(st.integers(0, 4), max_size=12), st.booleans())
def test_cancelled_in_any_order(order, fail):
    """Nobody hangs, whoever is cancelled and when."""

    async def scenario():
        service = Service()
        service.gate.clear()
        tasks = [asyncio.ensure_future(service.ask(1)) for _ in range(5)]
        for number in order:
            await turns(2)
            tasks[number].cancel()
        if fail:
            service.answer = fails(ValueError("no"))
        service.gate.set()
        found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        gone = set(order)
        assert all(isinstance(found[n], asyncio.CancelledError) for n in gone)
        assert all(type(found[n]) is (ValueError if fail else dict) for n in {*range(5)} - gone)
        assert len(service.cache._flights) == 0

    run(scenario())


def test_nobody_waits_for_himself():
    """Neither directly, nor through a task of his own."""

    async def scenario():
        calls = []
        cache = Cache()

        @cached(key_prefix="t:", cache=cache)
        async def count(x):
            calls.append(x)
            if len(calls) < 3:
                return await asyncio.ensure_future(count(x))
            return len(calls)

        assert await asyncio.wait_for(count(1), 30) == 3

        @cached(key_prefix="t:", cache=cache)
        def count_here(x):
            calls.append(x)
            return count_here(x) if len(calls) < 6 else len(calls)

        assert count_here(1) == 6

    run(scenario())


def test_two_that_wait_for_each_other():
    """One loses its patience."""

    async def scenario():
        cache = Cache(wait=0.05)

        @cached(key_prefix="t:", cache=cache)
        async def ask(x):
            await asyncio.sleep(0)
            if not seen.get(x):
                seen[x] = True
                return await ask(1 - x)
            return x

        seen = {}
        found = await asyncio.wait_for(asyncio.gather(ask(0), ask(1)), 30)
        assert set(found) <= {0, 1}

    run(scenario())


def test_threads_wait_for_each_other():
    """And an event loop for none of them."""
    service = Service()
    begun, go_on = threading.Event(), threading.Event()

    def slow(x):
        begun.set()
        go_on.wait(60)
        return x

    service.answer = slow
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(service.ask_here(1))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    begun.wait(60)

    async def inside():
        service.answer = str
        return service.ask_here(1)

    assert run(inside()) == "1"
    assert service.calls == [1, 1]
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert found == [1] * 5
    assert service.calls == [1, 1]


# --- what is kept, and for how long ---


@pytest.fixture
def clock():
    """A clock that the test moves."""
    clock = FakeClock()
    with _clock.use(clock):
        yield clock


def test_nothing_is_no_result_unless_it_is_to_be_one(clock):
    """None is kept for a time of its own."""

    async def scenario():
        service = Service(answer=nothing)
        assert [await service.ask(1), service.ask_here(1)] == [None, None]
        assert [await service.ask(1), service.ask_here(1)] == [None, None]
        assert len(service.calls) == 4
        service = Service(answer=nothing, negative_ttl=5, ttl=100)
        for _ in range(3):
            assert [await service.ask(1), service.ask_here(1)] == [None, None]
        assert len(service.calls) == 2
        clock.advance(6)
        assert await service.ask(1) is None
        assert len(service.calls) == 3
        service = Service(Cache(negative_ttl=5), nothing)
        assert [await service.ask(1), await service.ask(1)] == [None, None]
        assert len(service.calls) == 1
        service = Service(Cache(negative_ttl=5), nothing, negative_ttl=0)
        assert [await service.ask(1), await service.ask(1)] == [None, None]
        assert len(service.calls) == 2

    run(scenario())


class OtherError(ValueError):
    """One of those that were named."""


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_errors_that_are_named(make_cache):
    """They are kept, by their class, and raised again; no others are."""

    async def scenario():
        options = {"negative_ttl": 5, "exceptions": (ValueError, OddError)}
        service = Service(make_cache(), fails(ValueError("no", 1)), **options)
        for _ in range(3):
            with pytest.raises(ValueError, match="no") as caught:
                await service.ask(1)
            assert caught.value.args == ("no", 1)
            with pytest.raises(ValueError, match="no"):
                service.ask_here(1)
        assert len(service.calls) == 2
        assert await service.cache.get(next(iter(keys(service.cache)))) is None
        service = Service(make_cache(), **options)
        for error in (OtherError("x"), ValueError(object()), OddError(1, 2), KeyError("k")):
            service.answer = partial(_raise, error)
            for _ in range(2):
                with pytest.raises(type(error)):
                    await service.ask(repr(error))
        assert len(service.calls) == 8

    run(scenario())


def keys(cache):
    """The keys that it has."""
    return cache.remote.server.entries if cache.remote else [*cache.memory._entries]


def _raise(error, _):
    raise error


def test_an_error_that_is_not_named_any_more():
    """It is as good as none."""

    async def scenario():
        cache = Cache()
        before = Service(cache, fails(ValueError("x")), negative_ttl=9, exceptions=ValueError)
        with pytest.raises(ValueError, match="x"):
            await before.ask(1)
        assert await Service(cache).ask(1) == {"x": 1}

    run(scenario())


def test_what_can_not_be_kept(make_cache, caplog):
    """It is given, each time made anew, told once and counted; nobody shares it."""

    async def scenario():
        service = Service(make_cache(), lambda x: (x, object()))
        service.gate.clear()
        tasks = [asyncio.ensure_future(service.ask(1)) for _ in range(3)]
        await turns()
        service.gate.set()
        found = await asyncio.gather(*tasks)
        assert len({id(each[1]) for each in found}) == 3
        assert service.ask_here(1)[0] == 1
        assert service.ask.cache_info().refused >= 1

    run(scenario())
    text = "ask gives can't be cached: it, a tuple, does not come back from JSON as it is"
    assert caplog.text.count(text) == 1


def test_a_server_that_is_full():
    """The result is given all the same."""

    async def scenario():
        cache, server = with_server()
        server.full = True
        service = Service(cache)
        assert await service.ask(1) == {"x": 1}
        assert service.ask.cache_info().refused == 1

    run(scenario())


def test_times(clock):
    """Of the function, else of the cache."""

    async def scenario():
        service, other = Service(Cache(ttl=10)), Service(ttl=20)
        for each in (service, other):
            await each.ask(1)
            each.ask_here(1)
        clock.advance(11)
        for each in (service, other):
            await each.ask(1)
            each.ask_here(1)
        assert (len(service.calls), len(other.calls)) == (4, 2)

    run(scenario())


# --- what can be decorated ---


def test_generators():
    """They have done nothing yet when they return."""

    def numbers():
        yield 1

    async def later():
        yield 1

    for function in (numbers, later):
        with pytest.raises(TypeError, match="is a generator"):
            cached(ttl=5)(function)
    with pytest.raises(TypeError, match="can't be called"):
        cached(ttl=5)(classmethod(numbers))


def test_functions_without_a_name_of_their_own():
    """They would share results."""
    number = 1

    def plus(x):
        return x + number

    for function in (plus, lambda x: x):
        with pytest.raises(TypeError, match="give each a key_prefix of its own"):
            cached(function)
    assert cached(key_prefix="plus:")(plus)(1) == 2
    with pytest.raises(TypeError, match="has no name"):
        cached(ttl=1)(partial(plus, 1))
    with pytest.raises(TypeError, match="leave out the"):
        cached(key_prefix="a*")(plus)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ttl": 0}, ConfigurationError),
        ({"ttl": "1"}, ConfigurationError),
        ({"negative_ttl": -1}, ConfigurationError),
        ({"exceptions": (KeyboardInterrupt,)}, TypeError),
        ({"exceptions": ["x"]}, TypeError),
        ({"ignore": "y"}, TypeError),
        ({"other": 1}, TypeError),
    ],
    ids=repr,
)
def test_wrong_options(options, error):
    """They are refused when the function is decorated."""
    with pytest.raises(error):
        cached(**options)(len_of)


def len_of(x):
    """The length."""
    return len(x)


class Client:
    def __init__(self, site):
        self.site = site

    @cached
    async def fetch(self, page):
        return f"{self.site}{page}"

    @cached(ignore="self")
    def parse(self, page):
        return f"{page} parsed"


class NamedClient(Client):
    def __cache_key__(self):
        return self.site


def test_methods():
    """Self is an argument: one that says what it stands for, or that is left out."""

    async def scenario():
        with pytest.raises(TypeError, match=r"Client\.fetch\(\): .* argument self"):
            await Client("a").fetch(1)
        assert await NamedClient("a").fetch(1) == "a1"
        assert await NamedClient("b").fetch(1) == "b1"
        before = Client.fetch.cache_info().hits
        assert await NamedClient("a").fetch(1) == "a1"
        assert Client.fetch.cache_info().hits == before + 1
        assert Client("a").parse(1) == Client("b").parse(1) == "1 parsed"

    run(scenario())


def test_unhashable_arguments():
    """They are keys as others are; what is none is told."""
    service = Service(answer=str)
    assert service.ask_here({"a": [1, {2}]}) == service.ask_here({"a": [1, {2}]})
    assert len(service.calls) == 1
    with pytest.raises(TypeError, match="argument x"):
        service.ask_here(object())


# --- which cache ---


def test_of_the_crawl_that_calls(monkeypatch):
    """That of the context; in a thread that of the only crawl; else one of the process."""
    monkeypatch.setattr(here, "_crawls", here.Here("test"))
    length = cached(len_of)
    first, second = get_crawler(), get_crawler()
    found = []

    async def crawl(crawler):
        here.enter(crawler)
        await asyncio.sleep(0)
        length("abc")
        await asyncio.to_thread(length, "abcd")
        thread = threading.Thread(target=lambda: found.append(current()))
        thread.start()
        thread.join()
        here.leave(crawler)

    async def both():
        await asyncio.gather(
            asyncio.ensure_future(crawl(first)), asyncio.ensure_future(crawl(second))
        )

    run(both())
    assert [cache_of(each).stats().size for each in (first, second)] == [2, 2]
    assert found[0] is current() is current()
    assert found[0] not in {cache_of(first), cache_of(second)}
    run(crawl(first))
    assert found[-1] is cache_of(first)


def test_any_names_of_arguments():
    """They are the function's, not the cache's."""

    def here(self, key, plan, make):
        return [self, key, plan, make]

    async def later(self, key, plan, make):
        return [self, key, plan, make]

    names = {"self": 1, "key": 2, "plan": 3, "make": 4}
    cache = Cache()
    for _ in range(2):
        assert cached(cache=cache)(here)(**names) == [1, 2, 3, 4]
        assert run(cached(cache=cache)(later)(**names)) == [1, 2, 3, 4]


class Shop:
    def price(self, x):
        """Be one of many."""

    @classmethod
    def build(cls, x):
        """Be one of each class."""


def test_methods_that_are_bound():
    """Those of two objects, or classes, would share results; those of a module do not."""
    for function in (Shop().price, Shop.build):
        with pytest.raises(TypeError, match="give each a key_prefix of its own"):
            cached(ttl=1)(function)
        cached(key_prefix="shop 1:")(function)
    assert cached(cache=Cache())(math.sqrt)(4) == 2

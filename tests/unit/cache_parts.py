"""A cache with a server that is a dict, and may be away."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from scrapy_resilience.cache import Cache
from scrapy_resilience.cache.remote import Remote
from scrapy_resilience.core.keypatterns import KeyPattern


class FullError(Exception):
    """What a full server answers."""

    def __str__(self):
        return "OOM command not allowed"


class FakeServer:
    """Commands of a Redis, of which the next ones may fail with *error*."""

    name = "Redis at fake"

    def __init__(self):
        self.entries = {}
        self.error = None
        self.lost_answer = False
        """Whether a command that fails is run all the same."""
        self.full = False
        self.calls = []
        self.closed = False
        self.places = asyncio.Semaphore(50)

    async def _turn(self, name, run):
        await asyncio.sleep(0)
        self.calls.append(name)
        if self.error is not None:
            if self.lost_answer:
                run()
            raise self.error
        return run()

    async def ping(self):
        return await self._turn("ping", lambda: None)

    async def check(self):
        return await self._turn("check", lambda: None)

    async def get(self, key):
        return await self._turn("get", lambda: self.entries.get(key))

    async def set(self, key, raw, ttl):
        if self.full:
            raise FullError
        return await self._turn("set", lambda: self.entries.update({key: raw}))

    async def delete(self, keys):
        return await self._turn(
            "delete", lambda: sum(self.entries.pop(key, None) is not None for key in keys)
        )

    async def exists(self, key):
        return await self._turn("exists", lambda: key in self.entries)

    async def get_many(self, keys):
        return await self._turn("mget", lambda: [self.entries.get(key) for key in keys])

    async def set_many(self, entries, ttl):
        if self.full:
            return [*entries]
        return await self._turn("mset", lambda: self.entries.update(entries) or [])

    async def clear(self, pattern):
        matches = KeyPattern(pattern)
        keys = [key for key in self.entries if matches(key)]
        return await self._turn(
            "clear", lambda: sum(self.entries.pop(key, None) is not None for key in keys)
        )

    async def close(self):
        self.closed = True


def with_server(server=None, **settings):
    """A cache with a fake server."""
    cache = Cache(**settings)
    server = FakeServer() if server is None else server
    cache.remote = Remote(server, cache.memory, cache.counts, 1.0, 5.0)
    return cache, server


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


async def turns(count=20):
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)

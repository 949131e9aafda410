"""Scrapy's HTTP cache in Redis, or a server that speaks as it does."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError
from scrapy_resilience.httpcache.storage import EntryStorage

if TYPE_CHECKING:
    from scrapy_resilience.httpcache.entries import Entry
    from scrapy_resilience.settings import Config

__all__ = ["RedisCacheStorage", "client_of"]

_URL: Final = "RESILIENCE_HTTPCACHE_REDIS_URL"
_WAIT: Final = 5.0
"""Seconds for which the thread waits, beside the crawl."""
_BATCH: Final = 64
_MORE: Final = 16
"""Old entries that may go with each new one."""
_STORE: Final = """
local entry, index, sizes = KEYS[1], KEYS[2], KEYS[3]
local prefix, name, data = ARGV[1], ARGV[2], ARGV[3]
local now, expires, most, more = unpack(ARGV, 4)
if tonumber(expires) > 0 then
    redis.call('SET', entry, data, 'EX', expires)
else
    redis.call('SET', entry, data)
end
local left = redis.call('TTL', index)
local before = tonumber(redis.call('HGET', sizes, name) or 0)
redis.call('HSET', sizes, name, #data)
redis.call('ZADD', index, now, name)
local total = redis.call('HINCRBY', sizes, '', #data - before)
for _, key in ipairs({index, sizes}) do
    if tonumber(expires) == 0 then
        redis.call('PERSIST', key)
    elseif left ~= -1 then
        redis.call('EXPIRE', key, math.max(left, expires))
    end
end
for _ = 1, more do
    local oldest = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
    local expired = tonumber(expires) > 0 and oldest[1] and oldest[2] + expires < tonumber(now)
    if not oldest[1] or (total <= tonumber(most) and not expired) then
        break
    end
    redis.call('DEL', prefix .. oldest[1])
    redis.call('ZREM', index, oldest[1])
    total = redis.call('HINCRBY', sizes, '', -(redis.call('HGET', sizes, oldest[1]) or 0))
    redis.call('HDEL', sizes, oldest[1])
end
"""
"""Stores an entry, and deletes the oldest above the limit, in one step.

What is known of all entries stays as long as the last of them may: -1 is for ever.
"""


class RedisCacheStorage(EntryStorage):
    """Keys ``httpcache:SPIDER:…`` in the Redis of ``RESILIENCE_HTTPCACHE_REDIS_URL``.

    A page is there a moment after it was stored, for all processes. With
    ``HTTPCACHE_EXPIRATION_SECS`` Redis deletes it by itself. A Redis that is away, slow, full
    or read-only costs the crawl its cache, and no page.
    """

    @classmethod
    def check(cls, config: Config) -> None:
        _check_url(config.httpcache_redis_url)

    def _store_of(self, spider: str) -> RedisEntries:
        config = self._config
        return RedisEntries(
            config.httpcache_redis_url,
            f"{config.httpcache_redis_prefix}:{spider}:",
            config.httpcache_redis_timeout,
            self._most,
            self._expires,
        )


class RedisEntries:
    """A string for each entry; with a limit, also when each was stored, and its size."""

    place = f"the Redis of {_URL}"

    def __init__(self, url: str, prefix: str, timeout: float, most: int, expires: int) -> None:
        self._url = url
        self._prefix = prefix
        self._timeout = timeout
        self._most = most
        self._expires = expires
        self._reader: Any = None
        self._writer: Any = None

    def open(self) -> None:
        _close(self._reader)
        reader = client_of(self._url, self._timeout, single_connection_client=True)
        reader.ping()
        self._reader = reader

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._reader.get(self._prefix + key.hex())
        return found

    def put(self, entries: list[Entry]) -> None:
        if self._writer is None:
            self._writer = client_of(self._url, _WAIT)
            self._store = self._writer.register_script(_STORE)
        for start in range(0, len(entries), _BATCH):
            pipe = self._writer.pipeline(transaction=False)
            for entry in entries[start : start + _BATCH]:
                self._put(pipe, entry)
            pipe.execute()

    def _put(self, pipe: Any, entry: Entry) -> None:
        name = entry.key.hex()
        if not self._most:
            pipe.set(self._prefix + name, entry.data, ex=self._expires or None)
            return
        self._store(
            keys=[f"{self._prefix}{each}" for each in (name, "index", "sizes")],
            args=[
                self._prefix,
                name,
                entry.data,
                entry.stored,
                self._expires,
                self._most,
                _MORE,
            ],
            client=pipe,
        )

    def close(self) -> None:
        for client in (self._reader, self._writer):
            _close(client)


def _check_url(url: str) -> None:
    """Raises :exc:`ConfigurationError`, and :exc:`MissingLibraryError` without the extra."""
    if not url:
        raise ConfigurationError(
            f"RedisCacheStorage needs {_URL}: set it to redis://127.0.0.1:6379/0, or where "
            "your Redis is."
        )
    try:
        pool = client_of(url, _WAIT).connection_pool
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError):  # what they say may hold the password
        raise ConfigurationError(
            f"{_URL} is not the URL of a Redis: use redis://HOST:PORT/0, rediss://HOST:PORT/0 "
            "with TLS, or unix:///PATH. A password goes before the host, with %2F for /, %3A "
            "for : and %40 for @ in it."
        ) from None


def client_of(url: str, timeout: float, **options: Any) -> Any:
    """One that waits so many seconds, and speaks as old servers do, too."""
    try:
        import redis  # noqa: PLC0415 - the extra "redis"
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError:
        raise MissingLibraryError(
            'RedisCacheStorage needs redis: pip install "scrapy-resilience[redis]"'
        ) from None
    ours = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # A connection that the server has closed is made anew; nothing is waited for twice.
        "retry": Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        "protocol": 2,
        "decode_responses": False,
    }
    pool = redis.ConnectionPool.from_url(url, **ours)
    pool.connection_kwargs.update(ours)  # the URL may say otherwise
    return redis.Redis(connection_pool=pool, **options)


def _close(client: Any) -> None:
    if client is not None:
        with suppress(Exception):  # it is not used any more
            client.close()
            client.connection_pool.disconnect()

"""The cache: Redis where there is one, else memory."""

from __future__ import annotations

import asyncio
from math import isfinite
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import asdict

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.cache.counts import CacheStats
from scrapy_resilience.cache.fetching import MISSING, Fetching, Plan
from scrapy_resilience.cache.redis_server import RedisServer
from scrapy_resilience.cache.remote import FULL, Away, Remote
from scrapy_resilience.core.cachevalues import Codec, Failure, Serializer, UnreadableError
from scrapy_resilience.core.health import Finding
from scrapy_resilience.core.keypatterns import KeyPattern
from scrapy_resilience.core.lru import TimedLRU
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.settings import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Self

    from scrapy_resilience.core.cachevalues import Packed

__all__ = ["Cache", "checked_ttl"]

logger = get_logger(__name__)

_ARGUMENTS: Final = (
    "url", "prefix", "ttl", "size", "memory_mb", "serializer", "secret", "connections",
    "timeout", "retry_after", "compress_from", "negative_ttl", "wait",
)  # fmt: skip
"""Each is a setting, too, which says what it may be."""
_LONGEST_TTL: Final = 1e9
_MEGABYTE: Final = 2**20


class Cache(Fetching):
    """Keeps values for a time: in Redis where *url* names one, else in memory.

    A Redis that is away does not stop anybody: the cache goes on in memory, says so once, and
    uses Redis again when it is back. What was written, deleted or cleared meanwhile is deleted
    there first, so nothing older comes back.

    What is given is a copy. Keys are texts, values are JSON (None, numbers, texts, lists and
    dicts of them) unless *serializer* is ``"pickle"``.

    :param url: ``redis://[[user]:password@]host[:port][/database]``, ``rediss://`` for TLS, or
        ``unix:///path``. It needs the extra ``redis``
    :param prefix: with which all keys begin in Redis
    :param ttl: seconds that a value is kept by default
    :param size: values that are kept in memory at most; those not asked for the longest go
    :param memory_mb: their size together, in MB (2**20 bytes)
    :param serializer: ``"json"``, or ``"pickle"`` for any value; reading a pickle can run any
        code, so with Redis it needs a *secret*
    :param secret: signs what is written to Redis: nothing else is read then
    :param connections: to Redis at most
    :param timeout: seconds after which a Redis that does not answer is away
    :param retry_after: seconds after which it is looked at again, later twice as many, up to 30
    :param compress_from: bytes from which on a value is compressed in Redis; 0: never
    :param negative_ttl: seconds that functions with :func:`cached` keep None and the exceptions
        that they name; 0: not at all
    :param wait: seconds that a call of such a function waits for another one's result

    Raises :exc:`.ConfigurationError` for a value that makes no sense, and
    :exc:`.MissingLibraryError` without the extra. Use it in one event loop at a time where it
    has a Redis; in memory any thread and task may use it.
    """

    def __init__(
        self,
        url: str = "",
        *,
        prefix: str = "scrapy:",
        ttl: float = 300.0,
        size: int = 1_000,
        memory_mb: float = 64.0,
        serializer: Serializer = "json",
        secret: str = "",
        connections: int = 50,
        timeout: float = 1.0,
        retry_after: float = 5.0,
        compress_from: int = 1_024,
        negative_ttl: float = 0.0,
        wait: float = 60.0,
    ) -> None:
        given = locals()
        for name in _ARGUMENTS:
            checked(f"cache_{name}", given[name])
        if serializer == "pickle" and url and not secret:
            raise ConfigurationError(
                "Values from Redis are unpickled only if they are signed: set "
                "RESILIENCE_CACHE_SECRET, or RESILIENCE_CACHE_SERIALIZER to json."
            )
        most_bytes = int(memory_mb * _MEGABYTE)
        # its owner may take it again: a signal handler may come in while we hold it
        memory: TimedLRU[Packed] = TimedLRU(size, most_bytes, _clock.monotonic, RLock())
        codec = Codec(serializer, secret, compress_from)
        super().__init__(memory, codec, ttl, negative_ttl, wait)
        self._told_unreadable = False
        if url:
            server = RedisServer(url, prefix, connections, timeout)
            self.remote = Remote(server, memory, self.counts, timeout, retry_after)

    def __repr__(self) -> str:
        where = "in memory" if self.remote is None else f"in {self.remote.server.name}"
        return f"<Cache {where}>"

    # --- one value ---

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or *default* where there is none."""
        if self.remote is None:
            found = self.at_hand(_checked_key(key))
        else:
            found = await self.read(_checked_key(key))
        if found is MISSING or type(found) is Failure:
            self.counts.misses += 1
            return default
        self.counts.hits += 1
        return found

    async def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Keep *value* for *ttl* seconds; False where there is no room for it.

        Raises :exc:`TypeError` for a value that JSON does not give back as it is.
        """
        packed = self.codec.pack(value)
        return await self.write(_checked_key(key), packed, self._ttl(ttl))

    async def delete(self, *keys: str) -> int:
        """Forget these; gives how many there were."""
        wanted = [_checked_key(key) for key in keys]
        count = self.memory.delete(wanted)
        if self.remote is None or not wanted:
            return count
        found = await self.remote.ask(self.remote.server.delete, wanted)
        if isinstance(found, Away):
            self.remote.meanwhile.touch(wanted)
            return count
        return count + found

    async def exists(self, key: str) -> bool:
        """Whether there is a value; nothing is counted."""
        if self.remote is not None:
            found = await self.remote.ask(self.remote.server.exists, _checked_key(key))
            if not isinstance(found, Away):
                return found
        return self.memory.has(_checked_key(key))

    # --- several ---

    async def mget(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values that are there, by key."""
        wanted = list(dict.fromkeys(map(_checked_key, keys)))
        found = await self._read_many(wanted)
        values = {key: value for key, value in found.items() if type(value) is not Failure}
        self.counts.hits += len(values)
        self.counts.misses += len(wanted) - len(values)
        return values

    async def mset(self, values: Mapping[str, Any], ttl: float | None = None) -> int:
        """Keep all of them for *ttl* seconds; gives how many there was room for.

        Raises as :meth:`set`, and keeps none of them then.
        """
        packed = {_checked_key(key): self.codec.pack(value) for key, value in values.items()}
        seconds = self._ttl(ttl)
        if self.remote is None:
            return self.keep_here(packed, seconds)
        raws = {key: self.codec.to_wire(key, each) for key, each in packed.items()}
        refused = await self.remote.ask(self.remote.server.set_many, raws, seconds)
        if isinstance(refused, Away):
            self.remote.meanwhile.touch(packed)
            return self.keep_here(packed, seconds)
        if refused:
            self.remote.full()
            await self._refused(refused)
        self.counts.writes += len(packed) - len(refused)
        return len(packed) - len(refused)

    async def clear(self, pattern: str = "*") -> int:
        """Forget what matches; ``*`` stands for anything. Gives how many there were.

        In Redis all keys are looked through, in steps, between which others are served.
        """
        count = self.memory.clear(KeyPattern(pattern))
        if self.remote is None:
            return count
        found = await self.remote.ask(self.remote.server.clear, pattern)
        if isinstance(found, Away):
            self.remote.meanwhile.clear(pattern)
            return count
        return count + found

    async def warm(
        self,
        keys: Iterable[str],
        load: Callable[[str], Any],
        ttl: float | None = None,
        concurrency: int = 10,
    ) -> int:
        """Have *load*, of a key, make the values that are not there; gives how many it made.

        It may be a coroutine function, and is called for some keys at a time. One that fails is
        logged, and the others are made all the same.
        """
        plan = Plan(self._ttl(ttl), name="warm()")
        left = iter(dict.fromkeys(map(_checked_key, keys)))

        async def work() -> int:
            return sum([await self._warmed(key, load, plan) for key in left])

        failed = await asyncio.gather(*(work() for _ in range(max(concurrency, 1))))
        return plan.misses - sum(failed)

    # --- how it is ---

    async def get_stats(self) -> CacheStats:
        """What it has done, and what it has in memory."""
        return self.stats()

    def stats(self) -> CacheStats:
        """The same, at once."""
        remote = self.remote
        where = "off" if remote is None else "away" if remote.is_away else "on"
        return CacheStats(
            **asdict(self.counts),
            evicted=self.memory.evicted,
            size=len(self.memory),
            size_bytes=self.memory.size,
            redis=where,
        )

    async def health_check(self) -> Finding:
        """``healthy``, or ``degraded`` with a few words why: Redis is away."""
        if self.remote is None:
            return Finding("healthy", f"in memory: {len(self.memory):,} values")
        if not self.remote.is_away:
            await self.remote.ask(self.remote.server.ping)
        if self.remote.is_away:
            self.remote.look_again()
            text = f"{self.remote.server.name} is away, in memory: {self.remote.trouble}"
            return Finding("degraded", text)
        return Finding("healthy", f"{self.remote.server.name} answers")

    async def check(self) -> None:
        """Raises :exc:`.ConfigurationError` where Redis refuses: a wrong password, a replica.

        One that is away is no error.
        """
        if self.remote is not None and (why := await self.remote.refusal()):
            raise ConfigurationError(why)

    # --- its end ---

    def clear_memory(self) -> None:
        """Forget what is in memory: it is short."""
        self.memory.clear()

    async def close(self) -> None:
        """End the connections; the cache may be used again."""
        if self.remote is not None:
            await self.remote.close()

    async def __aenter__(self) -> Self:
        try:
            await self.check()
        except ConfigurationError:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- parts ---

    async def _warmed(self, key: str, load: Callable[[str], Any], plan: Plan) -> bool:
        """Whether it has failed."""
        try:
            await self.fetch(key, plan, load, key)
        except Exception:  # the others are made all the same
            logger.exception("A value for the cache can't be made")
            return True
        return False

    async def read(self, key: str) -> Any:
        """The value, a :class:`Failure`, or MISSING."""
        if self.remote is not None:
            raw = await self.remote.ask(self.remote.server.get, key)
            if not isinstance(raw, Away):
                return MISSING if raw is None else self._opened(key, raw)
        return self.at_hand(key)

    async def write(self, key: str, packed: Packed, ttl: float) -> bool:
        """Whether there was room."""
        if self.remote is not None:
            raw = self.codec.to_wire(key, packed)
            answer = await self.remote.ask(self.remote.server.set, key, raw, ttl)
            if answer is FULL:
                await self._refused([key])
                return False
            if answer is None:
                self.counts.writes += 1
                return True
            self.remote.meanwhile.touch([key])
        return bool(self.keep_here({key: packed}, ttl))

    async def _read_many(self, keys: list[str]) -> dict[str, Any]:
        raws: list[bytes | None] | Away | None = None
        if self.remote is not None:
            raws = await self.remote.ask(self.remote.server.get_many, keys)
        if raws is None or isinstance(raws, Away):
            values = {key: self.at_hand(key) for key in keys}
        else:
            values = {
                key: MISSING if raw is None else self._opened(key, raw)
                for key, raw in zip(keys, raws, strict=True)
            }
        return {key: value for key, value in values.items() if value is not MISSING}

    def _opened(self, key: str, raw: bytes) -> Any:
        try:
            return self.codec.from_wire(key, raw)
        except UnreadableError:
            self.counts.unreadable += 1
        if not self._told_unreadable:
            self._told_unreadable = True
            logger.warning(
                "%s has entries that another version or serializer has written, or that are "
                "not signed with the secret: they are as good as none",
                self,
            )
        return MISSING

    async def _refused(self, keys: list[str]) -> None:
        """There was no room: an older value of theirs must not stay."""
        self.counts.refused += len(keys)
        await self.delete(*keys)

    def _ttl(self, ttl: float | None) -> float:
        return self.ttl if ttl is None else checked_ttl(ttl)


def checked_ttl(ttl: Any, name: str = "ttl") -> float:
    """Raises :exc:`ConfigurationError` for no seconds at all."""
    number = isinstance(ttl, (int, float)) and not isinstance(ttl, bool)
    if not (number and isfinite(ttl) and 0 < ttl <= _LONGEST_TTL):
        raise ConfigurationError(f"{name}={ttl!r}: use a number of seconds above 0.")
    return float(ttl)


def _checked_key(key: Any) -> str:
    if type(key) is not str or not key:
        raise TypeError(f"the key {key!r:.100}: use a text")
    return key

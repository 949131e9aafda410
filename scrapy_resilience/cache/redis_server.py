"""A Redis as a place for bytes: a few commands, each of which ends in time or raises.

Nothing is tried twice: a command that was not answered in time may have been run. It speaks
RESP2, which every server knows. The library redis, extra ``redis``, is imported here only.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

from scrapy_resilience.cache.bounded import bounded
from scrapy_resilience.core.keypatterns import KeyPattern
from scrapy_resilience.core.masking import clipped, message_of, shown
from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["RedisServer", "is_full", "is_refusal", "reason_of"]

_SCHEMES: Final = frozenset({"redis", "rediss", "unix"})
_OPTIONS: Final = frozenset({"db", "client_name"})
"""Of a URL, and those that begin with ``ssl_``: all others are settings of ours."""
_QUOTED: Final = "In a password write %2F for /, %23 for # and %3F for ?."
_ADVICE: Final = (
    "use one such as redis://localhost:6379/0, rediss:// for TLS, or unix:///path. " + _QUOTED
)
_LONGEST: Final = 200
"""Characters of what an error says."""
_STEP: Final = 500
"""Keys in one command."""
_VALUES: Final = 100
_BYTES: Final = 2**20
"""Values, and their bytes, that go or come in one step: that has to be over in time."""
_REFUSALS: Final = frozenset(
    {"AuthenticationError", "AuthorizationError", "NoPermissionError", "ReadOnlyError"}
    | {"InvalidResponse", "MovedError"}
)
"""Classes of redis; a ``ResponseError`` is one, too, but for what passes by itself."""
_WRONG_TYPE: Final = "wrong kind of value"
_PASSING: Final = ("MISCONF", "LOADING", "BUSY", "OOM", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS")


class _Client(NamedTuple):
    redis: Any
    places: asyncio.Semaphore


class RedisServer:
    """The entries of one *prefix*; *connections* at most, *timeout* seconds a command.

    Raises :exc:`.ConfigurationError` for a URL that is none, and :exc:`.MissingLibraryError`.
    """

    def __init__(self, url: str, prefix: str, connections: int, timeout: float) -> None:
        self._library = _library()
        self._url = _checked(url)
        self._prefix = prefix
        self._connections = connections
        self._timeout = timeout
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _Client] = (
            WeakKeyDictionary()
        )
        """A connection belongs to the event loop that it was made in."""
        self.name = _name(url)

    # --- commands ---

    async def get(self, key: str) -> bytes | None:
        """Something of somebody else's that is no text, such as a list, is no entry of ours."""
        try:
            found: bytes | None = await self._run("GET", self._full(key))
        except Exception as error:
            if _WRONG_TYPE in message_of(error):
                return b""
            raise
        return found

    async def set(self, key: str, raw: bytes, ttl: float) -> None:
        await self._run("SET", self._full(key), raw, "PX", _milliseconds(ttl))

    async def delete(self, keys: Iterable[str]) -> int:
        """How many there were."""
        return await self._unlink([self._full(key) for key in keys])

    async def exists(self, key: str) -> bool:
        return bool(await self._run("EXISTS", self._full(key)))

    async def get_many(self, keys: Iterable[str]) -> list[bytes | None]:
        """In the order of the keys."""
        found: list[bytes | None] = []
        for step in _steps([self._full(key) for key in keys], _VALUES):
            found += await self._run("MGET", *step)
        return found

    async def set_many(self, entries: Mapping[str, bytes], ttl: float) -> list[str]:
        """Gives the keys of those that were refused: the server is full."""
        refused = []
        for step in _steps([*entries.items()], _VALUES, lambda entry: len(entry[1])):
            pipeline = self._here().redis.pipeline(transaction=False)
            for key, raw in step:
                pipeline.execute_command("SET", self._full(key), raw, "PX", _milliseconds(ttl))
            answers = await bounded(pipeline.execute(raise_on_error=False), self._timeout)
            for (key, _), answer in zip(step, answers, strict=True):
                if isinstance(answer, Exception):
                    if not is_full(answer):
                        raise answer
                    refused.append(key)
        return refused

    async def clear(self, pattern: str) -> int:
        """Delete what matches, in steps: other commands run between them."""
        wanted = KeyPattern(pattern).for_redis(self._prefix).encode("utf-8", "surrogatepass")
        count, cursor = 0, b"0"
        while True:
            cursor, keys = await self._run("SCAN", cursor, "MATCH", wanted, "COUNT", _STEP * 2)
            count += await self._unlink(keys)
            if int(cursor) == 0:
                return count

    async def ping(self) -> None:
        await self._run("PING")

    async def check(self) -> None:
        """Do what the cache will do: read, write and delete."""
        key = "_check"
        await self.set(key, b"", 1.0)
        await self.get(key)
        await self.delete([key])

    async def close(self) -> None:
        """End the connections of this event loop; those of others end with theirs."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await bounded(client.redis.connection_pool.disconnect(), self._timeout)

    # --- how ---

    @property
    def places(self) -> asyncio.Semaphore:
        """Hold one for each command: there are as many as connections."""
        return self._here().places

    async def _run(self, *command: Any) -> Any:
        return await bounded(self._here().redis.execute_command(*command), self._timeout)

    async def _unlink(self, keys: Sequence[bytes]) -> int:
        return sum([await self._run("UNLINK", *step) for step in _steps(keys)])

    def _full(self, key: str) -> bytes:
        return f"{self._prefix}{key}".encode("utf-8", "surrogatepass")

    def _here(self) -> _Client:
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            found = self._clients[loop] = self._connect()
        return found

    def _connect(self) -> _Client:
        pool = self._library.ConnectionPool.from_url(
            self._url,
            max_connections=self._connections,
            protocol=2,
            retry=_never_again(),
            socket_timeout=None,  # each command as a whole is bounded
            socket_connect_timeout=None,
        )
        client = self._library.Redis(connection_pool=pool)
        client.response_callbacks.clear()  # bytes are what is wanted
        return _Client(client, asyncio.Semaphore(self._connections))


def is_full(error: BaseException) -> bool:
    """Whether the server has no room, and answers all the same."""
    name, text = type(error).__name__, message_of(error)
    return name == "OutOfMemoryError" or text.startswith("OOM ")


def is_refusal(error: BaseException) -> bool:
    """Whether trying again is in vain: the URL or the server's settings have to change."""
    name, text = type(error).__name__, message_of(error)
    if name in _REFUSALS or (name == "ResponseError" and not text.startswith(_PASSING)):
        return True
    return _tls_error(error) is not None


def reason_of(error: BaseException) -> str:
    """What has happened, in one line; what older versions of redis say of TLS is a number."""
    said = clipped(message_of(_tls_error(error) or error), _LONGEST).rstrip(".")
    if isinstance(error, asyncio.TimeoutError):
        return said or "no answer in time"
    return said or type(error).__name__


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _library() -> Any:
    try:
        import redis.asyncio as library  # noqa: PLC0415 - the extra "redis"
    except ImportError:
        raise MissingLibraryError(
            "RESILIENCE_CACHE_URL needs the library redis: install scrapy-resilience[redis]."
        ) from None
    return library


def _never_again() -> Any:
    from redis.asyncio.retry import Retry  # noqa: PLC0415 - the extra "redis"
    from redis.backoff import NoBackoff  # noqa: PLC0415

    return Retry(NoBackoff(), 0)


def _checked(url: str) -> str:
    """Raises :exc:`ConfigurationError`, without showing any of it: a part may be a password."""
    try:
        parts = urlsplit(url)
        is_place = parts.scheme == "unix" or bool(parts.hostname and parts.port != 0)
    except ValueError:
        is_place = False
    if not is_place or parts.scheme not in _SCHEMES or "#" in url:
        raise ConfigurationError(f"RESILIENCE_CACHE_URL is no address of a Redis: {_ADVICE}")
    number = parts.path.strip("/")
    if parts.scheme != "unix" and number and not number.isdecimal():
        raise ConfigurationError(
            f"RESILIENCE_CACHE_URL does not end with the number of a database: {_ADVICE}"
        )
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS and not name.startswith("ssl_"):
            raise ConfigurationError(
                "RESILIENCE_CACHE_URL has options that can't be set there: behind its ? may be "
                f"db, client_name and ssl_…. {_QUOTED}"
            )
    return url


def _name(url: str) -> str:
    """For the log."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"Redis at {shown(parts.path)}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"Redis at {shown(str(host))}:{parts.port or 6379}"


def _milliseconds(ttl: float) -> int:
    return max(round(ttl * 1000), 1)


def _steps(
    values: Sequence[Any], most: int = _STEP, size: Callable[[Any], int] = lambda _: 0
) -> Iterator[list[Any]]:
    step: list[Any] = []
    total = 0
    for value in values:
        total += size(value)
        if step and (len(step) >= most or total > _BYTES):
            yield step
            step, total = [], size(value)
        step.append(value)
    if step:
        yield step

"""The cache: what a hit costs, in memory and in Redis.

Microseconds a hit, one after the other in one event loop: the least of many short turns, the
sides in turn, so that other work of the machine counts for neither; and those that the
processor has worked for it in this process.

- in memory, against ``cachetools.TTLCache`` of the same size: a look-up there, ``await
  cache.get()`` here; and a decorated function against ``cachetools.cached``. cachetools gives
  the same object to all who ask, ours gives each a copy of his own: the larger a value, the
  more that costs. It is no requirement of ours: ``pip install cachetools``.
- through a Redis on the loopback, against ``await client.get()`` of redis-py as it is, which
  gives bytes; and 50 at a time.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchmarks.report import Outcome
from scrapy_resilience.cache import Cache, cached

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from benchmarks.crawls import Options

_VALUES: dict[str, Any] = {
    "a text of 20 characters": "x" * 20,
    "a price: dict of 3": {"amount": 12.5, "currency": "EUR", "raw": "12,50 EUR"},
    "an item: dict of 8": {
        **{name: name * 5 for name in ("sku", "name", "brand", "color", "url")},
        "price": 12.5,
        "stock": 3,
        "sizes": [36, 38, 40],
    },
    "a table of 10 KB": [{"sku": f"sku-{n}", "price": n / 4, "stock": n} for n in range(230)],
}
_BARRED = "a price: dict of 3"
_KEYS = 500
_MEMORY, _REDIS = 2.0, 1.3
"""The bars."""


class Times(NamedTuple):
    """Of one hit: what has passed, and what this process has worked."""

    passed: float
    worked: float


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("what a hit costs")
    asyncio.run(_in_memory(options, outcome))
    program = shutil.which("redis-server")
    if program is None:
        outcome.notes.append("redis-server is not installed: nothing was measured through it")
        return outcome
    with _server(program, options) as port:
        asyncio.run(_through_redis(options, outcome, port))
    return outcome


# --- in memory ---


async def _in_memory(options: Options, outcome: Outcome) -> None:
    try:
        import cachetools  # noqa: PLC0415 - may be missing
    except ImportError:
        outcome.notes.append("cachetools is not installed: nothing to compare the memory with")
        return
    for name, value in _VALUES.items():
        theirs = cachetools.TTLCache(1_000, 300)
        ours = Cache()
        for number in range(_KEYS):
            theirs[f"key:{number}"] = value
            await ours.set(f"key:{number}", value)

        times = await _compare(options, _plainly(theirs.__getitem__), _each(ours.get))
        _add(outcome, f"memory, {name}", times, _MEMORY if name == _BARRED else None)
    theirs_of = cachetools.cached(cachetools.TTLCache(1_000, 300))(_price)
    ours_of = cached(cache=Cache())(_price)
    for number in range(_KEYS):
        theirs_of(f"key:{number}")
        ours_of(f"key:{number}")
    times = await _compare(options, _plainly(theirs_of), _plainly(ours_of))
    _add(outcome, "memory, a decorated function", times, _MEMORY)


def _price(_key: str) -> Any:
    return _VALUES[_BARRED]


# --- through Redis ---


async def _through_redis(options: Options, outcome: Outcome, port: int) -> None:
    import redis.asyncio  # noqa: PLC0415 - the extra "redis"

    url = f"redis://127.0.0.1:{port}"
    client = redis.asyncio.Redis.from_url(url)
    async with Cache(url, prefix="") as cache:
        for name, value in _VALUES.items():
            raw = msgspec.json.encode(value)
            for number in range(_KEYS):
                await client.set(f"raw:{number}", raw)
                await cache.set(f"key:{number}", value)
            times = await _compare(
                options, _each(client.get, "raw"), _each(cache.get), most=100
            )
            _add(outcome, f"Redis, {name}", times, _REDIS if name == _BARRED else None)
            times = await _compare(
                options, _together(client.get, "raw"), _together(cache.get), most=100
            )
            _add(outcome, f"Redis, {name}, 50 at a time", times)
        problem = None if cache.stats().fallbacks == 0 else "Redis was away"
        outcome.check("Redis", [problem] if problem else [])
    await client.aclose()


@contextmanager
def _server(program: str, options: Options) -> Iterator[int]:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    options.folder.mkdir(parents=True, exist_ok=True)
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with subprocess.Popen(
        [*command, "--dir", str(options.folder)], stdout=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port)
            yield port
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        with closing(socket.socket()) as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > end:
            raise RuntimeError("redis-server does not answer")
        time.sleep(0.02)


# --- how it is measured ---


def _plainly(get: Callable[[str], Any]) -> Callable[[list[str]], Awaitable[None]]:
    async def work(keys: list[str]) -> None:
        for key in keys:
            get(key)

    return work


def _each(
    get: Callable[[str], Awaitable[Any]], prefix: str = "key"
) -> Callable[[list[str]], Awaitable[None]]:
    async def work(keys: list[str]) -> None:
        for key in [f"{prefix}{key[3:]}" for key in keys] if prefix != "key" else keys:
            await get(key)

    return work


def _together(
    get: Callable[[str], Awaitable[Any]], prefix: str = "key"
) -> Callable[[list[str]], Awaitable[None]]:
    async def work(keys: list[str]) -> None:
        for start in range(0, len(keys), 50):
            step = keys[start : start + 50]
            await asyncio.gather(*(get(f"{prefix}{key[3:]}") for key in step))

    return work


async def _compare(
    options: Options,
    base: Callable[[list[str]], Awaitable[None]],
    ours: Callable[[list[str]], Awaitable[None]],
    most: int = _KEYS,
) -> list[Times]:
    """Of one hit of each."""
    keys = [f"key:{number}" for number in range(most)]
    best = [Times(inf, inf), Times(inf, inf)]
    for _ in range(options.of(200, 20)):
        for place, work in enumerate((base, ours)):
            began = time.perf_counter(), time.process_time()
            await work(keys)
            passed = time.perf_counter() - began[0], time.process_time() - began[1]
            best[place] = Times(*map(min, zip(best[place], passed, strict=True)))
    return [Times(*(seconds / most * 1e6 for seconds in each)) for each in best]


def _add(outcome: Outcome, name: str, times: list[Times], bar: float | None = None) -> None:
    base, ours = times
    ratio = ours.passed / base.passed
    row = {"hit": name, "library µs": round(base.passed, 2), "ours µs": round(ours.passed, 2)}
    worked = {"processor": round(base.worked, 2), "ours": round(ours.worked, 2)}
    outcome.rows.append({**row, "ratio": round(ratio, 2), **worked})
    outcome.data[name] = {"library": base._asdict(), "ours": ours._asdict()}
    if bar is not None:
        outcome.bar(f"{name}, at most {bar:g} ×", f"{ratio:.2f}", met=ratio <= bar)

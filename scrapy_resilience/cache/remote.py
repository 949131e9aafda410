"""Redis while it is there, and the way back when it was not.

Whatever fails or takes too long makes it *away*: from then on nobody waits for it, and what is
asked for comes from memory. A task looks whether it is back, at times that a circuit breaker
sets, and deletes there what :class:`.Meanwhile` has noted. Only then is it read from again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.breaker import CircuitBreaker
from scrapy_resilience.cache.bounded import bounded
from scrapy_resilience.cache.redis_server import is_full, is_refusal, reason_of
from scrapy_resilience.core.keypatterns import KeyPattern
from scrapy_resilience.core.meanwhile import Meanwhile
from scrapy_resilience.dryrun.flag import is_dry_run
from scrapy_resilience.exceptions import CircuitOpenError
from scrapy_resilience.waits import forget

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from scrapy_resilience.cache.counts import Counts
    from scrapy_resilience.cache.redis_server import RedisServer
    from scrapy_resilience.core.cachevalues import Packed
    from scrapy_resilience.core.lru import TimedLRU
    from scrapy_resilience.core.meanwhile import Undone

__all__ = ["AWAY", "FULL", "Away", "Remote"]

logger = get_logger(__name__)

_T = TypeVar("_T")
_TURNS: Final = 3
_LONGEST_DELAY: Final = 30.0
"""Seconds between two looks."""


class Away:
    """In the place of an answer; see :data:`AWAY` and :data:`FULL`."""


AWAY: Final = Away()
"""There was none."""
FULL: Final = Away()
"""There is no room."""


class Remote:
    """*server*, with *memory* in its place; *retry_after* seconds until the first look."""

    def __init__(
        self,
        server: RedisServer,
        memory: TimedLRU[Packed],
        counts: Counts,
        timeout: float,
        retry_after: float,
    ) -> None:
        self.server = server
        self._memory = memory
        self._counts = counts
        self._timeout = timeout
        # Longer than an answer may take: what is under way has ended when it is looked at.
        first = max(retry_after, 2 * timeout)
        self._breaker = CircuitBreaker(
            "cache",
            failure_threshold=1,
            recovery_timeout=first,
            max_recovery_timeout=max(first, _LONGEST_DELAY),
            half_open_max=1,
            trial_timeout=3600.0,
            clock=_now,
        )
        self._first = first
        self._task: asyncio.Task[None] | None = None
        self._last_steps: asyncio.Event | None = None
        """While the way back is nearly done: whoever comes waits, it is soon over."""
        self._told_full = False
        self.meanwhile = Meanwhile()
        self.trouble = ""
        """Why it is away."""

    @property
    def is_away(self) -> bool:
        return bool(self.trouble)

    async def ask(
        self, command: Callable[..., Coroutine[Any, Any, _T]], *args: Any
    ) -> _T | Away:
        """What *command* of the server answers; :data:`AWAY` or :data:`FULL` without that."""
        if is_dry_run():
            return AWAY
        if self._last_steps is not None:
            with suppress(asyncio.TimeoutError):
                await bounded(self._last_steps.wait(), self._timeout)
        if not self.trouble:
            async with self.server.places:
                if not self.trouble:  # a command before has failed
                    return await self._ask(command, args)  # type: ignore[no-any-return]
        self._counts.without_redis += 1
        self.look_again()
        return AWAY

    async def _ask(self, command: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        began = _clock.stopwatch()
        try:
            return await command(*args)
        except Exception as error:  # noqa: BLE001 - whatever it is: a cache is no reason to fail
            if is_full(error):
                self.full()
                return FULL
            self._lost(error)
            self._counts.without_redis += 1
            return AWAY
        finally:
            seconds = _clock.stopwatch() - began
            counts = self._counts
            counts.redis_calls += 1
            counts.redis_seconds += seconds
            counts.redis_seconds_max = max(counts.redis_seconds_max, seconds)

    def full(self) -> None:
        """There was no room."""
        if not self._told_full:
            self._told_full = True
            logger.warning(
                "%s is full: what does not fit in is not kept. Raise its maxmemory, or let it "
                "evict keys (maxmemory-policy)",
                self.server.name,
            )

    async def refusal(self) -> str:
        """Why it will go on to refuse; empty for one that does not, or is away."""
        check = self.server.ping if is_dry_run() else self.server.check
        try:
            async with self.server.places:
                await check()
        except Exception as error:  # noqa: BLE001 - whatever it is
            if is_refusal(error):
                return (
                    f"{self.server.name} refuses the cache: {reason_of(error)}. Correct "
                    "RESILIENCE_CACHE_URL, or the settings of the server."
                )
        return ""

    # --- away ---

    def _lost(self, error: Exception) -> None:
        with suppress(Exception), self._breaker:
            raise error  # which opens it
        if not self.trouble:
            self.trouble = reason_of(error)
            self._counts.fallbacks += 1
            logger.warning(
                "%s is away: the cache is in memory until it is back (%s)",
                self.server.name,
                self.trouble,
            )
        self.look_again()

    def look_again(self) -> None:
        """See to it that somebody looks, in the event loop that runs now."""
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.ensure_future(self._come_back())
            self._task.add_done_callback(forget)

    async def _come_back(self) -> None:
        while self.trouble:
            delay = self._breaker.retry_after
            await _clock.sleep(self._first if delay is None else max(delay, 0.01))
            try:
                with self._breaker:
                    await self.server.ping()
                    count = await self._undo()
            except CircuitOpenError:
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is: it is not back
                self.trouble = reason_of(error)
            else:
                self.trouble = ""
                logger.info(
                    "%s is back. Deleted there, as changed meanwhile: %d",
                    self.server.name,
                    count,
                )
            finally:
                if self._last_steps is not None:
                    self._last_steps.set()
                    self._last_steps = None

    async def _undo(self) -> int:
        count = turns = 0
        while self.meanwhile:
            turns += 1
            if turns == _TURNS:  # it would have no end where others write all the time
                self._last_steps = asyncio.Event()
            undone = self.meanwhile.take()
            done = False
            try:
                count += await self._delete(undone)
                done = True
            finally:
                if not done:
                    self.meanwhile.put_back(undone)
        return count

    async def _delete(self, undone: Undone) -> int:
        count = 0
        for pattern in undone.patterns:
            count += await self.server.clear(pattern)
            self._memory.clear(KeyPattern(pattern))
        count += await self.server.delete(undone.keys)
        self._memory.delete(undone.keys)
        return count

    async def close(self) -> None:
        """Try once more to delete what is to be deleted, and end the connections."""
        await self._end_looking()
        try:
            if self.meanwhile and not is_dry_run():
                await bounded(self._undo(), self._timeout)
        except Exception as error:  # noqa: BLE001 - whatever it is
            logger.warning(
                "%s is away to the end (%s): what was changed meanwhile may come back from "
                "there until its time is over",
                self.server.name,
                reason_of(error),
            )
        with suppress(Exception):  # whatever it is: nobody needs them any more
            await self.server.close()

    async def _end_looking(self) -> None:
        """Whoever looks may be deleting: it gives back what is still to be deleted."""
        task = self._task
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task], timeout=self._timeout)


def _now() -> float:
    """By the clock of now: a test may have put in another one."""
    return _clock.monotonic()

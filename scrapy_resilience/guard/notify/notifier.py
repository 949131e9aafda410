"""Sends what is in an outbox: to each channel one notice at a time, and nobody waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience.guard.notify.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy_resilience._clock import Timer
    from scrapy_resilience.core.notices import Notice
    from scrapy_resilience.core.outbox import Outbox
    from scrapy_resilience.guard.notify.outcomes import Sender

__all__ = ["Notifier"]

logger = get_logger(__name__)

_PATIENCE: Final = 30.0
"""Seconds that one try may take while the crawl runs."""
_LAST_WORDS: Final = 0.5
"""Seconds for what was cancelled to close its connections."""
_LONGEST_WAIT: Final = 3600.0
"""Seconds between two looks at what waits: a clock may be set."""


class Notifier:
    """*senders* by the names of their channels; *count* is told the names of stats."""

    def __init__(
        self,
        outbox: Outbox,
        senders: Mapping[str, Sender],
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.outbox = outbox
        self._senders = senders
        self._count = count
        self._tasks: dict[str, asyncio.Future[None]] = {}
        self._timers: dict[str, Timer] = {}
        self._runs = False

    def start(self) -> None:
        """The event loop runs: send what waits."""
        self._runs = True
        self.look()

    def look(self) -> None:
        """There may be something to send."""
        for name in self._senders if self._runs else ():
            self._begin(name)

    def _begin(self, name: str) -> None:
        if not self._runs or name in self._tasks:
            return
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        now = _clock.wall()
        notice, at = self.outbox.next(name, now)
        if notice is not None:
            task = asyncio.ensure_future(self._send(name, notice, _PATIENCE))
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._ended(name))
        elif at is not None:
            delay = min(max(at - now, 0.0), _LONGEST_WAIT)
            self._timers[name] = _clock.call_later(delay, self._begin, name)

    def _ended(self, name: str) -> None:
        self._tasks.pop(name, None)
        self._begin(name)

    async def _send(self, name: str, notice: Notice, seconds: float) -> None:
        try:
            outcome = await self._senders[name].send(notice, seconds)
        except Exception as error:  # noqa: BLE001 - it may tell of a URL: no traceback
            outcome = Outcome(f"it could not be sent ({type(error).__name__})")
        self._came_of(name, notice, outcome)

    def _came_of(self, name: str, notice: Notice, outcome: Outcome) -> None:
        channel, now = self.outbox.channels[name], _clock.wall()
        before, dropped = channel.problem, self.outbox.dropped
        if not outcome.problem:
            self.outbox.sent(name, notice, now)
            self._count(names.STAT_NOTIFIED)
            if before:
                logger.info("Notices get to the channel %s again", name)
            return
        self.outbox.failed(
            name, notice, now, outcome.problem,
            rejected=outcome.rejected, retry_after=outcome.retry_after, begun=outcome.begun,
        )  # fmt: skip
        self._count(names.STAT_NOTIFY_ERRORS)
        if outcome.rejected:
            logger.warning("The channel %s refuses a notice: %s", name, outcome.problem)
        elif self.outbox.dropped > dropped:
            logger.warning(
                "A notice is given up that the channel %s has never taken as a whole: %s",
                name,
                outcome.problem,
            )
        elif not before:
            logger.warning(
                "Notices do not get to the channel %s: %s. They are tried again",
                name,
                outcome.problem,
            )

    # --- the end ---

    async def finish(self, seconds: float) -> None:
        """Nothing else comes: send what can be sent in so many seconds."""
        self._runs = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.outbox.flush()
        end = _clock.stopwatch() + seconds
        last = [asyncio.ensure_future(self._drain(name, end)) for name in self._senders]
        if last:
            await asyncio.wait(last, timeout=seconds)
        if pending := [each for each in (*last, *self._tasks.values()) if not each.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=_LAST_WORDS)

    async def _drain(self, name: str, end: float) -> None:
        if (task := self._tasks.get(name)) is not None:
            await asyncio.wait({task})
        while (left := end - _clock.stopwatch()) > 0:
            now = _clock.wall()
            notice, at = self.outbox.next(name, now)
            if notice is not None:
                await self._send(name, notice, left)
            elif at is None or at - now > left:
                return
            else:
                await _clock.sleep(max(at - now, 0.01))

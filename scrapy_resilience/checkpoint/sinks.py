"""``checkpoint_prepare`` and ``checkpoint_committed``: other sinks and sources than feeds."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from pydispatch.dispatcher import getAllReceivers, liveReceivers
from pydispatch.robustapply import robustApply
from twisted.python.failure import Failure

from scrapy_resilience import names, signals
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.exceptions import SinkError
from scrapy_resilience.frontier.store import Letter
from scrapy_resilience.waits import waits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy.crawler import Crawler

    from scrapy_resilience.checkpoint.parts import Prepared

__all__ = ["Sinks"]

logger = get_logger(__name__)


class Sinks(Part):
    """Asks the handlers of ``checkpoint_prepare`` to make durable what they hold.

    *timeout*: seconds that one handler may take, a try, and all of ``checkpoint_committed``.
    """

    def __init__(self, crawler: Crawler, timeout: float) -> None:
        self._crawler = crawler
        self._timeout = timeout
        self._waits = waits_of(crawler)

    def prepare(self) -> Prepared:
        """Call all handlers at once; what comes back awaits them, again those that failed.

        It raises :exc:`SinkError` while one of them fails, and gives the letters of all.
        """
        called = self._crawler.signals.send_catch_log(signals.checkpoint_prepare)
        open_ones: dict[Any, Any] = dict(called)
        letters: list[Letter] = []

        async def prepared() -> Sequence[Letter]:
            results = await asyncio.gather(*map(self._outcome, open_ones, open_ones.values()))
            failed = []
            for handler, (error, given) in zip(open_ones, results, strict=True):
                letters.extend(given)
                if error is not None:
                    failed.append((handler, error))
            open_ones.clear()
            for handler, _ in failed:
                open_ones[handler] = _Again(handler)
            if failed:
                self._count(failed)
                raise SinkError(_told(*failed[0]))
            return letters

        return prepared

    async def _outcome(
        self, handler: Any, result: Any
    ) -> tuple[BaseException | None, list[Letter]]:
        """What a handler failed with, None when it has succeeded, and the letters it gave."""
        try:
            if isinstance(result, _Again):
                result = result()
            if isinstance(result, Failure):
                return result.value, []
            if inspect.isawaitable(result):
                who = f"checkpoint_prepare of {handler!r}"
                result = await self._waits.bounded(result, who, self._timeout)
        except Exception as error:  # noqa: BLE001 - a sink's own: its commit waits
            return error, []
        given = result if isinstance(result, (list, tuple)) else ()
        return None, [each for each in given if isinstance(each, Letter)]

    def _count(self, failed: list[tuple[Any, BaseException]]) -> None:
        assert self._crawler.stats is not None
        for handler, error in failed:
            self._crawler.stats.inc_value(names.STAT_PREPARE_ERRORS)
            logger.error("A sink is not ready for the commit: %s", _told(handler, error))

    async def written(self) -> None:
        """Tell the sources that they may let go of what the commit covers.

        One that does not come back changes nothing: the next commit tells it again.
        """
        sending, signal = self._crawler.signals, signals.checkpoint_committed
        handlers = list(liveReceivers(getAllReceivers(sending.sender, signal)))
        if not handlers:
            return
        who = f"checkpoint_committed of {', '.join(map(repr, handlers))}"
        try:
            await self._waits.bounded(sending.send_catch_log_async(signal), who, self._timeout)
        except TimeoutError as error:
            assert self._crawler.stats is not None
            self._crawler.stats.inc_value(names.STAT_COMMITTED_ERRORS)
            logger.error("The crawl goes on without an answer: %s", error)  # noqa: TRY400


def _told(handler: Any, error: BaseException) -> str:
    """One of ours says all that there is to say."""
    return str(error) if isinstance(error, SinkError) else f"{handler!r}: {error!r}"


class _Again:
    """A handler that is to be called once more."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def __call__(self) -> Any:
        return robustApply(self._handler, signal=signals.checkpoint_prepare, sender=None)

"""A ledger that outlives its process: what of it is written down, and when."""

from __future__ import annotations

import os
from math import inf
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import asdict

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import reason
from scrapy_resilience.core.spending_records import BUDGETS, CLOCK, PRICES
from scrapy_resilience.guard.cost.ledger_file import LedgerFile
from scrapy_resilience.waits import in_thread

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from scrapy_resilience.core.spending_records import Folded
    from scrapy_resilience.guard.cost.tracker import CostTracker

__all__ = ["KeptLedger"]

logger = get_logger(__name__)

_LONGEST: Final = 86_400.0
"""Seconds for which entries are kept apart: a budget may be set between two runs."""
_THREAD: Final = "resilience-costs"
_STEP: Final = 0.05
"""Seconds by which the time of day may go its own way before that is written down."""


class KeptLedger:
    """Of one run of a job. Raises OSError."""

    def __init__(self, path: Path, tracker: CostTracker) -> None:
        self._tracker = tracker
        self._file = LedgerFile(path)
        self._offset = 0.0
        self.trouble = ""
        """Why nothing can be written now."""
        self._told = False
        self._closed = False
        self._work: asyncio.Future[Any] | None = None
        windows = (budget.seconds for budget in tracker.budgets if budget.seconds < inf)
        self._horizon = max(_LONGEST, *windows, 0.0)
        if self._file.read.lost:
            logger.warning(
                "%s: %d bytes that a kill or a disk has left are no records: they are cut off",
                path,
                self._file.read.lost,
            )
        self._restore(self._file.read.folded)
        self._file.read = self._file.read._replace(folded=None)  # type: ignore[arg-type]

    def _restore(self, folded: Folded) -> None:
        """Go on with what earlier runs have spent."""
        tracker, wall = self._tracker, _clock.wall()
        now = folded.later(wall)
        tracker.base = now - _clock.monotonic()
        self._offset = wall - now
        folded.end_open(now)
        tracker.totals = folded.totals
        tracker.begin_at(folded.number)
        for entry in folded.entries:
            tracker.budgets.add(entry.spends, entry.domain, entry.proxy, entry.time)
        news = [each for each in tracker.budgets.news if not each.percent]
        tracker.budgets.news.clear()
        tracker.budgets.news.extend(news)
        folded.time, folded.wall = now, wall
        folded.prices = tracker.prices
        folded.budgets = [_plain(asdict(budget)) for budget in tracker.budgets]
        try:
            self._file.replace(folded.records(now - self._horizon))
        except OSError as error:
            self._fail(error)
            self._file.append_later(CLOCK, now, wall)
            self._file.append_later(PRICES, dict(folded.prices))
            self._file.append_later(BUDGETS, folded.budgets)

    # --- while the crawl runs ---

    def write(self, *record: Any) -> bool:
        """Append a record; False when it waits for the disk, until the next one."""
        offset = _clock.wall() - self._tracker.now()
        try:
            if abs(offset - self._offset) > _STEP:
                now = self._tracker.now()
                self._file.append_later(CLOCK, now, now + offset)
                self._offset = offset
            self._file.append(*record)
        except OSError as error:
            self._fail(error)
            return False
        if self.trouble:
            self.trouble = ""
            logger.info("What is spent can be written down again")
        return True

    def write_later(self, *record: Any) -> None:
        """Append it with the next one."""
        self._file.append_later(*record)

    def take_back(self) -> None:
        """Forget the record that :meth:`write` could not write."""
        self._file.drop_last()

    def _fail(self, error: OSError) -> None:
        self.trouble = f"what is spent can't be written down ({reason(error)})"
        if not self._told:
            self._told = True
            logger.warning("%s", f"{self.trouble[:1].upper()}{self.trouble[1:]}")

    # --- with each commit ---

    def commit(self) -> None:
        """Write what waits, and have it forced to the disk, or the file made smaller."""
        file = self._file
        with self._tracker.lock:
            try:
                file.flush()
            except OSError as error:
                self._fail(error)
                return
            if self._work is not None and not self._work.done():
                return
            if file.has_grown:
                draft = file.draft(self._tracker.now() - self._horizon)
                self._work, _ = in_thread(draft, _THREAD)
                self._work.add_done_callback(self._adopt)
            elif file.is_dirty:
                self._work, _ = in_thread(file.sync(), _THREAD)
                self._work.add_done_callback(_heard)

    def _adopt(self, work: asyncio.Future[Any]) -> None:
        """In the event loop again."""
        with self._tracker.lock:
            try:
                if self._closed:  # the next run removes what was made
                    os.close(work.result()[0])
                else:
                    self._file.adopt(*work.result())
            except Exception as error:  # noqa: BLE001 - whatever it is, it would come again
                if not self._closed:
                    self._file.leave_as_it_is()
                    logger.warning("The file of costs can't be made smaller: %r", error)

    def close(self) -> None:
        """The run has ended."""
        with self._tracker.lock:
            self._closed = True
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)
            self._file.close()


def _heard(work: asyncio.Future[Any]) -> None:
    """A disk that fails says so again when something is written."""
    if not work.cancelled():
        work.exception()


def _plain(budget: dict[str, Any]) -> dict[str, Any]:
    """MessagePack has inf, and JSON has not; both have None."""
    return {name: None if value == inf else value for name, value in budget.items()}

"""One run of a job: its first commit, what each commit says of it, and its end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.engine import wake
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience._scrapy.running_command import exit_with_failure
from scrapy_resilience.checkpoint.commit import TROUBLES, Committer
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.checkpoint.state import META
from scrapy_resilience.core.masking import counted
from scrapy_resilience.exceptions import CheckpointError, StorageError
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.files.address import forget_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scrapy.crawler import Crawler

    from scrapy_resilience.deadletters import Letters
    from scrapy_resilience.frontier.in_flight import InFlightRequests
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.frontier.store import Changes, Letter
    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.scheduling.start_outputs import StartOutputFilter

__all__ = ["Run"]

logger = get_logger(__name__)

_PATIENCE_AT_CLOSE: Final = 10.0
"""Seconds for which the last commit is tried."""


class Run(Part):
    """A run of *job*, from its first commit to its last.

    *collect* is called just before a commit is sealed: what has ended since counts as done from
    then on.
    """

    def __init__(
        self,
        crawler: Crawler,
        job: Job,
        *,
        frontier: Frontier,
        in_flight: InFlightRequests,
        letters: Letters,
        starts: StartOutputFilter,
        collect: Callable[[], object],
    ) -> None:
        self._crawler = crawler
        self._job = job
        self._frontier = frontier
        self._in_flight = in_flight
        self._letters = letters
        self._starts = starts
        self._collect = collect
        self._stats: Any = crawler.stats
        self._reason: str | None = None
        self._told = False
        self.committer = Committer(
            job.store,
            frontier,
            crawler.stats,
            patience=job.config.storage_timeout,
            waits=job.waits,
            parts=job.parts,
        )
        job.parts.append(self)

    def begin(self) -> None:
        """Write down that the job has begun, with all that was imported in one step."""
        job = self._job
        if job.resumed:
            self._stats.set_value(names.STAT_RESUMED, 1)
            rest = "" if job.meta.start_done else ", and what start() has not done yet"
            left = counted(len(self._frontier), "request")
            logger.info("Resuming %s: %s to do%s", job.path, left, rest)
        job.meta.clean = False
        changes = self._frontier.seal()
        changes.state = {**job.stale, **job.state.changed()}
        try:
            self.committer.write_now(changes)
        except TROUBLES as error:
            refusal = CheckpointError(f"{job.path} can't be written: {error}")
            fail_quietly(self._crawler, refusal)
            raise refusal from error
        self._frontier.committed(changes)
        forget_address(job.path)  # of a run that was killed
        failpoint("job/begun")
        if job.stock is not None:
            logger.info(
                "Imported %d requests and %d fingerprints of Scrapy's own scheduler (its files "
                "are in %s)",
                len(job.stock.requests),
                len(job.stock.fingerprints),
                job.stock.move_aside(),
            )
            job.stock = None

    # --- each commit ---

    def contribute(self, changes: Changes) -> None:
        """What is done, what was given up, and how far the job is."""
        self._collect()
        self._in_flight.contribute(changes)
        self._letters.count_letters(changes.letters)
        job, rows = self._job, self._frontier.rows
        job.meta.dead_letters = self._letters.count
        job.meta.reason = self._reason
        job.all_done = self._reason == "finished" and rows == 0 and not self._starts.pending
        job.meta.finished = job.all_done and job.meta.clean and not job.incomplete
        job.contribute(changes, self._stats.get_stats(), pending=rows, held=self._frontier.held)
        if errors := job.state.errors:
            self._stats.set_value(names.STAT_STATE_ERRORS, errors)

    def prepared(self, changes: Changes, letters: Sequence[Letter]) -> None:
        """Sinks have refused items that the commit makes durable: their letters are in it."""
        if not letters:
            return
        numbered = self._in_flight.number(letters)
        self._letters.count_letters(numbered)
        changes.letters += numbered
        job = self._job
        meta = job.values.decode(changes.state[META] or b"")
        job.meta.dead_letters = meta["dead_letters"] = self._letters.count
        changes.state[META] = job.values.encode(meta)

    def written(self) -> None:
        """There may be room for requests again."""
        wake(self._crawler.engine)

    # --- the end ---

    async def commit_before_feeds(self, reason: str) -> None:
        """The spider has closed. No feed that is stored may count on what is not committed."""
        self._reason = reason
        self.committer.patience = min(self.committer.patience, _PATIENCE_AT_CLOSE)
        if not await self._commit():
            self._job.all_done = False
            self._job.incomplete = self._job.incomplete or self.committer.broken
        failpoint("close/committed")

    async def end(self) -> None:
        """The last commit: it has the spider's final state and stats, and closed feeds."""
        job = self._job
        with self._whatever_fails():
            for part in job.parts:
                await part.closing()
            job.meta.clean = True
            if not await self._commit():
                job.incomplete = True
            for part in job.parts:
                await part.ended()
            failpoint("close/last")
        self.committer.close()
        with self._whatever_fails():
            job.close()
        if self._reason in names.FAILURES or job.incomplete:
            exit_with_failure(self._crawler)
        elif not job.meta.finished:
            logger.info(
                "%s has %s left: the same command goes on",
                job.path,
                counted(job.meta.pending, "request"),
            )

    @contextmanager
    def _whatever_fails(self) -> Iterator[None]:
        """The next run is to find the job free."""
        try:
            yield
        except Exception:
            self._job.incomplete = True
            logger.exception("The end of %s is not complete", self._job.path)

    async def _commit(self) -> bool:
        """Whether everything is written."""
        why = "The checkpoint is broken"
        try:
            await self.committer.commit()
            if not self.committer.broken:
                return True
        except StorageError as error:
            why = str(error)
        except Exception:
            self.committer.abandoned = True
            logger.exception(why)
        if not self._told:
            self._told = True
            logger.error(
                "%s. The job stays at its last commit: the next run goes on from there", why
            )
        return False

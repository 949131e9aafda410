"""Jobs, as commands open them: only to read, or locked to change them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from scrapy_resilience.exceptions import CheckpointError, DamagedError
from scrapy_resilience.files.layout import DAMAGED, LOCK, STORE
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.files.ownership import check_jobdir
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.jobs.quarantine import read_mark
from scrapy_resilience.jobs.watermark import open_current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scrapy_resilience.frontier.sqlite import SQLiteStore

__all__ = ["open_job", "values"]

values = ValueCodec(allow_pickle=False)


@contextmanager
def open_job(jobdir: Path, *, write: bool = False) -> Iterator[SQLiteStore]:
    """The store of a job; to write, of one that nobody runs.

    Raises :exc:`CheckpointError` when it is not a job, is damaged, or, to write, is running.
    """
    check_jobdir(jobdir)
    if not (jobdir / STORE).is_file():
        raise CheckpointError(f"{jobdir} is not a job of scrapy_resilience: it has no {STORE}")
    lock = FileLock(jobdir / LOCK)
    if write:
        lock.acquire()
    try:
        if write and (jobdir / DAMAGED).exists():
            raise DamagedError(read_mark(jobdir))
        with closing(open_current(jobdir, read_only=not write)) as store:
            yield store
    finally:
        lock.release()

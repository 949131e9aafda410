"""A damaged store is set aside, and the job goes on from its last good snapshot."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from scrapy_resilience._log import get_logger
from scrapy_resilience.exceptions import DamagedError, SnapshotError, SnapshotKeyError
from scrapy_resilience.files.layout import DAMAGED, STORE, WATERMARK
from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.jobs import watermark
from scrapy_resilience.jobs.watermark import open_current
from scrapy_resilience.snapshots import verification
from scrapy_resilience.snapshots.store import store_of

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy_resilience.frontier.sqlite import SQLiteStore
    from scrapy_resilience.settings import Config

__all__ = ["go_back", "mark_damaged", "open_store", "read_mark"]

logger = get_logger(__name__)

_LONGEST: Final = 4096
"""Characters of a mark that are read."""


def open_store(jobdir: Path, config: Config) -> SQLiteStore:
    """The store of a locked job; one that is damaged gives way to the newest good snapshot.

    Raises :exc:`DamagedError` when there is none, and :exc:`SnapshotKeyError`.
    """
    try:
        _check(jobdir)
    except DamagedError as error:
        return go_back(jobdir, config, error)
    return open_current(jobdir, power_loss_safe=config.power_loss_safe)


def _check(jobdir: Path) -> None:
    """Read the store, and change nothing: a damaged one may still be worth a look."""
    path = jobdir / STORE
    if (jobdir / DAMAGED).exists():
        raise DamagedError(read_mark(jobdir))
    noted = watermark.read(jobdir)
    if not path.exists():
        if noted.commits or any((jobdir / "snapshots").glob("*.snapshot")):
            raise DamagedError(f"{path} is gone")
        return
    with closing(open_current(jobdir, read_only=True)) as store:
        try:
            if verification.is_small(path):
                store.verify()
            else:  # the rest is read beside the crawl
                store.lanes(), store.delayed(), store.state(), store.outputs()
        except sqlite3.DatabaseError as error:
            raise DamagedError(f"{path} is damaged: {error}") from error
        if not noted.commits and store.commits():
            logger.warning(
                "%s is gone or damaged: whether the store has lost commits can't be told",
                jobdir / WATERMARK,
            )
        if lost := noted.lacking(store.commits()):
            logger.warning(
                "%s lacks its last %d commits, as after a power loss: what they held is done "
                "again, and feeds are cut back",
                path,
                lost,
            )


def mark_damaged(jobdir: Path, why: object) -> None:
    """Make the next run set the store aside."""
    fd = open_own(jobdir / DAMAGED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(str(why))


def read_mark(jobdir: Path) -> str:
    """How a store is damaged that was marked so."""
    with (jobdir / DAMAGED).open(encoding="utf-8", errors="replace") as file:
        return file.read(_LONGEST)


def go_back(jobdir: Path, config: Config, why: DamagedError) -> SQLiteStore:
    """The store of the newest good snapshot, which takes the place of the job's.

    Raises :exc:`DamagedError` when there is none, and :exc:`SnapshotKeyError`.
    """
    from scrapy_resilience.jobs.restore import restore_locked  # noqa: PLC0415 - seldom needed

    try:
        restored = restore_locked(jobdir, store_of(config, jobdir))
    except SnapshotKeyError as error:
        raise SnapshotKeyError(f"{why}; {error}") from error
    except (SnapshotError, OSError) as error:
        raise DamagedError(
            f"{why}; no snapshot can take its place ({error}): to start anew, remove the "
            "folder or use another JOBDIR"
        ) from error
    (jobdir / DAMAGED).unlink(missing_ok=True)
    snapshot = restored.snapshot
    logger.error(
        "%s: going on from the snapshot %s (%d requests done, %d items); what was done after "
        "it is done again. Newer snapshots that could not be used: %d. The old store: %s",
        why,
        snapshot.id,
        snapshot.progress.get("completed", 0),
        snapshot.progress.get("items", 0),
        len(restored.skipped),
        restored.aside or "gone",
    )
    for problem in restored.skipped:
        logger.error("Not used: %s", problem)
    return open_current(jobdir, power_loss_safe=config.power_loss_safe)

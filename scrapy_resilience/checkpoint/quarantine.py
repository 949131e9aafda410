"""A damaged store is set aside, and the job goes on from its last good snapshot."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint import witness
from scrapy_resilience.checkpoint.layout import DAMAGED, STORE
from scrapy_resilience.checkpoint.progress import commits
from scrapy_resilience.checkpoint.restore import restore_locked
from scrapy_resilience.exceptions import DamagedError, SnapshotError, SnapshotKeyError
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.ownership import open_own
from scrapy_resilience.snapshots import verification
from scrapy_resilience.snapshots.store import store_of

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy_resilience.settings import Config

__all__ = ["mark_damaged", "open_store"]

logger = get_logger(__name__)


def open_store(jobdir: Path, config: Config) -> SQLiteStore:
    """The store of a locked job; one that is damaged gives way to the newest good snapshot.

    Raises :exc:`DamagedError` when there is none, and :exc:`SnapshotKeyError`.
    """
    try:
        return _open_sound(jobdir, config)
    except DamagedError as error:
        _go_back(jobdir, config, error)
    return SQLiteStore(jobdir / STORE, power_loss_safe=config.power_loss_safe)


def _open_sound(jobdir: Path, config: Config) -> SQLiteStore:
    path = jobdir / STORE
    if (jobdir / DAMAGED).exists():
        raise DamagedError((jobdir / DAMAGED).read_text(encoding="utf-8"))
    witnessed, has_log = witness.witnessed(jobdir), witness.has_log(jobdir)
    if not path.exists() and (witnessed or any((jobdir / "snapshots").glob("*.snapshot"))):
        raise DamagedError(f"{path} is gone")
    store = SQLiteStore(path, power_loss_safe=config.power_loss_safe)
    try:
        if verification.is_small(path):
            store.verify()
        else:  # the rest is read beside the crawl
            store.lanes(), store.delayed(), store.state(), store.outputs()
        if not has_log:
            _refuse_older(store, witnessed)
    except sqlite3.DatabaseError as error:
        store.close()
        raise DamagedError(f"{path} is damaged: {error}") from error
    except DamagedError:
        store.close()
        raise
    return store


def _refuse_older(store: SQLiteStore, witnessed: int) -> None:
    lost, path = witnessed - commits(store.state()), store.path
    if lost > 0:
        raise DamagedError(f"{path} lacks {lost} commits: its log {path}-wal was removed")


def mark_damaged(jobdir: Path, why: object) -> None:
    """Make the next run set the store aside."""
    fd = open_own(jobdir / DAMAGED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(str(why))


def _go_back(jobdir: Path, config: Config, why: DamagedError) -> None:
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

"""A job as it is seen from outside, while it runs or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.address import read_address
from scrapy_resilience.files.layout import LOCK, STORE, WAITING
from scrapy_resilience.files.lock import is_locked
from scrapy_resilience.files.ownership import check_jobdir
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.watermark import open_current
from scrapy_resilience.waits import read_waiting

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_report"]


def read_report(path: Path) -> dict[str, Any]:
    """What ``status`` shows. Raises :exc:`CheckpointError` when *path* is not a job."""
    check_jobdir(path)
    if not (path / STORE).is_file():
        raise CheckpointError(f"{path} is not a job of scrapy_resilience: it has no {STORE}")
    store = open_current(path, read_only=True)
    try:
        meta = JobMeta.of(store.state())
    finally:
        store.close()
    running = is_locked(path / LOCK)
    return {
        "job": str(path),
        "spider": meta.spider,
        "state": meta.state(running=running),
        "reason": meta.reason,
        "endpoint": read_address(path) if running else None,
        "waiting_for": read_waiting(path / WAITING) if running else [],
        "pending": meta.pending,
        "held": meta.held,
        "dead_letters": meta.dead_letters,
        "done": meta.done,
        "items": meta.items,
        "incomplete": meta.dead_letters > 0 or not (running or meta.finished),
        "runs": meta.runs,
        "created": meta.created,
        "last_checkpoint": meta.last_checkpoint,
        "store_bytes": sum(file.stat().st_size for file in path.glob(STORE + "*")),
    }

"""``scrapy resilience checkpoints`` and ``restore``: what they say."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy_resilience.commands.tables import plain, shown_size, shown_time, table, text_of
from scrapy_resilience.core.masking import counted
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.ownership import check_jobdir
from scrapy_resilience.jobs.restore import Restored, restore
from scrapy_resilience.snapshots.store import Snapshot, store_of

if TYPE_CHECKING:
    from scrapy_resilience.settings import Config

__all__ = ["list_snapshots", "restore_snapshot"]

_COLUMNS = ("id", "spider", "kind", "completed", "total", "failed", "items", "size", "state")


def list_snapshots(config: Config, path: str, place: str) -> tuple[Any, str]:
    """Each snapshot, read in full: a damaged one shows."""
    check_jobdir(Path(path))
    found = store_of(config, Path(path), place).newest(verify=True)
    if not found and not Path(path).is_dir():
        raise CheckpointError(f"{path} is not a folder, and no snapshot of it was found")
    rows = [asdict(snapshot) for snapshot in found]
    return rows, table([_COLUMNS, *map(_row, found)]) if found else "no snapshots"


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    progress = (plain(snapshot.progress.get(name)) for name in _COLUMNS[3:7])
    state = "good" if snapshot.readable else "encrypted"
    return (
        snapshot.id,
        plain(snapshot.spider),
        plain(snapshot.kind),
        *progress,
        shown_size(snapshot.size),
        snapshot.problem or state,
    )


def restore_snapshot(
    config: Config, path: str, place: str, ident: str | None = None
) -> tuple[Any, str]:
    """Restore, and say what was done and what the next crawl will do."""
    done = restore(Path(path), store_of(config, Path(path), place), ident)
    data = {
        "job": path,
        "snapshot": asdict(done.snapshot),
        "skipped": [str(problem) for problem in done.skipped],
        "replaced": done.aside and str(done.aside),
        "finished": done.meta.finished,
        "pending": done.meta.pending,
        "feeds": [{"path": feed, "bytes": length} for feed, length in done.feeds.items()],
    }
    return data, text_of(_told(done, path))


def _told(done: Restored, path: str) -> list[str]:
    snapshot, meta = done.snapshot, done.meta
    lines = [f"not used: {problem}" for problem in done.skipped]
    lines.append(
        f"restored {path} to {snapshot.id}: {shown_time(snapshot.created)}, "
        f"{counted(meta.done, 'request')} done, {counted(meta.items, 'item')}"
    )
    if done.aside:
        lines.append(f"the store that was there is kept as {done.aside}")
    if meta.finished:
        return [*lines, "the job had finished then: a crawl is refused, name an older snapshot"]
    lines.append(
        f"the next `scrapy crawl {snapshot.spider}` goes on with {meta.pending} "
        "requests and what start() had not done, and first cuts back these feeds (what it cuts "
        f"off goes to {path}/cut):"
    )
    return [*lines, *(f"  {feed} to {length} bytes" for feed, length in done.feeds.items())]

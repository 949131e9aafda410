"""``scrapy resilience feeds``: the feeds of a job, and ways out when one was moved."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.commands.jobs import open_job, values
from scrapy_resilience.commands.tables import plain, shown_size, table
from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.exceptions import CheckpointError, JobLockedError
from scrapy_resilience.feeds.cutting import trouble
from scrapy_resilience.feeds.records import FeedRecord, records
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs.jobmeta import JobMeta

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["show_feeds"]

_COLUMNS: Final = ("feed", "file", "items", "size", "state")


def show_feeds(path: str, action: str = "list", *names: str) -> tuple[Any, str] | None:
    """*action* is ``list``, ``forget`` with a feed, or ``relink`` with a feed and a file.

    A feed is named as in ``FEEDS``, or by its file. None for wrong usage.
    """
    wanted = {"list": 0, "forget": 1, "relink": 2}
    if wanted.get(action) != len(names):
        return None
    folder = Path(path)
    with open_job(folder, write=action != "list") as store:
        found = records(StateRegistry(store.state(), values))
        if action != "list":
            old = _named(found, names[0])
            new = [_relinked(old, names[1], folder)] if action == "relink" else []
            state: dict[str, bytes | None] = {record.name: None for record in old}
            state |= {record.name: values.encode(asdict(record)) for record in new}
            store.commit(Changes(state=state))
            found = [record for record in found if record not in old] + new
        rows = [_row(record, folder, JobMeta.of(store.state())) for record in found]
    return rows, table([_COLUMNS, *map(_cells, rows)]) if rows else "no feeds"


def _named(found: Sequence[FeedRecord], name: str) -> list[FeedRecord]:
    path = str(Path(name).absolute())
    named = [each for each in found if name in {each.template, each.uri} or each.path == path]
    if not named:
        raise CheckpointError(f"the job has no feed {name!r}: `feeds` lists those that it has")
    return named


def _relinked(old: Sequence[FeedRecord], name: str, folder: Path) -> FeedRecord:
    """The record of a feed that lies elsewhere now, as the last run left it."""
    if len(old) > 1 or old[0].spooled:
        raise CheckpointError(
            f"{mask_uri(old[0].template)} is not one JSON Lines or CSV file: put its files "
            "back, or forget it"
        )
    new = replace(old[0], template=name, uri=name, path=str(Path(name).absolute()))
    if (what := trouble(new, folder, clean=False)) is not None:
        raise CheckpointError(f"{name} can't take the place of {old[0].path}: it {what}")
    return new


def _row(record: FeedRecord, folder: Path, meta: JobMeta) -> dict[str, Any]:
    try:
        found = trouble(record, folder, clean=meta.clean)
        state = found or "as it was left"
    except JobLockedError:
        state = "is being written"
    except CheckpointError as error:
        state = str(error)
    return {
        "feed": mask_uri(record.template),
        "file": mask_uri(record.uri if record.spooled else record.path),
        "items": record.items,
        "bytes": record.offset,
        "state": state,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    size = "-" if row["bytes"] is None else shown_size(row["bytes"])
    return plain(row["feed"]), plain(row["file"]), str(row["items"]), size, row["state"]

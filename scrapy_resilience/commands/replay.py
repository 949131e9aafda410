"""``scrapy resilience replay``: dead letters become requests again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy_resilience import _clock
from scrapy_resilience.checkpoint.layout import META
from scrapy_resilience.commands.deadletters import about, pages
from scrapy_resilience.commands.jobs import load_meta, open_job, values
from scrapy_resilience.core.deadletter import printable
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.codec import edit_request
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.names import ATTEMPT_STATE
from scrapy_resilience.requests import host_of
from scrapy_resilience.shares import slot_name

if TYPE_CHECKING:
    from scrapy_resilience.core.deadletter import Wanted
    from scrapy_resilience.frontier.store import Letter, Row

__all__ = ["replay"]


def replay(path: str, wanted: Wanted) -> tuple[Any, str]:
    """Put letters back into the frontier of a job that nobody runs.

    A page of them is one commit: a kill leaves each either here or there.
    """
    replayed = kept = 0
    with open_job(Path(path), write=True) as store:
        meta = load_meta(store)
        frontier = Frontier(store, limit=lambda _: 1, wall=_clock.wall())
        for page in pages(store):
            chosen = [letter for letter in page if wanted(about(letter))]
            rows = {letter: row for letter in chosen if (row := _push(letter, frontier))}
            kept += len(chosen) - len(rows)
            if rows:
                replayed += len(rows)
                changes = frontier.seal()
                changes.answered = [letter.number for letter in rows]
                changes.outputs = {
                    str(row.number): letter.record
                    for letter, row in rows.items()
                    if letter.record
                }
                _reopen(meta, len(rows), frontier.rows)
                changes.state = {META: values.encode(meta)}
                store.commit(changes)
                frontier.committed(changes)
    left = meta.get("dead_letters", 0)
    data = {"job": path, "replayed": replayed, "kept": kept, "dead_letters": left}
    return data, "\n".join(_told(data, str(meta.get("spider"))))


def _push(letter: Letter, frontier: Frontier) -> Row | None:
    """None for a request that is listed only, or that can't be read."""
    found: dict[str, Any] = {}

    def begin_anew(request: dict[str, Any]) -> None:
        for key in ATTEMPT_STATE:
            request.get("meta", {}).pop(key, None)
        found.update(request)

    try:
        data = edit_request(letter.request or b"", begin_anew)
    except CheckpointError:
        return None
    slot = found.get("meta", {}).get("download_slot") or host_of(found["url"])
    return frontier.push(slot_name(slot), data, priority=found.get("priority", 0))


def _reopen(meta: dict[str, Any], replayed: int, pending: int) -> None:
    """Make a job that has finished go on with what is replayed, and with nothing else."""
    if meta.get("finished"):
        meta.update(finished=False, replayed=True, start_done=True)
    meta["dead_letters"] = meta.get("dead_letters", 0) - replayed
    meta["pending"] = pending


def _told(data: dict[str, Any], spider: str) -> list[str]:
    lines = [f"replayed {data['replayed']} requests, {data['dead_letters']} dead letters left"]
    if data["kept"]:
        lines.append(f"{data['kept']} requests can't be replayed: they stay here")
    if data["replayed"]:
        lines.append(f"the next `scrapy crawl {printable(spider)}` fetches them")
    return lines

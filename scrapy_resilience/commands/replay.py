"""``scrapy resilience replay``: dead letters become requests again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy import Request

from scrapy_resilience import _clock
from scrapy_resilience.checkpoint.state import GATES, META, StateRegistry
from scrapy_resilience.commands.breakers import renewed, saved_gates
from scrapy_resilience.commands.deadletters import about, pages
from scrapy_resilience.commands.jobs import open_job, values
from scrapy_resilience.commands.tables import text_of
from scrapy_resilience.core.masking import counted
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.codec import edit_request
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.names import ATTEMPT_STATE, META_TRACE_ID, META_UNCACHED
from scrapy_resilience.scheduling.requests import host_of
from scrapy_resilience.scheduling.slots import slot_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scrapy_resilience.core.deadletter import About, Wanted
    from scrapy_resilience.frontier.store import Letter, Row
    from scrapy_resilience.gates.lane_names import LaneNames

__all__ = ["replay"]


def replay(path: str, wanted: Wanted, lanes: LaneNames) -> tuple[Any, str]:
    """Put letters back into the frontier of a job that nobody runs, into these *lanes*.

    A page of them is one commit, with the fresh breakers of their domains: a kill leaves each
    either here or there.
    """
    replayed = kept = 0
    with open_job(Path(path), write=True) as store:
        meta = JobMeta.of(store.state())
        frontier = Frontier(store, limit=lambda _: 1, wall=_clock.wall())
        domains = _Domains(StateRegistry(store.state(), values))
        for page in pages(store):
            chosen = [letter for letter in page if wanted(about(letter))]
            rows = {letter: row for letter in chosen if (row := _push(letter, frontier, lanes))}
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
                meta.replay(len(rows), frontier.rows)
                changes.state = {META: meta.encode(), **domains.renew(map(about, rows))}
                store.commit(changes)
                frontier.committed(changes)
    left = meta.dead_letters
    data = {"job": path, "replayed": replayed, "kept": kept, "dead_letters": left}
    return data, text_of(_told(data, str(meta.spider)))


def _push(letter: Letter, frontier: Frontier, lanes: LaneNames) -> Row | None:
    """None for a request that is listed only, or that can't be read."""
    found: dict[str, Any] = {}

    def begin_anew(request: dict[str, Any]) -> None:
        meta = request.setdefault("meta", {})
        for key in ATTEMPT_STATE:
            meta.pop(key, None)
        if trace_id := about(letter).trace_id:
            meta[META_TRACE_ID] = trace_id
        if _was_download(about(letter)) and not meta.get("dont_cache", False):
            meta["dont_cache"] = meta[META_UNCACHED] = True
        found.update(request)

    try:
        data = edit_request(letter.request or b"", begin_anew)
        request = Request(found["url"], meta=found["meta"])
    except (CheckpointError, ValueError):
        return None
    slot = slot_name(request.meta.get("download_slot") or host_of(request.url))
    lane = lanes.of(slot, request)
    return frontier.push(lane, data, priority=found.get("priority", 0))


def _was_download(letter: About) -> bool:
    """Whether it is the page that failed, and not what was done with it."""
    return letter.kind not in {"callback", "pipeline"} or letter.failure_class == "errback"


class _Domains:
    """What is stored of the domains of a job."""

    def __init__(self, state: StateRegistry) -> None:
        self._state = state
        self._saved = saved_gates(state)
        self._changed: dict[str, Any] = {}
        state.register_map(GATES, lambda: self._changed)

    def renew(self, letters: Iterable[About]) -> dict[str, bytes | None]:
        """Give the domains of letters fresh breakers; each once."""
        names = {name for letter in letters for name in _names(letter)}
        found = {name: data for name in names if (data := self._saved.pop(name, None))}
        self._changed = {name: renewed(data, name) for name, data in found.items()}
        return self._state.changed()


def _names(letter: About) -> Iterator[str]:
    """By which its domain may be known: RESILIENCE_BREAKER_DOMAIN is the project's."""
    name = host_of(letter.url)
    while name:
        yield name
        name = name.partition(".")[2]
    if letter.kind == "held":
        yield letter.reason.partition(" did not recover")[0]


def _told(data: dict[str, Any], spider: str) -> list[str]:
    replayed, left = counted(data["replayed"], "request"), data["dead_letters"]
    lines = [f"replayed {replayed}, {counted(left, 'dead letter')} left"]
    if data["kept"]:
        lines.append(f"{counted(data['kept'], 'request')} can't be replayed: left here")
    if data["replayed"]:
        lines.append(f"the next `scrapy crawl {spider}` fetches them")
    return lines

"""The view of a job from its files: of one that does not run, or that does and has no endpoint.

It is as of the last commit. What only a process knows (rates, latencies, resources) is not in
it, and counts are of all runs.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec

from scrapy_resilience import _clock
from scrapy_resilience.checkpoint.state import ABORT, GATES, OWN, TOTALS, StateRegistry, checked
from scrapy_resilience.core.breaker import State
from scrapy_resilience.core.drift import KINDS as DRIFT_KINDS
from scrapy_resilience.core.gate import SavedGate
from scrapy_resilience.core.masking import clipped, counted, shown
from scrapy_resilience.core.pace import Pace
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.layout import LOCK, STORE, WAITING
from scrapy_resilience.files.lock import is_locked
from scrapy_resilience.files.ownership import check_jobdir
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.gates.lane_names import domain_of
from scrapy_resilience.guard.cost.stored import stored_costs
from scrapy_resilience.guard.cost.views import add_outlook
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.progress import RUNNING
from scrapy_resilience.jobs.watermark import open_current
from scrapy_resilience.observe.accounting.accountant import STATE, stored_accounting
from scrapy_resilience.observe.browser_views import browsers_of
from scrapy_resilience.observe.from_stats import (
    Grouped,
    checkpoint_of,
    confidence_of,
    number,
    plain,
)
from scrapy_resilience.observe.guards import stored_guard
from scrapy_resilience.observe.record.record import stored_record
from scrapy_resilience.observe.sentences import eased_off, sentence
from scrapy_resilience.observe.traffic import shown_domain
from scrapy_resilience.observe.view import (
    AbortView,
    Checkpoint,
    DomainView,
    Drifting,
    EventView,
    Items,
    JobView,
    Progress,
    View,
)
from scrapy_resilience.waits import read_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["offline_view"]

T = TypeVar("T")
_Saved: TypeAlias = dict[str, SavedGate | None]

_SHOWN: Final = 1000
"""Domains of a view."""
_HISTOGRAM: Final = 10
_LONGEST: Final = 200
"""Characters of a close reason."""
_Alarm: TypeAlias = tuple[str, str, str, str]
_values: Final = ValueCodec(allow_pickle=False)


class _Series(msgspec.Struct, array_like=True):
    """Of a field that is watched, as :meth:`.DriftMonitor.changed` gives it."""

    base_hits: float
    base_size: float
    bits: str
    size: int
    alarmed: bool


class _Watched(msgspec.Struct, array_like=True):
    name: str
    ident: str
    usual: int
    places: dict[int, int]
    window: int
    fill: _Series
    valid: _Series
    fallback: _Series


def offline_view(path: Path) -> View:
    """The view of the job in *path* as of its last commit.

    Raises :exc:`CheckpointError` where there is no job, and what the store raises.
    """
    check_jobdir(path)
    if not (path / STORE).is_file():
        raise CheckpointError(f"{path} is not a job of scrapy_resilience: it has no {STORE}")
    with closing(open_current(path, read_only=True)) as store:
        stored = store.state()
        lanes = [(name, rows) for _, name, rows in store.lanes() if rows]
    state = StateRegistry(stored, _values)
    meta, now = JobMeta.of(stored), _clock.wall()
    totals: dict[str, Any] = checked(_load(state, TOTALS) or {}, dict[str, Any], "totals")
    view = View(time=now, stats=plain(totals))
    view.job = _job(path, meta, _load(state, RUNNING))
    view.progress = _progress(meta, totals)
    grouped = Grouped(totals)
    view.traffic = grouped.traffic()
    view.browsers = browsers_of(totals)
    view.domains, view.domains_known = _domains(_gates(state), lanes, now)
    view.breakers = _breakers(view.domains)
    view.items = _items(totals, grouped, _load(state, OWN + "confidence"))
    view.checkpoint = _checkpoint(path, meta, totals)
    view.accounting = _told(stored_accounting, _load(state, STATE), stored_accounting(None))
    view.abort = _told(_abort, _load(state, ABORT), AbortView())
    record = stored_record(path, meta.ident, meta.commits)
    view.errors, view.events = record.errors.view(), record.events.view()
    view.history = record.history.view()
    latest = meta.last_checkpoint or 0.0
    view.items.drift = _drift(_alarms(state), record.events.all(), latest)
    view.guard = stored_guard(totals, record.events.all())
    view.cost = stored_costs(path, now)
    add_outlook(view.cost, view.progress)
    view.job.sentence, view.guard.sentence = _sentence(view), eased_off(view)
    return view


def _load(state: StateRegistry, name: str) -> Any:
    """None also for what only a pickle can hold, such as a user's stat."""
    try:
        return state.load(name)
    except CheckpointError:
        return None


def _told(function: Callable[[Any], T], value: Any, otherwise: T) -> T:
    try:
        return function(value)
    except msgspec.ValidationError:  # of another version
        return otherwise


def _sentence(view: View) -> str:
    if view.job.state != "running":
        return sentence(view)
    left = counted(view.progress.pending or 0, "request")
    return f"It runs in another process, and had {left} to do at its last commit."


def _job(path: Path, meta: JobMeta, seconds: Any) -> JobView:
    running = is_locked(path / LOCK)
    waits = read_waiting(path / WAITING) if running else []
    return JobView(
        spider=shown(str(meta.spider or "")),
        path=shown(str(path)),
        ident=meta.ident,
        run=meta.runs,
        started=meta.created or 0.0,
        running_seconds=float(seconds) if isinstance(seconds, (int, float)) else 0.0,
        state=meta.state(running=running),
        reason=None if meta.reason is None else clipped(meta.reason, _LONGEST),
        incomplete=meta.dead_letters > 0 or not (running or meta.finished),
        waiting_for=[shown(str(each["for"])) for each in waits],
    )


def _progress(meta: JobMeta, totals: Mapping[str, Any]) -> Progress:
    return Progress(
        done=meta.done,
        pending=meta.pending,
        held=meta.held,
        dead_letters=meta.dead_letters,
        pages=number(totals, "response_received_count"),
        items=number(totals, "item_scraped_count"),
        dropped=number(totals, "item_dropped_count"),
        duplicates=number(totals, "dupefilter/filtered"),
    )


def _items(totals: Mapping[str, Any], grouped: Grouped, saved: Any) -> Items:
    items = Items(
        coverage=grouped.coverage(),
        confidence=confidence_of(totals),
        unread=grouped.unread(),
    )
    items.confidence.counts = _told(_histogram, saved, [])
    return items


def _abort(saved: Any) -> AbortView:
    """Of what :class:`.AbortMonitor` keeps: as it was when somebody looked last."""
    return AbortView() if saved is None else msgspec.convert(saved, tuple[Any, AbortView])[1]


def _histogram(saved: Any) -> list[int]:
    """Of what :class:`.ConfidencePipeline` keeps, which in a job of before has none."""
    _, _, counts = msgspec.convert(saved, tuple[int, float, list[int]])
    return counts if len(counts) == _HISTOGRAM else []


def _alarms(state: StateRegistry) -> list[_Alarm]:
    """Set, field, domain and kind of what is in alarm."""
    try:
        saved = state.load_map(OWN + "drift")
        known = msgspec.convert(saved, dict[tuple[str, str], list[_Watched] | None])
    except (CheckpointError, msgspec.ValidationError):  # damaged, or of another version
        return []
    return [
        (name, field.name, domain, kind)
        for (name, domain), fields in known.items()
        for field in fields or ()
        for kind in DRIFT_KINDS
        if getattr(field, kind).alarmed
    ]


def _drift(
    alarms: Iterable[_Alarm], events: Sequence[EventView], latest: float
) -> list[Drifting]:
    """Since when is in the events, as long as they are kept; it was *latest* at the latest."""
    found = []
    for name, field, domain, kind in alarms:
        begin, place = shown(f"{name} "), shown(f", {field} on {domain}: ")
        told = [
            e.time for e in events if e.kind == "drift" and begin in e.text and place in e.text
        ]
        since = max(told, default=latest)
        found.append(Drifting(shown(name), shown(field), shown(domain), kind, since))
    return found


def _checkpoint(path: Path, meta: JobMeta, totals: Mapping[str, Any]) -> Checkpoint:
    view = checkpoint_of(totals)
    view.enabled, view.last = True, meta.last_checkpoint
    view.store_bytes = sum(file.stat().st_size for file in path.glob(STORE + "*"))
    return view


# --- domains --------------------------------------------------------------------------


def _gates(state: StateRegistry) -> _Saved:
    return checked(state.load_map(GATES), _Saved, "domains")


def _domains(
    gates: _Saved, lanes: Iterable[tuple[str, int]], now: float
) -> tuple[list[DomainView], int]:
    """Those with something to tell first, then those with most to do; and how many in all."""
    pending: dict[str, int] = {}
    for lane, rows in lanes:
        domain = domain_of(lane)
        pending[domain] = pending.get(domain, 0) + rows
    names = dict.fromkeys([*(name for name, saved in gates.items() if saved), *pending])
    found = [_domain(name, gates.get(name) or {}, pending.get(name, 0), now) for name in names]
    found.sort(key=lambda view: (view.breaker == "closed", not view.waits_for, -view.pending))
    return found[:_SHOWN], len(found)


def _domain(name: str, saved: SavedGate, pending: int, now: float) -> DomainView:
    view = DomainView(name=shown_domain(name), pending=pending)
    view.breaker = str(saved.get("state") or State.CLOSED.value)
    view.rate = Pace.load(saved.get("pace", {}), 0.0).rate
    held, until = saved.get("held_until") or 0.0, saved.get("until") or 0.0
    if held > now:
        view.waits_for, view.next_try = shown(saved.get("hold_reason") or ""), held
    if view.breaker != State.CLOSED.value and until >= (view.next_try or 0.0):
        view.waits_for = f"circuit breaker is {view.breaker}"
        view.next_try = until if until > now else None
    return view


def _breakers(domains: Iterable[DomainView]) -> dict[str, int]:
    found: dict[str, int] = {}
    for domain in domains:
        if domain.breaker != State.CLOSED.value:
            found[domain.breaker] = found.get(domain.breaker, 0) + 1
    return found

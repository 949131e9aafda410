"""The frontier: which request goes next, and what must be written down about it.

Each download slot ("domain") has a lane; how much of it is in memory, :mod:`.heads` decides.
Lanes that may be asked now stand in a queue for each number of requests that they have
under way; the least busy lane goes first, lanes alike take turns, and a pop costs the
same for ten lanes as for a million.

Nothing here knows Scrapy, a clock or a file: *now* is an argument, in seconds of any
clock that never goes back.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy_resilience.frontier.heads import Heads
from scrapy_resilience.frontier.lane import Lane, Order
from scrapy_resilience.frontier.queues import Queues
from scrapy_resilience.frontier.seen import SeenFilter
from scrapy_resilience.frontier.store import Changes, Row, Store
from scrapy_resilience.frontier.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Frontier", "HandOut"]


class HandOut(NamedTuple):
    """What :meth:`Frontier.pop` has decided: a row of *lane* goes, and *slot* counts it."""

    row: Row
    lane: str
    slot: str


class Frontier:
    """Pending requests of a crawl, and the changes that the next commit writes.

    *limit* gives the number of requests that a slot may have under way. *now* is any
    clock that never goes back, *wall* the time of day; both in seconds. *gate* is asked
    for a slot before a request of it is handed out, with (slot, now): it answers when the
    slot may be asked again, or a time that is not after *now*. After :data:`math.inf` the
    slot waits for :meth:`release`. *group* gives what a slot belongs to, by its name.

    A payload of bytes is durable: it is written at the next commit. Any other payload
    lives in memory until it is done.
    """

    def __init__(
        self,
        store: Store,
        *,
        limit: Callable[[str], int],
        order: Order | None = None,
        gate: Callable[[str, float], float] | None = None,
        group: Callable[[str], str] = str,
        now: float = 0.0,
        wall: float = 0.0,
    ) -> None:
        self._store = store
        self._gate = gate
        self._order = order or Order()
        self._queues = queues = Queues(limit, group)
        self._lanes, self._idents, self._groups = queues.lanes, queues.idents, queues.groups
        self.left_of = queues.groups.left
        self.occupy, self.vacate = queues.occupy, queues.vacate
        self.reroute, self.is_crowded = queues.reroute, queues.is_crowded
        self._heads = Heads(store, self._lanes)
        self._timers = Timers()
        self.next_due = self._timers.next_due
        self.next_is_delayed = self._timers.next_is_delayed
        self._number = store.last_number()
        self._pending = 0
        self._rows = 0
        self._delayed = 0
        self._held: dict[Lane, None] = {}
        self._seen = SeenFilter(store)
        self._volatile: set[bytes] = set()
        self._sealed: Changes | None = None
        self._touched: set[Lane] = set()
        self._changes = Changes()
        self._load(now, wall)

    def _load(self, now: float, wall: float) -> None:
        for ident, name, rows in self._store.lanes():
            self._queues.add(ident, name, rows)
            self._pending += rows
            self._rows += rows
        for row in self._store.delayed():
            # a clock that was set back must not turn a minute into a year
            wait = min((row.due or 0) - wall, row.delay or 0)
            if wait > 0:
                self._idents[row.lane].spilled -= 1
                self._delay(row, now + wait)
        for lane in self._lanes.values():
            self._queues.place(lane)
        self._store.pin()

    # --- requests ---

    def __len__(self) -> int:
        """Requests that wait, delayed and held ones included."""
        return self._pending - self._heads.missing

    @property
    def changed(self) -> int:
        """How much the next commit has to write, in rows."""
        changes = self._changes
        return (
            len(self._heads.new)
            + len(changes.deletes)
            + len(changes.fingerprints)
            + len(changes.start_keys)
        )

    @property
    def held(self) -> int:
        """Requests that wait for a time to pass."""
        waiting = [len(lane.head) + len(lane.tail) + lane.spilled for lane in self._held]
        return self._delayed + sum(waiting)  # as Lane.waiting: for 100,000 a call costs more

    @property
    def delayed(self) -> int:
        """Requests that wait for a time of their own."""
        return self._delayed

    @property
    def has_ready(self) -> bool:
        """Whether a lane may be asked now, as far as is known without its gate."""
        return any(self._queues.by_load)

    def held_lanes(self) -> list[Lane]:
        """Those of which nothing is handed out now. Copies them: not for each request."""
        return list(self._held)

    def held_groups(self, most: int) -> list[str]:
        """The groups of the first *most* held lanes."""
        return self._groups.of(self._held, most)

    def groups(self, most: int) -> list[str]:
        """The groups of the first *most* lanes."""
        return self._groups.of(self._lanes.values(), most)

    @property
    def rows(self) -> int:
        """Durable requests that are not done, those under way included."""
        return self._rows

    def seen(self, fingerprint: bytes) -> bool:
        """Whether a request with this fingerprint was ever pushed."""
        return self._seen.may_hold(fingerprint) and (
            fingerprint in self._changes.fingerprints
            or fingerprint in self._volatile
            or (self._sealed is not None and fingerprint in self._sealed.fingerprints)
            or self._seen.stored(fingerprint)
        )

    def push(
        self,
        slot: str,
        payload: Any,
        *,
        priority: int = 0,
        start: bool = False,
        fifo: bool = False,
        fingerprint: bytes | None = None,
        delay: float = 0.0,
        now: float = 0.0,
        wall: float = 0.0,
    ) -> Row:
        """Add a request, to run *delay* seconds from *now* at the earliest."""
        if self._heads.trims:
            self._heads.trim()
        self._seen.learn()
        self._number += 1
        lane = self._queues.lane(slot)
        rank, order = self._order.place(self._number, priority, start=start, fifo=fifo)
        times = (wall + delay, delay) if delay > 0 else ()
        row = Row(lane.ident, rank, order, payload, *times)
        durable = isinstance(payload, bytes)
        if fingerprint is not None:
            self._seen.add(fingerprint)
            (self._changes.fingerprints if durable else self._volatile).add(fingerprint)
        if durable:
            self._heads.new[self._number] = row
            lane.rows += 1
            self._rows += 1
            self._touched.add(lane)
        self._pending += 1
        if delay > 0:
            self._delay(row, now + delay)
        else:
            lane.add(row)
            if lane.queue is None:  # else it stands where it belongs
                self._queues.place(lane)
        return row

    def pop(self, now: float) -> HandOut | None:
        """Hand out the next request, of the least busy lane that may be asked now."""
        if self._heads.trims:
            self._heads.trim()
        if self._timers.queue and self._timers.queue[0][0] <= now:
            self._release(now)
        for queue in self._queues.by_load:
            while queue:
                counter = next(iter(queue))
                lane = counter.next_source()
                if self._gate is not None and (due := self._gate(lane.name, now)) > now:
                    self.hold(lane.name, due)
                    continue
                row = self._heads.next(lane)
                if row is not None:
                    self._pending -= 1
                    counter.busy += 1
                self._queues.place(lane)
                if row is not None:
                    return HandOut(row, lane.name, counter.name)
        return None

    def done(self, row: Row) -> None:
        """A request that was handed out needs no second run."""
        number = row.number
        if isinstance(row.data, bytes):
            lane = self._idents[row.lane]
            lane.rows -= 1
            self._rows -= 1
            self._touched.add(lane)
            if self._heads.new.pop(number, None) is None:
                self._changes.deletes.append(row.key)
            else:
                self._heads.taken.discard(number)
            self._queues.forget(lane)

    def settle(self, fingerprint: bytes) -> None:
        """The request of a fingerprint that lived in memory is done: write it down."""
        self._volatile.discard(fingerprint)
        self._seen.add(fingerprint)
        self._changes.fingerprints.add(fingerprint)

    def note_start(self, key: int) -> None:
        """An output of ``start()`` is durable or done: a resume need not repeat it."""
        self._changes.start_keys.append(key)

    # --- slots ---

    def waiting(self, slot: str) -> int:
        """How many requests of *slot* wait, delayed ones not included."""
        lane = self._lanes.get(slot)
        return 0 if lane is None else lane.waiting

    def left(self, slot: str) -> int:
        """How many requests of *slot* wait, delayed ones included."""
        lane = self._lanes.get(slot)
        return 0 if lane is None else lane.waiting + lane.delayed

    def busy(self, slot: str) -> int:
        return self._lanes[slot].busy if slot in self._lanes else 0

    def hold(self, slot: str, until: float) -> None:
        """Hand out nothing of *slot* before *until* (on the clock of *now*)."""
        lane = self._queues.lane(slot)
        if until > lane.held_until:
            lane.held_until = until
            self._held[lane] = None
            if until < inf:
                self._timers.set(until, lane)
            self._queues.place(lane)

    def release(self, slot: str) -> None:
        """End a hold before its time."""
        lane = self._lanes.get(slot)
        if lane is not None and lane.held_until:
            self._free(lane)

    def _free(self, lane: Lane) -> None:
        lane.held_until = 0.0
        self._held.pop(lane, None)
        self._queues.place(lane)

    def recall(self, slot: str) -> None:
        """End the delays of all requests of *slot*. Looks at every delay of the crawl."""
        lane = self._lanes.get(slot)
        if lane is None or not lane.delayed:
            return
        for row in self._timers.take_rows(lane.ident):
            self._end_delay(row)

    def take(self, slot: str) -> Row | None:
        """Hand out the next request of *slot*, held or busy as it may be; it does not count."""
        lane = self._lanes.get(slot)
        row = None if lane is None else self._heads.next(lane)
        if lane is not None and row is not None:
            self._pending -= 1
            self._queues.place(lane)
        return row

    def drain(self) -> Iterator[Row]:
        """Hand out all that is left, held, busy or delayed as it may be, as the last act."""
        for slot in list(self._lanes):
            while (row := self.take(slot)) is not None:
                yield row
        yield from self._timers.rows()

    def give_back(self) -> None:
        """Forget rows that the store has, as many as can be: memory is short."""
        for lane in self._lanes.values():
            self._heads.give_back(lane)

    # --- commits ---

    def seal(self) -> Changes:
        """Everything since the last seal; one sealed change is written at a time."""
        assert self._sealed is None, "the sealed changes before these are not committed"
        self._store.unpin()
        changes, self._changes = self._changes, Changes()
        changes.inserts = self._heads.seal()
        changes.lanes = {lane.ident: (lane.name, lane.rows) for lane in self._touched}
        self._sealed = changes
        self._touched = set()
        return changes

    def committed(self, changes: Changes) -> None:
        """The sealed changes are in the store: forget what it can give back."""
        self._store.pin()
        self._sealed = None
        lanes = [self._idents[ident] for ident in changes.lanes if ident in self._idents]
        self._heads.committed(changes, lanes)

    # --- time ---

    def _delay(self, row: Row, due: float) -> None:
        self._idents[row.lane].delayed += 1
        self._delayed += 1
        self._heads.take(row)
        self._timers.set(due, row)

    def _release(self, now: float) -> None:
        while (item := self._timers.pop(now)) is not None:
            if isinstance(item, Row):
                self._end_delay(item)
            elif item.held_until <= now and item in self._held:
                self._free(item)

    def _end_delay(self, row: Row) -> None:
        """A delayed row may run now; the store keeps it when it is not among the best."""
        lane = self._idents[row.lane]
        lane.delayed -= 1
        self._delayed -= 1
        self._heads.taken.discard(row.number)
        beyond = lane.bound is not None and row.place >= lane.bound
        if not (beyond and self._heads.spill(row, lane)):
            lane.add(row)
        self._queues.place(lane)

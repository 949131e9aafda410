"""The frontier against a model that knows no heads, bounds, tails or files."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from store_contract import BrokenList, read

from scrapy_resilience.frontier import heads
from scrapy_resilience.frontier import lane as lane_module
from scrapy_resilience.frontier.lane import Order
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import MemoryStore

LIMITS = {"a": 1, "b": 2, "c": 3, "d": 8}
SLOTS = st.sampled_from(sorted(LIMITS))
FINGERPRINTS = [b"f%d" % number for number in range(8)]
PICKS = st.integers(0, 60)
SECONDS = st.integers(1, 6).map(float)


@dataclass(eq=False)
class Entry:
    """What the model knows of one request."""

    seq: int
    slot: str
    payload: object
    priority: int
    start: bool
    fifo: bool
    fingerprint: bytes | None
    delay: float
    due_wall: float
    due: float | None  # on the clock of now; None once it may run

    @property
    def durable(self):
        """Whether a commit writes it."""
        return isinstance(self.payload, bytes)

    def place(self, order: Order):
        """Return a key by which the best of a slot is the smallest."""
        apart = self.start and order.start_lifo is not None
        lifo = not self.fifo and (order.start_lifo if apart else order.lifo)
        return (-self.priority, apart, -self.seq if lifo else self.seq)


@dataclass
class Moment:
    """What a commit makes durable."""

    entries: list[Entry]
    fingerprints: set[bytes]
    start_keys: Counter


def group_of(slot):
    """Of two slots each: one has the name of its group, the other has not."""
    names = sorted(LIMITS)
    return names[names.index(slot) // 2 * 2]


class FrontierMachine(RuleBasedStateMachine):
    """Rules act on both, and compare."""

    reached: Counter | None = None

    def new_store(self):
        """Return the store that a new life finds."""
        raise NotImplementedError

    # --- life and death ---

    @initialize(
        lifo=st.booleans(), start_lifo=st.sampled_from([None, True, False]), now=SECONDS
    )
    def begin(self, lifo, start_lifo, now):
        """Open an empty frontier."""
        self.order = Order(lifo=lifo, start_lifo=start_lifo)
        self.seq = 0
        self.wall = 1_000_000.0
        self.committed = Moment([], set(), Counter())
        self.seen_events = Counter()
        self.store = None
        self._live(now)

    def _live(self, now):
        self.now = now
        self.store = self.new_store()
        self.waiting = {}
        for entry in self.committed.entries:
            wait = min(entry.due_wall - self.wall, entry.delay)
            due = self.now + wait if wait > 0 else None
            self.waiting[entry.payload] = replace(entry, due=due)
        self.out = []  # (row, entry): handed out, not done
        self.shares = []  # slots, one for each share that is taken
        self.held = {}
        self.fingerprints = set(self.committed.fingerprints)
        self.volatile_fingerprints = set()
        self.start_keys = Counter(self.committed.start_keys)
        self.sealed = None
        self.written = False
        self.untaken = [0, 0]  # done rows: not sealed, sealed and not acknowledged
        self.frontier = Frontier(
            self.store,
            limit=LIMITS.__getitem__,
            order=self.order,
            group=group_of,
            now=self.now,
            wall=self.wall,
        )

    @rule(jump=st.integers(-10, 10).map(float), now=SECONDS)
    def crash(self, jump, now):
        """Go back to the last commit that was written; the wall clock may have been set."""
        self.seen_events["crash"] += 1
        self.wall += jump
        self._live(now)

    # --- requests ---

    def _push(
        self, slot, *, durable, priority=0, start=False, fifo=False, fingerprint=None, delay=0.0
    ):
        if fingerprint is not None and self.is_seen(fingerprint):
            assert self.frontier.seen(fingerprint)
            return
        self.seq += 1
        payload = b"%d" % self.seq if durable else object()
        row = self.frontier.push(
            slot,
            payload,
            priority=priority,
            start=start,
            fifo=fifo,
            fingerprint=fingerprint,
            delay=delay,
            now=self.now,
            wall=self.wall,
        )
        assert row.data is payload
        self.waiting[payload] = Entry(
            self.seq, slot, payload, priority, start, fifo, fingerprint, delay,
            self.wall + delay, self.now + delay if delay else None,
        )  # fmt: skip
        if fingerprint is not None:
            (self.fingerprints if durable else self.volatile_fingerprints).add(fingerprint)

    @rule(
        slot=SLOTS,
        durable=st.integers(0, 3).map(bool),
        priority=st.integers(-2, 2),
        start=st.booleans(),
        fifo=st.booleans(),
        fingerprint=st.none() | st.sampled_from(FINGERPRINTS),
        delay=st.just(0.0) | SECONDS,
    )
    def push(self, *, slot, durable, priority, start, fifo, fingerprint, delay):
        """Add one request of any kind."""
        self._push(
            slot,
            durable=durable,
            priority=priority,
            start=start,
            fifo=fifo,
            fingerprint=fingerprint,
            delay=delay,
        )

    @rule(slot=SLOTS, priorities=st.lists(st.integers(-2, 2), min_size=3, max_size=9))
    def push_many(self, slot, priorities):
        """Add so many that heads run over."""
        for priority in priorities:
            self._push(slot, durable=True, priority=priority, start=priority == 1)

    def _release(self):
        for entry in self.waiting.values():
            if entry.due is not None and entry.due <= self.now:
                entry.due = None
        self.held = {slot: until for slot, until in self.held.items() if until > self.now}

    def _expected(self):
        """Return which request of each least busy slot that may be asked is to go."""
        busy = Counter(self.shares)
        best = {}
        for entry in self.waiting.values():
            slot = entry.slot
            if entry.due is not None or slot in self.held or busy[slot] >= LIMITS[slot]:
                continue
            if slot not in best or entry.place(self.order) < best[slot].place(self.order):
                best[slot] = entry
        least = min((busy[slot] for slot in best), default=0)
        return {slot: entry for slot, entry in best.items() if busy[slot] == least}

    @rule()
    def pop(self):
        """Take the next request: the best of a least busy slot."""
        self._release()
        expected = self._expected()
        found = self.frontier.pop(self.now)
        if found is None:
            assert not expected
        else:
            entry = self.waiting.pop(found.row.data)
            assert entry is expected.get(entry.slot)
            assert found.lane == entry.slot
            self.out.append((found.row, entry))
            self.shares.append(entry.slot)
        self._check_times()

    @rule(count=st.integers(2, 8))
    def pop_some(self, count):
        """Take some requests, each of which leaves its slot at once."""
        for _ in range(count):
            before = len(self.shares)
            self.pop()
            if len(self.shares) > before:
                self.frontier.vacate(self.shares.pop())

    def _check_times(self):
        """Right after a pop, nothing that is due is kept back."""
        due = {entry.due for entry in self.waiting.values() if entry.due is not None}
        due |= set(self.held.values())
        assert self.frontier.next_due() == min(due, default=None)
        assert self.frontier.held == sum(
            entry.due is not None or entry.slot in self.held for entry in self.waiting.values()
        )

    @precondition(lambda self: self.out)
    @rule(pick=PICKS)
    def done(self, pick):
        """End a request that was handed out."""
        row, entry = self.out.pop(pick % len(self.out))
        self.frontier.done(row)
        self.untaken[0] += 1
        if not entry.durable and entry.fingerprint is not None:
            self.frontier.settle(entry.fingerprint)
            self.volatile_fingerprints.discard(entry.fingerprint)
            self.fingerprints.add(entry.fingerprint)

    @rule(key=st.integers(0, 3))
    def note_start(self, key):
        """Remember an output of start()."""
        self.frontier.note_start(key)
        self.start_keys[key] += 1

    # --- slots ---

    @precondition(lambda self: self.shares)
    @rule(pick=PICKS)
    def vacate(self, pick):
        """End a share."""
        slot = self.shares.pop(pick % len(self.shares))
        self.frontier.vacate(slot)

    @rule(slot=SLOTS)
    def occupy(self, slot):
        """Let a request that bypasses the scheduler take a share, even above the limit."""
        self.frontier.occupy(slot)
        self.shares.append(slot)

    @rule(slot=SLOTS, seconds=SECONDS)
    def hold(self, slot, seconds):
        """Hold a slot; the longer hold counts."""
        until = self.now + seconds
        self.frontier.hold(slot, until)
        self.held[slot] = max(until, self.held.get(slot, 0))

    @rule(seconds=SECONDS)
    def advance(self, seconds):
        """Let time pass."""
        self.now += seconds
        self.wall += seconds

    @rule()
    def give_back(self):
        """Forget what the store has: nothing that can be seen changes."""
        self.frontier.give_back()

    # --- commits ---

    @precondition(lambda self: self.sealed is None)
    @rule()
    def seal(self):
        """Take the changes since the last seal."""
        entries = [*self.waiting.values(), *(entry for _, entry in self.out)]
        moment = Moment(
            [replace(entry) for entry in entries if entry.durable],
            set(self.fingerprints),
            Counter(self.start_keys),
        )
        self.sealed = self.frontier.seal(), moment
        self.written = False
        self.untaken = [0, self.untaken[0]]

    @precondition(lambda self: self.sealed is not None and not self.written)
    @rule()
    def fail(self):
        """Meet an error in the middle of a commit; a later rule writes it again."""
        changes, _ = self.sealed
        if isinstance(self.store, MemoryStore):
            return  # knows no middle: see test_store
        keys, changes.start_keys = changes.start_keys, BrokenList(changes.start_keys)
        with pytest.raises(OSError, match="no space"):
            self.store.commit(changes)
        changes.start_keys = keys
        self.seen_events["failed commit"] += 1

    @precondition(lambda self: self.sealed is not None and not self.written)
    @rule()
    def write(self):
        """Write the sealed changes; the event loop does not know yet."""
        changes, self.committed = self.sealed
        self.store.commit(changes)
        self.written = True

    @precondition(lambda self: self.sealed is not None and self.written)
    @rule()
    def acknowledge(self):
        """Tell the frontier that its changes are written, and let it forget."""
        self.frontier.committed(self.sealed[0])
        self.sealed = None
        self.untaken[1] = 0
        self._trim_all()

    @rule()
    def commit(self):
        """Do all that is left of a commit."""
        if self.sealed is None:
            self.seal()
        if not self.written:
            self.write()
        self.acknowledge()

    def _trim_all(self):
        """Do at once what pushes and pops do one by one; see that it was enough."""
        frontier = self.frontier
        trimmed = list(frontier._heads.trims)
        while frontier._heads.trims:
            frontier._heads.trim()
        share = frontier._heads.share()
        for lane in trimmed:
            assert len(lane.head) <= 2 * share
            for row in lane.tail:
                assert not isinstance(row.data, bytes) or row.number in frontier._heads.new
            self.seen_events["spilled"] += bool(lane.spilled)

    # --- what always holds ---

    def is_seen(self, fingerprint):
        """Whether the model has seen a fingerprint."""
        return fingerprint in self.fingerprints or fingerprint in self.volatile_fingerprints

    @invariant()
    def agrees(self):
        """Compare what can be asked at any time."""
        if self.store is None:
            return
        frontier = self.frontier
        assert len(frontier) == len(self.waiting)
        assert frontier.rows == sum(
            entry.durable for entry in (*self.waiting.values(), *(e for _, e in self.out))
        )
        for fingerprint in FINGERPRINTS:
            assert frontier.seen(fingerprint) == self.is_seen(fingerprint)
        busy = Counter(self.shares)
        for slot in LIMITS:
            assert frontier.busy(slot) == busy[slot]
        grouped = Counter(group_of(entry.slot) for entry in self.waiting.values())
        for group in map(group_of, LIMITS):
            assert frontier.left_of(group) == grouped[group]
        others = [lane for lanes in frontier._groups._others.values() for lane in lanes]
        assert all(frontier._lanes[lane.name] is lane for lane in others)
        assert set(grouped) <= set(frontier.groups(99))

    @invariant()
    def remembers_no_more_than_it_must(self):
        """Bound the memory by what is under way, delayed, or not written yet."""
        if self.store is None:
            return
        delayed = sum(
            item in self.waiting and self.waiting[item].durable
            for item in (row.data for row in self.frontier._timers.rows())
        )
        out = sum(entry.durable for _, entry in self.out)
        assert len(self.frontier._heads.taken) <= delayed + out + sum(self.untaken)
        in_use = {entry.slot for entry in self.waiting.values()} | set(self.shares)
        in_use |= {entry.slot for _, entry in self.out if entry.durable} | set(self.held)
        assert set(self.frontier._lanes) <= in_use | {
            lane.name for lane in self.frontier._lanes.values() if lane.held_until
        }
        for lane in self.frontier._lanes.values():
            self.seen_events["tail"] += bool(lane.tail)
            self.seen_events["refilled"] += lane.bound not in {None, lane_module._LOWEST}

    # --- the end ---

    def teardown(self):
        """Commit, crash and drain: every durable request is there, once, in order."""
        if getattr(self, "store", None) is None:
            return
        self.commit()
        alive = {entry.payload for entry in self.committed.entries}
        self._live(self.now)
        assert Counter(self.store.start_keys()) == self.start_keys
        handed = set()
        while self.waiting:
            before = len(self.out)
            self.pop()
            if len(self.out) == before:
                self.now = self.frontier.next_due()
                continue
            row, entry = self.out.pop()
            handed.add(entry.payload)
            self.frontier.done(row)
            self.frontier.vacate(self.shares.pop())
        assert handed == alive
        assert self.frontier.pop(self.now) is None
        self.store.commit(self.frontier.seal())
        assert list(self.store.lanes()) == []
        assert read_all(self.store) == []
        for what in self.seen_events:
            event(what)
        target(float(self.seen_events["spilled"]), label="lanes with rows in the store only")
        target(float(self.seen_events["tail"]), label="lanes with a tail")
        self.close()

    def close(self):
        """Give back what the store holds."""


def read_all(store):
    """Return the rows of all lanes that there may be."""
    return [row for lane in range(40) for row in read(store, lane)]


class MemoryMachine(FrontierMachine):
    """In memory: the store outlives the frontier."""

    def new_store(self):
        """Return the same store again."""
        return self.store or MemoryStore()


class SQLiteMachine(FrontierMachine):
    """In a file, opened again by each life."""

    folder: Path | None = None

    def new_store(self):
        """Open the file again; the connections of the killed process are just gone."""
        if self.store is not None:
            self.store.close()
        elif self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="frontier"))
        store = SQLiteStore(self.folder / "resilience.db")
        store._writer.execute("PRAGMA synchronous=OFF")  # no power is lost here
        return store

    def close(self):
        """Remove the file."""
        self.store.close()
        shutil.rmtree(self.folder)


@pytest.fixture
def small_heads(monkeypatch):
    """Spill from the third row on, so that small examples reach every path."""
    monkeypatch.setattr(heads, "_HEADS", 4)
    monkeypatch.setattr(heads, "_HEAD_MIN", 1)
    monkeypatch.setattr(heads, "_HEAD_MAX", 2)


@pytest.mark.usefixtures("small_heads")
@pytest.mark.parametrize(
    ("machine", "share", "steps"),
    [(MemoryMachine, 2, 50), (SQLiteMachine, 5, 40)],
)
def test_the_frontier_behaves_as_its_model(machine, share, steps):
    """Any pushes, pops, ends, holds, commits and crashes give what the model says."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=settings.default.max_examples // share,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
        ),
    )


def play(machine, seed, steps):
    """Let a machine do *steps* random things without hypothesis, and return it."""
    rng = random.Random(seed)

    def seconds():
        return float(rng.randint(1, 6))

    def push():
        machine.push(
            slot=rng.choice("abcd"),
            durable=rng.random() < 0.8,
            priority=rng.randint(-2, 2),
            start=rng.random() < 0.3,
            fifo=rng.random() < 0.3,
            fingerprint=rng.choice([None, *FINGERPRINTS]),
            delay=rng.choice([0.0, 0.0, 0.0, seconds()]),
        )

    acts = [
        *[push] * 4,
        lambda: machine.push_many(rng.choice("abcd"), [rng.randint(-2, 2) for _ in range(9)]),
        *[machine.pop] * 4,
        *[lambda: machine.pop_some(6)] * 2,
        *[lambda: machine.out and machine.done(rng.randint(0, 60))] * 9,
        *[lambda: machine.shares and machine.vacate(rng.randint(0, 60))] * 4,
        lambda: machine.hold(rng.choice("abcd"), seconds()),
        lambda: machine.advance(seconds()),
        *[lambda: machine.sealed is None and machine.seal()] * 2,
        *[lambda: machine.sealed and not machine.written and machine.write()] * 2,
        *[lambda: machine.sealed and machine.written and machine.acknowledge()] * 2,
        lambda: machine.sealed and not machine.written and machine.fail(),
    ]
    machine.begin(lifo=rng.random() < 0.5, start_lifo=rng.choice([None, True, False]), now=1.0)
    for _ in range(steps):
        rng.choice(acts)()
        if rng.random() < 0.01:
            machine.crash(float(rng.randint(-10, 10)), 1.0)
        machine.agrees()
        machine.remembers_no_more_than_it_must()
    return machine


@pytest.mark.usefixtures("small_heads")
@pytest.mark.parametrize("machine", [MemoryMachine, SQLiteMachine])
def test_the_model_is_compared_in_every_state_of_a_lane(machine, monkeypatch):
    """Small heads spill, refill, grow tails, and live through crashes and failed commits."""
    refills = Counter()
    refill = heads.Heads._refill

    def counted(self, lane):
        spilled, tail = lane.spilled, len(lane.tail)
        refill(self, lane)
        refills["from the store"] += spilled > lane.spilled
        refills["in part"] += lane.bound is not None
        refills["from the tail"] += tail > len(lane.tail)

    monkeypatch.setattr(heads.Heads, "_refill", counted)
    monkeypatch.setattr(f"{__name__}.event", lambda _: None)
    monkeypatch.setattr(f"{__name__}.target", lambda *_, **__: None)

    found = play(machine(), seed=1, steps=3000)
    found.teardown()

    assert all(refills[how] > 8 for how in ("from the store", "in part", "from the tail"))
    states = ("tail", "spilled", "refilled", "crash")
    assert all(found.seen_events[what] > 5 for what in states)
    if machine is SQLiteMachine:
        assert found.seen_events["failed commit"] > 5


# --- one fact each --------------------------------------------------------------------


def drain(frontier, now=0.0):
    """Pop and end everything that may run; return the payloads."""
    found = []
    while (popped := frontier.pop(now)) is not None:
        found.append(popped.row.data)
        frontier.done(popped.row)
        frontier.vacate(popped.slot)
    return found


def commit(frontier, store):
    """Write everything up to now."""
    changes = frontier.seal()
    store.commit(changes)
    frontier.committed(changes)


@pytest.mark.usefixtures("small_heads")
def test_a_long_lane_is_held_by_the_store():
    """After a commit a lane of 1,000 rows keeps twice its share in memory, and no tail."""
    store = MemoryStore()
    frontier = Frontier(store, limit=lambda _: 1000)
    for number in range(1000):
        frontier.push("a", b"%d" % number, priority=number % 7)
    commit(frontier, store)
    (lane,) = frontier._lanes.values()
    frontier.push("a", b"last", priority=-100)

    assert len(lane.head) <= 2 * heads._HEAD_MAX
    assert len(lane.tail) == 1
    assert len(frontier) == 1001


def test_how_many_wait():
    """Held ones count, delayed ones and those under way don't."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    assert frontier.waiting("a") == 0
    for delay in (0.0, 0.0, 0.0, 5.0):
        frontier.push("a", delay, delay=delay)
    frontier.pop(0.0)
    frontier.hold("a", 9.0)

    assert frontier.waiting("a") == 2


def test_whether_a_request_or_a_slot_is_due_next():
    """A hold of a slot is not a delay of a request."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    assert not frontier.next_is_delayed()
    frontier.push("a", 1, delay=5.0)
    assert frontier.next_is_delayed()

    frontier.hold("a", 3.0)

    assert not frontier.next_is_delayed()


@pytest.mark.usefixtures("small_heads")
def test_nothing_is_taken_once_all_is_done_and_committed():
    """A frontier that was drained and committed remembers no row and no lane."""
    store = MemoryStore()
    frontier = Frontier(store, limit=lambda _: 3)
    for number in range(300):
        slot = f"s{number % 5}"
        frontier.push(slot, b"%d" % number, delay=number % 3)
        if number % 50 == 0:
            commit(frontier, store)
    drained = drain(frontier, now=10.0)
    commit(frontier, store)
    drained += drain(frontier, now=10.0)
    commit(frontier, store)

    assert sorted(drained) == sorted(b"%d" % number for number in range(300))
    assert frontier._heads.taken == set()
    assert (frontier._lanes, frontier._idents) == ({}, {})
    assert len(frontier._timers) == 0
    assert store.rows == {}


def test_lanes_that_are_alike_take_turns():
    """Slots with as many requests under way go one after the other."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 3)
    for number in range(9):
        frontier.push("abc"[number // 3], number)

    order = [frontier.pop(0.0).lane for _ in range(9)]

    assert order == list("abcabcabc")


def test_a_slot_at_its_limit_waits_for_a_share():
    """A slot hands out no more than its limit until a share is free."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 2)
    for number in range(3):
        frontier.push("a", number)
    assert [frontier.pop(0.0) is None for _ in range(3)] == [False, False, True]

    frontier.vacate("a")

    assert frontier.pop(0.0) is not None
    assert frontier.pop(0.0) is None


def test_a_held_slot_leaves_the_others_alone():
    """A hold keeps its slot's requests back until its end, and only those."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    frontier.push("a", 1)
    frontier.push("b", 2)
    frontier.hold("a", 5.0)

    assert [frontier.pop(4.9).row.data, frontier.pop(4.9)] == [2, None]
    assert (frontier.held, frontier.next_due()) == (1, 5.0)
    assert frontier.pop(5.0).row.data == 1


def test_a_shorter_hold_does_not_end_a_longer_one():
    """Of two holds of a slot the later end counts."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    frontier.push("a", 1)
    frontier.hold("a", 9.0)
    frontier.hold("a", 3.0)

    assert frontier.pop(8.0) is None
    assert frontier.pop(9.0).row.data == 1


def test_next_due_is_when_the_longer_hold_ends():
    """A hold that was made longer ends at its new end only."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    frontier.push("a", 1)
    frontier.hold("a", 3.0)
    frontier.hold("a", 9.0)

    assert frontier.next_due() == 9.0


def test_a_thousand_holds_need_one_timer():
    """Holding a slot again and again takes no memory."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    for _ in range(1000):
        frontier.hold("a", 9.0)

    assert len(frontier._timers) < 10


def test_a_clock_that_was_set_back_makes_no_wait_longer():
    """After a resume a request waits no longer than the delay that was asked for."""
    store = MemoryStore()
    frontier = Frontier(store, limit=lambda _: 8, wall=1e9)
    frontier.push("a", b"1", delay=60, wall=1e9)
    commit(frontier, store)

    again = Frontier(store, limit=lambda _: 8, now=5.0, wall=1e9 - 1e6)

    assert again.next_due() == 65.0


def test_a_store_that_counts_too_many_rows_ends_all_the_same():
    """A lane whose count is too high is corrected when it is read to its end."""
    store = MemoryStore()
    frontier = Frontier(store, limit=lambda _: 8)
    frontier.push("a", b"1")
    commit(frontier, store)
    store._lanes[1] = ("a", 5)

    again = Frontier(store, limit=lambda _: 8)

    assert again.pop(0.0).row.data == b"1"
    assert again.pop(0.0) is None
    assert len(again) == 0


def test_an_idle_frontier_reads_nothing():
    """A pop that finds no slot asks no store."""
    store = MemoryStore()
    frontier = Frontier(store, limit=lambda _: 8)
    store.read = None

    assert frontier.pop(0.0) is None
    assert frontier.next_due() is None


def test_a_second_seal_before_the_commit_is_refused_whatever_was_sealed():
    """One sealed change is written at a time, also when it holds no rows."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    frontier.settle(b"f")
    frontier.seal()

    with pytest.raises(AssertionError):
        frontier.seal()


@pytest.mark.parametrize("commits", [1, 2])
def test_a_row_that_was_committed_is_handed_out_once(commits):
    """Rows that waited in the tail of a lane are not read from the store as well."""
    store = MemoryStore()
    first = Frontier(store, limit=lambda _: 8)
    for slot in "ab":
        first.push(slot, slot.encode() + b"1")
    commit(first, store)
    frontier = Frontier(store, limit=lambda _: 8)
    for slot in "ab":
        frontier.push(slot, slot.encode() + b"2")
    for _ in range(commits):
        commit(frontier, store)  # trims one lane at each pop, or none

    assert sorted(drain(frontier)) == [b"a1", b"a2", b"b1", b"b2"]
    assert len(frontier) == 0

"""The frontier with a gate: what is held, released, given up, and counted by other slots."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore

LANES = ["a", "b", "a\tb\tfail", "c\td\thold"]


def test_a_slot_that_counts_others_is_not_forgotten():
    """A slot that has nothing of its own goes on counting a lane that is pushed to again."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 1)
    for number in range(3):
        frontier.push("a\tb\tfail", number)
        frontier.reroute("a\tb\tfail", "a")

    found = frontier.pop(0.0)
    assert found.row.data == 2
    assert (found.lane, found.slot) == ("a\tb\tfail", "a")
    assert frontier.busy("a") == 1
    assert frontier.pop(0.0) is None


def test_a_gate_that_opens_when_told():
    """A slot that is held without an end waits for release()."""
    gate = {"a": inf}
    frontier = Frontier(MemoryStore(), limit=lambda _: 8, gate=lambda slot, _: gate[slot])
    frontier.push("a", 1)

    assert frontier.pop(0.0) is None
    assert (frontier.held, frontier.next_due()) == (1, None)
    gate["a"] = 0.0
    assert frontier.pop(1e9) is None
    frontier.release("a")
    assert frontier.pop(0.0).row.data == 1


def test_a_release_before_the_time():
    """After a release the old timer changes nothing."""
    due = {"a": 5.0}
    frontier = Frontier(MemoryStore(), limit=lambda _: 8, gate=lambda slot, _: due[slot])
    frontier.push("a", 1)
    assert frontier.pop(0.0) is None
    assert frontier.next_due() == 5.0

    frontier.release("a")
    assert frontier.next_due() is None
    due["a"] = 9.0
    assert frontier.pop(1.0) is None

    assert frontier.pop(5.0) is None
    assert frontier.pop(9.0).row.data == 1


def test_recall_and_take():
    """All requests of a slot can be taken, held and delayed ones too; others stay."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 1)
    frontier.push("a", 1)
    frontier.push("a", 2, delay=60.0)
    frontier.push("b", 3, delay=60.0)
    frontier.hold("a", 100.0)

    frontier.recall("a")
    taken = [frontier.take("a"), frontier.take("a")]

    assert sorted(row.data for row in taken) == [1, 2]
    assert frontier.take("a") is None
    assert frontier.busy("a") == 0
    assert len(frontier) == 1
    assert frontier.pop(60.0).row.data == 3


def test_take_of_a_slot_that_is_not_there():
    """Nothing comes of it."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 1)

    frontier.recall("a")
    frontier.release("a")

    assert frontier.take("a") is None


class GatedFrontier(RuleBasedStateMachine):
    """Every request comes out once, never through a closed gate, whatever happens."""

    lanes = st.sampled_from(LANES)

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.due = dict.fromkeys(LANES, 0.0)
        self.frontier = Frontier(MemoryStore(), limit=lambda _: 2, gate=self.gate)
        self.waiting = {}
        self.under_way = []
        self.asked = 0

    def gate(self, lane, now):
        self.asked += 1
        assert self.asked < 1000, "the frontier asks for ever"
        return self.due[lane]

    @rule(lane=lanes, delay=st.sampled_from([0.0, 0.0, 5.0]))
    def push(self, lane, delay):
        number = object()
        self.frontier.push(lane, number, delay=delay, now=self.now)
        self.frontier.reroute(lane, lane.partition("\t")[0])
        self.waiting[number] = lane, self.now + delay

    @rule()
    def pop(self):
        self.asked = 0
        found = self.frontier.pop(self.now)
        if found is not None:
            lane, due = self.waiting.pop(found.row.data)
            assert due <= self.now
            assert self.due[lane] <= self.now
            assert (found.lane, found.slot) == (lane, lane.partition("\t")[0])
            self.under_way.append((found.row, found.slot))

    @rule()
    def end(self):
        if self.under_way:
            row, slot = self.under_way.pop()
            self.frontier.vacate(slot)
            self.frontier.done(row)

    @rule(lane=lanes, seconds=st.sampled_from([1.0, 10.0, inf]))
    def close(self, lane, seconds):
        self.due[lane] = self.now + seconds

    @rule(lane=lanes)
    def open(self, lane):
        self.due[lane] = 0.0
        self.frontier.release(lane)

    @rule(lane=lanes)
    def give_up(self, lane):
        self.frontier.recall(lane)
        while (row := self.frontier.take(lane)) is not None:
            assert self.waiting.pop(row.data)[0] == lane
            self.frontier.done(row)
        assert lane not in {lane for lane, _ in self.waiting.values()}

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def counted(self):
        assert len(self.frontier) == len(self.waiting)
        assert self.frontier.held <= len(self.waiting)

    def teardown(self):
        while self.under_way:
            self.end()
        for lane in LANES:
            self.open(lane)
        self.now += 1e6
        for _ in range(len(self.waiting)):
            self.pop()
            self.end()
        assert not self.waiting


GatedFrontier.TestCase.settings = settings(stateful_step_count=40)
TestGatedFrontier = GatedFrontier.TestCase


@pytest.mark.parametrize("slots", [1, 3])
def test_the_least_busy_open_slot_goes_first(slots):
    """A closed gate takes no turn from the others."""
    frontier = Frontier(
        MemoryStore(), limit=lambda _: 8, gate=lambda slot, _: inf if slot == "sick" else 0.0
    )
    for slot in ("sick", *map(str, range(slots))):
        for _ in range(2):
            frontier.push(slot, slot)

    popped = [frontier.pop(0.0).row.data for _ in range(2 * slots)]

    assert sorted(popped) == sorted([str(slot) for slot in range(slots)] * 2)
    assert frontier.pop(0.0) is None


def test_a_pop_asks_few_gates_however_many_lanes_there_are():
    """Each closed gate is asked once and not before its time: a pop costs what it finds."""
    lanes, asked = 20_000, []
    due = {f"{number}.test": 10.0 + number for number in range(lanes)}
    due["open.test"] = 0.0

    def gate(slot, _):
        asked.append(slot)
        return due[slot]

    frontier = Frontier(MemoryStore(), limit=lambda _: 1000, gate=gate)
    for slot in due:
        frontier.push(slot, slot)
    for number in range(500):
        frontier.push("open.test", number)

    assert frontier.pop(0.0).row.data == 499
    assert len(asked) == lanes + 1
    for _ in range(500):
        asked.clear()
        assert frontier.pop(1.0) is not None
        assert asked == ["open.test"]
    asked.clear()
    assert frontier.pop(1.0) is None
    assert asked == []
    for number in range(100):
        asked.clear()
        assert frontier.pop(10.0 + number).row.data == f"{number}.test"
        assert len(asked) == 1

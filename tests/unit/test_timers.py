"""What waits for a time."""

from __future__ import annotations

from scrapy_resilience.frontier.lane import Lane
from scrapy_resilience.frontier.store import Row
from scrapy_resilience.frontier.timers import Timers


def row(number, lane=1):
    """A row of a lane."""
    return Row(lane, 0, number, b"x")


def held(until):
    """A lane that is held."""
    lane = Lane(1, "a.test")
    lane.held_until = until
    return lane


def test_they_come_in_the_order_of_their_times():
    """And none before its time; of two at one time the first that was set."""
    timers = Timers()
    for due, number in ((3.0, 1), (2.0, 2), (2.0, 3)):
        timers.set(due, row(number))

    assert timers.next_due() == 2.0
    assert timers.pop(1.9) is None
    assert [timers.pop(2.0).number for _ in range(2)] == [2, 3]
    assert timers.pop(2.9) is None
    assert (timers.pop(3.0).number, len(timers)) == (1, 0)


def test_a_hold_that_was_extended_is_due_at_its_new_end():
    """Its old timer is dropped when it comes first."""
    timers, lane = Timers(), held(5.0)
    timers.set(5.0, lane)
    lane.held_until = 9.0
    timers.set(9.0, lane)

    assert (timers.next_due(), len(timers)) == (9.0, 1)
    assert not timers.next_is_delayed()


def test_rows_and_lanes_are_told_apart():
    """What is due next may be one request or all of a slot."""
    timers = Timers()
    timers.set(1.0, row(1))
    timers.set(2.0, held(2.0))

    assert timers.next_is_delayed()
    assert [each.number for each in timers.rows()] == [1]
    timers.pop(1.0)
    assert not timers.next_is_delayed()


def test_the_rows_of_one_lane_are_taken():
    """Those of others, and holds, stay in their order."""
    timers, lane = Timers(), held(1.0)
    timers.set(1.0, lane)
    for number in (2, 3, 4):
        timers.set(float(number), row(number, lane=number % 2))

    assert [each.number for each in timers.take_rows(0)] == [2, 4]
    assert timers.pop(9.0) is lane
    assert timers.pop(9.0).number == 3
    assert timers.next_due() is None
    assert not timers.next_is_delayed()

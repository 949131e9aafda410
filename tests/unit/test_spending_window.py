"""Sliding windows: whatever is claimed, no window of the length holds more than the limit."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core import spending_window
from scrapy_resilience.core.spending_window import SpendingWindow

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "claim", "end", "void", "add", "wait"]),
        st.integers(1, 4),
        st.floats(-5, 30),
        st.floats(0, 1),
    ),
    max_size=150,
)
"""What is done, how much of it, seconds before it (back ones too), and a share for a server."""


def arrivals(steps, limit, seconds):
    """When a server sees what a window lets through: at any time of each claim."""
    window, now, latest = SpendingWindow(limit, seconds), 100.0, 100.0
    under_way, seen = [], []
    for kind, amount, wait, share in steps:
        now += wait
        latest = max(latest, now)
        if kind in {"claim", "add"}:
            if window.ready_at(amount, now):
                continue
            if kind == "add":
                window.add(amount, now)
                seen.append((latest, amount))
            else:
                window.claim(amount)
                under_way.append((latest, amount, share))
        elif under_way and kind in {"end", "void"}:
            began, claimed, place = under_way.pop(len(under_way) // 2)
            if kind == "void":
                window.void(claimed)
                continue
            window.end(claimed, now)
            seen.append((began + place * (latest - began), claimed))
    return seen + [(began, amount) for began, amount, _ in under_way]


def most(seen, seconds):
    """The most that any window of *seconds* holds, both ends included."""
    return max(
        (
            sum(amount for at, amount in seen if begin <= at <= begin + seconds)
            for begin, _ in seen
        ),
        default=0,
    )


@given(STEPS, st.integers(1, 8), st.floats(0.5, 60))
def test_no_window_holds_more_than_the_limit(steps, limit, seconds):
    """Whatever the latency, and whatever the clock does."""
    assert most(arrivals(steps, limit, seconds), seconds) <= limit


@given(STEPS, st.integers(1, 8), st.floats(0.5, 60))
def test_nor_when_entries_are_merged(steps, limit, seconds):
    """Fewer entries make it stricter, never looser."""
    entries, spending_window.ENTRIES = spending_window.ENTRIES, 3
    try:
        assert most(arrivals(steps, limit, seconds), seconds) <= limit
    finally:
        spending_window.ENTRIES = entries


@given(STEPS, st.integers(1, 8), st.floats(0.5, 60), st.integers(1, 8))
def test_there_is_room_when_it_says(steps, limit, seconds, amount):
    """With nothing under way, what is refused has room at the time that is told, not before."""
    window, now = SpendingWindow(limit, seconds), 100.0
    for kind, spent, wait, _ in steps:
        now += abs(wait)
        if kind == "add":
            window.add(spent, now)
    until = window.ready_at(amount, now)

    if amount > limit:
        assert until == inf
    elif until:
        assert window.ready_at(amount, until - seconds * 1e-6) > 0
        assert window.ready_at(amount, until) == 0


def test_what_is_under_way_counts_until_it_has_ended():
    """An answer that takes an hour holds its place for two."""
    window = SpendingWindow(1, 3600)
    window.claim(1)

    assert window.ready_at(1, 3600) == 7200
    window.end(1, 3600)
    assert window.ready_at(1, 7200) > 7200
    assert window.ready_at(1, 7200.001) == 0


def test_the_edge_of_an_hour_is_none():
    """Half of the limit before a full hour and half behind it are the limit."""
    window = SpendingWindow(10, 3600)
    for number in range(10):
        window.add(1, 3590 + 2 * number)

    assert window.ready_at(1, 3610) == pytest.approx(7190)
    assert window.used(7195) == 7


def test_a_job_never_moves():
    """A limit of a job has no time."""
    window = SpendingWindow(10, inf)
    window.add(10, 1)

    assert window.ready_at(1, 1e12) == inf
    assert len(window) == 0


def test_nothing_has_room_while_anything_has():
    """A request that spends nothing of a resource waits until some is left."""
    window = SpendingWindow(10, 60)
    window.add(9, 0)
    assert window.ready_at(0, 0) == 0
    window.add(5, 0)
    assert window.ready_at(0, 0) == pytest.approx(60)


def test_memory_is_bounded():
    """A million entries are some hundreds."""
    window = SpendingWindow(10**9, 3600)
    for number in range(100_000):
        window.add(1, number * 0.01)

    assert len(window) <= spending_window.ENTRIES
    assert window.used(1000) == 100_000
    assert window.used(3600 + 500) == pytest.approx(50_000, rel=0.01)


def test_reserved_room():
    """It counts only for those who ask for it."""
    window = SpendingWindow(2, 60)
    window.claim(1)
    window.reserved = 1

    assert window.ready_at(1, 0) == 0
    assert window.ready_at(1, 0, reserved=True) == 60


def test_when_it_is_worth_to_go_on():
    """Not for each single request of a thousand, and not much later."""
    window = SpendingWindow(1_000, 3600)
    for number in range(1_000):
        window.add(1, number)

    first = window.ready_at(1, 1_000)
    assert first == pytest.approx(3600)
    assert window.worth_at(first) == pytest.approx(3619)
    assert SpendingWindow(1, inf).worth_at(inf) == inf


@given(STEPS, st.integers(1, 100), st.floats(0.5, 6000))
def test_it_is_never_worth_too_early(steps, limit, seconds):
    """Nor more than half a minute, or a fiftieth of the window, after there is room."""
    window, now = SpendingWindow(limit, seconds), 100.0
    for _, spent, wait, _ in steps:
        now += abs(wait)
        window.add(spent, now)
        if until := window.ready_at(1, now):
            assert until <= window.worth_at(until) <= until + min(seconds / 50, 30)

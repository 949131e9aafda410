"""When a component that is unwell is told of, and when it is made well again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.recovery import Recovery


def test_a_change_is_told_once():
    """When it gets worse, and when it is healthy; what is better and not well is not told."""
    recovery = Recovery(10, 600)
    statuses = [
        "healthy", "degraded", "degraded", "unhealthy", "degraded", "unknown", "healthy",
        "healthy",
    ]  # fmt: skip

    assert [recovery.look(0, status) for status in statuses] == [
        "", "breached", "", "breached", "", "", "recovered", "",
    ]  # fmt: skip


def test_the_delays_double():
    """The first try is made at once; no delay exceeds the longest."""
    recovery, now, delays = Recovery(10, 60), 0.0, []
    recovery.look(now, "unhealthy")
    for _ in range(6):
        began = now
        while not recovery.is_due(now):
            now += 1
        delays.append(now - began)
        recovery.begin()
        assert not recovery.is_due(now + 1000)
        recovery.end(now)
        recovery.look(now, "unhealthy")

    assert delays == [0, 10, 20, 40, 60, 60]


def test_only_what_is_unhealthy_is_recovered():
    """What is degraded works, and a check that knows nothing asks for nothing."""
    recovery = Recovery(10, 60)
    for status in ("healthy", "degraded", "unknown"):
        recovery.look(0, status)
        assert not recovery.is_due(100)


def test_one_that_falls_ill_at_once_is_not_well():
    """The delays go on; one that was well for as long as the last delay begins anew."""
    recovery = Recovery(10, 600)
    recovery.look(0, "unhealthy")
    recovery.begin()
    recovery.end(0)
    recovery.look(1, "healthy")
    recovery.look(2, "unhealthy")
    assert not recovery.is_due(9)
    assert recovery.is_due(10)

    recovery.begin()
    recovery.end(10)
    recovery.look(11, "healthy")
    recovery.look(31, "healthy")
    recovery.look(32, "unhealthy")
    assert recovery.is_due(32)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100), st.sampled_from(["healthy", "degraded", "unhealthy", "unknown"])
        )
    )
)
def test_breaches_and_recoveries_take_turns(looks):
    """Nothing is told to be healthy again that was not told to be unwell."""
    recovery, now, unwell = Recovery(10, 600), 0.0, False
    for delay, status in looks:
        now += delay
        told = recovery.look(now, status)
        if told == "recovered":
            assert unwell
            unwell = False
        elif told == "breached":
            unwell = True
        if recovery.is_due(now):
            assert unwell
            recovery.begin()
            recovery.end(now)
            assert not recovery.is_due(now + 9)

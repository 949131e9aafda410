"""When a crawl has stalled, what is done about it, and what is not taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.owntime import OwnTime
from scrapy_resilience.core.stall import Situation, StallWatch, Step

READY = "2 requests that may be asked for"


def steps(watch, *looks):
    """Return the steps of looks: (time, progress, what it waits for, excuse)."""
    return [watch.look(now, Situation(*seen)) for now, *seen in looks]


def test_it_is_told_and_healed_after_the_time():
    """Not before, once; after as long again it is healed once more."""
    watch = StallWatch(10)
    found = steps(watch, *((now, 5, READY, "") for now in range(0, 35, 5)))

    assert found == [
        Step.NOTHING, Step.NOTHING, Step.STALLED, Step.NOTHING, Step.AGAIN, Step.NOTHING,
        Step.AGAIN,
    ]  # fmt: skip
    assert watch.stalled


def test_progress_ends_it():
    """Whatever has begun or ended; the time begins anew."""
    watch = StallWatch(10)
    steps(watch, (0, 5, READY, ""), (10, 5, READY, ""))

    assert steps(watch, (11, 6, READY, ""), (20, 6, READY, ""), (21, 6, READY, "")) == [
        Step.OVER, Step.NOTHING, Step.STALLED,
    ]  # fmt: skip


@pytest.mark.parametrize("seen", [(5, READY, "it is paused"), (5, "", "")])
def test_what_is_no_stall(seen):
    """A pause, a limit and the like, and a crawl that has nothing to do."""
    watch = StallWatch(10)

    assert set(steps(watch, *((now, *seen) for now in range(0, 10_000, 100)))) == {Step.NOTHING}
    assert not watch.stalled


def test_an_excuse_begins_the_time_anew():
    """A crawl that was paused for an hour has not waited for an hour."""
    watch = StallWatch(10)
    steps(watch, (0, 5, READY, ""), (3600, 5, READY, "it is paused"))

    assert steps(watch, (3601, 5, READY, ""), (3609, 5, READY, ""), (3610, 5, READY, "")) == [
        Step.NOTHING, Step.NOTHING, Step.STALLED,
    ]  # fmt: skip


def test_it_is_given_up_where_a_setting_says_so():
    """When healing was in vain; nothing is done after that."""
    watch = StallWatch(10, closes=True)

    assert steps(watch, *((now, 5, READY, "") for now in range(0, 60, 10))) == [
        Step.NOTHING, Step.STALLED, Step.CLOSE, Step.NOTHING, Step.NOTHING, Step.NOTHING,
    ]  # fmt: skip


LOOKS = st.lists(
    st.tuples(
        st.floats(0, 30), st.integers(0, 2), st.sampled_from(["", READY]),
        st.sampled_from(["", "", "it is paused"]),
    ),
    max_size=60,
)  # fmt: skip


@given(LOOKS, st.booleans())
def test_each_stall_is_told_once_and_ends_once(looks, closes):
    """Whatever is seen in whatever order: no OVER without a stall, no stall before its time."""
    watch, now, open_, since, closed = StallWatch(10, closes=closes), 0.0, False, 0.0, False
    progress = None
    for delay, *seen in looks:
        now += delay
        step = watch.look(now, Situation(*seen))
        if closed:
            assert step is Step.NOTHING
            continue
        if seen[0] != progress or seen[2] or not seen[1]:
            progress, since = seen[0], now
            assert step is (Step.OVER if open_ else Step.NOTHING)
            open_ = False
        elif step is Step.STALLED:
            assert not open_
            assert now - since >= 10
            open_ = True
        elif step in {Step.AGAIN, Step.CLOSE}:
            assert open_
            assert closes is (step is Step.CLOSE)
            closed = step is Step.CLOSE
        else:
            assert step is Step.NOTHING
            assert open_ or now - since < 10


# --- time of its own ---


def test_time_in_which_it_could_not_run_does_not_count():
    """A look that comes an hour late counts two intervals."""
    time = OwnTime(2)

    assert [time.look(clock) for clock in (100, 102, 3702, 3704)] == [0, 2, 6, 8]


@given(st.lists(st.floats(-10, 1e6), max_size=30))
def test_own_time_only_grows(clocks):
    """Whatever the clock does, it never goes back, nor on by more than two intervals."""
    time, last = OwnTime(2), 0.0
    for clock in clocks:
        now = time.look(clock)
        assert last <= now <= last + 4
        last = now

"""The window of outcomes, and its buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.window import BUCKETS, Window

LENGTH = 60.0
WIDTH = LENGTH / BUCKETS


def filled(now=0.0, calls=3):
    """Return a window with failed and slow calls at *now*."""
    window = Window(LENGTH, now)
    for _ in range(calls):
        window.add(now, failed=True, slow=True)
    return window


def test_counts():
    """Calls, failures and slow calls are counted apart."""
    window = Window(LENGTH, 0.0)
    window.add(1.0, failed=False, slow=False)
    window.add(2.0, failed=True, slow=False)
    window.add(20.0, failed=True, slow=True)

    assert window.read(20.0) == (3, 2, 1)


@pytest.mark.parametrize(("now", "left"), [(53.9, 3), (LENGTH - WIDTH, 3), (LENGTH, 0)])
def test_expires_on_read(now, left):
    """A bucket is gone when the window has passed it, though nothing was added."""
    assert filled().read(now) == (left, left, left)


def test_expires_on_write():
    """What was added to an old window does not share a bucket with what was there."""
    window = filled()

    window.add(LENGTH + 1, failed=False, slow=False)

    assert window.read(LENGTH + 1) == (1, 0, 0)


def test_expires_bucket_by_bucket():
    """Each bucket expires for itself."""
    window = Window(LENGTH, 0.0)
    for bucket in range(BUCKETS):
        window.add(bucket * WIDTH, failed=True, slow=False)

    seen = [window.read(LENGTH - WIDTH + step * WIDTH).failures for step in range(BUCKETS + 2)]

    assert seen == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]


def test_a_clock_that_goes_back_a_little():
    """The newest bucket takes what comes, and nothing is lost or expires late."""
    window = filled(100.0)

    window.add(90.0, failed=True, slow=False)

    assert window.read(90.0) == (4, 4, 3)
    assert window.read(96.0 + LENGTH) == (0, 0, 0)


def test_a_clock_that_goes_back_a_lot():
    """The window starts anew, rather than keep what it has for hours."""
    window = filled(10_000.0)

    assert window.read(100.0) == (0, 0, 0)
    window.add(100.0, failed=True, slow=False)
    assert window.read(101.0) == (1, 1, 0)


@given(
    st.lists(st.tuples(st.floats(0, 200), st.booleans(), st.booleans())),
    st.floats(0, 400),
)
def test_counts_what_a_list_counts(calls, later):
    """It counts the calls of the newest ten buckets, as a list of all calls does."""
    calls.sort()
    window = Window(LENGTH, 0.0)
    for now, failed, slow in calls:
        window.add(now, failed=failed, slow=slow)
    end = max([later, *(now for now, _, _ in calls)])

    recent = [call for call in calls if call[0] // WIDTH > end // WIDTH - BUCKETS]

    expected = (len(recent), sum(c[1] for c in recent), sum(c[2] for c in recent))
    assert window.read(end) == expected

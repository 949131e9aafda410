"""When a page is due again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.revisit import ALWAYS, Revisit

DAY = 86_400
NOW = 1_800_000_000


def test_without_an_age_a_page_is_never_due():
    """It was brought, and that is that."""
    assert not Revisit().is_due(0, None, NOW)


def test_a_fixed_age():
    """It is due from the moment at which it has that age."""
    revisit = Revisit(age=DAY)
    assert not revisit.is_due(NOW - DAY + 1, None, NOW)
    assert revisit.is_due(NOW - DAY, None, NOW)
    assert revisit.next_period(None, changed=True) is None
    assert not revisit.is_due(NOW - 10, 5, NOW), "an adaptive period of before counts no more"


def test_a_page_that_gives_links_is_always_due():
    """Whatever the age is."""
    assert Revisit().is_due(NOW, ALWAYS, NOW)
    assert Revisit(age=DAY, adaptive=True, least=1).is_due(NOW, ALWAYS, NOW)


def test_a_page_of_the_future_is_due():
    """A clock that was years ahead must not keep it for years; a second is no matter."""
    assert Revisit().is_due(NOW + 2 * DAY, None, NOW)
    assert not Revisit(age=DAY).is_due(NOW + 1, None, NOW)


def test_pages_that_change_come_sooner():
    """The first period is the age; it shrinks by 0.2 at a change, and grows by 0.4 else."""
    revisit = Revisit(age=DAY, adaptive=True, least=3_600, most=30 * DAY)
    first = revisit.next_period(None, changed=False)
    assert first == DAY == revisit.next_period(ALWAYS, changed=True)
    assert revisit.next_period(first, changed=True) == round(DAY * 0.8)
    assert revisit.next_period(first, changed=False) == round(DAY * 1.4)
    assert revisit.is_due(NOW - DAY, first, NOW)
    assert not revisit.is_due(NOW - DAY, revisit.next_period(first, changed=False), NOW)


@given(
    st.lists(st.booleans(), max_size=60),
    st.integers(1, 10**7),
    st.integers(1, 10**6),
    st.integers(1, 10**7),
)
def test_periods_stay_within_bounds(visits, age, least, more):
    """Whatever a page does, and also where the bounds have changed since."""
    revisit = Revisit(age=age, adaptive=True, least=least, most=least + more)
    period = None
    for changed in visits:
        period = revisit.next_period(period, changed=changed)
        assert least <= period <= least + more
        assert not revisit.is_due(NOW, period, NOW)
        assert revisit.is_due(NOW - least - more, period, NOW)

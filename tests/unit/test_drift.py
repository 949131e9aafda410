"""Drift is found early, and only where it is."""

from __future__ import annotations

import random
from math import comb
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.drift import BARS, false_alarms, found_after
from scrapy_resilience.core.drift import DriftMonitor, Observation, Series, chance


def seen(index, *, valid=True, field="price", ident="a", fill=None):
    """Return what was seen of one field; None for not found."""
    return Observation(field, ident, index, valid and index is not None, fill)


def feed(monitor, times, index, *, domain="a.test", **more):
    """Show the monitor the same page again and again; return its alarms."""
    return [
        alarm
        for _ in range(times)
        for alarm in monitor.observe("shop", "1", domain, [seen(index, **more)])
    ]


# --- the test ---------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "seeds"), [(0.0, 500), (0.5, 1_000), (0.76, 8_000)])
def test_bars(rate, seeds):
    """The median over many seeds meets the bar."""
    assert median(found_after(rate, seed) for seed in range(seeds)) <= BARS[rate]


def test_each_bar_is_tested():
    """There are no others."""
    assert list(BARS) == [0.0, 0.5, 0.76]


def test_no_false_alarm():
    """Sixty series of a thousand pages without a change raise none."""
    assert false_alarms(60, 1000) == 0


@pytest.mark.parametrize("hits", [0, 30, 39, 45, 50])
def test_with_a_known_baseline_it_is_the_binomial_test(hits):
    """With a large baseline the chance is that of the binomial distribution."""
    binomial = sum(comb(50, k) * 0.95**k * 0.05 ** (50 - k) for k in range(hits + 1))

    assert chance(hits, 50, 0.95e9, 1e9) == pytest.approx(binomial, rel=1e-3)


@given(st.integers(1, 60), st.integers(0, 5000), st.data())
def test_chances(size, base, data):
    """It is a distribution, and the more hits the likelier."""
    base_hits = data.draw(st.integers(0, base))
    chances = [chance(hits, size, base_hits, base) for hits in range(size + 1)]

    assert chances == sorted(chances)
    assert chances[0] >= 0
    assert chances[-1] == pytest.approx(1, rel=1e-6)


def test_a_young_baseline_is_believed_less():
    """The same share alarms later when it was seen on fewer pages."""
    assert chance(39, 50, 95, 100) > chance(39, 50, 950, 1000) > chance(39, 50, 9500, 10_000)


def test_four_odd_pages_are_no_drift():
    """After a perfect baseline less than a tenth of the pages may be lost."""
    series = Series(1000, 1000)

    assert not any(series.add(page % 12 != 11, 50, 100) for page in range(50))


@given(st.lists(st.booleans(), max_size=400), st.integers(20, 70))
def test_the_window_counts(outcomes, window):
    """Its rate is that of the latest outcomes, and the baseline that of all before."""
    series = Series()
    for hit in outcomes:
        series.add(hit, window, 10**6)
    latest, before = outcomes[-window:], outcomes[:-window]

    assert series.rate == (sum(latest) / len(latest) if latest else 1)
    assert series.baseline == (sum(before) / len(before) if before else 1)


# --- the monitor ------------------------------------------------------------------------


def test_a_lost_field():
    """A field that is not found any more raises one alarm, and none again."""
    monitor = DriftMonitor()
    assert feed(monitor, 300, 0) == []

    (alarm,) = feed(monitor, 200, None)

    assert (alarm.kind, alarm.field, alarm.domain) == ("fill", "price", "a.test")
    assert alarm.baseline == 1
    assert str(alarm) == (
        "shop 1, price on a.test: filled on 90% of the last 50 pages, 100% before"
    )


def test_a_fallback():
    """A field that a later selector finds raises an alarm while it is still filled."""
    monitor = DriftMonitor()
    feed(monitor, 300, 0)

    (alarm,) = feed(monitor, 60, 2)

    assert (alarm.kind, alarm.usual) == ("fallback", 0)


def test_the_usual_selector_need_not_be_the_first():
    """Where the second one always wins it is the usual one."""
    monitor = DriftMonitor()

    assert feed(monitor, 300, 1) == []
    assert [alarm.usual for alarm in feed(monitor, 60, 3)] == [1]
    assert feed(monitor, 300, 0) == []


def test_values_of_the_wrong_shape():
    """A field that is filled with something else raises an alarm."""
    monitor = DriftMonitor()
    feed(monitor, 300, 0)

    assert [alarm.kind for alarm in feed(monitor, 60, 0, valid=False)] == ["valid"]


def test_other_domains_are_others():
    """A domain with a lost field does not touch another, nor one field another."""
    monitor = DriftMonitor()
    for domain in ("a.test", "b.test"):
        feed(monitor, 300, 0, domain=domain)
        feed(monitor, 300, 0, domain=domain, field="title")

    assert len(feed(monitor, 60, None)) == 1
    assert feed(monitor, 60, 0, domain="b.test") == []
    assert feed(monitor, 60, 0, field="title") == []


def test_a_field_that_was_never_there():
    """A field that half of the pages have, or none, is as it always was."""
    monitor, numbers = DriftMonitor(), random.Random(1)

    assert feed(monitor, 500, None) == []
    for _ in range(2000):
        index = 0 if numbers.random() < 0.5 else None
        assert monitor.observe("shop", "1", "b.test", [seen(index)]) == []


def test_a_stated_fill_rate():
    """It is a baseline from the first page on: a site that has changed before is noticed."""
    monitor = DriftMonitor()

    assert len(feed(monitor, 20, None, fill=0.95)) == 1
    assert len(feed(DriftMonitor(baseline=500), 20, None, fill=0.95)) == 1
    assert feed(DriftMonitor(), 20, None) == []


def test_an_alarm_can_come_again():
    """After the field was back for a window, its next loss is another alarm."""
    monitor = DriftMonitor()
    feed(monitor, 300, 0)

    assert len(feed(monitor, 60, None)) == 1
    assert feed(monitor, 100, 0) == []
    assert len(feed(monitor, 60, None)) == 1


def test_other_selectors_begin_anew():
    """A new version of the field clears the window and keeps the baseline."""
    monitor = DriftMonitor()
    feed(monitor, 300, 0)
    feed(monitor, 60, None)

    assert feed(monitor, 200, 0, ident="b") == []
    assert len(feed(monitor, 60, None, ident="b")) == 1


def test_memory_is_bounded():
    """The domain not seen for longest is forgotten, in the job too."""
    monitor = DriftMonitor(domains=2)
    for domain in ("a.test", "b.test"):
        feed(monitor, 1, 0, domain=domain)
    other = DriftMonitor(domains=2)
    other.restore(monitor.changed())
    for each in (monitor, other):
        for domain in ("a.test", "c.test"):
            feed(each, 1, 0, domain=domain)

        assert {row["domain"] for row in each.rates()} == {"a.test", "c.test"}
        assert each.changed()["shop", "b.test"] is None


def test_memory_is_bounded_without_a_job():
    """Where nobody stores it, no trace is kept of domains that were forgotten."""
    monitor = DriftMonitor(domains=2)
    for number in range(100):
        feed(monitor, 1, 0, domain=f"{number}.test")

    assert sorted(monitor.changed()) == [("shop", "98.test"), ("shop", "99.test")]


@given(st.lists(st.tuples(st.sampled_from([None, 0, 1]), st.booleans()), max_size=300))
def test_state(pages):
    """A monitor that was stored and read goes on as the one that was not."""
    one, stored = DriftMonitor(), {}
    for number, (index, valid) in enumerate(pages):
        one.observe("shop", "1", "a.test", [seen(index, valid=valid)])
        if number % 7 == 0:
            stored.update(one.changed())
    stored.update(one.changed())
    other = DriftMonitor()
    other.restore(stored)

    assert other.rates() == one.rates()
    assert [str(alarm) for alarm in feed(other, 80, None)] == [
        str(alarm) for alarm in feed(one, 80, None)
    ]


def test_only_what_changed_is_stored():
    """A domain that was not seen since the last commit is not written again."""
    monitor = DriftMonitor()
    feed(monitor, 1, 0, domain="a.test")
    feed(monitor, 1, 0, domain="b.test")
    monitor.changed()
    feed(monitor, 1, 0, domain="b.test")

    assert list(monitor.changed()) == [("shop", "b.test")]


def test_state_with_another_window():
    """The baseline stays and the window begins anew."""
    one, other = DriftMonitor(), DriftMonitor(window=20)
    feed(one, 300, 0)
    other.restore(one.changed())

    assert len(feed(other, 20, None)) == 1

"""Which domains have series of their own, and that their counters never fall."""

from __future__ import annotations

from exposed import value, view_of
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.observe.metrics.domain_labels import OTHER, DomainLabels
from scrapy_resilience.observe.metrics.exposition import Exposition, exposition
from scrapy_resilience.observe.view import DomainView

_counts = st.lists(st.integers(0, 30), min_size=6, max_size=6)


@given(st.lists(_counts, min_size=1, max_size=12), st.integers(0, 5))
def test_counters_of_domains_never_fall_and_add_up(steps, places):
    """Whichever get a place, and when: each counter grows, and the sum is the crawl's."""
    labels, totals, before = DomainLabels(places), [0] * 6, {}
    for step in steps:
        totals = [total + more for total, more in zip(totals, step, strict=True)]
        domains = [
            DomainView(name=f"d{at}", requests=total, critical=at == 5)
            for at, total in enumerate(totals)
            if total
        ]
        rows = {row.name: row.requests for row in labels.rows(domains)}
        assert all(rows.get(name, 0) >= count for name, count in before.items())
        assert sum(rows.values()) == sum(totals)
        before = rows
    assert len(before) <= places + 2


def test_the_busiest_get_the_places():
    """Of many domains at once, half of the places go to those with the most requests."""
    domains = [DomainView(name=f"d{at}", requests=at) for at in range(100)]

    rows = DomainLabels(10).rows(domains)

    assert [row.name for row in rows] == ["d99", "d98", "d97", "d96", "d95", OTHER]
    assert rows[-1].requests == sum(range(95))


def test_a_domain_that_grows_gets_a_place():
    """One that takes its share later gets a place of the second half."""
    labels = DomainLabels(4)
    labels.rows([DomainView(name=f"d{at}", requests=10) for at in range(9)])
    rows = labels.rows(
        [DomainView(name=f"d{at}", requests=10 + 900 * (at == 8)) for at in range(9)]
    )

    assert "d8" in {row.name for row in rows}


def test_a_domain_that_the_view_drops_keeps_its_series():
    """Its counts stay, and it is in no trouble."""
    labels = DomainLabels(4)
    labels.rows([DomainView(name="a", requests=5, pending=3, breaker="open")])

    row = labels.rows([])[0]

    assert (row.name, row.requests, row.pending, row.breaker) == ("a", 5, 0, "closed")


def test_the_next_run_keeps_the_domains():
    """Names of an earlier run have places before any other."""
    labels = DomainLabels(2, ["old"])

    rows = labels.rows([DomainView(name=f"d{at}", requests=9) for at in range(5)])

    assert rows[0].name == "old"
    assert len(rows) <= 3


def test_a_critical_domain_has_a_place():
    """It needs none of the free ones, and says whether its breaker is open."""
    text = Exposition(domains=DomainLabels(0)).write(
        view_of(DomainView(name="a"), DomainView(name="b", critical=True, breaker="open"))
    )

    assert value(text, "scrapy_resilience_domain_breaker_state", domain="b") == 2
    assert value(text, "scrapy_resilience_critical_breaker_open", domain="b") == 1
    assert value(text, "scrapy_resilience_domain_breaker_state", domain="a") is None


def test_a_domain_called_other():
    """A host of that name is among the others."""
    text = exposition(
        view_of(DomainView(name=OTHER, requests=2), DomainView(name="a", requests=1))
    )

    assert value(text, "scrapy_resilience_domain_requests_total", domain=OTHER) == 2

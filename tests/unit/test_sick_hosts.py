"""The hosts of ``benchmarks flaky``, without a network."""

from __future__ import annotations

import pytest

from benchmarks.flaky import scenarios
from benchmarks.hosts import OK, Host, Kind, fails, kind_name
from benchmarks.sick_site import RunningSickSite

PAGES = range(1000)
SITE = RunningSickSite(port=1, refused=2, control=3)
SCENARIOS = scenarios()


def statuses(kind, times, page=0):
    """The answers of a host that is asked for one page at these times."""
    host = Host(kind, 1, "h0.test")
    return [host.status(page, when) for when in times]


@pytest.mark.parametrize("kind", [Kind(first=0.3), Kind(random=0.3)])
def test_as_many_requests_fail_as_the_share_says(kind):
    """30 % of the first requests fail, and the same ones each time."""
    failed = [page for page in PAGES if fails(kind, 1, "h0.test", page, 0)]

    assert len(failed) == pytest.approx(300, abs=45)
    assert failed == [page for page in PAGES if fails(kind, 1, "h0.test", page, 0)]
    assert failed != [page for page in PAGES if fails(kind, 2, "h0.test", page, 0)]


def test_first_requests_fail_once():
    """A page that fails on its first request is answered on the second."""
    assert statuses(Kind(first=1), [0, 0, 0]) == [503, OK, OK]


def test_random_failures_are_independent_of_earlier_ones():
    """Of the pages that failed, the same share fails again."""
    kind = Kind(random=0.5)
    failed = [page for page in PAGES if fails(kind, 1, "h0.test", page, 0)]
    again = [page for page in failed if fails(kind, 1, "h0.test", page, 1)]

    assert len(again) / len(failed) == pytest.approx(0.5, abs=0.07)


def test_bad_pages_fail_always():
    """Pages within the range fail on each try, others never."""
    kind = Kind(bad=(2, 4), status=500)

    assert [statuses(kind, [0, 0], page)[1] for page in range(5)] == [OK, OK, 500, 500, OK]


def test_a_rate_answers_a_burst_and_then_its_pace():
    """Beyond the burst, a request fails until the pace allows another one."""
    kind = Kind(rate=5, burst=2, status=429)

    assert statuses(kind, [0, 0, 0, 0.1, 0.2, 0.3, 9, 9, 9]) == (
        [OK, OK, 429, 429, OK, 429, OK, OK, 429]
    )


def test_an_outage_begins_in_mid_crawl_and_ends():
    """From the third request on everything fails for ten seconds."""
    kind = Kind(outage=10, outage_after=3)

    assert statuses(kind, [0, 1, 2, 11, 12]) == [OK, OK, 503, 503, OK]


def test_a_host_is_of_the_kind_in_its_name():
    """The number of a host is not part of its kind."""
    assert kind_name("silent12.test") == "silent"


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_scenario_asks_for_each_page_once(name):
    """Each URL is of a known kind, and there are as many as pages; a chain has its begin."""
    scenario = SCENARIOS[name]
    urls = scenario.urls(SITE)

    assert len(urls) == len(set(urls)) == (1 if name == "chain" else scenario.pages)
    assert {kind_name(url.partition("//")[2]) for url in urls} == set(scenario.hosts)


def test_a_run_is_done_with_all_items_and_letters():
    """A page that can't be had must be a dead letter by the end of the crawl."""
    bad_end, silent = SCENARIOS["bad-end"], SCENARIOS["silent-20"]
    held = {"items": 160, "letters": 0, "ended": True}

    assert bad_end.is_done({**held, "letters": 40})
    assert not bad_end.is_done(held)
    assert not bad_end.is_done({**held, "letters": 40, "ended": False})
    assert silent.is_done({"items": 200, "letters": 0, "ended": False})

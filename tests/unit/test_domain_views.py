"""The domains of a view: which ones are in it, and what is said of each."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scrapy import Request, Spider
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.breaker import Outcome
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.gates.lane_names import domain_of
from scrapy_resilience.observe.domain_views import DomainViews
from scrapy_resilience.observe.traffic import DOMAINS, TrafficCounts


class Crawl:
    """The parts of a crawl that know of domains."""

    def __init__(self, critical=(), **settings):
        self.crawler = get_crawler(
            Spider, {f"RESILIENCE_{name}": value for name, value in settings.items()}
        )
        self.keeper = gatekeeper_of(self.crawler)
        self.gates = self.keeper.gates
        self.counts = TrafficCounts()
        self.frontier = Frontier(
            MemoryStore(), limit=lambda _: 8, gate=self.keeper.ready_at, group=domain_of
        )
        self.views = DomainViews(self.keeper, self.counts, critical)

    def settle(self, domain, outcome, times=1):
        """Requests of a domain end so."""
        for _ in range(times):
            self.counts.sent(domain)
            ticket = self.gates.acquire(domain, 1.0)
            self.gates.settle(ticket, outcome, 1.1)
            failed = outcome is Outcome.FAILURE
            self.counts.settled(domain, failed=failed, is_retry=False, size=1, latency=0.1)

    def push(self, url, meta=None, slot="a.test", times=1):
        """Requests wait in a lane."""
        for _ in range(times):
            request = Request(url, meta=meta)
            lane = self.keeper.lane(slot, request)
            self.frontier.push(lane, request)
            if lane != slot:
                self.frontier.reroute(lane, slot)

    def view(self, **under_way):
        """The views by name, at the time 2."""
        found = self.views.of(self.frontier, under_way.get("under_way", {}), 2.0, 1e9 + 2)
        names = [view.name for view in found]
        assert len(set(names)) == len(names) <= 1000
        return {view.name: view for view in found}


def test_nothing_is_known():
    """There is no domain yet, nor with another scheduler."""
    crawl = Crawl(critical=["a.test"])

    assert crawl.view() == {}
    assert crawl.views.of(None, {}, 2.0, 1e9) == []


def by_path(request):
    """A domain function: the first part of the path."""
    return request.url.split("/")[3]


@pytest.mark.parametrize(
    ("settings", "url", "meta", "slot", "domain"),
    [
        ({}, "http://a.test/1", None, "a.test", "a.test"),
        ({}, "http://a.test/1", {"download_slot": "own"}, "own", "a.test"),
        ({}, "http://a.test/1", {"resilience_open_action": "fail"}, "a.test", "a.test"),
        ({}, "http://a.test/1", {"resilience_failed_at": 1.0}, "a.test", "a.test"),
        (
            {},
            "http://a.test/1",
            {"resilience_failed_at": 1.0, "download_slot": "own"},
            "own",
            "a.test",
        ),
        ({"BREAKER_DOMAIN": "registered"}, "http://www.a.com/1", None, "www.a.com", "a.com"),
        ({"BREAKER_DOMAIN": f"{__name__}.by_path"}, "http://a.test/x/", None, "a.test", "x"),
    ],
)
def test_lanes_of_any_name(settings, url, meta, slot, domain):
    """What waits in a lane is pending at its domain, and why it waits is told there."""
    crawl = Crawl(**settings)
    crawl.push(url, meta, slot, times=3)
    crawl.push("http://b.test/b/", slot="b.test")
    crawl.gates.hold(domain, 60.0, "Retry-After", 1.0)
    crawl.frontier.pop(2.0)

    view = crawl.view(under_way={domain: 2})[domain]

    assert (view.pending, view.under_way) == (5, 2)
    assert (view.waits_for, view.next_try) == ("Retry-After", 1e9 + 61)


def test_a_reason_of_the_users():
    """It is masked and bounded as every text."""
    crawl = Crawl()
    crawl.push("http://a.test/1")
    reason = "see https://user:secret@b.test/\x1b" + "x" * 1000
    crawl.gates.hold("a.test", 60.0, reason, 1.0)

    waits_for = crawl.view()["a.test"].waits_for

    assert waits_for.startswith(r"see https://***@b.test/\x1bx")
    assert 190 < len(waits_for) <= 200


def test_what_waits_for_requests_of_others():
    """It is told what it waits for, though no time is known."""
    crawl = Crawl()
    crawl.push("http://a.test/1")
    lane = crawl.frontier.pop(2.0).lane
    crawl.push("http://a.test/2")
    crawl.gates.gate("a.test", 2.0).wait(lane)
    crawl.frontier.hold("a.test", float("inf"))
    crawl.gates._queue[crawl.gates.gate("a.test", 2.0)] = None

    view = crawl.view()["a.test"]

    assert (view.waits_for, view.next_try) == ("too many domains on probation", None)


def test_a_domain_that_has_not_answered():
    """Its requests wait or are under way: it is there, though nothing is counted yet."""
    crawl = Crawl()
    crawl.push("http://held.test/", slot="held.test", times=39)
    crawl.frontier.hold("held.test", float("inf"))
    crawl.push("http://waits.test/", slot="waits.test", times=2)

    found = crawl.view(under_way={"asked.test": 1})

    assert {name: view.pending for name, view in found.items()} == {
        "held.test": 39,
        "asked.test": 1,
        "waits.test": 2,
    }


def test_trouble_comes_first():
    """Critical ones, those that are not closed, those that wait, then by traffic."""
    crawl = Crawl(critical=["critical.test"])
    crawl.settle("small.test", Outcome.SUCCESS)
    crawl.settle("large.test", Outcome.SUCCESS, 5)
    crawl.settle("failed.test", Outcome.FAILURE)
    crawl.settle("critical.test", Outcome.SUCCESS)
    crawl.gates.force_open("forced.test", 1.0)
    crawl.push("http://held.test/", slot="held.test")
    crawl.frontier.hold("held.test", float("inf"))

    assert list(crawl.view()) == [
        "critical.test", "forced.test", "held.test", "failed.test", "large.test", "small.test",
    ]  # fmt: skip


@pytest.mark.parametrize("failed", [1_500, 4_000])
def test_too_many_in_trouble(failed):
    """A critical one and the open ones are there all the same, and so is most traffic."""
    crawl = Crawl(critical=["critical.test"])
    for number in range(failed):
        crawl.settle(f"failed{number}.test", Outcome.FAILURE)
    for domain in ("critical.test", "forced.test"):
        crawl.gates.force_open(domain, 1.0)
    crawl.settle("busiest.test", Outcome.SUCCESS, 10)
    for number in range(300):
        crawl.settle(f"busy{number}.test", Outcome.SUCCESS, 3)

    found = list(crawl.view())

    assert len(found) == 1000
    assert found[:2] == ["critical.test", "forced.test"]
    assert found[750] == "busiest.test"
    assert sum(name.startswith("busy") for name in found) == 249


def test_too_many_in_trouble_without_traffic():
    """They have all places."""
    crawl = Crawl()
    for number in range(1_200):
        crawl.gates.force_open(f"d{number}.test", 1.0)

    assert list(crawl.view()) == [f"d{number}.test" for number in range(1000)]


def test_a_busy_domain_that_fails():
    """It keeps its place among the busiest where there are too many in trouble."""
    crawl = Crawl()
    for number in range(1_000):
        crawl.settle(f"d{number}.test", Outcome.FAILURE)
        crawl.push(f"http://d{number}.test/", slot=f"d{number}.test")
    crawl.settle("busiest.test", Outcome.SUCCESS, 300)
    crawl.settle("busiest.test", Outcome.FAILURE)

    assert crawl.view()["busiest.test"].requests == 301


def test_names_that_a_terminal_obeys():
    """They are shown in one way, and once."""
    crawl = Crawl()
    crawl.settle("a\u202e.test", Outcome.FAILURE)
    crawl.settle("x" * 100_000, Outcome.SUCCESS)

    found = crawl.view()

    assert list(found) == [r"a\u202e.test", "x" * 253]
    assert [view.requests for view in found.values()] == [1, 1]


def test_more_domains_than_are_counted():
    """All others are one row."""
    crawl = Crawl()
    for number in range(DOMAINS + 3):
        crawl.counts.sent(f"d{number}.test")

    assert crawl.view()["other"].requests == 3


def test_a_rate():
    """The slower one of a limit and the pace after throttling."""
    crawl = Crawl(RATE_LIMITS={"a.test": "2/s"})
    crawl.settle("a.test", Outcome.SUCCESS)
    assert crawl.view()["a.test"].rate == 2.0

    crawl.gates.gate("a.test", 2.0).pace = SimpleNamespace(rate=0.25, ready_at=lambda _: 0.0)
    assert crawl.view()["a.test"].rate == 0.25

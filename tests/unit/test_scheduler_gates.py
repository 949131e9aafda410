"""The scheduler with gates: who is let through, and who is counted."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import pytest
from scrapy import Request, Spider
from scrapy.utils.test import get_crawler

from scrapy_resilience import scheduler as module
from scrapy_resilience.core.breaker import Outcome
from scrapy_resilience.frontier.handed_out import HandedOutRequest
from scrapy_resilience.gates import held_requests
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.gates.lane_names import RETRIES
from scrapy_resilience.scheduler import ResilientScheduler

pytestmark = pytest.mark.usefixtures("fake_clock")


class Downloader:
    """A downloader that has nothing under way."""

    DOWNLOAD_SLOT = "download_slot"
    ip_concurrency = 0
    domain_concurrency = 8

    def __init__(self):
        self.slots, self.per_slot_settings, self.active = {}, {}, set()

    def get_slot_key(self, request):
        """The host, or what meta says."""
        return request.meta.get("download_slot") or request.url.split("/")[2]


@pytest.fixture
def scheduler(monkeypatch):
    """A scheduler without a job, gates on, in a crawl that has nothing under way."""
    monkeypatch.setattr(module, "hooks_of", lambda _: SimpleNamespace(arriving=set()))
    monkeypatch.setattr(module, "follow_items", lambda _: None)
    closed = []
    monkeypatch.setattr(held_requests, "close_spider", lambda _, reason: closed.append(reason))
    crawler = get_crawler(Spider, {"CONCURRENT_REQUESTS": 4})
    crawler.spider = crawler._create_spider("shop")
    crawler.engine = SimpleNamespace(
        downloader=Downloader(),
        scraper=SimpleNamespace(slot=None),
        _slot=SimpleNamespace(
            inprogress=set(), nextcall=SimpleNamespace(schedule=lambda: None), closing=None
        ),
        _start=None,
    )
    gatekeeper_of(crawler).active = True
    scheduler = ResilientScheduler(crawler)
    scheduler.open(crawler.spider)
    scheduler.closed = closed
    return scheduler


def url(host):
    """A page of a host."""
    return f"http://{host}.test/"


def test_a_place_in_the_queue_that_nobody_needs(scheduler):
    """Domains whose requests are gone keep nobody waiting, and the crawl does not end."""
    gates = scheduler._keeper.gates
    for host in ("gone", "left", "here", "busy"):
        gates.settle(gates.acquire(f"{host}.test", 0.0), Outcome.FAILURE, 0.1)
    scheduler.enqueue_request(Request(url("here")))
    gates.acquire("busy.test", 0.2)  # the only place
    gates._queue = OrderedDict(
        (gates.gate(f"{host}.test", 0.0), None) for host in ("gone", "left", "here")
    )
    scheduler.frontier.hold("here.test", float("inf"))
    gates.gate("here.test", 0.0).wait("here.test")

    request = scheduler.next_request()

    assert request is not None
    assert request.url == url("here")
    assert scheduler.closed == []


def test_requests_that_end_elsewhere_are_forgotten(scheduler):
    """Tickets and shares are given back also while there is always something to hand out."""
    for number in range(3000):
        scheduler.enqueue_request(Request(url(f"h{number}")))

    for _ in range(2500):  # each is replaced on its way: nobody says how it ended
        assert scheduler.next_request() is not None

    assert len(scheduler._keeper._tickets) <= 1000
    assert len(scheduler.in_flight.under_way) <= 1000
    assert sum(scheduler.frontier.busy(f"h{number}.test") for number in range(3000)) <= 1000


def test_what_is_given_up_takes_no_share_from_others(scheduler):
    """A stored request that can't be read leaves the count of another slot alone."""
    scheduler.enqueue_request(Request(url("a")))
    scheduler.crawler.engine.downloader.active.add(scheduler.next_request())
    scheduler.frontier.push("sick.test", b"garbage")
    scheduler._keeper.given_up["sick.test"] = scheduler._keeper.gates.gate("sick.test", 0.0)

    scheduler.next_request()

    assert scheduler._keeper.given_up == {}
    assert scheduler.frontier.busy("a.test") == 1


def test_a_long_delay_keeps_the_crawl_open(scheduler):
    """A request that its spider has delayed is not a reason to give up, however long it is."""
    scheduler.enqueue_request(Request(url("a"), meta={"resilience_delay": 1e6}))

    assert scheduler.next_request() is None

    assert scheduler.closed == []


def test_a_hold_that_is_too_long_ends_the_crawl(scheduler, fake_clock):
    """When nothing else is left: the next run goes on with what is held."""
    scheduler.enqueue_request(Request(url("a")))
    scheduler._keeper.gates.hold("a.test", 1e6, "Retry-After", fake_clock.now)

    assert scheduler.next_request() is None

    assert scheduler.closed == ["resilience_held"]


def test_a_check_of_a_domain_keeps_the_crawl_open(scheduler, fake_clock):
    """Its answer decides what becomes of the held ones."""
    scheduler.enqueue_request(Request(url("a")))
    scheduler._keeper.gates.hold("a.test", 1e6, "Retry-After", fake_clock.now)
    scheduler._keeper._trials.checks.add(Request(url("a")))

    assert scheduler.next_request() is None

    assert scheduler.closed == []


def test_what_a_callback_makes_of_the_meta_of_a_retry_is_no_retry(scheduler, monkeypatch):
    """``meta=response.meta`` is common: a whole site would go through the lane of retries."""
    retried = {"resilience_failed_at": 1.0, "resilience_answers_before": 3, "page": 2}
    child, retry = (Request(url("a"), meta=retried, dont_filter=True) for _ in range(2))

    monkeypatch.setattr(scheduler.outputs, "maker", lambda: HandedOutRequest("", None))
    scheduler.enqueue_request(child)
    with scheduler._replacements.replacing(retry, child):
        scheduler.enqueue_request(retry)

    assert child.meta == {"page": 2}
    assert scheduler.frontier.waiting("a.test") == 1
    assert scheduler.frontier.waiting("a.test" + RETRIES) == 1


def test_the_same_object_again(scheduler):
    """A request that ended before the downloader, and is put in again, costs no place."""
    request = Request(url("a"), dont_filter=True)
    for _ in range(20):
        scheduler.enqueue_request(request)
        assert scheduler.next_request() is request

    assert scheduler.frontier.busy("a.test") == 1
    assert len(scheduler._keeper._tickets) == 1
    assert scheduler._keeper.gates.gate("a.test", 0.0).under_way == 1

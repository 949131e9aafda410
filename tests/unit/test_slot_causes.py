"""What download slots are used for, and what free ones wait for."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest
from engines import engine_of
from scrapy import Request
from scrapy.core.downloader import Slot

from scrapy_resilience.core.accounting import (
    CALLBACKS,
    COMMIT,
    DELAYED,
    FRONTIER,
    GATE,
    HAND_OUT,
    PACED,
    PER_DOMAIN,
    PROCESSOR,
    SERVERS,
    START,
    Key,
)
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.observe.accounting.accountant import Accountant, stored_accounting
from scrapy_resilience.observe.accounting.loop_time import Use
from scrapy_resilience.observe.accounting.slot_causes import SlotCauses
from scrapy_resilience.scheduler import ResilientScheduler

SLOTS = 8
NOW = 100.0
HOST = "a.example"


class Crawl:
    """An engine with a frontier, and requests at any place."""

    def __init__(self, **settings):
        self.engine = engine_of({"CONCURRENT_REQUESTS": SLOTS, **settings})
        self.crawler = self.engine.crawler
        self.keeper = gatekeeper_of(self.crawler)
        self.frontier = Frontier(MemoryStore(), limit=lambda _: 4)
        scheduler = ResilientScheduler.__new__(ResilientScheduler)
        scheduler.frontier = self.frontier
        scheduler.committer = SimpleNamespace(intake=SimpleNamespace(up=False))
        self.committer = scheduler.committer
        self.engine._slot.scheduler = scheduler
        self.engine._start = None
        self.engine.scraper.slot = SimpleNamespace(
            is_idle=lambda: self.is_idle, needs_backout=lambda: self.is_full
        )
        self.is_idle, self.is_full = True, False
        self.barrier = SimpleNamespace(up=False)
        self.slots = SlotCauses(self.crawler, self.keeper, self.barrier)

    def under_way(self, number, place="transferring", host=HOST, delay=0.0):
        downloader = self.engine.downloader
        slot = downloader.slots.setdefault(host, Slot(4, delay, 0.0))
        slot.delay = delay
        for _ in range(number):
            request = Request("http://a.example/", meta={"download_slot": host})
            downloader.active.add(request)
            if place != "middleware":
                slot.active.add(request)
            if place == "transferring":
                slot.transferring.add(request)
        return request

    def waiting(self, number, host=HOST, **options):
        for _ in range(number):
            self.frontier.push(host, object(), now=NOW, **options)

    def causes(self):
        return self.slots.causes(NOW)


@pytest.fixture
def crawl():
    """A crawl of eight slots."""
    return Crawl()


def test_answers_are_waited_for(crawl):
    """A slot whose request is under way is the server's."""
    crawl.under_way(8)
    assert crawl.causes() == {Key(SERVERS, "", HOST): 8}


def test_a_delay_is_a_gate(crawl):
    """Of requests that wait in the downloader for DOWNLOAD_DELAY."""
    crawl.under_way(1)
    crawl.under_way(7, "queue", delay=2.0)
    assert crawl.causes() == {Key(SERVERS, "", HOST): 1, Key(GATE, PACED, HOST): 7}


def test_a_full_slot_of_the_downloader(crawl):
    """Waits for answers as well."""
    crawl.under_way(8, "queue")
    assert crawl.causes() == {Key(SERVERS, PER_DOMAIN, HOST): 8}


def test_responses_that_the_barrier_holds(crawl):
    """Wait for the commit, and so do slots that would be free."""
    crawl.under_way(3, "middleware")
    crawl.barrier.up = True
    assert crawl.causes() == {Key(COMMIT): 8}


def test_a_barrier_that_holds_nothing(crawl):
    """What it waits for is waited for all the same."""
    crawl.barrier.up, crawl.is_idle = True, False
    assert crawl.causes() == {Key(CALLBACKS): 8}


def test_a_middleware_that_waits(crawl):
    """For its turn, or for what it asks a server for."""
    crawl.keeper.waits.requests.add(crawl.under_way(1, "middleware"))
    crawl.under_way(7, "middleware")
    assert crawl.causes() == {Key(GATE, DELAYED): 1, Key(SERVERS): 7}


def test_a_store_that_can_not_be_written(crawl):
    """Nothing else is looked at."""
    crawl.waiting(3)
    crawl.committer.intake.up = True
    assert crawl.causes() == {Key(COMMIT): 8}


def test_too_many_responses(crawl):
    """Nothing is asked for until callbacks and pipelines have done some."""
    crawl.under_way(2)
    crawl.waiting(3)
    crawl.is_full = True
    assert crawl.causes() == {Key(SERVERS, "", HOST): 2, Key(CALLBACKS): 6}


def test_a_rate_limit(crawl):
    """All free slots, as far as requests wait."""
    crawl.frontier.hold(HOST, NOW + 1)
    crawl.keeper.gates.hold(HOST, 1.0, "HTTP 429", NOW)
    crawl.waiting(100)
    assert crawl.causes() == {Key(GATE, "HTTP 429", HOST): 8}


def test_two_gates_share_the_slots(crawl):
    """By the requests that wait for each, up to all slots."""
    for host, reason, number in (("a.example", "one", 12), ("b.example", "two", 4)):
        crawl.frontier.hold(host, NOW + 1)
        crawl.keeper.gates.hold(host, 1.0, reason, NOW)
        crawl.waiting(number, host)
    assert crawl.causes() == {
        Key(GATE, "one", "a.example"): pytest.approx(16 / 3),
        Key(GATE, "two", "b.example"): pytest.approx(8 / 3),
    }


def test_few_held_requests_beside_a_crawl_that_has_no_more(crawl):
    """They would fill their own slots only."""
    crawl.under_way(1)
    crawl.frontier.hold("b.example", NOW + 1)
    crawl.waiting(2, "b.example")
    assert crawl.causes() == {
        Key(SERVERS, "", HOST): 1,
        Key(GATE, "circuit breaker tries another request", "b.example"): 2,
        Key(FRONTIER): 5,
    }


def test_nothing_but_held_requests(crawl):
    """All slots wait for them, few as they are."""
    crawl.frontier.hold(HOST, NOW + 1)
    crawl.waiting(1)
    assert crawl.causes() == {Key(GATE, "circuit breaker tries another request", HOST): 8}


def test_many_held_domains(crawl):
    """Some of them stand for all, and others the next time."""
    for number in range(100):
        crawl.frontier.hold(f"{number}.example", NOW + 1)
        crawl.waiting(1, f"{number}.example")
    first, second = crawl.causes(), crawl.causes()
    assert sum(first.values()) == pytest.approx(8)
    assert len(first) == len(second) == 20
    assert first.keys().isdisjoint(second)


def test_a_hold_that_is_over(crawl):
    """Does not count: the engine looks again at once."""
    crawl.frontier.hold(HOST, NOW - 1)
    crawl.waiting(1)
    assert crawl.causes() == {Key(FRONTIER): 8}


def test_requests_that_wait_for_their_own_time(crawl):
    """As retries do."""
    crawl.waiting(20, delay=5.0)
    assert crawl.causes() == {Key(GATE, DELAYED): 8}


def test_as_many_as_a_domain_may_have(crawl):
    """Free slots wait for its answers, where more of its requests wait."""
    crawl.under_way(4)
    for _ in range(4):
        crawl.frontier.occupy(HOST)
    crawl.waiting(30)
    assert crawl.causes() == {Key(SERVERS, "", HOST): 4, Key(SERVERS, PER_DOMAIN, HOST): 4}


@pytest.mark.parametrize(
    ("is_idle", "is_starting", "active", "key"),
    [
        (False, True, 1, Key(CALLBACKS)),
        (True, True, 1, Key(FRONTIER, START)),
        (True, False, 1, Key(FRONTIER)),
        (True, False, 0, Key(FRONTIER)),
    ],
)
def test_nothing_waits(crawl, is_idle, is_starting, active, key):
    """Whoever could bring more is what is waited for."""
    if active:
        crawl.under_way(active)
    crawl.is_idle = is_idle
    crawl.engine._start = object() if is_starting else None
    assert crawl.causes()[key] == 8 - active


def test_requests_that_may_go(crawl):
    """Are about to."""
    crawl.waiting(3)
    assert crawl.causes() == {Key(PROCESSOR, HAND_OUT): 8}


def test_no_limit_of_requests():
    """Nothing is free where nothing is full."""
    crawl = Crawl(CONCURRENT_REQUESTS=0)
    crawl.under_way(3)
    assert crawl.causes() == {Key(SERVERS, "", HOST): 3}


def test_very_many_requests_under_way():
    """Some of them stand for all."""
    crawl = Crawl(CONCURRENT_REQUESTS=1000)
    crawl.under_way(1000)
    assert crawl.causes() == {Key(SERVERS, "", HOST): pytest.approx(1000)}


def test_another_scheduler(crawl):
    """The downloader is seen, and nothing is known of what waits."""
    crawl.engine._slot.scheduler = SimpleNamespace()
    crawl.under_way(3)
    assert crawl.causes() == {Key(SERVERS, "", HOST): 3, Key(FRONTIER): 5}


def test_hostile_names_are_short_and_printable(crawl):
    """Of a slot that a spider has chosen."""
    crawl.under_way(8, host="\x1b[31m" + "x" * 1000)
    ((key, _),) = crawl.causes().items()
    assert key.domain.isprintable()
    assert len(key.domain) <= 100


# --- the accountant ------------------------------------------------------------------


class Meter:
    """A loop that has used this."""

    def __init__(self, *use):
        self.use = Use(*use)

    def take(self, expected):
        return self.use


@pytest.fixture
def accountant(crawl, fake_clock):
    """One whose spider is open."""
    accountant = Accountant(crawl.crawler)
    accountant._slots, accountant._meter = crawl.slots, Meter(0.2, 0.1, 0.1)
    accountant._last = fake_clock.now
    return accountant


def shares(cause):
    """Cause and detail of each share."""
    return {(each.cause, each.detail): round(each.share, 3) for each in cause.shares}


def test_the_rest_of_the_time_is_shared_by_slots(crawl, accountant, fake_clock):
    """The processor and blocking calls come first."""
    crawl.under_way(4)
    fake_clock.advance(10)
    accountant.sample()
    view = accountant.view()
    assert view.minute.seconds == view.hour.seconds == view.job.seconds == 10
    assert shares(view.job) == {
        (PROCESSOR, ""): 0.3,
        (SERVERS, ""): 0.3,
        (FRONTIER, ""): 0.3,
        (CALLBACKS, "a call that blocks"): 0.1,
    }
    assert [share.domains for share in view.job.shares if share.cause == SERVERS] == [[HOST]]


@pytest.mark.parametrize(
    ("reason", "rate"),
    [("rate limit", "5/s"), ("robots.txt", "5/s"), (PACED, "30/m"), ("", "")],
)
def test_the_rate_is_named(reason, rate):
    """Of a limit, and of a download delay."""
    crawl = Crawl(RESILIENCE_RATE_LIMITS={HOST: 5})
    crawl.under_way(1, delay=2.0)
    crawl.keeper.gates.gate(HOST, NOW)
    assert Accountant(crawl.crawler)._rate(reason, HOST) == rate
    assert Accountant(crawl.crawler)._rate(reason, "other.example") == ""


def test_a_stored_sum_goes_on(accountant):
    """That of the job; the minute and the hour are of this run."""
    accountant._restore({"seconds": 30.0, "weights": [["gate", "rate limit", HOST, 30.0]]})
    view = accountant.view()
    assert view.job.seconds == 30
    assert view.hour.seconds == 0
    assert shares(view.job) == {(GATE, "rate limit"): 1.0}


@pytest.mark.parametrize("saved", [1, {"seconds": "x"}, {"seconds": 1.0, "weights": [[1]]}])
def test_a_stored_sum_of_another_shape(accountant, saved, caplog):
    """Ends no crawl."""
    accountant._restore(saved)
    assert "can't be read" in caplog.text
    assert accountant.view().job.seconds == 0
    with pytest.raises(msgspec.ValidationError):
        stored_accounting(saved)


def test_a_job_that_does_not_run():
    """Has what its last commit knows, and a sentence about it."""
    saved = {"seconds": 50.0, "weights": [["gate", "rate limit", HOST, 50.0]]}
    view = stored_accounting(saved)
    assert view.sentence == (
        f"100 % of the whole job waited for the rate limit of {HOST}: RESILIENCE_RATE_LIMITS"
    )
    assert stored_accounting(None).job.seconds == 0

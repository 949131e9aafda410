"""Which request is the trial of a half-open breaker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from breaker_samples import run
from scrapy import Request, Spider
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.breaker import State
from scrapy_resilience.gates import lane_names, trials
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.gates.gatekeeper import Gatekeeper

A = "a.test"
URL = "http://a.test/page"
KNOWN = "http://a.test/known"
RETRIES = A + lane_names.RETRIES
FAILED = Response(URL, status=503)


class Bench:
    """A gatekeeper whose scheduler has lanes of so many requests, and its downloads."""

    def __init__(self, clock, engine):
        self.clock = clock
        self.crawler = get_crawler(Spider, {"RESILIENCE_BREAKER_FIRST_TRIAL": 1})
        self.crawler.spider = self.crawler._create_spider("shop")
        self.crawler.engine = engine
        self.waiting = {A: 5, RETRIES: 5}
        frontier = SimpleNamespace(
            waiting=lambda lane: self.waiting.get(lane, 0), release=lambda _: None
        )
        self.keeper = Gatekeeper(self.crawler)
        self.keeper.attach(
            SimpleNamespace(frontier=frontier, job=None, commit_soon=lambda: None)
        )
        self.gate = self.keeper.gates.gate(A, clock.now)

    def ask(self, result, url=URL):
        """One request, and what comes back."""
        request = Request(url)
        self.keeper.acquire(request, self.clock.now)
        self.keeper.answered(request, result)

    def open(self, trips=0):
        """Let the breaker open, reopen so often, and wait until a trial is due."""
        while self.gate.breaker.state is not State.OPEN:
            self.ask(FAILED)
        for _ in range(trips):
            self._until_a_trial()
            self.ask(FAILED)
        self._until_a_trial()

    def _until_a_trial(self):
        self.clock.now = max(self.gate.breaker.opened_until, self.clock.now)

    def turns(self):
        """Whether a request of the first tries may go, and one of the retries."""
        now = self.clock.now
        return tuple(self.keeper.ready_at(lane, now) <= now for lane in (A, RETRIES))


@pytest.fixture
def engine():
    """An engine that notes what is to be downloaded and lets it wait."""
    engine = SimpleNamespace(
        asked=[], results=[], scraper=SimpleNamespace(slot=None), _slot=None
    )

    async def download(request):
        engine.asked.append(request)
        result = engine.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    engine.download_async = download
    return engine


@pytest.fixture
def bench(fake_clock, engine, monkeypatch):
    """A domain that has not answered yet."""
    bench = Bench(fake_clock, engine)
    bench.started = []
    monkeypatch.setattr(trials, "deferred_from_coro", bench.started.append)
    yield bench
    for coroutine in bench.started:
        coroutine.close()


def test_a_closed_breaker_lets_all_go(bench):
    """There is no trial to be chosen."""
    assert bench.turns() == (True, True)


def test_the_first_trial_of_a_domain_that_never_answered_is_a_retry(bench):
    """Where each page fails once, a second try gets through."""
    bench.open()

    assert bench.turns() == (False, True)


def test_without_retries_an_untried_page_is_the_trial(bench):
    """Somebody must ask."""
    bench.waiting[RETRIES] = 0
    bench.open()

    assert bench.turns()[0]


def test_every_other_trial_is_whatever_comes_next(bench):
    """A page that has gone bad must not keep its domain shut."""
    bench.ask(Response(KNOWN), KNOWN)
    found = []
    for trips in range(4):
        bench.open()
        assert bench.gate.breaker.trips == trips
        found.append(bench.turns()[0])
        if found[-1]:
            bench.ask(FAILED)
        else:
            (request,) = bench.keeper._trials.checks
            bench.keeper.answered(request, FAILED)
            bench.keeper._trials.checks.clear()

    assert found == [False, True, False, True]


def test_a_known_page_is_asked_for(bench):
    """The latest one that was answered, past the HTTP cache, for nobody, and only once."""
    for page in ("http://a.test/older", KNOWN):
        bench.ask(Response(page), page)
    bench.open()

    assert bench.turns() == (False, False)
    assert bench.turns() == (False, False)

    (request,) = bench.keeper._trials.checks
    assert (request.url, request.meta["dont_cache"]) == (KNOWN, True)
    assert bench.keeper.is_for_nobody(request)
    assert bench.keeper.is_checking
    assert bench.crawler.stats.get_value("resilience/breaker/checks") == 1


@pytest.mark.parametrize(
    ("request_of", "response"),
    [
        (Request(KNOWN, method="POST"), Response(KNOWN)),
        (Request(KNOWN), Response(KNOWN, status=404)),
        (Request(KNOWN), Response(KNOWN, flags=["cached"])),
    ],
)
def test_what_is_no_known_page(bench, request_of, response):
    """What can't be asked twice, was not found, or came from a cache."""
    bench.keeper.acquire(request_of, bench.clock.now)
    bench.keeper.answered(request_of, response)

    assert bench.gate.known_page is None


def check(bench, result, *, told=True):
    """Let a check end, of which the middlewares have told the gates or not."""
    bench.crawler.engine.results.append(result)
    (request,) = bench.keeper._trials.checks
    if told:
        bench.keeper.answered(request, result)
    run(bench.started.pop())


@pytest.fixture
def checked(bench):
    """A domain that was well and is down, and is being asked for its known page."""
    bench.ask(Response(KNOWN), KNOWN)
    bench.open()
    bench.turns()
    return bench


def test_a_check_that_is_answered_closes_the_breaker(checked):
    """All go again."""
    check(checked, Response(KNOWN))

    assert checked.gate.breaker.state is State.CLOSED
    assert not checked.keeper.is_checking
    assert checked.turns() == (True, True)


def test_a_check_that_fails_opens_it_again(checked):
    """The page is still the known one."""
    check(checked, OSError("refused"))

    assert (checked.gate.breaker.state, checked.gate.breaker.trips) == (State.OPEN, 1)
    assert checked.gate.known_page.url == KNOWN


def test_no_handler_decides_about_a_check(checked):
    """It has no callback, and nobody asks for it again: its failure is the domain's."""
    checked.keeper.decided = {"server_error"}

    check(checked, Response(KNOWN, status=503))

    assert checked.gate.breaker.state is State.OPEN


@pytest.mark.parametrize("told", [True, False])
def test_a_check_of_which_nothing_is_heard_is_not_repeated(checked, told):
    """A middleware drops it: the next trial is a page of the queue, not the same for ever."""
    check(checked, IgnoreRequest("seen before"), told=told)

    assert checked.gate.breaker.state is State.HALF_OPEN
    assert checked.gate.known_page is None
    assert checked.turns() == (False, True)


def test_a_page_that_fails_alone_has_another_one_asked_for(bench):
    """Its domain may be well: the answer tells. While others are under way they do."""
    request = Request(URL)
    bench.ask(FAILED)
    bench.keeper.ask_if_alone(request)
    assert not bench.keeper.is_checking  # none is known to work

    bench.ask(Response(KNOWN), KNOWN)
    before = bench.gate.answers
    other = Request("http://a.test/other")
    bench.keeper.acquire(other, bench.clock.now)
    bench.keeper.ask_if_alone(request)
    assert not bench.keeper.is_checking
    bench.keeper.answered(other, FAILED)

    bench.keeper.ask_if_alone(request)
    bench.keeper.ask_if_alone(request)  # one is enough
    check(bench, Response(KNOWN))
    assert bench.gate.answers == before + 1
    assert bench.crawler.stats.get_value("resilience/breaker/checks") == 1


@pytest.mark.parametrize("reason", ["hold", "rate", "budget", "pause"])
def test_a_page_that_fails_alone_waits_like_any_other(bench, reason):
    """Nothing is asked of a domain that is to be left alone, not even whether it is up."""
    bench.ask(Response(KNOWN), KNOWN)
    now = bench.clock.now
    if reason == "hold":
        bench.keeper.gates.hold(A, 600, "asked for by the site", now)
    elif reason == "rate":
        bench.gate.bucket = SimpleNamespace(ready_at=lambda _: now + 60)
    elif reason == "budget":
        bench.keeper.budgets = SimpleNamespace(ready_at=lambda *_: now + 60)
    else:
        pauses_of(bench.crawler).barrier.rise()

    bench.keeper.ask_if_alone(Request(URL))

    assert not bench.keeper.is_checking


def test_a_check_goes_no_further_than_its_page(checked):
    """An outage often redirects to a page that fails: that it redirects is an answer."""
    (request,) = checked.keeper._trials.checks
    assert request.meta["dont_redirect"]

    check(checked, Response(KNOWN, status=302, headers={"Location": "/maintenance"}))

    assert checked.gate.breaker.state is State.CLOSED


@pytest.mark.parametrize("bypasses", [False, True])
def test_a_page_of_a_proxy_of_the_spiders_own_is_no_known_page(bench, bypasses):
    """A trial would go without it, from an address that may be banned."""
    request = Request(KNOWN, meta={"proxy": "http://proxy.test:1"})
    if bypasses:
        bench.keeper.acquire(request, bench.clock.now)
    else:
        bench.keeper.handed_out(request, A, bench.clock.now)
    bench.keeper.answered(request, Response(KNOWN))

    assert bench.gate.known_page is None


@pytest.mark.parametrize(
    ("meta", "asked"),
    [
        ({"playwright": True}, True),
        ({"playwright": True, "playwright_context": "default"}, True),
        ({"playwright": True, "playwright_context": "mine"}, None),
        ({"playwright": True, "playwright_context_kwargs": {}}, None),
        ({}, False),
    ],
)
def test_a_page_of_the_browser_is_asked_for_in_the_browser(bench, meta, asked):
    """In the usual context: another one has what a trial lacks, such as a proxy."""
    request = Request(KNOWN, meta=meta)
    bench.keeper.acquire(request, bench.clock.now)
    bench.keeper.answered(request, Response(KNOWN))
    bench.keeper.ask_if_alone(Request(URL))

    found = [check.meta.get("playwright", False) for check in bench.keeper._trials.checks]
    assert found == ([] if asked is None else [asked])

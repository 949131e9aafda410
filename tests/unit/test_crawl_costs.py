"""The costs of a crawl: when it is paused, what is told, whom domains wait for."""

from __future__ import annotations

from math import inf

import pytest
from engines import engine_of
from scrapy import Request

from scrapy_resilience import signals as ours
from scrapy_resilience.core.budget_claims import Refusal
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.guard.cost.crawl_costs import CrawlCosts
from scrapy_resilience.guard.cost.tracker import OpenClaim

URL = "http://a.test/page"


class Costs:
    """Those of a crawl that does not run, by a clock that a test moves."""

    def __init__(self, *budgets, **settings):
        self.engine = engine_of({"RESILIENCE_BUDGETS": [*budgets], **settings})
        self.crawler = self.engine.crawler
        self.costs = CrawlCosts(self.crawler)
        self.pauses = pauses_of(self.crawler)
        self.events = []
        self.crawler.signals.connect(self._event, ours.crawl_event)

    def _event(self, kind, text):
        self.events.append((kind, text))

    def told(self, kind):
        return [text for each, text in self.events if each == kind]

    def claim(self, domain="a.test"):
        return self.costs.claim(Request(URL), domain, "")


@pytest.mark.usefixtures("fake_clock")
def test_what_is_handed_out_has_its_place():
    """The crawl pauses before a request would come back; one that ends gives its place back."""
    costs = Costs({"resource": "requests", "limit": 2}).costs
    pauses = costs._pauses
    first, second = Request(URL), Request(URL)
    for request in (first, second):
        assert costs.ready_at("a.test", 0) == 0
        costs.reserve(request, "a.test")
    assert pauses.up

    assert isinstance(costs.claim(first, "a.test", ""), OpenClaim)
    assert pauses.up
    costs.release(second)  # a cache has answered it
    assert not pauses.up
    assert isinstance(costs.claim(second, "a.test", ""), OpenClaim)
    assert isinstance(costs.claim(Request(URL), "a.test", ""), Refusal)
    assert pauses.up


def test_a_void_claim_ends_the_pause(fake_clock):
    """What was not sent has its place again."""
    made = Costs({"resource": "requests", "limit": 1})
    claim = made.claim()
    assert made.pauses.up
    made.costs.void(claim)
    assert not made.pauses.up

    made.costs.end(made.claim(), 0)
    fake_clock.advance(3599)
    assert made.pauses.up
    fake_clock.advance(80)
    assert not made.pauses.up


def test_a_window_that_moves_is_not_told_each_time(fake_clock):
    """A crawl at its limit pauses some hundred times in an hour, and some lines say so."""
    made = Costs({"resource": "requests", "limit": 1000})
    began, sent, paused, was_up = fake_clock.now, [], 0, False
    while fake_clock.now < began + 4 * 3600:
        while not made.pauses.up and len(sent) < 10_000:
            sent.append(fake_clock.now)
            made.costs.end(made.claim(), 0)
            fake_clock.now += 0.5
        paused += made.pauses.up and not was_up
        was_up = made.pauses.up
        fake_clock.advance(1)
        was_up = was_up and made.pauses.up

    assert 3800 < len(sent) <= 4000
    assert max(sum(at <= each <= at + 3600 for each in sent) for at in sent[::50]) <= 1000
    assert paused < 400
    assert len(made.told("pause")) <= 2 * 4 * 7
    assert len(made.told("budget")) <= 2 * 5


@pytest.mark.usefixtures("fake_clock")
def test_whom_domains_wait_for():
    """The first one that may have room is known, and what it waits for, in words."""
    costs = Costs(
        {"resource": "requests", "limit": 1, "domain": "*", "per": 100},
        {"resource": "requests", "limit": 2, "domain": "b.test", "per": "job"},
    ).costs
    now = 1_000.0
    for domain in ("a.test", "b.test"):
        costs.end(costs.claim(Request(URL), domain, ""), 0)
    assert costs.ready_at("a.test", now) == pytest.approx(now + 100)
    assert costs.why("a.test") == "the budget of 1 requests in 100 s for a.test is used up"
    assert costs.holds_until(now) == pytest.approx(now + 100)
    assert (costs.ready_at("c.test", now), costs.why("c.test")) == (0, "")
    assert not costs._pauses.up

    costs.tracker.track("requests", domain="b.test")
    assert costs.ready_at("b.test", now) == inf
    assert costs.holds_until(now + 101) == inf


@pytest.mark.usefixtures("fake_clock")
def test_tokens_pause_a_crawl():
    """What code tells pauses it at once; 80 percent are told before."""
    made = Costs({"resource": "llm_tokens", "limit": 100})
    made.costs.started()
    made.costs.tracker.track("llm_tokens", 85)
    assert not made.pauses.up
    made.costs.tracker.track("llm_tokens", 85)

    assert made.pauses.up
    assert made.told("budget") == [
        "80 % of the budget of 100 llm tokens an hour is spent",
        "100 % of the budget of 100 llm tokens an hour is spent",
    ]


@pytest.mark.usefixtures("fake_clock")
def test_nothing_is_done_without_prices_and_budgets():
    """No request is looked at, but for those through proxies, which have a price."""
    costs = Costs().costs
    assert (costs.what, costs.heeds, costs.counts_bytes) == (0, False, False)
    assert costs.asks_for_proxy
    assert costs.claims("p:80") == 2

    none = Costs(RESILIENCE_PRICES={"proxy_requests": None}).costs
    assert not none.asks_for_proxy

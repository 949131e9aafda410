"""ProxyBreakerMiddleware: a proxy that fails is not a site that fails."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scrapy import Request, Spider
from scrapy.exceptions import DownloadConnectionRefusedError, DownloadTimeoutError
from scrapy.http import Response
from scrapy.utils.test import get_crawler

from scrapy_resilience.downloadermiddlewares import proxy as proxy_module
from scrapy_resilience.downloadermiddlewares.proxy import ProxyBreakerMiddleware
from scrapy_resilience.gates.gatekeeper import gatekeeper_of

URL = "http://a.test/page"
DELAY = "resilience_delay"
REFUSED = DownloadConnectionRefusedError("refused")


class Bench:
    """The middleware, and what becomes of requests through proxies."""

    def __init__(self, clock):
        self.clock = clock
        self.crawler = get_crawler(Spider, {"RESILIENCE_BREAKER_FAILURE_THRESHOLD": 3})
        self.middleware = ProxyBreakerMiddleware.from_crawler(self.crawler)
        self.keeper = gatekeeper_of(self.crawler)
        self.keeper.scheduler = SimpleNamespace(issued=lambda request: request not in self.past)
        self.past = set()
        """Requests that bypass the scheduler."""

    def send(self, proxy, *, own=False, past=False):
        """A request for which a middleware, or the spider itself, has chosen a proxy."""
        request = Request(URL, meta={"proxy": f"http://{proxy}.test:1"} if own else {})
        if past:
            self.past.add(request)
            self.keeper.acquire(request, self.clock.now)
        else:
            self.keeper.handed_out(request, "a.test", self.clock.now)
        request.meta["proxy"] = f"http://{proxy}.test:1"
        return request, self.middleware.process_request(request)

    def ask(self, proxy, result, **how):
        """The same, with what comes back."""
        request, instead = self.send(proxy, **how)
        assert instead is None
        if isinstance(result, Exception):
            self.middleware.process_exception(request, result)
        else:
            self.middleware.process_response(request, result)
        self.keeper.answered(request, result)
        return request

    def kill(self, *proxies):
        """Let so many requests fail that the breakers of these proxies open."""
        for proxy in proxies:
            for _ in range(3):
                self.ask(proxy, REFUSED)
            while self.middleware._breaker(f"{proxy}.test:1").is_closed:
                self.ask(proxy, REFUSED)

    def stat(self, name):
        """The value of a stat."""
        return self.crawler.stats.get_value(f"resilience/proxy/{name}", 0)


def again(bench, request, **more):
    """A second try of a request, or what it was redirected to, as Scrapy copies it."""
    new = request.replace(**more)
    bench.keeper.handed_out(new, "a.test", bench.clock.now)
    return new


@pytest.fixture
def bench(fake_clock):
    """No proxy has been used yet."""
    return Bench(fake_clock)


def test_a_request_without_a_proxy(bench):
    """It is none of our business."""
    request = Request(URL)

    assert bench.middleware.process_request(request) is None
    assert bench.middleware.process_response(request, Response(URL)).url == URL
    assert bench.middleware.process_exception(request, REFUSED) is None


def test_many_proxies(bench, monkeypatch):
    """Those that were not used for the longest are forgotten, none that is in use."""
    monkeypatch.setattr(proxy_module, "_MOST", 3)
    bench.kill("bad")
    for number in range(10):
        assert not bench.middleware._breaker("bad.test:1").is_closed
        bench.ask(f"other{number}", Response(URL))

    assert len(bench.middleware._breakers) == 3


def test_a_failure_of_the_proxy_is_not_the_domains(bench):
    """The domain hears nothing of it."""
    request = bench.ask("dead", REFUSED)

    assert bench.keeper.is_failed_by_proxy(request)
    assert not bench.keeper.gates.gate("a.test", 0.0).failed
    assert bench.stat("failures") == 1


def test_a_failure_of_the_domain_is_not_the_proxys(bench):
    """A proxy that works is believed when there is no answer."""
    bench.ask("good", Response(URL))

    request = bench.ask("good", DownloadTimeoutError())

    assert not bench.keeper.is_failed_by_proxy(request)
    assert bench.keeper.gates.gate("a.test", 0.0).failed


def test_407_is_the_proxys(bench):
    """It was the proxy that answered."""
    assert bench.keeper.is_failed_by_proxy(bench.ask("strict", Response(URL, status=407)))


def test_a_proxy_that_is_down_is_skipped(bench):
    """The request goes back at once, without the proxy that was chosen for it."""
    bench.ask("good", Response(URL))
    bench.kill("dead")

    request, new = bench.send("dead")

    assert (new.url, new.dont_filter) == (request.url, True)
    assert "proxy" not in new.meta
    assert DELAY not in new.meta
    assert bench.stat("skipped") == 1


def test_a_proxy_of_the_spider_is_waited_for(bench):
    """The request keeps it, and comes again when it may be tried."""
    bench.ask("good", Response(URL))
    bench.kill("dead")

    _, new = bench.send("dead", own=True)

    assert new.meta["proxy"] == "http://dead.test:1"
    assert new.meta[DELAY] == pytest.approx(1.0, abs=0.2)


def test_when_all_proxies_are_down_requests_wait(bench):
    """Whatever is chosen is down: not a thousand times a second."""
    bench.kill("dead", "gone")

    _, new = bench.send("dead")

    assert "proxy" not in new.meta
    assert 0.05 <= new.meta[DELAY] <= 1.0


def test_a_proxy_that_comes_back_is_used_again(bench):
    """One request tries it, and its answer opens the way."""
    bench.kill("dead")
    bench.clock.now += 10.0

    bench.ask("dead", Response(URL))

    assert bench.send("dead")[1] is None
    assert bench.send("dead")[1] is None


def test_what_bypasses_the_scheduler_goes_through_a_dead_proxy(bench):
    """Nobody could choose another one for it; its failure is still the proxy's."""
    bench.kill("dead")

    request = bench.ask("dead", REFUSED, past=True)

    assert bench.keeper.is_failed_by_proxy(request)
    assert not bench.keeper.gates.gate("a.test", 0.0).failed


def test_a_retry_after_a_failure_of_its_proxy(bench):
    """It has no proxy, unless the spider had chosen that."""
    chosen, own = bench.ask("dead", REFUSED), bench.ask("dead", REFUSED, own=True)
    again, same = chosen.copy(), own.copy()

    assert bench.keeper.drop_chosen_proxy(chosen, again)
    assert not bench.keeper.drop_chosen_proxy(own, same)

    assert "proxy" not in again.meta
    assert same.meta["proxy"] == "http://dead.test:1"


def test_few_proxies_are_remembered(bench, monkeypatch):
    """A gateway with a host for each session takes no more room than others."""
    monkeypatch.setattr("scrapy_resilience.downloadermiddlewares.proxy._MOST", 10)

    for number in range(100):
        bench.ask(f"p{number}", Response(URL))

    assert len(bench.middleware._breakers) == 10


@pytest.mark.parametrize("more", [{}, {"url": "http://a.test/elsewhere"}])
def test_a_chosen_proxy_is_none_of_the_spiders_own_later(bench, more):
    """A second try and a redirect have it still: when it is down they get another one."""
    bench.ask("p", Response(URL))
    first = bench.ask("p", Response(URL, status=503))
    bench.kill("p")

    new = bench.middleware.process_request(again(bench, first, **more))

    assert "proxy" not in new.meta


def test_a_proxy_of_the_spiders_own_stays_its_own(bench):
    """On each try; and one that it sets on what a callback puts out with the same meta."""
    first = bench.ask("p", Response(URL, status=503), own=True)
    chosen = bench.ask("q", Response(URL))
    child = Request(URL, meta={**chosen.meta, "proxy": "http://p.test:1"})
    bench.kill("p")

    for request in (first, child):
        new = bench.middleware.process_request(again(bench, request))
        assert new.meta["proxy"] == "http://p.test:1"

"""CircuitBreakerMiddleware: redirects and probes. What waits is seen in crawls."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from engines import engine_of
from scrapy import Request, signals
from scrapy.http import Response

from scrapy_resilience._scrapy.hooks import hooks_of
from scrapy_resilience.downloadermiddlewares.breaker import CircuitBreakerMiddleware
from scrapy_resilience.exceptions import CircuitOpenError
from scrapy_resilience.gates.gatekeeper import gatekeeper_of

URL = "http://a.test/page"


@pytest.fixture
def bench(fake_clock):
    """``bench(**settings)``: the middleware with its gatekeeper."""

    def make(**settings):
        engine = engine_of({"CONCURRENT_REQUESTS": 4, **settings})
        crawler = engine.crawler
        middleware = CircuitBreakerMiddleware.from_crawler(crawler)
        crawler.signals.send_catch_log(signals.spider_opened, spider=crawler.spider)
        (downloaded,) = hooks_of(engine).downloaded
        keeper = gatekeeper_of(crawler)
        keeper.scheduler = SimpleNamespace(issued=lambda _: True)
        return SimpleNamespace(
            crawler=crawler,
            middleware=middleware,
            keeper=keeper,
            downloaded=downloaded,
            send=lambda request: keeper.handed_out(
                request, keeper.domain(request), fake_clock.now
            ),
        )

    return make


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_ends_its_ticket(bench, status):
    """It goes on as another request, before any middleware of this order sees it."""
    b, request = bench(), Request(URL)
    b.send(request)

    b.downloaded(request, Response(URL, status=status))

    assert b.keeper.ticket(request) is None
    assert b.keeper.known(request).answers == 1


def test_other_answers_wait_for_their_turn(bench):
    """Their bodies are not decompressed yet."""
    b, request = bench(), Request(URL)
    b.send(request)

    b.downloaded(request, Response(URL))
    assert b.keeper.ticket(request) is not None
    b.middleware.process_response(request, Response(URL))

    assert b.keeper.ticket(request) is None


def probe(b, meta):
    """The first request of the second of many new domains."""
    b.send(Request("http://first.test/"))
    request = Request(URL, meta=meta)
    b.send(request)
    assert b.keeper.ticket(request).probe
    assert b.middleware.process_request(request) is None
    return request


@pytest.mark.parametrize(("own", "probed"), [(180, 1.0), (0.5, 0.5), (0, 1.0), (None, 1.0)])
def test_a_probe_has_little_time(bench, own, probed):
    """A second, or what it had when that is less; its retry has its own time again."""
    b = bench()
    b.keeper.probes.active = True
    meta = {} if own is None else {"download_timeout": own}

    request = probe(b, meta)
    assert request.meta["download_timeout"] == probed
    b.middleware.process_exception(request, TimeoutError())

    assert request.meta.get("download_timeout") == own
    assert ("download_timeout" in request.meta) == bool(meta)


def test_other_requests_keep_their_time(bench):
    """The first domains have it, and so has a domain that was asked before."""
    b = bench()
    for _ in range(2):
        request = Request(URL, meta={"download_timeout": 180})
        b.send(request)
        b.middleware.process_request(request)

        assert request.meta["download_timeout"] == 180
        b.middleware.process_response(request, Response(URL))


def test_an_open_breaker_refuses_where_the_action_is_fail(bench):
    """The request was handed out to its refusal."""
    b = bench(RESILIENCE_BREAKER_OPEN_ACTION="fail")
    b.keeper.gates.force_open("a.test", 0.0)
    request = Request(URL)
    b.send(request)

    with pytest.raises(CircuitOpenError):
        b.middleware.process_request(request)
    assert b.crawler.stats.get_value("resilience/breaker/rejected") == 1

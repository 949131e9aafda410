"""The gatekeeper: whose request it is, and what strange requests and settings come to."""

from __future__ import annotations

import gc
from contextvars import copy_context

import pytest
from ban_pages import CLOUDFLARE
from scrapy import Request, Spider
from scrapy.exceptions import DownloadTimeoutError, IgnoreRequest
from scrapy.http import HtmlResponse
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.breaker import Outcome
from scrapy_resilience.gates.gatekeeper import Gatekeeper, latency_of

URL = "http://a.test/page"


def make(**settings):
    """A gatekeeper with RESILIENCE_ settings."""
    settings = {f"RESILIENCE_{name}": value for name, value in settings.items()}
    return Gatekeeper(get_crawler(Spider, settings))


def lanes(keeper, *requests, slot="a.test"):
    """The lanes of requests that go through one slot."""
    return [keeper.lane(slot, request) for request in requests]


@pytest.mark.parametrize(
    "value", ["wait", "", None, 5, True, ["fail"], {"a": 1}, "fail\thold", "FAIL", b"fail"]
)
def test_an_open_action_that_is_none(value, caplog):
    """It is as if it were not there, whatever it is, and a line says so."""
    keeper = make()
    request = Request(URL, meta={"resilience_open_action": value})

    assert lanes(keeper, request) == ["a.test"]
    assert keeper.open_action(request) == "hold"
    assert ("resilience_open_action" in caplog.text) == bool(value)


def test_the_open_action_of_a_request():
    """One that differs from its domain's gets a lane of its own."""
    keeper = make()
    request = Request(URL, meta={"resilience_open_action": "fail"})

    assert lanes(keeper, request) == ["a.test\ta.test\tfail"]
    assert keeper.open_action(request) == "fail"


def test_retries_have_a_lane_of_their_own():
    """It takes turns with first tries, unless the user says by a priority when they go."""
    retry = Request(URL, meta={"resilience_failed_at": 1.0})
    fails = retry.replace(meta={**retry.meta, "resilience_open_action": "fail"})
    stock = Gatekeeper(get_crawler(Spider, {"RETRY_PRIORITY_ADJUST": -1}))

    assert lanes(make(), Request(URL), retry) == ["a.test", "a.test\tretry"]
    assert lanes(make(), fails) == ["a.test\ta.test\tfail\tretry"]
    assert lanes(stock, retry) == ["a.test"]


def named(request):
    """A domain function whose answers are of all kinds."""
    return request.meta["named"]


def broken(_):
    """A domain function that fails."""
    raise ZeroDivisionError


@pytest.mark.parametrize("name", [None, 7, ("a", "b"), "x\ty", "x\ty\tfail", "\ud800", "", "ü"])
def test_a_domain_of_any_kind(fake_clock, name):
    """Whatever a domain function gives, holds and lanes mean the same domain."""
    keeper = make(BREAKER_DOMAIN="test_gatekeeper.named")
    request = Request(URL, meta={"named": name})
    lane = keeper.lane("a.test", request)

    keeper.hold(request, 60, "Retry-After")

    assert keeper.ready_at(lane, fake_clock.now) == fake_clock.now + 60


def test_a_domain_function_that_fails(caplog):
    """The host counts in its place, and one line says so."""
    keeper = make(BREAKER_DOMAIN="test_gatekeeper.broken")

    assert [keeper.domain(Request(URL)) for _ in range(3)] == ["a.test"] * 3
    assert caplog.text.count("RESILIENCE_BREAKER_DOMAIN") == 1


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("http://A.Test:8080/", "a.test"),
        ("http://bücher.test/", "xn--bcher-kva.test"),
        ("http://user:secret@a.test/", "a.test"),
        ("http://[::1]:80/", "::1"),
        ("data:,hello", ""),
        ("file:///etc/hosts", ""),
        ("http://127.0.0.1/", "127.0.0.1"),
    ],
)
def test_hosts(url, domain):
    """A domain is the host in lower case, without port, user and password."""
    keeper = make()
    request = Request(url)

    assert keeper.domain(request) == domain
    keeper.acquire(request, 0.0)
    keeper.gates.settle(keeper.ticket(request), Outcome.SUCCESS, 0.1)
    assert domain in keeper.gates


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("http://news.example.co.uk/", "example.co.uk"),
        ("http://example.co.uk:81/", "example.co.uk"),
        ("http://localhost/", "localhost"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("http://[::1]/", "::1"),
        ("data:,", ""),
    ],
)
def test_registered_domains(url, domain):
    """Hosts of one registered domain share a gate; what has none is a domain by itself."""
    assert make(BREAKER_DOMAIN="registered").domain(Request(url)) == domain


@pytest.mark.parametrize("name", ["A.Test", "bücher.test"])
def test_settings_name_domains_as_people_do(name):
    """Capitals and letters beyond ASCII in a setting mean the host that URLs have."""
    keeper = make(
        BREAKER_DOMAINS={name: {"open_action": "fail"}},
        RATE_LIMITS={name: "1/m"},
    )
    domain = keeper.domain(Request(f"http://{name}/"))

    assert keeper.domains.action(domain) == "fail"
    assert keeper.domains.rate(domain).per_second == pytest.approx(1 / 60)


def test_one_request_that_is_sent_twice(fake_clock):
    """The second result is judged anew, also where it has the address of the first."""
    keeper = make()
    request = Request(URL)
    for _ in range(200):
        keeper.acquire(request, fake_clock.now)
        bad = HtmlResponse(URL, status=503)
        assert keeper.judge(request, bad).failed
        keeper.answered(request, bad)
        del bad
        gc.collect(0)
        keeper.acquire(request, fake_clock.now)
        assert not keeper.judge(request, HtmlResponse(URL, status=200)).failed


# --- whose failure it is -----------------------------------------------------------


def outcome(result, request=None, **settings):
    """What the gates of a domain hear of a result."""
    keeper = Gatekeeper(get_crawler(Spider, settings))
    told = []
    keeper.gates.settle = lambda *args, **_: told.append(args[1])
    request = request or Request(URL)
    keeper.acquire(request, 0.0)
    keeper.answered(request, result)
    return told[0]


def page(status=200, body=b"", **more):
    """An answer."""
    return HtmlResponse(URL, status=status, body=body, **more)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (page(), Outcome.SUCCESS),
        (page(404), Outcome.SUCCESS),
        (page(302), Outcome.SUCCESS),
        (page(500), Outcome.FAILURE),
        (page(503), Outcome.FAILURE),
        (page(429), Outcome.THROTTLED),
        (page(body=CLOUDFLARE), Outcome.FAILURE),
        (page(503, flags=["cached"]), Outcome.IGNORED),
        (page(flags=["cached"]), Outcome.IGNORED),
        (DownloadTimeoutError(), Outcome.FAILURE),
        (IgnoreRequest(), Outcome.IGNORED),
        (ZeroDivisionError(), Outcome.IGNORED),
    ],
)
def test_what_the_domain_hears(result, expected):
    """An answer of any status is one; what it did not say is none."""
    assert outcome(result) is expected


@pytest.mark.parametrize(
    ("settings", "meta"),
    [
        ({}, {"handle_httpstatus_list": [500]}),
        ({}, {"handle_httpstatus_all": True}),
        ({}, {"dont_retry": True}),
        ({"RETRY_ENABLED": False}, {}),
        ({"RETRY_HTTP_CODES": [502]}, {}),
        ({"HTTPERROR_ALLOW_ALL": True}, {}),
        ({"HTTPERROR_ALLOWED_CODES": [500]}, {}),
    ],
)
def test_what_the_spider_handles_is_an_answer(settings, meta):
    """It is not a failure of the domain; a ban page is one all the same."""
    request = Request(URL, meta=meta)

    assert outcome(page(500), request, **settings) is Outcome.SUCCESS
    assert outcome(page(200, CLOUDFLARE), request, **settings) is Outcome.FAILURE


def test_what_a_handler_may_decide_waits_for_it():
    """The middleware that asks the handler tells the gates: its decision is not a failure."""
    keeper = make()
    keeper.decided = {"server_error"}
    request = Request(URL)
    keeper.acquire(request, 0.0)

    keeper.answered(request, page(503))
    assert keeper.ticket(request).open
    keeper.settle(request, page(503), keeper.judge(request, page(503)), decided=True)

    assert keeper.ticket(request) is None
    assert not keeper.gates.gate("a.test", 0.0).failed


def test_what_no_handler_is_there_for_does_not_wait():
    """Other classes of failures are settled at once."""
    keeper = make()
    keeper.decided = {"blocked"}
    request = Request(URL)
    keeper.acquire(request, 0.0)

    keeper.answered(request, page(503))

    assert keeper.gates.gate("a.test", 0.0).failed


# --- what a request needs for itself --------------------------------------------------


def test_a_request_under_way_takes_its_own_downloads_along():
    """A token of the same domain does not wait for the request that waits for it."""

    def download():
        keeper, request = make(), Request(URL)
        keeper.acquire(request, 0.0)
        token = Request("http://a.test/token")
        assert keeper.rides_along(token)
        assert not keeper.rides_along(Request("http://b.test/token"))
        assert not make().rides_along(token)  # of another crawl

        keeper.answered(request, page())
        assert not keeper.rides_along(token)

    copy_context().run(download)


def test_others_do_not_ride_along():
    """A request that nobody under way has made waits as all do."""
    keeper = make()
    copy_context().run(keeper.acquire, Request(URL), 0.0)

    assert not keeper.rides_along(Request("http://a.test/token"))


# --- what ends on its way -------------------------------------------------------------


@pytest.mark.parametrize(("meta", "answers"), [({"download_latency": 0.1}, 1), ({}, 0)])
def test_what_ended_unheard_gives_its_ticket_back(meta, answers):
    """Where an answer has come it was one; else it was given up on this side."""
    keeper, request, busy = make(), Request(URL), Request(URL)
    for each in (request, busy):
        keeper.acquire(each, 0.0)
    request.meta.update(meta)

    assert keeper.sweep({busy})
    assert not keeper.sweep({busy})

    assert keeper.ticket(request) is None
    assert keeper.ticket(busy) is not None
    assert keeper.known(request).answers == answers


def settled(keeper, latency=None):
    """A request that was handed out and has been answered."""
    request = Request(URL)
    keeper.handed_out(request, "a.test", 0.0)
    if latency is not None:
        request.meta["download_latency"] = latency
    keeper.settle(request, page(200), keeper.judge(request, page(200)))
    return keeper.gates.known("a.test")


@pytest.mark.usefixtures("fake_clock")
def test_a_listener_that_fails(caplog):
    """The gate has its place back, and a line says so."""
    keeper = make()

    def fail(*_):
        raise ZeroDivisionError

    keeper.on_settled = fail
    gate = settled(keeper)

    assert (gate.under_way, gate.answers) == (0, 1)
    assert "can't be counted" in caplog.text


@pytest.mark.usefixtures("fake_clock")
def test_a_listener_hears_after_the_gates():
    """What it asks of them is so already."""
    keeper, heard = make(), []
    keeper.on_settled = lambda *_: heard.append(keeper.gates.known("a.test").under_way)
    settled(keeper)

    assert heard == [0]


@pytest.mark.usefixtures("fake_clock")
@pytest.mark.parametrize("latency", ["0.5", None, float("nan"), float("inf"), -1, [1]])
def test_a_latency_that_is_none(latency):
    """A handler of the user's may set anything: it is not known then."""
    assert latency_of({"download_latency": latency}) is None
    assert settled(make(), latency).under_way == 0

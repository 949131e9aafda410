"""The gatekeeper: whose request it is, and what strange requests and settings come to."""

from __future__ import annotations

import gc

import pytest
from scrapy import Request, Spider
from scrapy.http import HtmlResponse
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.breaker import Outcome
from scrapy_resilience.gates.gatekeeper import Gatekeeper

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

"""What the scheduler reads off a request."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest
from scrapy import Request
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.test import get_crawler

from scrapy_resilience.frontier.codec import RequestCodec, ValueCodec
from scrapy_resilience.scheduling.requests import WrongMeta, is_robots, pop_delay
from scrapy_resilience.scheduling.stored_requests import StoredRequests

URL = "http://a.test/"


@pytest.mark.parametrize(("value", "seconds"), [(1, 1.0), (2.5, 2.5), ("3", 3.0), (0, 0.0)])
def test_a_delay(value, seconds):
    """Seconds are taken out of the meta: a copy of the request does not inherit them."""
    request = Request(URL, meta={"resilience_delay": value})
    assert pop_delay(request, WrongMeta()) == seconds
    assert request.meta == {}


def test_a_wrong_value_is_told_once(caplog):
    """A value that is wrong in all requests of a spider is one line, another value another."""
    wrong = WrongMeta()
    for value in ("soon", "soon", -1, "soon", -1, None, float("nan"), float("nan")):
        assert pop_delay(Request(URL, meta={"resilience_delay": value}), wrong) == 0

    assert [message.partition(" of ")[0] for message in caplog.messages] == [
        "resilience_delay='soon'", "resilience_delay=-1", "resilience_delay=None",
        "resilience_delay=nan",
    ]  # fmt: skip


def test_wrong_values_without_end(caplog):
    """A spider that gives each request another wrong value does not fill the log."""
    wrong = WrongMeta()
    for number in range(1, 1000):
        pop_delay(Request(URL, meta={"resilience_delay": -number}), wrong)
    assert len(caplog.messages) == 100


@pytest.mark.parametrize(
    ("url", "meta", "expected"),
    [
        ("http://a.test/robots.txt", {"dont_obey_robotstxt": True}, True),
        ("http://a.test/robots.txt", {}, False),
        ("http://a.test/page", {"dont_obey_robotstxt": True}, False),
        (
            "http://a.test/rules",
            {"dont_obey_robotstxt": True, "redirect_urls": ["http://a.test/robots.txt"]},
            True,
        ),
    ],
    ids=["robots.txt", "a spider's own", "another page", "redirected"],
)
def test_a_robots_txt_that_scrapy_asks_for(url, meta, expected):
    """It is nobody's page, wherever a site keeps it."""
    assert is_robots(Request(url, callback=NO_CALLBACK, meta=meta)) is expected


@pytest.mark.parametrize("meta", [{"share": Fraction(1, 2)}, {"shares": {Fraction(1, 2): [1]}}])
def test_a_request_that_can_not_run_is_named(caplog, meta):
    """The log says which one it is, once for each reason, and what to change."""
    crawler = get_crawler()
    spider = crawler._create_spider("shop")
    url = "http://a.test/1?token=secret"
    data = RequestCodec(spider, ValueCodec()).encode(Request(url, meta=meta))
    careful = RequestCodec(spider, ValueCodec(allow_pickle=False))
    crawler.stats = SimpleNamespace(inc_value=lambda _: None)
    stored = StoredRequests(crawler, careful, lambda _: False, durable=True)

    for bytes_ in (data, data, b"\xc1"):
        assert stored.request(SimpleNamespace(data=bytes_)) is None

    first, second = caplog.messages
    assert "http://a.test/1?token=" in first
    assert "RESILIENCE_ALLOW_PICKLE is off: set it to True" in first
    assert "secret" not in first
    assert "can't be read" in second

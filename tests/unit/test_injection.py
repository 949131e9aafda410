"""Failures on purpose."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request, Spider
from scrapy.exceptions import DownloadTimeoutError, NotConfigured
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.injection import Rule, rules_from
from scrapy_resilience.downloadermiddlewares.injection import FailureInjectionMiddleware
from scrapy_resilience.exceptions import ConfigurationError

URLS = [f"http://a.test/{number}" for number in range(2_000)]


def hit(rule, urls=URLS, attempt=0):
    """The URLs that a rule hits."""
    return {url for url in urls if rule.hits(url, attempt)}


def test_the_order_of_requests_does_not_matter():
    """The same seed hits the same URLs, whichever comes first."""
    shuffled = random.Random(7).sample(URLS, len(URLS))

    assert hit(Rule(probability=0.3, seed=5)) == hit(Rule(probability=0.3, seed=5), shuffled)


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.3, 0.9, 1.0])
def test_the_share_is_the_probability(probability):
    """Of many URLs, the share that was asked for is hit."""
    assert len(hit(Rule(probability=probability))) / 2_000 == pytest.approx(
        probability, abs=0.04
    )


def test_seeds_and_tries_differ():
    """Another seed, and another try of the same URL, are hit independently."""
    rule = Rule(probability=0.5)

    for other in (hit(Rule(probability=0.5, seed=1)), hit(rule, attempt=1)):
        assert 0.4 < len(hit(rule) & other) / len(hit(rule)) < 0.6


@given(st.text(max_size=50), st.integers(), st.integers(0, 10))
def test_any_url(url, seed, attempt):
    """Certain is certain and never is never, whatever the URL."""
    assert Rule(seed=seed).hits(url, attempt)
    assert not Rule(probability=0, seed=seed).hits(url, attempt)


def test_the_pattern_is_searched_in_the_url():
    """A rule concerns the URLs that its pattern is found in."""
    assert hit(Rule(pattern=r"/1\d$")) == {f"http://a.test/{n}" for n in range(10, 20)}


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("503", "use a dict such as {'status': 503}"),
        ({}, "use one of status, exception and delay"),
        ({"status": 503, "delay": 1}, "use one of status, exception and delay"),
        ({"stauts": 503}, "'stauts' is not a key: use pattern, probability"),
        ({"status": 99}, "status=99: use a number from 200 to 599"),
        ({"status": "503"}, "status='503'"),
        ({"status": 503.5}, "status=503.5: use a whole number"),
        ({"status": 503, "headers": 5}, "headers=5: use a dict of texts"),
        ({"status": 429, "headers": {"Retry-After": 5}}, "use a dict of texts"),
        ({"status": 503, "body": b"gone"}, "body=b'gone': use a text"),
        ({"delay": -1}, "delay=-1: use a number from 0"),
        ({"status": 503, "probability": 2}, "probability=2: use a number from 0 to 1"),
        ({"status": 503, "pattern": "("}, "'(' is not a regular expression"),
        ({"status": 503, "pattern": 5}, "5 is not a regular expression"),
    ],
    ids=repr,
)
def test_bad_rules_are_refused(rule, problem):
    """The error names the setting, the number of the rule and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        rules_from([{"status": 500}, rule], "RESILIENCE_INJECT")

    assert str(caught.value).startswith("RESILIENCE_INJECT[1]")
    assert problem in str(caught.value)


# --- the middleware ---------------------------------------------------------------------


def middleware(*rules):
    """The middleware with these rules."""
    return FailureInjectionMiddleware.from_crawler(
        get_crawler(Spider, {"RESILIENCE_INJECT": list(rules)})
    )


def send(found, request):
    """What becomes of a request that waits for nothing."""
    try:
        found.process_request(request).send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


def test_an_answer():
    """A status comes with headers and a body, and is counted."""
    found = middleware({"status": 429, "headers": {"Retry-After": "7"}, "body": "<p>No"})

    response = send(found, Request("http://a.test/"))

    assert (response.status, response.text) == (429, "<p>No")
    assert response.headers["Retry-After"] == b"7"
    assert found._stats.get_value("resilience/injected") == 1


def test_an_exception():
    """An exception is raised as the downloader would."""
    found = middleware({"exception": "scrapy.exceptions.DownloadTimeoutError"})

    with pytest.raises(DownloadTimeoutError, match=r"injected into http://a\.test/"):
        send(found, Request("http://a.test/"))


def test_a_delay(fake_clock):
    """A delay comes before the request, and before the next rule."""
    found = middleware({"delay": 3}, {"pattern": "/x", "status": 500})

    assert send(found, Request("http://a.test/")) is None
    assert send(found, Request("http://a.test/x")).status == 500
    assert fake_clock.slept == [3, 3]


def test_the_try_is_counted_by_retries():
    """A request that was hit may get through when it is retried."""
    found = middleware({"status": 503, "probability": 0.5})
    requests = [Request(url) for url in URLS[:50]]
    again = [request.replace(meta={"retry_times": 1}) for request in requests]

    first = [send(found, request) is not None for request in requests]
    second = [send(found, request) is not None for request in again]

    assert first != second


def test_off_by_default():
    """Without rules there is no middleware."""
    with pytest.raises(NotConfigured):
        middleware()


@pytest.mark.parametrize(
    "path", ["nowhere.Error", "os.sep", "builtins.BaseException", "builtins.int"]
)
def test_bad_exceptions_are_refused(path):
    """What is not an exception is named at the start."""
    with pytest.raises(ConfigurationError, match=r"RESILIENCE_INJECT\[0\] exception="):
        middleware({"exception": path})

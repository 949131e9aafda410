"""Which failures are the domain's, where the settings say so."""

from __future__ import annotations

import pytest
from scrapy import Request, Spider
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import HtmlResponse, Response
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.breaker import State
from scrapy_resilience.exceptions import CircuitOpenError, ConfigurationError
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.gates.judge import Judge
from scrapy_resilience.settings import Config

URL = "http://a.test/"
BAN = b"<title>Just a moment...</title><script src='/cdn-cgi/challenge-platform/x.js'></script>"


def counts(outcome, **config):
    """Whether an outcome is a failure of the domain."""
    return Judge(Config(**config))(outcome).counts_against_domain


@pytest.mark.parametrize("status", [200, 302, 403, 429, 503])
def test_only_the_statuses_of_the_setting_count(status):
    """The list is in the place of the classes, whatever class a status has."""
    found = counts(Response(URL, status=status), breaker_statuses=(403, 429))

    assert found is (status in {403, 429})


def test_a_ban_counts_whatever_its_status():
    """A challenge with HTTP 200 is no answer of a healthy domain."""
    assert counts(HtmlResponse(URL, body=BAN), breaker_statuses=(503,))


def test_only_the_exceptions_of_the_setting_count():
    """Their subclasses do too; statuses keep their classes."""
    config = {"breaker_exceptions": ("builtins.ArithmeticError",)}

    assert counts(ZeroDivisionError(), **config)
    assert not counts(DownloadTimeoutError(), **config)
    assert counts(DownloadTimeoutError())
    assert counts(Response(URL, status=503), **config)


def test_a_pattern_that_says_throttled():
    """An exception that a pattern takes for throttling does not count."""
    patterns = {"throttled": ["slow down"]}

    assert not counts(DownloadTimeoutError("slow down"), failure_patterns=patterns)


def test_what_never_reached_the_domain_does_not_count():
    """An open breaker must not keep itself open."""
    assert not counts(CircuitOpenError("a.test"), breaker_exceptions=("builtins.Exception",))


@pytest.mark.parametrize(
    ("path", "words"),
    [("no.such", "No module"), ("builtins.len", "an exception"), ("x", "full path")],
)
def test_a_path_that_is_no_exception_is_refused(path, words):
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=words) as error:
        Judge(Config(breaker_exceptions=(path,)))

    assert "RESILIENCE_BREAKER_EXCEPTIONS" in str(error.value)


@pytest.mark.parametrize("status", [0, 99, 600, -503])
def test_a_number_that_is_no_status_is_refused(status):
    """It could never count."""
    with pytest.raises(ConfigurationError, match=rf"STATUSES: {status} .* use 100 to 599"):
        Judge(Config(breaker_statuses=(503, status)))


def test_a_listed_status_opens_the_breaker():
    """A 429 that is listed is a failure, not a wish for fewer requests."""
    settings = {"RESILIENCE_BREAKER_STATUSES": [429], "RESILIENCE_BREAKER_FAILURE_THRESHOLD": 2}
    keeper = gatekeeper_of(get_crawler(Spider, settings))

    for number in range(2):
        request = Request(f"{URL}{number}")
        keeper.acquire(request, 0.0)
        keeper.answered(request, Response(URL, status=429))

    assert keeper.gates.gate("a.test", 0.0).breaker.state is State.OPEN

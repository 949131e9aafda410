"""What became of a request, and whose failure it is."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from ban_pages import CLOUDFLARE
from hypothesis import given
from hypothesis import strategies as st
from scrapy import exceptions as scrapy_exceptions
from scrapy.core.downloader.handlers.http11 import TunnelError
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)
from scrapy.http import Headers
from twisted.internet import error as twisted_error

from scrapy_resilience.core.classify import Classifier, exception_text
from scrapy_resilience.core.failures import FAILURE_CLASSES, ORDER
from scrapy_resilience.core.patterns import Patterns
from scrapy_resilience.exceptions import CircuitOpenError, ConfigurationError

NOW = 1_800_000_000.0


def classifier(patterns=None, body_patterns=None, *, detect_bans=True):
    """A classifier with patterns of a user."""
    return Classifier(
        Patterns(patterns or {}, "SETTING"),
        Patterns(body_patterns or {}, "SETTING"),
        detect_bans,
    )


def answer(status, headers=None, body=b"", **more):
    """The verdict on an answer."""
    return classifier(**more).response(status, Headers(headers or {}), body, NOW)


class BrowserError(Exception):
    """An error as browsers raise it: only its text tells what it is."""


# --- answers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "failure_class", "counts"),
    [
        (200, None, False), (204, None, False), (301, None, False), (304, None, False),
        (400, "permanent", False), (401, "permanent", False), (403, "permanent", False),
        (404, "permanent", False), (410, "permanent", False), (451, "permanent", False),
        (408, "transient", True), (425, "transient", True),
        (420, "throttled", False), (429, "throttled", False), (529, "throttled", False),
        (500, "server_error", True), (502, "server_error", True), (503, "server_error", True),
        (504, "server_error", True), (520, "server_error", True), (524, "server_error", True),
        (501, "permanent", False), (505, "permanent", False),
    ],
)  # fmt: skip
def test_statuses(status, failure_class, counts):
    """A status has a class; what the domain is to blame for counts against it."""
    verdict = answer(status)

    assert (verdict.failure_class, verdict.counts_against_domain) == (failure_class, counts)
    assert verdict.failed is (failure_class is not None)
    assert verdict.reason == (f"HTTP {status}" if failure_class else "")


def test_a_503_with_retry_after_is_throttling():
    """A server that says when to come again is not broken."""
    verdict = answer(503, {"Retry-After": "7"})

    assert (verdict.failure_class, verdict.retry_after) == ("throttled", 7)
    assert not verdict.counts_against_domain


def test_a_403_with_a_used_up_rate_limit_is_throttling():
    """Some APIs answer 403 where others answer 429."""
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 30)}

    assert answer(403, used_up).failure_class == "throttled"
    assert answer(403, used_up).retry_after == 30
    assert answer(403, {"X-RateLimit-Remaining": "7"}).failure_class == "permanent"


def test_a_ban_goes_before_all():
    """A challenge with status 429 or 200 is a ban, and counts."""
    for verdict in (
        answer(200, body=CLOUDFLARE),
        answer(429, {"cf-mitigated": "challenge"}),
        answer(403, body=CLOUDFLARE, patterns={"permanent": ["HTTP 403"]}),
    ):
        assert verdict.failure_class == "blocked"
        assert verdict.counts_against_domain
        assert "Cloudflare" in verdict.reason


def test_ban_detection_can_be_switched_off():
    """Without it a challenge is what its status says."""
    assert answer(200, body=CLOUDFLARE, detect_bans=False).failure_class is None
    assert answer(403, body=CLOUDFLARE, detect_bans=False).failure_class == "permanent"


@pytest.mark.parametrize("failure_class", FAILURE_CLASSES)
def test_a_pattern_for_a_status(failure_class):
    """A user's pattern decides on a status, be it a good one."""
    for status in (200, 404, 503):
        verdict = answer(status, patterns={failure_class: rf"HTTP {status}"})
        assert verdict.failure_class == failure_class


@pytest.mark.parametrize("failure_class", FAILURE_CLASSES)
def test_a_pattern_for_a_body(failure_class):
    """A user's pattern finds a failure in a body; it is blocked only that counts."""
    verdict = answer(200, body=b"<p>Sold OUT</p>", body_patterns={failure_class: ["sold out"]})

    assert verdict.failure_class == failure_class
    assert verdict.counts_against_domain is (failure_class == "blocked")
    assert verdict.reason == "body has 'sold out'"


def test_a_body_is_searched_in_its_beginning_only():
    """What comes after 16 KB of a body is not searched."""
    patterns = {"content": ["sold out"]}

    assert answer(200, body=b" " * 16_000 + b"sold out", body_patterns=patterns).failed
    assert not answer(200, body=b" " * 16_384 + b"sold out", body_patterns=patterns).failed


def test_a_body_in_another_charset():
    """Patterns are text; an unknown charset is read as UTF-8."""
    judge = classifier(body_patterns={"content": "größe"})

    for charset, body in (("latin-1", "GRÖßE".encode("latin-1")), ("none", "größe".encode())):
        assert judge.response(200, Headers(), body, NOW, charset).failure_class == "content"


def test_the_order_of_judgement():
    """Where patterns of several classes match, the first class in order wins."""
    for first, second in pairwise(ORDER):
        verdict = answer(503, patterns={second: ["HTTP"], first: ["503"]})
        assert verdict.failure_class == first
    assert ORDER[:3] == ("blocked", "throttled", "permanent")
    assert ORDER[-1] == "transient"


# --- exceptions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "failure_class", "counts", "unsent"),
    [
        (DownloadTimeoutError("took long"), "transient", True, False),
        (DownloadFailedError("lost"), "transient", True, False),
        (DownloadConnectionRefusedError(), "transient", True, True),
        (CannotResolveHostError("no such host"), "transient", False, True),
        (ResponseDataLossError(), "content", True, False),
        (UnsupportedURLSchemeError("foo"), "permanent", False, False),
        (TunnelError("proxy said no"), "transient", True, True),
        (twisted_error.TimeoutError(), "transient", True, False),
        (twisted_error.TCPTimedOutError(), "transient", True, True),
        (twisted_error.ConnectionLost(), "transient", True, False),
        (twisted_error.DNSLookupError(), "transient", False, True),
        (TimeoutError(), "transient", True, False),
        (asyncio.TimeoutError(), "transient", True, False),
        (ConnectionRefusedError(), "transient", True, True),
        (ConnectionResetError(), "transient", True, False),
        (OSError("too many open files"), "transient", False, False),
        (FileNotFoundError(2, "none", "x.html"), "permanent", False, False),
        (ZeroDivisionError(), "permanent", False, False),
        (
            BrowserError("net::ERR_CONNECTION_REFUSED at https://x.test/"),
            "transient",
            True,
            True,
        ),
        (BrowserError("Timeout 30000ms exceeded: timed out"), "transient", True, False),
        (BrowserError("API rate limit exceeded"), "throttled", False, False),
        (BrowserError("authentication for bob failed"), "permanent", False, False),
    ],
    ids=repr,
)
def test_exceptions(error, failure_class, counts, unsent):
    """An exception is known by its class, its bases or its text."""
    verdict = classifier().exception(error)

    found = verdict.failure_class, verdict.counts_against_domain, verdict.unsent
    assert found == (failure_class, counts, unsent)


@pytest.mark.parametrize("error", [IgnoreRequest(), CircuitOpenError("a.test", 3.0)])
def test_what_was_not_asked_is_neither_success_nor_failure(error):
    """A request that was ignored or not let through says nothing about its domain."""
    verdict = classifier({"permanent": ".*"}).exception(error)

    assert (verdict.failed, verdict.ignored) == (False, True)


def test_a_pattern_for_an_exception():
    """A user's pattern finds a class by the name of an exception or by its text."""
    judge = classifier({"blocked": ["ZeroDivision"], "content": ["half a page"]})

    assert judge.exception(ZeroDivisionError()).failure_class == "blocked"
    assert judge.exception(ValueError("Half a page")).failure_class == "content"


def test_a_pattern_does_not_see_urls():
    """A page whose path has 404 in it is not permanently gone when it times out."""
    error = DownloadTimeoutError("Getting https://x.test/item/404 took longer than 3 s")

    verdict = classifier({"permanent": [r"404"]}).exception(error)

    assert verdict.failure_class == "transient"
    assert exception_text(error) == "DownloadTimeoutError: Getting … took longer than 3 s"


@pytest.mark.parametrize(
    "quoted", ["http://joe:hunter2@x.test/a", "joe:hunter2@x.test", "//joe:hunter2@x.test/"]
)
def test_the_text_of_an_exception_has_no_password(quoted):
    """It goes to the log, the dead letters and what a breaker says of its last failure."""
    assert "hunter2" not in exception_text(ValueError(f"can't reach {quoted} now"))


def test_an_exception_without_a_text():
    """One of the user's classes that can't say what it is has its name."""

    class SpeechlessError(Exception):
        def __str__(self):
            raise ZeroDivisionError

    assert exception_text(SpeechlessError()) == "SpeechlessError"


def test_every_download_error_of_scrapy_is_known():
    """No download exception that this Scrapy has is classified by accident."""
    names = [
        name for name in vars(scrapy_exceptions) if name.startswith(("Download", "Cannot"))
    ]

    for name in names:
        verdict = classifier().exception(getattr(scrapy_exceptions, name)("x"))
        assert verdict.failure_class in {"transient", "permanent"}
    assert len(names) >= 5


@given(st.text(max_size=2_000))
def test_the_text_of_an_exception_is_one_short_line(text):
    """Whatever an exception says, its text fits into a line of a log."""
    found = exception_text(ValueError(text))

    assert found.startswith("ValueError")
    assert len(found) <= 500
    assert "\n" not in found


# --- patterns ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"transient": ["(unclosed"]}, "'(unclosed' is not a regular expression"),
        ({"transient": [""]}, "use a pattern of 1 to 1000 characters"),
        ({"transient": ["a" * 1_001]}, "use a pattern of 1 to 1000 characters"),
        ({"transient": [5]}, "use a list of patterns"),
        ({"transient": None}, "use a list of patterns"),
        ({"slow": ["a"]}, "'slow' is not a failure class: use one of transient, throttled"),
    ],
)
def test_bad_patterns_are_refused(found, problem):
    """A pattern that is none is named at the start, with its setting."""
    with pytest.raises(ConfigurationError) as caught:
        Patterns(found, "RESILIENCE_X")

    assert str(caught.value).startswith("RESILIENCE_X: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?:a|aa)+$", "a" * 70 + "b"),
        (r"a.*b.*c.*d.*e", "abcd" * 4_000),
        (r"(\w+\s?)+=", "word " * 3_000),
    ],
)
def test_a_pattern_that_backtracks_for_ever_is_cut_off(pattern, text):
    """A search that would not end, not in a year, has found nothing."""
    assert Patterns({"blocked": [pattern]}, "SETTING").find(text) is None

"""How long a server wants to be left alone."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import Headers

from scrapy_resilience.core.retryafter import LONGEST, retry_after

NOW = 1_800_000_000.0


def wait(**headers):
    """The seconds of headers, whose names have _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return retry_after(Headers(named), NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7), (" 7 ", 7), ("0.5", 0.5), ("604800", 604_800),
        (formatdate(NOW + 90, usegmt=True), 90),
        ("Friday, 15-Jan-27 08:01:00 GMT", 60),
        ("Fri Jan 15 08:01:00 2027", 60),
        ("Fri, 15 Jan 2027 08:01:00 -0000", 60),
        ("Fri, 15 Jan 2027 10:01:00 +0200", 60),
    ],
)  # fmt: skip
def test_seconds_and_dates(value, seconds):
    """Seconds and each form of HTTP-date are read; a date without a zone is in UTC."""
    assert wait(Retry_After=value) == seconds


HOSTILE = [
    "", "0", "-1", "-5", "604801", "999999999", "9" * 400, "1e9", "inf", "nan", "\u0667", "7s",
    "in a while", "0x10", "0, -7", ",,", "Fri, 32 Jan 2027 08:00:00 GMT",
    "Fri, 15 Jan 2027 25:00:00 GMT", "Fri, 15 Jan 99999 08:00:00 GMT", "Thu, 01 Jan 1970",
    "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 15 Jan 2027 08:00:00 +9999999999",
    "Fri, 31 Dec 9999 23:59:59 -2359", b"\xff\xfe", "\0",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:30])
def test_hostile_values_are_as_if_not_there(value):
    """Negative, past, absurd and malformed values are ignored."""
    assert wait(Retry_After=value) is None


IN_90_S = formatdate(NOW + 90, usegmt=True)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["7", "30"], 30), (["30", "7"], 30), (["7", ""], 7), (["never", "7"], 7),
        (["7", "999999999"], 7), (["7", IN_90_S], 90), ([IN_90_S, "120"], 120),
        (["7, 8"], 8), (["8,7"], 8), ([f"{IN_90_S}, 120"], 120), ([f"7, {IN_90_S}"], 90),
        ([f"{IN_90_S}, {IN_90_S}"], 90), (["Friday, 15-Jan-27 08:01:00 GMT, 7"], 60),
        (["never", "soon"], None), (["7"] * 9_999, 7), ([",".join(["7"] * 9_999)], 7),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_more_than_one_retry_after(values, seconds):
    """The longest that makes sense counts, in headers of their own and in one list."""
    assert retry_after(Headers({"Retry-After": values}), NOW) == seconds


@given(
    st.one_of(st.text(max_size=80), st.binary(max_size=80).map(lambda b: b.decode("latin-1")))
)
def test_any_value(value):
    """Whatever a server sends, the wait is None or sane."""
    for name in ("Retry-After", "RateLimit-Reset", "RateLimit", "X-RateLimit-Reset"):
        seconds = retry_after({name: value}, NOW)
        assert seconds is None or 0 < seconds <= LONGEST


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit_Reset": "30"},
        {"RateLimit_Reset": "30", "RateLimit_Remaining": "0"},
        {"X_RateLimit_Reset": "30", "X_RateLimit_Remaining": "0"},
        {"X_Rate_Limit_Reset": "30"},
        {"X_RateLimit_Reset": str(int(NOW) + 30)},
        {"RateLimit": '"default";r=0;t=30'},
        {"RateLimit": "limit=100, remaining=0, reset=30"},
    ],
    ids=repr,
)
def test_rate_limit_headers(headers):
    """The reset of a rate limit that is used up is a wait: a duration or a time."""
    assert wait(**headers) == 30


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit_Reset": "30", "RateLimit_Remaining": "5"},
        {"RateLimit": '"default";r=5;t=30'},
        {"X_RateLimit_Reset": str(int(NOW) - 30)},
        {"X_RateLimit_Reset": "soon"},
        {"RateLimit": "t=x"},
        {"RateLimit_Limit": "100"},
    ],
    ids=repr,
)
def test_rate_limit_headers_that_say_nothing(headers):
    """A limit that is not used up, a past time or garbage is not a wait."""
    assert wait(**headers) is None


def test_retry_after_goes_first():
    """Retry-After decides, also when it makes no sense."""
    assert wait(Retry_After="7", RateLimit_Reset="30") == 7
    assert wait(Retry_After="never", RateLimit_Reset="30") is None


@pytest.mark.parametrize("skew", [-86_400, -60, 0, 60, 86_400])
@pytest.mark.parametrize("name", ["Retry-After", "X-RateLimit-Reset"])
def test_a_server_whose_clock_is_wrong(skew, name):
    """A time is compared with the server's own, which its Date header tells."""
    now = 1_800_000_000.0
    until = now + skew + 90
    value = formatdate(until, usegmt=True) if name == "Retry-After" else str(int(until))
    headers = {name: value, "Date": formatdate(now + skew, usegmt=True)}

    assert retry_after(headers, now) == pytest.approx(90)


@pytest.mark.parametrize(
    "date", ["", "yesterday", "9" * 400, "Thu, 99 Foo 2026 00:00:00 GMT", "5"]
)
def test_a_date_header_that_is_none(date):
    """Without a server's time that can be read, ours counts."""
    now = 1_800_000_000.0
    headers = {"Retry-After": formatdate(now + 90, usegmt=True), "Date": date}

    assert retry_after(headers, now) == pytest.approx(90)

"""Whose failure it is when a request goes through a proxy."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.core.downloader.handlers.http11 import TunnelError
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.http import Response

from scrapy_resilience.exceptions import CircuitOpenError
from scrapy_resilience.gates.judge import Judge
from scrapy_resilience.gates.proxies import is_failure_of_proxy, proxy_of
from scrapy_resilience.settings import Config

URL = "http://a.test/"
judge = Judge(Config())


@pytest.mark.parametrize(
    ("proxy", "key"),
    [
        (None, None), ("", None),
        ("http://p.test:3128", "p.test:3128"), ("http://p.test:3128/", "p.test:3128"),
        ("http://bob:hunter2@p.test:3128", "p.test:3128"),
        ("http://bob-session-1:h%40u:x@P.Test:3128", "p.test:3128"),
        ("p.test:3128", "p.test:3128"), ("bob:hunter2@p.test:3128", "p.test:3128"),
        ("//p.test:3128", "p.test:3128"), (b"http://p.test:3128", "p.test:3128"),
        ("http://p.test", "p.test:80"), ("https://p.test", "p.test:443"),
        ("socks5://p.test", "p.test:1080"), ("socks5h://bob:x@10.0.0.1:9050", "10.0.0.1:9050"),
        ("http://[::1]:3128", "[::1]:3128"),
        ("http://bob:hunter2@p.test:none", "p.test:none"), ("http://bob:hunter2@", ""),
        (5, "5:80"),
    ],
)  # fmt: skip
def test_the_key_of_a_proxy(proxy, key):
    """Host and port, in any form that Scrapy takes; never credentials."""
    assert proxy_of(Request(URL, meta={"proxy": proxy})) == key


def test_a_request_without_a_proxy():
    """Nearly all have none."""
    assert proxy_of(Request(URL)) is None


@given(st.text(max_size=80))
def test_any_proxy(text):
    """Whatever a middleware sets, its key is text without the part before an @."""
    key = proxy_of(Request(URL, meta={"proxy": text}))

    assert (key is None) is (not text)
    if key:
        assert "@" not in key


ALWAYS, UNLESS_IT_WORKS, NEVER = (True, True), (True, False), (False, False)


def tunnel(status):
    """The error of a CONNECT that was answered with a status."""
    extra = {"status": status, "reason": b"x"}
    return TunnelError(f"Could not open CONNECT tunnel with proxy p.test:1 [{extra!r}]")


@pytest.mark.parametrize(
    ("outcome", "of_proxy"),
    [
        # the connection to the proxy
        (DownloadConnectionRefusedError("x"), ALWAYS),
        (CannotResolveHostError("x"), ALWAYS),
        (OSError(errno.EHOSTUNREACH, "x"), ALWAYS),
        (type("ProxyError", (Exception,), {})("x"), ALWAYS),
        (tunnel(407), ALWAYS), (tunnel(403), ALWAYS), (TunnelError("[b'garbage']"), ALWAYS),
        (tunnel(502), UNLESS_IT_WORKS), (tunnel(504), UNLESS_IT_WORKS),
        # either's
        (DownloadTimeoutError("x"), UNLESS_IT_WORKS),
        (DownloadFailedError("x"), UNLESS_IT_WORKS),
        (ConnectionResetError(), UNLESS_IT_WORKS),
        (RuntimeError("boom"), UNLESS_IT_WORKS),
        # somebody has answered
        (ResponseDataLossError(), NEVER),
        # nobody's
        (OSError(errno.EMFILE, "x"), NEVER), (KeyError("x"), NEVER),
        (IgnoreRequest(), NEVER), (CircuitOpenError("a.test"), NEVER),
        # responses
        (Response(URL, status=407), ALWAYS),
        *[(Response(URL, status=status), NEVER) for status in (200, 404, 429, 500, 502, 504)],
        (Response(URL, status=502, headers={"Proxy-Status": "p; error=x"}), UNLESS_IT_WORKS),
        (Response(URL, status=504, headers={"X-Squid-Error": "ERR_X"}), UNLESS_IT_WORKS),
        (Response(URL, status=200, headers={"Proxy-Status": "p"}), NEVER),
        (Response(URL, status=404, headers={"X-Squid-Error": "ERR_X"}), NEVER),
    ],
    ids=repr,
)  # fmt: skip
def test_whose_failure_it_is(outcome, of_proxy):
    """The proxy's where it was not reached, or says so; one that works is believed."""
    verdict = judge(outcome)

    found = [
        is_failure_of_proxy(outcome, verdict, proxy_works=proxy_works)
        for proxy_works in (False, True)
    ]

    assert tuple(found) == of_proxy

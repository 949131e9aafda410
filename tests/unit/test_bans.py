"""Challenges are found, and pages are not taken for them."""

from __future__ import annotations

import pytest
from ban_pages import INNOCENT, PAGES
from cost import passes
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import Headers

from scrapy_resilience.core.bans import SUSPICIOUS, ban_in_headers, ban_in_page


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_ban_pages(page):
    """The page of each vendor is a ban, whatever its status."""
    assert ban_in_page(page)


@pytest.mark.parametrize("page", INNOCENT.values(), ids=INNOCENT)
def test_innocent_pages(page):
    """A page that talks about bans, or protects a form, is not a ban."""
    assert ban_in_page(page) is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {"cf-mitigated": "challenge"}),
        (503, {"CF-Mitigated": "challenge"}),
        (403, {"X-DataDome": "protected"}),
        (405, {"x-amzn-waf-action": "captcha"}),
        (202, {"x-amzn-waf-action": "challenge"}),
        (403, {"X-Sucuri-Block": "1"}),
        (429, {"x-kpsdk-ct": "0abc"}),
    ],
)
def test_headers(status, headers):
    """Headers of vendors tell a ban, with the statuses that they send it with."""
    assert ban_in_headers(status, Headers(headers))


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"x-kpsdk-ct": "0abc"}),
        (404, {"cf-mitigated": "challenge"}),
        (403, {"server": "cloudflare", "cf-ray": "8c3"}),
        (503, {"server": "cloudflare", "set-cookie": "__cf_bm=1"}),
        (403, {}),
    ],
)
def test_innocent_headers(status, headers):
    """A vendor in front of a site is not a ban, nor is any header of a good answer."""
    assert ban_in_headers(status, Headers(headers)) is None


def test_a_good_answer_costs_no_look_at_its_headers():
    """Headers of ordinary statuses are not read at all."""
    assert all(ban_in_headers(status, None) is None for status in (200, 301, 404, 500))
    assert not SUSPICIOUS & {200, 301, 302, 304, 404, 500}


def test_no_false_alarm_on_real_documentation(python_docs):
    """None of the pages of Python's documentation is a ban."""
    pages = sorted(python_docs.rglob("*.html"))

    found = [(page.name, ban_in_page(page.read_bytes())) for page in pages]

    assert len(pages) > 100
    assert [each for each in found if each[1]] == []


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_large_page_is_no_challenge(page):
    """What has more than 64 KB is not looked at."""
    assert ban_in_page(page + b" " * 65_536) is None


@pytest.mark.parametrize("page", [PAGES["cloudflare"], PAGES["recaptcha"]])
def test_a_page_with_many_links_is_no_challenge(page):
    """A challenge leads nowhere else."""
    assert ban_in_page(page + b'<a href="/">Home</a>' * 9) is None


@pytest.mark.parametrize(
    "piece", [b"<script", b"<", b"<!--", b"<input ", b"are you ", b"&a", b"<a", b"<title"]
)
def test_hostile_pages_cost_little(piece):
    """A page that was made to be slow costs what its length does."""
    page = b"<title>captcha</title>" + piece * (65_000 // len(piece))

    assert passes(lambda _: ban_in_page(page)) < 20


@given(st.binary(max_size=300))
def test_any_bytes(body):
    """Whatever a server sends, there is an answer."""
    for start in (b"", b"<title>captcha</title>", b"<html>captcha "):
        assert ban_in_page(start + body) is None or isinstance(ban_in_page(start + body), str)

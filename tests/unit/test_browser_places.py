"""How many requests of the browser are handed out, and what their lanes are called."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace

import pytest
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.settings import Settings
from scrapy.spiders import Spider

from scrapy_resilience.browsers.places import BrowserPlaces
from scrapy_resilience.browsers.slots import PageSlots
from scrapy_resilience.gates.domains import Domains
from scrapy_resilience.gates.lane_names import (
    LaneNames,
    domain_of,
    is_of_browser,
    is_of_retries,
    slot_of,
)
from scrapy_resilience.names import META_FAILED_AT, META_OPEN_ACTION
from scrapy_resilience.settings import Config

URL = "http://a.test/"
PAGE = {"playwright": True}


def lane(slot="a.test", **meta):
    """The lane of a request with that meta."""
    settings = Settings()
    names = LaneNames(settings, Domains(settings, Config()))
    return names, names.of(slot, Request(URL, meta=meta))


@pytest.mark.parametrize(
    ("slot", "meta"),
    [
        ("a.test", PAGE),
        ("mine", {**PAGE, "download_slot": "mine"}),
        ("a\tb", {**PAGE, "download_slot": "a\tb"}),
        ("a.test", {**PAGE, META_OPEN_ACTION: "fail"}),
        ("a.test", {**PAGE, META_FAILED_AT: 1.0}),
        ("mine", {**PAGE, "download_slot": "mine", META_FAILED_AT: 1.0}),
    ],
)
def test_lanes_of_the_browser(slot, meta):
    """Its name tells that it is one, and slot, domain, action and retry as before."""
    names, found = lane(slot, **meta)
    _, plain = lane(slot, **{**meta, "playwright": False})

    assert is_of_browser(found)
    assert not is_of_browser(plain)
    assert slot_of(found) == slot_of(plain) == slot
    assert domain_of(found) == domain_of(plain) == "a.test"
    assert names.split(found) == names.split(plain)
    assert is_of_retries(found) is is_of_retries(plain) is (META_FAILED_AT in meta)


def test_a_page_that_is_open():
    """A request that goes on in an open page waits for no place."""
    _, found = lane(playwright=True, playwright_page=object())
    assert not is_of_browser(found)


@pytest.fixture
def places():
    """``places(pages)`` of a crawl with 8 requests at a time, and 8 of a slot."""
    kept = []

    def make(pages):
        crawler = Crawler(Spider, Settings())
        crawler._engine = SimpleNamespace(
            _slot=None,
            downloader=SimpleNamespace(
                total_concurrency=8,
                ip_concurrency=0,
                domain_concurrency=8,
                slots={},
                per_slot_settings={},
            ),
        )
        crawler.stats = SimpleNamespace()
        kept.append(crawler)
        return BrowserPlaces(crawler, PageSlots(pages), SimpleNamespace(by_name={}))

    return make


def fill(found, lane="a.test\tbrowser", now=100.0):
    """Hand out as many as may go. How many that were."""
    count = 0
    while count < 20 and found.ready_at(lane, now) <= now:
        found.handed_out(Request(f"{URL}{lane}/{count}"), lane, now)
        count += 1
    return count


def test_no_more_than_there_are_pages_for(places):
    """Requests wait in the frontier, not for a page in the downloader."""
    found = places(3)
    assert fill(found) == 3
    assert found.ready_at("a.test", 100.0) <= 100.0


def test_all_places_without_plain_requests(places):
    """A crawl of the browser alone uses all its places."""
    assert fill(places(16)) == 8


def test_half_of_the_places_beside_plain_requests(places):
    """Where plain requests go as well, half of the places are theirs, for ten seconds."""
    found = places(16)
    found.handed_out(Request(URL), "a.test", 99.0)
    assert fill(found) == 4
    assert found.ready_at("a.test\tbrowser", 110.0) <= 110.0


def test_half_of_a_slot(places):
    """The same holds within a download slot that has both."""
    found = places(16)
    found.handed_out(Request(URL), "a.test\tbrowser", 0.0)
    found.handed_out(Request(URL + "plain"), "a.test", 95.0)
    assert found._plain_at == {"a.test": 95.0, "": 95.0}
    assert fill(found) == 3


def test_a_place_is_free_again(places):
    """When a request has left the downloader, the next one may go."""
    found = places(1)
    request = Request(URL)
    found.handed_out(request, "a.test\tbrowser", 0.0)
    assert found.ready_at("a.test\tbrowser", 0.0) < inf
    assert found.ready_at("a.test\tbrowser", 0.0) > 0.0
    found._left(request)
    assert found.ready_at("a.test\tbrowser", 0.0) <= 0.0

"""Which requests are skipped, and what counts as seen."""

from __future__ import annotations

from contextlib import closing

import pytest
from scrapy import Request, Spider
from scrapy.http import HtmlResponse
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.revisit import ALWAYS
from scrapy_resilience.downloadermiddlewares.conditional import ConditionalMiddleware
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.seen.marks import Batch, ident_of_key
from scrapy_resilience.seen.skipping import (
    SeenPages,
    check_seen,
    revisit_of,
    seen_pages,
    store_path,
)
from scrapy_resilience.seen.store import SeenStore
from scrapy_resilience.settings import Config

URL = "http://shop.test/p/1"
DAY = 86_400
DATE = b"Mon, 02 Nov 2026 10:00:00 GMT"


class Pages:
    """A crawl of pages, whose marks are durable at once."""

    def __init__(self, store, **settings):
        self.crawler = get_crawler(Spider)
        config = Config(**{"seen_store": "x", **settings})
        self.pages = SeenPages(self.crawler, store, config)
        self.marks = []
        self.pages.keep = self._keep
        seen_pages(self.crawler, self.pages)
        self.middleware = ConditionalMiddleware.from_crawler(self.crawler)

    def _keep(self, mark):
        self.marks.append(mark)
        self.pages.store.write([Batch(0, [mark])])

    def visit(self, *items, url=URL, links=0, came=True, headers=None, request=None, **more):
        """Ask for a page that gives some items; which of them are brought."""
        request = request or Request(url, **more)
        self.middleware.process_request(request)
        response = HtmlResponse(request.url, headers=headers, request=request)
        self.middleware.process_response(request, response)
        assert not self.pages.is_settled(response, request)
        for _ in range(links):
            self.pages.gave_link(request)
        brought = [item for item in items if not self.pages.is_unchanged(item, response)]
        self.pages.ended(request, came)
        return brought

    def skips(self, url=URL, **more):
        """Whether a request is skipped."""
        return self.pages.skips(Request(url, **more))

    def stat(self, name):
        """What was counted."""
        return self.crawler.stats.get_value(f"resilience/seen/{name}", 0)

    def sent(self, request):
        """The headers with which a request is sent."""
        self.middleware.process_request(request)
        return {name.decode(): value[0] for name, value in request.headers.items()}


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    with closing(SeenStore(tmp_path / "pages.seen")) as found:
        yield found


@pytest.fixture
def make(store, fake_clock):
    """``make(**settings)``: pages of the next night."""

    def made(**settings):
        fake_clock.advance(DAY)
        return Pages(store, **settings)

    return made


def test_a_page_that_gave_an_item_is_skipped(make):
    """In this job, and in all that follow."""
    pages = make()
    assert not pages.skips()
    assert pages.visit({"sku": 1}) == [{"sku": 1}]
    assert (pages.skips(), make().skips(), make().skips(url=URL + "0")) == (True, True, False)
    assert (pages.stat("skipped"), pages.stat("marked")) == (1, 1)


def test_a_page_without_an_item_is_not(make):
    """Nor one that did not come to the spider, or was cut off, or of which something failed."""
    pages = make()
    pages.visit()
    pages.visit({"sku": 1}, came=False)
    pages.pages.is_cut = lambda: True
    pages.visit({"sku": 1})
    pages.pages.is_cut = lambda: False
    failing = Request(URL)
    pages.pages.failed(failing)
    pages.visit({"sku": 1}, request=failing)
    pages.visit({"sku": 1}, callback=NO_CALLBACK)
    assert pages.marks == []
    pages.pages.failed(None)  # start() has raised


def test_a_page_with_links_is_asked_for(make):
    """Without its items, where they are as they were, and never with a condition."""
    pages = make()
    pages.visit({"sku": 1}, {"sku": 2}, links=2, headers={"ETag": "x"})
    assert pages.marks[0].period == ALWAYS
    pages = make()
    assert not pages.skips()
    assert "If-None-Match" not in pages.sent(Request(URL))
    assert pages.visit({"sku": 1}, {"sku": 3}, links=1) == [{"sku": 3}]
    assert (pages.stat("due"), pages.stat("unchanged_items")) == (1, 1)
    assert make().visit({"sku": 2}, links=1) == [{"sku": 2}], "it was gone last night"


def test_a_page_with_links_may_be_skipped(make):
    """By a setting; it is asked for in full when it is due."""
    pages = make(seen_with_links=True, seen_age=DAY)
    pages.visit({"sku": 1}, links=1, headers={"ETag": "x"})
    assert pages.skips()
    pages = make(seen_with_links=True, seen_age=DAY)
    assert (pages.skips(), pages.sent(Request(URL))) == (False, {})


def test_what_is_due_is_compared(make):
    """Of the fields that are not ignored; a page changes when its items do."""
    settings = {"seen_age": DAY, "seen_adaptive": True, "seen_ignored_fields": ("at",)}
    make(**settings).visit({"sku": 1, "at": 1}, {"sku": 2, "at": 1})
    pages = make(**settings)
    assert pages.visit({"at": 2, "sku": 1}, {"sku": 2, "at": 2}) == []
    assert (pages.stat("unchanged"), pages.marks[0].period) == (1, round(DAY * 1.4))
    pages = make(**settings)
    assert pages.visit({"sku": 1, "at": 3}) == []
    assert (pages.stat("unchanged"), pages.marks[0].period) == (0, int(DAY * 1.4 * 0.8))


def test_all_items_may_be_brought(make):
    """And those that can't be compared are."""
    settings = {"seen_age": DAY, "seen_changed_only": False}
    make(**settings).visit({"sku": 1})
    assert make(**settings).visit({"sku": 1}) == [{"sku": 1}]
    strange = {"sku": object()}
    make(seen_age=DAY).visit(strange)
    assert make(seen_age=DAY).visit(strange) == [strange]


def test_unfiltered_requests_are_made(make):
    """Unless they say that they may be skipped; and a request may say that it must not be."""
    pages = make()
    pages.visit({"sku": 1})
    assert not pages.skips(dont_filter=True)
    assert pages.skips(dont_filter=True, meta={"resilience_seen": True})
    assert not pages.skips(meta={"resilience_seen": False})
    exempt = {"meta": {"resilience_seen": False}}
    assert pages.visit({"sku": 1}, **exempt) == [{"sku": 1}]
    assert len(pages.marks) == 1


def test_a_page_may_say_that_it_was_seen(make):
    """Without an item, and with links."""
    pages = make()
    pages.visit(links=1, meta={"resilience_seen": True})
    assert pages.skips()


def test_a_redirect_marks_both(make):
    """What was asked for, and what it led to; nothing that a callback made with its meta."""
    pages = make()
    first = Request("http://shop.test/old")
    pages.visit(request=first)
    second = first.replace(url=URL)
    second.meta["redirect_urls"] = [first.url]
    assert pages.visit({"sku": 1}, request=second) == [{"sku": 1}]
    assert {mark.url for mark in pages.marks} == {first.url, URL}
    child = Request("http://shop.test/child", meta=second.meta)
    assert not pages.pages.skips(child)
    pages.visit({"sku": 2}, request=child)
    assert len(pages.marks) == 3
    assert (pages.skips("http://shop.test/old"), make().skips(url=URL)) == (True, True)


def test_a_key_stands_for_the_request(make):
    """Under whatever URL."""
    pages = make()
    pages.visit({"sku": 1}, meta={"resilience_seen_key": 17})
    assert pages.marks[0].ident == ident_of_key("17")
    assert (
        pages.skips(),
        pages.skips("http://x.test/", meta={"resilience_seen_key": "17"}),
    ) == (
        False,
        True,
    )


def test_a_field_of_items_stands_for_their_page(make):
    """Only requests with a key are looked up."""
    pages = make(seen_field="sku")
    pages.visit({"sku": "a"}, {"sku": "b"}, {"other": 1})
    assert not pages.skips()
    assert pages.skips("http://x.test/", meta={"resilience_seen_key": "b"})
    assert [mark.url for mark in pages.marks] == ["a", "b"]


def test_a_page_that_is_due_is_asked_for_with_a_condition(make):
    """304 settles it, as unchanged; the cache of Scrapy is to keep nothing of that."""
    make(seen_age=DAY).visit({"sku": 1}, headers={"ETag": '"1"', "Last-Modified": DATE})
    pages = make(seen_age=DAY, seen_adaptive=True)
    request = Request(URL)
    sent = pages.sent(request)
    assert sent == {"If-None-Match": b'"1"', "If-Modified-Since": DATE}
    response = HtmlResponse(URL, status=304, request=request)
    pages.middleware.process_response(request, response)
    assert request.meta["dont_cache"]
    assert pages.pages.is_settled(response, request)
    pages.pages.ended(request, True)  # noqa: FBT003 - as hooks call it
    assert (pages.stat("unchanged"), pages.skips()) == (1, True)
    assert make(seen_age=DAY).sent(Request(URL)) == sent, "validators are kept"
    assert make(seen_age=DAY).visit({"sku": 1}) == [], "and what it held"


def test_another_304_is_not_ours(make):
    """Where the condition is the user's, or there was none."""
    make(seen_age=DAY).visit({"sku": 1}, headers={"ETag": '"1"'})
    pages = make(seen_age=DAY)
    for headers in ({"If-None-Match": "mine"}, {"If-Modified-Since": "mine"}):
        request = Request(URL, headers=headers)
        pages.sent(request)
        response = HtmlResponse(URL, status=304, request=request)
        pages.middleware.process_response(request, response)
        assert not pages.pages.is_settled(response, request)
        assert "dont_cache" not in request.meta
        assert [*request.headers.values()] == [b"mine"]


@pytest.mark.parametrize(
    "more",
    [
        {"method": "POST"},
        {"method": "HEAD"},
        {"callback": NO_CALLBACK},
        {"meta": {"resilience_seen": False}},
    ],
)
def test_others_are_asked_for_in_full(make, more):
    """What changes something, a file of a pipeline, what is exempt."""
    make(seen_age=DAY).visit(
        {"sku": 1}, headers={"ETag": '"1"'}, method=more.get("method", "GET")
    )
    assert make(seen_age=DAY).sent(Request(URL, **more)) == {}


def test_no_conditions_by_a_setting(make):
    """Nor are validators kept."""
    make(seen_conditional=False).visit({"sku": 1}, headers={"ETag": '"1"'})
    assert make().sent(Request(URL)) == {}


def test_a_retry_and_a_redirect_have_conditions_of_their_own(make):
    """Those of the page that they were copied from would be another page's."""
    make(seen_age=DAY).visit({"sku": 1}, headers={"ETag": '"1"'})
    pages = make(seen_age=DAY)
    request = Request(URL)
    sent = pages.sent(request)
    assert pages.sent(request.copy()) == sent
    assert pages.sent(request.replace(url="http://shop.test/other")) == {}
    mine = request.replace(url="http://shop.test/other", headers={"If-None-Match": "mine"})
    assert pages.sent(mine) == {"If-None-Match": b"mine"}


def test_a_key_does_not_lend_its_validators(make):
    """Two requests of one key are two pages for a server."""
    keyed = {"meta": {"resilience_seen_key": "a"}}
    make(seen_age=DAY).visit({"sku": 1}, headers={"ETag": '"1"'}, **keyed)
    pages = make(seen_age=DAY)
    assert pages.sent(Request("http://shop.test/first", **keyed)) == {}
    assert pages.sent(Request(URL, **keyed)) == {"If-None-Match": b'"1"'}


def test_urls_are_kept_without_secrets(make):
    """Or not at all."""
    pages = make()
    pages.visit({"sku": 1}, url="http://me:word@shop.test/?token=abc")
    assert pages.marks[0].url == "http://***@shop.test/?token=***"
    pages = make(seen_urls=False)
    pages.visit({"sku": 1})
    assert pages.marks[0].url is None


def test_a_store_that_cannot_be_read_is_told(make, store):
    """A lock passes; anything else closes the crawl."""
    pages, told = make(), []
    pages.pages.on_damage = told.append
    store.close()
    assert not pages.skips()
    assert len(told) == 1


def test_an_item_that_a_sink_refuses_later(make):
    """Its page has ended: its mark is taken back."""
    pages, dropped = make(), []
    pages.pages.drop = dropped.append
    request = Request(URL)
    pages.visit({"sku": 1}, request=request)
    pages.pages.given_up(request, None, {})
    assert dropped == [pages.marks[0].page]


def test_rules_that_make_no_sense_are_refused():
    """They name what to change."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_SEEN_AGE, such as"):
        revisit_of(Config(seen_adaptive=True))
    with pytest.raises(ConfigurationError, match="RESILIENCE_SEEN_AGE_MIN=10 is more than"):
        check_seen(Config(seen_age_min=10, seen_age_max=5))
    with pytest.raises(ConfigurationError, match=r"only %.spider.s has something"):
        check_seen(Config(seen_store="seen/%(date)s.seen"))
    assert store_path(Config(seen_store="a/%(spider)s.seen"), "x/y").parts[-2:] == (
        "a",
        "x_y.seen",
    )

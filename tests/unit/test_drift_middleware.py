"""What an alarm does in a crawl."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from scrapy import Spider
from scrapy.exceptions import NotConfigured
from scrapy.http import HtmlResponse
from scrapy.utils.test import get_crawler

from scrapy_resilience.selectors import Registry
from scrapy_resilience.signals import selector_drift
from scrapy_resilience.spidermiddlewares.drift import DriftMiddleware

BEFORE = b'<h1>Mug</h1><p class="price">5</p><b class="cost">5</b>'
AFTER = b'<h2>Mug</h2><b class="cost">5</b>'
FIELDS = {
    "title": "css:h1",
    "price": {"selectors": ["css:.price", "css:.cost"], "type": "price"},
}


@pytest.fixture
def selectors():
    """A set that knows titles and prices."""
    return Registry(None).register("shop", FIELDS)


def drift(action="report", **more):
    """Return the middleware of a new crawler."""
    settings = {"RESILIENCE_DRIFT_ACTION": action, "RESILIENCE_DRIFT_WINDOW": 20, **more}
    return DriftMiddleware.from_crawler(get_crawler(Spider, settings))


def show(middleware, selectors, body, times):
    """Extract from as many pages of a crawl."""
    for _ in range(times):
        response = HtmlResponse("https://shop.test/1", body=body)
        assert middleware.process_spider_input(response) is None
        selectors.extract(response)


def redesigned(action, selectors):
    """Return the middleware after a redesign."""
    middleware = drift(action)
    show(middleware, selectors, BEFORE, 200)
    show(middleware, selectors, AFTER, 20)
    return middleware


def stat(middleware, name):
    """Return one of its counters."""
    return middleware.crawler.stats.get_value(f"resilience/drift/{name}", 0)


def test_report(selectors, caplog):
    """By default an alarm is a signal, a line in the log and a stat, and the set stays."""
    middleware, heard = drift(), []

    def hear(alarm, candidates, response, extraction):
        heard.append((alarm.field, alarm.kind, extraction["title"]))
        assert response.body == AFTER
        assert all(each.score <= 0.5 for each in candidates)

    middleware.crawler.signals.connect(hear, selector_drift)
    show(middleware, selectors, BEFORE, 200)
    show(middleware, selectors, AFTER, 20)

    assert sorted(heard) == [("price", "fallback", None), ("title", "fill", None)]
    assert stat(middleware, "alarms") == 2
    assert stat(middleware, "changes") == 0
    assert len([r for r in caplog.records if "Selector drift: shop 1.0.0" in r.message]) == 2
    assert [alarm.field for alarm, _ in middleware.alarms] == ["title", "price"]
    assert selectors.version == "1.0.0"


def test_pages_that_a_fallback_has_served(selectors):
    """Each page counts once, by however many fields."""
    middleware = drift()
    show(middleware, selectors, BEFORE, 3)
    show(middleware, selectors, AFTER, 2)
    assert middleware.crawler.stats.get_value("resilience/selectors/fallbacks") == 2


def test_rollback(selectors):
    """The newest older version that finds the field on the page becomes the active one."""
    for number, source in enumerate(["css:h2", "css:h3", "css:h1"], 1):
        selectors.add_version(f"1.{number}.0", {**FIELDS, "title": source}, "")

    middleware = redesigned("rollback", selectors)

    assert selectors.version == "1.1.0"
    assert stat(middleware, "changes") == 1


def test_rollback_of_a_page_with_two_alarms():
    """The version after the first alarm need not have the second one's field."""
    old = Registry(None).register("shop", {"title": ["css:h2"]})
    old.add_version("1.1.0", {"title": "css:h1", "price": "css:.price"}, "")

    middleware = drift("rollback")
    show(middleware, old, BEFORE, 200)
    show(middleware, old, b"<h2>Mug</h2>", 20)

    assert old.version == "1.0.0"
    assert (stat(middleware, "alarms"), stat(middleware, "changes")) == (2, 1)


def test_rollback_to_nothing(selectors):
    """When no older version finds the field, the active one stays."""
    selectors.add_version("1.1.0", {"title": "css:h1"}, "")

    middleware = redesigned("rollback", selectors)

    assert selectors.version == "1.1.0"
    assert (stat(middleware, "alarms"), stat(middleware, "changes")) == (1, 0)


def test_promote(selectors):
    """The fallback that works becomes the primary selector."""
    middleware = redesigned("promote", selectors)

    assert selectors.get_selectors("price") == ("css:.cost", "css:.price")
    assert stat(middleware, "changes") == 1


def test_a_change_that_is_refused(tmp_path, caplog):
    """A promotion that is worse on the fixtures is not made, and the log says why."""
    place = tmp_path / "fixtures"
    place.mkdir()
    (place / "a.html").write_bytes(BEFORE.replace(b">5</b>", b">7</b>"))
    (place / "a.json").write_text('{"url": "https://a.test/", "expected": {"price": "5"}}')
    selectors = Registry(None).register("shop", FIELDS, fixtures=tmp_path)

    redesigned("promote", selectors)

    assert selectors.version == "1.0.0"
    assert "Selector drift changes nothing: shop 1.0.0.p1 is worse" in caplog.text


def test_other_responses_are_not_watched(selectors):
    """An extraction from a response of another crawl is not counted."""
    middleware = drift()
    selectors.extract(HtmlResponse("https://shop.test/1", body=BEFORE))

    assert middleware.monitor.rates() == []


def test_responses_are_not_kept(selectors):
    """A watched response goes when the spider is done with it."""
    middleware, response = drift(), HtmlResponse("https://shop.test/1", body=BEFORE)
    middleware.process_spider_input(response)
    selectors.extract(response)

    gone = weakref.ref(response)
    del response
    gc.collect()
    assert gone() is None


def test_switched_off():
    """With RESILIENCE_DRIFT_ENABLED=False there is no middleware."""
    with pytest.raises(NotConfigured):
        drift(RESILIENCE_DRIFT_ENABLED=False)


def test_a_quiet_crawl(selectors, caplog):
    """Pages that stay as they are log nothing."""
    middleware = drift()
    caplog.clear()
    caplog.set_level(logging.INFO)
    show(middleware, selectors, BEFORE, 300)

    assert caplog.text == ""

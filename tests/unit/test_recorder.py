"""What of a crawl is written down."""

from __future__ import annotations

import pytest
from scrapy import Request, Spider, signals
from scrapy.http import Response
from scrapy.utils.test import get_crawler
from twisted.python.failure import Failure

from scrapy_resilience import signals as ours
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.observe.record.recorder import Recorder


@pytest.fixture
def crawler():
    """A crawler whose observer is kept."""
    crawler = get_crawler(Spider)
    crawler.spider = Spider("shop")
    crawler.kept = observer_of(crawler)
    crawler.kept.recorder.follow(crawler)
    return crawler


def told(crawler):
    """Events as texts, the oldest first."""
    return [(event.kind, event.text) for event in reversed(crawler.kept.events.view())]


def groups(crawler):
    """Errors as (kind, message, count)."""
    return [(each.kind, each.message, each.count) for each in crawler.kept.errors.view()]


def give_up(crawler, request, *, kind="exhausted", failure_class="server_error", response=None):
    """Let a component give a request up."""
    letters_of(crawler).add(
        request, kind=kind, failure_class=failure_class, reason="HTTP 503", response=response
    )


def test_a_request_is_given_up_once(crawler):
    """The first reason counts, as with dead letters."""
    request = Request("http://a.test/")
    give_up(crawler, request, response=Response("http://a.test/", status=503, body=b"x"))
    give_up(crawler, request, kind="permanent", failure_class="http")

    assert groups(crawler) == [("server_error", "HTTP 503", 1)]
    assert crawler.kept.recorder.given_up == 1
    assert crawler.kept.errors.sample(1).status == 503


def test_without_dead_letters(crawler):
    """Errors are counted all the same."""
    letters_of(crawler)._enabled = False
    give_up(crawler, Request("http://a.test/"))
    assert crawler.kept.errors.total == 1


def test_what_spiders_and_pipelines_raise(crawler):
    """Scrapy's signals tell of it once, and the dead letter does not count again."""
    request = Request("http://a.test/")
    response = Response("http://a.test/", request=request)
    failure = Failure(ValueError("no"))
    send = crawler.signals.send_catch_log
    send(signals.spider_error, failure=failure, response=response, spider=crawler.spider)
    give_up(crawler, request, kind="callback", failure_class="callback")
    send(signals.item_error, item={}, failure=failure, response=None, spider=crawler.spider)
    send(signals.spider_error, failure=failure, response=failure, spider=crawler.spider)

    assert groups(crawler) == [("ValueError", "no", 3)]
    assert crawler.kept.recorder.given_up == 0


def test_a_run(crawler):
    """It begins and ends, with its reason."""
    crawler.signals.send_catch_log(signals.spider_opened, spider=crawler.spider)
    crawler.signals.send_catch_log(
        signals.spider_closed, spider=crawler.spider, reason="resilience_storage"
    )

    assert told(crawler) == [
        ("run", "Run 1 has begun"),
        ("run", "Run 1 ends: resilience_storage"),
    ]
    assert crawler.kept.events.view()[0].severity == "error"


def test_breakers(crawler):
    """One that opens is a warning of its domain."""
    crawler.signals.send_catch_log(
        ours.breaker_changed, domain="a.test", old="closed", new="open", reason="failures"
    )
    [event] = crawler.kept.events.view()
    assert (event.kind, event.severity, event.domain) == ("breaker", "warning", "a.test")
    assert event.text == "The circuit breaker of a.test is open: failures"


def test_events_of_others(crawler):
    """A signal is enough, with two arguments or four of any kind."""
    send = crawler.signals.send_catch_log
    send(ours.crawl_event, kind="login", text="renewed")
    send(ours.crawl_event, kind="x", text=5, severity="fatal", domain=None, more=1)
    crawler.kept.event("mine", "too", severity="error", domain="a.test")
    assert told(crawler) == [("login", "renewed"), ("x", "5"), ("mine", "too")]


def test_new_errors_are_events(crawler):
    """Each group once."""
    for _ in range(2):
        crawler.kept.errors.note(ValueError("no"), Request("http://a.test/"))
    assert told(crawler) == [("error", "New errors: ValueError: no")]
    assert crawler.kept.events.view()[0].domain == "a.test"


def test_trouble_with_commits(crawler):
    """It begins, is an error, and passes."""
    recorder = crawler.kept.recorder
    recorder._trouble(OSError(28, "No space left on device"))
    recorder._recovery(2.5)
    assert told(crawler)[0][1].startswith("The checkpoint can't be written: [Errno 28]")
    assert told(crawler)[-1] == ("commit", "The checkpoint is written again, after 2.5 s")
    assert crawler.kept.errors.total == 1


def test_whoever_gives_up_does_not_fail(crawler, monkeypatch, caplog):
    """An error of ours is logged, and the dead letter is written."""
    monkeypatch.setattr(crawler.kept.errors, "note", lambda *_, **__: 1 / 0)
    give_up(crawler, Request("http://a.test/"))
    assert letters_of(crawler).count == 1
    assert "An error can't be written down" in caplog.text


def test_nothing_is_heard_before_it_follows():
    """An observer that somebody asks for too early is an empty one."""
    recorder = Recorder()
    assert recorder.record.events.view() == []
    assert recorder.record.errors.view() == []

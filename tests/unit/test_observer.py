"""The observer of a crawler, without a crawl."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgspec
import pytest
from engines import Slot, engine_of
from scrapy import Item, Request, Spider
from scrapy.http import Response
from scrapy.utils.test import get_crawler

from scrapy_resilience import _clock
from scrapy_resilience.core.failures import Verdict
from scrapy_resilience.extensions.observe import Observe
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.observe.last_view import last_view
from scrapy_resilience.observe.observer import observer_of


def check(_):
    """A health check of the user's."""


class Shoe(Item):
    """An item of the user's."""


class NamedSpider(Spider):
    name = "shop"


def observed(settings=None):
    """The observer of an engine whose spider is open, which it keeps."""
    engine = engine_of(settings)
    observer = observer_of(engine.crawler)
    observer.engine = engine
    return observer


@pytest.mark.parametrize(
    "settings",
    [
        {"HEALTH_CHECKS": {"db": check}},
        {"FAILURE_HANDLERS": {"captcha": check}},
        {"NORMALIZE": {Shoe: {"price": "price"}}},
        {"HTTP_TOKEN": "a secret of sixteen"},
    ],
)
def test_settings_that_are_not_plain(settings):
    """Functions and classes in them are texts in the view, and secrets are hidden."""
    settings = {f"RESILIENCE_{name}": value for name, value in settings.items()}
    view = json.loads(msgspec.json.encode(observed(settings).view()))

    [(name, value)] = view["settings"].items()
    assert name in settings
    assert value
    assert "sixteen" not in str(value)


def test_a_stat_whose_name_is_no_text():
    """It breaks no view."""
    observer = observed()
    observer.crawler.stats.set_value(5, 1)
    observer.crawler.stats.set_value("a", 1)

    assert observer.view().stats == {"a": 1}


def test_another_scheduler():
    """What is pending is not known, but what is under way is."""
    observer = observed()
    observer.engine._slot.inprogress.add(Request("http://a.test/"))
    observer.tick()

    progress = observer.view().progress
    assert (progress.pending, progress.under_way) == (None, 1)
    [domain] = observer.view().domains
    assert (domain.name, domain.pending) == ("a.test", 1)


def test_what_another_scheduler_has_done():
    """What it has handed out and is through; of one that does not count, the pages."""
    observer = observed()
    stats = observer.crawler.stats
    observer.engine._slot.inprogress.add(Request("http://a.test/"))
    stats.set_value("response_received_count", 3)
    assert observer.view().progress.done == 3
    stats.set_value("scheduler/dequeued/redis", 6)
    observer.renew()
    assert observer.view().progress.done == 5


def test_ours_before_it_is_open():
    """Nothing is pending yet, and that is known."""
    observer = observed({"SCHEDULER": "scrapy_resilience.ResilientScheduler"})
    observer.engine._slot = Slot(scheduler=None)

    assert observer.view().progress.pending == 0


def settle(observer, meta=None, **response):
    """A request comes to its end."""
    request = Request("http://a.test/", meta=meta)
    answer = Response(request.url, body=b"page", **response)
    observer.settled(request, answer, Verdict(None), "a.test")
    return observer.counts.domains["a.test"]


def test_a_page_of_a_cache():
    """It is an answer, but took no time and was not asked of the domain."""
    counts = settle(observed(), {"download_latency": 0.0}, flags=["cached"])

    assert (counts.requests, counts.answers, counts.latency) == (0, 1, None)


@pytest.mark.parametrize(
    ("settings", "meta", "retries"),
    [
        ({}, {"resilience_failed_at": 1.0, "retry_times": 1}, 1),
        ({}, {"retry_times": 1}, 0),
        ({"RESILIENCE_RETRY_ENABLED": False}, {"retry_times": 1}, 1),
    ],
)
def test_retries(settings, meta, retries):
    """What a page hands down to its children makes no retries of them."""
    assert settle(observed(settings), meta).retries == retries


def test_a_tick_that_fails(monkeypatch):
    """The next one comes all the same."""
    armed = []
    monkeypatch.setattr(_clock, "call_later", lambda *args: armed.append(args))
    extension = Observe(get_crawler(NamedSpider))

    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(extension.observer, "tick", fail)
    with pytest.raises(ZeroDivisionError):
        extension._tick()

    assert armed == [(1.0, extension._tick)]


def test_the_last_look():
    """The engine lets our scheduler go when the spider closes; the view still has it."""
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    frontier.push("a.test", b"x")
    scheduler = SimpleNamespace(
        runs_jobs=True,
        frontier=frontier,
        in_flight=SimpleNamespace(ended=lambda _: 2),
        committer=SimpleNamespace(trouble=""),
    )
    observer = observed()
    observer.engine._slot = Slot(scheduler)
    observer.tick()
    observer.engine._slot = None

    progress = observer.view().progress
    assert (progress.pending, progress.done) == (1, 2)


def test_a_spider_that_is_named_later():
    """Its class has no name: there is a view all the same."""
    crawler = get_crawler(Spider)
    observer = observer_of(crawler)

    assert observer.view().job.spider == ""


def test_the_history_is_made_once_for_a_view(monkeypatch, fake_clock):
    """However many ask for it at the same time; what ticks is in the next one."""
    observer = observed()
    made = []
    history = observer.history.view
    monkeypatch.setattr(observer.history, "view", lambda: made.append(1) or history())

    first, second = observer.view(history=True), observer.view(history=True)
    assert first is second
    assert made == [1]
    assert first.history
    assert not observer.view().history

    fake_clock.advance(0.25)
    observer.view(history=True)
    assert made == [1, 1]


@pytest.mark.parametrize(
    "reason",
    ["no login at http://u:geheim@a.test/?token=geheim", "half \ud800", "x" * 1_000_000],
)
def test_a_close_reason_of_the_users(reason):
    """A URL in it shows no secret, and no text of any kind or length breaks a view."""
    observer = observed()
    observer._closed(reason)

    for view in observer.view(), last_view(observer, None, reason):
        told = msgspec.json.encode(view)
        assert b"geheim" not in told
        assert len(told) < 50_000
        assert view.job.reason[:4] == reason[:4]

"""A crawl as a whole asks for nothing new, for as long as there is a reason."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from engines import Slot, engine_of
from scrapy import Request, Spider
from scrapy.signals import engine_started, spider_closed
from scrapy.utils.test import get_crawler

from scrapy_resilience import signals
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.spidermiddlewares.pause import PauseMiddleware
from scrapy_resilience.testing import FakeClock, use_clock


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


@pytest.fixture
def clock():
    """One that stands still."""
    clock = FakeClock()
    with use_clock(clock):
        yield clock


@pytest.fixture
def crawl(clock):  # noqa: ARG001 - it goes by it
    """A crawl with another scheduler than ours, whose engine runs."""
    engine = engine_of()
    engine._slot.scheduler = SimpleNamespace()
    events = []

    def heard(kind, text, severity):
        events.append((kind, severity, text))

    engine.crawler.signals.connect(heard, signals.crawl_event)
    pauses = pauses_of(engine.crawler)
    return SimpleNamespace(
        engine=engine, crawler=engine.crawler, pauses=pauses, events=events, heard=heard
    )


def ours(engine):
    """Put in what looks like our scheduler."""
    engine._slot = Slot(SimpleNamespace(runs_jobs=True, frontier=None))
    calls = []
    engine._slot.nextcall = SimpleNamespace(schedule=lambda: calls.append("woken"))
    return calls


def test_one_for_each_crawler(crawl):
    """Whoever asks has the same pauses; another crawler has others."""
    assert pauses_of(crawl.crawler) is crawl.pauses
    assert pauses_of(get_crawler(Spider)) is not crawl.pauses


def test_pause_and_resume(crawl):
    """A reason pauses, its end resumes, and both are told."""
    crawl.pauses.pause("memory", "too much is used")
    up = crawl.pauses.up
    crawl.pauses.resume("memory")

    assert (up, crawl.pauses.up) == (True, False)
    assert [event[:2] for event in crawl.events] == [("pause", "warning"), ("pause", "info")]


def test_the_last_reason_counts(crawl):
    """It stays paused until all reasons are gone."""
    crawl.pauses.pause("memory", "a")
    crawl.pauses.pause("budget", "b")
    crawl.pauses.resume("memory")

    assert crawl.pauses.up
    assert "stays paused" in crawl.events[-1][2]
    crawl.pauses.resume("budget")
    assert not crawl.pauses.up


def test_resume_of_nothing(crawl):
    """A reason that is not there changes and tells nothing."""
    crawl.pauses.resume("memory")

    assert crawl.events == []


def test_once_more_is_told_once(crawl, clock):
    """A pause that is renewed keeps its beginning, and is not told again."""
    crawl.pauses.pause("memory", "a")
    clock.advance(5)
    crawl.pauses.pause("memory", "b")

    (pause,) = crawl.pauses.all()
    assert (pause.text, pause.since) == ("b", 1_000.0)
    assert len(crawl.events) == 1


def test_it_ends_by_itself(crawl, clock):
    """At its time; one that was put off ends later."""
    crawl.pauses.pause("budget", "a", until=clock.now + 10)
    crawl.pauses.pause("memory", "b", until=clock.now + 20)
    clock.advance(11)
    left = [pause.reason for pause in crawl.pauses.all()]
    crawl.pauses.pause("memory", "b", until=clock.now + 100)
    clock.advance(50)

    assert left == ["memory"]
    assert crawl.pauses.up
    clock.advance(60)
    assert not crawl.pauses.up


def test_a_time_that_has_passed(crawl, clock):
    """A pause until a moment that has passed ends in the next turn of the loop."""
    crawl.pauses.pause("budget", "a", until=clock.now - 5)
    clock.advance(0)

    assert not crawl.pauses.up


def test_other_scheduler_pauses_the_engine(crawl):
    """With a scheduler that is not ours the engine is paused and goes on."""
    crawl.pauses.pause("memory", "a")
    paused = crawl.engine.paused
    crawl.pauses.resume("memory")

    assert (paused, crawl.engine.paused) == (True, False)


def test_a_pause_of_the_user_stays(crawl):
    """An engine that somebody else has paused stays so."""
    crawl.engine.pause()
    crawl.pauses.pause("memory", "a")
    crawl.pauses.resume("memory")

    assert crawl.engine.paused


def test_our_scheduler_pauses_itself(crawl):
    """With ours the engine goes on, as what closes an idle spider must; it is woken after."""
    calls = ours(crawl.engine)
    crawl.pauses.pause("memory", "a")
    before = [*calls]
    crawl.pauses.resume("memory")

    assert not crawl.engine.paused
    assert (before, calls) == ([], ["woken"])


@pytest.mark.usefixtures("clock")
def test_before_the_engine_exists():
    """A pause that is older than the engine holds once that starts."""
    crawler = get_crawler(Spider)
    pauses = pauses_of(crawler)
    pauses.pause("budget", "a")
    crawler.spider = crawler._create_spider("shop")
    engine = crawler._engine = crawler._create_engine()
    engine._slot = Slot(SimpleNamespace())
    crawler.signals.send_catch_log(engine_started)

    assert engine.paused


def test_a_closed_crawl_is_not_paused(crawl, clock):
    """The end lifts all pauses, and none comes after it, nor any timer."""
    crawl.pauses.pause("memory", "a", until=clock.now + 10)
    crawl.crawler.signals.send_catch_log(spider_closed, spider=None, reason="finished")
    crawl.pauses.pause("memory", "b")
    clock.advance(100)

    assert not crawl.pauses.up
    assert len(crawl.events) == 1


def test_start_waits(crawl):
    """``start()`` puts out nothing while the crawl is paused, from its first output on."""
    middleware = PauseMiddleware(crawl.crawler)
    came, asked = [], []

    async def start():
        for number in range(3):
            asked.append(number)
            yield Request(f"http://a.example/{number}")

    async def consume():
        async for output in middleware.process_start(start()):
            came.append(output.url[-1])
            if len(came) == 1:
                crawl.pauses.pause("memory", "again")

    async def main():
        crawl.pauses.pause("memory", "a")
        task = asyncio.ensure_future(consume())
        await asyncio.sleep(0)
        states = [[*asked]]
        crawl.pauses.resume("memory")
        for _ in range(5):
            await asyncio.sleep(0)
        states.append([*came])
        crawl.pauses.resume("memory")
        await task
        return states

    assert run(main()) == [[], ["0"]]
    assert came == ["0", "1", "2"]


def test_start_that_waits_can_be_cancelled(crawl):
    """A stop while ``start()`` waits for the end of a pause ends it."""
    middleware = PauseMiddleware(crawl.crawler)

    async def start():
        yield Request("http://a.example/")

    async def main():
        crawl.pauses.pause("memory", "a")
        task = asyncio.ensure_future(anext(middleware.process_start(start())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        crawl.pauses.resume("memory")

    run(main())

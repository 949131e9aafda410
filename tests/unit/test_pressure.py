"""What the readings of the watchdog lead to in a crawl."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from engines import engine_of
from msgspec.structs import replace

from scrapy_resilience import signals
from scrapy_resilience.core.readings import Disk, Reading
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.guard import pressure_actions
from scrapy_resilience.guard.caches import register_cache
from scrapy_resilience.guard.concurrency import concurrency_limit_of
from scrapy_resilience.guard.freeables import free_all, register_freeable
from scrapy_resilience.guard.pressure import Easing
from scrapy_resilience.guard.watchdog.watch import resource_watch_of
from scrapy_resilience.observe.accounting.loop_time import Use
from scrapy_resilience.observe.view import View
from scrapy_resilience.testing import FakeClock, use_clock

MB = 2**20


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


class Crawl:
    """An engine, and readings that a test says."""

    def __init__(self, clock, **settings):
        self.clock = clock
        self.engine = engine_of({"CONCURRENT_REQUESTS": 16, **settings})
        self.crawler = self.engine.crawler
        self.engine._slot.scheduler = SimpleNamespace()
        self.closed = []
        self.events = []
        self.crawler.signals.connect(self.heard, signals.crawl_event)
        self.easing = Easing(self.crawler)
        self.watch = resource_watch_of(self.crawler)
        self.watch.read_memory = self.reading
        self.pauses, self.limit = pauses_of(self.crawler), concurrency_limit_of(self.crawler)
        self.used, self.memory_limit, self.disks, self.lag = 100, 400, {}, 0.0

    def heard(self, kind, text, severity):
        self.events.append((kind, severity, text))

    def reading(self):
        return Reading(
            memory=None if self.used is None else int(self.used * MB),
            memory_limit=self.memory_limit and self.memory_limit * MB,
            disks=self.disks,
            usual_lag=self.lag,
            complete=False,
        )

    def look(self, used=None, seconds=0.0):
        """Some seconds later, a reading."""
        self.clock.advance(seconds)
        self.used = self.used if used is None else used
        self.watch.look()
        return self

    def look_at_all(self, seconds=0.0):
        self.clock.advance(seconds)
        self.watch.take(self.clock.now, replace(self.reading(), complete=True))

    def view(self):
        view = View(time=self.clock.wall())
        self.easing.fill(view)
        return {each.resource: each for each in view.guard.ladders}

    def told(self, kind="memory"):
        return [text for each, _, text in self.events if each == kind]

    @property
    def stats(self):
        return self.crawler.stats.get_stats()


@pytest.fixture
def crawl(monkeypatch):
    """A crawl on a clock that stands still; what is begun is noted, not run."""
    clock = FakeClock()
    with use_clock(clock):
        crawl = Crawl(clock)
        crawl.begun = []

        def begin(_, work):
            crawl.begun.append(work.__name__)
            work.close()

        monkeypatch.setattr(pressure_actions.Rungs, "_begin", begin)
        yield crawl


# --- memory ---


def test_below_the_marks(crawl):
    """Nothing is done, and nothing told."""
    crawl.look(100).look(290, 30)

    assert (crawl.events, crawl.pauses.up) == ([], False)


def test_cleaning(crawl):
    """Caches are cleared; what that frees is seen at once, and told with its figures."""
    register_cache(crawl.crawler, "pages", lambda: setattr(crawl, "used", 100))
    crawl.look(300).look(345, 30)

    assert not crawl.pauses.up
    assert crawl.limit.now == 16
    first, second = crawl.told()
    assert first.startswith("345 of 400 MB of memory are used: ")
    assert "caches cleared" in first
    assert second == "100 of 400 MB of memory are used: the crawl goes on as before"
    assert crawl.stats["resilience/guard/memory/clean"] == 1
    assert crawl.stats["resilience/guard/memory/freed_bytes"] == 245 * MB


def test_cleaning_is_told_once_a_minute(crawl):
    """A cache that is cleared each second fills no log; the next line counts."""
    register_cache(crawl.crawler, "pages", lambda: setattr(crawl, "used", 100))
    for _ in range(10):
        crawl.look(100, 2).look(345, 2)
    crawl.look(100, 60).look(345, 2)

    assert len(crawl.told()) == 4
    assert "(and 9 times more since it was told last)" in crawl.told()[2]
    assert crawl.stats["resilience/guard/memory/clean"] == 11


def test_fewer_at_a_time(crawl):
    """Memory that stays high: half as many requests, and half again."""
    crawl.look(345).look(345, 3)
    half = crawl.limit.now
    crawl.look(345, 11)

    assert (half, crawl.limit.now, crawl.pauses.up) == (8, 4, False)
    assert crawl.told()[1].endswith("8 requests at a time instead of 16")


def test_spike(crawl):
    """Paused by the first look; the look after the release ends it, and says so."""
    crawl.look(100).look(1_300, 30)
    paused = crawl.pauses.up, crawl.engine.paused
    crawl.look(120, 3)

    assert paused == (True, True)
    assert (crawl.pauses.up, crawl.engine.paused, crawl.limit.now) == (False, False, 16)
    assert crawl.begun == []
    assert crawl.told("pause")[0] == ("The crawl is paused: 1300 of 400 MB of memory are used")


def test_all_rungs(crawl):
    """What can't be cleared: components are asked, and then it is closed."""
    crawl.look(390)
    for _ in range(40):
        crawl.look(390, 1)

    assert crawl.begun == ["_free", "_close"]
    assert [severity for kind, severity, _ in crawl.events if kind == "memory"] == [
        "info", "warning", "warning", "error",
    ]  # fmt: skip
    assert crawl.view()["memory"].climbed == {"clean": 1, "pause": 1, "free": 1, "close": 1}


def test_patience_of_the_settings():
    """Pauses last as long as a setting says."""
    with use_clock(clock := FakeClock()):
        times = Crawl(clock, RESILIENCE_MEMORY_PATIENCE=6).easing.memory.ladder.times

    assert (times.idle, max(each for each in times.up.values() if each < 100)) == (1.0, 10.0)


def test_no_limit_of_memory(crawl):
    """Where none is known nothing is done."""
    crawl.memory_limit = None
    crawl.look(10_000)

    assert crawl.events == []


def test_a_limit_that_is_lowered(crawl):
    """A container's limit may change while the crawl runs."""
    crawl.look(300)
    crawl.memory_limit = 200
    crawl.look(300, 1)

    assert crawl.pauses.up


def test_memory_that_can_not_be_read_any_more(crawl):
    """A pause does not outlive its readings for long."""
    crawl.look(390)
    crawl.used = None
    crawl.watch.read_memory = lambda: Reading(memory_limit=400 * MB, complete=False)
    for _ in range(10):
        crawl.look(seconds=61)

    assert not crawl.pauses.up


def test_unlimited_requests(crawl):
    """Where the settings have no limit, what is under way is halved."""
    crawl.limit.most = 0
    crawl.engine._slot.inprogress = {object() for _ in range(10)}
    crawl.look(345).look(345, 3)

    assert crawl.limit.now == 5


def test_a_crawl_that_closes_is_left_alone(crawl):
    """Nothing begins in it."""
    crawl.engine._slot.closing = object()
    crawl.look(1_300)

    assert (crawl.told(), crawl.pauses.up) == ([], False)


def test_view(crawl):
    """It shows the rung, what was done, and the marks against the reading."""
    crawl.look(345).look(345, 3)
    view = crawl.view()["memory"]

    assert (view.rung, view.used, view.limit) == ("fewer", 345 * MB, 400 * MB)
    assert view.high == pytest.approx(340 * MB)
    assert view.since == crawl.clock.now - 1  # it has looked by itself after two seconds
    assert view.text == crawl.told()[-1]


# --- disks ---


def disk(free, total=100_000, path="/job"):
    """Sizes in MB."""
    return Disk(path, free * MB, total * MB)


def test_full_disk_beside_a_free_one(crawl):
    """The fullest one counts, and is named; room on it ends the pause at once."""
    crawl.disks = {"job": disk(50_000), "feeds": disk(400, path="/feeds")}
    crawl.look_at_all()
    paused = crawl.pauses.all()
    crawl.disks = {"job": disk(50_000), "feeds": disk(1_200, path="/feeds")}
    crawl.look_at_all(30)

    assert [(pause.reason, pause.text) for pause in paused] == [
        ("disk", "400 MB are free on the disk of /feeds")
    ]
    assert not crawl.pauses.up
    assert crawl.view()["disk"].used == 1_200 * MB


def test_a_little_room_ends_a_pause_later(crawl):
    """Less than twice the reserve is free: the crawl goes on when it stays so, not at once."""
    crawl.disks = {"job": disk(400)}
    crawl.look_at_all()
    crawl.disks = {"job": disk(510)}
    crawl.look_at_all()
    assert crawl.pauses.up
    crawl.look_at_all(30)
    assert not crawl.pauses.up


def test_small_disk(crawl):
    """Of a small disk the reserve is two hundredths."""
    crawl.disks = {"job": disk(25, total=1_000)}
    crawl.look_at_all()
    before = crawl.pauses.up
    crawl.disks = {"job": disk(19, total=1_000)}
    crawl.look_at_all(30)

    assert (before, crawl.pauses.up) == (False, True)


def test_disk_that_stays_full(crawl):
    """It is closed after the patience of its setting."""
    crawl.disks = {"job": disk(0)}
    for _ in range(25):
        crawl.look_at_all(30)

    assert crawl.begun == ["_close"]
    assert crawl.stats["resilience/guard/disk/close"] == 1


def test_memory_alone_says_nothing_of_disks(crawl):
    """A look at the memory only has the numbers of an earlier one."""
    crawl.disks = {"job": disk(0)}
    crawl.look(100)

    assert not crawl.pauses.up


def test_no_disk_reserve():
    """0: disks are not looked at."""
    with use_clock(clock := FakeClock()):
        crawl = Crawl(clock, RESILIENCE_DISK_RESERVE_MB=0)
        crawl.disks = {"job": disk(0)}
        crawl.look_at_all()

        assert not crawl.pauses.up


# --- the processor ---


def late(crawl, lag, use, times=20):
    """Some minutes of an event loop that is late."""
    crawl.easing._meter = SimpleNamespace(take=lambda _: use, close=lambda: None)
    crawl.lag = lag
    for _ in range(times):
        crawl.look_at_all(30)


def test_late_by_its_own_work(crawl):
    """Fewer requests at a time, to a quarter; never a pause; more again when it is over."""
    late(crawl, 2.0, Use(0.9, 0.0, 0.1))
    least = crawl.limit.now
    late(crawl, 0.0, Use(0.3, 0.0, 0.0))

    assert (least, crawl.limit.now) == (4, 16)
    assert not crawl.told("pause")
    assert crawl.begun == []


def test_busy_machine(crawl):
    """A loop that waits for a processor that others have does not slow down."""
    late(crawl, 2.0, Use(0.1, 0.85, 0.0))

    assert (crawl.limit.now, crawl.told("cpu")) == (16, [])


def test_busy_crawl(crawl):
    """A crawl that uses its whole core and is not late does not either."""
    late(crawl, 0.1, Use(1.0, 0.0, 0.0))

    assert crawl.limit.now == 16


# --- what components free ---


def test_freeables_are_asked_in_turn(crawl):
    """Plain functions and coroutines; one that raises does not keep the others."""
    asked = []

    async def later():
        asked.append("later")

    register_freeable(crawl.crawler, "broken", lambda: 1 / 0)
    register_freeable(crawl.crawler, "now", lambda: asked.append("now"))
    register_freeable(crawl.crawler, "later", later)

    async def main():
        with use_clock(FakeClock()):
            await free_all(crawl.crawler)

    run(main())

    assert asked == ["now", "later"]


def test_freeable_that_is_none(crawl):
    """It is refused where it is registered."""
    with pytest.raises(TypeError, match="give a function"):
        register_freeable(crawl.crawler, "x", 3)

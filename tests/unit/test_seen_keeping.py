"""When a page counts as seen: with a job, and without."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace

import pytest
from scrapy import Spider, signals
from scrapy.utils.test import get_crawler

from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.seen.keeping import KeptInJob, KeptLoosely
from scrapy_resilience.seen.marks import Batch, Mark
from scrapy_resilience.seen.store import SeenStore
from scrapy_resilience.seen.upkeep import summary
from scrapy_resilience.settings import Config
from scrapy_resilience.signals import crawl_event
from scrapy_resilience.waits import Waits


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


def mark(ident, page=None):
    """A mark of a page."""
    return Mark(ident, 1_000, None, b"", ident if page is None else page)


class Job:
    """What a run needs of its job; *stored* is what is durable of it."""

    def __init__(self, path, stored=None, committed=0, **settings):
        self.stored = dict(stored or {})
        self.committed = committed
        self.state = StateRegistry(self.stored, ValueCodec())
        self.meta = SimpleNamespace(
            commits=committed + 1, ident="job", last_checkpoint=500.0, finished=False
        )
        self.config = Config(**settings)
        self.parts = []
        self.waits = Waits()
        self.crawler = get_crawler(Spider)
        self.store = SeenStore(path)
        self.kept = KeptInJob(self.crawler, self, self.store)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.store.close()

    def seal(self):
        """Begin a commit; what comes back ends it."""
        self.meta.commits += 1
        changed = self.state.changed()
        step = self.kept.prepare()

        async def written():
            if step is not None:
                await step()
            changes = Changes(state=changed)
            self.kept.prepared(changes, ())
            self.stored.update(changes.state)
            self.committed = self.meta.commits
            self.kept.written()

        return written()

    def seen(self, ident):
        """Whether later jobs skip it."""
        return self.store.find(ident) is not None


@pytest.fixture
def path(tmp_path):
    """Where the store is."""
    return tmp_path / "pages.seen"


def test_a_page_is_seen_behind_the_commit_of_its_mark(path):
    """Which is that behind the one of its items."""

    async def crawl():
        with Job(path) as job:
            job.kept.keep(mark(1))
            await job.seal()
            assert (job.kept.prepare(), job.seen(1)) == (None, False)
            await job.seal()
            await job.seal()
            assert job.seen(1)

    run(crawl())


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_a_kill_leaves_it_in_the_job(path, commits):
    """Which writes it when it goes on, and not before."""

    async def crawl():
        with Job(path) as job:
            job.store.write = lambda *_, **__: None  # the kill is before the store has it
            job.kept.keep(mark(1))
            for _ in range(commits):
                await job.seal()
            return job.stored, job.committed

    stored, committed = run(crawl())

    async def go_on():
        with Job(path, stored, committed) as job:
            assert job.seen(1) is (commits > 1)
            await job.seal()
            await job.seal()
            assert job.seen(1)

    run(go_on())


def test_a_job_that_goes_back_takes_back(path):
    """What came behind that commit, and no more; what that commit has of marks is written."""

    async def crawl():
        with Job(path) as job:
            for ident in range(1, 6):
                job.kept.keep(mark(ident))
                await job.seal()
                kept = (dict(job.stored), job.committed) if ident == 3 else kept_or(locals())
            await job.seal()
            await job.seal()
            assert all(map(job.seen, range(1, 6)))
            return kept

    def kept_or(found):
        return found.get("kept")

    stored, committed = run(crawl())
    with Job(path, stored, committed) as job:
        assert [job.seen(ident) for ident in range(1, 6)] == [True, True, False, False, False]


def test_a_sink_may_refuse_an_item(path):
    """Of the page whose mark is in the commit that is prepared."""

    async def crawl():
        with Job(path) as job:
            job.kept.keep(mark(1, page=7))
            job.kept.keep(mark(2, page=8))
            ending = job.seal()
            job.kept.drop(7)
            await ending
            killed = dict(job.stored), job.committed
            job.kept.keep(mark(3, page=7))
            job.kept.drop(7)
            for _ in range(3):
                await job.seal()
            assert [job.seen(ident) for ident in (1, 2, 3)] == [False, True, False]
            return killed

    async def go_on():
        with Job(path.with_name("of.another"), *run(crawl())) as job:
            await job.seal()
            await job.seal()
            assert [job.seen(ident) for ident in (1, 2)] == [False, True]

    run(go_on())


def test_a_refused_page_that_comes_again_as_it_was(path):
    """The next commit has its mark, though it is what was sealed before."""

    async def crawl():
        with Job(path) as job:
            job.kept.keep(mark(1))
            ending = job.seal()
            job.kept.drop(1)
            await ending
            job.kept.keep(mark(1))
            await job.seal()
            return dict(job.stored), job.committed

    async def go_on():
        with Job(path, *run(crawl())) as job:
            await job.seal()
            await job.seal()
            assert job.seen(1)

    run(go_on())


def test_a_store_that_cannot_be_written_holds_the_commit(path):
    """Until it can; nothing is lost."""

    async def crawl():
        with Job(path) as job:
            write, full = job.store.write, [True, True]

            def failing(*args, **more):
                if full:
                    full.pop()
                    raise sqlite3.OperationalError("database or disk is full")
                write(*args, **more)

            job.store.write = failing
            job.kept.keep(mark(1))
            await job.seal()
            await job.seal()
            job.kept.keep(mark(2))
            job.meta.commits += 1
            job.state.changed()
            step = job.kept.prepare()
            for _ in range(2):
                with pytest.raises(sqlite3.OperationalError):
                    await step()
            await step()
            assert (job.seen(1), job.seen(2)) == (True, False)

    run(crawl())


def test_the_end_tries_and_tells(path, caplog):
    """Of a job that has finished, nothing is taken back any more."""

    async def crawl():
        with Job(path) as job:
            job.kept.keep(mark(1))
            await job.seal()
            await job.seal()
            job.meta.finished = True
            await job.kept.ended()
            found = summary(path)
            assert (found["pages"], found["undo"], caplog.messages) == (1, 0, [])

            def failing(*_, **__):
                raise sqlite3.OperationalError("database or disk is full")

            job.store.write = failing
            job.kept.keep(mark(2))
            await job.seal()
            await job.seal()
            await job.kept.ended()
            (told,) = caplog.messages
            assert told.startswith(
                f"{path} can't be written (database or disk is full): pages "
            )

    run(crawl())


def test_what_is_written_over_is_kept_for_snapshots(path):
    """Back to the oldest one, and a hundred commits in any case."""

    async def crawl():
        with Job(path, snapshot_retention=2, committed=200) as job:
            send = job.crawler.signals.send_catch_log
            floors = []
            for number in range(201, 209):
                job.meta.commits = number
                send(crawl_event, kind="snapshot", text="", severity="error", domain="")
                send(crawl_event, kind="breaker", text="", severity="info", domain="")
                if number % 2:
                    send(crawl_event, kind="snapshot", text="", severity="info", domain="")
                floors.append(job.kept._floor())
            assert floors == [0, 0, 0, 0, 105, 106, 107, 108]
            job.meta.commits = 1000
            assert job.kept._floor() == 202
        with Job(path, snapshot_enabled=False, committed=200) as job:
            job.meta.commits = 1000
            assert job.kept._floor() == 900

    run(crawl())


def test_without_a_job_marks_are_written_each_few_seconds(path, fake_clock, caplog):
    """One batch after the other, and what is left at the end."""

    async def crawl():
        crawler = get_crawler(Spider)
        with closing(SeenStore(path)) as store:
            kept = KeptLoosely(crawler, store)
            write, full = store.write, [True]

            def failing(*args, **more):
                if full:
                    full.pop()
                    raise OSError("disk is full")
                write(*args, **more)

            store.write = failing
            for ident in (1, 2):
                kept.keep(mark(ident))
            kept.drop(2)
            for _ in range(2):
                fake_clock.advance(6)
                await asyncio.wait([kept._work])
                await asyncio.sleep(0)
                kept.keep(mark(3))
            assert caplog.messages == [f"{path} can't be written (disk is full): trying again"]
            assert (store.find(1) is None, store.find(2)) == (False, None)
            kept.keep(mark(4))
            await crawler.signals.send_catch_log_async(signals.engine_stopped)
        with closing(SeenStore(path)) as store:
            assert store.find(4) is not None

    run(crawl())


def test_without_a_job_a_refused_page_is_taken_back(path, fake_clock):
    """When it is in the store already, too, or being written; not that of an earlier crawl."""

    async def crawl():
        crawler = get_crawler(Spider)
        with closing(SeenStore(path)) as store:
            store.write([Batch(0, [mark(9)])])
            kept = KeptLoosely(crawler, store)

            async def written():
                fake_clock.advance(6)
                await asyncio.wait([kept._work])
                await asyncio.sleep(0)

            for ident in (1, 2, 3, 4):
                kept.keep(mark(ident, page=min(ident, 3)))
            await written()
            assert all(map(store.find, (1, 2, 3, 4)))
            for page in (1, 3, 9):
                kept.drop(page)
            kept.keep(mark(1))
            await written()
            seen = [store.find(ident) is not None for ident in (1, 2, 3, 4, 9)]
            assert seen == [True, True, False, False, True]
            kept.drop(2)
            await crawler.signals.send_catch_log_async(signals.engine_stopped)
        with closing(SeenStore(path)) as store:
            assert (store.find(2), store.find(1) is None) == (None, False)

    run(crawl())


def test_the_store_is_closed_off_the_event_loop(path):
    """It waits for other processes; what comes to it later does not wait again."""

    async def crawl():
        with Job(path) as job:
            threads, close = [], job.store._writer.close
            job.store._writer = SimpleNamespace(
                close=lambda: (threads.append(threading.current_thread()), close())
            )
            await job.kept.ended()
            job.kept.closed()
            assert len(threads) == 1
            assert threading.current_thread() not in threads

    run(crawl())

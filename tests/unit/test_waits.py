"""Nothing is waited for in silence, and nothing for ever."""

from __future__ import annotations

import ast
import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from scrapy.signalmanager import SignalManager
from scrapy.statscollectors import MemoryStatsCollector
from twisted.internet.defer import Deferred

import scrapy_resilience
from scrapy_resilience import names, signals
from scrapy_resilience.checkpoint.commit import Committer
from scrapy_resilience.checkpoint.sinks import Sinks
from scrapy_resilience.core.failures import Verdict
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.handlers import FailureHandlers, drop
from scrapy_resilience.waits import Waits, in_thread, read_waiting, waits_of


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


@pytest.fixture
def path(tmp_path):
    """Return where a job writes whom it waits for."""
    return tmp_path / "resilience.waiting"


async def turns(count=5):
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def never():
    """Do not come back."""
    await asyncio.Event().wait()


async def stubborn():
    """Do not come back, and do not let oneself be cancelled either."""
    for _ in range(3):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


def test_what_comes_back_is_given():
    """Its value or its error, and nobody hears of it."""

    async def scenario():
        waits = Waits()

        async def fine():
            return 5

        async def bad():
            raise ValueError("x")

        assert await waits.bounded(fine(), "it", 1) == 5
        with pytest.raises(ValueError, match="x"):
            await waits.bounded(bad(), "it", 1)
        assert waits.waiting() == []

    run(scenario())


@pytest.mark.parametrize("work", [never, stubborn, Deferred, asyncio.Future])
def test_what_does_not_come_back_is_told_and_left(fake_clock, caplog, path, work):
    """After ten seconds in the log and the file, each minute again, and then it has failed."""
    caplog.set_level(logging.INFO)

    async def scenario():
        waits = Waits(path)
        waiting = asyncio.ensure_future(waits.bounded(work(), "the sink", 100))
        await turns()
        fake_clock.advance(9)
        assert (caplog.messages, path.exists()) == ([], False)
        fake_clock.advance(1)
        assert caplog.messages == ["Waiting for the sink since 10 s, for 100 s at most"]
        assert read_waiting(path) == [{"for": "the sink", "since": 1000.0}] == waits.waiting()
        fake_clock.advance(60)
        assert caplog.messages[1:] == ["Waiting for the sink since 70 s, for 100 s at most"]
        fake_clock.advance(30)
        with pytest.raises(TimeoutError, match=r"the sink: not done in time \(100 s\)"):
            await waiting
        assert not path.exists()
        assert caplog.messages[2:] == ["Waited 100 s for the sink"]
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            for _ in range(3):  # the stubborn one
                task.cancel()
                await turns()

    run(scenario())


def test_what_comes_back_late_is_told(fake_clock, caplog, path):
    """Who has read that it is waited for reads that it came."""
    caplog.set_level(logging.INFO)

    async def scenario():
        waits, late = Waits(path), asyncio.Future()
        waiting = asyncio.ensure_future(waits.bounded(late, "it", 100))
        await turns()
        fake_clock.advance(20)
        late.set_result(7)
        assert await waiting == 7

    run(scenario())
    assert caplog.messages[1:] == ["Waited 20 s for it"]
    assert not path.exists()


def test_what_nothing_can_go_on_without_is_told(fake_clock, caplog):
    """A disk that neither writes nor fails: there is no end to it, and no silence either."""

    async def scenario():
        waits, late = Waits(), asyncio.Future()
        waiting = asyncio.ensure_future(waits.bounded(late, "the disk", None))
        await turns()
        fake_clock.advance(100_000)
        late.set_result(7)
        assert await waiting == 7

    run(scenario())
    assert caplog.messages[0] == "Waiting for the disk since 10 s"
    assert len(caplog.messages) > 1000


@pytest.mark.parametrize("count", range(1, 6))
def test_what_fails_when_the_wait_is_cancelled(count):
    """In whatever turn of the loop: no error is left over for its handler."""
    left_over = []

    async def fails():
        raise OSError("away")

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda _, what: left_over.append(what))
        waiting = asyncio.ensure_future(Waits().bounded(fails(), "it", 100))
        await turns(count)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        del waiting
        gc.collect()

    run(scenario())
    assert left_over == []


def test_a_wait_that_is_cancelled_cancels_what_it_waits_for(fake_clock):
    """And leaves no timer."""

    async def scenario():
        waits, work = Waits(), asyncio.Future()
        waiting = asyncio.ensure_future(waits.bounded(work, "it", 100))
        await turns()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert work.cancelled()
        assert waits.waiting() == []
        fake_clock.advance(1000)

    run(scenario())


@pytest.mark.parametrize(
    "content", [b"", b"[", b"5", b"[5]", b'[{"for": 1}]', b"[" * 70_000, b"\xff"]
)
def test_a_file_that_is_none(path, content):
    """Whatever it holds, status goes on."""
    path.write_bytes(content)

    assert read_waiting(path) == []


def test_a_file_is_shown_harmlessly(path):
    """It may be anybody's."""
    path.write_text(json.dumps([{"for": "\x1b[2J", "since": 5}]))

    assert read_waiting(path) == [{"for": "\\x1b[2J", "since": 5.0}]


def test_a_run_forgets_whom_the_last_one_waited_for(path):
    """A kill leaves the file; a link in its place is not followed."""
    path.write_text("[]")
    Waits(path)

    assert not path.exists()


# --- who is waited for ---------------------------------------------------------------------


@pytest.fixture
def crawler():
    """Return what sinks need of one."""
    found = SimpleNamespaceCrawler()
    found.signals = SignalManager(found)
    found.stats = MemoryStatsCollector(SimpleNamespace(settings=SimpleNamespace(getbool=bool)))
    return found


class SimpleNamespaceCrawler:
    """May be referred to weakly."""


@pytest.fixture
def committer(crawler):
    """Return a committer whose sinks are told, with a commit that nobody waits for."""
    store = MemoryStore()
    frontier = Frontier(store, limit=lambda _: 1, wall=0.0)
    found = Committer(store, frontier, crawler.stats, parts=[Sinks(crawler, 30.0)])
    yield found
    found.close()


async def passing(clock, waiting, seconds):
    """Let so many seconds pass until it is done."""
    for _ in range(200):
        await asyncio.sleep(0.001)
        if waiting.done():
            break
        clock.advance(seconds / 20)
    return await waiting


def test_a_source_that_does_not_come_back(fake_clock, crawler, committer, caplog):
    """Commits go on, with a line that names it; those beside it have been told."""
    told = []

    async def never_back():
        await asyncio.Event().wait()

    crawler.signals.connect(never_back, signals.checkpoint_committed)
    other = lambda: told.append(1)  # noqa: E731 - kept for as long as the test
    crawler.signals.connect(other, signals.checkpoint_committed)

    async def scenario():
        for _ in range(2):
            await passing(fake_clock, asyncio.ensure_future(committer.commit()), 40)

    run(scenario())
    assert told == [1, 1]
    assert not committer.broken
    assert not committer.lock.locked()
    assert crawler.stats.get_value(names.STAT_COMMITTED_ERRORS) == 2
    assert any("Waiting for checkpoint_committed" in line for line in caplog.messages)
    assert any(
        "goes on without an answer" in line and "never_back" in line for line in caplog.messages
    )


def test_a_sink_that_does_not_come_back(fake_clock, crawler, caplog):
    """The commit waits for it, which is said, and it is called once more."""
    calls = []

    async def never_ready():
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()

    crawler.signals.connect(never_ready, signals.checkpoint_prepare)

    async def scenario():
        prepared = Sinks(crawler, 30.0).prepare()
        with pytest.raises(Exception, match="never_ready"):
            await passing(fake_clock, asyncio.ensure_future(prepared()), 40)
        await prepared()

    run(scenario())
    assert calls == [1, 1]
    assert any("Waiting for checkpoint_prepare of" in line for line in caplog.messages)


def test_a_failure_handler_that_does_not_come_back(fake_clock, crawler, caplog):
    """The default is what happens, and its name is logged."""

    async def thinking(*_):
        await asyncio.Event().wait()
        return drop("never")

    handlers = FailureHandlers()
    handlers.register("throttled", thinking)
    verdict = Verdict("throttled", "HTTP 429")
    spider = SimpleNamespace(crawler=crawler)

    async def scenario():
        asking = asyncio.ensure_future(handlers.ask(None, verdict, 1, spider))
        assert await passing(fake_clock, asking, 400) is None

    run(scenario())
    assert crawler.stats.get_value(names.STAT_HANDLER_ERRORS) == 1
    assert "thinking" in caplog.messages[0]
    assert waits_of(crawler).waiting() == []


@pytest.mark.parametrize("lets_go", [True, False])
def test_a_process_ends_without_what_was_let_go(lets_go):
    """And not before what it waits for."""
    script = (
        "import asyncio, time\n"
        "from scrapy_resilience.waits import in_thread, let_go\n"
        "async def scenario():\n"
        "    def work():\n"
        f"        time.sleep({3600 if lets_go else 0.1})\n"
        "        print('done', flush=True)\n"
        "    _, thread = in_thread(work, 'slow')\n"
        f"    {lets_go} and let_go(thread)\n"
        "asyncio.run(scenario())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ("" if lets_go else "done\n")


def test_a_thread_that_does_not_end_keeps_nothing():
    """The event loop goes on."""
    forever = threading.Event()

    async def scenario():
        done, thread = in_thread(forever.wait, "stuck")
        assert thread.daemon
        done.cancel()
        value, _ = in_thread(lambda: 5, "quick")
        assert await value == 5
        with pytest.raises(OSError, match="away"):
            await in_thread(_away, "failing")[0]
        with pytest.raises(RuntimeError, match="empty raised StopIteration"):
            await in_thread(partial(next, iter(())), "empty")[0]
        return thread

    thread = run(scenario())
    forever.set()
    thread.join()


def _away():
    raise OSError("away")


# --- the list of all waits -----------------------------------------------------------------

OURS = "a part of ours, whose own waits are in this list"
TURN = "a turn of the event loop, or a fixed pause"
USERS = "the spider's and the pipelines' own work, as in Scrapy: a stop by a signal cuts it off"
COMMIT = (
    "RESILIENCE_PREPARE_TIMEOUT, then RESILIENCE_STORAGE_TIMEOUT; a disk that hangs is told"
)
DATABASE = "RESILIENCE_SQL_TIMEOUT a statement, then RESILIENCE_STORAGE_TIMEOUT"
BARRIER = "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT"
BYPASS = "RESILIENCE_BYPASS_TIMEOUT, or the delay that was asked for; until the spider closes"
SHORT = "two seconds: who is away is left"
THEIRS = "a function that is decorated: whoever calls it waits"
BOUNDED = "the seconds that it is given; told after ten"
DOWNLOAD = "DOWNLOAD_TIMEOUT"
NOTICES = "RESILIENCE_NOTIFY_TIMEOUT at the end, thirty seconds a try before: nobody waits then"
BROWSER = (
    "within(): DOWNLOAD_TIMEOUT for a page and what it waits for, "
    "RESILIENCE_BROWSER_LAUNCH_TIMEOUT for a browser, some seconds for an answer or a close"
)
HEALTH = "RESILIENCE_HEALTH_TIMEOUT, or the seconds that who looks has"

CACHE = "RESILIENCE_CACHE_TIMEOUT: each command, and each that was before it"

WAITS = {
    "_scrapy/canceller.py": {USERS: "elements.__anext__, elements.aclose, work"},
    "_scrapy/engine.py": {TURN: "asyncio.sleep"},
    "_scrapy/hooks.py": {
        USERS: (
            "call, handle, maybe_deferred_to_future, process, self.canceller.quietly, "
            "self.canceller.run, self.canceller.within, work"
        ),
        COMMIT: "self.room",
        OURS: (
            "close, handle_in_turn, self._let_start_go_first, self._process_item, "
            "self._scrape_page, self._watch_item"
        ),
        TURN: "asyncio.sleep",
    },
    "_scrapy/in_turn.py": {
        USERS: "async for outputs, handle, scraper._process_spidermw_output_async",
        TURN: "asyncio.sleep",
    },
    "_scrapy/watching.py": {USERS: "ensure_awaitable"},
    "breaker.py": {"outside of a crawl: what it guards": "function, found, result"},
    "browsers/bounded.py": {BROWSER: ("asyncio.wait")},
    "browsers/contexts.py": {
        BROWSER: (
            "after.handle.add_cookies, async with self._lock, async with self._notes, "
            "changed.wait, kept.handle.cookies, self._close, "
            "self._fresh, self._has_room, self._maker.make_context, self._note_all, "
            "self._put_away, self._retire, self._state, self._with_storage, within"
        )
    },
    "browsers/fleet.py": {BROWSER: ("_clock.sleep, asyncio.wait, self.next_try, within")},
    "browsers/handler.py": {
        BROWSER: (
            "asyncio.shield, self._enter, self._visit, self.contexts.enter, "
            "self.slots.acquire, self.started, stock._create_page, "
            "stock._download_request_with_page, within, work"
        )
    },
    "browsers/evidence.py": {BROWSER: "within"},
    "browsers/keeping.py": {
        BROWSER: (
            "make, self._create_browser_context, self._create_context, self._make_persistent, "
            "self._maybe_launch_browser, self.fleet.answers, self.fleet.launch, self.patiently"
        )
    },
    "browsers/page_life.py": {
        BROWSER: (
            "asyncio.wait, handle.close, screenshot, seen.wait, self._fleet.answers, within"
        )
    },
    "browsers/showing.py": {"five seconds": "asyncio.wait"},
    "browsers/slots.py": {BROWSER: ("self._wait, turn")},
    "cache/bounded.py": {"the seconds that it is given": "async with _limit(None), work"},
    "cache/cache.py": {
        OURS: (
            "asyncio.gather, self._read_many, self._refused, self._warmed, self.check, "
            "self.close, self.delete, self.fetch, self.read, self.remote.ask, "
            "self.remote.close, self.remote.refusal, self.write"
        )
    },
    "cache/of_crawl.py": {OURS: "remote.close, remote.refusal"},
    "cache/decorator.py": {OURS: "(cache or current()).clear, (cache or current()).fetch"},
    "cache/fetching.py": {
        THEIRS: "_awaited, result, self._lead",
        "RESILIENCE_CACHE_WAIT": "flight.wait",
        OURS: "self.read, self.write",
    },
    "cache/flights.py": {"RESILIENCE_CACHE_WAIT": "asyncio.wait"},
    "cache/redis_server.py": {
        CACHE: "bounded",
        OURS: "self._run, self._unlink, self.delete, self.get, self.set",
    },
    "cache/remote.py": {
        CACHE: "async with self.server.places, asyncio.wait, bounded",
        OURS: (
            "check, command, self._ask, self._delete, self._end_looking, self._undo, "
            "self.server.clear, self.server.close, self.server.delete, self.server.ping"
        ),
        TURN: "_clock.sleep",
    },
    "browsers/starting.py": {
        BROWSER: (
            "async with self.browser_launch_lock, asyncio.shield, asyncio.to_thread, "
            "asyncio.wait, contexts, self._failure_of_start, self._start, "
            "self._launch_with_new_driver, self._launched.wait, self._maybe_future_from_coro, "
            "self.browser_provider.launch_browser, self.browser_provider.start, "
            "self.fleet.launch, self.fleet.next_try, stock._maybe_launch_in_thread, within"
        )
    },
    "browsers/upkeep.py": {
        BROWSER: (
            "_clock.sleep, asyncio.to_thread, self.background.finish, self.contexts.tend, "
            "self.fleet.end, stock.close, super()._launch, super()._maybe_launch_in_thread, "
            "within"
        )
    },
    "checkpoint/barrier.py": {BARRIER: "asyncio.shield"},
    "checkpoint/commit.py": {
        COMMIT: "self._insist, self.seal, step, async with self.lock",
        BOUNDED: "self.waits.bounded",
        OURS: "waiting",
        TURN: "_clock.sleep",
    },
    "extensions/metrics.py": {SHORT: "asyncio.wait_for", OURS: "sent"},
    "extensions/report.py": {SHORT: "asyncio.wait"},
    "extensions/tracing.py": {SHORT: "asyncio.wait_for", OURS: "self._in_time"},
    "metrics.py": {THEIRS: "function"},
    "tracing.py": {THEIRS: "async for outputs, async with aclosing(made), function"},
    "observe/logs/log_calls.py": {THEIRS: "function, inner.aclose, resume"},
    "scheduling/output_sources.py": {
        USERS: "process, self._crawler.signals.send_catch_log_async",
        OURS: "self._failed",
    },
    "checkpoint/sinks.py": {BOUNDED: "self._waits.bounded", OURS: "asyncio.gather"},
    "waits.py": {BOUNDED: "asyncio.wait"},
    "seen/keeping.py": {
        BOUNDED: "self._job.waits.bounded, self._waits.bounded, waits.bounded",
        "what is waited for by that": "self._settled, work",
        OURS: "_close",
    },
    "checkpoint/run.py": {
        COMMIT: "self.committer.commit, self._commit",
        OURS: "part.closing, part.ended",
    },
    "checkpoint/room.py": {
        COMMIT: "self._canceller.quietly",
        TURN: "asyncio.wait_for",
    },
    "downloadermiddlewares/barrier.py": {BARRIER: "self._barrier.wait"},
    "downloadermiddlewares/breaker.py": {
        BYPASS: "self._admit_robots, self._wait, keeper.waits.for_cut",
        TURN: "keeper.waits.sleep",
    },
    "downloadermiddlewares/cost.py": {
        "until a budget has room, or the spider closes": "self._keeper.waits.sleep",
        BYPASS: "waits.for_cut",
        OURS: "self._leave",
    },
    "downloadermiddlewares/injection.py": {"the delay of its rule": "_clock.sleep"},
    "downloadermiddlewares/retry.py": {
        OURS: "self._again, self._handlers.ask, self._obey",
        BYPASS: "self._queue.delay",
    },
    "checkpoint/timer.py": {
        COMMIT: (
            "async with self._committer.lock, commit, self._commit, self._try_commit, "
            "self._task"
        ),
        BARRIER: "self._align",
        TURN: "asyncio.sleep, asyncio.wait_for",
    },
    "extensions/checkpoint.py": {
        COMMIT: "self._timer.end",
        "a thread of ours that is told to stop": "asyncio.to_thread",
    },
    "extensions/feedexport.py": {
        OURS: "self._close_spool, slot.produce",
        "a local file, or a storage without a JOBDIR, as in Scrapy": (
            "super()._close_slot, super().close_spider"
        ),
        "a few rows, behind what is being written": "asyncio.to_thread",
    },
    "extensions/shutdown.py": {
        "RESILIENCE_SHUTDOWN_TIMEOUT, with a thread that ends the process": (
            "async with committer.lock, asyncio.sleep, go_on_closing, self._cut, "
            "self.crawler.stop_async, written"
        ),
    },
    "extensions/snapshots.py": {
        BOUNDED: "self.job.waits.bounded, async with self._lock",
        COMMIT: "async with self._committer.lock, self._fresh.wait",
        OURS: "asyncio.gather, self._call, self._commit, self._create, self._try",
        TURN: "asyncio.wait_for",
    },
    "extensions/endpoint.py": {
        "two seconds": "asyncio.wait_for, self._server.listen",
        OURS: "self._server.close, self._starting, self.observer.health.refresh",
    },
    "observe/endpoint/answers.py": {
        OURS: "make, self._evidence, self._look, self._source.refresh_health",
        "a small file of the job": "asyncio.to_thread",
    },
    "observe/endpoint/connections.py": {"the seconds that it is given": "asyncio.wait_for"},
    "observe/health/crawl_health.py": {OURS: "self.registry.refresh"},
    "observe/health/calls.py": {
        "RESILIENCE_HEALTH_TIMEOUT or RESILIENCE_RECOVER_TIMEOUT": "asyncio.wait, function",
        OURS: "self._wait",
    },
    "extensions/abort.py": {BOUNDED: "waits_of(self.crawler).bounded"},
    "extensions/dryrun.py": {BOUNDED: "waits_of(self.crawler).bounded"},
    "extensions/notifications.py": {
        NOTICES: "self._notifier.finish, self._send_the_rest",
        OURS: "self._report, self._say_how_it_ended",
        "three seconds": "asyncio.wait_for",
    },
    "extensions/watchdog.py": {OURS: "self.meter.refresh"},
    "guard/abort.py": {OURS: "self._act, self._do, self._function.ask, self.snapshot"},
    "guard/abort_policy.py": {
        "RESILIENCE_ABORT_TIMEOUT": "asyncio.wait",
        OURS: "self._answer",
    },
    "guard/freeables.py": {BOUNDED: "waits_of(crawler).bounded", OURS: "_free"},
    "guard/pressure_actions.py": {BOUNDED: "waits_of(crawler).bounded", OURS: "free_all"},
    "spidermiddlewares/pause.py": {
        "whoever has paused the crawl, or its end": "self._pauses.barrier.wait",
        USERS: "async for start",
    },
    "guard/notify/apprise_service.py": {NOTICES: "asyncio.wait"},
    "guard/notify/leftovers.py": {
        NOTICES: "notifier.finish, sender.send",
        OURS: "_send, journal.ended",
    },
    "guard/notify/notifier.py": {
        NOTICES: "_clock.sleep, asyncio.wait, self._send, self._senders[name].send"
    },
    "guard/notify/webhook.py": {
        NOTICES: "asyncio.wait_for, self._send",
        "what is waited for by that": (
            "_resolve, answer.content.read, async with posting, async with session, found"
        ),
    },
    "observe/health/resources.py": {"the seconds that it is given": "asyncio.wait"},
    "guard/components.py": {OURS: "found.call.answer, self._registry.refresh"},
    "guard/stuck/downloads.py": {
        "DOWNLOAD_TIMEOUT and RESILIENCE_STUCK_TIMEOUT": "found.over, work",
        OURS: "self._directly, self._in_task",
    },
    "observe/health/registry.py": {HEALTH: "asyncio.wait", OURS: "self.call.answer"},
    "observe/endpoint/server.py": {
        "seconds, or the closer look at connections": (
            "asyncio.wait_for, response.prepare, response.write"
        ),
        "who listens: two seconds": "loop.create_server",
        "those who came before, a second for fifty": "async with self._line",
        OURS: (
            "self._answer, self._answers.answer, self._bind, self._connections.close, "
            "self._pause, self._send_updates, self._stream, self._turn"
        ),
    },
    "feeds/spooled_slot.py": {
        BOUNDED: "self._waits.bounded, self._bounded",
        OURS: "self._export, self._produce, store",
        TURN: "asyncio.sleep",
        "a rename of a local file": "asyncio.to_thread",
    },
    "observe/record/journal.py": {"two seconds at the end of the crawl": "asyncio.wait_for"},
    "gates/trials.py": {DOWNLOAD: "self._crawler.engine.download_async"},
    "gates/waiting.py": {BYPASS: "self._sleep, self.delay", TURN: "self._keeper.waits.sleep"},
    "gates/waits_in_process.py": {BYPASS: "self.sleep", TURN: "_clock.sleep"},
    "handlers.py": {BOUNDED: "waits_of(spider.crawler).bounded"},
    "retry.py": {
        "outside of a crawl: the user's own": (
            "fn() if begun is None else begun, retries.run, self._pause_async, "
            "self._retries._pause_async, slept, told"
        )
    },
    "scheduler.py": {COMMIT: "self._run.commit_before_feeds", OURS: "self._duplicates.close"},
    "scheduling/duplicates.py": {BOUNDED: "waits_of(self._crawler).bounded"},
    "pipelines/unique.py": {USERS: "other.wait"},
    "pipelines/sql.py": {
        DATABASE: "self.sink.take_back, waiting",
        BOUNDED: "self.sink.flush",
        OURS: "self.sink.close",
    },
    "sql/pages.py": {BOUNDED: "waits.bounded", OURS: "self._read_async"},
    "sql/sink.py": {
        BOUNDED: "self._waits.bounded",
        DATABASE: (
            "asyncio.shield, flushed, self._in_thread, self._insist, self._loaded, "
            "self.queue.flush, self.queue.room"
        ),
        OURS: "self.queue.close",
        TURN: "_clock.sleep",
    },
    "sql/row_queue.py": {
        BOUNDED: "self._waits.bounded",
        DATABASE: "self._in_thread, self._next_news, asyncio.shield",
        "a task that was cancelled": "asyncio.wait",
        TURN: "_clock.sleep",
    },
    "spidermiddlewares/start.py": {
        USERS: "async for self._unclaimed(start), async for start",
        TURN: "asyncio.sleep",
        BARRIER: "self._barrier.wait",
        COMMIT: "scheduler.committer.intake.wait",
    },
}
"""What is awaited in each module, by what bounds it."""


def awaited(module):
    """Yield what a module waits for."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Await):
            call = node.value
            yield ast.unparse(call.func if isinstance(call, ast.Call) else call)
        elif isinstance(node, ast.AsyncFor):
            yield f"async for {ast.unparse(node.iter)}"
        elif isinstance(node, ast.AsyncWith):
            yield from (f"async with {ast.unparse(item.context_expr)}" for item in node.items)


def test_each_wait_has_a_bound():
    """Whoever adds an await says here what ends it."""
    package = Path(scrapy_resilience.__file__).parent
    found = {
        str(module.relative_to(package)): set(awaited(module))
        for module in sorted(package.rglob("*.py"))
        if "testing" not in module.parts
    }
    listed = {
        module: {each for part in parts.values() for each in part.split(", ")}
        for module, parts in WAITS.items()
    }
    assert {module: each for module, each in found.items() if each} == listed

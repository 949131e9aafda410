"""What a stop does when: deadlines, cuts, and the end of the process."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.crawler import CrawlerProcessBase

from scrapy_resilience._scrapy.canceller import Canceller
from scrapy_resilience.checkpoint import exit_watchdog as module
from scrapy_resilience.checkpoint.exit_watchdog import ExitWatchdog
from scrapy_resilience.core.shutdown import Deadlines
from scrapy_resilience.exceptions import WorkCancelledError
from scrapy_resilience.exit_codes import exit_code
from scrapy_resilience.extensions import shutdown
from scrapy_resilience.names import FAILURES
from scrapy_resilience.settings import Config

# --- deadlines ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "cut", "end"),
    [(0, 0, 2), (1, 0, 2), (4, 2, 4), (10, 7.5, 10), (30, 25, 30), (600, 595, 600)],
)
def test_deadlines(timeout, cut, end):
    """Two to five seconds are left for the closing, a quarter of the time between."""
    assert Deadlines.of(timeout) == (cut, end)


@given(st.floats(0, 1e6))
def test_deadlines_are_in_order(timeout):
    """The cut comes before the end, and the end in time, from two seconds on."""
    deadlines = Deadlines.of(timeout)

    assert 0 <= deadlines.cut < deadlines.end
    assert deadlines.end <= max(timeout, 2)


def test_a_second_signal_is_impatient():
    """A first signal leaves the whole time, a second one a second."""
    deadlines = Deadlines.of(30)

    assert deadlines.seconds_left(again=False) == 30
    assert deadlines.seconds_left(again=True) == 1


# --- exit codes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "code"),
    [("finished", 0), ("shutdown", 75), ("memusage_exceeded", 75), ("closespider_itemcount", 0),
     ("of my own", 0), ("resilience_abort_mine", 75), ("resilience_abort_handler", 75),
     *((reason, 1) for reason in sorted(FAILURES))],
)  # fmt: skip
def test_exit_codes(reason, code):
    """A stop from outside is told from the end, and a failure from both."""
    assert exit_code(reason, Config()) == code


@pytest.mark.parametrize(
    ("reason", "complete", "code"),
    [
        ("finished", True, 0),
        ("finished", False, 3),
        ("closespider_itemcount", False, 3),
        ("resilience_abort_mine", False, 1),
        ("resilience_abort_handler", False, 75),
        ("shutdown", False, 75),
        ("start_error", False, 1),
    ],
)
def test_exit_codes_by_setting(reason, complete, code):
    """An abort is a failure, and what is incomplete has a code of its own, if that is set."""
    config = Config(abort_fails=True, incomplete_exit_code=3)
    assert exit_code(reason, config, complete=complete) == code


# --- cuts ---------------------------------------------------------------------------


def run(coroutine):
    """Run a coroutine in a loop of its own, beside that of pytest-twisted."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


async def hang():
    """Never come to an end."""
    await asyncio.get_running_loop().create_future()


def test_what_ends_by_itself():
    """Without a cut a coroutine's outcome is its own, and a cancellation is an error."""

    async def main():
        canceller = Canceller()
        assert await canceller.run(asyncio.sleep(0, "own"), lambda: "cut") == "own"
        task = asyncio.ensure_future(canceller.run(hang(), lambda: "cut"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(WorkCancelledError):
            await task

    run(main())


def test_a_cut():
    """A cut gives what was asked for instead, inside and outside, and lets nothing begin."""

    async def main():
        canceller, seen = Canceller(), []

        async def outer():
            seen.append(await canceller.run(hang(), lambda: "inner"))
            return "outer"

        task = asyncio.ensure_future(canceller.run(outer(), lambda: "cut"))
        await asyncio.sleep(0)
        canceller.cut()

        assert await task == "outer"
        assert seen == ["inner"]
        assert await canceller.run(hang(), lambda: "late") == "late"

    run(main())


def test_outputs():
    """Outputs end at the cut: a list's, and a generator's that waits or does not."""

    async def main():
        canceller, closed = Canceller(), []

        async def waits():
            yield 1
            await hang()

        async def closes():
            try:
                yield 1
                yield 2
            finally:
                closed.append(True)

        async def collect(result):
            return [output async for output in canceller.outputs(result)]

        listed = iter(canceller.outputs([1, 2, 3]))
        steady = canceller.outputs(closes())
        assert (next(listed), await steady.__anext__()) == (1, 1)
        task = asyncio.ensure_future(collect(waits()))
        await asyncio.sleep(0)
        canceller.cut()

        assert await task == [1]
        assert list(listed) == []
        assert [output async for output in steady] == []
        assert closed == [True]

    run(main())


# --- the end of the process ---------------------------------------------------------


class Process(CrawlerProcessBase):
    """Takes signals as Scrapy's own does, and stops nothing."""

    def __init__(self):
        self.bootstrap_failed = False
        self.received = []

    crawl = start = _stop_dfd = None

    def shutdown(self, number, _frame):
        """Put in the handler of the next signal, as Scrapy does."""
        self.received.append("shutdown")
        signal.signal(number, self.kill)

    def kill(self, number, _frame):
        """Ignore what comes after, as Scrapy does."""
        self.received.append("kill")
        signal.signal(number, signal.SIG_IGN)


Process.__abstractmethods__ = frozenset()


@pytest.fixture
def handlers():
    """Put the handlers of pytest back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def left():
    """A queue that gets an element when the process would end."""
    return SimpleQueue()


@pytest.mark.usefixtures("handlers")
def test_the_end_comes(left):
    """After a signal the process ends, when its time is over."""
    process = Process()
    signal.signal(signal.SIGTERM, process.shutdown)
    found = ExitWatchdog(lambda: left.put("end"))
    found.watch(1, Deadlines(0, 0))

    signal.raise_signal(signal.SIGTERM)

    assert left.get(timeout=10) == "end"
    assert process.received == ["shutdown"]
    assert found.signalled is not None


@pytest.mark.usefixtures("handlers")
def test_two_signals(left):
    """Scrapy's own handlers get each signal, and a script learns of the second."""
    process = Process()
    signal.signal(signal.SIGTERM, process.shutdown)
    found = ExitWatchdog(lambda: left.put("end"))
    found.watch(1, Deadlines(0, 600))
    assert found.seconds_left() is None

    signal.raise_signal(signal.SIGTERM)
    assert not process.bootstrap_failed
    assert 1 < found.seconds_left() <= 600
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)

    assert process.received == ["shutdown", "kill"]
    assert process.bootstrap_failed
    found.unwatch(1, lingers=False)


@pytest.mark.usefixtures("handlers")
def test_a_crawl_that_ended(left):
    """A script that has more to do after its crawls is left alone."""
    process = Process()
    signal.signal(signal.SIGTERM, process.shutdown)
    found = ExitWatchdog(lambda: left.put("end"))
    found.watch(1, Deadlines(0, 600))
    found.watch(2, Deadlines(0, 600))
    signal.raise_signal(signal.SIGTERM)

    found.unwatch(1, lingers=False)
    found.unwatch(2, lingers=False)
    assert left.empty()


@pytest.mark.usefixtures("handlers")
def test_other_handlers_stay(left):
    """The signal handler of a program that is neither Scrapy nor Twisted stays as it is."""

    def mine(*_):
        pass

    signal.signal(signal.SIGTERM, mine)
    ExitWatchdog(lambda: left.put("end")).watch(1, Deadlines(0, 0))

    assert signal.getsignal(signal.SIGTERM) is mine


def test_the_last_words(monkeypatch, caplog):
    """The end says what it is, and gives the code of a job that can be resumed."""
    codes = []
    monkeypatch.setattr(module.os, "_exit", codes.append)

    module._exit()

    assert codes == [75]
    assert "the next run goes on at the last commit" in caplog.text


@pytest.mark.parametrize("broken", [True, False])
def test_a_stop_with_a_broken_checkpoint(monkeypatch, broken):
    """After a commit that failed half-way a stop writes nothing, and nothing after it does."""
    begun = []

    def seal():
        begun.append(1)
        raise RuntimeError("of a component")

    async def nothing(_):
        pass

    monkeypatch.setattr(shutdown, "forget_queued", lambda _: None)
    monkeypatch.setattr(shutdown, "go_on_closing", nothing)
    stop = shutdown.Shutdown.__new__(shutdown.Shutdown)
    committer = SimpleNamespace(lock=asyncio.Lock(), broken=broken, abandoned=broken, seal=seal)
    in_flight = SimpleNamespace(freeze=lambda: None, under_way={})
    stop.crawler = SimpleNamespace(engine=None)
    stop._scheduler = SimpleNamespace(committer=committer, in_flight=in_flight)
    stop._hooks = SimpleNamespace(canceller=Canceller())

    run(stop._cut())

    assert len(begun) == (not broken)
    assert committer.abandoned

"""Commits that fail, wait and succeed; handlers of checkpoint_prepare."""

from __future__ import annotations

import asyncio
import sqlite3
import sys

import pytest
import pytest_twisted
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.test import get_crawler

from scrapy_resilience import signals
from scrapy_resilience.checkpoint import commit as commit_module
from scrapy_resilience.checkpoint.commit import Committer
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.checkpoint.sinks import Sinks
from scrapy_resilience.exceptions import SinkError, StorageError
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import Changes, Letter, MemoryStore


class Store(MemoryStore):
    """A store that fails as often as it is told to."""

    failures = 0

    def commit(self, changes):
        """Fail, or commit."""
        if self.failures:
            self.failures -= 1
            raise sqlite3.OperationalError("database or disk is full")
        super().commit(changes)


class Stats(dict):
    """Stats, as far as commits use them."""

    def inc_value(self, key):
        self[key] = self.get(key, 0) + 1

    def max_value(self, key, value):
        self[key] = max(self.get(key, value), value)


@pytest.fixture
def store():
    """A store that may fail."""
    return Store()


@pytest.fixture
def frontier(store):
    """A frontier over it."""
    return Frontier(store, limit=lambda _: 8)


@pytest.fixture(autouse=True)
def delays(monkeypatch):
    """No pauses between tries."""
    monkeypatch.setattr(commit_module, "_RETRY_DELAYS", (0,))


def contributing(function):
    """Return a part that adds to each commit."""
    part = Part()
    part.contribute = function
    return part


def run(steps):
    """Run a coroutine function in the event loop of the tests."""
    return deferred_from_coro(steps())


@pytest_twisted.ensureDeferred
async def test_a_commit_that_fails_is_written_later(store, frontier):
    """What was sealed is kept over errors, the intake is closed meanwhile, and then opens."""

    async def steps():
        committer = Committer(store, frontier, Stats())
        frontier.push("a", b"1")
        store.failures = 3
        writing = asyncio.ensure_future(committer.commit())
        while not committer.intake.up:  # noqa: ASYNC110 - a thread moves it
            await asyncio.sleep(0)
        frontier.push("a", b"2")
        await writing
        committer.close()
        return committer

    committer = await run(steps)

    assert not committer.intake.up
    assert [row.data for row in store.rows.values()] == [b"1"]
    assert frontier.changed == 1


@pytest_twisted.ensureDeferred
async def test_what_contributors_add_is_written(store, frontier):
    """Outputs, state and dead letters of a contributor are in the commit with the rows."""

    def contribute(changes):
        changes.outputs["1"] = b"out"
        changes.state["name"] = b"value"
        changes.letters.append(Letter(1, b"request", b"about"))

    async def steps():
        committer = Committer(store, frontier, Stats(), parts=[contributing(contribute)])
        await committer.commit()
        committer.close()

    await run(steps)

    assert store.letters(0, 9) == [Letter(1, b"request", b"about")]
    assert (store.outputs(), store.state()) == ({"1": b"out"}, {"name": b"value"})


@pytest_twisted.ensureDeferred
async def test_patience_ends(store, frontier):
    """A commit that fails for too long raises StorageError, and nothing is written after it."""

    async def steps():
        committer = Committer(store, frontier, Stats(), patience=0)
        frontier.push("a", b"1")
        store.failures = 2
        with pytest.raises(StorageError, match="disk is full"):
            await committer.commit()
        await committer.commit()
        committer.close()
        assert committer.broken

    await run(steps)
    assert store.rows == {}


@pytest_twisted.ensureDeferred
async def test_nothing_is_sealed_behind_what_was_not_written(store, frontier):
    """Whoever seals is told, and nobody is asked for what is new."""
    asked = []

    async def steps():
        committer = Committer(
            store, frontier, Stats(), patience=0, parts=[contributing(asked.append)]
        )
        store.failures = 2
        with pytest.raises(StorageError, match="disk is full"):
            await committer.commit()
        with pytest.raises(StorageError, match="was not written"):
            committer.seal()
        committer.close()

    await run(steps)
    assert len(asked) == 1


@pytest_twisted.ensureDeferred
async def test_a_contributor_that_fails_seals_nothing(store, frontier):
    """A feed that can't be flushed stops a commit before anything is sealed."""
    answers = [OSError("full"), OSError("full"), None]

    def contribute(changes):
        error = answers.pop(0)
        if error:
            raise error
        changes.state["feed"] = b"1"

    async def steps():
        committer = Committer(store, frontier, Stats(), parts=[contributing(contribute)])
        frontier.push("a", b"1")
        await committer.commit()
        committer.close()

    await run(steps)
    assert answers == []
    assert store.state() == {"feed": b"1"}
    assert len(store.rows) == 1


@pytest_twisted.ensureDeferred
async def test_threads_take_turns_faster_only_while_a_commit_is_written():
    """The interpreter's switch interval is as before when the commits have ended."""
    seen = []
    usual = sys.getswitchinterval()

    class Watching(Store):
        def commit(self, changes):
            seen.append(sys.getswitchinterval())

    async def steps():
        committers = [
            Committer(Watching(), Frontier(Watching(), limit=lambda _: 1), Stats())
            for _ in range(2)
        ]
        await asyncio.gather(*(committer.commit() for committer in committers))
        for committer in committers:
            committer.close()

    await run(steps)
    assert max(seen) < usual
    assert sys.getswitchinterval() == usual


# --- sinks ----------------------------------------------------------------------------------


class Handlers:
    """Handlers of ``checkpoint_prepare``, and what they were called for."""

    def __init__(self, crawler):
        self.calls = []
        self.failures = 0
        self.crawler = crawler

    def plain(self):
        self.calls.append("plain")

    async def slow(self):
        await asyncio.sleep(0)
        self.calls.append("slow")

    async def failing(self):
        if self.failures:
            self.failures -= 1
            raise ValueError("away")
        self.calls.append("failing")

    def failing_plainly(self):
        self.calls.append("try")
        if self.failures:
            self.failures -= 1
            raise ValueError("away")

    async def refusing(self):
        self.calls.append("refusing")
        assert self.calls.count("refusing") == 1
        return [Letter(5, b"r", b"a", b"o"), "no letter"]

    async def hanging(self):
        await asyncio.sleep(60)

    def connect(self, *names):
        for name in names:
            self.crawler.signals.connect(getattr(self, name), signals.checkpoint_prepare)


@pytest.fixture
def handlers():
    """Handlers to connect."""
    return Handlers(get_crawler())


@pytest_twisted.ensureDeferred
async def test_a_plain_handler_runs_at_the_seal(handlers):
    """A plain function has run when prepare returns, a coroutine runs when that is awaited."""
    handlers.connect("plain", "slow")

    async def steps():
        prepared = Sinks(handlers.crawler, 1).prepare()
        assert handlers.calls == ["plain"]
        await prepared()

    await run(steps)
    assert handlers.calls == ["plain", "slow"]


@pytest.mark.parametrize("name", ["failing", "failing_plainly"])
@pytest_twisted.ensureDeferred
async def test_only_the_handler_that_failed_is_called_again(handlers, name):
    """A handler that succeeded is called once for a commit, another one until it does."""
    handlers.connect("plain", name)
    handlers.failures = 2

    async def steps():
        prepared = Sinks(handlers.crawler, 1).prepare()
        for _ in range(2):
            with pytest.raises(SinkError, match="away"):
                await prepared()
        await prepared()

    await run(steps)
    assert handlers.calls.count("plain") == 1
    assert handlers.failures == 0
    assert handlers.crawler.stats.get_value("resilience/checkpoint/prepare_errors") == 2


@pytest_twisted.ensureDeferred
async def test_letters_of_handlers_are_in_their_commit(store, frontier, handlers):
    """What a sink has refused is told in the commit that makes it durable, and once."""
    handlers.connect("refusing", "failing")
    handlers.failures = 2

    async def steps():
        late = Part()
        late.prepared = lambda changes, letters: changes.letters.extend(letters)
        committer = Committer(
            store, frontier, Stats(), parts=[Sinks(handlers.crawler, 1), late]
        )
        await committer.commit()
        committer.close()

    await run(steps)
    assert store.letters(0, 10) == [Letter(5, b"r", b"a", b"o")]


@pytest_twisted.ensureDeferred
async def test_a_handler_that_hangs(handlers):
    """A handler that is not done in time fails."""
    handlers.connect("hanging")

    async def steps():
        with pytest.raises(SinkError, match="not done in time"):
            await Sinks(handlers.crawler, 0.01).prepare()()

    await run(steps)


@pytest_twisted.ensureDeferred
async def test_a_commit_waits_for_its_sinks(store, frontier, handlers):
    """Nothing is written while a handler fails, all of it once it succeeds."""
    handlers.connect("failing")
    handlers.failures = 3

    async def steps():
        written = []
        noting = Part()
        noting.written = lambda: written.append(handlers.calls[:])
        committer = Committer(
            store, frontier, Stats(), parts=[Sinks(handlers.crawler, 1), noting]
        )
        frontier.push("a", b"1")
        await committer.commit()
        committer.close()
        return written

    assert await run(steps) == [["failing"]]
    assert len(store.rows) == 1


@pytest_twisted.ensureDeferred
async def test_syncs_come_before_the_transaction(frontier):
    """What must be on the disk first is called in the writing thread, before the rows."""
    order = []

    class Ordered(Store):
        def commit(self, changes):
            for sync in changes.syncs:
                sync()
            order.append("rows")

    async def steps():
        feed = contributing(lambda changes: changes.syncs.append(lambda: order.append("feed")))
        committer = Committer(Ordered(), frontier, Stats(), parts=[feed])
        await committer.commit()
        committer.close()

    await run(steps)
    assert order == ["feed", "rows"]
    assert Changes().syncs == []

"""The thread that sees when an event loop stands still."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from scrapy_resilience.guard.stuck.loop_watch import Listener, loop_watch

AFTER = 0.2


class Told(Listener):
    """Notes what it is told, and by which thread."""

    def __init__(self):
        self.found = []

    def stands(self, place):
        """Note it: the loop still stands."""
        self.found.append(("stands", place, threading.current_thread().name))

    def stood(self, place):
        """Note it, in the loop."""
        asyncio.get_running_loop()
        self.found.append(("stood", place))

    def over(self, place, seconds):
        """Note it, in the loop."""
        asyncio.get_running_loop()
        assert seconds >= AFTER
        self.found.append(("over", place))


def run(coroutine):
    """Return its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


def block(told):
    """Sleep until somebody has seen it."""
    while not told.found:
        time.sleep(0.01)


def test_crawls_of_one_loop_share_a_thread():
    """Each is told; one that ends leaves it to the other, and the last one ends it."""
    first, second = Told(), Told()

    async def scenario():
        ends = [loop_watch(AFTER, each) for each in (first, second)]
        await asyncio.sleep(0.05)
        watching = [each for each in threading.enumerate() if "loop-watch" in each.name]
        assert len(watching) == 1
        block(first)
        await asyncio.sleep(0.1)
        ends[0]()
        second.found.clear()
        block(second)
        await asyncio.sleep(0.1)
        ends[1]()
        watching[0].join(60)

    run(scenario())
    assert [each[0] for each in first.found] == ["stands", "stood", "over"]
    assert [each[0] for each in second.found] == ["stands", "stood", "over"]
    assert first.found[0][1].startswith("block (")
    assert first.found[0][2] == "resilience-loop-watch"


class SlowLog(logging.Handler):
    """Takes longer than what is left of the crawl."""

    def emit(self, record):
        """Let the loop be quicker."""
        time.sleep(0.05)


@pytest.fixture
def slow_log():
    """A log in which the thread that watches is held up."""
    handler = SlowLog()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


@pytest.mark.usefixtures("slow_log")
def test_what_stands_at_the_end_is_told():
    """A crawl that ends in the turn in which its loop goes on."""
    told = Told()

    async def scenario():
        end = loop_watch(AFTER, told)
        await asyncio.sleep(0.05)
        block(told)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        end()

    run(scenario())
    assert [each[0] for each in told.found] == ["stands", "stood", "over"]


def test_a_loop_that_turns_is_left_alone():
    """However much it has to do."""
    told = Told()

    async def scenario():
        end = loop_watch(AFTER, told)
        for _ in range(200):
            await asyncio.sleep(0.005)
        end()

    run(scenario())
    assert told.found == []


def test_what_lets_no_other_thread_run():
    """A regular expression that goes through all it can match is told behind it."""
    told = Told()

    async def scenario():
        end = loop_watch(AFTER, told)
        await asyncio.sleep(0.05)
        length, began = 18, time.thread_time()
        while time.thread_time() - began < 3 * AFTER:
            began, length = time.thread_time(), length + 1
            re.match("(a+)+$", "a" * length + "b")
        await asyncio.sleep(0.1)
        end()

    run(scenario())
    assert [each[0] for each in told.found] == ["stands", "stood", "over"]
    assert "scenario (" in told.found[0][1]

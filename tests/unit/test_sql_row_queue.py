"""Rows wait for a batch or a commit, and for a database that is away."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from scrapy import Spider
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.sqlrows import Row
from scrapy_resilience.exceptions import RowRefusedError, SinkError
from scrapy_resilience.sql.row_queue import RowQueue
from scrapy_resilience.sql.writer import BadRow, Outcome
from scrapy_resilience.waits import Waits


class Database:
    """Takes what is written, but for rows of the table ``bad``; or is away."""

    def __init__(self):
        self.batches = []
        self.away = False
        self.attempts = []
        self.hold = threading.Event()
        self.hold.set()

    def write(self, rows, attempts=3):
        self.hold.wait(20)
        self.attempts.append(attempts)
        if self.away:
            raise SinkError("connection refused")
        self.batches.append([row.key[0] for row in rows])
        return Outcome([BadRow(row, "no") for row in rows if row.table == "bad"], retries=1)

    @property
    def keys(self):
        return [key for batch in self.batches for key in batch]


class Case:
    """A writer of batches of four, and its database."""

    def __init__(self, *, limit=10):
        self.stats = MemoryStatsCollector(get_crawler(Spider))
        self.database = Database()
        self.queue = RowQueue(self.database.write, self.stats, Waits(), batch=4, limit=limit)

    def add(self, *keys, table="t"):
        for key in keys:
            self.queue.add(Row(table, (key,), {"k": key}, size=1))

    def stat(self, name):
        return self.stats.get_value(f"resilience/sql/{name}", 0)


def run(scenario):
    """Run a scenario in an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, scenario()).result(60)


async def until(condition):
    """Wait for threads, which tell nobody."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


def test_a_full_batch_is_written():
    """The rows behind it wait."""

    async def scenario():
        case = Case()
        case.add(0, 1, 2)
        await asyncio.sleep(0)
        assert case.database.batches == []
        case.add(3, 4)
        await until(lambda: len(case.queue) == 1)
        assert case.database.batches == [[0, 1, 2, 3]]
        assert (case.stat("rows"), case.stat("batches"), case.stat("retries")) == (4, 1, 1)
        assert case.stat("seconds") >= case.stat("seconds_max") >= 0
        await case.queue.close()

    run(scenario)


def test_a_flush_writes_all_rows_up_to_now():
    """Those that come meanwhile may be in, and are not waited for."""

    async def scenario():
        case = Case()
        case.add(0, 1)
        flushed = case.queue.flush()
        case.add(2)
        await flushed
        assert case.database.keys[:2] == [0, 1]
        await case.queue.flush()
        assert case.database.keys == [0, 1, 2]
        await case.queue.flush()  # of nothing
        await case.queue.close()

    run(scenario)


def test_bad_rows_are_told():
    """With the message of the database; they don't count as written."""

    async def scenario():
        case, bad = Case(), []
        case.queue.on_bad = bad.append
        case.add(0)
        case.add(1, table="bad")
        await case.queue.flush()
        assert [(each.row.key, each.message) for each in bad] == [((1,), "no")]
        assert (case.stat("rows"), case.stat("bad_rows")) == (1, 1)
        await case.queue.close()

    run(scenario)


def test_rows_wait_for_a_database_that_is_away(caplog):
    """A commit fails, all goes on by itself when it is back, and it is said once."""
    caplog.set_level(logging.INFO, "scrapy_resilience")

    async def scenario():
        case = Case()
        case.database.away = True
        case.add(0, 1)
        with pytest.raises(SinkError, match="the database is away: connection refused"):
            await case.queue.flush()
        again = asyncio.ensure_future(asyncio.wait_for(case.queue.flush(), 20))
        await until(lambda: len(case.database.attempts) > 2)
        assert not again.done()  # it is patient, as the outage is known
        case.database.away = False
        await again
        assert case.database.keys == [0, 1]
        assert case.database.attempts[:2] == [3, 1]
        assert case.stat("outages") == 1
        await case.queue.close()

    run(scenario)
    told = [each.getMessage() for each in caplog.records if each.name.endswith("sql.row_queue")]
    assert told[0] == "The database is away (connection refused): rows wait"
    assert told[1].startswith("The database is back after ")
    assert len(told) == 2


def test_a_commit_is_not_patient_for_ever(fake_clock):
    """It fails again after some seconds, so that somebody counts how long it has waited."""

    async def scenario():
        case = Case()
        case.database.away = True
        case.add(0)
        with pytest.raises(SinkError):
            await case.queue.flush()
        again = asyncio.ensure_future(case.queue.flush())
        for _ in range(40):
            await asyncio.sleep(0.01)
            fake_clock.advance(0.25)
        with pytest.raises(SinkError):
            await again
        await case.queue.close()

    run(scenario)


def test_pipelines_wait_for_room():
    """More rows than the buffer takes wait for the database; none is lost."""

    async def scenario():
        case = Case(limit=4)
        case.database.hold.clear()
        case.add(0, 1, 2, 3)
        assert case.queue.is_full
        waiting = asyncio.ensure_future(case.queue.room())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        case.database.hold.set()
        await waiting
        case.add(4)
        await case.queue.flush()
        assert case.database.keys == [0, 1, 2, 3, 4]
        await case.queue.close()

    run(scenario)


def test_room_has_an_end_where_nobody_writes_the_rows_later():
    """An item is refused when the database is away and the crawl has waited long enough."""

    async def scenario():
        case = Case(limit=4)
        case.database.away = True
        case.add(0, 1, 2, 3)
        over = []
        waiting = asyncio.ensure_future(case.queue.room(lambda: bool(over)))
        await until(lambda: len(case.database.attempts) > 1)
        assert not waiting.done()
        over.append(1)
        with pytest.raises(RowRefusedError, match="the database is away: connection refused"):
            await asyncio.wait_for(waiting, 20)
        await case.queue.close()

    run(scenario)


def test_large_rows_fill_the_buffer_too():
    """What counts is the memory that they take."""

    async def scenario():
        case = Case()
        case.queue.add(Row("t", (0,), {}, size=40_000_000))
        assert case.queue.is_full
        await case.queue.room()
        assert case.database.keys == [0]
        await case.queue.close()

    run(scenario)


def test_a_fault_of_ours_holds_the_rows():
    """Whatever a thread raises: the rows stay, and the commit fails."""

    async def scenario():
        case = Case()
        case.database.hold = None
        case.add(0)
        with pytest.raises(SinkError, match="AttributeError"):
            await case.queue.flush()
        assert len(case.queue) == 1
        await case.queue.close()

    run(scenario)

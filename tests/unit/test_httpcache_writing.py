"""Entries wait for their store in a thread; a store that fails rests, and is told of once."""

from __future__ import annotations

from threading import Event

import pytest

from scrapy_resilience.httpcache.access import Access
from scrapy_resilience.httpcache.entries import Entry
from scrapy_resilience.httpcache.writing import WriteBehind

SECONDS = 60


def entry(key, data=b"data"):
    """An entry of no time."""
    return Entry(key, 0.0, data)


class Slow:
    """A store that writes when it may."""

    def __init__(self):
        self.batches = []
        self.began, self.may = Event(), Event()

    def __call__(self, entries):
        self.began.set()
        assert self.may.wait(SECONDS)
        self.batches.append([each.data for each in entries])


@pytest.fixture
def slow():
    """A store that is let go at the end."""
    store = Slow()
    yield store
    store.may.set()


def test_what_waits_is_written_together(slow):
    """In one batch, the newest of each key, in the order in which they came."""
    behind = WriteBehind(slow)
    behind.put(entry(b"1", b"first"))
    assert slow.began.wait(SECONDS)
    for data in (b"old", b"new"):
        behind.put(entry(b"2", data))
    behind.put(entry(b"3", b"last"))
    slow.may.set()

    assert behind.close(lambda: None, SECONDS)
    assert slow.batches == [[b"first"], [b"new", b"last"]]


def test_what_is_on_its_way_can_be_read(slow):
    """While it waits, and while it is written; then the store has it."""
    behind = WriteBehind(slow)
    behind.put(entry(b"1", b"written"))
    assert slow.began.wait(SECONDS)
    behind.put(entry(b"2", b"waiting"))

    assert behind.get(b"1") == b"written"
    assert behind.get(b"2") == b"waiting"
    assert behind.get(b"3") is None
    slow.may.set()
    behind.close(lambda: None, SECONDS)
    assert behind.get(b"1") is None


def test_what_waits_is_bounded(slow):
    """Until something was written; one entry is always taken."""
    behind = WriteBehind(slow, most=10)
    assert behind.put(entry(b"1", b"x" * 100))
    assert slow.began.wait(SECONDS)
    assert not behind.put(entry(b"2"))
    slow.may.set()
    free = Event()
    behind.do(free.set)
    assert free.wait(SECONDS)

    assert behind.put(entry(b"2"))
    behind.close(lambda: None, SECONDS)
    assert slow.batches[-1] == [b"data"]


def test_the_same_page_again_takes_no_more_room(slow):
    """What it replaces is not counted."""
    behind = WriteBehind(slow, most=10)
    behind.put(entry(b"1", b""))
    assert slow.began.wait(SECONDS)

    for _ in range(5):
        assert behind.put(entry(b"2", b"12345"))
    assert not behind.put(entry(b"3", b"123456"))


def test_a_close_has_an_end(slow):
    """A store that hangs does not keep the process; one that works is closed last."""
    hanging = WriteBehind(slow)
    hanging.put(entry(b"1"))
    assert slow.began.wait(SECONDS)
    assert not hanging.close(lambda: None, 0)

    order = []
    behind = WriteBehind(lambda _: order.append("written"))
    behind.put(entry(b"1"))
    assert behind.close(lambda: order.append("closed"), SECONDS)
    assert order == ["written", "closed"]


# --- a store that fails ------------------------------------------------------------------


def told(caplog):
    """What was logged, without the error."""
    return [message.partition(":")[0] for message in caplog.messages]


def test_a_store_that_fails_rests(fake_clock):
    """Twice as long each time, up to half a minute; a minute later it is the first time."""
    access = Access("read", "it")
    assert not access.rests
    rests = []
    for _ in range(7):
        access.failed("down")
        begin = fake_clock.now
        while access.rests:
            fake_clock.advance(0.5)
        rests.append(fake_clock.now - begin)
    assert rests == [1, 2, 4, 8, 16, 30, 30]

    fake_clock.advance(60)
    access.failed("down")
    fake_clock.advance(1)
    assert not access.rests


def test_it_is_told_of_once(caplog):
    """Until it works; then that is told, and the next failure."""
    caplog.set_level("INFO")
    access = Access("read", "the disk")
    for _ in range(3):
        access.failed(OSError("down."))
    access.worked()
    access.worked()
    access.failed("ill")

    assert caplog.messages == [
        "The HTTP cache can't read pages, which go on without it: down. Look after the disk",
        "The HTTP cache can read pages again",
        "The HTTP cache can't read pages, which go on without it: ill. Look after the disk",
    ]


def test_pages_are_counted():
    """Those that were tried, and those that were not."""
    access = Access("store", "it")
    access.failed("down", 3)
    access.lose()

    assert access.lost == 4


def test_no_password_is_told(caplog):
    """Whatever an error says."""
    Access("read", "it").failed(OSError("redis://me:hunter2@host:1/ is away"))

    assert "hunter2" not in caplog.text

"""Order.place against Scrapy's own priority queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request, Spider
from scrapy.pqueues import ScrapyPriorityQueue
from scrapy.squeues import FifoMemoryQueue, LifoMemoryQueue
from scrapy.utils.test import get_crawler

from scrapy_resilience.frontier.lane import Order
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore

QUEUES = {True: LifoMemoryQueue, False: FifoMemoryQueue, None: None}
orders = st.builds(Order, st.booleans(), st.sampled_from([None, True, False]))
pushes = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), max_size=25)
plays = st.lists(st.none() | st.tuples(st.integers(-3, 3), st.booleans()), max_size=40)
CRAWLER = get_crawler(Spider)


def scrapys_queue(order):
    """Return Scrapy's queue of the same order."""
    return ScrapyPriorityQueue.from_crawler(
        CRAWLER, QUEUES[order.lifo], "", start_queue_cls=QUEUES[order.start_lifo]
    )


def make(number, priority, start):
    """Return a request as the engine gives it to a scheduler."""
    meta = {"is_start_request": True} if start else {}
    return Request(f"http://a.test/{number}", priority=priority, meta=meta)


@given(orders, pushes)
def test_rows_are_sorted_as_scrapy_pops(order, pushed):
    """The places of requests sort in the order in which Scrapy's queue gives them back."""
    queue, places = scrapys_queue(order), []
    for number, (priority, start) in enumerate(pushed, 1):
        request = make(number, priority, start)
        queue.push(request)
        places.append((order.place(number, priority, start=start), request))
    places.sort(key=lambda place: place[0])

    assert [queue.pop() for _ in pushed] == [request for _, request in places]
    assert queue.pop() is None


@given(orders, plays)
def test_a_lane_pops_as_scrapy_does(order, play):
    """One slot of the frontier behaves as Scrapy's queue at any mix of pushes and pops."""
    queue = scrapys_queue(order)
    frontier = Frontier(MemoryStore(), limit=lambda _: 10**6, order=order)
    for number, step in enumerate(play):
        if step is None:
            found = frontier.pop(0.0)
            assert queue.pop() is (found and found.row.data)
        else:
            priority, start = step
            request = make(number, priority, start)
            queue.push(request)
            frontier.push("a.test", request, priority=priority, start=start)


@given(orders, st.lists(st.tuples(st.integers(), st.booleans()), min_size=1, max_size=20))
def test_any_priority_fits_into_a_column(order, pushed):
    """The place of a request of any priority is made of numbers that SQLite can hold."""
    for number, (priority, start) in enumerate(pushed, 1):
        for part in order.place(number, priority, start=start):
            assert -(2**63) <= part < 2**63


@given(orders, st.integers(1, 2**62), st.integers(-3, 3), st.booleans())
def test_a_row_knows_its_number(order, number, priority, start):
    """The number of a row is the absolute value of its order."""
    _, place = order.place(number, priority, start=start)

    assert abs(place) == number


@pytest.mark.parametrize(("lifo", "expected"), [(True, [3, 2, 1]), (False, [1, 2, 3])])
def test_equal_priorities_go_by_age(lifo, expected):
    """Newest first with LIFO, oldest first with FIFO."""
    order = Order(lifo=lifo)

    assert sorted([1, 2, 3], key=lambda number: order.place(number, 0, start=False)) == expected

"""Places of pages: taken in turn, given back once."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from scrapy_resilience.browsers.bounded import Background, LateError, within
from scrapy_resilience.browsers.slots import PageSlots


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


def test_a_place_is_given_back_once():
    """Whoever hears twice of the end of a page frees one place."""

    async def scenario():
        slots = PageSlots(2)
        first, _ = await slots.acquire("a", 1), await slots.acquire("a", 1)
        first.release()
        first.release()
        return slots.used("a")

    assert run(scenario()) == 1


def test_places_are_had_in_turn():
    """Who waits longest gets the place that is free."""

    async def scenario():
        slots, order = PageSlots(1), []

        async def visit(number):
            slot = await slots.acquire("a", 10)
            order.append(number)
            await asyncio.sleep(0)
            slot.release()

        await asyncio.gather(*map(visit, range(5)))
        return order, slots.used("a")

    assert run(scenario()) == ([0, 1, 2, 3, 4], 0)


def test_a_wait_for_a_place_ends():
    """It is an error when there is none in time, and the next one still gets it."""

    async def scenario():
        slots = PageSlots(1)
        held = await slots.acquire("a", 1)
        with pytest.raises(LateError):
            await slots.acquire("a", 0.01)
        held.release()
        await slots.acquire("a", 0.01)
        return slots.used("a")

    assert run(scenario()) == 1


@pytest.mark.parametrize("seed", range(20))
def test_cancelled_waits(seed):
    """However requests are cancelled, no place is lost and none is given twice."""

    async def scenario():
        rng, slots, most = random.Random(seed), PageSlots(3), 0

        async def visit():
            nonlocal most
            slot = await slots.acquire("a", 10)
            try:
                most = max(most, slots.used("a"))
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                slot.release()

        tasks = [asyncio.ensure_future(visit()) for _ in range(40)]
        while any(not task.done() for task in tasks):
            await asyncio.sleep(0)
            rng.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return most, slots.used("a")

    most, left = run(scenario())
    assert most <= 3
    assert left == 0


def test_work_that_does_not_heed_that_it_is_cancelled():
    """Who waits for it goes on all the same."""

    async def scenario():
        going_on = True

        async def stubborn():
            while going_on:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.01)

        with pytest.raises(LateError):
            await within(stubborn(), 0.01)
        going_on = False
        await asyncio.sleep(0.05)

    run(scenario())


def test_the_end_of_what_nobody_waits_for():
    """Work in the background is cut off at the end."""

    async def scenario():
        background, cut = Background(), []

        async def work():
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                cut.append(True)
                raise

        background.run(work())
        await asyncio.sleep(0)
        await background.finish(0.01)
        await asyncio.sleep(0)
        return cut

    assert run(scenario()) == [True]

"""Calls of functions of the user's, for a bounded time."""

from __future__ import annotations

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from scrapy_resilience.observe.health.calls import BoundedCall

TIMEOUT = 0.3


def run(coroutine):
    """Return its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


async def in_steps():
    """Answer a database, say, in two round trips."""
    await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)
    return True


def test_a_loop_that_was_blocked_meanwhile():
    """Or a process that was stopped: the function had no chance to answer in time."""

    async def scenario():
        answer = asyncio.ensure_future(BoundedCall(in_steps, "check").answer(TIMEOUT))
        await asyncio.sleep(0.01)
        time.sleep(3 * TIMEOUT)  # noqa: ASYNC251 - that is what it is about
        return await answer

    assert run(scenario()) is True


def test_one_that_never_answers():
    """It is told, blocked or not."""

    async def scenario():
        call = BoundedCall(never, "check")
        answer = asyncio.ensure_future(call.answer(TIMEOUT))
        await asyncio.sleep(0.01)
        time.sleep(3 * TIMEOUT)  # noqa: ASYNC251 - as above
        await answer

    async def never():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(asyncio.TimeoutError):
        run(scenario())


@pytest.mark.parametrize("turns", range(6))
def test_one_that_fails_when_nobody_asks_any_more(turns):
    """The end of a crawl may come in any turn of the loop: none has an error left over."""
    left_over = []

    async def fails():
        raise OSError("away")

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda _, what: left_over.append(what))
        call = BoundedCall(fails, "check")
        answer = asyncio.ensure_future(call.answer(TIMEOUT))
        for _ in range(turns):
            await asyncio.sleep(0)
        answer.cancel()
        await asyncio.wait([answer])
        answer.cancelled() or answer.exception()
        del answer, call
        gc.collect()

    run(scenario())

    assert left_over == []

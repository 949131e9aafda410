"""Contexts that are replaced: when the next one is made, and what it is made beside."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from scrapy_resilience.browsers.bounded import Background, LateError
from scrapy_resilience.browsers.contexts import Contexts, Kept
from scrapy_resilience.browsers.fleet import Running
from scrapy_resilience.settings import Config


class Handle:
    """A context of Playwright that takes its time to close."""

    def __init__(self, maker):
        self.maker = maker

    async def cookies(self):
        return []

    async def storage_state(self):
        return {"cookies": [], "origins": []}

    async def close(self):
        self.maker.events.append("closing")
        for _ in range(10):
            await asyncio.sleep(0)
        if self.maker.hangs:
            raise LateError
        self.maker.events.append("closed")
        self.maker.contexts.closed(self)


class Maker:
    """A handler whose contexts are worn after one page; what it does is in *events*."""

    def __init__(self, most, *, hangs):
        self.events = []
        self.hangs = hangs
        fleet = SimpleNamespace(context_closed=lambda _: None, kill=self.kill)
        logins = SimpleNamespace(of=lambda _: None, note=lambda *_: None)
        stats = SimpleNamespace(inc_value=lambda *_: None)
        config = Config(browser_context_pages=1)
        self.background = Background()
        self.contexts = Contexts(
            self, fleet, config, stats, self.background, logins=logins, most=most
        )

    async def make_context(self, name, kwargs, _):
        self.events.append("made")
        is_persistent = "user_data_dir" in kwargs
        handle, running = Handle(self), Running("", 0.0)
        self.contexts.add(Kept(name, handle, running, kwargs, is_persistent, 0.0, 0.0))

    def forget_context(self, name, context):
        pass

    def kill(self, _):
        self.events.append("killed")

    async def visit(self, kwargs):
        self.contexts.leave(await self.contexts.enter("a", kwargs, None))


def visit_twice(kwargs, most, *, hangs=False):
    """What happens while a context is worn after its first page."""

    async def scenario():
        maker = Maker(most, hangs=hangs)
        await maker.visit(kwargs)
        await maker.visit(kwargs)
        await maker.background.finish(10)
        return maker.events

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, scenario()).result(60)


@pytest.mark.parametrize(("kwargs", "most"), [({"user_data_dir": "a"}, None), ({}, 1)])
def test_the_last_one_is_closed_before(kwargs, most):
    """Two browsers can't have one folder, and a limit of contexts is one."""
    assert visit_twice(kwargs, most) == ["made", "closing", "closed", "made"]


def test_one_that_does_not_close_is_killed_before():
    """Or its folder would not be free."""
    events = visit_twice({"user_data_dir": "a"}, None, hangs=True)

    assert events == ["made", "closing", "killed", "made"]


def test_the_next_one_does_not_wait():
    """Where both may be there, a page need not wait for a close."""
    events = visit_twice({}, None)

    assert sorted(events) == ["closed", "closing", "made", "made"]
    assert events[-1] == "closed"

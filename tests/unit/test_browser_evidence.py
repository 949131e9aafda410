"""What a page in the browser tells of an error, and how long it stays for that."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from scrapy import Request

from scrapy_resilience.browsers.bounded import Background
from scrapy_resilience.browsers.evidence import Console
from scrapy_resilience.browsers.page_life import OpenPages
from scrapy_resilience.browsers.slots import PageSlots
from scrapy_resilience.observe.browser_views import BrowsersView, browsers_of
from scrapy_resilience.observe.metrics.browser_metrics import BROWSER_METRICS
from scrapy_resilience.observe.record.samples import MAX_SCREENSHOT, image_type
from scrapy_resilience.observe.view import View

NUMBERS = [name for name in BrowsersView.__struct_fields__ if name not in {"used", "failure"}]
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"


class Handle:
    """A page of Playwright, as far as we use it."""

    url = "http://a.test/"

    def __init__(self, picture=PNG):
        self.viewport_size = {"width": 4000, "height": 100}
        self.heard = {}
        self.closed = False
        self.asked = []
        self.picture = picture
        self.frames = [self]
        self.late = asyncio.Event()
        self.late.set()

    def on(self, event, handler):
        self.heard.setdefault(event, []).append(handler)

    def remove_listener(self, event, handler):
        self.heard[event].remove(handler)

    def say(self, event, *args):
        for handler in list(self.heard.get(event, ())):
            handler(*args)

    def is_closed(self):
        return self.closed

    def locator(self, what):
        return what

    async def screenshot(self, **options):
        self.asked.append(options)
        await self.late.wait()
        if isinstance(self.picture, Exception):
            raise self.picture
        return JPEG if options.get("type") == "jpeg" else self.picture

    async def close(self):
        self.closed = True
        self.say("close", self)


class Pages:
    """Open pages of a crawl that is not there."""

    def __init__(self, *, looks=True):
        self.slots = PageSlots(4)
        self.stats = SimpleNamespace(inc_value=lambda *_: None)
        self.open = OpenPages(
            None, Background(), self.stats, lambda _: None, lambda _: None, looks=looks
        )

    async def had(self, handle):
        """A page, and the request that it was downloaded for."""
        page = self.open.add(handle, object(), await self.slots.acquire("a", 1))
        page.in_use = 0
        request = Request("http://a.test/")
        self.open.had(request, page)
        self.open.linger(page)
        return page, request


def run(scenario):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, scenario()).result(60)


async def turns(count=10):
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


# --- how long it stays ----------------------------------------------------------------


def test_a_page_stays_until_its_request_is_through():
    """And then its place is free."""

    async def scenario():
        pages = Pages()
        _, request = await pages.had(handle := Handle())
        await turns()
        assert pages.open.lingers(request)
        assert not handle.closed
        pages.open.through(request)
        await turns()
        assert handle.closed
        assert (len(pages.open), pages.slots.used("a")) == (0, 0)
        pages.open.through(request)

    run(scenario)


def test_a_page_stays_for_a_moment_only(fake_clock):
    """Whatever its callback does, or if it has none."""

    async def scenario():
        pages = Pages()
        _, waits = await pages.had(one := Handle())
        _, begins = await pages.had(two := Handle())
        pages.open.called_back(begins)
        for seconds, closed in [(0.2, []), (0.2, [two]), (0.5, [two]), (0.2, [one, two])]:
            fake_clock.advance(seconds)
            await turns()
            assert [each for each in (one, two) if each.closed] == closed
        assert pages.slots.used("a") == 0
        assert not any(map(pages.open.lingers, (waits, begins)))

    run(scenario)


def test_without_screenshots_a_page_does_not_stay():
    """Nor is its console listened to."""

    async def scenario():
        pages = Pages(looks=False)
        page, request = await pages.had(handle := Handle())
        await turns()
        assert handle.closed
        assert page.console is None
        assert pages.open.look(request) is None

    run(scenario)


def test_who_looks_at_a_page_looks_before_it_is_closed(fake_clock):
    """Though its request is through."""

    async def scenario():
        pages = Pages()
        _, request = await pages.had(handle := Handle())
        handle.late.clear()
        look = asyncio.ensure_future(pages.open.look(request))
        pages.open.through(request)
        await turns()
        assert not handle.closed
        handle.late.set()
        assert (await look)[0] == PNG
        fake_clock.advance(0.1)
        await turns()
        assert handle.closed

    run(scenario)


def test_a_page_that_is_gone_tells_what_its_console_said():
    """A crash leaves no more of it."""

    async def scenario():
        pages = Pages()
        _, request = await pages.had(handle := Handle())
        handle.say("pageerror", SimpleNamespace(name="TypeError", message="no price"))
        handle.say("crash", handle)
        await turns()
        found = await pages.open.look(request)
        assert handle.asked == []
        return found

    assert run(scenario) == (b"", ["Uncaught TypeError: no price"])


# --- how it looks ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "found"),
    [
        (PNG, PNG),
        (PNG + bytes(MAX_SCREENSHOT), JPEG),
        (RuntimeError("Target crashed"), b""),
    ],
)
def test_a_screenshot_is_bounded(picture, found):
    """In its size on the screen and in bytes; one that can't be taken is none."""

    async def scenario():
        pages = Pages()
        _, request = await pages.had(handle := Handle(picture))
        taken, _ = await pages.open.look(request)
        assert handle.asked[0]["clip"] == {"x": 0, "y": 0, "width": 1280, "height": 100}
        assert "password" in handle.asked[0]["mask"][0]
        return taken

    assert run(scenario) == found


@pytest.mark.parametrize(("frames", "found"), [(3, PNG), (50, PNG), (51, b"")])
def test_each_frame_is_painted_over(frames, found):
    """Fields for cards are in frames; a page with too many of them has no looks."""

    async def scenario():
        pages = Pages()
        handle = Handle()
        handle.frames = [Handle() for _ in range(frames)]
        _, request = await pages.had(handle)
        taken, _ = await pages.open.look(request)
        assert [len(asked["mask"]) for asked in handle.asked] == [frames] * bool(found)
        return taken

    assert run(scenario) == found


def test_an_empty_page_has_no_looks():
    """Nothing has come."""

    async def scenario():
        pages = Pages()
        handle = Handle()
        handle.url = "about:blank"
        _, request = await pages.had(handle)
        assert await pages.open.look(request) == (b"", [])
        assert handle.asked == []

    run(scenario)


def test_types_of_images():
    """By their first bytes: nothing else is shown as one."""
    assert [image_type(each) for each in (PNG, JPEG, b"<svg>", b"")] == [
        "image/png", "image/jpeg", "", "",
    ]  # fmt: skip


# --- what its console says ------------------------------------------------------------


def message(text, kind="error", **location):
    """A message of the console."""
    return SimpleNamespace(type=kind, text=text, location=location)


def test_errors_of_a_console():
    """The last ten, each in one line, bounded and without secrets, with their place."""
    handle = Handle()
    console = Console(handle)
    handle.say("console", message("fine", "log"))
    url = "http://me:hidden@a.test/x.js"
    handle.say("console", message("two\nlines", url=url, lineNumber=7))
    assert list(console.lines) == [r"two\nlines (http://***@a.test/x.js:7)"]
    for number in range(12):
        handle.say("console", message(f"{number} " + "x" * 1000))
    assert [line.split()[0] for line in console.lines] == [str(each) for each in range(2, 12)]
    assert max(map(len, console.lines)) <= 300


def test_a_console_that_never_ends():
    """It is not listened to any more."""
    handle = Handle()
    Console(handle)
    for _ in range(1000):
        handle.say("console", message("again", "log"))
    assert handle.heard == {"console": [], "pageerror": []}


# --- what is shown --------------------------------------------------------------------


def test_each_number_has_a_metric():
    """Of its own, but for what is none of it."""
    numbers = {name: at for at, name in enumerate(NUMBERS, 1)}
    view = View(browsers=BrowsersView(**numbers))
    found = {metric.short: metric.read(view) for metric in BROWSER_METRICS}
    assert len(set(found.values())) == len(found)
    assert set(numbers.values()) - set(found.values()) == {
        numbers[name] for name in ("places", "left_open", "orphans")
    }


def test_browsers_of_a_crawl():
    """As its stats tell; a crawl without any has none, and no stat can break it."""
    assert browsers_of({}) == BrowsersView()
    found = browsers_of(
        {
            "playwright/browser_count": 2,
            "resilience/browser/crashes": 3,
            "resilience/browser/timeouts": "many",
        }
    )
    assert (found.used, found.started, found.crashes, found.timeouts) == (True, 2, 3, 0)

"""The live page in a real browser."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from browser import Server, new_tab, run
from page_texts import count, duration, rate, size, written
from views import HOSTILE, NOW, large_view

from scrapy_resilience.observe.sentences import until
from scrapy_resilience.observe.view import DomainView, EventView

pytestmark = pytest.mark.integration

AXE = Path(__file__).parent / "axe" / "axe.min.js"
WIDTHS = (360, 1366, 3840)
TOKEN = "a token of a test"  # noqa: S105 - nothing is behind it
READY = """document.readyState === "complete"
    && document.getElementById("main")?.hidden === false
    && document.querySelectorAll("canvas").length === 2"""


def crawl(**given):
    """A view that is as old as the clock says."""
    view = large_view(**given)
    late = time.time() - NOW
    view.time += late
    view.checkpoint.last += late
    for domain in view.domains:
        if domain.next_try is not None:
            domain.next_try += late
    for series in view.history:
        for row in series.rows:
            row[0] += late
    return view


@asynccontextmanager
async def opened(chromium, server, *, width=1366, ready=READY):
    """The page of *server*, in a tab."""
    async with server.serve() as url, new_tab(chromium) as tab:
        await tab.open(url, width=width)
        await tab.until(ready)
        yield tab


def test_it_shows_the_crawl_and_asks_nobody_else(chromium):
    """All parts are drawn, without a word in the console, from one host."""

    async def scenario():
        server = Server(crawl())
        async with opened(chromium, server) as tab:
            assert await tab.text("#state") == "Paused"
            assert "rate limit of a.example" in await tab.text(".why")
            assert (await tab.text("#trouble tbody")).startswith("a.example (critical)")
            assert await tab.text("#link") == "Live"
            assert await tab.run("document.querySelectorAll('#domains-table tbody tr').length")
            assert tab.complaints == []
            assert {url.split("/")[2].split(":")[0] for url in tab.requests} == {"127.0.0.1"}

    run(scenario())


def test_the_first_screen_fits_a_laptop(chromium):
    """At 1366 by 768 everything of the overview can be seen without scrolling."""

    async def scenario():
        async with opened(chromium, Server(crawl(hostile=False))) as tab:
            bottom = "document.getElementById('overview').getBoundingClientRect().bottom"
            assert await tab.run(bottom) <= 768

    run(scenario())


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(chromium, width):
    """No width makes the page scroll sideways."""

    async def scenario():
        async with opened(chromium, Server(crawl()), width=width) as tab:
            assert await tab.run("document.documentElement.scrollWidth <= innerWidth")

    run(scenario())


_BOUND = """[...document.querySelectorAll("[data-bind]")].map((node) =>
    [node.dataset.bind, node.dataset.as ?? "text", node.textContent])"""
_ROWS = """[...document.querySelectorAll("#domains-table tbody tr")].slice(0, 50).map((row) =>
    [...row.cells].map((cell) => cell.textContent))"""


def test_each_number_is_that_of_the_status(chromium):
    """What is written is what the view has, value by value."""

    async def scenario():
        server = Server(crawl(hostile=False))
        async with opened(chromium, server) as tab:
            bound, rows = await tab.run(_BOUND), await tab.run(_ROWS)
        assert len(bound) > 40
        for path, kind, text in bound:
            if kind != "ago":  # it moves on
                assert (path, text) == (path, written(server.view, path, kind))
        domains = {domain.name: domain for domain in server.view.domains}
        for name, _, waits, _, *numbers in rows:
            one = domains[name]
            assert waits == one.waits_for
            assert numbers[:6] == [
                count(each) for each in (one.requests, one.answers, one.failures, one.retries,
                                         one.pending, one.under_way)
            ]  # fmt: skip
            assert numbers[7] == ("" if one.rate is None else rate(one.rate))
            assert numbers[9] == size(one.bytes)

    run(scenario())


@pytest.mark.parametrize("table", ["trouble", "domains-table"])
def test_the_next_try_is_the_same_everywhere(chromium, table):
    """In the tables it stands as in the sentence, however it is rounded."""

    async def scenario():
        view = crawl(hostile=False)
        waiting = view.domains[:7]
        for domain, left in zip(
            waiting, (0.4, 2.5, 119.6, 150, 7199.9, 8000, 180_000), strict=True
        ):
            domain.given_up, domain.waits_for = False, "rate limit"
            domain.next_try = view.time + left
        async with opened(chromium, Server(view)) as tab:
            rows = f"document.querySelectorAll('#{table} tbody tr')"
            cells = "[row.cells[0].textContent.split(' ')[0], row.cells[3].textContent]"
            told = dict(await tab.run(f"[...{rows}].map((row) => {cells})"))
        assert {each.name: told[each.name] for each in waiting} == {
            each.name: until(each.next_try, view.time) for each in waiting
        }

    run(scenario())


def test_what_is_left_may_not_be_known(chromium):
    """Another scheduler does not tell: each place says so, and the bar is empty."""

    async def scenario():
        view = crawl(hostile=False)
        view.progress.pending = None
        async with opened(chromium, Server(view)) as tab:
            for path, kind, text in await tab.run(_BOUND):
                if path.startswith("progress"):
                    assert (path, text) == (path, written(view, path, kind))
            bar = "document.getElementById('progress')"
            assert await tab.run(f"{bar}.ariaLabel") == "How much is left is not known"
            assert await tab.run(f"{bar}.firstElementChild.getBoundingClientRect().width") == 0
            assert tab.complaints == []

    run(scenario())


def test_the_age_of_the_checkpoint_goes_on(chromium):
    """It grows between two messages."""

    async def scenario():
        async with opened(chromium, Server(crawl())) as tab:
            age = "document.querySelector('[data-bind=\"checkpoint.last\"]').textContent"
            first = await tab.run(age)
            assert first.endswith(" ago")
            await tab.until(f"{age} !== {first!r}")

    run(scenario())


def test_what_changes_is_shown(chromium):
    """A message changes its parts, and rows are changed, added and taken away."""

    async def scenario():
        server = Server(crawl(hostile=False))
        async with opened(chromium, server) as tab:
            await tab.until("document.getElementById('link').textContent === 'Live'")
            progress = msgspec.structs.replace(server.view.progress, items=7_654_321)
            new = DomainView(name="new.example", waits_for="circuit breaker", critical=True,
                             breaker="open", pending=9_999_999)  # fmt: skip
            event = EventView(time=server.view.time, kind="hold", text="just now", number=99)
            server.tell(
                {
                    "domains": {"changed": [new], "gone": ["b.example"]},
                    "events": {"changed": [event], "gone": []},
                },
                progress=progress,
                time=server.view.time + 1,
            )
            await tab.until("document.body.innerText.includes('7,654,321')")
            assert (await tab.text("#trouble tbody")).startswith("new.example")
            assert "b.example" not in await tab.text("#trouble tbody td:first-child")
            assert "just now" in await tab.text("#events-table tbody tr")
            assert tab.complaints == []

    run(scenario())


def test_it_asks_again_where_there_is_no_stream(chromium):
    """Behind a proxy that knows no streams it reads the status each two seconds."""

    async def scenario():
        server = Server(crawl(), streams=False)
        async with opened(chromium, server) as tab:
            await tab.until("document.getElementById('link').textContent.includes('2 s')")
            server.view.progress.items = 1_234_567
            await tab.until("document.body.innerText.includes('1,234,567')")
            assert "/status.json" in server.asked

    run(scenario())


def test_it_says_that_the_crawl_is_gone(chromium):
    """What was last known stays, under a line that says since when nothing answers."""

    async def scenario():
        server = Server(crawl())
        async with new_tab(chromium) as tab:
            async with server.serve() as url:
                await tab.open(url)
                await tab.until(READY)
            await tab.until("!document.getElementById('gone').hidden")
            assert "not answering since " in await tab.text("#gone")
            assert await tab.text("#state") == "Paused"
            assert await tab.text("#link") == "Not answering"

    run(scenario())


def test_it_asks_for_the_token(chromium):
    """A wrong one is refused; the right one is sent as a header, and kept for the tab only."""

    async def scenario():
        server = Server(crawl(), TOKEN)
        form = "document.getElementById('token')?.hidden === false"
        async with opened(chromium, server, ready=form) as tab:
            assert await tab.run("document.getElementById('main').hidden")
            await enter(tab, "something else")
            await tab.until("document.getElementById('token-wrong').textContent")
            await enter(tab, TOKEN)
            await tab.until(READY)
            assert not any("token" in path for path in server.asked)
            assert await tab.run("localStorage.length === 0 && document.cookie === ''")

    run(scenario())


async def enter(tab, token):
    """Type a token and press Enter."""
    await tab.until("document.activeElement.id === 'token-text'")
    await tab.send("Input.insertText", text=token)
    await _press(tab, "Enter", "\r")


async def _press(tab, key, text=""):
    for kind in ("keyDown", "keyUp"):
        more = {"text": text} if text and kind == "keyDown" else {}
        code = {"Enter": 13, "Tab": 9}[key]
        await tab.send(
            "Input.dispatchKeyEvent", type=kind, key=key, code=key,
            windowsVirtualKeyCode=code, **more,
        )  # fmt: skip


def test_what_pages_say_is_only_text(chromium):
    """Nothing of a hostile text runs, becomes an element or turns the order of a line."""

    async def scenario():
        async with opened(chromium, Server(crawl(hostile=True))) as tab:
            await tab.run(
                "for (const node of document.querySelectorAll('details')) node.open = true"
            )
            assert await tab.run("window.hurt === undefined")
            assert (
                await tab.run("document.querySelectorAll('main img, main script').length") == 0
            )
            text = await tab.run("document.body.textContent")
            assert HOSTILE[0] in text
            assert HOSTILE[2] in text
            assert not set(text) & set("\x00\x1b\u202e\u2066\u200b\u2028")
            assert tab.complaints == []

    run(scenario())


def test_domains_are_sorted_and_searched_by_keyboard(chromium):
    """A head of the table is a button, and the search looks at all domains."""

    async def scenario():
        async with opened(chromium, Server(crawl(hostile=False))) as tab:
            await tab.run("document.querySelectorAll('#domains-table thead button')[6].focus()")
            await _press(tab, "Enter", "\r")
            sort = "document.querySelector('#domains-table [aria-sort]')"
            assert (
                await tab.run(f"{sort}.textContent + {sort}.ariaSort") == "Failuresdescending"
            )
            first = "document.querySelector('#domains-table tbody th').textContent"
            assert await tab.run(first) == "b.example"
            await tab.run("document.getElementById('domains-search').focus()")
            await tab.send("Input.insertText", text="shop-0777")
            await tab.until(f"{first}.startsWith('shop-0777')")
            assert "1 of 1,000" in await tab.text("#domains-count")

    run(scenario())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1366])
def test_axe_finds_no_serious_fault(chromium, scheme, width):
    """Contrast, names, roles and structure are those of WCAG 2 AA."""

    async def scenario():
        server = Server(crawl())
        async with server.serve() as url, new_tab(chromium) as tab:
            await tab.scheme(scheme)
            await tab.send("Page.setBypassCSP", enabled=True)
            await tab.open(url, width=width)
            await tab.until(READY)
            assert await faults(tab) == []

    run(scenario())


async def faults(tab):
    """What axe finds that is serious, and where."""
    await tab.run("for (const node of document.querySelectorAll('details')) node.open = true")
    await tab.run(AXE.read_text("utf-8") + "; true")
    asked = "axe.run({resultTypes: ['violations']})"
    found = await tab.run(f"{asked}.then((found) => JSON.stringify(found.violations))")
    return [
        (each["id"], node["target"], node["failureSummary"])
        for each in json.loads(found)
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"][:3]
    ]


def test_the_chart_has_a_table(chromium):
    """A button shows the same numbers as rows, and the picture has a name that sums them up."""

    async def scenario():
        async with opened(chromium, Server(crawl())) as tab:
            name = await tab.run("document.querySelector('#rates .plot').ariaLabel")
            assert name.startswith("Pages: mean ")
            assert f"in the last {duration(600)}" in name
            await tab.run("document.querySelector('#rates .quiet').click()")
            assert await tab.run("document.querySelectorAll('#rates tbody tr').length") == 24

    run(scenario())

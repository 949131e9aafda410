"""The report that a crawl leaves behind."""

from __future__ import annotations

import json
import re
from base64 import b64decode

import msgspec
import pytest
from browser import Server, new_tab, run
from crawls import BUSY, PAGES, Crawl
from test_page import READY, faults
from views import large_view
from web import serving

from scrapy_resilience.observe.record.samples import Evidence
from scrapy_resilience.observe.report.report import render_report

pytestmark = pytest.mark.integration


def data_of(path):
    """What is in a report."""
    found = re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    return json.loads(found[1])


@pytest.fixture
def web():
    """A server that answers everything but one page."""
    with serving(lambda _, path, __: 404 if path == "/1" else 200) as web:
        yield web


@pytest.mark.parametrize("jobdir", ["job", None])
def test_it_is_written_at_the_end(tmp_path, web, jobdir):
    """With the last counts and the state that the job has from then on."""
    urls = web.urls("a.test", 5)
    settings = {**BUSY, "JOBDIR": jobdir, "RESILIENCE_REPORT": "out/%(spider)s.html"}
    crawl = Crawl(tmp_path, PAGES, URLS=urls, **settings)
    crawl.run("crawl", "shop").check_finished()
    view = data_of(crawl.path("out/shop.html"))["view"]
    assert view["job"]["state"] == "finished"
    assert view["job"]["sentence"].startswith("It has finished with 4 items")
    assert view["progress"]["items"] == 4
    assert view["traffic"]["statuses"] == {"200": 4, "404": 1}


def test_it_is_compared_with_the_night_before(tmp_path, web):
    """The report whose place it takes is of the job before."""
    settings = {**BUSY, "RESILIENCE_REPORT": "report.html", "RESILIENCE_FINISHED_JOB": "anew"}
    for pages in (3, 5):
        crawl = Crawl(tmp_path, PAGES, URLS=web.urls("a.test", pages), **settings)
        crawl.run("crawl", "shop").check_finished()
    data = data_of(crawl.path("report.html"))
    assert data["view"]["progress"]["items"] == 4
    assert data["previous"]["progress"]["items"] == 2


def test_a_place_that_cannot_be_written_is_an_error_at_the_start(tmp_path, web):
    """No request is sent, and no job is made."""
    (tmp_path / "file").touch()
    crawl = Crawl(
        tmp_path, PAGES, URLS=web.urls("a.test", 1), RESILIENCE_REPORT="file/report.html"
    )
    crawl.run("crawl", "shop").check_refused("RESILIENCE_REPORT='file/report.html'")
    assert not web.counts
    assert not crawl.path("job").exists()


PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)
IMAGES = "[...document.querySelectorAll('#errors img')].map((each) => each.naturalWidth)"
SAID = "[...document.querySelectorAll('#errors .console li')].map((each) => each.textContent)"


async def shown(tab):
    """What the errors show of the browser, when all groups are open."""
    groups = "document.querySelectorAll('#errors details')"
    await tab.run(f"{groups}.forEach((each) => {{ each.open = true; }})")
    await tab.until(f"{IMAGES}[0] === 1")
    assert await tab.run("window.hurt === undefined")
    assert tab.complaints == []
    return await tab.run(SAID)


def test_what_the_browser_has_shown_of_an_error(chromium, tmp_path):
    """On the page, which asks for it when a group is opened, and in the report."""
    said = ["<img src=x onerror='window.hurt = 1'>", "two"]
    evidence = Evidence(said, PIXEL, "image/png")
    view = large_view()
    path = tmp_path / "report.html"
    path.write_bytes(render_report(view, None, {2: evidence}))
    server = Server(view)
    server.evidence = msgspec.to_builtins(evidence)

    async def scenario():
        async with server.serve() as url, new_tab(chromium) as tab:
            for address in (url, path.as_uri()):
                await tab.open(address)
                await tab.until(READY)
                assert await shown(tab) == said

    run(scenario())
    assert [each for each in server.asked if "errors/" in each] == ["/errors/2.json"]


def test_it_is_one_file_that_a_browser_shows(chromium, tmp_path):
    """It asks for no other file, nothing hostile runs, and axe finds no serious fault."""
    view, before = large_view(), large_view(domains=10, hostile=False, history=False)
    view.job.state, before.progress.items = "finished", 1_500_000
    path = tmp_path / "report.html"
    path.write_bytes(render_report(view, before))

    async def scenario():
        async with new_tab(chromium) as tab:
            await tab.open(path.as_uri())
            await tab.until(READY)
            assert tab.complaints == []
            assert tab.requests == [path.as_uri()]
            assert await tab.run("window.hurt === undefined")
            assert "+14 %" in await tab.text("#compared tbody")
            assert await tab.run("document.getElementById('link').hidden")
            await tab.send("Page.setBypassCSP", enabled=True)
            await tab.send("Page.reload")
            await tab.until(READY)
            assert await faults(tab) == []

    run(scenario())

"""The live page and the report of a crawl that runs, and of one that has ended."""

from __future__ import annotations

import json
import signal

import msgspec
import pytest
from browser import new_tab, run
from crawls import KILLED
from page_texts import count, written
from test_endpoint import TOKEN, _beside, done, running, shop  # noqa: F401 - a fixture
from test_page import READY, enter
from test_report import data_of

from scrapy_resilience.observe.view import View

pytestmark = pytest.mark.integration

STEADY = """
    const real = window.fetch;
    window.fetch = async (path, options) => {
        if (String(path) === "events") return new Response("", { status: 404 });
        const answer = await real(path, options);
        if (String(path).startsWith("status.json")) window.told = await answer.clone().text();
        return answer;
    };
"""
"""The page has no stream then, and what it was told last is kept."""
SHOWN = "Boolean(window.told) && document.getElementById('main').hidden === false"
SEEN = """new Promise((seen) => {
    const before = window.told;
    requestAnimationFrame(() => setTimeout(() => seen(window.told !== before ? null : {
        told: before,
        bound: [...document.querySelectorAll("[data-bind]")].map((node) =>
            [node.dataset.bind, node.dataset.as ?? "text", node.textContent]),
        domains: [...document.querySelectorAll("#domains-table tbody tr")].map((row) =>
            [...row.cells].map((cell) => cell.textContent)),
    })));
})"""


def test_each_number_is_that_of_the_status(chromium, shop):  # noqa: F811 - the fixture
    """What is written of a crawl that goes on is what its status was at that moment."""

    async def scenario(url):
        async with new_tab(chromium) as tab:
            await tab.send("Page.addScriptToEvaluateOnNewDocument", source=STEADY)
            await tab.open(url)
            await tab.until(SHOWN)  # charts come with the next reading of the history
            return await tab.until(SEEN), tab.complaints

    with running(shop()) as (_, url):
        done(url)
        seen, complaints = run(scenario(url))
    assert [each for each in complaints if "404" not in each] == []
    view = msgspec.json.decode(seen["told"], type=View)
    assert view.progress.pages == 5
    for path, kind, text in seen["bound"]:
        if kind != "ago":
            assert (path, text) == (path, written(view, path, kind))
    domain = view.domains[0]
    assert [row[0] for row in seen["domains"]] == [domain.name] == ["a.test"]
    assert seen["domains"][0][4:6] == [count(domain.requests), count(domain.answers)]


def test_it_follows_the_crawl_to_its_end(chromium, shop):  # noqa: F811 - the fixture
    """Updates come by themselves, and then it says that the crawl has ended."""

    async def scenario(url, crawl):
        async with new_tab(chromium) as tab:
            await tab.open(url)
            await tab.until(READY)
            await tab.until("document.getElementById('link').textContent === 'Live'")
            first = "document.querySelector('[data-bind=\"job.running_seconds\"]').textContent"
            before = await tab.run(first)
            await tab.until(f"{first} !== {before!r}")
            crawl.write("stop", "")
            await tab.until("!document.getElementById('gone').hidden")
            return await tab.text("#gone")

    crawl = shop()
    with running(crawl) as (_, url):
        assert "not answering since" in run(scenario(url, crawl))


def test_the_token_opens_the_page(chromium, shop):  # noqa: F811 - the fixture
    """The page comes without one, and asks; what it then reads is the crawl's."""

    async def scenario(url):
        async with new_tab(chromium) as tab:
            await tab.open(url)
            await tab.until("document.getElementById('token')?.hidden === false")
            assert await tab.run("document.getElementById('main').hidden")
            await enter(tab, TOKEN)
            await tab.until(READY)
            assert await tab.text(".brand strong") == "shop"

    with running(shop(RESILIENCE_HTTP_TOKEN=TOKEN)) as (_, url):
        run(scenario(url))


def report_of(crawl, *arguments):
    """What ``scrapy resilience report`` writes."""
    told = json.loads(crawl.run("resilience", "report", "job", *arguments, "--json").out)
    return told, data_of(crawl.path(told["report"]))["view"]


def test_the_report_of_a_running_job(shop):  # noqa: F811 - the fixture
    """It says what the process says: rates and resources, too."""
    crawl = shop()
    with running(crawl) as (_, url):
        done(url)
        beside = _beside(crawl)
        told, view = report_of(beside, "now.html")
    assert told == {"job": "job", "report": "now.html", "state": "running"}
    assert view["progress"]["pages"] == 5
    assert view["resources"]["memory"] > 0


def test_the_report_of_a_stopped_and_of_a_killed_job(shop):  # noqa: F811 - the fixture
    """It says what the last commit has, into the job where no file is named."""
    crawl = shop()
    crawl.run_until(commits=3, number=signal.SIGTERM)
    told, view = report_of(crawl)
    assert (told["report"], view["job"]["state"]) == ("job/report.html", "stopped")
    assert crawl.run_until(commits=3, number=signal.SIGKILL).code == KILLED
    told, view = report_of(crawl)
    assert view["job"]["state"] == told["state"] == "killed"
    assert view["job"]["sentence"].startswith("It was killed")


def test_the_report_of_no_job(shop):  # noqa: F811 - the fixture
    """One line, and nothing is written."""
    crawl = shop()
    run = crawl.run("resilience", "report", "elsewhere")
    assert run.code == 1
    assert "elsewhere" in run.log
    assert not crawl.path("elsewhere").exists()

"""Errors, events and history of a job: they outlive the process, and go back with it."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections import Counter
from textwrap import dedent

import pytest
from browser import new_tab
from browser import run as in_a_loop
from crawls import BUSY, Crawl, wait_until
from web import serving

from scrapy_resilience.files.layout import JOURNAL
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.observe.record.record import stored_record

pytestmark = pytest.mark.integration

FAULTY = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, headers={"Authorization": "Bearer hidden"})
        def parse(self, response):
            number = int(response.url.rpartition("/")[2])
            if number % 2:
                raise ValueError(f"page {number} has no price")
            yield dict(sku=response.url)
"""
HTML = {"Content-Type": "text/html; charset=utf-8"}
HOSTILE = "<title>é</title><script>alert(1)</script><meta http-equiv=refresh content=0>"
SLOW = {**BUSY, "DOWNLOAD_DELAY": 0.02, "CONCURRENT_REQUESTS_PER_DOMAIN": 1}


def page(_, path, __):
    """A hostile page."""
    return (404 if path == "/4" else 200), HTML, HOSTILE.encode()


def make(folder, web, count, source=FAULTY, **settings):
    """A crawl of some pages, of which each second one has an error."""
    urls = web.urls("a.test", count)
    return Crawl(folder, source, **{**BUSY, "URLS": urls, **settings})


def errors(crawl, *options, job="job"):
    """What the command prints as JSON."""
    run = crawl.run("resilience", "errors", job, "--json", *options)
    assert run.code == 0, run.log
    return json.loads(run.out)


def record(crawl):
    """What is told of the job now."""
    meta = JobMeta(**crawl.state())
    return stored_record(crawl.job, meta.ident, meta.commits)


def happened(crawl):
    """The kinds of events, and what they say."""
    return [(event.kind, event.text) for event in record(crawl).events.all()]


def by_message(found):
    """Counts of errors."""
    return {each["message"]: each["count"] for each in found}


def test_errors_of_a_crawl(tmp_path):
    """Errors with one cause are one group, which the command lists and opens."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 10)
        crawl.run()
        asked = len(web.asked)
        found = errors(crawl)
        table = crawl.run("resilience", "errors", "job").out
        opened = crawl.run("resilience", "errors", "job", "--open", "1")
        again = errors(crawl, "--open", "1")
        assert len(web.asked) == asked

    assert by_message(found) == {"page <number> has no price": 5, "HTTP 404 is not handled": 1}
    assert found[0]["place"] == "spider.py:11:parse"
    assert "ValueError: page <number> has no price" in table
    assert "Traceback" in opened.out
    assert "the page is in error-1.html" in opened.out
    assert again["page"] == "error-1-2.html"
    assert "hidden" not in table + opened.out + json.dumps([found, again])


def test_the_page_of_an_error_is_harmless(tmp_path):
    """The file runs no script of the page, and is the user's alone."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 3)
        crawl.run()
        crawl.run("resilience", "errors", "job", "--open", "1", "--output", "page.html")
        taken = crawl.run("resilience", "errors", "job", "--open", "1", "--output", "page.html")

    text = crawl.path("page.html").read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "é" in text
    assert "iframe sandbox " in text
    assert "default-src 'none'" in text
    assert stat.S_IMODE(crawl.path("page.html").stat().st_mode) == 0o600
    assert taken.code == 1
    assert "File exists" in taken.log
    assert crawl.path("page.html").read_text("utf-8") == text


CURIOUS = """<!doctype html><style>h1 {{ color: green }}</style><h1>Shown</h1>
<script>top.document.title = "run"; fetch("{0}script")</script>
<meta http-equiv="refresh" content="0;url={0}refresh"><link rel="stylesheet" href="{0}css">
<link rel="prefetch" href="{0}prefetch"><link rel="preconnect" href="{0}">
<img src="{0}img" onerror="top.document.title = 'run'"><iframe src="{0}frame"></iframe>
<form action="{0}form"><input autofocus onfocus="this.form.submit()"></form>
<video src="{0}video" autoplay></video><object data="{0}object"></object>
"></iframe><script>top.document.title = "run"</script><img src="{0}behind">
"""


def test_the_page_of_an_error_in_a_browser(tmp_path, chromium):
    """It is shown, runs nothing, and asks no server for anything."""

    async def look(path):
        async with new_tab(chromium) as tab:
            await tab.open(path.as_uri())
            await tab.until("document.readyState === 'complete' && document.title")
            await asyncio.sleep(0.5)
            return await tab.run("document.title")

    with serving(lambda *_: (200, HTML, curious.encode())) as web:
        curious = CURIOUS.format(f"http://127.0.0.1:{web.port}/")
        crawl = make(tmp_path, web, 2, METAREFRESH_ENABLED=False)
        crawl.run()
        crawl.run("resilience", "errors", "job", "--open", "1")
        asked = len(web.asked)
        title = in_a_loop(look(crawl.path("error-1.html")))
        assert len(web.asked) == asked

    assert title == "Page of the errors of group 1"
    assert "&lt;h1&gt;Shown" in crawl.path("error-1.html").read_text("utf-8")


@pytest.mark.parametrize("reactor", [True, False])
def test_two_crawls_in_one_process(tmp_path, reactor):
    """Each has its own errors and events, with a reactor or without."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 6, JOBDIR="jobs/%(spider)s")
        crawl.configure(TWISTED_REACTOR_ENABLED=reactor, URLS=web.urls("127.0.0.1", 6))
        if not reactor:
            crawl.configure(TWISTED_DNS_RESOLVER=None)
        crawl.write("both.py", BOTH)
        done = crawl.run(sys.executable, "both.py")
    assert done.code == 0, done.log
    shop, other = (
        {each["kind"]: each["count"] for each in errors(crawl, job=f"jobs/{name}")}
        for name in ("shop", "other")
    )
    assert shop == {"ValueError": 3, "http": 1}
    assert other == {"TypeError": 5, "http": 1}


BOTH = """
from scrapy.utils.project import get_project_settings
from scrapy.crawler import AsyncCrawlerProcess
from spider import Shop

class Other(Shop):
    name = "other"
    custom_settings = {"FEEDS": {}}
    def parse(self, response):
        raise TypeError("another")

process = AsyncCrawlerProcess(get_project_settings())
process.crawl(Shop)
process.crawl(Other)
process.start()
"""


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--open", "99"), "there is no group 99"), (("--open", "x"), "invalid int value")],
)
def test_a_group_that_is_not_there(tmp_path, options, words):
    """The command says so."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 2)
        crawl.run()
        run = crawl.run("resilience", "errors", "job", *options)
    assert run.code in {1, 2}
    assert words in run.log


def test_a_job_without_errors(tmp_path):
    """There is nothing to list."""
    with serving(lambda *_: 200) as web:
        crawl = make(tmp_path, web, 3, FAULTY.replace("% 2", "< 0"))
        crawl.run().check_finished()
        assert errors(crawl) == []
        assert crawl.run("resilience", "errors", "job").out == "no errors\n"


def test_kills(tmp_path, rng):
    """After kill -9 and a resume, groups and events of all runs are there."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 60, **SLOW)
        crawl.rng = rng
        for _ in range(2):
            crawl.run_until(commits=3, spread=0.2)
        assert crawl.kills == 2
        killed = record(crawl)
        before = by_message(errors(crawl))
        crawl.run()

    found = by_message(errors(crawl))
    assert found.keys() >= before.keys()
    assert all(found[message] >= count for message, count in before.items())
    assert 30 - 2 * 3 <= found["page <number> has no price"] <= 30 + 2 * 8
    runs = [text for kind, text in happened(crawl) if kind == "run"]
    assert runs[-1] == "Run 3 ends: finished"
    assert runs[-2] == "Run 3 has begun"
    numbers = [event.number for event in record(crawl).events.all()]
    assert numbers == sorted({*numbers})
    assert [each.number for each in killed.events.all()] == numbers[: len(killed.events.all())]


def test_a_clean_stop_keeps_everything(tmp_path):
    """Whatever did not fit into the last commit is kept as well."""
    source = FAULTY.replace("has no price", "{chr(97 + number % 26) * 200} of {number}")
    with serving(lambda *_: 200) as web:
        crawl = make(tmp_path, web, 50, source, RESILIENCE_CHECKPOINT_INTERVAL=30)
        crawl.run()
    assert sum(by_message(errors(crawl)).values()) == 25
    assert (crawl.job / JOURNAL).stat().st_size > 4000


def test_a_restore_forgets_what_came_after(tmp_path):
    """A job that goes back to a snapshot has its errors and events of then."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 20, **SLOW, RESILIENCE_SNAPSHOT_ITEMS=3)
        crawl.run()
        all_of_them = by_message(errors(crawl))
        oldest = min(path.stem for path in crawl.job.glob("snapshots/*.snapshot"))
        assert crawl.run("resilience", "restore", "job", oldest).code == 0
        then = by_message(errors(crawl))
        told = happened(crawl)
        crawl.run()

    assert 1 <= then["page <number> has no price"] < all_of_them["page <number> has no price"]
    assert "Run 1 ends: finished" not in [text for _, text in told]
    assert by_message(errors(crawl)) == all_of_them
    runs = [text for kind, text in happened(crawl) if kind == "run"]
    assert runs == ["Run 1 has begun", "Run 2 has begun", "Run 2 ends: finished"]


def test_a_running_job(tmp_path):
    """The command reads what was committed, beside the crawl."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 200, **SLOW)
        with crawl.process() as process:
            wait_until(lambda: crawl.state() and len(record(crawl).errors.view()) == 2)
            found = by_message(errors_beside(crawl))
            assert process.poll() is None
    assert found["HTTP 404 is not handled"] == 1


def errors_beside(crawl):
    """The same of a job whose log is another's."""
    beside = Crawl.__new__(Crawl)
    beside.begin(crawl.folder)
    beside.settings, beside.runs = crawl.settings, 50
    return errors(beside)


def test_begun_anew(tmp_path):
    """A finished job takes its journal along, and the next one begins with an empty one."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 4, RESILIENCE_FINISHED_JOB="anew")
        crawl.run()
        crawl.run()

    [aside] = tmp_path.glob("job.*")
    assert (aside / JOURNAL).exists()
    assert (aside / "errors" / "1.sample").exists()
    assert by_message(errors(crawl))["page <number> has no price"] == 2
    assert [text for kind, text in happened(crawl) if kind == "run"] == [
        "Run 1 has begun",
        "Run 1 ends: finished",
    ]


def test_what_a_crawl_tells_of(tmp_path):
    """Breakers, holds, domains that are given up, snapshots and new errors are events."""

    def answer(host, _, __):
        return 503 if host == "b.test" else 200

    with serving(answer) as web:
        urls = web.urls("a.test", 3) + web.urls("b.test", 12)
        crawl = Crawl(
            tmp_path,
            FAULTY,
            **BUSY,
            URLS=urls,
            RESILIENCE_BREAKER_RECOVERY_TIMEOUT=0.1,
            RESILIENCE_BREAKER_MAX_TRIPS=1,
        )
        crawl.run()

    kinds = Counter(kind for kind, _ in happened(crawl))
    assert {"run", "breaker", "given_up", "error", "snapshot"} <= kinds.keys()
    given_up = {text for kind, text in happened(crawl) if kind == "given_up"}
    assert all(text.startswith("b.test is given up") for text in given_up)


def test_without_a_jobdir(tmp_path):
    """It is told while the crawl runs, and nothing is written."""
    source = (
        FAULTY
        + """
        def closed(self, reason):
            from scrapy_resilience.observe.observer import observer_of
            observer = observer_of(self.crawler)
            print([(group.message, group.count) for group in observer.errors.view()])
            print([event.text for event in observer.events.view()][-1])
            print([series.seconds for series in observer.view(history=True).history])
"""
    )
    with serving(page) as web:
        crawl = make(tmp_path, web, 10, source, JOBDIR=None, FEEDS={})
        before = {path.name for path in tmp_path.iterdir()}
        run = crawl.run()

    assert "[('page <number> has no price', 5), ('HTTP 404 is not handled', 1)]" in run.out
    assert "Run 1 has begun" in run.out
    assert "[1.0, 15.0, 300.0]" in run.out
    new = {path.name for path in tmp_path.iterdir()} - before
    assert {name.partition(".")[0] for name in new} <= {"log", "__pycache__"}


def test_a_journal_that_is_torn(tmp_path):
    """Its end is cut with one warning, and the job goes on."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 30, **SLOW)
        crawl.run_until(commits=4)
        path = crawl.job / JOURNAL
        path.write_bytes(path.read_bytes()[:-3])
        run = crawl.run()

    assert run.reason == "finished"
    assert run.log.count("was torn or damaged") == 1


def test_a_journal_that_is_gone(tmp_path):
    """The job goes on with an empty one, and nothing else is missing."""
    with serving(page) as web:
        crawl = make(tmp_path, web, 30, **SLOW)
        crawl.run_until(commits=4)
        (crawl.job / JOURNAL).unlink()
        run = crawl.run()

    assert run.reason == "finished"
    assert len(crawl.items()) == 14
    assert [text for kind, text in happened(crawl) if kind == "run"] == [
        "Run 2 has begun",
        "Run 2 ends: finished",
    ]


TROUBLED = """
    import sqlite3
    from scrapy_resilience.frontier.sqlite import SQLiteStore
    commit, calls = SQLiteStore.commit, []
    def failing(self, changes, **told):
        calls.append(1)
        if len(calls) in (4, 5):
            raise sqlite3.OperationalError("database or disk is full")
        return commit(self, changes, **told)
    SQLiteStore.commit = failing
"""


def test_commits_that_fail(tmp_path):
    """Their trouble, and its end, are events, and one group of errors without a place."""
    with serving(lambda *_: 200) as web:
        crawl = make(tmp_path, web, 30, dedent(TROUBLED) + dedent(FAULTY), **SLOW)
        crawl.run()

    told = [text for kind, text in happened(crawl) if kind == "commit"]
    assert "The checkpoint can't be written: database or disk is full" in told[0]
    assert "The checkpoint is written again, after" in told[-1]
    assert by_message(errors(crawl))["database or disk is full"] == 1


FULL = """
    import errno
    from scrapy_resilience.observe.record import journalfile
    def full(fd, data, length):
        raise OSError(errno.ENOSPC, "No space left on device")
    journalfile.append_whole = full
"""


def test_a_full_disk(tmp_path):
    """The journal is skipped, which is said once, and the crawl goes on."""
    with serving(lambda *_: 200) as web:
        source = dedent(FULL) + dedent(FAULTY)
        crawl = make(tmp_path, web, 30, source, **SLOW)
        run = crawl.run()

    assert (run.code, run.reason) == (0, "finished")
    assert run.log.count("The journal can't be written") == 1
    assert run.stats["resilience/checkpoint/commits"] > 2
    assert len(crawl.items()) == 15

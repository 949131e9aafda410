"""Abort policies in real crawls: conditions, actions, and what an early end looks like."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent

import pytest
from crawls import BUSY, KILLED, PAGES, Crawl, wait_until
from test_report import data_of
from web import serving

pytestmark = pytest.mark.integration

WATCHED = {
    **BUSY,
    "CONCURRENT_REQUESTS": 2,
    "DOWNLOAD_DELAY": 0.01,
    "RANDOMIZE_DOWNLOAD_DELAY": False,
    "RESILIENCE_ABORT_INTERVAL": 0.1,
    "RESILIENCE_ABORT_AFTER": 5,
    "RESILIENCE_ABORT_WINDOW": 20,
    "RESILIENCE_BREAKER_ENABLED": False,
    "RESILIENCE_RETRY_ENABLED": False,
    "RETRY_ENABLED": False,
}
LONG = 2_000
"""Pages of a crawl that only an abort ends in time."""


def policy(**told):
    """The settings of a policy of its own, which is on."""
    return {"RESILIENCE_ABORT_POLICY": "mine", "RESILIENCE_ABORT_POLICIES": {"mine": told}}


def spider(*lines):
    """A spider whose parse() is these lines; ``number`` is that of the page."""
    body = "\n".join(f"            {line}" for line in lines)
    return PAGES.replace(
        "            yield dict(sku=response.url, at=time.time())",
        f'            number = int(response.url.rpartition("/")[2])\n{body}',
    )


def status_of(crawl):
    """What ``scrapy resilience status --json`` says."""
    return json.loads(crawl.run("resilience", "status", crawl.job, "--json").out)


def condition(status, name):
    """One row of the dry evaluation."""
    [found] = [each for each in status["abort"]["conditions"] if each["name"] == name]
    return found


def check_aborted(crawl, run, name):
    """The policy has closed it for that condition, and all faces of it say so."""
    assert run.reason == "resilience_abort_mine", run
    assert run.code == 75
    assert "The abort policy mine is against going on" in run.log
    status = status_of(crawl)
    assert status["state"] == "stopped"
    assert status["reason"] == "resilience_abort_mine"
    assert status["incomplete"] is True
    assert condition(status, name)["met"], status["abort"]
    return status


CASES = {
    "failure_rate": (
        {"failure_rate": 0.4},
        spider("if number % 2: raise ValueError('no')", "yield dict(sku=response.url)"),
        {},
    ),
    "failures_in_a_row": (
        {"failures_in_a_row": 6},
        spider("if number > 10: raise ValueError('no')", "yield dict(sku=response.url)"),
        {},
    ),
    "no_item_for": (
        {"no_item_for": 0.5},
        spider("if number < 5: yield dict(sku=response.url)"),
        {},
    ),
    "coverage.price": (
        {"coverage": {"price": 0.8}},
        spider("yield dict(sku=response.url, price=5 if number % 2 else None)"),
        {},
    ),
    "confidence": (
        {"confidence": 0.99},
        spider("yield dict(sku=response.url, price='no price' if number > 8 else '5')"),
        {
            "RESILIENCE_CONFIDENCE_FIELD": "confidence",
            "RESILIENCE_NORMALIZE": {"price": "price"},
        },
    ),
    "dead_letters": (
        {"dead_letters": 7},
        spider("if number % 5 == 0: raise ValueError('no')", "yield dict(sku=response.url)"),
        {},
    ),
    "cost": (
        {"cost": 1.5},
        spider(
            "from scrapy_resilience.cost import track",
            "track('llm_tokens', 10_000)",
            "yield dict(sku=response.url)",
        ),
        {},
    ),
    "open_domains": (
        {"open_domains": 0.3},
        spider("yield dict(sku=response.url)"),
        {
            "RESILIENCE_BREAKER_ENABLED": None,
            "RESILIENCE_RETRY_ENABLED": None,
            "RETRY_ENABLED": None,
        },
    ),
    "function": (
        {"function": "conditions.too_many"},
        spider("yield dict(sku=response.url)"),
        {},
    ),
}
CONDITIONS = """
    import time
    def too_many(view):
        return f"{view.progress.items} items are enough" if view.progress.items > 8 else None
    def fails(view):
        raise ValueError("https://user:hidden-word@db.example is away")
    def hangs(view):
        time.sleep(600)
    def nonsense(view):
        return [1]
    async def slow(view):
        return True
"""


@pytest.fixture(scope="module")
def web():
    """A server that answers everything, but for the pages of one host."""
    with serving(lambda host, *_: 503 if host == "down.test" else 200) as web:
        yield web


@pytest.fixture
def crawl(tmp_path, web):
    """Make a long crawl of one spider with a policy."""

    def make(told, source=PAGES, *, pages=LONG, **settings):
        urls = web.urls("a.test", pages)
        made = {"URLS": urls, **WATCHED, **policy(**told), **settings}
        crawl = Crawl(tmp_path / "crawl", source, **made)
        crawl.write("conditions.py", dedent(CONDITIONS))
        return crawl

    return make


@pytest.mark.parametrize("name", CASES)
def test_each_condition_ends_a_crawl(crawl, web, name):
    """The crawl closes for it, resumably, and status says which condition was met."""
    told, source, settings = CASES[name]
    if name == "open_domains":
        settings = {**settings, "URLS": web.urls("down.test", 30) + web.urls("a.test", LONG)}
    made = crawl(told, source, **settings)
    check_aborted(made, made.run("crawl", "shop"), name)


# --- what is done -------------------------------------------------------------------


def test_the_actions(crawl):
    """A snapshot, an event that notifications hear of, and the close; the next run goes on."""
    made = crawl(
        {"failures_in_a_row": 6, "actions": ["close", "notify", "snapshot"]},
        CASES["failures_in_a_row"][1],
        pages=300,
    )
    run = made.run("crawl", "shop")
    check_aborted(made, run, "failures_in_a_row")
    assert run.stats["resilience/snapshots/taken"] >= 1
    assert "The snapshot" not in "".join(run.errors)
    made.configure(RESILIENCE_ABORT_POLICY="off")
    made.write("spider.py", dedent(PAGES))
    run = made.run("crawl", "shop")
    assert (run.code, run.reason) == (0, "finished"), run
    letters = json.loads(made.run("resilience", "deadletters", made.job, "--json").out)
    lost = [each["url"] for each in letters]
    made.check_pages([url for url in made.settings["URLS"] if url not in lost])


PAUSED = (
    spider("yield dict(sku=response.url)")
    + """
        @classmethod
        def from_crawler(cls, crawler, *args, **kwargs):
            from scrapy_resilience import signals
            self = super().from_crawler(crawler, *args, **kwargs)
            crawler.signals.connect(self.note, signals.crawl_event)
            return self
        def note(self, kind, text, severity):
            with open("events", "a") as file:
                file.write(f"{kind} {severity} {text}\\n")
"""
)
CLOSED = """
    from pathlib import Path
    def shop_is_closed(view):
        with open("asked", "a") as file:
            file.write("x")
        if view.guard.pauses and len(Path("asked").read_text()) > 30:
            return None
        return "the shop is closed" if view.progress.items > 8 else None
"""


def test_a_pause_ends_with_its_condition(crawl):
    """Nothing is asked for meanwhile; then the crawl goes on, and every item comes once."""
    told = {"function": "closed.shop_is_closed", "actions": ["notify", "pause"]}
    made = crawl(told, PAUSED, pages=60)
    made.write("closed.py", dedent(CLOSED))
    run = made.run("crawl", "shop")
    assert (run.code, run.reason) == (0, "finished"), run
    made.check_pages()
    events = made.path("events").read_text()
    assert "abort error The abort policy mine is against going on: the shop is closed" in events
    assert "pause warning The crawl is paused: the abort policy mine has found" in events
    assert "pause info The pause for abort has ended" in events


def test_a_kill_in_a_pause(crawl):
    """The next run judges again, and every item comes once."""
    told = {"function": "closed.shop_is_closed", "actions": "pause"}
    made = crawl(told, PAUSED, pages=60)
    made.write("closed.py", dedent(CLOSED).replace("> 30", "> 10**6"))
    for _ in range(2):
        made.path("events").unlink(missing_ok=True)
        run = made.run_until(until=made.path("events").exists, spread=0.3)
        assert run.code == KILLED, run
    made.configure(RESILIENCE_ABORT_POLICY="off")
    made.finish()
    made.check_pages()


def test_a_running_crawl_is_looked_at(crawl):
    """Its endpoint tells status how far it is now, not at its last commit."""
    made = crawl({"failures_in_a_row": 5000}, spider("raise ValueError('no')"),
                 RESILIENCE_CHECKPOINT_INTERVAL=3600)  # fmt: skip
    with made.process() as process:
        wait_until(lambda: "http://127" in made.last().log)
        found = wait_until(lambda: looked(made, process) or None)
        process.kill()
    assert (found["limit"], found["met"]) == (5000, False)


def looked(crawl, process):
    """The condition as ``status`` shows it, once something has failed."""
    assert process.poll() is None
    status = json.loads(run_beside(crawl, "resilience", "status", crawl.job, "--json"))
    found = condition(status, "failures_in_a_row") if status["abort"]["conditions"] else None
    return found if found and found["value"] > 3 else None


def run_beside(crawl, *command):
    """What a command says that runs beside the crawl."""
    done = subprocess.run(
        [sys.executable, "-m", "scrapy", *map(str, command)],
        cwd=crawl.folder, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout


RESUMES = (
    PAUSED.replace("crawler.signals.connect", "self.task = None; crawler.signals.connect")
    + """
            if kind == "pause" and severity == "warning":
                import asyncio
                asyncio.get_running_loop().call_later(0.3, self.go_on)
        def go_on(self):
            from scrapy_resilience.abort import resume_abort
            resume_abort(self.crawler)
"""
)


def test_a_pause_ends_by_hand(crawl):
    """A condition that is met still does not pause the crawl again."""
    made = crawl({"dead_letters": 3, "actions": "pause"}, RESUMES.replace(
        "yield dict(", "if number < 4: raise ValueError('no')\n            yield dict("
    ), pages=60)  # fmt: skip
    run = made.run("crawl", "shop")
    assert run.reason == "finished", run
    assert made.path("events").read_text().count("The crawl is paused") == 1
    made.check_pages(
        [url for url in made.settings["URLS"] if url[-2:] not in {"/0", "/1", "/2", "/3"}]
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("fails", "ValueError: https://***@db.example is away"),
        ("hangs", "TimeoutError: no answer in 0.2 s"),
        ("nonsense", "TypeError: it has returned list, no text and no bool"),
    ],
)
def test_a_function_that_says_nothing(crawl, function, words):
    """It is told once, the crawl goes on, and the other conditions count."""
    told = {"function": f"conditions.{function}", "dead_letters": 1000}
    made = crawl(told, pages=60, RESILIENCE_ABORT_TIMEOUT=0.2)
    run = made.run("crawl", "shop")
    assert (run.code, run.reason) == (0, "finished"), run
    assert len(run.errors) == 1, run.errors
    assert f"The function of the abort policy says nothing ({words})" in run.errors[0]
    made.check_pages()


def test_a_policy_that_is_content(crawl):
    """Nothing is logged, and nothing of it is left in the way."""
    made = crawl({"failure_rate": 0.5, "no_item_for": 60, "cost": 5}, pages=60)
    made.finish()
    made.check_pages()
    status = status_of(made)
    assert status["incomplete"] is False
    assert status["abort"]["policy"] == "mine"
    assert condition(status, "failure_rate") == {
        "name": "failure_rate", "value": 0.0, "limit": 0.5, "met": False,
        "text": "0% of the last requests failed",
    }  # fmt: skip


def test_without_a_policy(crawl):
    """Nothing ends the crawl; the values are known, in the table too."""
    source = spider("raise ValueError('no')")
    made = crawl({"failure_rate": 0.1}, source, pages=60, RESILIENCE_ABORT_POLICY="off")
    run = made.run("crawl", "shop")
    assert run.reason == "finished", run
    found = condition(status_of(made), "failures_in_a_row")
    assert (found["value"], found["limit"], found["met"]) == (60, None, False)
    text = made.run("resilience", "status", made.job).out
    assert "no abort policy" in text
    assert "failures_in_a_row  60" in text


@pytest.mark.parametrize("settings", [{}, {"RESILIENCE_SCHEDULER_ENABLED": False}])
def test_without_a_job(crawl, settings):
    """It ends all the same, and not with 0."""
    made = crawl(*CASES["failures_in_a_row"][:2], JOBDIR=None, **settings)
    run = made.run("crawl", "shop")
    assert (run.code, run.reason) == (75, "resilience_abort_mine"), run
    assert run.stats["resilience/incomplete"] >= 6


@pytest.mark.parametrize("jobdir", ["job", None])
def test_the_exit_code_of_a_failure(crawl, jobdir):
    """By setting it is 1."""
    settings = {"JOBDIR": jobdir, "RESILIENCE_ABORT_FAILS": True}
    run = crawl(*CASES["failures_in_a_row"][:2], **settings).run("crawl", "shop")
    assert (run.code, run.reason) == (1, "resilience_abort_mine"), run


def test_without_the_reactor(crawl):
    """It works in the other mode of Scrapy, too."""
    made = crawl(*CASES["failures_in_a_row"][:2], TWISTED_REACTOR_ENABLED=False,
                 TWISTED_DNS_RESOLVER=None, DOWNLOAD_HANDLERS=None)  # fmt: skip
    made.configure(URLS=["data:,x"] * 50)
    made.write("spider.py", dedent(PAGES).replace(
        "yield dict(sku=response.url, at=time.time())", "raise ValueError('no')"
    ).replace("meta=", "dont_filter=True, meta="))  # fmt: skip
    run = made.run("crawl", "shop")
    assert run.reason == "resilience_abort_mine", run


# --- over kills ---------------------------------------------------------------------


def test_kills_reset_nothing(crawl):
    """Failures in a row are counted over kills, until the policy ends the crawl for them."""
    source = spider("raise ValueError('no')")
    made = crawl(
        {"failures_in_a_row": 120}, source,
        DOWNLOAD_DELAY=0.05, CONCURRENT_REQUESTS=1, RESILIENCE_ABORT_INTERVAL=0.5,
    )  # fmt: skip
    failures = []
    for _ in range(3):
        run = made.run_until(commits=8)
        assert run.code == KILLED
        failures.append(condition(status_of(made), "failures_in_a_row")["value"])
    assert failures == sorted(set(failures)), failures
    run = made.run("crawl", "shop")
    check_aborted(made, run, "failures_in_a_row")
    letters = json.loads(made.run("resilience", "deadletters", made.job, "--json").out)
    assert 120 <= len(letters) < 150


def test_the_run_after_an_abort_is_judged_by_itself(crawl):
    """It goes on as if nothing had failed, and ends when enough has failed again."""
    made = crawl({"failures_in_a_row": 6}, spider("raise ValueError('no')"))
    check_aborted(made, made.run("crawl", "shop"), "failures_in_a_row")
    before = status_of(made)["dead_letters"]
    check_aborted(made, made.run("crawl", "shop"), "failures_in_a_row")
    assert status_of(made)["dead_letters"] >= before + 6


# --- what ends early is incomplete ----------------------------------------------------

PAGINATOR = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            yield scrapy.Request(self.settings["URLS"][0])
        def parse(self, response):
            number = int(response.url.rpartition("/")[2])
            yield dict(sku=response.url)
            self.step(response, number)
            if number < 11:
                yield response.follow(f"/{number + 1}")
        def step(self, response, number):
            pass
"""


def dies(code):
    """The paginator, with what happens on page 7."""
    return dedent(PAGINATOR).replace("        pass", f"        {code}")


def faces_of(crawl, run):
    """What each face says of being incomplete: status, report, metrics, stats and sentence."""
    status = status_of(crawl) if crawl.settings["JOBDIR"] else None
    view = data_of(crawl.path("report.html"))["view"]
    metrics = crawl.path("shop.prom").read_text()
    return {
        "status": status and status["incomplete"],
        "report": view["job"]["incomplete"],
        "metrics": " 1" in next(line for line in metrics.splitlines()
                                if line.startswith("scrapy_resilience_incomplete{")),
        "stats": run.stats.get("resilience/incomplete", 0) > 0,
    }  # fmt: skip


FACES = {"RESILIENCE_REPORT": "report.html", "RESILIENCE_METRICS_TEXTFILE": "shop.prom"}
DEATHS = {
    "callback": ("if number == 7: raise KeyError('next')", {}),
    "404": ("pass", {}),
    "503": ("pass", {"RESILIENCE_RETRY_ENABLED": False}),
    "closed": ("if number == 7: raise scrapy.exceptions.CloseSpider('enough')", {}),
    "pages": ("pass", {"CLOSESPIDER_PAGECOUNT": 7}),
    "items": ("pass", {"CLOSESPIDER_ITEMCOUNT": 7}),
    "errors": (
        "if number in {6, 7}: raise KeyError('next')", {"CLOSESPIDER_ERRORCOUNT": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("death", "jobdir"), [*((death, "job") for death in DEATHS), ("callback", None)]
)
def test_a_paginator_that_dies_on_page_7(tmp_path, death, jobdir):
    """No face of it says that it is complete, nor does the exit code where that is wanted."""
    status = int(death) if death.isdigit() else 200
    code, settings = DEATHS[death]
    with serving(lambda _, path, __: status if path == "/7" else 200) as web:
        settings = {"URLS": web.urls("a.test", 1), "JOBDIR": jobdir, **settings}
        crawl = Crawl(
            tmp_path, dies(code), **{**BUSY, **FACES, **settings},
            RESILIENCE_INCOMPLETE_EXIT_CODE=3,
            RETRY_TIMES=0,
        )  # fmt: skip
        run = crawl.run("crawl", "shop")
    assert run.code == 3, run
    wanted = {"status": bool(jobdir) or None, "report": True, "metrics": True, "stats": True}
    assert faces_of(crawl, run) == wanted, run


@pytest.mark.parametrize("jobdir", ["job", None])
def test_one_that_lives(tmp_path, jobdir):
    """Every face of it says that it is complete."""
    with serving(lambda *_: 200) as web:
        settings = {"URLS": web.urls("a.test", 1), "JOBDIR": jobdir}
        crawl = Crawl(tmp_path, PAGINATOR, **{**BUSY, **FACES, **settings},
                      RESILIENCE_INCOMPLETE_EXIT_CODE=3)  # fmt: skip
        run = crawl.run("crawl", "shop")
    run.check_finished()
    wanted = {"status": False if jobdir else None, "report": False, "metrics": False}
    assert faces_of(crawl, run) == {**wanted, "stats": False}


REASONS = ["resilience_abort_handler", "memusage_exceeded", "closespider_timeout_no_item"]
"""The others are told apart in the unit tests."""


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_that_is_no_end(tmp_path, web, reason):
    """Whoever closes the spider, and for whatever reason: it has not finished."""
    source = spider(
        "yield dict(sku=response.url)",
        f"if number == 7: raise scrapy.exceptions.CloseSpider({reason!r})",
    )
    settings = {**BUSY, **FACES, "CONCURRENT_REQUESTS": 1, "URLS": web.urls("a.test", 30)}
    crawl = Crawl(tmp_path, source, **settings)
    run = crawl.run("crawl", "shop")
    assert faces_of(crawl, run) == dict.fromkeys(("status", "report", "metrics", "stats"), True)
    assert status_of(crawl)["state"] == "stopped"
    assert data_of(crawl.path("report.html"))["view"]["job"]["state"] == "stopped"
    known = ("resilience_", "memusage")
    assert run.code == (75 if reason.startswith(known) else 0)
    crawl.write("spider.py", dedent(PAGES))
    crawl.run("crawl", "shop").check_finished()
    assert (
        faces_of(crawl, crawl.last())["status"] is False
        or status_of(crawl)["incomplete"] is False
    )
    crawl.check_pages()


# --- failures that code records -------------------------------------------------------

RECORDS = """
            from scrapy_resilience.abort import evaluate_abort, record_failure
            try:
                raise OSError("https://user:hidden-word@db.example is away")
            except OSError as error:
                found = record_failure(
                    self.crawler, exception=error, request=response.request,
                    context={"page": number, "password": "hidden-word"},
                )
            record_failure(self.crawler, f"page {number} is thin", severity="warning",
                           category="quality", source="parse")
            if number == 20:
                import json
                told = evaluate_abort(self.crawler)
                with open("told", "w") as file:
                    json.dump([told.policy, told["failures_in_a_row"].value, found.category,
                               dict(found.context), found.stack_trace], file)
"""


def test_recorded_failures(crawl):
    """They are in the error groups, count once for a request, and hide what is secret."""
    source = spider("yield dict(sku=response.url)") + RECORDS
    made = crawl({"failures_in_a_row": 15}, source)
    check_aborted(made, made.run("crawl", "shop"), "failures_in_a_row")
    errors = json.loads(made.run("resilience", "errors", made.job, "--json").out)
    found = {each["kind"]: each for each in errors}
    assert set(found) == {"OSError", "quality"}
    assert found["quality"]["message"] == "page <number> is thin"
    assert found["quality"]["place"] == "parse"
    assert found["OSError"]["place"].startswith("spider.py:")
    assert "hidden-word" not in json.dumps(errors)
    opened = made.run("resilience", "errors", made.job, "--open", found["OSError"]["number"])
    assert "password: ***" in opened.out
    assert "hidden-word" not in opened.out
    assert "in parse" in opened.out


# --- wrong settings -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"RESILIENCE_ABORT_POLICY": "prodction"}, "RESILIENCE_ABORT_POLICY='prodction'"),
        (policy(function="conditions.slow"), "use a function that is no coroutine function"),
        ({"RESILIENCE_ABORT_POLICIES": "[1]"}, "RESILIENCE_ABORT_POLICIES"),
    ],
)
def test_wrong_settings(crawl, settings, words):
    """One line says what is wrong, and no job is made."""
    made = crawl({"cost": 1}, pages=1, **settings)
    made.run("crawl", "shop").check_refused(words)
    assert not made.job.exists()

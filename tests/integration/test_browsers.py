"""Pages of scrapy-playwright, in a browser that hangs, dies or is not there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest
from browsing import HANDLER, LATE, OPTIONS, PAGES, BrowserCrawl, odd_site
from crawls import KILLED, check_same, wait_until
from web import serving

from scrapy_resilience.browsers import processes
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.observe.record.record import stored_record

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def _needs_chromium(missing_service):
    pytest.importorskip("scrapy_playwright")
    if shutil.which("chromium") is None:
        missing_service("chromium", "apt-get install chromium")


@pytest.fixture(scope="module")
def site():
    """One site for all: each test asks it for pages of its own."""
    with odd_site() as running:
        yield running


def urls(site, kind, count, host="127.0.0.1"):
    """So many pages of a kind."""
    return [site.url(host, f"/{kind}/{number}") for number in range(count)]


def letters(crawl):
    """The dead letters of a job."""
    return json.loads(crawl.run("resilience", "deadletters", crawl.job, "--json").out)


# --- one crawl of pages of all kinds --------------------------------------------------

OWN = f"""
    from {HANDLER.rpartition(".")[0]} import ScrapyPlaywrightDownloadHandler
    class Handler(ScrapyPlaywrightDownloadHandler):
        async def _create_page(self, request, spider):
            page = await super()._create_page(request=request, spider=spider)
            await page.add_init_script('document.title = 1')
            self.stats.inc_value('own/pages')
            return page
"""
"""A handler of the user's."""


class AllKinds:
    """A crawl of pages that are well and of some that are not, and what came of it."""

    def __init__(self, folder, site):
        self.pages, self.plain = urls(site, "page", 4), urls(site, "plain", 4)
        self.forgotten, self.handed = urls(site, "forgotten", 6), urls(site, "handed", 2)
        self.mine = urls(site, "mine", 7)
        self.odd = [site.url("odd.test", path) for path in ("/popups", "/download")]
        self.slot = urls(site, "page", 3, "well.test") + urls(site, "page", 3, "busy.test")
        self.handed_on = [url.replace("handed", "handed-on") for url in self.handed]
        self.good = [
            *self.pages, *self.plain, *self.forgotten, *self.handed, *self.mine, *self.odd,
            *self.slot,
        ]  # fmt: skip
        self.late = urls(site, "hang", 2, "hang.test")
        self.banned = urls(site, "page", 2, "banned.test")
        self.down = urls(site, "page", 5, "down.test")
        self.bad = {
            "loop": site.url("loop.test", "/loop"),
            "dialogs": site.url("dialogs.test", "/dialogs"),
            "tls": site.url("tls.test", "/page").replace("http:", "https:"),
            "proxy": site.url("proxied.test", "/page"),
            "missing": site.url("missing.test", "/missing"),
            "broken": site.url("broken.test", "/broken"),
        }
        bad = [*self.bad.values(), *self.late, *self.banned, *self.down]
        proxy = {"proxy": {"server": "http://127.0.0.1:9"}}
        profile = {**OPTIONS, "user_data_dir": str(folder / "profile")}
        self.crawl = BrowserCrawl(
            folder,
            [*self.good, *bad],
            DOWNLOAD_HANDLERS={"http": "own.Handler", "https": "own.Handler"},
            DOWNLOAD_TIMEOUT=60,
            META={
                ".test": {"max_retry_times": 0},
                **dict.fromkeys((self.bad["loop"], self.bad["dialogs"]), LATE),
                "hang.test": {**LATE, "max_retry_times": 1},
                "/forgotten": {"playwright_include_page": True},
                "/handed": {"playwright_include_page": True},
                "/mine": {"playwright_context": "mine"},
                "proxied.test": {
                    "playwright_context": "proxied",
                    "playwright_context_kwargs": proxy,
                },
                "well.test": {"download_slot": "one"},
                "busy.test": {"download_slot": "one", "max_retry_times": 2},
            },
            PLAYWRIGHT_CONTEXTS={"mine": profile},
            RESILIENCE_BROWSER_CONTEXT_PAGES=3,
            RESILIENCE_BREAKER_FAILURE_THRESHOLD=3,
            RESILIENCE_BREAKER_RECOVERY_TIMEOUT=0.5,
            RESILIENCE_BREAKER_GIVE_UP_AFTER=1,
            RESILIENCE_REPORT="report.html",
        )
        self.crawl.write("own.py", dedent(OWN))
        self.run = self.crawl.run()
        self.letters = {each["url"]: each for each in letters(self.crawl)}
        self.items = {item["sku"]: item for item in self.crawl.items()}
        meta = JobMeta(**self.crawl.state())
        self.errors = stored_record(self.crawl.job, meta.ident, meta.commits).errors

    def letter(self, name):
        """The class of the letter of a bad page."""
        return self.letters[self.bad[name]]["class"]

    def group(self, message):
        """The number of the group that says so."""
        [group] = [each for each in self.errors.view() if each.message.startswith(message)]
        assert group.has_evidence
        return group.number


@pytest.fixture(scope="module")
def kinds(site, tmp_path_factory):
    """It is run once."""
    return AllKinds(tmp_path_factory.mktemp("kinds"), site)


def test_each_page_comes_once(kinds):
    """Those that are well, and those of popups and downloads; all others are dead letters."""
    assert (kinds.run.code, kinds.run.reason) == (0, "finished"), kinds.run
    kinds.crawl.check_pages([*kinds.good, *kinds.handed_on])
    check_same(
        list(kinds.letters), [*kinds.bad.values(), *kinds.late, *kinds.banned, *kinds.down]
    )
    kinds.crawl.check_none_left()


def test_pages(kinds):
    """Scripts have run; a response has its class and flag; plain pages go as before."""
    for url in (*kinds.pages, *kinds.plain):
        item, is_plain = kinds.items[url], "/plain" in url
        assert item["flags"] == ([] if is_plain else ["playwright"])
        assert ("js /" in item["text"].partition("')")[2]) is not is_plain
    assert "browser_minutes" in kinds.crawl.run("resilience", "cost", kinds.crawl.job).out


def test_stats_of_scrapy_playwright(kinds):
    """They keep their meaning: pages that no callback asked for are closed by the handler."""
    stats = kinds.run.stats
    assert stats["playwright/page_count"] >= stats["own/pages"] >= len(kinds.pages)
    callbacks = len(kinds.forgotten) + len(kinds.handed)
    assert stats["playwright/page_count/closed"] <= stats["playwright/page_count"] - callbacks
    assert stats["playwright/page_count/closed"] >= len(kinds.pages) + len(kinds.mine)


def test_contexts_are_replaced(kinds):
    """A persistent one, too, which is closed before the next one of its folder is opened."""
    stats = kinds.run.stats
    assert stats["resilience/browser/contexts_recycled"] >= 5
    assert stats["playwright/context_count/persistent/True"] == 3


def test_pages_that_never_come(kinds):
    """A timeout, a loop and endless dialogs are transient failures, tried again or given up."""
    assert kinds.run.stats["resilience/browser/timeouts"] >= 4  # a busy machine has more
    assert {kinds.letters[url]["class"] for url in kinds.late} == {"transient"}
    assert {kinds.letter("loop"), kinds.letter("dialogs")} == {"transient"}


def test_a_proxy_that_is_down(kinds):
    """It is a failure of the request; so is a server that speaks no TLS."""
    assert kinds.letter("proxy") == "transient"
    assert "ERR_PROXY_CONNECTION_FAILED" in kinds.run.log
    assert "ERR_SSL_PROTOCOL_ERROR" in kinds.run.log


def test_pages_in_callbacks(kinds):
    """Forgotten ones are closed, or they would take all places; one that is handed on stays."""
    assert kinds.run.stats["resilience/browser/pages_left_open"] >= 2
    assert {kinds.items[url]["name"] for url in kinds.handed_on} == {"kept"}


def test_gates(kinds):
    """Breakers, bans, Retry-After and download slots hold for pages of the browser."""
    stats = kinds.run.stats
    assert stats["resilience/breaker/opened"] >= 1
    assert stats["resilience/holds"] >= 1
    assert {kinds.letters[url]["class"] for url in kinds.banned} == {"blocked"}
    assert {kinds.letters[url]["class"] for url in kinds.down} == {"server_error"}


def size_of(png):
    """Width and height in its head."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("message", ["no price", "HTTP 404", "HTTP 503", "ban page"])
def test_the_first_error_has_a_screenshot(kinds, message):
    """Of a callback, of answers that nothing handles, of a ban."""
    sample = kinds.errors.sample(kinds.group(message))
    assert size_of(sample.screenshot) == (1280, 720)


def test_what_the_browser_tells_of_an_error(kinds):
    """The command prints it and writes the picture; errors only, without secrets."""
    number = str(kinds.group("no price"))
    run = kinds.crawl.run("resilience", "errors", kinds.crawl.job, "--open", number, "--json")
    opened = json.loads(run.out)
    logged, raised = opened["console"]
    assert logged.startswith("wrong: http://***@x.test/?token=***")
    assert raised.startswith("Uncaught TypeError: Cannot read properties of undefined")
    assert "hidden" not in json.dumps(opened)
    picture = kinds.crawl.path(opened["screenshot"])
    assert picture.read_bytes() == kinds.errors.sample(int(number)).screenshot
    assert picture.stat().st_mode & 0o777 == 0o600
    report = kinds.crawl.path("report.html").read_text("utf-8")
    assert "Cannot read properties of undefined" in report
    assert '"type":"image/png"' in report


# --- browsers and crawls that end -----------------------------------------------------


def test_kills_of_browsers_and_pages(tmp_path, site):
    """Each page comes once, though renderers and browsers are killed, and one hangs."""
    crawl = BrowserCrawl(tmp_path, urls(site, "page", 56), DOWNLOAD_TIMEOUT=6)
    renderer, browser = crawl.kill_renderer, crawl.kill_browser
    acts = [renderer, browser, renderer, crawl.stop_browser, renderer, browser]
    with crawl.process() as process:
        for number, act in enumerate(acts, 1):
            wait_until(lambda at=8 * number: process.poll() is not None or crawl.done() >= at)
            act()
        run = crawl.ended(process)

    assert (run.code, run.reason) == (0, "finished"), run
    crawl.check_pages()
    assert run.stats["resilience/browser/crashes"] >= 3
    assert run.stats["resilience/browser/killed"] == 1
    # a crashed page that has not told its end yet may be counted beside the one in its place
    assert run.stats["playwright/page_count/max_concurrent"] <= PAGES + 1
    crawl.check_none_left()


HANGING = f"""
    import asyncio
    from {HANDLER.rpartition(".")[0]} import ScrapyPlaywrightDownloadHandler
    class Handler(ScrapyPlaywrightDownloadHandler):
        asked = 0
        async def _create_page(self, request, spider):
            self.asked += 1
            if self.asked == 2:
                await asyncio.Event().wait()
            return await super()._create_page(request=request, spider=spider)
"""
"""Its second page never opens."""


def test_a_page_that_never_opens(tmp_path, site):
    """Its browser is killed and its place given back, though its request gives up before."""
    crawl = BrowserCrawl(
        tmp_path,
        urls(site, "page", 3),
        DOWNLOAD_HANDLERS={"http": "own.Handler", "https": "own.Handler"},
        DOWNLOAD_TIMEOUT=5,
        PLAYWRIGHT_MAX_PAGES_PER_CONTEXT=1,
        RETRY_TIMES=9,
        RESILIENCE_BROWSER_ANSWER_TIMEOUT=8,
    )
    crawl.write("own.py", dedent(HANGING))
    run = crawl.run()

    run.check_finished()
    crawl.check_pages()
    assert run.stats["resilience/browser/killed"] == 1
    crawl.check_none_left()


LOGIN = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            yield self.ask("/login")
        def ask(self, path):
            meta = {"playwright": True, "download_timeout": 100}
            return scrapy.Request(self.settings["ROOT"] + path, meta=meta,
                                  cb_kwargs={"path": path})
        def parse(self, response, path):
            yield dict(sku=path, text="".join(response.css("body ::text").getall()))
            if path == "/login":
                yield self.ask("/memory/0")
            elif path == "/memory/0":
                for number in range(1, 5):
                    yield self.ask(f"/memory/{number}")
                for number in range(5):
                    yield self.ask(f"/hang/{number}")
"""


def test_a_kill_and_a_stop_of_the_crawl(tmp_path):
    """A login stays, in the next context and in the next run; nothing is left of a killed one.

    A process of another job is not touched.
    """
    other = {**os.environ, processes.JOB: "another job"}
    sleeper = subprocess.Popen(["sleep", "600"], env=other, start_new_session=True)
    with odd_site() as site:
        crawl = BrowserCrawl(
            tmp_path, [], LOGIN, ROOT=site.url("127.0.0.1", ""),
            RESILIENCE_BROWSER_CONTEXT_PAGES=2, RESILIENCE_SHUTDOWN_TIMEOUT=4,
            PLAYWRIGHT_MAX_PAGES_PER_CONTEXT=9,
        )  # fmt: skip
        try:
            with crawl.process() as process:
                wait_until(lambda: crawl.done() >= 6 and site.odd.hanging)
                wait_until(lambda: "stored" in str(crawl.states("resilience.browser_logins")))
                crawl.stop_browser()  # or else it ends by itself, some seconds later
                process.kill()
                assert crawl.ended(process).code == KILLED
            left, before = crawl.processes(), site.odd.hanging
            with crawl.process() as process:
                wait_until(lambda: site.odd.hanging > before)
                process.send_signal(signal.SIGTERM)
                stopped = crawl.ended(process)
            assert (stopped.code, stopped.reason) == (75, "shutdown"), stopped
            crawl.check_none_left()
            site.odd.over.set()
            crawl.run().check_finished()
        finally:
            sleeper.kill()
            sleeper.wait()

    assert left
    assert stopped.stats["resilience/browser/orphans"] >= len(left)
    wanted = ["/login", *(f"/{kind}/{at}" for kind in ("memory", "hang") for at in range(5))]
    check_same([item["sku"] for item in crawl.items()], wanted)
    texts = {item["sku"]: item["text"] for item in crawl.items()}
    assert all("login=yes" in text for path, text in texts.items() if path != "/login"), texts
    assert all("stored" in text for path, text in texts.items() if "hang" in path), texts
    assert sleeper.returncode == -signal.SIGKILL  # by us
    crawl.check_none_left()


# --- browsers that are elsewhere, or nowhere ------------------------------------------


@pytest.fixture
def playwright_server(tmp_path):
    """The address of Playwright's own server, which has started a browser."""
    options = {"executablePath": shutil.which("chromium"), "args": ["--no-sandbox"]}
    (tmp_path / "server.json").write_text(json.dumps({**options, "host": "127.0.0.1"}))
    command = [sys.executable, "-m", "playwright", "launch-server", "--browser", "chromium"]
    with (
        (tmp_path / "server.err").open("wb") as err,
        subprocess.Popen(
            [*command, "--config", str(tmp_path / "server.json")],
            stdout=subprocess.PIPE, stderr=err, start_new_session=True,
        ) as server,
    ):  # fmt: skip
        try:
            yield server.stdout.readline().decode().strip()
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def check_remote(crawl):
    """All pages came, contexts were replaced, and it is not ours to end the browser."""
    run = crawl.run()
    run.check_finished()
    crawl.check_pages()
    assert run.stats["resilience/browser/contexts_recycled"] >= 2
    assert run.stats.get("resilience/browser/killed", 0) == 0


def test_a_remote_browser(tmp_path, site, chromium):
    """Its contexts are replaced, and it goes on after the crawl."""
    settings = {"PLAYWRIGHT_LAUNCH_OPTIONS": None, "RESILIENCE_BROWSER_CONTEXT_PAGES": 2}
    crawl = BrowserCrawl(
        tmp_path,
        urls(site, "page", 6),
        PLAYWRIGHT_CDP_URL=f"http://127.0.0.1:{chromium}",
        **settings,
    )
    check_remote(crawl)
    with ThreadPoolExecutor(1) as pool:  # it answers
        asked = pool.submit(crawl.run, "fetch", f"http://127.0.0.1:{chromium}/json/version")
        assert "webSocketDebuggerUrl" in asked.result().out


def test_a_server_of_playwright(tmp_path, site, playwright_server):
    """The same."""
    crawl = BrowserCrawl(
        tmp_path / "crawl",
        urls(site, "page", 6),
        PLAYWRIGHT_LAUNCH_OPTIONS=None,
        PLAYWRIGHT_CONNECT_URL=playwright_server,
        RESILIENCE_BROWSER_CONTEXT_PAGES=2,
    )
    check_remote(crawl)


PROVIDER = """
    from playwright.async_api import async_playwright

    class Provider:
        def __init__(self, config):
            self.options = config.launch_options

        async def start(self):
            self.playwright = await async_playwright().start()

        async def launch_browser(self):
            return await self.playwright.chromium.launch(**self.options)

        async def close(self):
            await self.playwright.stop()
"""


def test_a_provider_of_ones_own(tmp_path, site):
    """Its contexts are replaced, its browser is when it is killed, and none is left."""
    crawl = BrowserCrawl(
        tmp_path,
        urls(site, "page", 16),
        PLAYWRIGHT_BROWSER_PROVIDER="mine.Provider",
        RESILIENCE_BROWSER_CONTEXT_PAGES=5,
    )
    crawl.write("mine.py", dedent(PROVIDER))
    with crawl.process() as process:
        wait_until(lambda: process.poll() is not None or crawl.done() >= 8)
        crawl.kill_browser()
        run = crawl.ended(process)

    run.check_finished()
    crawl.check_pages()
    assert run.stats["resilience/browser/contexts_recycled"] >= 2
    assert run.stats["resilience/browser/crashes"] >= 1
    crawl.check_none_left()


POOR = """
    import asyncio
    from scrapy_playwright.provider import PlaywrightBrowserProvider

    class Late(PlaywrightBrowserProvider):
        first = True
        async def start(self):
            if Late.first:
                Late.first = False
                await asyncio.sleep(100)
            await super().start()

    class Never(PlaywrightBrowserProvider):
        async def start(self):
            await asyncio.sleep(100)

    class Dying(PlaywrightBrowserProvider):
        first = True
        async def launch_browser(self):
            browser = await super().launch_browser()
            if Dying.first:
                Dying.first = False
                await browser.close()
            return browser
"""
"""Providers whose first driver does not start, or none, or whose first browser ends at once."""

NOWHERE = {
    "/no/browser": {"PLAYWRIGHT_LAUNCH_OPTIONS": {"executable_path": "/no/browser"}},
    "EACCES": {"PLAYWRIGHT_LAUNCH_OPTIONS": {"executable_path": "/etc/passwd"}},
    "PLAYWRIGHT_BROWSER_TYPE='netscape'": {"PLAYWRIGHT_BROWSER_TYPE": "netscape"},
    "ended at once": {"PLAYWRIGHT_LAUNCH_OPTIONS": {"executable_path": "/bin/true"}},
    "ECONNREFUSED": {"PLAYWRIGHT_CDP_URL": "http://127.0.0.1:9"},
    "WebSocket error": {"PLAYWRIGHT_CONNECT_URL": "ws://127.0.0.1:9/"},
    "nonsense": {
        "PLAYWRIGHT_LAUNCH_OPTIONS": OPTIONS,
        "PLAYWRIGHT_CONTEXTS": {"default": {"nonsense": 1}},
    },
    "did not start within 1 s": {
        "PLAYWRIGHT_BROWSER_PROVIDER": "mine.Never",
        "RESILIENCE_BROWSER_LAUNCH_TIMEOUT": 1,
    },
}


def test_no_browser(tmp_path, site):
    """One line says so, and with which command one is installed; nothing is lost."""

    def crawled(word):
        folder = tmp_path / str([*NOWHERE].index(word))
        wanted = {"PLAYWRIGHT_LAUNCH_OPTIONS": None, "RESILIENCE_BROWSER_MAX_CRASHES": 2}
        crawl = BrowserCrawl(folder, urls(site, "page", 3), **{**wanted, **NOWHERE[word]})
        crawl.write("mine.py", dedent(POOR))
        return crawl, crawl.run()

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(NOWHERE, pool.map(crawled, NOWHERE), strict=True))

    for word, (crawl, run) in found.items():
        assert (run.code, run.reason) == (1, "resilience_browser"), run
        assert len(run.errors) == 1, run
        assert word in run.errors[0]
        assert "playwright install chromium" in run.errors[0]
        assert crawl.state()["pending"] == 3
        assert crawl.state()["dead_letters"] == 0


@pytest.mark.parametrize("kind", ["Late", "Dying"])
def test_a_poor_start(tmp_path, site, kind):
    """The driver is started again, and so is the browser of contexts that the settings have."""
    crawl = BrowserCrawl(
        tmp_path,
        urls(site, "page", 3),
        PLAYWRIGHT_BROWSER_PROVIDER=f"mine.{kind}",
        PLAYWRIGHT_CONTEXTS={"default": {}, "other": {}},
        RESILIENCE_BROWSER_LAUNCH_TIMEOUT=6,
    )
    crawl.write("mine.py", dedent(POOR))
    run = crawl.run()

    run.check_finished()
    crawl.check_pages()
    assert run.stats["playwright/context_count"] == 2
    assert ("did not start within 6 s" in run.log) is (kind == "Late")
    crawl.check_none_left()


# --- the rest -------------------------------------------------------------------------


def test_plain_pages_do_not_wait(tmp_path):
    """Half of the places are theirs, though more pages of the browser hang than there are."""
    with odd_site() as site:
        crawl = BrowserCrawl(
            tmp_path,
            [*urls(site, "hang", 30), *urls(site, "plain", 100)],
            PLAYWRIGHT_MAX_PAGES_PER_CONTEXT=None,
            CONCURRENT_REQUESTS=8,
            CONCURRENT_REQUESTS_PER_DOMAIN=8,
            META={"/hang": {"download_timeout": 100}},
        )
        with crawl.process() as process:
            wait_until(lambda: crawl.done() >= 100 and site.odd.hanging)
            assert site.odd.hanging <= 8
            process.kill()
            crawl.ended(process)
        crawl.check_none_left()


def test_the_spider_of_the_guide(tmp_path):
    """What the guide shows runs: a page of the browser, and plain ones behind it."""
    quotes = (
        b"<body><script>document.body.innerHTML = '<div class=quote><span class=text>Well."
        b"</span><a href=/author/1>one</a></div>'</script>"
    )

    def answer(_, path, __):
        body = b"<h3>One</h3>" if "author" in path else quotes
        return 200, {"Content-Type": "text/html"}, body

    crawl = BrowserCrawl(tmp_path, [])
    source = Path(__file__).parents[2] / "docs" / "snippets" / "browser_spider.py"
    shutil.copy(source, tmp_path)
    with serving(answer) as site:
        run = crawl.run(
            "runspider", source.name, "-a", f"url={site.url('127.0.0.1')}",
            "-s", f"PLAYWRIGHT_LAUNCH_OPTIONS={json.dumps(OPTIONS)}",
        )  # fmt: skip

    run.check_finished()
    assert crawl.items("quotes.jsonl") == [{"text": "Well."}, {"author": "One"}]

"""Crawls in which something does not end: requests, callbacks, the loop, and all of it."""

from __future__ import annotations

import json
import signal
import time

import pytest
from crawls import BUSY, PAGES, Crawl, wait_until

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration

SITE = SiteConfig(hosts=1, pages=12)
QUICK = {
    **BUSY,
    "RESILIENCE_CALLBACK_TIMEOUT": 0,
    "RESILIENCE_STALL_TIMEOUT": 0,
    "RESILIENCE_BLOCKED_AFTER": 0,
    "RESILIENCE_HTTP_ENABLED": False,
}
"""Each test turns on what it is about."""
EVENTS = """
    import asyncio, json, threading, time, scrapy
    from scrapy_resilience import signals
    from twisted.internet.defer import Deferred
    class Told:
        def __init__(self, crawler):
            self.found = []
            connect = crawler.signals.connect
            connect(self.event, signals.crawl_event)
            connect(self.breached, signals.guard_breached)
            connect(self.recovered, signals.guard_recovered)
            connect(self.closed, scrapy.signals.engine_stopped)
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        def event(self, kind, text, severity):
            self.found.append([kind, text, severity])
        def breached(self, name, status, detail):
            self.found.append(["breached", name, status, detail])
        def recovered(self, name, detail):
            self.found.append(["recovered", name, detail])
        def closed(self):
            with open("told.json", "w") as file:
                json.dump(self.found, file)
"""


@pytest.fixture(scope="module")
def shop_process():
    """A site that is well, for all tests of this module."""
    with running_site(SITE) as site:
        yield site


@pytest.fixture
def shop(tmp_path, shop_process):
    """``shop(source, pages, **settings)``: a crawl of some pages, not run yet."""
    shop_process.reset()

    def make(source, pages=6, **settings):
        urls = [shop_process.url("h0.test", f"/page/{page}") for page in range(1, pages + 1)]
        job = Crawl(
            tmp_path,
            EVENTS + source,
            shop_process,
            **{**QUICK, "URLS": urls, "EXTENSIONS": {"spider.Told": 1}, **settings},
        )
        job.told = lambda: json.loads(job.path("told.json").read_text("utf-8"))
        return job

    return make


def texts(job, kind):
    """What a crawl has told of one kind."""
    return [rest[0] for found, *rest in job.told() if found == kind]


# --- requests ---

HANDLER = """
    from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
    class Stuck(HTTP11DownloadHandler):
        lazy = False
        tried = set()
        async def download_request(self, request):
            if request.url not in self.tried and not request.url.endswith("/1"):
                self.tried.add(request.url)
                await self.never()
            return await super().download_request(request)
        async def never(self):
            %s
"""
NEVER = {
    "never": "await asyncio.get_running_loop().create_future()",
    "deferred": "from scrapy.utils.defer import maybe_deferred_to_future as wait;"
    " await wait(Deferred())",
    "swallows": """
            while True:
                try:
                    await asyncio.sleep(0.2)
                except asyncio.CancelledError:
                    pass""",
    "thread": "await asyncio.to_thread(time.sleep, 4)",
}


@pytest.mark.parametrize("how", NEVER)
@pytest.mark.parametrize("jobdir", ["job", None])
def test_a_handler_that_never_returns(shop, how, jobdir):
    """Its requests are cancelled, count as time-outs, and are tried again: each page once."""
    job = shop(
        HANDLER % NEVER[how] + PAGES,
        JOBDIR=jobdir,
        DOWNLOAD_HANDLERS={"http": "spider.Stuck"},
        DOWNLOAD_TIMEOUT=0.3,
        RESILIENCE_STUCK_TIMEOUT=0.3,
        RESILIENCE_BREAKER_FAILURE_THRESHOLD=100,
    )

    run = job.run()

    assert run.code == 0, run
    assert run.reason == "finished"
    job.check_pages()
    assert run.stats["resilience/stuck/requests"] == 5
    assert run.stats["retry/count"] == 5
    assert any("brought no byte for 0.3 s" in text for text in texts(job, "stuck"))


SCRAPYS = """
    from scrapy.core.downloader.handlers import http11
    sent = set()
    async def never(self, request):
        if request.url not in sent and not request.url.endswith("/1"):
            sent.add(request.url)
            await Deferred().asFuture(asyncio.get_running_loop())
        return await download(self, request)
    download = http11.HTTP11DownloadHandler.download_request
    http11.HTTP11DownloadHandler.download_request = never
"""


@pytest.mark.parametrize("settings", [{}, {"RESILIENCE_RETRY_ENABLED": False}])
def test_a_handler_of_scrapys_that_hangs(shop, settings):
    """It is cancelled where it waits; Scrapy's own retry middleware takes it for a time-out."""
    job = shop(
        SCRAPYS + PAGES,
        DOWNLOAD_TIMEOUT=0.3,
        RESILIENCE_STUCK_TIMEOUT=0.3,
        RESILIENCE_BREAKER_FAILURE_THRESHOLD=100,
        **settings,
    )

    run = job.finish()

    job.check_pages()
    assert run.stats["resilience/stuck/requests"] == 5
    assert run.stats["retry/count"] == 5


SLOW_BODY = """
    from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
    from scrapy.http import TextResponse
    class Slow:
        lazy = False
        def __init__(self, crawler):
            self.crawler = crawler
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        async def close(self):
            pass
        async def download_request(self, request):
            for _ in range(15):  # three times as long as it may be without a byte
                await asyncio.sleep(0.1)
                self.crawler.signals.send_catch_log(
                    scrapy.signals.bytes_received, data=b"x", request=request,
                    spider=self.crawler.spider)
            return TextResponse(request.url, request=request, body=b"x" * 15)
"""


def test_a_slow_body_is_not_stuck(shop):
    """A request that is long past its time-out goes on while bytes of it come."""
    job = shop(
        SLOW_BODY + PAGES,
        pages=3,
        DOWNLOAD_HANDLERS={"http": "spider.Slow"},
        DOWNLOAD_TIMEOUT=0.2,
        RESILIENCE_STUCK_TIMEOUT=0.6,
    )

    run = job.finish()

    job.check_pages()
    assert "resilience/stuck/requests" not in run.stats
    assert "retry/count" not in run.stats


# --- callbacks and pipelines ---

WAITING = """
    class Shop(scrapy.Spider):
        name = "shop"
        custom_settings = {"ITEM_PIPELINES": {"spider.Pipeline": 1}}
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, errback=self.failed)
        async def hang(self, url, what):
            if url.endswith("/3") and self.settings["WHAT"] == what:
                await self.wait_here()
        async def wait_here(self):
            how = self.settings.getfloat("SECONDS")
            await (asyncio.sleep(how) if how else asyncio.get_running_loop().create_future())
        async def parse(self, response):
            if self.settings["WHAT"] == "download":
                url = response.url.replace("/page/", "/never/")
                await self.crawler.engine.download_async(scrapy.Request(url))
            if self.settings["WHAT"] == "errback":
                raise scrapy.exceptions.IgnoreRequest
            await self.hang(response.url, "generator")
            yield dict(sku=response.url)
        async def one(self, response):
            await self.hang(response.url, "coroutine")
            return [dict(sku=response.url)]
        def later(self, response):
            if response.url.endswith("/3"):
                return Deferred()
            return [dict(sku=response.url)]
        async def failed(self, failure):
            await self.hang(failure.request.url, "errback")
            yield dict(sku=failure.request.url)
    class Pipeline:
        def __init__(self, crawler):
            self.crawler = crawler
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        async def process_item(self, item):
            await self.crawler.spider.hang(item["sku"], "pipeline")
            if self.crawler.settings["WHAT"] == "late" and item["sku"].endswith("/3"):
                await Later().wait()
            return item
    class Later:
        def wait(self):
            return Deferred().asFuture(asyncio.get_running_loop())
"""
ONE = WAITING.replace("errback=self.failed", "self.one, errback=self.failed")
LATER = WAITING.replace("errback=self.failed", "self.later, errback=self.failed")
WAITS = {
    "generator": (WAITING, "callback", "wait_here"),
    "coroutine": (ONE, "callback", "wait_here"),
    "deferred": (LATER, "callback", ""),
    "pipeline": (WAITING, "pipeline", "wait_here"),
    "late": (WAITING, "pipeline", "process_item"),
}


@pytest.mark.parametrize("items_at_once", [1, 100])
@pytest.mark.parametrize("what", WAITS)
def test_code_that_waits_for_ever_is_cancelled(shop, what, items_at_once):
    """It is told where it waits; by setting it is cancelled, and its request a dead letter."""
    source, kind, function = WAITS[what]
    job = shop(
        source,
        WHAT=what,
        RESILIENCE_CALLBACK_TIMEOUT=0.4,
        RESILIENCE_CALLBACK_TIMEOUT_ACTION="cancel",
        CONCURRENT_ITEMS=items_at_once,
    )

    run = job.run()

    assert (run.code, run.reason) == (0, "finished"), run
    job.check_pages([url for url in job.settings["URLS"] if not url.endswith("/3")])
    plural = {"callback": "callbacks", "pipeline": "pipelines"}[kind]
    assert run.stats[f"resilience/stuck/{plural}"] == 1
    assert run.stats["resilience/stuck/cancelled"] == 1
    assert run.stats[f"resilience/deadletters/{kind}"] == 1
    (text,) = texts(job, "stuck")
    assert text.startswith(f"A {kind} of <GET ")
    assert f"{function} (" in text
    letters = job.run("resilience", "deadletters", "job", "--json").out
    assert "has waited for 0.4 s" in letters


def test_an_errback_that_waits(shop):
    """It is reported as a callback is; without the setting it goes on, and its item counts."""
    job = shop(WAITING, WHAT="errback", SECONDS=1.5, RESILIENCE_CALLBACK_TIMEOUT=0.3)
    job.configure(URLS=["http://h0.test:1/3"], RESILIENCE_RETRY_ENABLED=False)

    run = job.run()

    assert run.reason == "finished"
    job.check_pages()
    assert run.stats["resilience/stuck/callbacks"] == 1
    assert "resilience/stuck/cancelled" not in run.stats
    first, second = texts(job, "stuck")
    assert first.startswith("An errback of")
    assert second.startswith("It has ended after about")


@pytest.mark.parametrize("ours", [True, False], ids=["our scheduler", "Scrapy's"])
def test_a_download_of_a_callback_is_not_its_time(shop, ours):
    """A callback that waits for a download of its own waits as long as that may take."""
    handler = """
        from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
        class Late(HTTP11DownloadHandler):
            lazy = False
            async def download_request(self, request):
                if "/never/" in request.url:
                    await asyncio.sleep(1.5)
                    request = request.replace(url=request.url.replace("/never/", "/page/"))
                return await super().download_request(request)
    """.replace("\n    ", "\n")
    job = shop(
        handler + WAITING,
        WHAT="download",
        RESILIENCE_CALLBACK_TIMEOUT=0.3,
        DOWNLOAD_HANDLERS={"http": "spider.Late"},
        RESILIENCE_SCHEDULER_ENABLED=ours,
        **({} if ours else {"JOBDIR": None}),
    )

    run = job.finish()

    job.check_pages()
    assert "resilience/stuck/callbacks" not in run.stats


SHARED = """
    from scrapy.pipelines.files import FilesPipeline
    from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
    class Late(HTTP11DownloadHandler):
        lazy = False
        async def download_request(self, request):
            if request.url.endswith("/logo"):
                await asyncio.sleep(1.5)
                request = request.replace(url=request.url.replace("/logo", "/page/1"))
            return await super().download_request(request)
    class Files(FilesPipeline):
        def get_media_requests(self, item, info):
            return [scrapy.Request(item["sku"].rpartition("/page/")[0] + "/logo")]
"""


def test_a_file_of_several_items_is_the_time_of_none(shop):
    """An item that waits for what another one downloads is not cancelled meanwhile."""
    job = shop(
        SHARED + PAGES,
        ITEM_PIPELINES={"spider.Files": 1},
        FILES_STORE="files",
        RESILIENCE_CALLBACK_TIMEOUT=0.3,
        RESILIENCE_CALLBACK_TIMEOUT_ACTION="cancel",
        DOWNLOAD_HANDLERS={"http": "spider.Late"},
    )

    run = job.finish()

    assert len(job.items()) == 6
    assert "resilience/stuck/pipelines" not in run.stats


# --- the loop ---

BLOCKING = """
    def hold(seconds):
        secret = "hunter2"
        %s  # this very line
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            if response.url.endswith("/3"):
                self.before(2.0)
            yield dict(sku=response.url)
        def before(self, seconds):
            hold(seconds)
"""
BLOCKS = {
    "sleeps": "time.sleep(seconds)",
    "computes": "spin(seconds)",
}
SPIN = """
    def spin(seconds):
        end = time.thread_time() + seconds  # of the processor: a machine may be busy
        while time.thread_time() < end:
            sum(range(1000))
"""


@pytest.mark.parametrize("how", BLOCKS)
def test_a_callback_that_blocks_the_loop(shop, how):
    """It is logged with its line while it does, and told when it is over, once."""
    job = shop(SPIN + BLOCKING % BLOCKS[how], RESILIENCE_BLOCKED_AFTER=0.8)

    run = job.run()

    assert run.reason == "finished"
    job.check_pages()
    assert run.stats["resilience/blocked/count"] == 1
    assert run.log.count("The event loop has stood still for") == 1
    assert run.log.count("The event loop had stood still for") == 1
    before, _ = run.log.split("The event loop had stood still for")
    assert "hold (spider.py:" in before
    assert "before (spider.py:" in before
    assert "hunter2" not in run.log
    (text,) = texts(job, "blocked")
    assert text.startswith("The event loop has stood still for")
    told = [each for each in job.told() if each[:2] == ["breached", "blocked"]]
    assert [each[2] for each in told] == ["unhealthy"]
    assert ["recovered", "blocked"] in [each[:2] for each in job.told()]


def test_status_says_where_a_loop_stands(shop):
    """While the loop can't answer, the file beside the job does."""
    job = shop(
        BLOCKING % "time.sleep(60)",
        pages=3,
        RESILIENCE_BLOCKED_AFTER=0.5,
        CONCURRENT_REQUESTS=1,
    )
    with job.process() as process:
        wait_until(lambda: job.path("job/resilience.waiting").exists())

        status = job.run("resilience", "status", "job")

        process.kill()
    assert "the event loop, which stands still in hold" in status.out


def test_a_process_that_was_stopped_is_not_blocked(shop):
    """SIGSTOP, or a machine that sleeps, is no fault of a callback's."""
    job = shop(
        WAITING, WHAT="generator", SECONDS=6, RESILIENCE_BLOCKED_AFTER=0.8,
        RESILIENCE_STUCK_TIMEOUT=1, DOWNLOAD_TIMEOUT=100,
    )  # fmt: skip
    with job.process() as process:
        wait_until(lambda: job.commits() > 0)
        for _ in range(2):
            process.send_signal(signal.SIGSTOP)
            time.sleep(2)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.5)
        run = job.ended(process)

    assert run.reason == "finished"
    assert "resilience/blocked/count" not in run.stats


# --- a crawl as a whole ---

STALL = {"RESILIENCE_STALL_TIMEOUT": 0.8, "RESILIENCE_STUCK_TIMEOUT": 0.5}
ASLEEP = """
    class Asleep:
        \"\"\"Somebody who keeps the engine from asking for more.\"\"\"
        def __init__(self, crawler):
            self.crawler = crawler
            self.left = 3
            crawler.signals.connect(self.seen, scrapy.signals.response_received)
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        def seen(self):
            self.left -= 1
            if not self.left:
                call = self.crawler.engine._slot.nextcall
                self.schedule, call.schedule = call.schedule, lambda *args: None
                asyncio.get_running_loop().call_later(1.5, self.awake, call)
        def awake(self, call):  # whoever wakes the engine next is heard
            call.schedule = self.schedule
"""
MIDDLEWARE = """
    class Middleware:
        async def process_request(self, request):
            if request.url.endswith("/3"):
                await asyncio.get_running_loop().create_future()
"""


def test_an_engine_that_sleeps_is_woken(shop):
    """Requests are ready, nobody asks for them: it is told, healed, and ends with all items."""
    job = shop(
        ASLEEP + PAGES,
        EXTENSIONS={"spider.Told": 1, "spider.Asleep": 2},
        CONCURRENT_REQUESTS=1,
        HEARTBEAT_INTERVAL=1000,
        **STALL,
    )

    run = job.finish()

    job.check_pages()
    assert run.stats["resilience/stalls"] == 1
    told = texts(job, "stall")
    assert "that may be asked for" in told[0]
    assert told[1:] == ["The crawl goes on after a stall"]
    assert ["breached", "stall", "unhealthy"] in [each[:3] for each in job.told()]
    assert ["recovered", "stall"] in [each[:2] for each in job.told()]


@pytest.mark.parametrize("jobdir", ["job", None])
@pytest.mark.parametrize("where", ["middleware", "pipeline"])
def test_a_crawl_that_can_not_be_healed_is_closed(shop, where, jobdir):
    """By setting only; what is done is kept, and the exit code says that there is more."""
    of_middleware = {"DOWNLOADER_MIDDLEWARES": {"spider.Middleware": 10}}
    job = shop(
        MIDDLEWARE + WAITING,
        WHAT=where,
        JOBDIR=jobdir,
        RESILIENCE_STALL_CLOSE=True,
        RESILIENCE_CALLBACK_TIMEOUT=0.3,
        RESILIENCE_SHUTDOWN_TIMEOUT=6,
        **(of_middleware if where == "middleware" else {}),
        **STALL,
    )

    run = job.run()

    assert run.reason == "resilience_stalled", run
    assert run.code == (75 if jobdir else run.code)
    pages = [url for url in job.settings["URLS"] if not url.endswith("/3")]
    job.check_pages(pages)
    if jobdir:
        job.configure(DOWNLOADER_MIDDLEWARES={}, WHAT="")
        job.finish()
        job.check_pages()


@pytest.mark.parametrize(
    "settings",
    [
        {"RESILIENCE_RATE_LIMITS": {"h0.test": "1/2s"}},
        {"DOWNLOAD_DELAY": 2, "DOWNLOAD_DELAY_JITTER": 0},
        {"META": {"resilience_delay": 3}},
        {"DOWNLOAD_HANDLERS": {"http": "spider.Long"}},
    ],
    ids=["rate limit", "delay", "own delay", "long download"],
)
def test_a_slow_crawl_has_not_stalled(shop, settings):
    """What waits for its time, or is within its time, is no stall."""
    handler = """
    from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
    class Long(HTTP11DownloadHandler):
        lazy = False
        async def download_request(self, request):
            await asyncio.sleep(2.5)
            return await super().download_request(request)
"""
    job = shop(handler + PAGES, pages=2, **STALL, **settings)

    run = job.finish()

    job.check_pages()
    assert "resilience/stalls" not in run.stats


PAUSED = """
    from scrapy_resilience.gates.crawl_pauses import pauses_of
    class Pausing:
        def __init__(self, crawler):
            self.pauses = pauses_of(crawler)
            crawler.signals.connect(self.seen, scrapy.signals.engine_started)
        @classmethod
        def from_crawler(cls, crawler):
            return cls(crawler)
        def seen(self):
            self.pauses.pause("test", "a test", time.monotonic() + 2.5)
"""


def test_a_paused_crawl_has_not_stalled(shop):
    """Nothing ends, and nothing has to."""
    job = shop(PAUSED + PAGES, EXTENSIONS={"spider.Told": 1, "spider.Pausing": 2}, **STALL)

    run = job.finish()

    job.check_pages()
    assert "resilience/stalls" not in run.stats


# --- components ---

COMPONENT = """
    well = {"since": 0}
    tries = []
    def check(crawler):
        if %(ill)s and not well["since"]:
            return %(answer)s
    %(define)s recover(crawler):
        assert crawler.spider.name == "shop"
        tries.append(1)
        if len(tries) > 2:
            well["since"] = 1
        %(does)s
    class Slowly:
        async def process_item(self, item):
            while %(ill)s and not well["since"]:
                await asyncio.sleep(0.1)
            await asyncio.sleep(1)
            return item
"""
NONSENSE = {
    "None": ("def", "pass", 0),
    "async": ("async def", "await asyncio.sleep(0)", 0),
    "raises": ("def", "raise ValueError(dict(password='hunter2'))", 3),
    "nonsense": ("async def", "return [1]", 3),
    "says no": ("def", "return False", 3),
    "hangs": ("async def", "await asyncio.sleep(100)", 3),
    "blocks": ("def", "time.sleep(0.6)", 3),
}
AT_ONCE = {
    "RESILIENCE_WATCHDOG_INTERVAL": 0.1,
    "RESILIENCE_HEALTH_INTERVAL": 0.1,
    "RESILIENCE_RECOVER_DELAY": 0.1,
    "RESILIENCE_RECOVER_TIMEOUT": 0.3,
    "RESILIENCE_COMPONENTS": {"db": {"check": "spider.check", "recover": "spider.recover"}},
    "ITEM_PIPELINES": {"spider.Slowly": 1},
}


@pytest.mark.parametrize("how", NONSENSE)
def test_a_component_is_made_well_again(shop, how):
    """Its function is called until the check is content; what is wrong with it is told."""
    define, does, errors = NONSENSE[how]
    words = {"ill": "True", "answer": "False, 'away'", "define": define, "does": does}
    words["answer"] = "'unhealthy', 'the database is away'"
    job = shop(COMPONENT % words + PAGES, pages=2, **AT_ONCE)

    run = job.finish()

    job.check_pages()
    assert run.stats["resilience/components/breached"] == 1
    assert run.stats["resilience/components/recovered"] == 1
    assert run.stats["resilience/components/recoveries"] == 3
    assert run.stats.get("resilience/components/recovery_errors", 0) == errors
    assert ["breached", "db", "unhealthy", "the database is away"] in job.told()
    assert ["recovered", "db"] in [each[:2] for each in job.told()]
    assert "hunter2" not in run.log


OWN = """
    from scrapy_resilience.observe.health.registry import register_health_check
    from scrapy_resilience.watchdog import register_component
    class Shop(scrapy.Spider):
        name = "shop"
        calls = []
        async def start(self):
            register_component(self.crawler, "queue", self.check, self.recover)
            register_health_check(self.crawler, "cache", self.is_full, self.again)
            register_component(self.crawler, "share", lambda: ("degraded", "slow"), self.never)
            while not (len(self.calls) > 2 and len(self.ends) == len(self.calls)):
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        ends = []
        async def check(self):
            return len(self.calls) > 2
        async def recover(self):
            assert len(self.calls) == len(self.ends), "two at a time"
            self.calls.append(1)
            await asyncio.sleep(0.2)
            self.ends.append(1)
        def is_full(self):
            return len(self.calls) > 2
        def again(self):
            pass
        def never(self):
            raise AssertionError("it is only degraded")
        def parse(self, response):
            yield dict(sku=response.url)
"""


def test_components_from_code(shop):
    """A spider's own, and health checks with a function to recover; no two tries at once."""
    job = shop(OWN, pages=2, **{**AT_ONCE, "RESILIENCE_COMPONENTS": {}, "ITEM_PIPELINES": {}})

    run = job.finish()

    job.check_pages()
    assert "resilience/components/recovery_errors" not in run.stats
    own = {"queue", "cache", "share"}  # the watchdog may tell of the machine
    assert {each[1] for each in job.told() if each[0] == "breached"} & own == own
    assert {each[1] for each in job.told() if each[0] == "recovered"} & own == own - {"share"}


@pytest.mark.parametrize("answer", ["1 / 0", "time.sleep(9)", "[1]"])
def test_a_check_that_fails_breaks_nothing(shop, answer):
    """It is one logged degradation."""
    words = {"ill": "True", "answer": answer, "define": "def", "does": "pass"}
    source = COMPONENT % words + PAGES
    job = shop(source, pages=2, **{**AT_ONCE, "ITEM_PIPELINES": {"spider.Second": 1}},
               RESILIENCE_HEALTH_TIMEOUT=0.2)  # fmt: skip
    job.write("spider.py", job.path("spider.py").read_text() + SECOND)

    run = job.finish()

    job.check_pages()
    assert run.log.count("The health check db") == 1


SECOND = """
class Second:
    async def process_item(self, item):
        await asyncio.sleep(1)
        return item
"""


@pytest.mark.parametrize(
    ("components", "word"),
    [
        ({"db": "spider.check"}, "import path"),
        ({"db": {"recover": "spider.recover"}}, "import path"),
        ({"db": {"check": "spider.nothing"}}, "spider.nothing"),
        ({"db": {"check": "spider.check", "heal": "spider.check"}}, "recover"),
    ],
)
def test_a_wrong_setting_is_refused(shop, components, word):
    """In one line, before anything runs."""
    words = {"ill": "True", "answer": "1", "define": "def", "does": "pass"}
    job = shop(COMPONENT % words + PAGES, RESILIENCE_COMPONENTS=components)

    job.run().check_refused("RESILIENCE_COMPONENTS['db']", word)


# --- everywhere ---

NO_REACTOR = {"TWISTED_REACTOR_ENABLED": False, "TWISTED_DNS_RESOLVER": None}
OTHER_SCHEDULER = {"SCHEDULER": "scrapy.core.scheduler.Scheduler", "JOBDIR": None}
MODES = pytest.mark.parametrize(
    "mode", [NO_REACTOR, OTHER_SCHEDULER], ids=["no reactor", "another scheduler"]
)
NEVER_SENT = """
    from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler
    class Hanging(AiohttpDownloadHandler):
        tried = set()
        async def download_request(self, request):
            if request.url not in self.tried:
                self.tried.add(request.url)
                await asyncio.get_running_loop().create_future()
            return await super().download_request(request)
"""


def run_in(job, mode):
    """Run a crawl in a mode; names are resolved by a proxy where Twisted's resolver is not."""
    job.configure(**mode)
    proxy = f"http://127.0.0.1:{job.site.port}"
    return job.run(env={"http_proxy": proxy, "no_proxy": ""} if mode is NO_REACTOR else None)


@MODES
@pytest.mark.parametrize("what", ["generator", "pipeline"])
def test_callbacks_in_each_mode(shop, mode, what):
    """They are cancelled, and the crawl ends with all others."""
    job = shop(
        WAITING,
        WHAT=what,
        RESILIENCE_CALLBACK_TIMEOUT=0.4,
        RESILIENCE_CALLBACK_TIMEOUT_ACTION="cancel",
    )

    run = run_in(job, mode)

    assert (run.code, run.reason) == (0, "finished"), run
    job.check_pages([url for url in job.settings["URLS"] if not url.endswith("/3")])
    assert run.stats["resilience/stuck/cancelled"] == 1


@MODES
def test_the_loop_in_each_mode(shop, mode):
    """It is told where it stands."""
    job = shop(BLOCKING % "time.sleep(seconds)", RESILIENCE_BLOCKED_AFTER=0.8)

    run = run_in(job, mode)

    assert run.stats["resilience/blocked/count"] == 1
    assert "in hold (spider.py:" in run.log


@MODES
def test_a_stall_in_each_mode(shop, mode):
    """What a middleware keeps is seen, and the crawl is closed."""
    job = shop(
        MIDDLEWARE + PAGES,
        DOWNLOADER_MIDDLEWARES={"spider.Middleware": 10},
        RESILIENCE_STALL_CLOSE=True,
        RESILIENCE_SHUTDOWN_TIMEOUT=6,
        **STALL,
    )

    run = run_in(job, mode)

    assert run.reason == "resilience_stalled"
    assert any("downloader middlewares, of 1 request" in text for text in texts(job, "stall"))


def test_a_handler_without_a_reactor(shop):
    """Its requests are tried again, too."""
    job = shop(
        NEVER_SENT + PAGES,
        pages=3,
        DOWNLOAD_HANDLERS={"http": "spider.Hanging"},
        DOWNLOAD_TIMEOUT=0.3,
        RESILIENCE_STUCK_TIMEOUT=0.3,
        RESILIENCE_BREAKER_FAILURE_THRESHOLD=100,
    )

    run = run_in(job, NO_REACTOR)

    job.check_pages()
    assert run.stats["resilience/stuck/requests"] == 3


def test_kills_among_what_is_stuck(crawl):
    """Exactly once holds with handlers that never return, and callbacks that are cancelled."""
    source = """
        import asyncio, random
        from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
        from shop import Base
        class Shop(Base):
            pass
        class Stuck(HTTP11DownloadHandler):
            lazy = False
            async def download_request(self, request):
                if random.random() < 0.1:
                    while True:
                        try:
                            await asyncio.sleep(0.2)
                        except asyncio.CancelledError:
                            pass
                return await super().download_request(request)
    """
    job = crawl(
        source,
        DOWNLOAD_HANDLERS={"http": "spider.Stuck"},
        DOWNLOAD_TIMEOUT=1,
        RESILIENCE_STUCK_TIMEOUT=0.3,
        RESILIENCE_BREAKER_ENABLED=False,
        RESILIENCE_RETRY_POLICIES={"exponential_backoff": {"base": 0.05, "attempts": 12}},
    )

    job.survive(kills=2)

    job.check_items()

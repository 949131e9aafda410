"""Budgets hold at the server, over kills and whatever is asked; what was spent stays spent."""

from __future__ import annotations

import json
import signal
import sys
import time
from io import BytesIO
from textwrap import dedent

import pytest
from crawls import BUSY, KILLED, PAGES, Crawl, wait_until
from web import serving

pytestmark = pytest.mark.integration


def most(times, seconds):
    """The most requests in any window, both ends included."""
    times = sorted(times)
    return max(
        (sum(begin <= at <= begin + seconds for at in times) for begin in times), default=0
    )


def cost(job):
    """What the command says."""
    run = job.run("resilience", "cost", "job", "--json")
    assert run.code == 0, run
    return json.loads(run.out)


def amount(job, resource="requests"):
    """How much of a resource the ledger has."""
    found = {each["name"]: each["amount"] for each in cost(job)["resources"]}
    return found.get(resource, 0)


def crawl(folder, web, source=PAGES, *, budgets, pages=40, **settings):
    """A crawl of one host under budgets."""
    return Crawl(
        folder,
        source,
        **{
            **BUSY,
            "URLS": web.urls("shop.test", pages),
            "RESILIENCE_BUDGETS": budgets,
            "DOWNLOAD_DELAY": 0,
            "RESILIENCE_HOLD_TIMEOUT": 0.1,
            **settings,
        },
    )


def test_a_budget_of_requests(tmp_path):
    """No window holds more at the server, all pages come, and the ledger has them all."""
    with serving(lambda *_: 200) as web:
        job = crawl(tmp_path, web, budgets=[{"resource": "requests", "limit": 10, "per": 0.5}])
        run = job.finish()

    job.check_pages()
    times = web.times("shop.test")
    assert most(times, 0.5) <= 10
    assert len(times) == 40
    told = "The crawl is paused: the budget of 10 requests in 0.5 s is used up"
    assert told in run.log
    found = cost(job)
    assert found["resources"] == [{"name": "requests", "amount": 40, "cost": 0, "price": None}]
    (budget,) = found["budgets"]
    assert (budget["limit"], budget["per"], budget["action"]) == (10, "in 0.5 s", "pause")
    table = job.run("resilience", "cost", "job").out
    assert "10 requests in 0.5 s" in table
    assert "together" in table


REDIRECTED = """
    import scrapy
    from scrapy.utils.defer import maybe_deferred_to_future
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        async def parse(self, response):
            yield dict(sku=response.meta.get("redirect_urls", [response.url])[0])
            side = response.urljoin("/side" + response.url.rpartition("/")[2])
            request = scrapy.Request(side, dont_filter=True)
            await self.crawler.engine.download_async(request)
"""


def tangled(_, path, count):
    """Some pages redirect, some answer 503 at first."""
    number = int("".join(filter(str.isdigit, path)) or 0)
    if path.startswith(("/side", "/to", "/robots.txt")):
        return 200
    if number % 5 == 0:
        return 302, {"Location": f"/to{number}"}
    return 503 if number % 7 == 3 and count % 2 else 200


@pytest.mark.parametrize("kills", [0, 6])
def test_redirects_retries_robots_txt_and_downloads_of_callbacks(tmp_path, rng, kills):
    """All count, and none gets past the budget; over kills, too. Each page is done once."""
    with serving(tangled) as web:
        job = crawl(
            tmp_path,
            web,
            REDIRECTED,
            pages=25,
            budgets=[{"resource": "requests", "limit": 15, "per": 0.8}],
            ROBOTSTXT_OBEY=True,
            RESILIENCE_RETRY_POLICIES={"exponential_backoff": {"base": 0.01}},
            RESILIENCE_HOLD_TIMEOUT=60,
        )
        job.rng = rng
        for number in range(kills):
            wanted = (number + 1) * 8
            job.run_until(until=lambda: len(web.asked) >= wanted, spread=0.2)  # noqa: B023
        job.finish()

    job.check_pages()
    asked = len(web.asked)
    assert most(web.times("shop.test"), 0.8) <= 15
    assert asked <= amount(job) <= asked + job.kills * 16
    if not kills:
        assert asked == amount(job)


def test_each_domain_has_its_own(tmp_path):
    """One that is used up waits, for longer than a hold may last, and the others go on."""
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            URLS=[*web.urls("slow.test", 20), *web.urls("well.test", 60)],
            budgets=[
                {"resource": "requests", "limit": 5, "domain": "slow.test"},
                {"resource": "requests", "limit": 1000, "domain": "*"},
            ],
        )
        run = job.run_until(until=lambda: len(web.times("well.test")) == 60, spread=1.0)
        assert run.code == KILLED, run
        assert (len(web.times("slow.test")), len(web.times("well.test"))) == (5, 60)
        assert {each["name"] for each in cost(job)["domains"]} == {"slow.test", "well.test"}
        assert "5 requests an hour for slow.test" in str(cost(job)["budgets"])

        job.configure(RESILIENCE_BUDGETS=[])
        job.finish()

    job.check_pages()


def test_a_budget_closes_the_crawl(tmp_path):
    """It says why, the next run goes on when there is room, and nothing is lost."""
    with serving(lambda *_: 200) as web:
        budget = {"resource": "requests", "limit": 15, "per": "job", "action": "close"}
        job = crawl(tmp_path, web, budgets=[budget])
        run = job.run()
        assert (run.code, run.reason) == (75, "resilience_budget"), run
        assert len(web.asked) == 15
        assert (
            "The crawl is closed: the budget of 15 requests in this job is used up" in run.log
        )

        job.configure(RESILIENCE_BUDGETS=[{**budget, "limit": 40}])
        job.finish()

    job.check_pages()
    assert len(web.asked) == 40 == amount(job)


def test_a_domain_that_may_have_no_more(tmp_path):
    """What is left of it waits for the next run, and others are done before the crawl ends."""
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            URLS=[*web.urls("a.test", 10), *web.urls("b.test", 10)],
            budgets=[{"resource": "requests", "limit": 4, "per": "job", "domain": "a.test"}],
        )
        run = job.run()
        assert (run.code, run.reason) == (75, "resilience_budget"), run
        assert (len(web.times("a.test")), len(web.times("b.test"))) == (4, 10)

        job.configure(RESILIENCE_BUDGETS=[])
        job.finish()

    job.check_pages()


def test_money_is_not_given_back(tmp_path):
    """A job that goes back to a snapshot has spent what it had spent."""
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            budgets=[{"resource": "requests", "limit": 10, "per": "job", "action": "close"}],
            RESILIENCE_PRICES={"requests": 0.01},
            RESILIENCE_SNAPSHOT_INTERVAL=0.05,
        )
        job.run()
        assert job.run("resilience", "restore", "job").code == 0
        asked = len(web.asked)
        run = job.run()

    assert run.reason == "resilience_budget", run
    assert len(web.asked) == asked
    assert cost(job)["total"] == pytest.approx(0.1)


TOKENS = """
    import time
    import scrapy
    from scrapy_resilience.cost import track, tracking, check_limits
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            with tracking("browser_seconds"):
                track("llm_tokens", 100, domain="shop.test")
            full = [each.text for each in check_limits()]
            yield dict(sku=response.url, full=full, spent=time.time())
"""


def test_tokens(tmp_path):
    """What callbacks spend is counted, and a budget of it holds requests."""
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            TOKENS,
            budgets=[{"resource": "llm_tokens", "limit": 1000, "per": 0.5}],
            RESILIENCE_PRICES={"browser_seconds": 1.0},
        )
        run = job.finish()

    found = cost(job)
    spent = {each["name"]: each for each in found["resources"]}
    assert spent["llm_tokens"]["amount"] == 4000
    assert spent["llm_tokens"]["cost"] == pytest.approx(0.04)
    assert spent["browser_seconds"]["amount"] > 0
    assert {"requests", "bytes"}.isdisjoint(spent)
    assert found["per_item"] == pytest.approx(found["total"] / 40)
    # those under way when it is used up spend beyond it, on a busy machine some more; not all
    assert "tokens in 0.5 s is used up" in run.log
    assert most([item["spent"] for item in job.items()], 0.4) < 40


# --- what bypasses the scheduler, and other ways ----------------------------------------------


def picture():
    """A picture that ImagesPipeline takes."""
    image = pytest.importorskip("PIL.Image")
    file = BytesIO()
    image.new("RGB", (80, 80), "teal").save(file, "PNG")
    return file.getvalue()


IMAGES = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            yield dict(sku=response.url, image_urls=[response.url + ".png"])
"""


def images(folder, web, **settings):
    """Pages whose items have an image each."""
    return crawl(
        folder,
        web,
        IMAGES,
        IMAGES_STORE=str(folder / "images"),
        ITEM_PIPELINES={"scrapy.pipelines.images.ImagesPipeline": 1},
        **settings,
    )


def test_images_wait_for_room(tmp_path):
    """They come all, and no window has more; the ledger has them as well."""
    png = picture()
    answer = lambda _, path, __: (200, {}, png) if path.endswith(".png") else 200  # noqa: E731
    with serving(answer) as web:
        budget = {"resource": "requests", "limit": 8, "per": 0.5}
        job = images(tmp_path, web, pages=15, budgets=[budget])
        job.finish()

    assert [len(item["images"]) for item in job.items()] == [1] * 15
    assert most(web.times("shop.test"), 0.5) <= 8
    assert len(web.asked) == 30 == amount(job)


def test_images_that_wait_when_the_crawl_is_closed(tmp_path):
    """Their pages are begun anew by the next run: no item lacks its image, none comes twice."""
    png = picture()
    answer = lambda _, path, __: (200, {}, png) if path.endswith(".png") else 200  # noqa: E731
    with serving(answer) as web:
        budget = {"resource": "requests", "limit": 12, "action": "close"}
        job = images(tmp_path, web, pages=15, budgets=[budget])
        run = job.run()
        assert (run.code, run.reason) == (75, "resilience_budget"), run
        assert len(web.asked) == 12

        job.configure(RESILIENCE_BUDGETS=[])
        job.finish()

    job.check_pages()
    assert [len(item["images"]) for item in job.items()] == [1] * 15


@pytest.mark.parametrize(
    "settings",
    [
        {"JOBDIR": None},
        {"SCHEDULER": "scrapy.core.scheduler.Scheduler", "JOBDIR": None},
        {"RESILIENCE_GATES_ENABLED": False, "RESILIENCE_RETRY_ENABLED": False},
        {"TWISTED_REACTOR_ENABLED": False, "TWISTED_DNS_RESOLVER": None},
    ],
    ids=["no job", "another scheduler", "no gates", "no reactor"],
)
def test_other_ways(tmp_path, settings):
    """A budget holds in each of them."""
    host = "127.0.0.1" if "TWISTED_REACTOR_ENABLED" in settings else "shop.test"
    with serving(lambda *_: 200) as web:
        budgets = [
            {"resource": "requests", "limit": 9, "per": 0.4},
            {"resource": "requests", "limit": 7, "per": 0.4, "domain": "*"},
        ]
        urls = web.urls(host, 20)
        job = crawl(tmp_path, web, URLS=urls, budgets=budgets, **settings)
        job.finish()

    job.check_pages()
    assert most(web.times(host), 0.4) <= 7


PROXIES = """
    import scrapy
    class Choose:
        number = 0
        def process_request(self, request):
            proxies = request.meta["proxies"]
            if "proxy" not in request.meta:
                self.number += 1
                request.meta["proxy"] = proxies[self.number % len(proxies)]
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, meta={"proxies": self.settings.getlist("PROXIES")})
        def parse(self, response):
            yield dict(sku=response.url)
"""


def test_proxies(tmp_path):
    """They cost by default, by proxy, without passwords; one that is used up is not taken."""
    with serving(lambda *_: 200) as one, serving(lambda *_: 200) as two:
        job = crawl(
            tmp_path,
            one,
            PROXIES,
            PROXIES=[f"http://user:secret@127.0.0.1:{web.port}" for web in (one, two)],
            DOWNLOADER_MIDDLEWARES={"spider.Choose": 100},
            budgets=[
                {
                    "resource": "proxy_requests",
                    "limit": 5,
                    "proxy": f"127.0.0.1:{one.port}",
                }
            ],
            pages=20,
        )
        job.finish()

    job.check_pages()
    found = cost(job)
    assert len(one.asked) == 5
    assert found["total"] == pytest.approx(20 * 0.0001)
    assert {each["name"]: each["cost"] for each in found["proxies"]} == {
        f"127.0.0.1:{one.port}": pytest.approx(0.0005),
        f"127.0.0.1:{two.port}": pytest.approx(0.0015),
    }
    assert "secret" not in json.dumps(found)
    assert b"secret" not in (job.job / "resilience.costs").read_bytes()


def test_what_was_not_sent_costs_nothing(tmp_path):
    """A refused connection, and a page of the cache."""
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            URLS=[*web.urls("shop.test", 10), "http://127.0.0.1:1/"],
            RETRY_TIMES=0,
            HTTPCACHE_ENABLED=True,
            RESILIENCE_FINISHED_JOB="anew",
            budgets=[{"resource": "requests", "limit": 100}],
        )
        job.run()
        assert amount(job) == 10
        job.run()
        assert amount(job) == 0

    assert len(web.asked) == 10


def test_a_stop_with_a_delay(tmp_path):
    """What waited in the downloader when a stop came was not sent."""
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            DOWNLOAD_DELAY=0.3,
            RESILIENCE_SHUTDOWN_TIMEOUT=2,
            budgets=[{"resource": "requests", "limit": 100}],
        )
        job.run_until(until=lambda: len(web.asked) >= 3, number=signal.SIGTERM)

    assert amount(job) == len(web.asked)


FULL_DISK = """
    import errno, os, scrapy, time
    from scrapy_resilience.files import whole_writes
    class Os:
        def __getattr__(self, name):
            return getattr(os, name)
        def write(self, fd, data):
            if os.path.exists("full"):
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.write(fd, data)
    whole_writes.os = Os()
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            yield dict(sku=response.url)
"""


def test_a_disk_that_is_full_for_a_while(tmp_path):
    """Nothing that is limited is sent unless it is written down; then it goes on by itself."""
    with serving(lambda *_: 200) as web:
        budget = {"resource": "requests", "limit": 100}
        job = crawl(tmp_path, web, FULL_DISK, pages=20, budgets=[budget])
        with job.process() as process:
            wait_until(lambda: "Spider opened" in job.last().log)
            (tmp_path / "full").touch()
            wait_until(lambda: "can't be written down" in job.last().log)
            asked = len(web.asked)
            (tmp_path / "full").unlink()
            run = job.ended(process)
        run.check_finished()

    job.check_pages()
    assert "The crawl is paused: what is spent can't be written down" in run.log
    assert asked < 20
    assert amount(job) == 20


def test_a_budget_that_warns(tmp_path):
    """It tells of 80 and 100 percent, once each, and holds nothing."""
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            budgets=[
                {"resource": "requests", "limit": 10, "action": "warn"},
                {"resource": "usd", "limit": 0.001, "spider": "other"},
            ],
        )
        run = job.finish()

    assert run.stats["resilience/budget/reached"] == 1
    for percent in (80, 100):
        assert run.log.count(f"{percent} % of the budget of 10 requests an hour is spent") == 1


# --- an hour ----------------------------------------------------------------------------------

FAST = """
    from scrapy_resilience.testing import ScaledClock, use_clock
    use_clock(ScaledClock({factor}, {since}))
"""


OF_A_BUSY_MACHINE = (
    "RESILIENCE_FEED_TIMEOUT", "RESILIENCE_HANDLER_TIMEOUT", "RESILIENCE_PREPARE_TIMEOUT",
    "RESILIENCE_SHUTDOWN_TIMEOUT", "RESILIENCE_SNAPSHOT_TIMEOUT", "RESILIENCE_STORAGE_TIMEOUT",
    "RESILIENCE_STALL_TIMEOUT", "RESILIENCE_STUCK_TIMEOUT",
)  # fmt: skip
"""By the clock that is so much faster they end within a moment."""


@pytest.mark.parametrize(
    ("limit", "queued", "kills"),
    [(100, 130, 4), pytest.param(1000, 1200, 20, marks=pytest.mark.slow)],
)
def test_an_hour(tmp_path, rng, limit, queued, kills):
    """At most the limit in any hour at the server, over kills; the ledger misses nothing."""
    factor, since = 900, time.time()
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            FAST.format(factor=factor, since=since) + PAGES,
            pages=queued,
            budgets=[{"resource": "requests", "limit": limit, "per": "hour"}],
            CONCURRENT_REQUESTS=8,
            **dict.fromkeys(OF_A_BUSY_MACHINE, 100_000),
        )
        job.rng = rng
        for number in range(kills):
            wanted = (number + 1) * queued * 0.7 / kills
            job.run_until(until=lambda: len(web.asked) >= wanted, spread=0.3)  # noqa: B023
        job.finish()

    job.check_pages()
    assert most(web.times("shop.test"), 3600 / factor) <= limit
    assert len(web.asked) <= amount(job) <= len(web.asked) + job.kills * 8


def test_while_it_is_paused(tmp_path):
    """The command and the view say why, and until when; a stop ends it, and nothing is lost."""
    with serving(lambda *_: 200) as web:
        budget = {"resource": "requests", "limit": 10}
        job = crawl(tmp_path, web, budgets=[budget], RESILIENCE_HTTP_PORT=[0])
        with job.process() as process:
            wait_until(lambda: "is used up" in job.last().log)
            wait_until(lambda: cost(job)["budgets"][0]["used"] == 10)
            found = cost(job)
            status = json.loads(job.run("resilience", "status", "job", "--json").out)
            watched = job.run("resilience", "status", "job").out
            process.send_signal(signal.SIGTERM)
            job.ended(process)
        assert job.code == 75
        assert found["state"] == "running"
        assert found["budgets"][0]["left"] == 0
        assert found["budgets"][0]["moves"] > 0
        assert (
            "It is paused: the budget of 10 requests an hour is used up" in status["sentence"]
        )
        assert status["sentence"] in watched
        assert [pause["reason"] for pause in status["guard"]["pauses"]] == ["budget"]
        assert status["cost"]["budgets"][0]["used"] == 10

        job.configure(RESILIENCE_BUDGETS=[])
        job.finish()

    job.check_pages()


def test_beside_a_domain_that_is_down(tmp_path):
    """Breakers, robots.txt and a budget of all together: each page is an item or a letter."""
    with serving(lambda host, *_: 503 if host == "down.test" else 200) as web:
        job = crawl(
            tmp_path,
            web,
            URLS=[*web.urls("down.test", 6), *web.urls("shop.test", 25)],
            ROBOTSTXT_OBEY=True,
            budgets=[{"resource": "requests", "limit": 8, "per": 0.5}],
            RESILIENCE_BREAKER_FAILURE_THRESHOLD=2,
            RESILIENCE_BREAKER_RECOVERY_TIMEOUT=0.2,
            RESILIENCE_BREAKER_MAX_TRIPS=2,
            RESILIENCE_HOLD_TIMEOUT=60,
        )
        run = job.run()
        assert (run.code, run.reason) == (0, "finished"), run

    letters = json.loads(job.run("resilience", "deadletters", "job", "--json").out)
    job.check_pages(web.urls("shop.test", 25))
    assert {each["url"] for each in letters} == set(web.urls("down.test", 6))
    assert most([at for at, *_ in web.asked], 0.5) <= 8
    assert amount(job) == len(web.asked)


TWO = """
    import sys
    import scrapy
    from scrapy.crawler import AsyncCrawlerProcess
    from scrapy_resilience.cost import track, usage
    class Shop(scrapy.Spider):
        custom_settings = {
            "RESILIENCE_BUDGETS": [{"resource": "requests", "limit": 6, "per": 0.4}]
        }
        async def start(self):
            for number in range(10):
                url = f"http://{self.name}.test:{sys.argv[1]}/{number}"
                yield scrapy.Request(url)
        async def parse(self, response):
            track("llm_tokens", 1 if self.name == "one" else 100)
            await self.crawler.engine.download_async(response.request.replace())
            track("llm_tokens", 1 if self.name == "one" else 100)
        def closed(self, reason):
            spent = {each.name: each.amount for each in usage().resources}
            print(self.name, reason, spent["llm_tokens"], spent["requests"], flush=True)
    class One(Shop):
        name = "one"
    class Two(Shop):
        name = "two"
    process = AsyncCrawlerProcess({
        "ADDONS": {"scrapy_resilience.ResilienceAddon": 500},
        "JOBDIR": "crawls/%(spider)s",
        "TWISTED_DNS_RESOLVER": "scrapy_resilience.testing.LoopbackResolver",
    })
    process.crawl(One)
    process.crawl(Two)
    process.start()
"""


def test_two_crawls_in_one_process(tmp_path):
    """Each spends for itself, and has budgets of its own."""
    with serving(lambda *_: 200) as web:
        job = crawl(tmp_path, web, budgets=[])
        job.write("two.py", dedent(TWO))
        run = job.run(sys.executable, "two.py", web.port)

    assert sorted(run.out.split("\n")) == [
        "",
        "one finished 20.0 20.0",
        "two finished 2000.0 20.0",
    ], run
    for host in ("one.test", "two.test"):
        assert most(web.times(host), 0.4) <= 6

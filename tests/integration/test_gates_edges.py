"""Gates where it gets narrow: waits, clocks, names of domains, slots, other ways to run."""

from __future__ import annotations

import json
import time
from textwrap import dedent

import pytest
from crawls import SICK, Crawl
from web import failing, serving

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration

PAGES = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                meta = self.settings.getdict("META")
                yield scrapy.Request(url, errback=self.failed, meta=meta)
        def parse(self, response):
            yield dict(sku=response.url)
        def failed(self, failure):
            yield dict(error=failure.request.url, kind=type(failure.value).__name__)
"""


def crawl(folder, urls, source=PAGES, **settings):
    """A project that asks for these URLs, and has breakers of short open times."""
    return Crawl(folder, source, **{"URLS": urls, **SICK, **settings})


COUNTING = """
    from scrapy_resilience.scheduler import ResilientScheduler
    class Counting(ResilientScheduler):
        def next_request(self):
            self.crawler.stats.inc_value("calls")
            return super().next_request()
"""


def test_a_crawl_that_only_waits_does_nothing(tmp_path):
    """While all requests are held nobody asks in vain, and the wait ends when it is over."""
    refused = []

    def answer(_host, _path, count):
        refused.append(time.monotonic())
        return (429, {"Retry-After": 2}) if count == 1 else 200

    with serving(answer) as web:
        job = crawl(tmp_path, web.urls("a.test", 1), SCHEDULER="counting.Counting")
        job.configure(RESILIENCE_CHECKPOINT_INTERVAL=60)  # each commit asks as well
        job.write("counting.py", dedent(COUNTING))

        run = job.finish()

    job.check_pages()
    assert refused[1] - refused[0] >= 2
    assert run.stats["calls"] <= 30


def test_hosts_of_one_registered_domain(tmp_path):
    """With "registered" one sick host opens the breaker of its whole domain."""
    bad, good = "bad.example.co.uk", "good.example.co.uk"
    with serving(failing(bad)) as web:
        urls = [f"http://{bad}/{n}" for n in range(20)] + [f"http://{good}/"]
        job = crawl(
            tmp_path,
            urls,
            RESILIENCE_BREAKER_DOMAIN="registered",
            RESILIENCE_BREAKER_RECOVERY_TIMEOUT=60,
            RESILIENCE_BREAKER_FIRST_TRIAL=0,
            RESILIENCE_ADAPTIVE_RATE=False,  # slowed down, it would be held before that
            RESILIENCE_HOLD_TIMEOUT=5,
        )

        run = job.run(env={"http_proxy": f"http://127.0.0.1:{web.port}", "no_proxy": ""})

    assert run.reason == "resilience_held", run
    assert "The circuit breaker of example.co.uk is open" in run.log


def test_a_function_that_names_domains(tmp_path):
    """A callable of the user decides which requests belong together."""
    with serving(lambda _, path, __: 503 if path < "/2" else 200) as web:
        job = crawl(
            tmp_path,
            [web.url("a.test", f"/{kind}/{n}") for kind in (1, 2) for n in range(20)],
            RESILIENCE_BREAKER_DOMAIN="domains.kind",
            RESILIENCE_BREAKER_MAX_TRIPS=0,
        )
        job.write("domains.py", "def kind(request): return int(request.url.split('/')[3])\n")

        run = job.finish()

    assert len(job.items()) == 20
    assert run.stats["resilience/incomplete"] == 20
    assert "The circuit breaker of 1 is open" in run.log
    assert sum(path < "/2" for _, _, path in web.asked) <= 12


def test_a_domain_with_settings_of_its_own(tmp_path):
    """RESILIENCE_BREAKER_DOMAINS overrides: one host fails fast, another one never opens."""
    hosts = ["fast.test", "never.test", "Held.test"]
    with serving(lambda *_: 503) as web:
        job = crawl(
            tmp_path,
            [url for host in hosts for url in web.urls(host, 15)],
            RESILIENCE_BREAKER_RECOVERY_TIMEOUT=60,
            RESILIENCE_BREAKER_FIRST_TRIAL=0,
            RESILIENCE_BREAKER_DOMAINS={
                "fast.test": {"open_action": "fail", "failure_threshold": 2},
                "never.test": {"failure_threshold": 0, "failure_rate": 0},
                "Held.test": {"failure_threshold": 3},
            },
            RESILIENCE_HOLD_TIMEOUT=2,
            RETRY_TIMES=0,
        )

        run = job.run()

    assert run.reason == "resilience_held", run
    assert [len(web.times(host.lower())) for host in hosts] == [2, 15, 3]
    assert run.stats["resilience/breaker/rejected"] == 13
    assert run.stats["resilience/held"] == 13


@pytest.mark.parametrize("jobdir", ["job", None])
def test_open_actions_that_are_none(tmp_path, jobdir):
    """Garbage in the meta key is told, and the domain's own action applies."""
    source = """
        import scrapy
        class Shop(scrapy.Spider):
            name = "shop"
            async def start(self):
                values = [5, "wait", ["fail"], True, {"a": 1}, "fail\\thold", None]
                for url, value in zip(self.settings.getlist("URLS"), values):
                    yield scrapy.Request(url, meta={"resilience_open_action": value})
            def parse(self, response):
                yield dict(sku=response.url)
    """
    with serving(lambda *_: 200) as web:
        job = crawl(tmp_path, web.urls("a.test", 7), source, JOBDIR=jobdir)

        run = job.finish()

    job.check_pages()
    assert run.log.count("use hold or fail") == 6


def test_strange_hosts(tmp_path):
    """IDN, capitals, IPv4 and URLs without a host go through the gates as others do."""
    with serving(lambda *_: 200) as web:
        port = web.port
        urls = [
            f"http://xn--bcher-kva.test:{port}/a",
            f"http://127.0.0.1:{port}/b",
            "data:text/html,hello",
            "data:text/html,world",
        ]
        job = crawl(
            tmp_path, [*urls, f"http://UPPER.test:{port}/c", f"http://bücher.test:{port}/d"]
        )

        run = job.finish()

    came = {item["sku"] for item in job.items()}
    assert came >= set(urls)
    assert len(came) == 6
    assert run.stats["downloader/response_status_count/200"] == 6


def test_a_name_that_does_not_resolve(tmp_path):
    """It ends as a dead letter after its tries, and no breaker opens for it."""
    with serving(lambda *_: 200) as web:
        urls = ["http://no.such.invalid/1", "http://no.such.invalid/2"]
        job = crawl(tmp_path, urls + web.urls("a.test", 10), RETRY_TIMES=1)
        job.configure(
            RESILIENCE_RETRY_POLICIES={"quick": {"attempts": 2, "base": 0.1}},
            RESILIENCE_RETRY_POLICY="quick",
        )

        run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert sorted(item["error"] for item in job.items() if "error" in item) == urls
    assert run.stats["resilience/incomplete"] == 2
    assert "resilience/breaker/opened" not in run.stats


SLOT = """
    class Slot:
        def process_request(self, request):
            request.meta["download_slot"] = "all of them"
"""


@pytest.mark.parametrize(
    "settings",
    [
        {"META": {"download_slot": "one slot"}},
        {"DOWNLOADER_MIDDLEWARES": {"slot.Slot": 560}},
        {"CONCURRENT_REQUESTS_PER_IP": 8},
    ],
    ids=["meta", "middleware", "ip"],
)
def test_slots_are_not_domains(tmp_path, settings):
    """Whatever shares a download slot, each host has a gate of its own."""
    with serving(failing("sick.test")) as web:
        urls = web.urls("sick.test", 20) + web.urls("a.test", 20) + web.urls("b.test", 20)
        job = crawl(tmp_path, urls, RESILIENCE_BREAKER_MAX_TRIPS=0, RETRY_TIMES=1, **settings)
        job.write("slot.py", dedent(SLOT))

        run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert run.stats["resilience/incomplete"] == 20
    assert sum("sku" in item for item in job.items()) == 40
    assert len(web.times("sick.test")) <= 14


@pytest.mark.slow
@pytest.mark.parametrize("jump", [-7200, 7200])
def test_a_wall_clock_that_jumps_between_runs(tmp_path, jump):
    """A clock that was set back prolongs no hold; one that was set forward ends it."""
    first = []

    def answer(*_):
        first.append(time.monotonic())
        return (429, {"Retry-After": 3}) if time.monotonic() < first[0] + 2 else 200

    with serving(answer) as web:
        job = crawl(tmp_path, web.urls("a.test", 3), RESILIENCE_ADAPTIVE_RATE=False)
        job.spawn = True  # for sitecustomize
        job.run_until(until=lambda: job.states("resilience.gates"))
        time.sleep(max(first[0] + 2 - time.monotonic(), 0))
        job.write(
            "sitecustomize.py",
            f"import time\nreal = time.time\ntime.time = lambda: real() + {jump}\n",
        )
        job.finish()  # and not in two hours

    job.check_pages()


def test_without_a_reactor(tmp_path):
    """Breakers, holds and letters work where no reactor runs."""

    def answer(host, path, _):
        if host == "busy.test" and path not in throttled:
            throttled.add(path)
            return 429, {"Retry-After": 1}
        return 503 if host == "sick.test" else 200

    throttled = set()

    with serving(answer) as web:
        urls = [
            url for host in ("sick.test", "busy.test", "a.test") for url in web.urls(host, 10)
        ]
        job = crawl(
            tmp_path,
            [url.replace(f":{web.port}", "") for url in urls],
            TWISTED_REACTOR_ENABLED=False,
            TWISTED_DNS_RESOLVER=None,
            RESILIENCE_BREAKER_MAX_TRIPS=0,
            RESILIENCE_ADAPTIVE_RATE=False,
        )
        env = {"http_proxy": f"http://127.0.0.1:{web.port}", "no_proxy": ""}

        run = job.finish(env=env)

    assert sum("sku" in item for item in job.items()) == 20
    assert run.stats["resilience/incomplete"] == 10
    for path in throttled:
        first, second = web.times("busy.test", path)
        assert second - first >= 1


def test_bug_17_an_open_breaker_is_no_failure_of_the_job(tmp_path):
    """A crawl that ended well with an open breaker exits with 0 and is finished."""
    with serving(failing("sick.test")) as web:
        job = crawl(tmp_path, web.urls("sick.test", 20) + web.urls("a.test", 20))
        job.configure(RESILIENCE_BREAKER_MAX_TRIPS=0, RESILIENCE_BREAKER_RECOVERY_TIMEOUT=600)

        run = job.finish()
        listed = json.loads(job.run("resilience", "breakers", "job", "--json").out)
        status = job.run("resilience", "status", "job", "--json")

    assert [row["state"] for row in listed] == ["open"]
    assert run.stats["resilience/incomplete"] == 20
    found = json.loads(status.out)
    assert (status.code, found["state"], found["pending"]) == (0, "finished", 0)
    assert found["dead_letters"] == 20


def test_the_breakers_of_a_stopped_job(tmp_path):
    """The command lists what the crawl has kept, and what it sets holds in the next run."""
    with serving(failing("sick.test")) as web:
        job = crawl(tmp_path, web.urls("sick.test", 20) + web.urls("a.test", 1))
        job.configure(RESILIENCE_BREAKER_RECOVERY_TIMEOUT=600, RESILIENCE_HOLD_TIMEOUT=1)

        def breakers(*arguments):
            run = job.run("resilience", "breakers", "job", *arguments, "--json")
            assert run.code == 0, run
            return [(row["domain"], row["state"]) for row in json.loads(run.out)]

        job.run()
        assert breakers() == [("sick.test", "open")]
        assert breakers("open", "Sick.test") == [("sick.test", "forced_open")]
        asked = len(web.times("sick.test"))
        web.answer = lambda *_: 200
        job.configure(RESILIENCE_BREAKER_RECOVERY_TIMEOUT=0.1)
        run = job.run()
        assert (run.code, run.reason) == (75, "resilience_held")
        assert len(web.times("sick.test")) == asked

        assert breakers("reset", "sick.test") == []
        job.finish()
    assert len(web.times("sick.test")) > asked + 10
    job.check_pages()


REPLACING = """
    import scrapy
    class Replacing:
        def process_request(self, request):
            if "?" not in request.url:
                return request.replace(url=request.url + "?again", dont_filter=True)
"""
SIZES = """
    import scrapy
    from scrapy_resilience.gates.gatekeeper import gatekeeper_of
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, meta={"resilience_open_action": "fail"})
        def parse(self, response):
            keeper, scheduler = gatekeeper_of(self.crawler), self.crawler.engine.scheduler
            lanes = sum(len(gate.lanes or ()) for gate in keeper.gates._gates.values())
            sizes = dict(
                tickets=len(keeper._tickets),
                lanes=lanes,
                queue=len(keeper.gates._queue),
                given_up=len(keeper.given_up),
                under_way=len(scheduler.in_flight.under_way),
                bypassing=len(scheduler.in_flight._bypassing),
                frontier=len(scheduler.frontier._timers),
            )
            for name, size in sizes.items():
                self.crawler.stats.max_value("size/" + name, size)
            yield dict(sku=response.url)
"""


def test_memory_does_not_grow_with_requests(tmp_path):
    """What is kept of requests is bounded by those under way, also where each is replaced."""
    with serving(lambda *_: 200) as web:
        urls = [web.url(f"h{number}.test", "/") for number in range(900)]
        job = crawl(
            tmp_path,
            urls,
            SIZES,
            DOWNLOADER_MIDDLEWARES={"replacing.Replacing": 700},
            CONCURRENT_REQUESTS=8,
        )
        job.write("replacing.py", dedent(REPLACING))

        run = job.finish()

    assert len(job.items()) == 900
    sizes = {key: value for key, value in run.stats.items() if key.startswith("size/")}
    assert len(sizes) == 7
    assert max(sizes.values()) <= 300, sizes


def test_a_kill_while_requests_are_given_up(tmp_path, rng):
    """A domain with many requests is given up in turns; a kill between loses none."""
    with serving(lambda *_: 503) as web:
        job = crawl(tmp_path, web.urls("sick.test", 1500), RESILIENCE_BREAKER_MAX_TRIPS=0)
        job.configure(RESILIENCE_CHECKPOINT_INTERVAL=0.02, RETRY_TIMES=0)
        job.rng = rng
        job.run_until(until=lambda: (job.state() or {}).get("dead_letters", 0) > 50, spread=0)
        job.finish()
        letters = json.loads(job.run("resilience", "deadletters", "job", "--json").out)

    assert sorted(letter["url"] for letter in letters) == sorted(job.settings["URLS"])
    assert len(web.asked) < 40


CAPTCHAS = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            assert response.css("main"), "a ban page"
            yield dict(sku=response.url)
"""


def test_one_pause_for_fifty_captchas(tmp_path):
    """Fifty gzipped captchas are one pause of the domain; what they were for comes after it."""
    config = SiteConfig(
        pages=120, latency=0.05, ban_after=60, ban_window=2, ban_gzip=True, outage=0
    )
    with running_site(config) as site:
        urls = [site.url("banned.test", f"/page/{number}") for number in range(1, 110)]
        job = crawl(tmp_path, urls, CAPTCHAS)
        job.configure(CONCURRENT_REQUESTS=50, CONCURRENT_REQUESTS_PER_DOMAIN=50)
        job.configure(RESILIENCE_BREAKER_FIRST_TRIAL=2.5, RESILIENCE_RETRY_POLICIES=None)

        run = job.finish()
        paths = site.stats()["hosts"]["banned.test"]["paths"].values()

    job.check_pages()
    captchas = sum(path.get("captcha", 0) for path in paths)
    assert 1 <= captchas <= 50 + 10  # on a busy machine few are under way at a time
    assert run.stats["resilience/breaker/opened"] in {1, 2}
    checks = run.stats.get("resilience/breaker/checks", 0)
    assert captchas - checks <= run.stats["resilience/failures/blocked"] <= captchas
    assert run.stats["item_scraped_count"] == 109


def test_what_comes_back_of_a_domain_that_was_given_up(tmp_path):
    """Requests that were under way then are given up as well, not after a long backoff."""

    def answer(_host, _path, count):
        time.sleep(0.05)
        return 200 if count <= 12 else 503

    with serving(answer) as web:
        job = crawl(
            tmp_path,
            web.urls("a.test", 60),
            RESILIENCE_BREAKER_MAX_TRIPS=0,
            RESILIENCE_BREAKER_RECOVERY_TIMEOUT=300,
            RESILIENCE_RETRY_POLICIES={
                "slow": {"attempts": 5, "base": 3600, "max_delay": 3600}
            },
            RESILIENCE_RETRY_POLICY="slow",
        )

        run = job.finish()

    assert len(job.items()) == 12
    assert run.stats["resilience/incomplete"] == 48  # and not in an hour


TICKETS = """
    import scrapy
    from scrapy_resilience._scrapy.engine import under_way
    from scrapy_resilience.gates.gatekeeper import gatekeeper_of
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            tickets = set(gatekeeper_of(self.crawler)._tickets)
            strays = tickets - under_way(self.crawler.engine)
            self.crawler.stats.max_value("strays", len(strays))
            yield dict(sku=response.url)
"""


@pytest.mark.parametrize("how", ["status", "meta refresh", "middleware"])
def test_a_redirect_ends_its_ticket(tmp_path, how):
    """No gate waits for a request that has become another one, however busy the crawl is."""

    def answer(_host, path, _count):
        if how == "middleware" or path.startswith("/to"):
            return 200
        to = path.replace("/", "/to")
        if how == "status":
            return 302, {"Location": to}
        body = f'<html><meta http-equiv="refresh" content="0; url={to}">'
        return 200, {"Content-Type": "text/html"}, body.encode()

    with serving(answer) as web:
        job = crawl(tmp_path, web.urls("a.test", 60), TICKETS)
        job.write("replacing.py", dedent(REPLACING))
        if how == "middleware":
            job.configure(DOWNLOADER_MIDDLEWARES={"replacing.Replacing": 500})

        run = job.finish()

    assert len(job.items()) == 60
    assert run.stats["strays"] == 0

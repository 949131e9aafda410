"""What does not come from the scheduler meets the same gates: images, robots.txt, downloads."""

from __future__ import annotations

import json
import signal
import time
from functools import cache
from io import BytesIO
from threading import Event

import pytest
from crawls import KILLED, PAGES, SICK, TIME_LIMIT, Crawl, wait_until
from web import serving

pytestmark = pytest.mark.integration

IMAGES = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            path = response.url.rpartition("/")[2]
            hosts = self.settings.getlist("IMAGE_HOSTS")
            urls = [f"http://{host}:{self.settings['PORT']}/{path}.png" for host in hosts]
            yield dict(sku=response.url, image_urls=urls)
"""


@cache
def png():
    """A picture that ImagesPipeline takes."""
    image = pytest.importorskip("PIL.Image")
    file = BytesIO()
    image.new("RGB", (80, 80), "teal").save(file, "PNG")
    return file.getvalue()


def crawl(folder, web, source=PAGES, **settings):
    """A project with feeds, and breakers of short open times."""
    return Crawl(folder, source, **{**SICK, "PORT": web.port, "RETRY_TIMES": 0, **settings})


def images(folder, web, *hosts, pages=20, **settings):
    """A crawl of a healthy host whose items have images at these hosts."""
    return crawl(
        folder,
        web,
        IMAGES,
        URLS=web.urls("well.test", pages),
        IMAGE_HOSTS=hosts,
        IMAGES_STORE=str(folder / "images"),
        ITEM_PIPELINES={"scrapy.pipelines.images.ImagesPipeline": 1},
        **settings,
    )


def picture(_host, path, _count):
    """An answer: a picture, or a page."""
    return (200, {"Content-Type": "image/png"}, png()) if path.endswith(".png") else 200


def test_images_of_a_limited_host_come_at_its_rate(tmp_path):
    """The rate limit of a domain holds for images, and they all come."""
    with serving(picture) as web:
        job = images(
            tmp_path, web, "images.test", RESILIENCE_RATE_LIMITS={"images.test": "20/s"}
        )

        job.finish()

    times = web.times("images.test")
    assert [len(item["images"]) for item in job.items()] == [1] * 20
    assert len(times) == 20
    assert times[-1] - times[0] >= 19 / 20 - 0.2


def test_images_of_an_open_domain_fail_fast(tmp_path):
    """With "fail" nobody waits for a host that hangs, also while a trial is under way."""
    over = Event()

    def answer(host, path, count):
        if host == "hung.test":
            over.wait(TIME_LIMIT)
        return picture(host, path, count)

    with serving(answer) as web:
        job = images(
            tmp_path,
            web,
            "hung.test",
            pages=40,
            DOWNLOAD_TIMEOUT=0.5,
            RESILIENCE_BREAKER_OPEN_ACTION="fail",
            RESILIENCE_BREAKER_FAILURE_THRESHOLD=3,
        )

        run = job.run()
        over.set()

    assert (run.reason, len(job.items())) == ("finished", 40)
    assert run.stats["resilience/breaker/rejected"] >= 25
    letters = json.loads(job.run("resilience", "deadletters", "job", "--json").out)
    assert len({letter["url"] for letter in letters}) == len(letters) == 40


def test_robots_txt_of_a_domain_that_is_tried(tmp_path):
    """The trial of a half-open domain asks for robots.txt first: that is no dead end."""
    sick = True

    with serving(lambda *_: 503 if sick else 200) as web:
        job = crawl(tmp_path, web, URLS=web.urls("sick.test", 10), RETRY_TIMES=2)
        job.configure(RESILIENCE_BREAKER_FAILURE_THRESHOLD=1, RESILIENCE_BREAKER_MAX_TRIPS=-1)
        job.run_until(until=lambda: job.states("resilience.gates"))
        sick = False
        job.configure(ROBOTSTXT_OBEY=True)

        run = job.finish()

    assert len(job.items()) == 10
    assert len(web.times("sick.test", "/robots.txt")) == 1
    assert run.stats["resilience/breaker/closed"] == 1


def test_robots_txt_is_not_asked_in_a_hold(tmp_path):
    """After a kill not even robots.txt is asked for before the domain may be asked."""

    def answer(host, path, count):
        if host == "busy.test" and path != "/robots.txt":
            return 429, {"Retry-After": 250}
        return picture(host, path, count)

    with serving(answer) as web:
        job = images(tmp_path, web, "busy.test", pages=5, ROBOTSTXT_OBEY=True, RETRY_TIMES=5)
        job.configure(RESILIENCE_BYPASS_TIMEOUT=300, RESILIENCE_RETRY_AFTER_MAX=200)
        job.run_until(until=lambda: job.states("resilience.gates"))
        job.configure(RESILIENCE_BYPASS_TIMEOUT=1)
        asked = len(web.times("busy.test"))

        run = job.run()

    assert (run.code, run.reason, len(job.items())) == (0, "finished", 5)
    assert len(web.times("busy.test")) == asked > 0


def test_crawl_delay_of_a_real_robots_txt(tmp_path):
    """Crawl-delay is read by Scrapy's own parser, for the crawl's user agent."""
    robots = b"User-agent: *\nCrawl-delay: 0.01\n\nUser-agent: slow\nCrawl-delay: 0.2\n"

    with serving(lambda *_: (200, {}, robots)) as web:
        job = crawl(tmp_path, web, URLS=web.urls("a.test", 5), ROBOTSTXT_OBEY=True)
        job.configure(USER_AGENT="slow")

        job.finish()

    times = [at for at, _, path in web.asked if path != "/robots.txt"]
    assert len(times) == 5
    assert times[-1] - times[0] >= 4 * 0.2 - 0.1


def test_a_redirect_to_a_sick_domain(tmp_path):
    """The target waits at its own gate; the domain that sent us there is well."""
    start = []

    def answer(host, path, _):
        start.append(time.monotonic())
        if host == "well.test":
            return 302, {"Location": f"http://sick.test:{web.port}{path}"}
        return 503 if time.monotonic() < start[0] + 3 else 200

    with serving(answer) as web:
        job = crawl(tmp_path, web, URLS=web.urls("well.test", 30))
        job.configure(RESILIENCE_BREAKER_MAX_TRIPS=-1, RETRY_TIMES=3)

        run = job.finish()

    assert len(job.items()) == 30
    assert len(web.times("well.test")) == 30
    assert len(web.times("sick.test")) <= 30 + 25
    assert "breaker of well.test" not in run.log


DOWNLOADS = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        async def parse(self, response):
            path = response.url.rpartition("/")[2]
            yield dict(sku=response.url)
            for turn in range(2):
                url = f"http://limited.test:{self.settings['PORT']}/{path}/{turn}"
                answer = await self.crawler.engine.download_async(scrapy.Request(url))
                yield dict(sku=answer.url)
"""


def test_downloads_of_callbacks_over_kills(tmp_path, rng):
    """Callbacks that wait at a gate keep no commit from being made, and repeat no item."""
    with serving(lambda *_: 200) as web:
        job = crawl(
            tmp_path,
            web,
            DOWNLOADS,
            URLS=web.urls("well.test", 30),
            RESILIENCE_RATE_LIMITS={"limited.test": "15/s"},
            RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.3,
        )
        job.rng = rng
        run = job.survive(kills=2, commits=3)

    urls = web.urls("well.test", 30)
    inner = [url.replace("well", "limited") + f"/{turn}" for url in urls for turn in range(2)]
    assert sorted(item["sku"] for item in job.items()) == sorted([*urls, *inner])
    assert run.stats["resilience/total/resilience/checkpoint/commits"] >= 5


@pytest.mark.parametrize("scheduler", ["ours", "scrapy.core.scheduler.Scheduler"])
def test_a_stop_does_not_wait_for_a_gate(tmp_path, scheduler):
    """What waits in the process at the gate of a slow domain ends when the crawl does."""
    with serving(picture) as web:
        job = images(
            tmp_path, web, "images.test", RESILIENCE_RATE_LIMITS={"images.test": "1/h"}
        )
        if scheduler != "ours":
            job.configure(SCHEDULER=scheduler, JOBDIR=None)
        with job.process() as process:
            wait_until(lambda: len(web.times("well.test")) >= 8)
            wait_until(lambda: web.times("images.test"))
            process.send_signal(signal.SIGINT)
            run = job.ended(process)  # in less than an hour

    assert run.code != KILLED


def test_an_image_does_not_wait_for_an_hour(tmp_path):
    """A long Retry-After of what bypasses the scheduler is not sat out in the process."""

    def answer(_host, path, _count):
        return (429, {"Retry-After": 3600}) if path.endswith(".png") else 200

    with serving(answer) as web:
        job = images(tmp_path, web, "busy.test", pages=5, RETRY_TIMES=3)
        job.configure(RESILIENCE_BYPASS_TIMEOUT=1)

        run = job.run()

    assert (run.code, run.reason, len(job.items())) == (0, "finished", 5)  # and not in an hour
    assert len(web.times("busy.test")) == 1


def test_a_refused_robots_txt_is_asked_for_later(tmp_path):
    """What robots.txt forbids stays forbidden, when it could not be asked for at first."""
    asked = []

    def answer(host, path, _):
        if host == "busy.test":
            asked.append(path)
            if path == "/robots.txt":
                return 200, {}, b"User-agent: *\nDisallow: /"
            return 429, {"Retry-After": 3}
        return 200

    with serving(answer) as web:
        job = images(tmp_path, web, "busy.test", pages=24, RETRY_TIMES=5)
        job.configure(RESILIENCE_BYPASS_TIMEOUT=0.3)
        job.configure(RESILIENCE_RATE_LIMITS={"well.test": "4/s"})
        job.run_until(until=lambda: job.states("resilience.gates"))
        asked.clear()
        job.configure(ROBOTSTXT_OBEY=True)

        run = job.run()

    assert (run.code, run.reason) == (0, "finished")
    assert asked == ["/robots.txt"]


def test_a_missing_robots_txt_is_no_failure(tmp_path):
    """That there is none is an answer: no failure is counted, nothing is given up."""
    with serving(lambda _host, path, _: 404 if path == "/robots.txt" else 200) as web:
        job = crawl(tmp_path, web, ROBOTSTXT_OBEY=True, URLS=web.urls("a.test", 4))
        run = job.finish()

    assert web.times("a.test", "/robots.txt")
    found = [name for name in run.stats if name.startswith(("resilience/failures", "retry/"))]
    assert found == []
    assert "resilience/incomplete" not in run.stats


def test_a_failing_robots_txt_is_tried_as_often_as_in_scrapy(tmp_path):
    """RETRY_TIMES says how often, though pages are worth more tries; then the pages go on."""
    with serving(lambda _host, path, _: 503 if path == "/robots.txt" else 200) as web:
        job = crawl(tmp_path, web, ROBOTSTXT_OBEY=True, URLS=web.urls("a.test", 4))
        job.configure(RETRY_TIMES=None)
        run = job.run()

    assert len(web.times("a.test", "/robots.txt")) == 3
    assert len(job.items()) == 4
    assert (run.code, run.reason) == (0, "finished")


def test_a_stop_ends_what_a_callback_waits_for(tmp_path):
    """With another scheduler as well: its queue is not for what a callback waits for."""
    source = """
        import scrapy
        class Shop(scrapy.Spider):
            name = "shop"
            async def start(self):
                for url in self.settings.getlist("URLS"):
                    yield scrapy.Request(url)
            async def parse(self, response):
                held = response.follow(self.settings["HELD"], dont_filter=True)
                await self.crawler.engine.download_async(held)
    """

    def answer(host, _path, _count):
        return (429, {"Retry-After": 1000}) if host == "held.test" else 200

    with serving(answer) as web:
        job = Crawl(
            tmp_path,
            source,
            URLS=web.urls("well.test", 3),
            HELD=web.url("held.test"),
            JOBDIR=None,
            SCHEDULER="scrapy.core.scheduler.Scheduler",
        )
        with job.process() as process:
            wait_until(lambda: len(web.times("well.test")) == 3 and web.times("held.test"))
            process.send_signal(signal.SIGTERM)
            run = job.ended(process)

    assert (run.code, run.reason) == (0, "shutdown")
    assert run.log.count("CircuitOpen") >= 2

"""Beside scrapy-redis: the project of the how-to guide, on a real Redis."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
from collections import Counter
from pathlib import Path
from threading import Event

import pytest
import redis
from crawls import TIME_LIMIT, Crawl, check_same, wait_until
from ports import free_port
from web import serving

pytestmark = pytest.mark.integration

SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"
BATCH = 6
"""CONCURRENT_REQUESTS: what a process of scrapy-redis takes at a time, and holds at most."""
PER_DOMAIN = 2
"""CONCURRENT_REQUESTS_PER_DOMAIN."""
CAPTCHA = b"""<title>Just a moment...</title><p>Verify that you are human</p>
    <div class="g-recaptcha"></div>"""
PAGE = b'<html><h1>Oak Chair</h1><p class="price">EUR 1.234,56</p>'


@pytest.fixture(scope="module")
def server(redis_program, tmp_path_factory):
    """The client of a Redis that keeps nothing, and ends with these tests."""
    folder = tmp_path_factory.mktemp("redis")
    port = free_port()
    options = {"--bind": "127.0.0.1", "--port": port, "--dir": folder, "--save": ""}
    command = [redis_program, *(str(word) for pair in options.items() for word in pair)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log) as process:
        client = redis.Redis(port=port)
        try:
            wait_until(lambda: process.poll() is not None or answers(client))
            assert process.poll() is None, (folder / "log").read_text()
            yield client
        finally:
            client.close()
            process.kill()


def answers(client):
    """Whether the server is up."""
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


class Shared:
    """What the processes of the guide's project share, and projects to run."""

    def __init__(self, client, folder):
        self.client = client
        self.folder = folder
        self.url = "redis://127.0.0.1:{port}".format(**client.get_connection_kwargs())
        self.spider = (SNIPPETS / "redis_spider.py").read_text("utf-8")
        found = runpy.run_path(str(SNIPPETS / "redis_settings.py"))
        self.settings = {name: found[name] for name in found if name.isupper()}

    def project(self, name, **settings):
        """A folder in which one process runs; the guide's settings, and no rate limit."""
        settings = {**self.settings, "RESILIENCE_RATE_LIMITS": {}, **settings}
        place = {"REDIS_URL": self.url, "JOBDIR": None, "FEEDS": None}
        place |= {"CONCURRENT_REQUESTS": BATCH, "CONCURRENT_REQUESTS_PER_DOMAIN": PER_DOMAIN}
        return Crawl(self.folder / name, self.spider, **{**settings, **place})

    def push(self, *urls, **more):
        """What a producer does."""
        self.client.rpush(
            "products:start_urls", *(json.dumps({"url": u, **more}) for u in urls)
        )

    def waiting(self):
        """How many start URLs and requests nobody has taken."""
        return self.client.llen("products:start_urls") + self.client.zcard("products:requests")

    def items(self):
        return [json.loads(item) for item in self.client.lrange("products:items", 0, -1)]

    def failed(self):
        return [json.loads(task) for task in self.client.lrange("products:failed", 0, -1)]

    def found(self):
        """The URLs of all items."""
        return [item["url"] for item in self.items()]

    def run(self, job, until):
        """Run a process until it is to stop, in order."""
        with job.process("crawl", "products") as process:
            wait_until(until)
            return stopped(job, process)


def stopped(job, process):
    """Stop a process as a service manager does: it must end well."""
    process.send_signal(signal.SIGTERM)
    run = job.ended(process)
    assert (run.code, run.reason, run.errors) == (0, "shutdown", []), run
    return run


@pytest.fixture
def shared(server, tmp_path):
    """An empty Redis, and the guide's project."""
    server.flushdb()
    return Shared(server, tmp_path)


def total(runs, stat):
    """The sum of a stat over some processes."""
    return sum(run.stats.get(stat, 0) for run in runs)


def is_flaky(page):
    """Whether a page of the site fails at first."""
    return page % 3 == 1


class Tree:
    """A site of *size* pages, some of which fail at first; they link to a host that is down.

    Most pages wait until more are asked for at a time than one process would.
    """

    def __init__(self, size, down):
        self.size = size
        self.down = down
        self.asked = Counter()
        self.waiting = 0
        self.shared = Event()

    def __call__(self, _host, path, _count):
        page = int(path[1:])
        self.asked[page] += 1
        if page > BATCH:
            self.wait()
        if is_flaky(page) and self.asked[page] == 1:
            return 503
        below = [f"/{n}" for n in range(5 * page + 1, 5 * page + 6) if n < self.size]
        links = "".join(
            f'<a href="{link}">on</a>' for link in below + self.down[page : page + 1]
        )
        return 200, {"Content-Type": "text/html"}, PAGE + links.encode()

    def wait(self):
        self.waiting += 1
        if self.waiting > PER_DOMAIN:
            self.shared.set()
        self.shared.wait(TIME_LIMIT)
        self.waiting -= 1


def test_two_processes_share_a_queue(shared):
    """Every page comes once, from either; a dead host costs little, and its pages are kept."""
    port = free_port()
    down = [f"http://down.test:{port}/{number}" for number in range(20)]
    with serving(Tree(80, down)) as web:
        pages = web.urls("shop.test", 80)
        first, second = shared.project("first"), shared.project("second")
        shared.push(pages[0])

        def is_done():
            return len(shared.items()) >= len(pages) and len(shared.failed()) >= len(down)

        with first.process("crawl", "products") as one:
            wait_until(lambda: shared.waiting() > BATCH)
            with second.process("crawl", "products") as two:
                wait_until(is_done)
                runs = stopped(first, one), stopped(second, two)

    check_same(shared.found(), pages)
    check_same([task["url"] for task in shared.failed()], down)
    assert all(run.stats["item_scraped_count"] for run in runs)
    assert total(runs, "retry/reason_count/503 Service Unavailable") == sum(
        map(is_flaky, range(80))
    )
    assert total(runs, "resilience/breaker/opened") >= 1
    assert total(runs, "resilience/breaker/rejected") >= 1


def test_what_was_refused_is_done_again(shared):
    """A process that reaches nobody empties the queue, and the guide's list is one again."""
    sick = True
    with serving(lambda *_: 503 if sick else (200, {}, PAGE)) as web:
        job, urls = shared.project("first"), web.urls("sick.test", 30)
        shared.push(*urls)
        run = shared.run(job, lambda: len(shared.failed()) == len(urls))
        assert run.stats["resilience/breaker/rejected"] > len(urls) / 2
        sick = False
        assert shared.client.renamenx("products:failed", "products:start_urls")

        shared.run(job, lambda: len(shared.items()) >= len(urls))

        check_same(shared.found(), urls)


def test_a_kill_loses_what_its_process_had_taken(shared):
    """What was under way in it is gone, and counts as seen; the rest is done by others."""
    over = Event()

    def answer(host, _path, _count):
        if host == "slow.test":
            over.wait(TIME_LIMIT)
        return 200, {}, PAGE

    with serving(answer) as web:
        first, second = shared.project("first"), shared.project("second")
        taken, left = web.urls("slow.test", BATCH), web.urls("well.test", 20)
        shared.push(*taken, *left)
        with first.process("crawl", "products") as one:
            wait_until(lambda: web.asked and shared.waiting() == len(left))
            one.kill()
            first.ended(one)
        over.set()
        shared.push(*taken)  # somebody asks for them again: they count as seen

        shared.run(second, lambda: len(shared.items()) >= len(left) and not shared.waiting())

        check_same(shared.found(), left)


def test_a_stop_puts_back_what_waits(shared):
    """Requests that wait for their domain in a process go back to the queue."""
    busy = True

    def answer(*_):
        return (429, {"Retry-After": 1000}) if busy else (200, {}, PAGE)

    with serving(answer) as web:
        first, second = shared.project("first"), shared.project("second")
        urls = web.urls("busy.test", 10)
        shared.push(*urls)
        shared.run(first, lambda: web.asked and shared.waiting() == len(urls) - BATCH)
        assert shared.waiting() == len(urls)
        busy = False

        shared.run(second, lambda: len(shared.items()) >= len(urls))

        check_same(shared.found(), urls)


def test_components_that_know_no_scheduler(shared):
    """Bans, selectors, values and confidence as with our own scheduler."""

    def answer(_host, _path, count):
        return (200, {"Content-Type": "text/html"}, CAPTCHA if count == 1 else PAGE)

    with serving(answer) as web:
        shared.push(*web.urls("shop.test", 5))

        run = shared.run(shared.project("first"), lambda: len(shared.items()) == 5)

    check_same(shared.found(), web.urls("shop.test", 5))
    assert run.stats["resilience/failures/blocked"] == 1
    for item in shared.items():
        assert item["title"] == "Oak Chair"
        assert item["price"] == {"amount": 1234.56, "currency": "EUR", "raw": "EUR 1.234,56"}
        assert 0 < item["confidence"]["overall"] < 1


def test_a_rate_limit_is_each_process_s_own(shared):
    """A process keeps to the limit, and two ask twice as often."""
    rate = 10
    with serving(lambda *_: (200, {}, PAGE)) as web:
        job = shared.project("first", RESILIENCE_RATE_LIMITS={"*": rate})
        shared.push(*web.urls("shop.test", 12))

        shared.run(job, lambda: len(shared.items()) == 12)

    times = web.times("shop.test")
    assert times[-1] - times[0] >= 11 / rate - 0.2


def test_a_jobdir_is_no_job(shared):
    """Nothing is written to a JOBDIR beside another scheduler, and the log says so."""
    with serving(lambda *_: (200, {}, PAGE)) as web:
        job = shared.project("first")
        job.configure(JOBDIR="job")
        shared.push(*web.urls("shop.test", 1))

        run = shared.run(job, lambda: len(shared.items()) == 1)

    assert "makes no checkpoints" in run.log
    assert not job.path("job/resilience.db").exists()

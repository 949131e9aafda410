"""The endpoint of a crawl that runs: found, asked, and never in its way."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import sys
from contextlib import closing, contextmanager, suppress
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from crawls import BUSY, Crawl, wait_until
from web import serving

from scrapy_resilience.files.address import read_address

pytestmark = pytest.mark.integration

OPEN = """
    import asyncio, time
    from pathlib import Path
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
            while not Path("stop").exists():
                await asyncio.sleep(0.02)
        def parse(self, response):
            yield dict(sku=response.url)
"""
"""A crawl that goes on until it is told to stop."""
CHECKS = """
    import asyncio
    def fine(crawler):
        return "degraded", crawler.spider.name
    async def hangs(crawler):
        await asyncio.Event().wait()
    def raises(crawler):
        raise OSError("no database")
    async def nonsense(crawler):
        return 5
"""
TOKEN = "a-token-of-many-letters"  # noqa: S105 - for tests
SAID = re.compile(r"Metrics, health and a live page: (\S+)")
_direct = build_opener(ProxyHandler({}))


def ask(url, *, token="", accept="", timeout=30):
    """The status and the body of an answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = Request(url, headers={**headers, "Accept": accept})  # noqa: S310 - http
    try:
        with _direct.open(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def view_of(url, **kwargs):
    """The view of a crawl."""
    return json.loads(ask(f"{url}status.json", **kwargs)[1])


@pytest.fixture
def shop(tmp_path):
    """``shop(source, **settings)``: a crawl of a small server, with a place for each port."""
    with serving(lambda *_: 200) as web:
        yield lambda source=OPEN, **settings: Crawl(
            tmp_path,
            source,
            **{"URLS": web.urls("a.test", 5), "RESILIENCE_HTTP_PORT": 0, **BUSY, **settings},
        )


@contextmanager
def running(crawl, *command, env=None):
    """A crawl under way, and where its endpoint is; it is stopped in the end."""
    with crawl.process(*command, env=env) as process:
        yield process, wait_until(lambda: read_address(crawl.job) or _dead(crawl, process))
        crawl.write("stop", "")
        crawl.ended(process)


def _dead(crawl, process):
    assert process.poll() is None, crawl.last().log


def done(url, pages=5, **kwargs):
    """Wait until so many pages came."""
    return wait_until(
        lambda: view if (view := view_of(url, **kwargs))["progress"]["pages"] >= pages else None
    )


def test_it_is_found_and_tells(shop):
    """By the log, the file and the command; it is gone when the crawl has ended."""
    crawl = shop()
    with running(crawl) as (_, url):
        view = done(url)
        status = json.loads(_status(crawl).out)
        assert stat.S_IMODE((crawl.job / "resilience.http").stat().st_mode) == 0o600
        ready = ask(f"{url}health/ready")
        metrics = ask(f"{url}metrics", accept="application/openmetrics-text")
        page = ask(url)
        series = wait_until(lambda: _first_second(url))

    run = crawl.last()
    run.check_finished()
    assert SAID.findall(run.log) == [url] == [status["endpoint"]]
    assert view["job"]["spider"] == "shop"
    assert view["job"]["state"] == "running"
    assert view["resources"]["memory"] > 0
    assert view["health"]["ready"]
    assert {each["name"] for each in view["health"]["components"]} == {
        "cpu", "memory", "disk", "open_files", "event_loop", "frontier", "store", "breakers",
        "sinks",
    }  # fmt: skip
    assert ready[0] == metrics[0] == page[0] == 200
    assert b"scrapy_resilience_" in metrics[1]
    assert metrics[1].endswith(b"# EOF\n")
    assert page[1].startswith(b"<!doctype html>")
    assert series["memory"] > 0
    assert series["loop_lag"] is not None
    assert not (crawl.job / "resilience.http").exists()
    assert json.loads(_status(crawl).out)["endpoint"] is None


def _first_second(url):
    """The first row of the finest history, by column."""
    finest = json.loads(ask(f"{url}status.json?history=1")[1])["history"][0]
    rows = [dict(zip(finest["columns"], row, strict=True)) for row in finest["rows"]]
    return next((row for row in rows if row["memory"]), None)


def _status(crawl):
    """``scrapy resilience status``, beside the crawl."""
    return Crawl.run(_beside(crawl), "resilience", "status", "job", "--json")


def _beside(crawl):
    other = Crawl.__new__(Crawl)
    other.__dict__.update(crawl.__dict__, runs=crawl.runs + 100)
    return other


def test_a_killed_run(shop):
    """The file that it leaves is not taken for an endpoint, and the next run removes it."""
    crawl = shop()
    crawl.run_until(until=lambda: read_address(crawl.job), spread=0)
    left = crawl.job / "resilience.http"

    assert left.exists()
    assert read_address(crawl.job) is None
    assert json.loads(_status(crawl).out)["endpoint"] is None

    crawl.configure(RESILIENCE_HTTP_ENABLED=False)
    crawl.write("stop", "")
    run = crawl.finish()
    assert not left.exists()
    assert not SAID.search(run.log)


def test_without_a_job(shop):
    """A crawl in memory has an endpoint, too: the log says where."""
    crawl = shop(JOBDIR=None)
    with crawl.process() as process:
        url = wait_until(lambda: SAID.findall(crawl.last().log))[0]
        view = done(url)
        crawl.write("stop", "")
        crawl.ended(process)
    assert view["job"]["path"] is None
    assert view["progress"]["pages"] == 5


@contextmanager
def taken():
    """A port that somebody listens on, with free ones behind it."""
    while True:
        with closing(socket.socket()) as first, closing(socket.socket()) as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                second.close()
                first.listen()
                yield port
                return


def test_a_port_that_is_taken(shop):
    """The next one of the range is used, which is said once."""
    with taken() as port:
        crawl = shop(RESILIENCE_HTTP_PORT=[port, port + 1])
        with running(crawl) as (_, url):
            pass
    log = crawl.last().log
    assert url == f"http://127.0.0.1:{port + 1}/"
    assert log.count(f"(taken: {port})") == 1
    assert " WARNING: " not in log


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no-such-name.invalid"])
def test_no_port_at_all(shop, host):
    """A full range, or an address that is not ours: one warning, and the crawl goes on."""
    with taken() as port:
        crawl = shop(
            RESILIENCE_HTTP_PORT=port, RESILIENCE_HTTP_HOST=host, RESILIENCE_HTTP_INSECURE=True
        )
        crawl.write("stop", "")
        run = crawl.run()
    run.check_finished()
    crawl.check_pages()
    warnings = [line for line in run.log.splitlines() if " WARNING: " in line]
    assert len(warnings) == 1
    assert "the crawl goes on without" in warnings[0]
    assert not (crawl.job / "resilience.http").exists()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"RESILIENCE_HTTP_HOST": "::"}, "RESILIENCE_HTTP_TOKEN"),
        ({"RESILIENCE_HTTP_PORT": [9412, 9410]}, "RESILIENCE_HTTP_PORT"),
        ({"RESILIENCE_HTTP_PORT": "many"}, "RESILIENCE_HTTP_PORT"),
        ({"RESILIENCE_HEALTH_CHECKS": {"db": "nothing.there"}}, "HEALTH_CHECKS"),
        ({"RESILIENCE_HEALTH_CHECKS": {"db": "spider.__name__"}}, "HEALTH_CHECKS"),
    ],
)
@pytest.mark.parametrize("jobdir", ["job", None])
def test_what_is_refused(shop, settings, word, jobdir):
    """In one line, and before a job is opened."""
    crawl = shop(JOBDIR=jobdir, **settings)
    crawl.run().check_refused(word)
    assert not crawl.path("job").exists()


def test_a_token(shop):
    """It may come from the environment; nothing says what it is, and a wrong one gets 401."""
    crawl = shop()
    with running(crawl, env={"RESILIENCE_HTTP_TOKEN": TOKEN}) as (_, url):
        view = done(url, token=TOKEN)
        codes = [ask(f"{url}{path}")[0] for path in ("status.json", "health", "health/live")]
        wrong = ask(f"{url}status.json", token=TOKEN + "x")[0]
        file = (crawl.job / "resilience.http").read_text()
    crawl.last().check_finished()
    assert codes == [401, 401, 200]
    assert wrong == 401
    for text in (json.dumps(view), file, crawl.last().log):
        assert TOKEN not in text


def test_while_a_barrier_is_up(shop):
    """A commit waits for a callback: the endpoint answers meanwhile."""
    source = OPEN.replace(
        "def parse(self, response):",
        "async def parse(self, response):\n"
        "            while not Path('go').exists():\n"
        "                await asyncio.sleep(0.02)",
    )
    crawl = shop(
        source, RESILIENCE_CHECKPOINT_INTERVAL=0.2, RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=100
    )
    with running(crawl) as (_, url):
        wait_until(lambda: view_of(url)["progress"]["under_way"] == 0 or None)
        codes = {ask(f"{url}{path}")[0] for path in ("status.json", "health", "health/ready")}
        crawl.write("go", "")
    crawl.last().check_finished()
    crawl.check_pages()
    assert codes == {200}


def test_while_the_loop_is_busy(shop):
    """Callbacks that compute are no hindrance, but for their own length; the lag is seen."""
    source = OPEN.replace(
        "def parse(self, response):",
        "def parse(self, response):\n"
        "            end = time.monotonic() + 0.3\n"
        "            while time.monotonic() < end: pass",
    )
    crawl = shop(source)
    with running(crawl) as (_, url):
        view = done(url)
    crawl.last().check_finished()
    assert view["resources"]["loop_lag"] > 0.05


def test_a_stream_does_not_keep_the_crawl(shop):
    """It ends while clients read, and while others have stopped to; it is told of the end."""
    crawl = shop()
    with crawl.process() as process:
        url = wait_until(lambda: read_address(crawl.job) or _dead(crawl, process))
        done(url)
        place = re.search(r"//(.*):(\d+)/", url)
        deaf = socket.create_connection((place[1], int(place[2])))
        deaf.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with _direct.open(f"{url}events", timeout=60) as stream:
            assert stream.readline() == b"retry: 2000\n"
            crawl.write("stop", "")
            rest = stream.read().decode()
        run = crawl.ended(process)
        deaf.close()
    run.check_finished()
    assert '"state":"closing"' in rest.strip().rpartition("data: ")[2]


HURTS = (
    OPEN.replace(
        "async def start(self):", "async def start(self):\n            Observer.view = hurt"
    )
    + """
    from scrapy_resilience.observe.observer import Observer
    def hurt(self, **kwargs):
        raise RuntimeError("it hurts")
"""
)


def test_a_view_that_fails(shop):
    """Clients are told 500, the log has one line for each path, the crawl ends well."""
    crawl = shop(HURTS)
    with running(crawl) as (_, url):
        codes = [ask(f"{url}{path}")[0] for path in ("status.json", "status.json", "health")]
        codes.append(ask(f"{url}health/live")[0])
    run = crawl.last()
    assert (run.code, run.reason) == (0, "finished")
    assert codes == [500, 500, 500, 200]
    lines = [line for line in run.log.splitlines() if "The endpoint can't answer" in line]
    assert len(lines) == 2
    assert "Traceback" not in run.log
    crawl.check_pages()


def test_health_checks_of_the_user(shop):
    """Each is a component; one that hangs, raises or answers nonsense hurts nobody."""
    names = ("fine", "hangs", "raises", "nonsense")
    crawl = shop(
        RESILIENCE_HEALTH_CHECKS={name: f"checks.{name}" for name in names},
        RESILIENCE_HEALTH_TIMEOUT=0.2,
    )
    crawl.write("checks.py", re.sub(r"(?m)^    ", "", CHECKS))
    with running(crawl) as (_, url):
        done(url)

        def checked():
            code, body = ask(f"{url}health")
            found = {each["name"]: each for each in json.loads(body)["components"]}
            return (code, found) if all(found[name]["checked"] for name in names) else None

        code, found = wait_until(checked)
        ready, live = ask(f"{url}health/ready")[0], ask(f"{url}health/live")[0]
        rfc = json.loads(ask(f"{url}health", accept="application/health+json")[1])
    crawl.last().check_finished()
    assert (code, ready, live) == (503, 503, 200)
    assert {name: (found[name]["status"], found[name]["detail"]) for name in names} == {
        "fine": ("degraded", "shop"),
        "hangs": ("unhealthy", "no answer in 0.2 s"),
        "raises": ("unhealthy", "OSError: no database"),
        "nonsense": ("unknown", "the check answered with int, not a status"),
    }
    assert rfc["status"] == "fail"
    assert rfc["checks"]["raises"][0]["output"] == "OSError: no database"


@pytest.mark.parametrize("loop", ["uvloop.Loop", "asyncio.SelectorEventLoop"])
def test_event_loops(shop, loop):
    """Whichever runs the crawl."""
    crawl = shop(ASYNCIO_EVENT_LOOP=loop)
    with running(crawl) as (_, url):
        done(url)
    crawl.last().check_finished()


def test_without_a_reactor(shop):
    """As with one."""
    crawl = shop(TWISTED_REACTOR_ENABLED=False, TWISTED_DNS_RESOLVER=None, URLS=[])
    with running(crawl) as (_, url):
        view = view_of(url)
    crawl.last().check_finished()
    assert view["job"]["state"] == "running"


TWO = """
    from scrapy.crawler import CrawlerProcess
    from scrapy.utils.project import get_project_settings
    from spider import Shop
    class Second(Shop):
        name = "second"
    process = CrawlerProcess(get_project_settings())
    process.crawl(Shop)
    process.crawl(Second)
    process.start()
"""


def test_two_crawls_in_one_process(shop):
    """Each has an endpoint of its own, which tells of it."""
    with taken() as port:
        crawl = shop(JOBDIR="jobs/%(spider)s", FEEDS={}, RESILIENCE_HTTP_PORT=[port, port + 40])
        crawl.write("script.py", re.sub(r"(?m)^    ", "", TWO))
        folders = [crawl.path("jobs") / name for name in ("shop", "second")]
        with crawl.process(sys.executable, "script.py") as process:
            urls = [
                wait_until(lambda folder=folder: read_address(folder) or _dead(crawl, process))
                for folder in folders
            ]
            spiders = [view_of(url)["job"]["spider"] for url in urls]
            crawl.write("stop", "")
            run = crawl.ended(process)
    assert run.code == 0
    assert len(set(urls)) == 2
    assert spiders == ["shop", "second"]


@pytest.mark.parametrize("command", [["fetch", "data:,x"], ["parse", "data:,x"], ["check"]])
def test_commands_that_only_look(shop, command):
    """They have no endpoint."""
    crawl = shop()
    run = crawl.run(*command)
    assert not SAID.search(run.log)


def test_the_profile_for_tests(shop):
    """It has no endpoint; a setting brings it back."""
    crawl = shop(RESILIENCE_PROFILE="testing")
    crawl.write("stop", "")
    run = crawl.finish()
    assert not SAID.search(run.log)


def test_systemd(shop, tmp_path):
    """It is told that the crawl is ready, how it is, that it is alive, and that it stops."""
    crawl = shop()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        said = []
        with running(crawl, env=env):
            while not {"READY=1", "WATCHDOG=1"} <= set(said):
                said.append(sock.recv(1000).decode())
        sock.settimeout(0.0)
        with suppress(BlockingIOError):
            while True:
                said.append(sock.recv(1000).decode())
    assert said[0] == "READY=1"
    assert said[-1] == "STOPPING=1" or "STOPPING=1" in said
    assert any(each.startswith("STATUS=") for each in said)
    assert os.environ.get("NOTIFY_SOCKET") is None

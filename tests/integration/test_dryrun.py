"""A dry run makes its requests, tells what would have failed, and writes nothing."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sqlite3
import sys
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest
from crawls import SHOP, Crawl
from receivers import Webhook

from scrapy_resilience.files.lock import FileLock

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SNIPPETS = ROOT / "docs" / "snippets"
SELECTORS = ROOT / "example_project" / "selectors"

EVERYTHING = """
import os, sys
from shop import Base

def hear(event, args):
    if event in {"socket.connect", "socket.bind"}:
        print("SOCKET", event, args[1], file=sys.stderr)

sys.addaudithook(hear)

class Shop(Base):
    def parse(self, response, **_):
        for item in super().parse(response):
            if isinstance(item, dict):
                item.update(image_urls=[response.url], empty=None, rated="a word")
            yield item

class Writes:
    def process_item(self, item):
        with open("written.txt", "a") as file:
            file.write(str(item))
        return item

class Checked(Writes):
    @classmethod
    def dry_run_check(cls, settings):
        return "the disk of " + settings["JOBDIR"]

class Safe:
    dry_run_safe = True
    def open_spider(self):
        self.items = 0
    def process_item(self, item):
        self.items += 1
        item["number"] = self.items
        return item

class Extension:
    def __init__(self):
        open("extension.txt", "w").close()

class Named:
    def __init__(self):
        print("NAMED", file=sys.stderr)
"""


def everything(hook, gateway):
    """What writes, sends and listens."""
    return {
        "JOBDIR": "jobs/%(spider)s",
        "FEEDS": {
            "items.jsonl": {"format": "jsonlines"},
            "items.csv": {"format": "csv", "overwrite": True},
            "deep/new.json": {"format": "json"},
            "file:///%(name)s-nowhere/x.xml": {"format": "xml"},
        },
        "ITEM_PIPELINES": {
            "scrapy.pipelines.images.ImagesPipeline": 1,
            "spider.Writes": 2,
            "spider.Safe": 3,
            "spider.Checked": 4,
        },
        "EXTENSIONS": {"spider.Extension": 1, "spider.Named": 2},
        "RESILIENCE_DRY_RUN_SAFE": ["spider.Named"],
        "IMAGES_STORE": "images",
        "HTTPCACHE_ENABLED": True,
        "LOG_FILE": "crawl.log",
        "LOG_STDOUT": True,
        "TELNETCONSOLE_ENABLED": True,
        "ROBOTSTXT_OBEY": True,
        "RESILIENCE_LOG_DIR": "logs",
        "RESILIENCE_REPORT": "reports/%(spider)s.html",
        "RESILIENCE_METRICS_TEXTFILE": "shop.prom",
        "RESILIENCE_METRICS_INTERVAL": 0.1,
        "RESILIENCE_PUSHGATEWAY_URL": f"http://127.0.0.1:{gateway}",
        "RESILIENCE_NOTIFY": [hook],
        "RESILIENCE_NORMALIZE": {"price": "price", "rated": "rating"},
        "RESILIENCE_FINISHED_JOB": "anew",
        "RESILIENCE_SQL_URL": "sqlite:///rows.sqlite",
        "RESILIENCE_SQL_CREATE": True,
    }


@contextmanager
def listening():
    """A port, and what was sent to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        got = []

        def serve():
            with suppress(OSError):  # the test is over
                while True:
                    with server.accept()[0] as found:
                        found.settimeout(5)
                        got.append(found.recv(100))

        Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], got


def tree(folder):
    """Everything below *folder*, but for what this test itself has there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not name.startswith("log.") and "__pycache__" not in name:
            status = path.lstat()
            content = sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[name] = (status.st_mtime_ns, status.st_mode, status.st_size, content)
    return found


def dry(job, *options, code=0):
    """A dry run: what it says as JSON."""
    run = job.run("resilience", "dryrun", "shop", "--json", *options, env=home(job))
    assert run.code == code, run.log
    found = json.loads(run.out)
    assert found["ok"] is (code == 0)
    return found, run


def home(job):
    """A home that is looked at, too."""
    path = job.path("home")
    path.mkdir(exist_ok=True)
    return {"HOME": str(path), "XDG_CACHE_HOME": str(path), "XDG_DATA_HOME": str(path)}


def told(found, level):
    """What was found that is so bad, by what it is about."""
    return {each["about"]: each["what"] for each in found["findings"] if each["level"] == level}


def test_nothing_is_written(plain_crawl, plain):
    """Whatever is on: files, sockets and the job that is there stay as they were."""
    hook = Webhook(lambda _: 200)
    Thread(target=hook.server.serve_forever, daemon=True).start()
    job = plain_crawl(EVERYTHING, JOBDIR="jobs/shop")
    job.run_until(commits=2, number=signal.SIGTERM)
    plain.reset()
    shutil.copytree(SELECTORS, job.path("selectors"))
    with listening() as (port, sent):
        job.configure(**everything(hook.url, port))
        home(job)
        job.path("reports").mkdir()
        with closing(sqlite3.connect(job.path("rows.sqlite"))) as database:
            database.execute("CREATE TABLE items (item_id TEXT PRIMARY KEY, sku TEXT)")
        before = tree(job.folder)

        found, run = dry(job, "--limit", "7")

        assert tree(job.folder) == before
        assert [each for each in sent if each] == [], "something was sent"
    assert not hook.got
    hook.server.shutdown()
    hook.server.server_close()
    made = plain.stats()["total"]["requests"]
    assert made == found["requests"]
    assert 7 <= made <= 7 + 3, "robots.txt of three hosts may come on top"
    check_sockets(run.log, {plain.port, port})
    check_result(found, run)
    lock = FileLock(job.path("jobs/shop/resilience.lock"))
    lock.acquire()
    lock.release()


def check_sockets(log, ports):
    """Only the site was connected to, and once the gateway; nothing listens."""
    lines = [line for line in log.splitlines() if line.startswith("SOCKET")]
    assert lines
    for line in lines:
        if "socket.connect" in line:
            assert int(line.rpartition(",")[2].strip(" )")) in ports, line
        else:
            assert "94" in line, line  # the check of the endpoint's port


def check_result(found, run):
    """It tells what the pages brought, and what was left out."""
    assert "NAMED" in run.log
    assert found["pages"] > 0
    assert found["items"] > 0
    assert found["fields"]["dict"]["sku"] == found["fields"]["dict"]["number"] == 1
    assert found["unread"] == {"rated": found["items"]}
    assert 0 < found["confidence"] <= 1
    assert set(found["feeds"].values()) == {found["items"]}
    assert len(found["feeds"]) == 4
    assert not found["whole"]["known"]
    skipped = {each["name"]: each["why"] for each in found["skipped"]}
    assert set(skipped) == {
        "scrapy.extensions.remote_control.RemoteControl",
        "scrapy.extensions.telnet.TelnetConsole",
        "scrapy.pipelines.images.ImagesPipeline",
        "scrapy_resilience.pipelines.sql.SqlPipeline",
        "spider.Checked",
        "spider.Extension",
        "spider.Writes",
    }
    assert "not known" in skipped["spider.Writes"]
    good, warnings = told(found, "ok"), told(found, "warning")
    assert good["spider.Checked"] == "the disk of jobs/shop"
    assert "the next run goes on" in good["job"]
    assert "can be reached" in good["services"]
    assert "tables are as needed" in good["database"]
    assert good["selectors"] == "1 set as expected"
    assert "rated" in warnings["items"]


RAISES = """
from shop import Base

class Shop(Base):
    async def start(self):
        async for each in super().start():
            yield each
        raise RuntimeError("no more")

    def parse(self, response, **_):
        yield {"sku": object()}
        yield {"sku": "bad"}
        raise ValueError("odd page")

class Bad:
    dry_run_safe = True
    def process_item(self, item):
        if item["sku"] == "bad":
            raise KeyError("sku")
        return item

class Away:
    @classmethod
    def dry_run_check(cls, settings):
        raise ConnectionError("postgresql://me:pa55word@db/x is away")
    def process_item(self, item):
        return item
"""


@pytest.mark.parametrize("reactor", [True, False], ids=["reactor", "reactorless"])
def test_what_would_have_failed(plain_crawl, reactor):
    """Each failure is one line, no secret is shown, and the exit code is 1."""
    job = plain_crawl(
        RAISES,
        TWISTED_REACTOR_ENABLED=reactor,
        TWISTED_DNS_RESOLVER="scrapy_resilience.testing.LoopbackResolver" if reactor else None,
        START=["http://127.0.0.1:1/"] if not reactor else None,
        ITEM_PIPELINES={"spider.Bad": 1, "spider.Away": 2},
        FEEDS={"items.json": {"format": "json"}, "settings.py/x.csv": {"format": "csv"}},
    )
    if reactor:
        job.configure(START=job.site.start_urls())
    found, run = dry(job, "--limit", "3", code=1)

    problems = told(found, "problem")
    assert problems["start"] == "start() has raised RuntimeError"
    assert "settings.py is not a folder" in problems["feeds"] or reactor
    assert problems["spider.Away"] == "postgresql://***@db/x is away"
    assert "pa55word" not in run.out + run.log
    if reactor:
        assert "KeyError" in problems["items"]
        assert not job.job.exists()
        text = job.run("resilience", "dryrun", "shop", "--limit", "3").out
        assert "something would have failed" in text
        assert "items.json can't have an item: TypeError" in text
        assert "\nproblem  items: " in text


LATER = """
class LaterPipeline:
    def __init__(self):
        open("later.txt", "w").close()

class LaterExtension(LaterPipeline):
    pass

class Later:
    def update_settings(self, settings):
        for name, cls in ("ITEM_PIPELINES", LaterPipeline), ("EXTENSIONS", LaterExtension):
            settings.setdefault_in_component_priority_dict(name, cls, -5)
"""


def test_a_crawl_with_the_setting(plain_crawl):
    """``scrapy crawl`` prints the same, with its exit code; a refusal is one line."""
    job = plain_crawl(SHOP, RESILIENCE_DRY_RUN=3, LOG_FILE="crawl.log")

    run = job.run()
    empty = job.run("crawl", "shop", "-s", "START=")
    refused = job.run("crawl", "shop", "-s", "RESILIENCE_ENABLED=False")
    wrong = job.run("resilience", "dryrun", "shop", "-s", "RESILIENCE_RETRY_POLICY=x")
    unknown = job.run("resilience", "dryrun", "shopp")
    none = job.run("resilience", "dryrun", "shop", "--limit", "0")
    job.write("spider.py", f"{SHOP}Shop.custom_settings = dict(ADDONS=dict())\n")
    without = job.run("resilience", "dryrun", "shop")
    job.write("spider.py", f"{SHOP}{LATER}")
    job.configure(ADDONS={"scrapy_resilience.ResilienceAddon": 500, "spider.Later": 600})
    later = job.run("resilience", "dryrun", "shop")
    later_crawl = job.run()

    assert (run.code, run.errors) == (0, [])
    assert run.out.startswith("Dry run of shop: all is well\n")
    assert "3 at the most" in run.out
    assert (empty.code, "problem  requests: no page has come" in empty.out) == (1, True)
    refused.check_refused("RESILIENCE_DRY_RUN", "RESILIENCE_ENABLED")
    assert wrong.code == 1
    assert "RESILIENCE_RETRY_POLICY='x'" in wrong.out
    assert "Traceback" not in wrong.log + unknown.log
    assert (unknown.code, none.code, without.code) == (2, 2, 1)
    assert "use a number of at least 1" in none.log
    assert "would be a real crawl" in without.log
    assert later.code == 1
    assert "problem  start: A dry run would write" in later.out
    assert "spider.LaterExtension, spider.LaterPipeline" in later.out
    later_crawl.check_refused("A dry run would write")
    assert "there is no spider 'shopp', but shop" in unknown.log
    made = {path.name for path in job.folder.iterdir()}
    assert not made & {"later.txt", "job", "crawl.log", "items.jsonl", "items.csv"}, made


WHOLE = """
import scrapy
class Shop(scrapy.Spider):
    name = "shop"
    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = int(count)
    async def start(self):
        for number in range(self.count):
            yield scrapy.Request(f"{self.settings['START'][0]}?{number}", self.parse)
    def parse(self, response):
        yield {"url": response.url}
"""


def test_the_whole_crawl(plain_crawl):
    """Where no page leads to another one it is known; a spider without its argument is told."""
    job = plain_crawl(WHOLE, RESILIENCE_PRICES={"requests": 0.5})

    found, _ = dry(job, "--limit", "4", "-a", "count=30")
    all_of_it, _ = dry(job, "--limit", "4", "-a", "count=2")
    failed, run = dry(job, code=1)

    whole = found["whole"]
    assert (whole["known"], whole["requests"]) == (True, 30)
    assert whole["dollars"] == pytest.approx(15)
    assert whole["seconds"] > found["seconds"]
    assert all_of_it["whole"]["requests"] == 2
    assert "count" in told(failed, "problem")["start"]
    assert "TypeError" in run.log


ROWS = """
from dry_pipelines import *
import scrapy
class Shop(scrapy.Spider):
    name = "shop"
    start_urls = ["data:,x"]
    def parse(self, response):
        yield {"title": "x"}
"""


def test_the_pipelines_of_the_guide(plain_crawl):
    """One runs, the other is asked, and says what is missing."""
    job = plain_crawl(
        ROWS,
        ITEM_PIPELINES={"spider.TitlePipeline": 1, "spider.RowsPipeline": 2},
        ROWS_FILE="rows.sqlite",
    )
    job.write("dry_pipelines.py", (SNIPPETS / "dry_pipelines.py").read_text())

    missing, _ = dry(job, code=1)
    with closing(sqlite3.connect(job.path("rows.sqlite"))) as database:
        database.execute("CREATE TABLE rows (title TEXT)")
    before = tree(job.folder)
    good, _ = dry(job)
    same = tree(job.folder) == before
    run = job.run()

    assert "there is no rows.sqlite" in told(missing, "problem")["dry_pipelines.RowsPipeline"]
    assert told(good, "ok")["dry_pipelines.RowsPipeline"] == "rows.sqlite has its table"
    assert [each["name"] for each in good["skipped"]][-1] == "dry_pipelines.RowsPipeline"
    assert same
    assert (run.code, run.errors) == (0, [])
    with closing(sqlite3.connect(job.path("rows.sqlite"))) as database:
        assert database.execute("SELECT title FROM rows").fetchall() == [("X",)]


# --- the doctor ---


def doctor(job, *options, env=None):
    """What it finds, its level by what it is about, and the run."""
    run = job.run("resilience", "doctor", "--json", *options, env=env)
    assert "Traceback" not in run.log, run.log
    return json.loads(run.out), run


def test_doctor(plain_crawl):
    """It looks at a project, says what to do, and leaves all as it is."""
    job = plain_crawl(SHOP, LOG_FILE="crawl.log", HTTPCACHE_ENABLED=True, RESILENCE_UNIQUE=1)
    job.run_until(commits=2, number=signal.SIGKILL)
    job.configure(RESILIENCE_REPORT="reports/shop.html")
    job.path("reports").mkdir()
    home(job)
    before = tree(job.folder)

    found, run = doctor(job, env=home(job))
    text = job.run("resilience", "doctor").out

    assert tree(job.folder) == before
    assert run.code == 0, run.out
    by_level = {each["about"]: each for each in found if each["level"] == "ok"}
    assert {"versions", "open files", "spiders", "feeds", "endpoint"} <= set(by_level)
    warnings = [each["what"] for each in found if each["level"] == "warning"]
    assert any("HTTPCACHE_ENABLED keeps" in each for each in warnings)
    assert any("RESILENCE_UNIQUE" in each for each in warnings)
    assert "-> set HTTPCACHE_IGNORE_HTTP_CODES" in text


def test_doctor_of_what_is_wrong(tmp_path_factory, plain_crawl):
    """A wrong setting, a broken spider, and no project at all: told in lines."""
    job = plain_crawl(SHOP, RESILIENCE_HTTP_TOKEN="s3cr3t-t0ken-of-mine")  # noqa: S106 - nobody's
    wrong, run = doctor(job, "-s", "RESILIENCE_RETRY_POLICY=x")
    job.write("spider.py", "import nothing_there\n")
    broken, second = doctor(job)
    nowhere = tmp_path_factory.mktemp("nowhere")
    outside = Crawl.__new__(Crawl)
    outside.begin(nowhere)
    outside.settings = {}
    plain, third = doctor(outside)

    assert (run.code, second.code, third.code) == (1, 1, 0)
    assert any("RESILIENCE_RETRY_POLICY='x'" in each["what"] for each in wrong)
    assert any("nothing_there" in each["what"] for each in broken)
    assert any(each["what"] == "there is no project here" for each in plain)
    assert "s3cr3t" not in run.out + second.out + run.log + second.log
    assert all(path.name.startswith("log.") for path in nowhere.iterdir())
    assert sys.version.split()[0] in json.dumps(plain)

"""Scrapy's other commands leave a project's job alone; ``scrapy resilience`` shows it."""

from __future__ import annotations

import json
import re
import signal
import sys
from hashlib import sha256
from threading import Event, Thread

import pytest
from crawls import SHOP, TIME_LIMIT, wait_until

from scrapy_resilience.files.lock import FileLock, is_locked

pytestmark = pytest.mark.integration


@pytest.fixture
def job(plain_crawl):
    """A plain crawl of the site."""
    return plain_crawl(SHOP)


def store(job):
    """Every file of the job and what is in it."""
    return {
        path.name: sha256(path.read_bytes()).hexdigest()
        for path in job.job.iterdir()
        if path.suffix != ".db-shm" and path.is_file()
    }


OTHERS = [
    (["fetch", "--nolog", "{url}"], 1),
    (["parse", "--spider=shop", "{url}"], 1),
    (["check", "shop"], 1),
    (["shell", "-c", "print(response.status)", "{url}"], 1),
    (["shell", "-c", "print(1 + 1)"], 0),
    (["list"], 0),
    (["settings", "--get", "BOT_NAME"], 0),
]


def test_other_commands_leave_the_job_alone(job):
    """fetch, parse, check, shell and list run no request of the job and change none."""
    url = job.site.url("h0.test")
    contract = f"""
    def parse(self, response):
        \"\"\"Contract.

        @url {url}
        @returns items 1
        \"\"\"
        yield from super().parse(response)
"""
    job.write("spider.py", SHOP.replace("pass\n", contract))
    job.run_until(commits=2, number=signal.SIGTERM)

    def files():
        return (
            store(job),
            job.path("items.jsonl").read_bytes(),
            job.path("items.csv").read_bytes(),
        )

    before = files()
    for command, requests in OTHERS:
        job.site.reset()
        run = job.run(*(word.format(url=url) for word in command))

        assert (run.code, run.errors) == (0, []), (command, run)
        assert job.site.stats()["total"]["requests"] == requests, command
        assert files() == before, command
    job.finish()
    job.check_items()


EXECUTE = """
import sys
from scrapy.cmdline import execute
execute(["scrapy", *sys.argv[1:]])
"""
DEBUGGER = """
import runpy, scrapy.cmdline
runpy.run_path(scrapy.cmdline.__file__, run_name="__main__")
"""
MANY = """
from scrapy.commands import ScrapyCommand
class Command(ScrapyCommand):
    requires_project = True
    def short_desc(self): return ""
    def run(self, args, opts):
        for name in args:
            self.crawler_process.crawl(name)
        self.crawler_process.start()
"""


@pytest.mark.parametrize(
    "way",
    [("-m", "scrapy.cmdline"), ("debug.py",), ("run.py",)],
    ids=["module", "debugger", "execute"],
)
def test_other_ways_to_run_scrapy(job, way):
    """However Scrapy's command line is begun, exit codes and the job are those of scrapy."""
    job.write("run.py", EXECUTE)
    job.write("debug.py", DEBUGGER)
    scrapy = (sys.executable, *way)

    stopped = job.run_until(*scrapy, "crawl", "shop", commits=2, number=signal.SIGTERM)
    before = store(job)
    shell = job.run(*scrapy, "shell", "-c", "print(1 + 1)", job.site.url("h0.test"))
    after = store(job)
    job.finish(*scrapy, "crawl", "shop")

    assert (stopped.code, stopped.reason, stopped.errors) == (75, "shutdown", [])
    assert (shell.code, shell.out, shell.errors) == (0, "2\nNone\n", [])
    assert before == after
    job.check_items()


def test_a_command_of_the_users_own(job):
    """A command that runs spiders runs their jobs."""
    job.path("own").mkdir()
    job.write("own/__init__.py", "")
    job.write("own/many.py", MANY)
    job.configure(COMMANDS_MODULE="own")

    stopped = job.run_until("many", "shop", commits=2, number=signal.SIGTERM)
    job.finish("many", "shop")

    assert (stopped.code, stopped.reason, stopped.errors) == (75, "shutdown", [])
    job.check_items()


LOOK = """
def at(fetch, url):
    for number in range(9):
        try:
            fetch(f"{url}{number}")
        except Exception as error:  # nothing listens
            print(type(error).__name__)
"""


def test_shell_on_a_domain_that_is_not_asked(job):
    """The log says why there is no response."""
    url = job.site.url("refused.test")
    job.configure(
        RESILIENCE_BREAKER_FAILURE_THRESHOLD=1,
        RESILIENCE_BREAKER_FIRST_TRIAL=0,
        RESILIENCE_BYPASS_TIMEOUT=0.1,
        RETRY_TIMES=0,
    )

    job.write("look.py", LOOK)
    run = job.run("shell", "-c", "__import__('look').at(fetch, url)".replace("url", repr(url)))

    assert "is not asked for: circuit breaker 'refused.test'" in run.log, run


def test_config_where_the_add_on_is_off(job):
    """A second ADDONS in the settings takes it out, and config says so."""
    job.configure(ADDONS={})
    off = job.run("resilience", "config")
    job.configure(ADDONS={"scrapy_resilience.addon.ResilienceAddon": 1})
    on = job.run("resilience", "config")

    assert "the add-on is off" in off.log
    assert (on.code, on.log) == (0, "")


def test_fetch_while_the_job_runs(job):
    """Fetch works while a crawl of the project has the JOBDIR."""
    with job.process() as process:
        wait_until(job.commits)
        run = job.run("fetch", job.site.url("h0.test"))
        assert process.wait(TIME_LIMIT) == 0

    assert run.code == 0, run
    assert "Shelf 0" in run.out
    job.check_items()


def test_runspider(job):
    """Runspider runs, survives kills and resumes as crawl does."""
    job.spawn = True
    job.configure(SPIDER_MODULES=None)

    job.survive("runspider", "spider.py", kills=2, commits=2)

    job.check_items()


def test_jobdir_with_the_spiders_name(job):
    """%(spider)s in JOBDIR becomes the spider's name, also when it comes with -s."""
    job.configure(JOBDIR=None)
    command = ("crawl", "shop", "-s", "JOBDIR=jobs/%(spider)s")

    with job.process(*command) as process:
        wait_until(job.path("jobs/shop/resilience.db").is_file)
        process.kill()
    job.run(*command).check_finished()

    job.check_items()


# scrapy resilience ------------------------------------------------------------


def status(job, *args):
    """What ``scrapy resilience status`` says of the job."""
    run = job.run("resilience", "status", *args, "job", "--json")
    assert run.code == 0, run
    return json.loads(run.out)


def test_status(job):
    """Status shows a job that runs, was killed, was stopped and has finished."""
    with job.process() as process:
        wait_until(lambda: job.commits() >= 2)
        process.send_signal(signal.SIGSTOP)
        running = status(job)
        process.kill()
    killed = status(job)
    job.run_until(commits=1, number=signal.SIGTERM)
    stopped = status(job)
    job.finish()
    finished = status(job)

    states = [report["state"] for report in (running, killed, stopped, finished)]
    assert states == ["running", "killed", "stopped", "finished"]
    assert [report["runs"] for report in (running, killed, stopped, finished)] == [1, 1, 2, 3]
    assert not running["incomplete"]
    assert killed["incomplete"]
    assert stopped["incomplete"]
    assert stopped["reason"] == "shutdown"
    assert finished["reason"] == "finished"
    assert (finished["pending"], finished["items"], finished["done"]) == (0, 240, 120)
    assert not finished["incomplete"]
    assert killed["pending"] > 0
    assert killed["last_checkpoint"] <= stopped["last_checkpoint"]
    wanted = {"state", "pending", "held", "dead_letters", "done", "items", "incomplete"}
    assert wanted | {"last_checkpoint"} <= set(finished)


def test_status_changes_nothing(job):
    """Status leaves the files of a killed job as they are."""
    job.run_until(commits=2)
    before = store(job)

    status(job)

    assert store(job) == before
    job.finish()
    job.check_items()


def test_status_table(job):
    """Status prints a table without --json."""
    job.finish()

    run = job.run("resilience", "status", "job")

    assert run.code == 0
    about, *_ = run.out.split("\n\n")
    lines = dict(line.split(maxsplit=1) for line in about.splitlines())
    assert lines["state"] == "finished"
    assert lines["items"] == "240"


def test_status_of_no_job(job):
    """Status of a folder that is not a job says so in one line, with exit code 1."""
    job.job.mkdir()

    runs = [job.run("resilience", "status", path) for path in ("job", "missing", "spider.py")]

    for run in runs:
        assert (run.code, run.out) == (1, "")
        assert "is not a job" in run.log
        assert len(run.log.splitlines()) == 1
    assert list(job.job.iterdir()) == []


@pytest.mark.parametrize("args", [[], ["status"], ["status", "a", "b"], ["dance"]])
def test_wrong_usage(job, args):
    """Wrong usage ends with exit code 2 and says once what is right."""
    run = job.run("resilience", *args)

    told = run.log + run.out
    assert run.code == 2
    assert told.count("status <jobdir>  ") == 1
    assert ("replay <jobdir>" in told) == ("status" not in args)
    assert "Traceback" not in run.log


def test_help(job):
    """Each way to call it has a line of its own."""
    run = job.run("resilience", "--help")

    assert run.code == 0
    ways = ("status <jobdir>", "feeds <jobdir> relink <feed> <file>", "selectors list")
    for way in ways:
        assert re.search(rf"^ +{way}  +[a-z]", run.out, re.MULTILINE), run.out


def test_config(job):
    """Config shows each setting, its value and where it came from."""
    job.configure(RESILIENCE_CHECKPOINT_INTERVAL=7)
    env = {"RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": "3"}

    table = job.run("resilience", "config", env=env)
    run = job.run("resilience", "config", "--json", env=env)

    assert (table.code, run.code) == (0, 0), (table, run)
    rows = {row["name"]: row for row in json.loads(run.out)}
    interval = rows["RESILIENCE_CHECKPOINT_INTERVAL"]
    assert (interval["value"], interval["origin"]) == (7.0, "project")
    assert rows["RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT"]["origin"] == "environment"
    assert rows["RESILIENCE_ENABLED"]["origin"] == "default"
    assert all(row["meaning"] for row in rows.values())
    for name in rows:
        assert name in table.out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESILIENCE_CHECKPOINT_INTERVAL", "often"),
        ("RESILIENCE_INJECT", [{"status": "often"}]),
    ],
)
def test_config_that_is_wrong(job, name, value):
    """Config with a wrong value says which, with exit code 1."""
    job.configure(**{name: value})

    run = job.run("resilience", "config")

    assert run.code == 1
    assert name in run.log
    assert "Traceback" not in run.log


def test_looking_does_not_disturb(tmp_path):
    """A look at a job's lock never makes the process that takes it fail."""
    path = tmp_path / "resilience.lock"
    path.touch()
    over = Event()

    def look():
        while not over.is_set():
            is_locked(path)

    threads = [Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            lock = FileLock(path)
            lock.acquire()
            lock.release()
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_files_for_operators(job):
    """They are written into a new folder, and not twice without being asked."""
    run = job.run("resilience", "operations", "deploy")
    assert run.code == 0, run
    assert "deploy/alerts.yml" in run.out
    (job.folder / "deploy" / "alerts.yml").write_text("mine")

    again = job.run("resilience", "operations", "deploy")
    assert again.code == 1
    assert again.log.count("\n") == 1
    assert "has prometheus.yml, alerts.yml" in again.log
    assert (job.folder / "deploy" / "alerts.yml").read_text() == "mine"
    rows = json.loads(job.run("resilience", "operations", "deploy", "--force", "--json").out)
    assert [row["file"] for row in rows][1] == "deploy/alerts.yml"
    assert (job.folder / "deploy" / "alerts.yml").read_text() != "mine"
    assert job.run("resilience", "operations").code == 2

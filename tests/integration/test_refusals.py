"""A job that can't be run is refused in one line, before any feed exists or changes."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections import Counter
from hashlib import sha256

import pytest
from crawls import SHOP, TIME_LIMIT, Crawl, wait_until

from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs.watermark import open_current

pytestmark = pytest.mark.integration


@pytest.fixture
def job(plain_crawl):
    """A plain crawl of the site."""
    return plain_crawl(SHOP)


def run_once(folder, site, number=signal.SIGKILL):
    """A plain crawl that a signal has ended, kept."""
    site.reset()
    job = Crawl(folder / "job", SHOP, site)
    job.run_until(commits=2, number=number)
    assert job.state()["items"]
    return job.keep()


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory, plain_process):
    """A plain crawl that was killed."""
    return run_once(tmp_path_factory.mktemp("killed"), plain_process)


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory, plain_process):
    """A plain crawl that was stopped."""
    return run_once(tmp_path_factory.mktemp("stopped"), plain_process, signal.SIGTERM)


@pytest.fixture
def killed(killed_once):
    """The killed crawl, as it was left."""
    return killed_once.restore()


@pytest.fixture
def stopped(stopped_once):
    """The stopped crawl, as it was left."""
    return stopped_once.restore()


def tree(folder):
    """Every file and what is in it, but logs and locks."""
    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not re.search(r"log\.\d|__pycache__|\.lock$|-shm$|-wal$|settings.py", str(path))
    }


def content(path):
    """What a file holds: SQLite may move a database's last pages from one file to another."""
    if path.suffix == ".db":
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            return sha256("".join(connection.iterdump()).encode()).hexdigest()
        except sqlite3.DatabaseError:
            pass
        finally:
            connection.close()
    return sha256(path.read_bytes()).hexdigest()


def refused(job, *words, command=()):
    """The next run is refused, and changes no file."""
    before = tree(job.folder)
    requests = job.site.stats()["total"]["requests"]
    run = job.run(*command)
    run.check_refused(*words)
    assert tree(job.folder) == before
    assert job.site.stats()["total"]["requests"] == requests
    return run


def test_a_job_that_runs(job):
    """A second process on a JOBDIR is refused, names the first one, and does no harm."""
    with job.process() as first:
        wait_until(job.commits)
        first.send_signal(signal.SIGSTOP)
        second = job.run()
        first.send_signal(signal.SIGCONT)
        second.check_refused(first.pid, "job")
        assert first.wait(TIME_LIMIT) == 0

    job.check_items()


@pytest.mark.parametrize("name", ["crawl", "runspider"])
def test_a_finished_job(job, name):
    """A finished job is not run again, by neither command."""
    job.finish()

    refused(job, "has finished", command=(name, "shop" if name == "crawl" else "spider.py"))


def test_another_spiders_job(killed):
    """A JOBDIR of another spider is refused by its name."""
    killed.write("spider.py", SHOP + "class Other(Base):\n    name = 'other'\n")

    refused(killed, "'shop'", "'other'", command=("crawl", "other"))


def cut(path):
    """Take bytes away."""
    path.write_bytes(path.read_bytes()[:-5])


def grow(path):
    """Add bytes that are not ours."""
    with path.open("ab") as file:
        file.write(b"mine\n")


def replace(path):
    """Write other bytes, as many as before."""
    path.write_bytes(bytes(path.stat().st_size))


def remove(path):
    """Take the file away."""
    path.unlink()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (cut, "items.csv"),
        (grow, "items.jsonl"),
        (grow, "items.csv"),
        (replace, "items.jsonl"),
        (remove, "items.csv"),
    ],
)
def test_a_feed_that_changed_after_a_stop(stopped, change, name):
    """After a clean stop a feed must be there as it was left, byte for byte."""
    change(stopped.path(name))

    refused(stopped, stopped.path(name))


@pytest.mark.parametrize("change", [replace, remove])
def test_a_feed_that_changed_after_a_kill(killed, change):
    """After a kill a feed that is gone or another file is named, and none is cut."""
    change(killed.path("items.jsonl"))

    refused(killed, killed.path("items.jsonl"))


def test_a_feed_that_was_copied_back(stopped):
    """A feed that was moved away and put back as it was is continued."""
    path = stopped.path("items.jsonl")
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)

    stopped.finish()

    stopped.check_items()


def test_a_feed_that_is_shorter_after_a_kill(killed):
    """A feed shorter than its committed length is named, and not filled up."""
    path = killed.path("items.csv")
    path.write_bytes(path.read_bytes()[:20])

    refused(killed, path)


def test_what_is_cut_is_kept(killed):
    """What a resume cuts off a feed is in the JOBDIR, and comes again."""
    with killed.path("items.jsonl").open("ab") as file:
        file.write(b'{"sku": "never committed"')

    killed.finish()

    killed.check_items()
    kept = [path.read_bytes() for path in (killed.job / "cut").iterdir()]
    assert any(tail.endswith(b'{"sku": "never committed"') for tail in kept)


OTHER = """
    def parse(self, response):
        yield from self.links(response, callback=self.other)
    def other(self, response):
        yield from self.parse(response)
"""


def stock_job(job):
    """Make the JOBDIR one of Scrapy's own scheduler that was stopped."""
    job.configure(RESILIENCE_ENABLED=False, FEEDS={}, CLOSESPIDER_PAGECOUNT=20)
    assert job.run().reason == "closespider_pagecount"
    job.configure(RESILIENCE_ENABLED=None, CLOSESPIDER_PAGECOUNT=None, FEEDS={"a.csv": {}})


def test_a_job_of_stock_scrapy_that_was_killed(job):
    """A JOBDIR that Scrapy's own scheduler did not close is refused, and stays as it is."""
    stock_job(job)
    (job.job / "requests.queue" / "active.json").unlink()

    refused(job, "did not close in order", "active.json")


def test_a_job_of_stock_scrapy_without_pickle(job):
    """Pickles are not imported where they are not allowed."""
    stock_job(job)
    job.configure(RESILIENCE_ALLOW_PICKLE=False)

    refused(job, "RESILIENCE_ALLOW_PICKLE")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_job_of_stock_scrapy_that_others_can_write(job):
    """Pickles that other users may have written are not imported."""
    stock_job(job)
    (job.job / "requests.seen").chmod(0o664)

    refused(job, "requests.seen", "chmod -R go-w")


def test_a_job_of_stock_scrapy_with_a_method_that_is_gone(job):
    """A pending request that today's code can't run is named before the job begins."""
    source = job.path("spider.py").read_text()
    job.write("spider.py", source.replace("pass", OTHER))
    stock_job(job)
    job.write("spider.py", source)

    refused(job, "other")


def test_a_job_of_stock_scrapy_beside_ours(stopped):
    """Where both schedulers have left a job, neither is guessed to be the right one."""
    stock_job(stopped)

    refused(stopped, "beside the one")


def test_two_jobs_on_one_feed(job, tmp_path):
    """A second job on the same output file is refused while the first one writes it."""
    with job.process() as first:
        wait_until(job.commits)
        other = Crawl(tmp_path, SHOP, job.site, JOBDIR="other")
        other.runs = 10
        first.send_signal(signal.SIGSTOP)
        run = other.run()
        first.send_signal(signal.SIGCONT)
        assert first.wait(TIME_LIMIT) == 0

    run.check_refused("items.")
    job.check_items()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESILIENCE_CHECKPOINT_INTERVAL", "often"),
        ("RESILIENCE_CHECKPOINT_INTERVAL", -1),
        ("RESILIENCE_CHECKPIONT_INTERVAL", 1),
        ("RESILIENCE_PROFILE", "prod"),
        ("RESILIENCE_CONFIG_FILE", "missing.toml"),
        ("DUPEFILTER_CLASS", "spider.Mine"),
        ("SCHEDULER_PRIORITY_QUEUE", "scrapy.pqueues.ScrapyPriorityQueue"),
        ("SCHEDULER_DISK_QUEUE", "spider.Mine"),
    ],
)
def test_wrong_settings(plain_crawl, name, value):
    """A setting that is wrong, misspelled or can't be honoured is named."""
    job = plain_crawl(SHOP + "class Mine: pass\n", **{name: value})

    run = refused(job, name)

    assert "Wrong configuration" in run.errors[0]
    assert not job.job.exists() or not list(job.job.iterdir())


@pytest.mark.parametrize("name", ["RESILIENCE_CHECKPOINT_INTERVAL", "SCHEDULER_PRIORITY_QUEUE"])
def test_wrong_settings_without_jobdir(plain_crawl, name):
    """Without a JOBDIR a wrong setting is refused in the same way."""
    refused(plain_crawl(SHOP, JOBDIR=None, **{name: "wrong"}), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESILIENCE_NOTIFY", ["nowhere://at.all"]),
        ("RESILIENCE_MEMORY_LIMIT_MB", 10),
    ],
)
@pytest.mark.parametrize("scheduler", [None, "scrapy.core.scheduler.Scheduler"])
def test_wrong_values_without_a_job(plain_crawl, name, value, scheduler):
    """What can only be checked once all is imported is so with any scheduler."""
    settings = {} if scheduler is None else {"SCHEDULER": scheduler}

    refused(plain_crawl(SHOP, JOBDIR=None, **{name: value}, **settings), name)


def foreign(path):
    """An SQLite file of somebody else."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.commit()
    connection.close()


def newer(path):
    """Make the store look like one of a later version."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()


def test_a_foreign_database(job):
    """An SQLite file of somebody else is refused and stays as it is."""
    job.job.mkdir()
    foreign(job.job / "resilience.db")
    (job.job / "resilience.db").chmod(0o600)

    refused(job, "resilience.db")


def test_garbage_in_place_of_the_database(job):
    """A file that is not a database is refused and stays as it is."""
    job.job.mkdir()
    (job.job / "resilience.db").write_bytes(b"no database" * 1000)
    (job.job / "resilience.db").chmod(0o600)

    refused(job, "resilience.db")


def test_a_newer_schema(stopped):
    """A job of another version is refused, with both versions."""
    newer(stopped.job / "resilience.db")

    refused(stopped, "schema 99")


@pytest.mark.parametrize("name", ["coverage", "gates/a"])
def test_a_value_of_the_store_that_its_owner_can_not_read(stopped, name):
    """Of an extension, which is made before the engine, and of the scheduler."""
    values = ValueCodec()
    store = open_current(stopped.path("job"), read_only=False)
    store.commit(Changes(state={f"resilience.{name}": values.encode(["a", 5])}))
    store.close()

    refused(stopped, f"resilience.{name.partition('/')[0]} is damaged", "restore")


def test_an_empty_database(job):
    """An empty resilience.db is none of ours: it is made whole or not at all."""
    job.job.mkdir()
    (job.job / "resilience.db").touch(0o600)

    refused(job, "resilience.db")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_database_that_others_can_write(stopped):
    """A store that other users may have changed is not read: it may hold pickles."""
    (stopped.job / "resilience.db").chmod(0o666)

    refused(stopped, "chmod")


def test_a_file_in_place_of_the_folder(job):
    """A JOBDIR that is a file is refused."""
    job.job.write_text("mine")

    refused(job, "job")


def test_a_method_that_is_gone(plain_crawl):
    """Requests of a callback that the code no longer has stay in the job, named, not lost."""
    job = plain_crawl(
        """
        from shop import Base
        class Shop(Base):
            def parse(self, response):
                yield from self.products(response)
                yield from self.links(response, callback=self.other)
            def other(self, response):
                yield from self.parse(response)
        """
    )
    job.run_until(commits=2)
    source = job.path("spider.py").read_text()
    job.write("spider.py", source.replace("other", "another"))
    run = job.run()
    job.write("spider.py", source)

    assert "'other' is not a method" in run.log
    assert run.code != 0 or run.reason != "finished", "it says that nothing is left"
    job.finish()
    job.check_items()


# --- a second night -----------------------------------------------------------------------


def test_a_finished_job_begins_anew(job):
    """The second night: the same command gives all items again, the old job stays beside."""
    job.configure(RESILIENCE_FINISHED_JOB="anew", RESILIENCE_FINISHED_JOBS_KEPT=1)
    for _ in range(3):
        job.run().check_finished()

    once = Counter(item["sku"] for item in job.items())
    assert set(once.values()) == {3}
    assert len(list(job.folder.glob("job.*Z*"))) == 1


def test_a_finished_job_stays_where_a_setting_is_wrong(job):
    """Nothing is put aside for a crawl that can't begin; modules of the user's come in time.

    One that imports the reactor at its top may be imported when Scrapy has installed it.
    """
    job.finish()
    job.write("mine.py", "from twisted.internet import reactor\ndef known(item): return 1\n")
    job.configure(RESILIENCE_FINISHED_JOB="anew", RESILIENCE_UNIQUE="mine.known")
    job.configure(RESILIENCE_INJECT=[{"status": "often"}])

    refused(job, "RESILIENCE_INJECT[0]")
    job.configure(RESILIENCE_INJECT=None)
    job.run().check_finished()


@pytest.mark.parametrize(("overwrite", "ours"), [(False, True), (True, True), (True, False)])
def test_a_finished_job_is_skipped(job, overwrite, ours):
    """Exit code 0, one line, and nothing is opened or asked for, and no feed touched."""
    forms = {"jsonl": "jsonlines", "csv": "csv", "json": "json", "xml": "xml"}
    feeds = {f"items.{end}": {"format": form} for end, form in forms.items()}
    job.configure(FEEDS={uri: {**feed, "overwrite": overwrite} for uri, feed in feeds.items()})
    job.finish()
    job.configure(RESILIENCE_FINISHED_JOB="skip", RESILIENCE_FEEDS_ENABLED=ours)
    before = tree(job.folder)

    run = job.run()

    assert (run.code, run.reason, run.errors) == (0, "resilience_skipped", [])
    assert "job has finished" in run.log
    assert "downloader/request_count" not in run.stats
    assert tree(job.folder) == before


def test_a_job_that_was_killed_is_not_skipped(killed):
    """What has not finished goes on."""
    killed.configure(RESILIENCE_FINISHED_JOB="skip")

    killed.finish()

    killed.check_items()


def test_other_spider_arguments(job):
    """They are part of the job: both values are named; a setting accepts new ones."""
    job.run_until("crawl", "shop", "-a", "site=h0", "-a", "_job=1", commits=1)

    refused(
        job, "'h0'", "'h1'", "CHANGED_ARGUMENTS", command=("crawl", "shop", "-a", "site=h1")
    )
    refused(job, "site was 'h0', now not given", command=("crawl", "shop"))
    accept = ("-s", "RESILIENCE_CHANGED_ARGUMENTS=accept")
    job.run_until("crawl", "shop", "-a", "site=h1", "-a", "_job=2", *accept, commits=1)
    job.finish("crawl", "shop", "-a", "site=h1", "-a", "_job=3")
    job.check_items()


def test_a_feed_that_can_not_work(job):
    """All feeds would be disabled, and the job would finish without a file."""
    job.configure(
        FEEDS={"items.jsonl": {"format": "jsonlines"}, "nope://x": {"format": "json"}}
    )

    run = job.run()

    assert run.code == 1, run
    assert "Wrong configuration: The feed nope://x can't be stored" in run.errors[-1]
    assert "Traceback" not in run.log
    assert not job.path("items.jsonl").exists()


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_what_a_job_writes_is_the_users_alone(killed):
    """Whatever it leaves in the JOBDIR, while it runs, after a kill and at the end."""
    with killed.path("items.jsonl").open("ab") as file:
        file.write(b"never committed")

    for _ in range(2):
        files = [path for path in killed.job.rglob("*") if path.is_file()]
        assert [path for path in files if path.stat().st_mode & 0o077] == []
        assert killed.job.stat().st_mode & 0o777 == 0o700
        if not killed.state()["finished"]:
            killed.finish()
    assert any((killed.job / "cut").iterdir())

"""What the doctor makes of facts: the facts are arguments, the machine is not asked."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Thread

import pytest
from packaging.requirements import Requirement
from ports import free_port
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.extensions.feedexport import FTPFeedStorage
from scrapy.settings import Settings

from scrapy_resilience.core.findings import has_problem
from scrapy_resilience.core.readings import Disk
from scrapy_resilience.doctor.browser import check_browser, judge_browser
from scrapy_resilience.doctor.clashes import judge_settings
from scrapy_resilience.doctor.clock import (
    check_clock,
    judge_clock,
    judge_last_commit,
    judge_zone,
)
from scrapy_resilience.doctor.examination import examination
from scrapy_resilience.doctor.jobs import check_job, meta_of
from scrapy_resilience.doctor.libraries import judge_libraries, uses_playwright, wanted_extras
from scrapy_resilience.doctor.limits import check_open_files, judge_open_files
from scrapy_resilience.doctor.places import (
    check_disks,
    check_feeds,
    check_files,
    check_jobdir_place,
    judge_disk,
    judge_file_system,
    unwritable,
)
from scrapy_resilience.doctor.remote_feeds import WAYS, judge_remote, storage_class
from scrapy_resilience.doctor.seen import check_seen_store
from scrapy_resilience.doctor.selector_sets import check_selectors
from scrapy_resilience.doctor.services import (
    check_endpoint,
    check_redis,
    check_services,
    check_snapshots,
    check_sql,
    unreachable,
)
from scrapy_resilience.doctor.versions import (
    check_versions,
    judge_known,
    judge_python,
    judge_requirements,
    requirements,
)
from scrapy_resilience.downloadermiddlewares.cookies import DurableCookiesMiddleware
from scrapy_resilience.downloadermiddlewares.retry import ClassifiedRetryMiddleware
from scrapy_resilience.dryrun.checks import Subject
from scrapy_resilience.exceptions import CheckpointError, ConfigurationError
from scrapy_resilience.files.feed_places import fixed_part, local_path
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.frontier.store import Changes
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.watermark import open_current
from scrapy_resilience.seen.store import SeenStore
from scrapy_resilience.settings import Config

MB = 1 << 20


def subject(spider="", **settings):
    """What is examined."""
    found = Settings(settings)
    return Subject(found, Config.from_settings(found), spider)


def levels(found):
    """How bad each is."""
    return [each.level for each in found]


# --- versions and libraries ---


def test_versions_of_this_environment():
    """Tests run where all is as it should be."""
    (found,) = check_versions()

    assert found.level == "ok"
    assert "scrapy 2." in found.what


def test_versions():
    """What is missing or too old is a problem, with the command that helps."""
    needed = [
        Requirement("msgpack>=1.0.5"),
        Requirement("regex>=2022.1"),
        Requirement("zstd>=1"),
    ]
    versions = {"msgpack": "0.6", "regex": "2024.1"}
    old, missing = judge_requirements(needed, versions.get)

    assert old.what == "msgpack 0.6 is installed, and >=1.0.5 is needed"
    assert missing.what == "zstd is not installed"
    assert missing.advice == 'run pip install --upgrade "scrapy-resilience"'
    assert levels(judge_python((3, 9))) == ["warning"]
    assert levels(judge_python((3, 14))) == []
    assert levels(judge_known({"scrapy-deltafetch": "2.1.0"}.get)) == ["warning"]
    assert levels(judge_known({"scrapy-deltafetch": "2.2"}.get)) == []


def test_requirements_of_extras():
    """They are those of the package itself: no list to keep up to date."""
    assert "msgpack" in {each.name for each in requirements()}
    assert {each.name.lower() for each in requirements("sql")} == {"sqlalchemy"}
    assert requirements("nothing") == []


def test_wanted_extras():
    """Each has the setting because of which it is wanted."""
    handlers = {"https": "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"}
    settings = Settings(
        {
            "DOWNLOAD_HANDLERS": handlers,
            "RESILIENCE_SNAPSHOT_DIR": "s3://bucket/x",
            "RESILIENCE_TRACES": "otlp",
            "RESILIENCE_NOTIFY": ["tgram://x/y"],
            "RESILIENCE_CACHE_URL": "redis://127.0.0.1:1/0",
            "RESILIENCE_NORMALIZE": {"price": "price"},
            "RESILIENCE_UVLOOP_ENABLED": False,
        }
    )
    found = wanted_extras(settings, Config.from_settings(settings), has_terminal=False)

    assert found == {
        "fsspec": "RESILIENCE_SNAPSHOT_DIR",
        "otel": "RESILIENCE_TRACES",
        "notify": "RESILIENCE_NOTIFY",
        "playwright": "DOWNLOAD_HANDLERS",
        "quality": "RESILIENCE_NORMALIZE",
        "redis": "RESILIENCE_CACHE_URL",
    }
    plain = Settings({"RESILIENCE_UVLOOP_ENABLED": False})
    assert wanted_extras(plain, Config.from_settings(plain), has_terminal=False) == {}
    assert not uses_playwright(plain)


def test_libraries():
    """One that a setting can't do without is a problem, any other a note."""
    wanted = {"fsspec": "RESILIENCE_SNAPSHOT_DIR", "speed": "RESILIENCE_UVLOOP_ENABLED"}
    first, second = judge_libraries(wanted, lambda _: None)

    assert (first.level, second.level) == ("problem", "note")
    assert "RESILIENCE_SNAPSHOT_DIR" in first.what
    assert first.advice == 'run pip install --upgrade "scrapy-resilience[fsspec]"'
    assert "slower" in second.what
    assert levels(judge_libraries({}, lambda _: None)) == ["ok"]


# --- settings ---


CLASHES = [
    ({"CONCURRENT_REQUESTS": 4}, "note", "PER_DOMAIN=8 is never reached"),
    ({"CONCURRENT_REQUESTS": 200}, "note", "10 threads look up"),
    ({"AUTOTHROTTLE_ENABLED": True}, "note", "begins with 5 s"),
    ({"RESILIENCE_CRAWL_DELAY_MAX": 9}, "note", "robots.txt is not read"),
    ({"HTTPCACHE_ENABLED": True}, "warning", "408, 429, 500"),
    ({"LOG_FILE": "x", "LOG_FILE_APPEND": False, "JOBDIR": "j"}, "warning", "empties the log"),
    ({"LOG_FILE": "x", "RESILIENCE_LOG_DIR": "logs"}, "note", "both write the log"),
    ({"MEMUSAGE_LIMIT_MB": 1000}, "warning", "RESILIENCE_MEMORY_LIMIT_MB=2048"),
    (
        {"RESILIENCE_HTTP_HOST": "10.1.2.3", "RESILIENCE_HTTP_INSECURE": True},
        "warning",
        "shows",
    ),
    ({"RESILIENCE_HTTP_TOKEN": "s3cr3t-s3cr3t-s3cr3t"}, "note", "RESILIENCE_HTTP_TOKEN is"),
    (
        {"DOWNLOADER_MIDDLEWARES": {ClassifiedRetryMiddleware: 550}},
        "problem",
        "RetryMiddleware tries requests again beside",
    ),
    (
        {
            "DOWNLOADER_MIDDLEWARES": {
                DurableCookiesMiddleware: 700,
                CookiesMiddleware: None,
                type("Mine", (CookiesMiddleware,), {}): 701,
            }
        },
        "warning",
        "Mine has a jar of cookies",
    ),
    (
        {
            "DOWNLOADER_MIDDLEWARES": {
                type("Mine", (), {"__module__": "rotating_proxies.middlewares"}): 610
            },
        },
        "note",
        "tries a page 5 times more",
    ),
    (
        {
            "DOWNLOAD_HANDLERS": {"https": "scrapy_playwright.handler.X"},
            "PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT": 200_000,
        },
        "note",
        "200 s",
    ),
]


@pytest.mark.parametrize(("settings", "level", "word"), CLASHES)
def test_clashes(settings, level, word):
    """Each is one finding, which names what to change and shows no secret."""
    found = Settings()
    found.update(settings, priority="project")
    (clash,) = judge_settings(found, Config.from_settings(found))

    assert (clash.level, word in clash.what) == (level, True), clash
    assert clash.advice
    assert "s3cr3t" not in "".join(clash)


FINE = [
    {},
    {"CONCURRENT_REQUESTS": 0},
    {"CONCURRENT_REQUESTS": 200, "REACTOR_THREADPOOL_MAXSIZE": 20},
    {"AUTOTHROTTLE_ENABLED": True, "RESILIENCE_ADAPTIVE_RATE": False},
    {"RESILIENCE_CRAWL_DELAY_MAX": 9, "ROBOTSTXT_OBEY": True},
    {
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_POLICY": "scrapy.extensions.httpcache.RFC2616Policy",
    },
    {"LOG_FILE": "x", "JOBDIR": "j"},
    {"MEMUSAGE_LIMIT_MB": 4000},
    {"RESILIENCE_HTTP_INSECURE": True},
    {
        "DOWNLOADER_MIDDLEWARES": {
            ClassifiedRetryMiddleware: 550,
            RetryMiddleware: None,
            type("Mine", (ClassifiedRetryMiddleware,), {}): None,
        }
    },
]


@pytest.mark.parametrize("settings", FINE)
def test_no_clash(settings):
    """Nothing is said of what is as it should be."""
    found = Settings(settings)
    assert [*judge_settings(found, Config.from_settings(found))] == []


def test_a_feed_that_is_there_already(tmp_path):
    """Two JSON documents in a file are none; lines are."""
    path = tmp_path / "x.json"
    path.write_text("[]")

    def clashes(name=path, **options):
        settings = Settings({"FEEDS": {str(name): {"format": "json", **options}}})
        return [*judge_settings(settings, Config.from_settings(settings))]

    assert levels(clashes()) == ["warning"]
    assert levels(clashes(path.as_uri())) == ["warning"]
    assert clashes(overwrite=True) == []
    assert clashes(format="jsonlines") == []
    assert clashes(tmp_path / "other.json") == []
    assert clashes("s3://bucket/x.json") == []


# --- places ---


def test_where_files_can_be_written(tmp_path):
    """Folders on the way may be missing; a file in their place, or the file's, is told."""
    (tmp_path / "file").write_text("x")

    assert unwritable(tmp_path / "a" / "b" / "c") == ""
    assert unwritable(tmp_path / "file") == ""
    assert "is a folder" in unwritable(tmp_path)
    assert "is not a folder" in unwritable(tmp_path / "file" / "x")
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everything")
def test_where_files_can_not_be_written(tmp_path):
    """By their rights."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0o400)
    tmp_path.chmod(0o500)

    assert "can't be written" in unwritable(tmp_path / "file")
    assert "no file can be made" in unwritable(tmp_path / "other")
    tmp_path.chmod(0o700)


def test_the_part_of_a_path_that_is_fixed():
    """The folders before the first field."""
    assert str(fixed_part("a/b")) == "a/b"
    assert str(fixed_part("a/%(spider)s/c")) == "a"
    assert str(fixed_part("/%(name)s.json")) == "/"
    assert str(fixed_part("%(name)s.json")) == "."


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("items/%(name)s.jsonl", "items/%(name)s.jsonl"),
        ("file:///data/a%20b.json", "/data/a b.json"),
        (r"c:\items.json", r"c:\items.json"),
        ("s3://bucket/items.json", None),
        ("stdout:", None),
        ("-", None),
        ("", None),
    ],
)
def test_feeds_on_a_disk(uri, path):
    """Others have none."""
    assert local_path(uri) == path


def test_feeds(tmp_path, monkeypatch):
    """Local ones are asked about, others named without secrets, libraries looked for."""
    (tmp_path / "file").write_text("x")
    uris = [
        f"{tmp_path}/new/%(name)s.json",
        f"file://{tmp_path}/file/x.json",
        "stdout:",
        "-",
        "mine://me:pa55word@host/x.json",
        "gs://bucket/x.json",
    ]
    monkeypatch.setattr("scrapy_resilience.doctor.places.find_spec", lambda _: None)
    found = [*check_feeds(subject(FEEDS={uri: {"format": "json"} for uri in uris}))]

    assert levels(found) == ["ok", "problem", "note", "problem"]
    assert "pa55word" not in str(found)
    assert found[-1].advice == "run pip install google-cloud-storage"


def test_remote_feeds():
    """A place that lets us in, one that does not, one that may not be looked at."""
    settings = Settings()
    said = {
        "ok": None,
        "bad": OSError("nothing at me:pa55word@host"),
        "403": OSError("403 Forbidden"),
    }
    asked = []

    def way(storage):
        asked.append((storage.host, storage.username, storage.password))
        if (error := said[storage.host]) is not None:
            raise error

    good, bad, closed = (
        judge_remote(f"ftp://me:pa55word@{host}/x.json", "ftp", settings, {FTPFeedStorage: way})
        for host in said
    )
    assert asked[0] == ("ok", "me", "pa55word")
    assert (good.level, bad.level, closed.level) == ("ok", "problem", "note")
    assert "pa55word" not in f"{good}{bad}{closed}"
    assert storage_class(settings, "mine") is None
    port = free_port()
    refused = judge_remote(f"ftp://me@127.0.0.1:{port}/x", "ftp", settings, WAYS)
    assert "refused" in refused.what


def test_snapshots(tmp_path):
    """What is wrong with their place is told, and it is not made."""
    place = tmp_path / "snapshots"
    good = check_snapshots(subject(JOBDIR="job", RESILIENCE_SNAPSHOT_DIR=str(place)))
    away = check_snapshots(subject(JOBDIR="job", RESILIENCE_SNAPSHOT_DIR="ftp://127.0.0.1:1/x"))

    assert levels(good) == ["ok"]
    assert levels(away) == ["warning"]
    assert levels(check_snapshots(subject())) == []
    assert not place.exists()


def test_redis():
    """One that is not there is told, without its password: a crawl goes on without it."""
    url = f"redis://me:pa55word@127.0.0.1:{free_port()}/0"
    (found,) = check_redis(subject(RESILIENCE_HTTPCACHE_REDIS_URL=url))

    assert found.level == "warning"
    assert "pa55word" not in str(found)
    for wrong in ("redis://:pa55word/x@h", "redis://:/pa55word@h", "redis://u:1/pa55word@h"):
        (found,) = check_redis(subject(RESILIENCE_HTTPCACHE_REDIS_URL=wrong))
        assert found.what.startswith("Redis *** can't be used: it is no URL (in a password ")
        assert "pa55word" not in str(found)
    assert "pa55word" not in unreachable("http://me:pa55word/x@h")
    assert levels(check_redis(subject())) == []


@contextmanager
def redis_that_says(answer):
    """Its URL, and what it was asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = []

        def serve():
            with suppress(OSError):  # the test is over
                while True:
                    found, _ = server.accept()
                    with found:
                        while got := found.recv(10_000):
                            asked.append(got)
                            found.sendall(answer * got.count(b"*"))

        Thread(target=serve, daemon=True).start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0", asked


@pytest.mark.parametrize("field", ["CACHE_URL", "HTTPCACHE_REDIS_URL"])
def test_a_redis_that_is_there(field):
    """Each setting is looked at, as old servers understand it."""
    pytest.importorskip("redis")
    with redis_that_says(b"+PONG\r\n") as (url, asked):
        found = [*check_redis(subject(**{f"RESILIENCE_{field}": url}))]

    assert levels(found) == ["ok"], found
    assert asked
    assert b"HELLO" not in b"".join(asked)


def test_a_redis_that_refuses_the_cache():
    """A crawl would be refused, too; the cache of pages goes on without it."""
    pytest.importorskip("redis")
    with redis_that_says(b"-NOAUTH Authentication required.\r\n") as (url, _):
        (cache,) = check_redis(subject(RESILIENCE_CACHE_URL=url))
        (pages,) = check_redis(subject(RESILIENCE_HTTPCACHE_REDIS_URL=url))

    assert (cache.level, pages.level) == ("problem", "warning")
    assert "RESILIENCE_CACHE_URL" in cache.what


def test_a_store_of_seen_pages(tmp_path):
    """It is looked at in a copy, and must be one, beside the job, where files can be made."""
    job = str(tmp_path / "job")

    def found(path):
        said = check_seen_store(subject("shop", RESILIENCE_SEEN_STORE=str(path), JOBDIR=job))
        return [(each.level, each.what) for each in said]

    path = tmp_path / "seen"
    assert found(path)[0][1].endswith("can be made")
    assert [*tmp_path.iterdir()] == []
    store = SeenStore(path)
    before = {each: each.stat().st_mtime_ns for each in tmp_path.iterdir()}
    assert [level for level, _ in found(path)] == ["ok"]
    assert {each: each.stat().st_mtime_ns for each in tmp_path.iterdir()} == before
    store.close()
    (tmp_path / "other").write_text("no database, but some text" * 100)
    for wrong, word in (("other", "damaged"), ("job/seen", "JOBDIR"), ("other/x", "a folder")):
        ((level, what),) = found(tmp_path / wrong)
        assert (level, word in what) == ("problem", True), what
        assert "resilience-" not in what
    assert found("") == []
    assert [*check_seen_store(subject(RESILIENCE_SEEN_STORE="%(spider)s.seen"))] == []


def test_the_database(tmp_path):
    """One without its table is a problem, and nothing is made."""
    sink = {
        "RESILIENCE_SQL_URL": f"sqlite:///{tmp_path}/rows.sqlite",
        "SCHEDULER": "scrapy_resilience.scheduler.ResilientScheduler",
    }
    with pytest.raises(ConfigurationError, match="there is no file"):
        [*check_sql(subject(**sink))]
    assert levels(check_sql(subject(**sink, RESILIENCE_SQL_CREATE=True))) == ["ok"]
    assert levels(check_sql(subject())) == []
    assert [*tmp_path.iterdir()] == []


def test_other_files(tmp_path):
    """The report, the textfile and logs."""
    (tmp_path / "file").write_text("x")
    found = check_files(
        subject(
            LOG_FILE=str(tmp_path / "log"),
            RESILIENCE_REPORT=str(tmp_path / "file" / "report.html"),
            RESILIENCE_LOG_DIR=str(tmp_path / "logs"),
        )
    )
    by_name = {each.about: each.level for each in found}

    assert by_name == {"report": "problem", "logs": "ok", "log": "ok"}


def test_the_folder_of_jobs(tmp_path):
    """It may be missing; a file in its place is told."""
    (tmp_path / "file").write_text("x")
    good = check_jobdir_place(subject(JOBDIR=f"{tmp_path}/jobs/%(spider)s"))
    bad = check_jobdir_place(subject(JOBDIR=f"{tmp_path}/file"))
    below = check_jobdir_place(subject(JOBDIR=f"{tmp_path}/file/job"))

    assert not has_problem(good)
    assert levels(bad) == levels(below) == ["problem"]
    assert [*check_jobdir_place(subject())] == []


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", "ok"),
        ("", "ok"),
        ("nfs4", "warning"),
        ("tmpfs", "warning"),
        ("overlay", "note"),
    ],
)
def test_file_systems(kind, level):
    """By their type, where it is known."""
    assert levels(judge_file_system("job", kind)) == [level]


@pytest.mark.parametrize(
    ("free", "files", "level"),
    [
        (9_000, None, "ok"),
        (9_000, 10**6, "ok"),
        (9_000, 50, "warning"),
        (100, 10**6, "problem"),
    ],
)
def test_disks(free, files, level):
    """As the watchdog would pause, and by the number of files."""
    found = judge_disk("job", Disk("/x", free * MB, 100_000 * MB), 500, files)
    assert found.level == level
    assert judge_disk("job", Disk("/x", MB, 100 * MB), 0, None).level == "ok"


def test_disks_of_this_machine():
    """Whatever they are, they are told."""
    assert [*check_disks(subject(JOBDIR="jobs/%(spider)s"))]


# --- a job that is there ---


def make_job(path, **about):
    """A store with one commit."""
    path.mkdir()
    meta = JobMeta(spider="shop", created=1.0, runs=1, commits=1, pending=3, **about)
    changes = Changes()
    changes.state = {"resilience.job": meta.encode()}
    store = open_current(path)
    store.commit(changes)
    return store


def test_a_job_is_looked_at_and_left(tmp_path):
    """Also one that was killed: not even SQLite's files beside it change."""
    path = tmp_path / "job"
    store = make_job(path)  # open: all is in its log
    before = {
        each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in path.iterdir()
    }

    found = [*check_job(subject("shop", JOBDIR=str(path)))]
    assert meta_of(path).spider == "shop"
    with pytest.raises(CheckpointError, match="is a job of spider 'shop'"):
        [*check_job(subject("other", JOBDIR=str(path)))]

    after = {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in path.iterdir()}
    store.close()
    assert before == after
    assert "3 requests left" in found[-1].what


def test_jobs(tmp_path):
    """One that runs, one that has finished, none, and one of a spider that nobody named."""
    running, finished = tmp_path / "running", tmp_path / "finished"
    make_job(running).close()
    make_job(finished, finished=True).close()
    lock = FileLock(running / "resilience.lock")
    lock.acquire()

    def last(path, **settings):
        return [*check_job(subject("shop", JOBDIR=str(path), **settings))][-1]

    assert "runs this job now" in last(running).what
    lock.release()
    assert "no job yet" in last(tmp_path / "none").what
    with pytest.raises(CheckpointError, match="has finished"):
        last(finished)
    assert "begins anew" in last(finished, RESILIENCE_FINISHED_JOB="anew").what
    assert "does nothing" in last(finished, RESILIENCE_FINISHED_JOB="skip").what
    nobody = [*check_job(subject(JOBDIR=str(tmp_path / "%(spider)s")))]
    assert [each.about for each in nobody] == ["jobdir"]


# --- the machine ---


@pytest.mark.parametrize(
    ("now", "is_set", "level"),
    [(1e9, True, "ok"), (1e9, None, "ok"), (1e9, False, "note"), (1e6, True, "problem")],
)
def test_the_clock(now, is_set, level):
    """It can't be before the package was installed; whether it is kept right may be known."""
    assert levels(judge_clock(now, 1e9, is_set=is_set)) == [level]
    assert levels(check_clock(Settings(), Config())) != []


def test_the_clock_of_a_job():
    """A commit that is to come was made by another clock."""
    assert levels(judge_last_commit(1e9, 1e9 + 3600)) == ["warning"]
    assert levels(judge_last_commit(1e9, 1e9 + 30)) == []
    assert levels(judge_last_commit(1e9, None)) == []


def test_the_time_zone():
    """It matters where a name has a date in it."""
    (found,) = judge_zone(timedelta(hours=-5.5), ["jobs/%(date)s", ""])

    assert "-5.5 h" in found.what
    assert levels(judge_zone(timedelta(), ["jobs/%(date)s"])) == []
    assert levels(judge_zone(timedelta(hours=2), ["jobs"])) == []


@pytest.mark.parametrize(
    ("limits", "concurrent", "browsers", "level", "word"),
    [
        ((1024, 4096), 16, False, "ok", ""),
        ((None, None), 9999, True, "ok", "any number"),
        ((1024, 4096), 1000, False, "warning", "ulimit -n 2100"),
        ((256, 256), 16, True, "warning", "administrator"),
        ((256, None), 100, False, "warning", "ulimit -n 300"),
    ],
)
def test_open_files(limits, concurrent, browsers, level, word):
    """Against what the requests at a time may need."""
    (found,) = judge_open_files(*limits, concurrent, browsers=browsers)

    assert found.level == level
    assert word in found.what + found.advice
    assert levels(check_open_files(Settings(), browsers=False))


def test_the_browser(tmp_path):
    """What it says when it does not start is one line, with the command that helps."""

    def start(*_):
        raise RuntimeError("Executable doesn't exist at /x\n\nLooks like …")

    def missing(*_):
        raise ImportError

    gone = judge_browser("chromium", {"executable_path": str(tmp_path / "x")}, start)
    bad = judge_browser("firefox", {}, start)

    assert "there is no browser" in gone.what
    assert bad.what == "firefox does not start: Executable doesn't exist at /x"
    assert bad.advice == "run playwright install --with-deps firefox"
    assert judge_browser("chromium", {}, missing).what == "playwright is not installed"
    assert judge_browser("chromium", {}, lambda *_: "1.2").what == "chromium 1.2 starts"


def test_a_provider_of_browsers_is_not_tried():
    """What it starts is its own affair."""
    handlers = {"https": "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"}
    mine = {"DOWNLOAD_HANDLERS": handlers, "PLAYWRIGHT_BROWSER_PROVIDER": "my.Provider"}

    assert levels(check_browser(subject(**mine))) == ["note"]


def test_ports():
    """One that is taken is passed over; where all are, that is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = check_endpoint(subject(RESILIENCE_HTTP_PORT=port))
        assert levels(taken) == ["warning"]
        assert unreachable(f"http://127.0.0.1:{port}/x") == ""
        url = f"http://me:pa55word@127.0.0.1:{port}"
        (found,) = check_services(subject(RESILIENCE_PUSHGATEWAY_URL=url))
        assert (found.level, "pa55word" in found.what) == ("ok", False)
    assert levels(check_endpoint(subject(RESILIENCE_HTTP_PORT=port))) == ["ok"]
    assert levels(check_endpoint(subject(RESILIENCE_HTTP_ENABLED=False))) == []
    assert unreachable(f"http://127.0.0.1:{port}/x")
    wrong = check_endpoint(subject(RESILIENCE_HTTP_HOST="203.0.113.7"))
    assert levels(wrong) == ["warning"]
    assert levels(check_services(subject(RESILIENCE_PUSHGATEWAY_URL="http://127.0.0.1:1"))) == [
        "warning"
    ]


SET = """
name = "books"
version = "1.0.0"
"""


def test_selector_sets(tmp_path):
    """One that can't be read is told with what is wrong; of no set nothing is said."""
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "1.0.0.toml").write_text(SET)
    (found,) = check_selectors(subject(RESILIENCE_SELECTORS_DIR=str(tmp_path)))

    assert found.level == "problem"
    assert "books" in found.what
    assert [*check_selectors(subject(RESILIENCE_SELECTORS_DIR=str(tmp_path / "none")))] == []


# --- all of it ---


def test_a_whole_examination(monkeypatch, tmp_path):
    """Of wrong settings it says so, and goes on with what can be looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scrapy_resilience.settings_sources.os.environ", {})
    settings = Settings({"RESILIENCE_PROFILE": "nothing", "SPIDER_MODULES": ["not_there"]})
    broken = Settings({"EXTENSIONS": {"not_there.Thing": 1}, "FEEDS": {"x": {"format": "csv"}}})
    broken.set("JOBDIR", "job")

    wrong = examination(settings, in_project=True, deep=False)
    path = examination(broken, in_project=True, deep=False)
    good = examination(Settings(), in_project=False, deep=False)

    assert [each.about for each in wrong if each.level == "problem"] == ["settings", "spiders"]
    assert not has_problem(path) or "not_there" in str(path)
    assert not has_problem(good)
    assert settings["RESILIENCE_PROFILE"] == "nothing"
    assert [*tmp_path.iterdir()] == []

"""What a dry run leaves out, makes of its pages, and would have failed."""

from __future__ import annotations

import asyncio
import sqlite3
from argparse import Namespace
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request, Spider
from scrapy.core.scheduler import Scheduler
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.extensions.feedexport import FeedExporter
from scrapy.extensions.logstats import LogStats
from scrapy.extensions.telnet import TelnetConsole
from scrapy.settings import Settings
from scrapy.utils.misc import load_object, walk_modules_iter
from scrapy.utils.test import get_crawler

from scrapy_resilience.addon import ResilienceAddon
from scrapy_resilience.commands.dryrun import prepare_dry_run
from scrapy_resilience.core.findings import Finding, has_problem
from scrapy_resilience.core.outlook import Outlook, Tried, outlook
from scrapy_resilience.dryrun import harmless_components
from scrapy_resilience.dryrun.cache import EmptyCache, cache_of
from scrapy_resilience.dryrun.checks import CHECKS, Subject, checks_of, examine
from scrapy_resilience.dryrun.feeds import DryFeeds, use_dry_feeds
from scrapy_resilience.dryrun.harmless_components import (
    check_later,
    is_safe,
    leave_out,
    refuse_spider,
)
from scrapy_resilience.dryrun.harmless_settings import make_quiet, write_nothing
from scrapy_resilience.dryrun.judging import Seen, judge
from scrapy_resilience.dryrun.limit import Limit, limited
from scrapy_resilience.dryrun.result import Result, finding_lines
from scrapy_resilience.dryrun.writes import Writes
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.guard.components import Components, register_component
from scrapy_resilience.scheduler import ResilientScheduler
from scrapy_resilience.settings import Config


class Plain:
    """A component of the user's."""


class Safe:
    """One that says that it writes nothing."""

    dry_run_safe = True


class MyStats(LogStats):
    """Made of one of Scrapy's, and not known for that."""


# --- what runs ---


@pytest.mark.filterwarnings("ignore:The scrapy.*module is deprecated")  # of mail
def test_every_name_that_is_known_is_there():
    """A name of Scrapy that has changed would leave its component out, or let it run."""
    for name in (*harmless_components._KNOWN, *harmless_components._WHY):
        assert load_object(name)


def test_each_extension_of_ours_is_known_or_off():
    """A new one has to say whether it writes."""
    off = {"Checkpoint", "Endpoint", "Logs", "Notifications", "Report", "Shutdown"}
    off |= {"Snapshots", "Traces", "ResilientFeedExporter"}
    known = {*harmless_components._KNOWN, *harmless_components._WHY}
    for package in ("extensions", "pipelines"):
        for module in walk_modules_iter(f"scrapy_resilience.{package}"):
            for name, each in vars(module).items():
                is_component = isinstance(each, type) and hasattr(each, "from_crawler")
                if is_component and each.__module__ == module.__name__ and name[0] != "_":
                    assert name in off or f"{module.__name__}.{name}" in known, each


def test_who_is_safe():
    """Who is known, who says so, and who was named; not who is made of one that is known."""
    named = [f"{Plain.__module__}.Plain"]

    assert is_safe(LogStats, ())
    assert is_safe(Safe, ())
    assert is_safe(Plain, named)
    assert not is_safe(Plain, ())
    assert not is_safe(MyStats, ())
    assert not is_safe(TelnetConsole, ())


def test_what_is_left_out():
    """Extensions and pipelines that are not safe, by path or class; middlewares stay."""
    settings = Settings(
        {
            "EXTENSIONS": {Plain: 1, Safe: 2},
            "ITEM_PIPELINES": {MyStats: 1, "scrapy.pipelines.images.ImagesPipeline": 2},
            "DOWNLOADER_MIDDLEWARES": {Plain: 1},
        }
    )
    skipped = dict(leave_out(settings, ()))

    extensions = settings.get_component_priority_dict_with_base("EXTENSIONS")
    on = {load_object(key) for key, order in extensions.items() if order is not None}
    assert {Safe, LogStats} <= on
    assert not {Plain, TelnetConsole} & on
    pipelines = settings.get_component_priority_dict_with_base("ITEM_PIPELINES")
    assert [*pipelines] == []
    middlewares = settings.get_component_priority_dict_with_base("DOWNLOADER_MIDDLEWARES")
    assert middlewares[Plain] == 1
    assert RetryMiddleware in map(load_object, middlewares)
    assert skipped[f"{Plain.__module__}.Plain"] == "is not known to write nothing"
    assert skipped["scrapy.pipelines.images.ImagesPipeline"].startswith("downloads images")


def test_middlewares_that_are_known_to_write():
    """They are found by their package, whatever is made of them."""
    theirs = type("Theirs", (), {"__module__": "scrapy_deltafetch.middleware"})
    mine = type("Mine", (theirs,), {})
    skipped = dict(leave_out(Settings({"SPIDER_MIDDLEWARES": {mine: 1, Plain: 2}}), ()))

    assert f"{__name__}.Mine" in skipped
    assert f"{__name__}.Plain" not in skipped


def test_a_spider_that_takes_urls_off_redis_is_refused():
    """They would be lost."""
    redis = pytest.importorskip("scrapy_redis.spiders")
    mine = type("Mine", (redis.RedisSpider,), {})

    refuse_spider(Spider)
    with pytest.raises(ConfigurationError, match="takes its URLs off Redis"):
        refuse_spider(mine)


def test_what_an_add_on_puts_in_later_is_refused():
    """It would run: whatever it is, and unless it was named."""
    settings = Settings({"ITEM_PIPELINES": {MyStats: 1}})
    leave_out(settings, ())
    check_later(settings, ())
    later = {
        "EXTENSIONS": {Plain: 1},
        "ITEM_PIPELINES": {Plain: 1},
        "STATS_CLASS": Plain,
        "JOBDIR": "job",
    }
    for name, value in later.items():
        changed = settings.copy()
        changed.set(name, value, "cmdline")
        with pytest.raises(ConfigurationError, match=r"Plain|JOBDIR"):
            check_later(changed, ())
    named = Settings({"EXTENSIONS": {Plain: 1}, "STATS_CLASS": Plain})
    leave_out(named, [f"{__name__}.Plain"])
    check_later(named, [f"{__name__}.Plain"])


class MyScheduler(Scheduler):
    """The user's own."""


def test_the_settings_of_a_dry_run():
    """What writes, sends or listens is off, whoever has set it; the rest stays."""
    settings = Settings()
    mine = {
        "JOBDIR": "job",
        "SCHEDULER": MyScheduler,
        "RESILIENCE_NOTIFY": ["https://a.example/x"],
        "RESILIENCE_DRIFT_ACTION": "rollback",
        "RESILIENCE_LOG_DIR": "logs",
        "RESILIENCE_HOLD_TIMEOUT": 3600,
        "RESILIENCE_SEEN_STORE": "seen",
        "DOWNLOAD_DELAY": 2,
    }
    settings.update(mine, priority="cmdline")

    skipped = make_quiet(settings, Config.from_settings(settings), ())
    config = Config.from_settings(settings)

    assert settings["JOBDIR"] is None
    assert settings["SCHEDULER"] is ResilientScheduler
    assert [each.name for each in skipped] == [
        "RESILIENCE_SEEN_STORE",
        f"{__name__}.MyScheduler",
    ]
    assert [config.notify_enabled, config.http_enabled, config.log_dir] == [False, False, ""]
    assert (config.drift_action, config.hold_timeout) == ("report", 60)
    assert settings.getfloat("DOWNLOAD_DELAY") == 2


def test_no_log_file_whoever_names_it(monkeypatch):
    """Scrapy opens it before there is a crawler, and with LOG_FILE_APPEND off empties it."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    settings = Settings()
    settings.set("LOG_FILE", "x.log", "cmdline")
    settings.set("LOG_STDOUT", True, "spider")  # noqa: FBT003

    write_nothing(settings)

    assert settings["LOG_FILE"] is None
    assert not settings["LOG_STDOUT"]


@pytest.mark.parametrize("name", ["environment", "project", "off"])
def test_no_log_file_where_another_setting_is_wrong(monkeypatch, name):
    """The crawl is refused, and LOG_FILE stays as it was."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    settings = Settings({"LOG_FILE": "x.log", "RESILIENCE_HOLD_TIMEOUT": "long"})
    if name == "environment":
        monkeypatch.setenv("RESILIENCE_DRY_RUN", "5")
    else:
        settings["RESILIENCE_DRY_RUN"] = 5 if name == "project" else "0"
    with pytest.raises(ConfigurationError):
        Config.from_settings(settings)

    ResilienceAddon.update_pre_crawler_settings(settings)

    assert settings["LOG_FILE"] == ("x.log" if name == "off" else None)


@pytest.mark.parametrize(
    ("more", "limit"), [({}, 10), ({"RESILIENCE_DRY_RUN": "50"}, "50"), ({"X": "wrong"}, 10)]
)
def test_the_limit_of_the_command(monkeypatch, more, limit):
    """The environment sets it, too; a file that is wrong is told of later."""
    for key, value in more.items():
        monkeypatch.setenv(key, value)
    settings = Settings({"RESILIENCE_CONFIG_FILE": "nowhere.toml"} if "X" in more else {})

    prepare_dry_run(settings, Namespace(limit=None, nolog=False))

    assert settings["RESILIENCE_DRY_RUN"] == limit


def test_the_http_cache_is_read(tmp_path):
    """Of Scrapy's on files what is there; of one that may write when it is read, nothing."""
    known = Settings({"HTTPCACHE_DIR": str(tmp_path)})
    cls, why = cache_of(known, ())
    storage = cls(known)
    storage.store_response(None, None, None)
    other = Settings({"HTTPCACHE_STORAGE": "scrapy.extensions.httpcache.DbmCacheStorage"})

    assert (cls.__name__, why) == ("FilesystemCacheStorage", "")
    assert cache_of(other, ()) == (EmptyCache, "may write where it is read")
    assert [*tmp_path.iterdir()] == []
    empty = EmptyCache(other)
    empty.open_spider(None)
    empty.store_response(None, None, None)
    empty.close_spider(None)
    assert empty.retrieve_response(None, None) is None


def test_feed_exporters_give_way():
    """Where there was one; a project that has turned it off gets none."""
    feeds = {"x.json": {"format": "json"}}
    with_one, without = Settings({"FEEDS": feeds}), Settings({"FEEDS": feeds})
    without.set("EXTENSIONS", {FeedExporter: None})
    use_dry_feeds(with_one)
    use_dry_feeds(without)

    def on(settings):
        found = settings.get_component_priority_dict_with_base("EXTENSIONS")
        return {load_object(key) for key, order in found.items() if order is not None}

    assert DryFeeds in on(with_one)
    assert FeedExporter not in on(with_one)
    assert not {DryFeeds, FeedExporter} & on(without)


@pytest.mark.parametrize("dry", [0, 5])
def test_nothing_is_made_well_again(dry):
    """A function that does so may change something."""

    async def scenario():
        crawler, called = get_crawler(), []
        register_component(crawler, "db", lambda: False, lambda: called.append("x"))
        found = Components(crawler, Config(dry_run=dry))
        await found._look()
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            await each
        found.close()
        return called

    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(asyncio.run, scenario()).result(60)
    assert called == ([] if dry else ["x"])


# --- the limit ---


class Queue:
    """A scheduler that hands out what it was given."""

    @classmethod
    def from_crawler(cls, _):
        """Nothing but itself."""
        return cls()

    def __init__(self):
        """Nothing is in it."""
        self.requests = []

    def enqueue_request(self, request):
        """All but duplicates."""
        self.requests.append(request)
        return not request.meta.get("seen")

    def next_request(self):
        """The oldest."""
        return self.requests.pop(0) if self.requests else None

    def has_pending_requests(self):
        """Whether there is one."""
        return bool(self.requests)


def test_the_limit(monkeypatch):
    """No more than so many are handed out; what is downloaded beside them counts as well."""
    crawler = get_crawler(Spider, {"RESILIENCE_DRY_RUN": 3})
    queue = limited(Queue).from_crawler(crawler)
    limit, ended = queue.limit, []
    monkeypatch.setattr(Limit, "end", lambda _: ended.append(1))
    start = {"is_start_request": True}
    for number, meta in enumerate(
        [start, start, {}, {"retry_times": 1}, {"redirect_times": 1}]
    ):
        queue.enqueue_request(Request(f"https://a.example/{number}", meta=dict(meta)))
    queue.enqueue_request(Request("https://a.example/", meta={"seen": True}))

    first = queue.next_request()
    limit._reached(first)
    limit._reached(Request("https://a.example/robots.txt"))
    assert queue.next_request() is not None
    assert queue.next_request() is None
    assert not queue.has_pending_requests()
    assert ended
    assert (limit.taken, limit.beside, limit.waiting, limit.found) == (2, 1, 3, 1)


# --- the outlook ---


def tried(**more):
    """Ten requests in two seconds for a dollar."""
    usual = {
        "requests": 10,
        "waiting": 90,
        "pages": 10,
        "found": 0,
        "seconds": 2.0,
        "dollars": 1.0,
        "start_is_through": True,
    }
    return Tried(**{**usual, **more})


@pytest.mark.parametrize(
    ("more", "known", "word"),
    [
        ({}, True, "no page so far"),
        ({"waiting": 0, "found": 5}, True, "nothing was left"),
        ({"found": 25}, False, "2.5 each"),
        ({"start_is_through": False}, False, "start()"),
        ({"pages": 0}, False, "no page has come"),
    ],
)
def test_the_outlook(more, known, word):
    """What it rests on is said; where pages lead to pages it is not known."""
    found = outlook(tried(**more))

    assert found.known is known
    assert word in found.why


def test_the_outlook_in_numbers():
    """At the pace and the mean cost of the dry run."""
    assert outlook(tried()) == Outlook(
        known=True,
        requests=100,
        seconds=20.0,
        dollars=10.0,
        why="start() is through, and no page so far has led to another one",
    )
    assert outlook(tried(requests=0, pages=0)).seconds is None


@given(
    st.builds(
        Tried,
        requests=st.integers(0, 1000),
        waiting=st.integers(0, 10**6),
        pages=st.integers(0, 1000),
        found=st.integers(0, 10**6),
        seconds=st.floats(0, 1e6),
        dollars=st.floats(0, 1e6),
        start_is_through=st.booleans(),
    )
)
def test_an_outlook_is_never_less_than_what_was_seen(seen):
    """Whatever was seen, it is not known where anything is open."""
    found = outlook(seen)

    assert found.requests >= seen.requests
    assert found.seconds is None or found.seconds >= seen.seconds * (1 - 1e-9)
    if found.known:
        assert seen.start_is_through
        assert not (seen.found and seen.waiting)


# --- checks ---


SUBJECT = Subject(Settings(), Config())


def test_checks_are_there():
    """Each path names a function; of settings that use nothing none finds a problem."""
    assert set(CHECKS) <= set(checks_of(Settings()))
    found = examine(checks_of(Settings()), Subject(Settings(), Config(http_enabled=False)))
    assert not has_problem(found)


def test_what_checks_find():
    """An error is a problem without secrets, one that does not come back too."""
    over = Event()

    def hangs(_):
        over.wait(60)
        return []

    def raises(_):
        raise OSError("https://me:pa55word@db is away")

    checks = {
        "good": lambda _: [Finding("good", "ok", "fine")],
        "none": lambda _: [],
        "bad": raises,
        "late": hangs,
    }
    found = examine(checks, SUBJECT, patience=0.2)
    over.set()

    assert found == [
        Finding("good", "ok", "fine"),
        Finding("bad", "problem", "https://***@db is away"),
        Finding("late", "problem", "has not answered within 0.2 s"),
    ]


def test_a_component_checks_itself():
    """By a class method: what it raises is wrong, what it returns is told."""

    class Good:
        @classmethod
        def dry_run_check(cls, settings):
            return f"{settings['BOT_NAME']} is there"

    class Bad:
        @classmethod
        def dry_run_check(cls, _):
            raise ValueError

    settings = Settings({"ITEM_PIPELINES": {Good: 1, Bad: 2}, "BOT_NAME": "bot"})
    own = {name: each for name, each in checks_of(settings).items() if name not in CHECKS}
    good, bad = examine(own, Subject(settings, Config()))

    assert (good.level, good.what) == ("ok", "bot is there")
    assert (bad.level, bad.what) == ("problem", "ValueError")


# --- what is written all the same ---


def test_writes_are_seen(tmp_path, monkeypatch):
    """Files that are opened to write, made, renamed and removed, and databases."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    (tmp_path / "temp").mkdir()
    (tmp_path / "caches").mkdir()
    (tmp_path / "read").write_text("x")
    writes = Writes()
    (tmp_path / "read").read_text()
    (tmp_path / "written").write_text("x")
    (tmp_path / "temp" / "ours").write_text("x")
    (tmp_path / "caches" / "a library's").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "written").rename(tmp_path / "renamed")
    (tmp_path / "temp" / "ours").replace(tmp_path / "from_temp")
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "hard").hardlink_to(tmp_path / "read")
    sqlite3.connect(tmp_path / "database").close()
    sqlite3.connect(":memory:").close()
    writes.end()
    (tmp_path / "later").write_text("x")

    assert [path.rpartition("/")[2] for path in writes.paths] == [
        "written",
        "folder",
        "renamed",
        "from_temp",
        "link",
        "hard",
        "database",
    ]


# --- what is said ---


def result(**more):
    """Of ten good pages."""
    usual = {"reason": "resilience_dry_run", "requests": 10, "pages": 10, "items": 20}
    return Result("shop", 10, **{**usual, **more})


def of(found, level):
    """The texts of a level."""
    return [each.what for each in found if each.level == level]


def test_all_is_well():
    """There is nothing to say."""
    assert [*judge(result(), Seen())] == []


@pytest.mark.parametrize(
    ("more", "seen", "level", "word"),
    [
        ({"reason": "start_error"}, {}, "problem", "start() has raised an exception"),
        ({}, {"start_error": "KeyError"}, "problem", "start() has raised KeyError"),
        ({"reason": "resilience_abort_mine"}, {}, "problem", "resilience_abort_mine"),
        ({"reason": "shutdown"}, {}, "warning", "ended early: shutdown"),
        ({"reason": ""}, {}, "warning", "never opened"),
        (
            {},
            {"callback_errors": Counter(KeyError=2)},
            "problem",
            "2 errors in callbacks: KeyError",
        ),
        ({}, {"item_errors": Counter(KeyError=1)}, "problem", "1 error in pipelines: KeyError"),
        ({}, {"refused": {"x.json": "why"}}, "problem", "x.json can't have an item: why"),
        ({}, {"letters": [("exhausted", "timeout")]}, "warning", "1 request given up: timeout"),
        ({"pages": 0, "items": 0}, {"letters": [("held", "x")]}, "problem", "given up: x"),
        ({}, {"letters": [("dropped", "x")]}, "warning", "had no callback: x"),
        ({}, {"letters": [("callback", "x")]}, "", ""),
        ({"pages": 0, "items": 0}, {}, "problem", "no page has come"),
        ({"items": 0}, {}, "warning", "no item"),
        ({"items": 0, "dropped": 3}, {}, "", ""),
        (
            {"fields": {"Book": {"a": 1.0, "b": 0.0}}},
            {},
            "warning",
            "no Book has a value for b",
        ),
        ({"unread": {"price": 2}}, {}, "warning", "2 values of price could not be read"),
        ({}, {"errors_logged": 2}, "warning", "2 errors in the log"),
        ({}, {"written": ["/x"]}, "warning", "/x was written"),
    ],
)
def test_what_is_said(more, seen, level, word):
    """Each thing once, and only what would fail a crawl is a problem."""
    found = [*judge(result(**more), Seen(**seen))]

    if level:
        assert [each.level for each in found] == [level], found
        assert word in found[0].what
    else:
        assert found == []


def test_the_text():
    """A head that says how it went, what came, what did not run, and findings, worst first."""
    full = result(
        statuses={"200": 9, "404": 1},
        dropped=1,
        fields={"Book": {"title": 0.5}},
        unread={"price": 1},
        confidence=0.5,
        doubtful=2,
        feeds={"x.json": 20},
        whole=outlook(tried()),
        skipped=[harmless_components.Skipped("my.Thing", "writes")],
        findings=[Finding("a", "ok", "fine"), Finding("b", "problem", "bad", "do it")],
    )
    text = full.text()

    assert text.startswith("Dry run of shop: something would have failed\n\n")
    for line in (
        "pages        10 (200: 9, 404: 1)",
        "items        20, 1 dropped",
        "not read     price: 1 value",
        "confidence   0.50 on average, 2 doubtful",
        "Book  title  50%",
        "my.Thing  writes",
    ):
        assert line in text, text
    assert "100 requests, 20 s at this pace, $10: start() is through" in text
    assert text.endswith("problem  b: bad\n         -> do it\nok       a: fine")
    assert full.data()["ok"] is False
    assert full.data()["findings"][1]["advice"] == "do it"
    assert result(whole=outlook(tried(found=20))).text().count("not known: pages lead") == 1


@pytest.mark.parametrize(("seconds", "word"), [(5, "5 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations(seconds, word):
    """In the unit in which one thinks of it."""
    whole = Outlook(known=True, requests=1, seconds=seconds, dollars=0.0, why="x")
    assert f"1 request, {word} at this pace: x" in result(whole=whole).text()


def test_nothing_that_a_terminal_obeys_is_shown():
    """Names come from settings and pages."""
    assert "\x1b" not in finding_lines([Finding("x", "ok", "\x1b[31m", "\x1b")])

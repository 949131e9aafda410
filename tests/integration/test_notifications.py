"""Notifications of real crawls: what is told, to whom, and what is not."""

from __future__ import annotations

import hmac
import json
import sys
from pathlib import Path

import pytest
from crawls import PAGES, SICK, Crawl
from notifying import GUARDS, SECRETS, TELLING, check_no_secret, crawl_of
from receivers import mail_server, webhook
from web import failing, serving

pytestmark = pytest.mark.integration

SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"


# --- what is told ---------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"TWISTED_REACTOR_ENABLED": False}, {"JOBDIR": None}])
def test_the_end_of_a_crawl(tmp_path, more):
    """Its owner is told how it ended, in figures; nothing else happened."""
    reactor = more.get("TWISTED_REACTOR_ENABLED", True)
    with serving(lambda *_: 200) as web, webhook() as hook:
        host = "a.test" if reactor else "127.0.0.1"
        crawl = crawl_of(tmp_path, web, hook.url, LOG_LEVEL="DEBUG", **more)
        crawl.configure(URLS=web.urls(host, 3), RESILIENCE_NOTIFY_SECRET=SECRETS[2])
        crawl.finish()

    [(headers, body, _)] = hook.got
    notice = json.loads(body)
    assert (notice["kind"], notice["severity"], notice["spider"]) == (
        "finished",
        "info",
        "shop",
    )
    details = notice["details"]
    assert (details["items"], details["pages"], details["reason"]) == (3, 3, "finished")
    assert (details["incomplete"], details["dead_letters"]) == (False, 0)
    assert headers["Idempotency-Key"] == headers["X-Event-Id"] == notice["id"]
    digest = hmac.new(SECRETS[2].encode(), body, "sha256").hexdigest()
    assert headers["X-Signature-256"] == f"sha256={digest}"
    check_no_secret(crawl)


def test_every_event(tmp_path):
    """Guards, pauses, trouble and notes are told, each kind once; holds are not."""
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl = crawl_of(tmp_path, web, hook.url, TELLING, EVENTS=GUARDS)
        crawl.finish()

    told = {(each["kind"], each["severity"]): each for each in hook.notices()}
    wanted = {each for each in GUARDS.items() if each[0] != "hold"}
    wanted |= {("pause", "warning"), ("pause", "info"), ("note", "info"), ("finished", "info")}
    assert told.keys() == wanted
    assert len(hook.notices()) == len(wanted)
    assert told["abort", "error"]["text"] == "It is abort <!channel>"
    assert told["note", "info"]["count"] == 50
    assert len(told["note", "info"]["texts"]) == 3
    assert "hunter2" not in json.dumps(hook.notices())
    check_no_secret(crawl)


def test_slack_and_rules(tmp_path):
    """Slack gets its format, in which nothing is a mention; channels get what they ask for."""
    with serving(lambda *_: 200) as web, webhook() as hook, webhook() as slack:
        channels = [
            {"url": hook.url, "events": ["hold", "mine"]},
            {"url": f"slack+{slack.url}", "severity": "error"},
        ]
        crawl_of(tmp_path, web, channels, TELLING, EVENTS=GUARDS).finish()

    assert sorted(hook.kinds()) == ["hold", "mine"]
    texts = [json.loads(body)["text"] for _, body, _ in slack.got]
    assert sorted(text.partition(" (")[0] for text in texts) == [
        "shop: abort", "shop: commit", "shop: given_up", "shop: mine",
    ]  # fmt: skip
    assert all("(error)" in text for text in texts)
    assert not any("<" in text or "@" in text for text in texts)


TROUBLES = """
    import sqlite3
    from scrapy_resilience import signals
    from scrapy_resilience.core.drift import Alarm
    from scrapy_resilience.frontier.sqlite import SQLiteStore
    from scrapy_resilience.snapshots.store import SnapshotStore
    commit, calls = SQLiteStore.commit, []
    def failing(self, changes, **told):
        calls.append(1)
        if len(calls) in (4, 5):
            raise sqlite3.OperationalError("database or disk is full")
        return commit(self, changes, **told)
    def refusing(self, *args, **told):
        raise OSError("no place for it")
    SQLiteStore.commit, SnapshotStore.create = failing, refusing
"""


def test_real_troubles(tmp_path):
    """Commits that fail and work again, a snapshot that can't be made, drift."""
    drifting = PAGES.replace(
        "async def start(self):",
        """async def start(self):
            alarm = Alarm("product", "1", "price", "a.test", "fill", 0.1, 0.9, 50, 0)
            self.crawler.signals.send_catch_log(signals.selector_drift, alarm=alarm)""",
    )
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl = crawl_of(
            tmp_path, web, hook.url, TROUBLES + drifting, pages=30, DOWNLOAD_DELAY=0.05
        )
        crawl.run()

    told = {(each["kind"], each["severity"]): each["text"] for each in hook.notices()}
    assert "can't be written: database or disk is full" in told["commit", "error"]
    assert "is written again, after" in told["commit", "info"]
    assert "A snapshot can't be made" in told["snapshot", "error"]
    assert "price" in told["drift", "warning"]


def test_an_outage(tmp_path):
    """A domain whose breaker stays open is told, and that it answers again; a cough is not."""
    down = ["b.test"]
    with serving(lambda host, *_: 503 if host in down else 200) as web, webhook() as hook:

        def answer(host, *_):
            if hook.notices("outage"):
                down.clear()
            return 503 if host in down else 200

        web.answer = answer
        crawl = crawl_of(
            tmp_path, web, hook.url, RESILIENCE_NOTIFY_OPEN_AFTER=1.0,
            **{**SICK, "RESILIENCE_RETRY_POLICY": "aggressive"},
        )  # fmt: skip
        crawl.configure(URLS=[*web.urls("a.test", 3), *web.urls("b.test", 30)])
        crawl.run()

    first, last = hook.notices("outage")
    assert (first["severity"], first["domain"]) == ("warning", "b.test")
    assert "b.test does not answer since" in first["text"]
    assert (last["severity"], last["domain"]) == ("info", "b.test")
    assert "answers again" in last["text"]
    assert "breaker" not in hook.kinds()


def test_a_crawl_that_is_not_whole(tmp_path):
    """Pages that were given up make its end a warning."""
    with serving(failing("b.test")) as web, webhook() as hook:
        crawl = crawl_of(tmp_path, web, hook.url, RESILIENCE_BREAKER_ENABLED=False)
        crawl.configure(URLS=web.urls("b.test", 2))
        crawl.run()

    [notice] = hook.notices("finished")
    assert notice["severity"] == "warning"
    assert (notice["details"]["incomplete"], notice["details"]["dead_letters"]) == (True, 2)


def test_a_crawl_that_is_aborted(tmp_path):
    """The policy's words come with the event, and the end says its reason."""
    policies = {"mine": {"failures_in_a_row": 5, "actions": ["notify", "close"]}}
    with serving(lambda *_: 404) as web, webhook() as hook:
        crawl_of(
            tmp_path, web, hook.url, pages=100, DOWNLOAD_DELAY=0.05,
            RESILIENCE_ABORT_POLICY="mine", RESILIENCE_ABORT_POLICIES=policies,
            RESILIENCE_ABORT_INTERVAL=0.2, RESILIENCE_ABORT_AFTER=5,
        ).run()  # fmt: skip

    [abort], [end] = hook.notices("abort"), hook.notices("finished")
    assert abort["severity"] == "error"
    assert "The abort policy mine is against going on" in abort["text"]
    assert (end["severity"], end["details"]["incomplete"]) == ("warning", True)
    assert end["details"]["reason"] == "resilience_abort_mine"


def test_a_crawl_that_fails(tmp_path):
    """One whose start() raises ends with an error, and says so."""
    source = PAGES.replace("yield scrapy.Request", "1 / 0; yield scrapy.Request")
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl_of(tmp_path, web, hook.url, source).run()

    [notice] = hook.notices("finished")
    assert (notice["severity"], notice["details"]["reason"]) == ("error", "start_error")


def test_a_crawl_that_is_refused(tmp_path):
    """It is told, although nothing has run, and names are looked up while Python ends."""
    with serving(lambda *_: 200) as web, webhook() as hook, mail_server() as (box, mail):
        named = hook.url.replace("127.0.0.1", "localhost")
        crawl = crawl_of(tmp_path, web, [named, mail], spawn=True)
        crawl.finish()
        crawl.run().check_refused("has finished")

    [notice] = hook.notices("refused")
    assert notice["severity"] == "error"
    assert "has finished" in notice["text"]
    assert box.mails[-1]["Subject"] == "shop: refused (error)"
    check_no_secret(crawl)


def test_a_crawl_that_was_killed(tmp_path):
    """The next run says that the one before came to no end."""
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl = crawl_of(tmp_path, web, hook.url, pages=60, DOWNLOAD_DELAY=0.02)
        crawl.survive(kills=1)
        crawl.check_pages()

    [notice] = hook.notices("killed")
    assert "Run 1 did not come to its end" in notice["text"]
    assert (notice["run"], notice["severity"]) == (2, "warning")
    assert hook.kinds()[-1] == "finished"


# --- nobody asked for it --------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"RESILIENCE_NOTIFY": None},
        {"RESILIENCE_PROFILE": "testing"},
        {"RESILIENCE_PROFILE": "development"},
        {"RESILIENCE_NOTIFY_ENABLED": False},
        {"RESILIENCE_OBSERVE_ENABLED": False},
    ],
)
def test_no_notification(tmp_path, more):
    """Without the setting, or where something turns it off, nobody is told and nothing runs."""
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl = crawl_of(tmp_path, web, hook.url, TELLING, EVENTS=GUARDS)
        crawl.configure(**more)
        run = crawl.finish()
        crawl.run().check_refused("has finished")

    assert hook.got == []
    assert "Notifications" not in run.log


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("s3cr3t-path", "Channel 1 of RESILIENCE_NOTIFY: it has no URL"),
        ({"url": "https://a.test", "severity": "t0ken123"}, "its severity is one of"),
        ("nothing://s3cr3t-path", "apprise does not understand its URL"),
    ],
)
def test_a_wrong_channel(tmp_path, channel, words):
    """It is refused at the start, in a line without what is secret."""
    crawl = Crawl(tmp_path, PAGES, URLS=[], RESILIENCE_NOTIFY=[channel])
    crawl.run().check_refused(words)
    assert not crawl.job.exists()
    check_no_secret(crawl)


# --- more than one --------------------------------------------------------------------------

TWO = """
import sys
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.utils.project import get_project_settings
from spider import Other, Shop
settings = get_project_settings()
process = AsyncCrawlerProcess(settings)
for spider, pages in ((Shop, 3), (Other, 7)):
    urls = settings.getlist("URLS")[:pages]
    spider.custom_settings = {"URLS": urls}
    process.crawl(spider)
process.start()
"""


@pytest.mark.parametrize("reactor", [True, False])
def test_two_crawls_in_one_process(tmp_path, reactor):
    """Each tells its own end."""
    source = PAGES + "    class Other(Shop):\n        name = 'other'\n"
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl = crawl_of(
            tmp_path, web, hook.url, source, TWISTED_REACTOR_ENABLED=reactor, JOBDIR=None,
            FEEDS=None,
        )  # fmt: skip
        crawl.configure(URLS=web.urls("127.0.0.1", 7))
        crawl.write("two.py", TWO)
        run = crawl.run(sys.executable, "two.py")

    assert (run.code, run.errors) == (0, [])
    items = {each["spider"]: each["details"]["items"] for each in hook.notices("finished")}
    assert items == {"shop": 3, "other": 7}
    assert len(hook.got) == 2


def test_another_scheduler(tmp_path):
    """Without ours, what is in memory is told all the same."""
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl = crawl_of(
            tmp_path, web, hook.url, TELLING, EVENTS={"abort": "error"}, JOBDIR=None,
            SCHEDULER="scrapy.core.scheduler.Scheduler",
        )  # fmt: skip
        crawl.run()

    assert {"abort", "pause", "note", "finished"} == {*hook.kinds()}


# --- the guide ------------------------------------------------------------------------------


def test_the_guide(tmp_path, monkeypatch):
    """Its spider tells, and its receiver knows what is genuine."""
    monkeypatch.syspath_prepend(SNIPPETS)
    monkeypatch.setenv("RESILIENCE_NOTIFY_SECRET", SECRETS[2])
    import signed_webhook  # noqa: PLC0415

    source = (SNIPPETS / "notify_spider.py").read_text("utf-8")
    with serving(lambda *_: 200) as web, webhook() as hook:
        urls = f"    start_urls = {web.urls('a.test', 3)}\n"
        source = source.replace('    name = "shop"\n', f'    name = "shop"\n{urls}')
        channel = {"url": hook.url, "events": ["note"]}
        secret = signed_webhook.SECRET
        crawl_of(tmp_path, web, [channel], source, RESILIENCE_NOTIFY_SECRET=secret).finish()

    [(headers, body, _)] = hook.got
    assert json.loads(body)["count"] == 3
    assert signed_webhook.is_genuine(body, headers["X-Signature-256"])
    assert not signed_webhook.is_genuine(body + b" ", headers["X-Signature-256"])
    assert not signed_webhook.is_genuine(body, None)

"""Receivers of notices that fail, kills meanwhile, mail, and the commands."""

from __future__ import annotations

import json
import re
import signal
from contextlib import contextmanager

import pytest
from crawls import KILLED, PAGES, Crawl, wait_until
from notifying import SECRETS, TELLING, check_no_secret, crawl_of
from ports import free_port
from receivers import answering, mail_server, webhook
from web import serving

pytestmark = pytest.mark.integration


# --- receivers that fail --------------------------------------------------------------------


@contextmanager
def refusing():
    """A URL at whose port nobody is."""
    yield None, f"http://127.0.0.1:{free_port()}/s3cr3t-path"


BAD = {
    "silent": lambda: answering(None),
    "refusing": refusing,
    "failing": lambda: answering(500),
    "forbidding": lambda: answering(403),
    "busy": lambda: answering((429, {"Retry-After": "3600"})),
    "redirecting": lambda: answering((302, {"Location": "/elsewhere"})),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_receiver_that_fails(tmp_path, kind):
    """The crawl ends well, what was not sent stays in the job, and a command sends it."""
    with serving(lambda *_: 200) as web, BAD[kind]() as (hook, url), webhook() as good:
        crawl = crawl_of(
            tmp_path, web, url, TELLING, EVENTS={"abort": "error"}, LOG_LEVEL="DEBUG",
            RESILIENCE_NOTIFY_TIMEOUT=1,
        )  # fmt: skip
        run = crawl.finish()
        assert run.log.count("Notices do not get to the channel webhook") <= 1
        assert "Notices that could not be sent in time" in run.log
        failed = crawl.run("resilience", "notify", "job")
        assert failed.code == 1
        crawl.configure(RESILIENCE_NOTIFY=[good.url])
        sent = crawl.run("resilience", "notify", "job", "--json")
        assert sent.code == 0
        again = crawl.run("resilience", "notify", "job")
        assert again.code == 0

    assert json.loads(sent.out)[0]["left"] == 0
    assert sorted(good.kinds()) == ["abort", "finished", "note", "pause", "pause"]
    if hook is not None and hook.got:
        ids = {each["id"] for each in hook.notices()}
        assert ids <= {each["id"] for each in good.notices()}
        assert {path for *_, path in hook.got} == {url[url.index("/hook") :]}  # none elsewhere
    check_no_secret(crawl)


def test_a_receiver_that_comes_back(tmp_path):
    """What has failed is sent again with the same id; what it refuses for good is not."""
    with serving(lambda *_: 200) as web, answering(500, 400, 200) as (hook, url):
        crawl_of(tmp_path, web, url, TELLING, EVENTS={"abort": "error"}).finish()

    first, again, *_ = hook.notices()
    assert first["id"] == again["id"]
    assert len({each["id"] for each in hook.notices()}) == 5
    assert [each["id"] for each in hook.notices()].count(again["id"]) == 2


def test_a_stop_is_not_held_up(tmp_path):
    """A receiver that is silent can't keep a crawl beyond the time that a stop has."""
    with serving(lambda *_: 200) as web, answering(None) as (hook, url):
        crawl = crawl_of(
            tmp_path, web, url, pages=200, DOWNLOAD_DELAY=0.05,
            RESILIENCE_SHUTDOWN_TIMEOUT=12, RESILIENCE_NOTIFY_TIMEOUT=60,
        )  # fmt: skip
        run = crawl.run_until(commits=2, number=signal.SIGTERM)
        assert run.code == 75
        assert "Something still runs" not in run.log
        with webhook() as good:
            crawl.configure(RESILIENCE_NOTIFY=[good.url], RESILIENCE_NOTIFY_TIMEOUT=5)
            assert crawl.run("resilience", "notify", "job").code == 0

    [notice] = good.notices()
    assert (notice["kind"], notice["details"]["reason"]) == ("finished", "shutdown")
    assert notice["id"] in {each["id"] for each in hook.notices()}


def test_a_name_that_nobody_looks_up(tmp_path):
    """The process does not wait for the thread in which that hangs."""
    hanging = """
    import socket, time
    from pathlib import Path
    real = socket.getaddrinfo
    def slow(host, *args, **kwargs):
        if host != "slow.test":
            return real(host, *args, **kwargs)
        Path("asked").touch()
        time.sleep(100)
        Path("answered").touch()
        return real("127.0.0.1", *args, **kwargs)
    socket.getaddrinfo = slow
    """
    with serving(lambda *_: 200) as web:
        crawl = crawl_of(
            tmp_path, web, "http://slow.test/s3cr3t-path", hanging + PAGES,
            RESILIENCE_NOTIFY_TIMEOUT=1,
        )  # fmt: skip
        crawl.finish()

    assert crawl.path("asked").exists()
    assert not crawl.path("answered").exists()


# --- kills ----------------------------------------------------------------------------------


def test_a_kill_between_event_and_sending(tmp_path):
    """What a commit has seen arrives after kill -9 and resume, with the id of the first try."""
    with serving(lambda *_: 200) as web, answering(None) as (hook, url), webhook() as good:
        crawl = crawl_of(
            tmp_path, web, url, TELLING, pages=200, DOWNLOAD_DELAY=0.05,
            EVENTS={"abort": "error"},
        )  # fmt: skip
        commits = []

        def is_kept():
            if hook.got and not commits:
                commits.append(crawl.commits())
            return commits and crawl.commits() > commits[0] + 1

        run = crawl.run_until(until=is_kept)
        assert run.code == KILLED
        crawl.configure(RESILIENCE_NOTIFY=[good.url], EVENTS={}, DOWNLOAD_DELAY=0)
        crawl.finish()

    [tried] = hook.notices()
    assert tried["kind"] == "abort"
    assert tried["id"] in {each["id"] for each in good.notices("abort")}
    assert {"killed", "finished", "pause", "note"} <= {*good.kinds()}


def test_a_kill_while_the_last_notices_are_sent(tmp_path):
    """How the job ended is in it before that is sent: a command sends it."""
    with serving(lambda *_: 200) as web, answering(None) as (hook, url), webhook() as good:
        crawl = crawl_of(tmp_path, web, url, RESILIENCE_NOTIFY_TIMEOUT=60)

        def is_kept():
            ids = [each["id"].encode() for each in hook.notices("finished")]
            return ids and ids[0] in (crawl.job / "resilience.journal").read_bytes()

        run = crawl.run_until(until=is_kept, spread=0)
        assert run.code == KILLED
        crawl.configure(RESILIENCE_NOTIFY=[good.url])
        assert crawl.run("resilience", "notify", "job").code == 0

    assert [each["id"] for each in good.notices()] == [hook.notices()[0]["id"]]


# --- mail, by apprise -----------------------------------------------------------------------


@pytest.mark.parametrize("job", ["job", None])
def test_mail(tmp_path, job):
    """It comes with a subject, a text and the report; nothing in it is a mention."""
    with serving(lambda *_: 200) as web, mail_server() as (box, url):
        channel = {"url": f"{url}&name=t0ken123", "attach_report": True}
        crawl = crawl_of(
            tmp_path, web, [channel], TELLING, JOBDIR=job, RESILIENCE_REPORT="report.html",
            EVENTS={"abort": "error"}, LOG_LEVEL="DEBUG",
        )  # fmt: skip
        crawl.finish()

    subjects = [mail["Subject"] for mail in box.mails]
    assert "shop: abort (error)" in subjects
    assert subjects[-1] == "shop: finished (info)"
    last = box.mails[-1]
    [attached] = last.iter_attachments()
    assert attached.get_filename() == "report.html"
    assert b"<html" in attached.get_payload(decode=True)
    text = last.get_body(("plain",)).get_content()
    assert "items: 3" in text
    assert re.search(r"event [0-9a-f]{32}", text)
    assert all("<!channel>" not in str(mail) for mail in box.mails)
    check_no_secret(crawl, "t0ken123")


def test_a_mail_server_that_is_down(tmp_path):
    """The crawl ends well, and the mail is in the job."""
    with serving(lambda *_: 200) as web, mail_server() as (box, url):
        nobody = re.sub(r":\d+", ":9", url)
        crawl = crawl_of(tmp_path, web, nobody, RESILIENCE_NOTIFY_TIMEOUT=2)
        crawl.finish()
        crawl.configure(RESILIENCE_NOTIFY=[url])
        assert crawl.run("resilience", "notify", "job").code == 0

    assert [mail["Subject"] for mail in box.mails] == ["shop: finished (info)"]


# --- commands -------------------------------------------------------------------------------


def test_the_test_command(tmp_path):
    """Each channel is tried, or one; a failure is exit code 1, with why."""
    with answering(500) as (_, bad), webhook() as hook, mail_server() as (box, mail):
        crawl = Crawl(
            tmp_path,
            PAGES,
            URLS=[],
            RESILIENCE_NOTIFY=[bad, {"url": hook.url, "name": "team"}, mail],
        )
        every = crawl.run("resilience", "notify", "--test")
        one = crawl.run("resilience", "notify", "--test", "--channel", "team")
        numbered = crawl.run("resilience", "notify", "--test", "--channel", "3", "--json")
        nobody = crawl.run("resilience", "notify", "--test", "--channel", "9")
        misused = crawl.run("resilience", "notify")
        crawl.configure(RESILIENCE_NOTIFY=None)
        none = crawl.run("resilience", "notify", "--test")

    assert every.code == 1
    assert re.search(r"webhook +0 +1 +it answers with HTTP 500", every.out)
    assert re.search(r"team +1 +0", every.out)
    assert (one.code, numbered.code) == (0, 0)
    assert json.loads(numbered.out)[0]["channel"] == "mailto"
    assert hook.kinds() == ["test", "test"]
    assert [each["Subject"] for each in box.mails] == ["crawl: test (info)"] * 2
    assert (nobody.code, misused.code, none.code) == (1, 2, 1)
    assert "use one of webhook, team, mailto" in nobody.log
    assert "RESILIENCE_NOTIFY has no channels" in none.log
    check_no_secret(crawl)


def test_proxies(tmp_path):
    """Those of the environment are used, but for what it excludes."""
    with webhook() as proxy, webhook() as hook:
        url = "http://nowhere.test/s3cr3t-path"
        env = {"http_proxy": proxy.url.partition("/hook")[0], "no_proxy": "127.0.0.1"}
        crawl = Crawl(tmp_path, PAGES, URLS=[], RESILIENCE_NOTIFY=[url, hook.url])
        run = crawl.run("resilience", "notify", "--test", env=env)

    assert run.code == 0
    assert [path for *_, path in proxy.got] == [url]
    assert len(hook.got) == 1


def test_a_channel_in_the_environment(tmp_path):
    """One URL, as it is."""
    with webhook() as hook:
        crawl = Crawl(tmp_path, PAGES, URLS=[])
        env = {"RESILIENCE_NOTIFY": hook.url}
        assert crawl.run("resilience", "notify", "--test", env=env).code == 0
        shown = crawl.run("resilience", "config", env=env)

    assert hook.kinds() == ["test"]
    assert not any(secret in shown.out for secret in SECRETS)


def test_a_job_that_runs(tmp_path):
    """It sends its notices itself: the command refuses."""
    with serving(lambda *_: 200) as web, webhook() as hook:
        crawl = crawl_of(tmp_path, web, hook.url, pages=100, DOWNLOAD_DELAY=0.05)
        with crawl.process() as process:
            wait_until(lambda: crawl.commits() > 1)
            done = Crawl.run(crawl, "resilience", "notify", "job")
            process.terminate()
            process.wait()

    assert done.code == 1
    assert "in use by process" in done.log

"""The abort policy in a crawler: what counts, what is asked, and what code may record."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from scrapy import Request, Spider
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.test import get_crawler

from scrapy_resilience.abort import evaluate_abort, record_failure, resume_abort
from scrapy_resilience.core.abort import Policy
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.guard.abort import abort_monitor_of
from scrapy_resilience.guard.abort_policy import UserCondition, abort_policy, has_abort_policy
from scrapy_resilience.observe.view import View
from scrapy_resilience.profiles import ABORT_POLICY_WHEN_ON, PROFILES
from scrapy_resilience.settings import Config

MINE = {
    "RESILIENCE_ABORT_POLICY": "mine",
    "RESILIENCE_ABORT_POLICIES": {"mine": {"failures_in_a_row": 3, "actions": "pause"}},
    "RESILIENCE_ABORT_AFTER": 2,
}


@pytest.fixture
def crawler(monkeypatch):
    """A crawler with a policy, and an engine that is not closing."""
    crawler = get_crawler(Spider, MINE)
    crawler.spider = Spider("shop")
    crawler.kept = abort_monitor_of(crawler)
    monkeypatch.setattr(crawler.kept, "_is_closing", lambda: False)
    return crawler


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


def give_up(crawler, request, kind="exhausted"):
    """Let a component give a request up."""
    letters_of(crawler).add(request, kind=kind, failure_class="transient", reason="no")


def row(crawler):
    """Failures in a row."""
    return evaluate_abort(crawler)["failures_in_a_row"].value


# --- settings -----------------------------------------------------------------------


def test_it_is_off():
    """No policy is on by default, and a name turns one on."""
    assert abort_policy(Config()) is None
    assert not has_abort_policy(Config())
    assert abort_policy(Config(abort_policy="production")).name == "production"


@pytest.mark.parametrize("profile", PROFILES)
def test_on(profile):
    """It is the policy of the profile."""
    config = Config(profile=profile, abort_policy="on")
    assert abort_policy(config).name == ABORT_POLICY_WHEN_ON[profile]


@pytest.mark.parametrize(
    ("name", "policy", "after", "interval"),
    [
        ("default", "off", 10, 60),
        ("production", "production", 20, 60),
        ("staging", "production", 20, 60),
        ("development", "off", 5, 300),
        ("testing", "off", 5, 300),
    ],
)
def test_the_profiles(name, policy, after, interval):
    """They are those of the promise."""
    config = Config(**PROFILES[name])
    found = (config.abort_policy, config.abort_after, config.abort_interval)
    assert found == (policy, after, interval)


@pytest.mark.parametrize("function", ["no.such", "os.path", "os.sep", 5, asyncio.sleep])
def test_functions_that_are_none(function):
    """A policy that is not even on is checked."""
    config = Config(abort_policies={"mine": {"function": function}})
    with pytest.raises(ConfigurationError, match=r"POLICIES\['mine'\]\['function'\]"):
        abort_policy(config)


# --- what counts ----------------------------------------------------------------------


def test_failures_and_successes(crawler):
    """A request that is given up fails once, and does not succeed when it is through."""
    request = Request("http://a.test/")
    for _ in range(2):
        give_up(crawler, request)
    crawler.kept.ended(request, True)  # noqa: FBT003 - as hooks call it
    assert row(crawler) == 1
    crawler.kept.ended(Request("http://a.test/2"), False)  # noqa: FBT003 - ignored
    assert row(crawler) == 1
    crawler.kept.ended(Request("http://a.test/3"), True)  # noqa: FBT003
    assert row(crawler) == 0
    assert evaluate_abort(crawler).operations == 2


@pytest.mark.parametrize(
    ("kind", "counts"),
    [("permanent", 1), ("exhausted", 1), ("callback", 1), ("pipeline", 1), ("ignored", 0),
     ("dropped", 0), ("held", 0)],
)  # fmt: skip
def test_what_is_a_failure(crawler, kind, counts):
    """What was left out on purpose, or never sent, is none."""
    give_up(crawler, Request("http://a.test/"), kind)
    assert row(crawler) == counts


def test_images(crawler):
    """They are part of their page."""
    give_up(crawler, Request("http://a.test/1.png", callback=NO_CALLBACK))
    assert row(crawler) == 0


# --- what code records ------------------------------------------------------------------


def test_a_record(crawler):
    """It has all that was told, without secrets, and is bounded."""
    context = {
        "url": "http://me:hidden@a.test/",
        "api_key": "hidden",
        "page": 7,
        "x": "y" * 9999,
    }
    found = record_failure(crawler, "no\x1b[2J more", category="quota", context=context)
    assert found.severity == "error"
    assert found.message == "no\\x1b[2J more"
    assert found.context["page"] == "7"
    assert found.context["api_key"] == "***"
    assert len(found.context["x"]) <= 500
    assert "hidden" not in str(found)
    assert "test_a_record" in found.stack_trace
    assert "test_abort_monitor.py" in found.source
    [group] = crawler.kept.observer.errors.view()
    assert (group.kind, group.place, group.count) == ("quota", found.source, 1)
    [shown] = crawler.kept.observer.view().abort.failures
    assert shown.message == found.message


def test_a_record_of_an_exception(crawler):
    """Its class, message, place and traceback are those of the exception."""
    try:
        raise KeyError("price")  # noqa: TRY301 - as code of a user's
    except KeyError as error:
        found = record_failure(crawler, exception=error)
    assert (found.category, found.message) == ("KeyError", "'price'")
    assert "KeyError: 'price'" in found.stack_trace
    assert found.source.endswith(":test_a_record_of_an_exception")


def test_records_and_the_policy(crawler):
    """An error counts, a warning does not, and who records may say otherwise."""
    request = Request("http://a.test/")
    for _ in range(2):
        record_failure(crawler, "no", request=request)
    record_failure(crawler, "so", severity="warning")
    record_failure(crawler, "no", counts=False)
    assert row(crawler) == 1
    record_failure(crawler, "so", severity="info", counts=True)
    assert row(crawler) == 2
    with pytest.raises(ValueError, match="severity='fatal': use one of info, warning, error"):
        record_failure(crawler, "no", severity="fatal")


def test_many_records(crawler):
    """Ten are shown, and those alike are one group."""
    for number in range(500):
        record_failure(crawler, f"page {number} is thin", category="quality", source="parse")
    assert len(crawler.kept.observer.view().abort.failures) == 10
    [group] = crawler.kept.observer.errors.view()
    assert (group.count, group.message) == (500, "page <number> is thin")


class UnsayableError(Exception):
    """An exception that can't say what is wrong."""

    def __str__(self):
        raise RuntimeError


def test_what_can_not_be_said(crawler):
    """Objects whose texts fail are no reason to fail."""
    found = record_failure(
        crawler, exception=UnsayableError(), context={"error": UnsayableError()}
    )
    assert found.category == "UnsayableError"
    assert found.context == {"error": "UnsayableError"}


# --- what is done -----------------------------------------------------------------------


def test_a_dry_look_does_nothing(crawler):
    """It says what would be done."""
    for number in range(3):
        give_up(crawler, Request(f"http://a.test/{number}"))
    found = evaluate_abort(crawler)
    assert found.should_abort
    assert [each.name for each in found.met] == ["failures_in_a_row"]
    assert found["cost"].limit is None
    assert not pauses_of(crawler).all()
    with pytest.raises(KeyError):
        _ = found["nothing"]


def test_few_operations(crawler):
    """A policy is not judged by the first request."""
    crawler.kept.needed = 5
    for number in range(3):
        give_up(crawler, Request(f"http://a.test/{number}"))
    assert not evaluate_abort(crawler).should_abort
    run(crawler.kept.judge())
    assert not pauses_of(crawler).all()


def test_a_pause_and_its_end(crawler):
    """It ends with its condition, or by hand: then the same does not begin it again."""
    pauses, monitor = pauses_of(crawler), crawler.kept

    async def scenario():
        for number in range(3):
            give_up(crawler, Request(f"http://a.test/{number}"))
        await monitor.judge()
        assert [each.reason for each in pauses.all()] == ["abort"]
        resume_abort(crawler)
        await monitor.judge()
        assert not pauses.up
        monitor.tally.succeeded()
        await monitor.judge()
        for number in range(3):
            give_up(crawler, Request(f"http://b.test/{number}"))
        await monitor.judge()
        assert pauses.up
        monitor.tally.succeeded()
        await monitor.judge()
        assert not pauses.up

    run(scenario())


def test_what_fails_while_it_is_judged(crawler, monkeypatch, caplog):
    """It is logged, and tried again at the next look."""
    monkeypatch.setattr(crawler.kept, "look", lambda: 1 / 0)
    for number in range(3):
        give_up(crawler, Request(f"http://a.test/{number}"))
    run(crawler.kept.judge())
    assert "The abort policy can't be judged" in caplog.text
    assert not crawler.kept._judging


@pytest.mark.parametrize("saved", [None, [], 5, ["x"], [[1, 2], {}]])
def test_a_state_of_another_version(crawler, saved, caplog):
    """It is left out, with a warning, and the crawl goes on."""
    crawler.kept.restore(saved)
    assert "What the abort policy knows of earlier runs can't be read" in caplog.text


def test_the_state(crawler):
    """The next run goes on from it, and anew after a close by the policy."""
    for number in range(3):
        give_up(crawler, Request(f"http://a.test/{number}"))
    later = abort_monitor_of(get_crawler(Spider, MINE))
    later.restore(crawler.kept.save())
    assert (later.tally.row, later.tally.operations) == (3, 3)
    crawler.kept._ended = True
    crawler.kept.close()
    later = abort_monitor_of(get_crawler(Spider, MINE))
    later.restore(crawler.kept.save())
    assert (later.tally.row, later.tally.operations) == (0, 0)
    view = crawler.kept.save()[1]
    assert [each["name"] for each in view["conditions"] if each["met"]] == ["failures_in_a_row"]


# --- functions of users -----------------------------------------------------------------


def asked(function, timeout=5.0, times=1):
    """A condition that was asked."""
    condition = UserCondition(Policy("mine", function=function), timeout)

    async def scenario():
        for _ in range(times):
            await condition.ask(View())

    run(scenario())
    return condition


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, None), (False, None), (True, "a function of yours says so"), ("no", "no"),
     ("http://me:hidden@a.test/\n", "http://***@a.test/\\n")],
)  # fmt: skip
def test_answers(answer, reason):
    """A text is the reason, without its secrets."""
    found = asked(lambda view: answer)  # noqa: ARG005 - as it is called
    assert (found.asked, found.reason) == (True, reason)


@pytest.mark.parametrize("answer", [0, 1, "", [], {}, object(), 0.5])
def test_nonsense(answer, caplog):
    """It says nothing, and is told once in a row."""
    found = asked(lambda view: answer, times=3)  # noqa: ARG005 - as it is called
    assert (found.asked, found.reason) == (False, None)
    assert caplog.text.count("The function of the abort policy says nothing") == 1


def test_a_function_that_gives_a_coroutine(caplog):
    """It is never awaited, and does not warn."""

    async def slow():
        """Take long."""

    asked(lambda view: slow())  # noqa: ARG005 - as it is called
    assert "it has returned coroutine" in caplog.text


def test_a_function_that_leaves(caplog):
    """It ends neither the crawl nor the thread's process."""
    asked(lambda view: exit(3))  # noqa: ARG005, PLR1722 - as a user may write it
    assert "SystemExit: 3" in caplog.text


def test_a_function_that_hangs():
    """It is asked once while it hangs, and nobody waits for it."""
    release, calls = threading.Event(), []

    def hangs(view):  # noqa: ARG001 - as it is called
        calls.append(1)
        release.wait(30)

    found = asked(hangs, timeout=0.05, times=3)
    release.set()
    assert len(calls) == 1
    assert not found.asked


def test_where_a_function_runs():
    """In a thread, with the view."""
    seen = SimpleNamespace(view=None, thread=None)

    def note(view):
        seen.view, seen.thread = view, threading.current_thread()

    asked(note)
    assert isinstance(seen.view, View)
    assert seen.thread is not threading.main_thread()


@pytest.mark.parametrize("fails", ["raises", "hangs"])
def test_a_function_that_fails_ends_no_pause(monkeypatch, fails):
    """Nothing is known then: what it said last is so until it says something else."""
    release, said = threading.Event(), ["bad"]

    def answers(view):  # noqa: ARG001 - as it is called
        if said:
            return said[0]
        return release.wait(30) if fails == "hangs" else 1 / 0

    policy = {"function": answers, "actions": "pause"}
    crawler = get_crawler(Spider, {**MINE, "RESILIENCE_ABORT_POLICIES": {"mine": policy}})
    crawler.kept = monitor = abort_monitor_of(crawler)
    monkeypatch.setattr(monitor, "_is_closing", lambda: False)
    pauses = pauses_of(crawler)
    monitor.needed = 0

    async def scenario():
        await monitor.judge()
        assert pauses.up
        monitor._function._thread.join(30)
        said.clear()
        monitor._function._timeout = 0.05
        await monitor.judge()
        assert pauses.up, "it ends with what is not known"
        assert evaluate_abort(crawler)["function"].text == "bad"
        release.set()
        monitor._function._thread.join(30)
        said.append(None)
        monitor._function._timeout = 5.0
        await monitor.judge()
        assert not pauses.up

    run(scenario())

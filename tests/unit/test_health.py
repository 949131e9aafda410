"""What the health of a crawl comes to, and checks that misbehave."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from scrapy_resilience.core import health as judge
from scrapy_resilience.core.health import Finding, Levels, as_finding, is_ready, overall
from scrapy_resilience.observe.endpoint.answers import health_json
from scrapy_resilience.observe.health.registry import HealthRegistry
from scrapy_resilience.observe.view import JobView, View


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


@pytest.mark.parametrize(
    ("value", "status"),
    [(0.0, "healthy"), (0.79, "healthy"), (0.8, "degraded"), (0.95, "unhealthy"),
     (7.0, "unhealthy"), (None, "unknown"), (float("nan"), "healthy")],
)  # fmt: skip
def test_levels(value, status):
    """From its level on something is worse."""
    assert Levels(0.8, 0.95).judge(value) == status


@pytest.mark.parametrize(
    ("parts", "status", "ready"),
    [
        ([], "unknown", True),
        ([("unknown", False)], "unknown", True),
        ([("unknown", False), ("healthy", False)], "healthy", True),
        ([("degraded", False), ("healthy", False)], "degraded", True),
        ([("unhealthy", False), ("healthy", False)], "unhealthy", False),
        ([("unhealthy", True), ("healthy", False)], "degraded", True),
        ([("degraded", True)] * 3, "degraded", True),
    ],
)
def test_the_whole(parts, status, ready):
    """The worst of what weighs; what only informs never makes it unhealthy."""
    assert overall(parts) == status
    assert is_ready(parts) is ready


def test_open_breakers_never_fail_readiness():
    """However many there are."""
    finding = judge.breakers({"open": 1000, "half_open": 2})
    assert finding == ("degraded", "2 half_open, 1000 open")
    assert is_ready([(finding.status, True)])


def test_the_frontier():
    """It is degraded when all that is left waits."""
    assert judge.frontier(5, 5).status == "degraded"
    assert judge.frontier(None, 0).status == "unknown"
    assert judge.frontier(5, 4).status == judge.frontier(0, 0).status == "healthy"


@pytest.mark.parametrize(
    ("age", "interval", "trouble", "status"),
    [(None, 5, "", "unknown"), (5, 5, "", "healthy"), (70, 5, "", "degraded"),
     (400, 5, "", "unhealthy"), (400, 100, "", "healthy"), (700, 100, "", "degraded"),
     (1, 5, "disk full", "unhealthy"), (None, 5, "disk full", "unhealthy")],
)  # fmt: skip
def test_the_store(age, interval, trouble, status):
    """By how late a commit is for its interval, and what is in its way."""
    assert judge.store(age, interval, trouble).status == status


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        (None, "healthy", ""),
        (True, "healthy", ""),
        (False, "unhealthy", ""),
        ("degraded", "degraded", ""),
        (("unhealthy", "no answer"), "unhealthy", "no answer"),
        (["degraded", 3], "degraded", "3"),
        (Finding("degraded", "slow"), "degraded", "slow"),
        ("fine", "unknown", "str"),
        (1, "unknown", "int"),
        ({}, "unknown", "dict"),
        (([], "x"), "unknown", "tuple"),
        (object(), "unknown", "object"),
    ],
)
def test_what_checks_answer(answer, status, detail):
    """Nonsense is unknown, and says what came."""
    found = as_finding(answer)
    assert found.status == status
    assert detail in found.detail


# --- the registry -------------------------------------------------------------------


def told(registry):
    """The status and detail of each component."""
    view = registry.view(View(job=JobView(state="running")))
    return {each.name: (each.status, each.detail) for each in view.components}


def test_checks_of_all_kinds():
    """Functions, coroutine functions, and functions that give a coroutine."""

    async def slow():
        await asyncio.sleep(0)
        return "degraded", "slow"

    async def scenario():
        registry = HealthRegistry()
        registry.register("thread", lambda: threading.current_thread().name)
        registry.register("async", slow)
        registry.register("gives", lambda: slow())  # noqa: PLW0108 - it is no coroutine function
        registry.register("fine", lambda: None)
        before = told(registry)
        await registry.refresh(5)
        return before, told(registry)

    before, after = run(scenario())

    assert set(before.values()) == {("unknown", "not checked yet")}
    assert after["thread"][0] == "unknown"  # its name is no status: but it was not this thread
    assert after["async"] == after["gives"] == ("degraded", "slow")
    assert after["fine"] == ("healthy", "")


def test_checks_that_raise(caplog):
    """They are unhealthy, and their error is shown without its secrets, in one line."""

    def fails():
        raise OSError("https://user:secret-word@db.example\n\x1b[2J")

    def leaves():
        raise SystemExit(3)

    async def scenario():
        registry = HealthRegistry()
        registry.register("fails", fails)
        registry.register("leaves", leaves)
        await registry.refresh(5)
        return told(registry)

    found = run(scenario())

    assert found["leaves"] == ("unhealthy", "SystemExit: 3")
    assert found["fails"][0] == "unhealthy"
    assert "db.example" in found["fails"][1]
    for text in (found["fails"][1], caplog.text.replace("\n", "")):
        assert "secret-word" not in text
        assert text.isprintable()


async def never():
    """Do not come back."""
    await asyncio.Event().wait()


async def stubborn():
    """Do not come back, and do not let oneself be cancelled either."""
    for _ in range(3):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


def test_checks_that_hang():
    """They are unhealthy in time, are not asked again while they hang, and keep nobody."""
    release, calls = threading.Event(), []

    def hangs():
        calls.append(1)
        release.wait(60)

    async def scenario():
        registry = HealthRegistry(timeout=0.05, interval=0.0)
        registry.register("thread", hangs)
        registry.register("never", never)
        registry.register("stubborn", stubborn)
        for _ in range(3):
            await registry.refresh(5)
        found = told(registry)
        registry.close()
        release.set()
        return found

    found = run(scenario())

    assert found == dict.fromkeys(
        ("thread", "never", "stubborn"), ("unhealthy", "no answer in 0.05 s")
    )
    assert calls == [1]


def test_who_looks_does_not_wait():
    """The answer that is known is given while a check is under way."""

    async def scenario():
        registry = HealthRegistry(timeout=60)
        registry.register("slow", never)
        await registry.refresh(0.01)
        found = told(registry)
        registry.close()
        return found

    assert run(scenario()) == {"slow": ("unknown", "not checked yet")}


def test_an_answer_is_good_for_a_while(fake_clock):
    """A check is asked again when its last answer has grown old, and somebody looks."""
    calls = []

    async def count():
        calls.append(1)

    async def scenario():
        registry = HealthRegistry(interval=10)
        registry.register("counted", count)
        found = []
        for passed in (0, 9, 1, 0):
            fake_clock.now += passed
            await registry.refresh(5)
            found.append(len(calls))
        checked = registry.view(View()).components[0].checked
        return found, checked

    assert run(scenario()) == ([1, 1, 2, 2], fake_clock.now)


def test_a_name_that_is_known_is_replaced():
    """The later check counts, with its recovery function; what can't be called is refused."""

    def recover():
        pass

    async def scenario():
        registry = HealthRegistry()
        registry.register("db", never)
        await registry.refresh(0)
        registry.register("db", lambda: True, recover)
        await registry.refresh(5)
        return told(registry), registry.recover_of("db"), registry.recover_of("other")

    assert run(scenario()) == ({"db": ("healthy", "")}, recover, None)
    for arguments in [("db", None), ("db", print, 3)]:
        with pytest.raises(TypeError, match="can't be called"):
            HealthRegistry().register(*arguments)


def test_what_the_crawl_knows_of_itself():
    """It is judged by the view; what raises is unknown, and what gives nothing is left out."""

    async def scenario():
        registry = HealthRegistry()
        registry.watch("breakers", lambda view: judge.breakers(view.breakers), informs=True)
        registry.watch("broken", lambda view: view.nothing)
        registry.watch("absent", lambda _: None)
        return registry.view(View(time=5.0, breakers={"open": 2}))

    health = run(scenario())

    assert health.status == "degraded"
    assert health.ready
    found = {each.name: (each.status, each.checked) for each in health.components}
    assert found == {"breakers": ("degraded", 5.0), "broken": ("unknown", 5.0)}


def test_a_crawl_that_closes_is_not_ready():
    """Whatever its components say."""
    view = View(job=JobView(state="closing"))
    assert not HealthRegistry().view(view).ready


def test_health_json():
    """Statuses are those of the draft, and times are ISO 8601."""
    import json  # noqa: PLC0415 - here only

    registry = HealthRegistry()
    registry.watch("disk", lambda _: Finding("unhealthy", "full"))
    registry.watch("cpu", lambda _: Finding("unknown"))
    view = View(time=0.5)

    found = json.loads(health_json(registry.view(view), view))

    assert found["status"] == "fail"
    assert found["checks"]["disk"] == [
        {"status": "fail", "output": "full", "time": "1970-01-01T00:00:00.500Z"}
    ]
    assert found["checks"]["cpu"][0]["status"] == "pass"

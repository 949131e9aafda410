"""``scrapy_resilience.cost``: for the crawl that calls it, for threads, and for scripts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Spider
from scrapy.utils.test import get_crawler

from scrapy_resilience import cost
from scrapy_resilience._scrapy.here import Here
from scrapy_resilience.cost import CostTracker, check_limits, track, tracking, usage
from scrapy_resilience.exceptions import BudgetExceededError, ConfigurationError
from scrapy_resilience.settings import Config
from scrapy_resilience.settings_checks import check_values


@pytest.fixture
def tracker(monkeypatch, fake_clock):  # noqa: ARG001 - it goes by that clock
    """One that all spend for."""
    tracker = CostTracker(
        {"captchas": 0.5},
        [
            {"resource": "captchas", "limit": 4, "per": 60},
            {"resource": "captchas", "limit": 2, "per": 60, "domain": "*"},
        ],
    )
    monkeypatch.setattr(cost, "_current", lambda: tracker)
    return tracker


def spent(view, resource="captchas"):
    """How much of a resource."""
    return {each.name: each.amount for each in view.resources}.get(resource, 0)


@pytest.mark.usefixtures("tracker")
def test_what_is_tracked():
    """It is counted, with its cost, for its domain; the last one that has room says False."""
    assert track("captchas", domain="A.test")
    assert not track("captchas", domain="a.test")
    assert track("captchas", domain="b.test")
    assert not track("captchas")

    view = usage()
    assert (view.total, spent(view)) == (2.0, 4)
    assert [(each.name, each.cost) for each in view.domains] == [("a.test", 1), ("b.test", 0.5)]
    assert [each.text for each in check_limits()] == [
        "4 captchas in 60 s",
        "2 captchas in 60 s for a.test",
    ]


def test_what_is_enforced(tracker, fake_clock):
    """It is refused before it is counted, and says when there is room."""
    track("captchas", 3)
    with pytest.raises(BudgetExceededError, match=r"4 captchas in 60 s is used up: room in 60"):
        track("captchas", 2, enforce=True)
    assert spent(usage()) == 3
    check_limits(enforce=True)

    track("captchas", 1, enforce=True)
    with pytest.raises(BudgetExceededError) as refused:
        check_limits(enforce=True)
    assert (refused.value.resource, refused.value.retry_after) == ("captchas", 60)
    fake_clock.advance(61)
    assert check_limits() == []
    with pytest.raises(BudgetExceededError) as refused:
        tracker.track("captchas", 5, enforce=True)
    assert refused.value.retry_after is None


@pytest.mark.usefixtures("tracker")
@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "7", None, True, 1e300])
def test_wrong_amounts(amount):
    """They are refused, and count nothing."""
    with pytest.raises(ValueError, match="captchas: amount="):
        track("captchas", amount)
    assert spent(usage()) == 0


@pytest.mark.usefixtures("tracker")
def test_unknown_resources():
    """A resource that nobody has declared is an error, not a new one."""
    for call in (track, CostTracker().tracking, lambda name: tracking(name).__enter__()):
        with pytest.raises(ConfigurationError, match="'captcha' is no resource that is known"):
            call("captcha")


@pytest.mark.usefixtures("tracker")
def test_no_password_is_kept():
    """Whatever somebody gives as proxy or domain."""
    track("captchas", domain="https://me:secret@A.test/", proxy="http://me:secret@p.test:80")

    assert [each.name for each in usage().domains] == ["a.test"]
    assert [each.name for each in usage().proxies] == ["p.test:80"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1000)), max_size=30))
def test_sums(steps):
    """All together is what its parts are."""
    tracker = CostTracker({"captchas": 0.5})
    for domain, amount in steps:
        tracker.track("captchas", amount, domain=domain, proxy=f"{domain}:80")
    view = tracker.usage()

    total = sum(amount for _, amount in steps)
    assert spent(view) == pytest.approx(total)
    assert view.total == pytest.approx(total / 2)
    for shares in (view.domains, view.proxies):
        assert sum(each.cost for each in shares) == pytest.approx(view.total)


# --- blocks -----------------------------------------------------------------------------------


def test_time_of_a_block(fake_clock):
    """It is charged for when the block ends, also with an error, and while it runs."""
    tracker = CostTracker()

    def spend():
        with tracker.tracking("browser_minutes", domain="a.test"):
            fake_clock.advance(90)
            assert spent(tracker.usage(), "browser_minutes") == 1.5
            fake_clock.advance(30)
            raise KeyError

    with pytest.raises(KeyError):
        spend()

    assert spent(tracker.usage(), "browser_minutes") == 2
    fake_clock.advance(60)
    assert spent(tracker.usage(), "browser_minutes") == 2


@pytest_twisted.ensureDeferred
async def test_async_blocks(fake_clock):
    """Likewise."""
    tracker = CostTracker()
    async with tracker.tracking("browser_minutes"):
        fake_clock.advance(60)

    assert spent(tracker.usage(), "browser_minutes") == 1


@pytest.mark.usefixtures("tracker")
def test_what_a_block_adds():
    """A resource that is no time costs what the block says."""
    with tracking("captchas", domain="a.test") as found:
        assert found.add(1)
        assert not found.add(1)

    assert spent(usage()) == 2


# --- of which crawl ---------------------------------------------------------------------------


def test_crawls_do_not_mix(monkeypatch):
    """Each counts what its own code tells; a thread's belongs to the only crawl there is."""
    monkeypatch.setattr(cost, "_here", Here("test"))  # without those of other tests
    crawlers = [get_crawler(Spider) for _ in range(2)]
    trackers, contexts = [CostTracker() for _ in crawlers], [Context(), Context()]
    for crawler, tracker, context in zip(crawlers, trackers, contexts, strict=True):
        context.run(cost.enter, crawler, tracker)
        context.run(track, "llm_tokens", 10)
    contexts[0].run(track, "llm_tokens", 5)
    before = spent(cost._outside.usage(), "llm_tokens")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(track, "llm_tokens", 1).result()
        cost.leave(crawlers[0])
        pool.submit(track, "llm_tokens", 3).result()
        cost.leave(crawlers[1])
        pool.submit(track, "llm_tokens", 1).result()

    assert [spent(each.usage(), "llm_tokens") for each in trackers] == [15, 13]
    assert spent(cost._outside.usage(), "llm_tokens") == before + 2


def test_many_threads():
    """Nothing is lost between them."""
    tracker = CostTracker(budgets=[{"resource": "llm_tokens", "limit": 1e9}])

    def spend(_):
        for _ in range(200):
            tracker.track("llm_tokens", 1, domain="a.test")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(spend, range(8)))
    assert spent(tracker.usage(), "llm_tokens") == 1600
    assert tracker.usage().budgets[0].used == 1600


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESILIENCE_PRICES", {"llm_tokens": 0}),
        ("RESILIENCE_BUDGETS", [{"resource": "requests", "limit": -1}]),
        ("RESILIENCE_BUDGETS", "hourly"),
        ("RESILIENCE_BUDGETS", 5),
    ],
)
def test_wrong_settings(name, value):
    """They are found before a job is opened, and named."""
    settings = get_crawler(Spider, {name: value}).settings

    with pytest.raises(ConfigurationError, match=name):
        check_values(settings, Config.from_settings(settings))

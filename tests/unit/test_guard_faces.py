"""What a view says of guards: sentences, counts by name, metrics that stay few."""

from __future__ import annotations

import pytest
from exposed import samples
from scrapy.utils.test import get_crawler

from scrapy_resilience.gates.crawl_pauses import pauses_of
from scrapy_resilience.guard.concurrency import concurrency_limit_of
from scrapy_resilience.guard.notify.summary import severity_of
from scrapy_resilience.observe.guards import Guards
from scrapy_resilience.observe.metrics.exposition import exposition
from scrapy_resilience.observe.sentences import eased_off, sentence
from scrapy_resilience.observe.view import (
    BudgetView,
    ConditionView,
    JobView,
    LadderView,
    PauseView,
    StuckView,
    View,
)
from scrapy_resilience.settings import Config
from scrapy_resilience.signals import guard_breached, guard_recovered

PAUSE = PauseView(reason="budget", text="the budget of $5.00 an hour is used up", until=160.0)
MEMORY = LadderView(
    resource="memory", rung="fewer", text="1,816 of 2,048 MB are used: 8 requests at a time"
)


def view(**guard):
    """Return the view of a crawl with these guards."""
    found = View(time=100.0)
    for name, value in guard.items():
        setattr(found.cost if name == "budgets" else found.guard, name, value)
    return found


def budget(used, limit=5.0, **more):
    """Return a budget in dollars."""
    return BudgetView(resource="usd", used=used, limit=limit, text="$5.00 an hour", **more)


# --- sentences --------------------------------------------------------------------------


def test_a_pause_says_when_it_ends():
    """Where that is known; the others follow."""
    assert sentence(view(pauses=[PAUSE])) == (
        "It is paused: the budget of $5.00 an hour is used up; it goes on in 60 s."
    )
    other = PauseView(reason="memory", text="too much memory is used")
    assert sentence(view(pauses=[other, PAUSE])) == "It is paused: too much memory is used."
    assert eased_off(view(pauses=[PAUSE, other])) == "Also paused: too much memory is used."


def test_a_stall_is_the_sentence():
    """Of what is stuck, a single callback is not."""
    stall = StuckView(kind="stall", text="Nothing has ended for 60 s: it waits for x")
    callback = StuckView(kind="callback", text="parse has run for 60 s")

    assert sentence(view(stuck=[callback, stall])) == f"{stall.text}."
    assert "parse" not in sentence(view(stuck=[callback]))


@pytest.mark.parametrize("rung", ["healthy", "clean"])
def test_a_crawl_that_is_not_slowed_down(rung):
    """Caches that are cleared cost nobody anything."""
    ladder = LadderView(resource="memory", rung=rung, text="caches were cleared")

    assert eased_off(view(ladders=[ladder])) == ""


def test_a_crawl_that_is_eased_off():
    """What was done is told, once: a pause for the same reason is in the other sentence."""
    assert eased_off(view(ladders=[MEMORY])) == f"Eased off: {MEMORY.text}."
    paused = PauseView(reason="memory", text="too much is used")
    assert eased_off(view(ladders=[MEMORY], pauses=[paused])) == ""


def test_a_budget_that_is_nearly_spent():
    """From 80 % on, with the time at which there is room again, and how many more."""
    assert eased_off(view(budgets=[budget(3.99)])) == ""
    assert eased_off(view(budgets=[budget(4.5, moves=130.0), budget(4.1), budget(1)])) == (
        "90 % of the budget of $5.00 an hour are spent, room again in 30 s, and 1 more budget "
        "above 80 %."
    )
    assert eased_off(view(budgets=[budget(5)], pauses=[PAUSE])) == ""


@pytest.mark.parametrize(("state", "said"), [("finished", False), ("stopped", True)])
def test_a_crawl_that_has_ended(state, said):
    """Nothing slows it down; a budget that is nearly spent is told while it may go on."""
    found = view(ladders=[MEMORY], budgets=[budget(4.5)])
    found.job.state = state

    assert eased_off(found) == "90 % of the budget of $5.00 an hour are spent." * said


# --- counts -----------------------------------------------------------------------------


@pytest.fixture
def crawler():
    """A crawler that does not run."""
    return get_crawler(settings_dict={"CONCURRENT_REQUESTS": 16})


def test_breaches_and_recoveries_are_counted_by_name(crawler):
    """Whoever tells of them."""
    guards = Guards(crawler)
    for _ in range(2):
        crawler.signals.send_catch_log(
            guard_breached, name="redis", status="unhealthy", detail=""
        )
    crawler.signals.send_catch_log(guard_recovered, name="redis", detail="")

    found = guards.view(0.0, 0.0)
    assert (found.breaches, found.recoveries) == ({"redis": 2}, {"redis": 1})


def test_names_are_few(crawler):
    """A component that is called otherwise each time costs a hundred names."""
    guards = Guards(crawler)
    for number in range(150):
        crawler.signals.send_catch_log(
            guard_breached, name=f"part {number}", status="unhealthy", detail=""
        )

    found = guards.view(0.0, 0.0).breaches
    assert len(found) == 101
    assert found["other"] == 50


def test_what_is_allowed_now(crawler):
    """And otherwise; pauses have times of the day."""
    guards = Guards(crawler)
    concurrency_limit_of(crawler).cap("memory", 4)
    pauses_of(crawler).pause("mine", "of my own", until=70.0)

    found = guards.view(50.0, 1_000.0)
    assert (found.concurrency, found.most) == (4, 16)
    assert [(each.reason, each.until) for each in found.pauses] == [("mine", 1_020.0)]


# --- metrics ----------------------------------------------------------------------------


def exported(found, metric):
    """Return the values of a metric by its label beside the spider."""
    return {
        next(text for label, text in labels if label != "spider"): value
        for (name, labels), value in samples(exposition(found)).items()
        if name == f"scrapy_resilience_{metric}"
    }


def test_reasons_of_pauses_that_are_ours_are_always_there():
    """0 while there is none, so that an alert ends."""
    assert exported(view(), "paused") == {"abort": 0, "budget": 0, "disk": 0, "memory": 0}
    found = exported(view(pauses=[PAUSE, PauseView(reason="mine")]), "paused")
    assert {name for name, value in found.items() if value} == {"budget", "mine"}


def test_budgets_of_many_domains_are_one_series():
    """That of the fullest one."""
    each = [
        BudgetView(
            resource="requests", limit=10, used=10 - number, scope="domain",
            name=f"{number}.test", text=f"10 requests an hour for {number}.test",
        )
        for number in range(5)
    ]  # fmt: skip
    found = exported(view(budgets=[budget(4), *each]), "budget_used")

    assert found == {"$5.00 an hour": 4, "10 requests an hour for a domain": 10}


def test_limits_are_those_of_a_policy():
    """A condition without one, or whose value is not known, has no such series."""
    found = View()
    found.abort.conditions = [
        ConditionView(name="cost", value=3.0),
        ConditionView(name="no_item_for", limit=900.0),
        ConditionView(name="failure_rate", value=0.4, limit=0.3, met=True),
    ]

    assert exported(found, "abort_value") == {"cost": 3.0, "failure_rate": 0.4}
    assert exported(found, "abort_limit") == {"no_item_for": 900.0, "failure_rate": 0.3}
    assert exported(found, "abort_met") == {"cost": 0, "no_item_for": 0, "failure_rate": 1}


# --- how it ended -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "settings", "severity"),
    [
        ({"reason": "finished"}, {}, "info"),
        ({"reason": "finished", "incomplete": True}, {}, "warning"),
        ({"reason": "finished", "incomplete": True}, {"incomplete_exit_code": 1}, "error"),
        ({"reason": "finished", "incomplete": True}, {"incomplete_exit_code": 3}, "warning"),
        ({"reason": "shutdown", "incomplete": True}, {"incomplete_exit_code": 1}, "warning"),
        ({"reason": "start_error", "incomplete": True}, {}, "error"),
        ({"reason": "resilience_abort_x", "incomplete": True}, {}, "warning"),
        ({"reason": "resilience_abort_x", "incomplete": True}, {"abort_fails": True}, "error"),
    ],
)  # fmt: skip
def test_an_end_with_exit_code_1_is_an_error(job, settings, severity):
    """Whatever it is the code of, also what could not be stored."""
    found = View(job=JobView(**job))

    assert severity_of(found, Config(**settings)) == severity
    assert severity_of(found, Config(**settings), failed=True) == "error"

"""Abort policies and their conditions: pure, on numbers."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.abort import (
    ACTIONS,
    POLICIES,
    Facts,
    Policy,
    evaluate,
    policies_from,
    sentence,
)
from scrapy_resilience.core.abort_tally import Recent, Tally
from scrapy_resilience.exceptions import ConfigurationError

NAMES = ("failure_rate", "failures_in_a_row", "no_item_for", "cost", "open_domains",
         "confidence", "drift_alarms", "dead_letters")  # fmt: skip


def made(**told):
    """A policy of these conditions."""
    return policies_from({"mine": told}, "S")["mine"]


def met(policy, values=None, **facts):
    """Names of the conditions that are met."""
    found = evaluate(policy, Facts(values or {}, **facts))
    return [each.name for each in found if each.met]


# --- policies -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "row", "seconds"),
    [
        ("conservative", 0.5, 50, 1800),
        ("production", 0.3, 30, 900),
        ("development", 0.9, 200, None),
    ],
)
def test_the_built_in_ones(name, rate, row, seconds):
    """They are those of the promise."""
    limits = POLICIES[name].limits
    assert limits["failure_rate"] == rate
    assert limits["failures_in_a_row"] == row
    assert limits.get("no_item_for") == seconds
    assert "close" in POLICIES[name].actions


def test_one_is_changed():
    """What is not told stays, None takes a condition away; the built-in one is as it was."""
    told = {"production": {"failures_in_a_row": 100, "no_item_for": None, "actions": "pause"}}
    found = policies_from(told, "S")["production"]
    assert found.limits == {"failure_rate": 0.3, "failures_in_a_row": 100}
    assert found.actions == ("pause",)
    assert POLICIES["production"].limits["failures_in_a_row"] == 30


def test_one_of_its_own():
    """It begins without conditions, and its actions have their order."""
    found = made(cost=5, actions=["close", "snapshot", "close"], coverage={"price": 0.5})
    assert found == Policy("mine", {"cost": 5.0}, {"price": 0.5}, None, ("snapshot", "close"))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"failure_rate": 0}, "['failure_rate']=0: use a number above 0, and 1 at most"),
        ({"failure_rate": 1.5}, "1 at most"),
        ({"failure_rate": math.nan}, "['failure_rate']=nan"),
        ({"failure_rate": True}, "['failure_rate']=True"),
        ({"failure_rate": "0.5"}, "['failure_rate']='0.5'"),
        ({"failures_in_a_row": 1.5}, "use a whole number, 1 or more"),
        ({"failures_in_a_row": 0}, "use a whole number, 1 or more"),
        ({"no_item_for": -1}, "use a number above 0"),
        ({"no_item_for": math.inf}, "use a number above 0"),
        ({"cost": -0.01}, "use a number above 0"),
        ({"cost": 10**400}, "use a number above 0"),
        ({"cost": 10**9999}, "=int: use a number above 0"),
        ({"cost": [1]}, "['cost']=[1]"),
        ({"confidence": 2}, "1 at most"),
        ({"drift_alarms": -3}, "whole number"),
        ({"dead_letters": 0.5}, "whole number"),
        ({"coverage": 0.5}, "use a dict of fields"),
        ({"coverage": {"price": 2}}, "['coverage']['price']=2"),
        ({"coverage": {5: 0.5}}, "5 is not the name of a field"),
        ({"coverage": {"": 0.5}}, "'' is not the name of a field"),
        ({"coverage": {str(n): 0.5 for n in range(51)}}, "50 of them at most"),
        ({"actions": []}, "use some of snapshot, notify, pause, close"),
        ({"actions": ["stop"]}, "use some of"),
        ({"actions": 5}, "use some of"),
        ({"actions": [["close"]]}, "use some of"),
        (
            {"failur_rate": 0.5},
            "['failur_rate']: no condition has this name: use one of failure",
        ),
        ({}, "has no condition"),
        ({"actions": "close"}, "has no condition"),
        ({"cost": None, "coverage": None, "function": None}, "has no condition"),
        ([], "use a dict of conditions"),
        (None, "use a dict of conditions"),
    ],
)
def test_wrong_ones(told, words):
    """The error names the place and what to change."""
    with pytest.raises(ConfigurationError) as raised:
        policies_from({"mine": told}, "S")
    assert str(raised.value).startswith("S['mine']")
    assert words in str(raised.value)


@pytest.mark.parametrize("name", ["", "on", "off", "handler", "a b", "a/b", "ü", "x" * 41, 5.5])
def test_names_that_are_none(name):
    """A name is part of a close reason."""
    with pytest.raises(ConfigurationError, match="for the name of an abort policy"):
        policies_from({name: {"cost": 1}}, "S")


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*NAMES, "coverage", "actions", "x"]), inner, max_size=4),
    max_leaves=8,
))  # fmt: skip
def test_anything(told):
    """Whatever a setting holds is a policy or a clear error."""
    with suppress(ConfigurationError):
        found = policies_from({"mine": told}, "S")["mine"]
        assert found.limits or found.coverage
        assert set(found.actions) <= set(ACTIONS)
        assert all(0 < limit < math.inf for limit in found.limits.values())


# --- conditions ---------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name != "confidence"])
def test_met_at_the_limit(name):
    """From the limit on, and not below it."""
    limit = 1.0 if name in {"failure_rate", "open_domains"} else 10.0
    policy = made(**{name: limit})
    assert met(policy, {name: limit}) == [name]
    assert met(policy, {name: limit * 0.999}) == []
    assert met(policy, {name: None}) == []
    assert met(policy) == []


def test_met_below_the_limit():
    """A confidence or a share of a field is too low below its limit, and not at it."""
    policy = made(confidence=0.5, coverage={"price": 0.9})
    assert met(policy, {"confidence": 0.5}, coverage={"price": 0.9}) == []
    low = met(policy, {"confidence": 0.49}, coverage={"price": 0.0})
    assert low == ["confidence", "coverage.price"]
    assert met(policy, {"confidence": None}, coverage={"price": None}) == []


def test_every_condition_is_shown():
    """Those without a limit too, and without a policy all of them but those of its own."""
    values = dict.fromkeys(NAMES, 0.5)
    found = evaluate(None, Facts(values))
    assert [(each.name, each.value, each.limit, each.met) for each in found] == [
        (name, 0.5, None, False) for name in NAMES
    ]
    assert [each.name for each in evaluate(made(cost=1), Facts())] == list(NAMES)


def test_what_a_function_says():
    """Its words are those of the reason."""
    policy = made(function=len)
    assert met(policy, asked=True) == []
    [found] = [each for each in evaluate(policy, Facts()) if each.name == "function"]
    assert (found.value, found.text) == (None, "not asked yet")
    assert met(policy, asked=True, function="the shop is closed") == ["function"]


def test_the_sentence():
    """It names each condition that was met, its value and its limit."""
    policy = made(failures_in_a_row=30, coverage={"price": 0.9}, function=len, cost=5)
    facts = Facts(
        {"failures_in_a_row": 31, "cost": 5.25}, {"price": 0.42}, "no more", asked=True
    )
    told = sentence([each for each in evaluate(policy, facts) if each.met])
    assert told == (
        "31 failures in a row (limit: 30), a cost of 5.25 (limit: 5), 42% of the last items "
        "have price (limit: 0.9), no more"
    )


# --- windows ------------------------------------------------------------------------


@given(
    st.lists(st.booleans(), max_size=300),
    st.integers(10, 60),
    st.lists(st.integers(0, 299), max_size=5),
)
def test_a_window(outcomes, size, restarts):
    """Its share is that of the last *size* outcomes and a tenth more, over restarts, too."""
    recent, count, total = Recent(size), 0, 0
    for at, failed in enumerate(outcomes):
        count, total = count + 1, total + failed
        recent.put(count, total)
        if at in restarts:
            saved = recent.save()
            recent = Recent(size)
            recent.restore(saved)
        spanned = round(recent.count)
        step = math.ceil(size / 10)
        assert min(at + 1, size) <= spanned <= min(at + 1, size + step)
        last = outcomes[at + 1 - spanned : at + 1]
        assert recent.mean() == pytest.approx(sum(last) / spanned)
        assert len(recent.save()) <= 14


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1)), max_size=50))
def test_a_window_that_is_looked_at_seldom(steps):
    """A mean stays one, however many came between two looks, and it is bounded."""
    recent, count, total = Recent(100), 0, 0.0
    for many, score in steps:
        count, total = count + many, total + many * score
        recent.put(count, total)
        mean = recent.mean()
        assert mean is None or -1e-6 <= mean <= 1 + 1e-6
        assert recent.count <= count
        assert recent.count >= min(count, 100)
        assert len(recent.save()) <= 14


def test_counts_that_begin_anew():
    """A counter that was lost is no negative share."""
    recent = Recent(10)
    recent.put(500, 400)
    recent.put(3, 1)
    assert recent.mean() == pytest.approx(1 / 3)


def test_a_mean_of_few():
    """It is none where it would be of fewer than wanted."""
    recent = Recent(10)
    assert recent.mean() is None
    recent.put(4, 2)
    assert recent.mean(5) is None
    assert recent.mean(4) == 0.5


# --- the tally ----------------------------------------------------------------------


def tally_of(*outcomes, window=20):
    """A tally of successes and failures."""
    tally = Tally(window)
    for failed in outcomes:
        (tally.failed if failed else tally.succeeded)()
    return tally


def test_a_crawl_that_goes_wrong_at_its_end():
    """Two days of successes do not hide an hour of failures."""
    tally = tally_of(*[False] * 100_000, *[True] * 30, window=200)
    assert tally.window().mean() == pytest.approx(30 / 210, abs=0.01)
    for _ in range(190):
        tally.failed()
    assert tally.window().mean() == 1.0
    assert tally.operations == 100_220


@given(st.lists(st.booleans(), max_size=100), st.integers(0, 100))
def test_failures_in_a_row(outcomes, kill):
    """They are those since the last success, over a kill, too."""
    tally = Tally(20)
    for at, failed in enumerate(outcomes):
        if at == kill:
            saved, tally = tally.save(), Tally(20)
            tally.restore(saved)
        (tally.failed if failed else tally.succeeded)()
    row = 0
    for failed in reversed(outcomes):
        if not failed:
            break
        row += 1
    assert (tally.row, tally.operations) == (row, len(outcomes))
    assert tally.failures == sum(outcomes)


def look(tally, now, items=0, pages=0, *, busy=True, paused=False):
    """A look at a moment."""
    tally.look(now, items=items, pages=pages, busy=busy, paused=paused)


def test_time_without_an_item():
    """It grows while pages may come, and ends with an item."""
    tally = Tally(20)
    for now in range(11):
        look(tally, now)
    assert tally.idle == 10
    look(tally, 11, items=1)
    assert tally.idle == 0
    look(tally, 12, items=1)
    assert tally.idle == 1


def test_time_in_which_no_item_can_come():
    """A pause does not count, nor does a crawl that waits and gets no page."""
    tally = Tally(20)
    for now in range(100):
        look(tally, now, paused=True)
    for now in range(100, 200):
        look(tally, now, busy=False)
    assert tally.idle == 0


def test_a_slow_site():
    """One page a minute is work: its pages bring no item."""
    tally = Tally(20)
    for now in range(600):
        look(tally, now, pages=now // 50, busy=False)
    assert tally.idle == pytest.approx(549, abs=2)


def test_a_machine_that_slept():
    """The night does not count, and neither does a clock that goes back."""
    tally = Tally(20)
    look(tally, 0)
    look(tally, 30_000)
    look(tally, 20_000)
    assert 0 <= tally.idle <= 5
    assert tally.since == tally.idle


def test_time_over_kills():
    """A kill each 30 seconds resets neither the time without an item nor that until a look."""
    saved = None
    for _ in range(10):
        tally = Tally(20)
        if saved is not None:
            tally.restore(saved)
        for now in range(31):
            look(tally, now)
        saved = tally.save()
    assert tally.idle == tally.since == 300


def test_the_run_after_an_abort():
    """It begins with nothing but what is known of domains."""
    tally = Tally(20, ["coverage.price"])
    for _ in range(30):
        tally.failed()
    tally.window("coverage.price").put(500, 0)
    tally.domains, tally.drift = 50, 3
    look(tally, 0)
    look(tally, 5)
    tally.begin_anew()
    assert (tally.operations, tally.row, tally.idle, tally.since, tally.drift) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert tally.window().mean() is None
    assert tally.domains == 50
    tally.window("coverage.price").put(520, 20)
    assert tally.window("coverage.price").mean() == 1.0
    tally.succeeded()
    assert tally.window().mean() == 0.0


@pytest.mark.parametrize(
    "saved", [None, 5, [], "x", [1, 2], [1, 1, 1, 1.0, 1.0, 1, 1, 5], [None] * 8]
)
def test_what_can_not_be_restored(saved):
    """It is refused as a whole."""
    tally = tally_of(1)
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's own
        tally.restore(saved)
    assert tally.operations == 1


def test_windows_of_another_policy():
    """Fields that no policy asks for any more are not kept."""
    before = Tally(20, ["coverage.old", "coverage.price"])
    before.window("coverage.old").put(5, 5)
    before.window("coverage.price").put(30, 3)
    after = Tally(20, ["coverage.price", "coverage.new"])
    after.restore(before.save())
    assert after.window("coverage.price").mean() == pytest.approx(0.1)
    assert after.window("coverage.new").mean() is None
    assert "coverage.old" not in after.save()[-1]


@given(st.lists(st.booleans(), max_size=2000))
def test_a_small_state(outcomes):
    """What a commit holds of it does not grow."""
    names = [f"coverage.f{number}" for number in range(50)]
    tally = Tally(200, names)
    for failed in outcomes:
        (tally.failed if failed else tally.succeeded)()
    assert len(str(tally.save())) < 6_000

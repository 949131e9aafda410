"""Backoff, budgets, and the cap on retries under way."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.backoff import (
    POLICIES,
    RetryBudgets,
    RetryChances,
    RetryPacer,
    RetryPolicy,
    fast_backoff,
    policies_from,
)
from scrapy_resilience.core.failures import Verdict
from scrapy_resilience.exceptions import ConfigurationError

# --- policies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exponential_backoff", (3, 1, 2, 60, 0.5)),
        ("conservative", (3, 5, 2, 300, 0.5)),
        ("aggressive", (10, 0.5, 1.5, 120, 0.3)),
        ("production", (3, 5, 2, 300, 0.5)),
        ("development", (10, 0.5, 1.5, 120, 0)),
    ],
)
def test_named_policies(name, expected):
    """Each named policy has the numbers that are promised."""
    policy = POLICIES[name]

    found = policy.attempts, policy.base, policy.multiplier, policy.max_delay, policy.jitter
    assert found == expected
    assert policy.throttled_base == 5


def test_without_jitter_the_delay_grows_by_the_multiplier():
    """base, base * multiplier, … up to the largest delay."""
    policy = RetryPolicy(base=1, multiplier=3, max_delay=20, jitter=0)

    assert [policy.delay(n, random.random) for n in (1, 2, 3, 4, 5)] == [1, 3, 9, 20, 20]


def test_what_was_throttled_waits_longer_at_once():
    """A throttled request begins at 5 s, or at a base that is more, up to the largest delay."""
    quick, slow = RetryPolicy(jitter=0), RetryPolicy(base=8, jitter=0)

    assert quick.delay(1, random.random, "throttled") == 5
    assert quick.delay(2, random.random, "throttled") == 10
    assert slow.delay(1, random.random, "throttled") == 8
    assert RetryPolicy(base=1, max_delay=2).delay(1, random.random, "throttled") <= 2


policies = st.builds(
    RetryPolicy,
    base=st.floats(0.001, 100),
    multiplier=st.floats(1, 1e9),
    max_delay=st.floats(100, 1e9),
    jitter=st.floats(0, 1),
    throttled_base=st.floats(0.001, 1e9),
)


@given(
    policies,
    st.integers(1, 10**30),
    st.floats(0, 1),
    st.sampled_from([None, "throttled", "transient"]),
)
def test_delays_are_bounded(policy, attempt, chance, failure_class):
    """No policy, try or chance gives a negative delay or one above the largest."""
    delay = policy.delay(attempt, lambda: chance, failure_class)

    assert 0 <= delay <= policy.max_delay


@given(policies, st.integers(1, 40), st.floats(0, 1))
def test_jitter_is_a_share_of_the_delay(policy, attempt, chance):
    """A delay differs from the one without jitter by no more than the jitter."""
    middle = policy.delay(attempt, lambda: 0.5)
    delay = policy.delay(attempt, lambda: chance)

    assert middle * (1 - policy.jitter) * 0.999 <= delay <= middle * (1 + policy.jitter) * 1.001


@given(policies, st.integers(1, 10**6))
def test_delays_do_not_shrink(policy, attempt):
    """A later try never waits less, jitter aside."""
    assert policy.delay(attempt + 1, lambda: 0.5) >= policy.delay(attempt, lambda: 0.5) * 0.999


def test_custom_policies():
    """A new name starts from exponential_backoff, a known one changes itself."""
    found = policies_from({"patient": {"attempts": 8}, "aggressive": {"jitter": 0}}, "SETTING")

    assert found["patient"] == RetryPolicy(attempts=8)
    assert (found["aggressive"].attempts, found["aggressive"].jitter) == (10, 0)
    assert found["conservative"] == POLICIES["conservative"]
    assert POLICIES["aggressive"].jitter == 0.3


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"attempts": 0}, "attempts=0: use a whole number from 1"),
        ({"attempts": -1}, "attempts=-1"),
        ({"attempts": 2.5}, "attempts=2.5: use a whole number"),
        ({"attempts": True}, "attempts=True"),
        ({"attempts": "3"}, "attempts='3'"),
        ({"attempts": 10**400}, "attempts=1000"),
        ({"base": 0}, "base=0: use a number from 0.001"),
        ({"base": -1}, "base=-1"),
        ({"base": float("nan")}, "base=nan"),
        ({"multiplier": 0.5}, "multiplier=0.5: use a number from 1"),
        ({"multiplier": float("inf")}, "multiplier=inf"),
        ({"max_delay": 0}, "max_delay=0"),
        ({"max_delay": 0.5}, "base=1.0: use a number of at most max_delay=0.5"),
        ({"jitter": -0.1}, "jitter=-0.1"),
        ({"jitter": 1.5}, "jitter=1.5: use a number from 0 to 1"),
        ({"throttled_base": None}, "throttled_base=None"),
        ({"atempts": 3}, "'atempts' is not part of a policy. Did you mean attempts?"),
        ({"zzz": 3}, "'zzz' is not part of a policy. Use attempts, base"),
        ({"patterns": ["a"]}, "use a dict of failure classes as patterns"),
        ({"patterns": {"permanent": ["("]}}, "'(' is not a regular expression"),
        ([], "use a dict such as"),
    ],
    ids=repr,
)
def test_bad_policies_are_refused(values, problem):
    """An error names the setting, the policy and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        policies_from({"mine": values}, "RESILIENCE_RETRY_POLICIES")

    assert str(caught.value).startswith("RESILIENCE_RETRY_POLICIES['mine']")
    assert problem in str(caught.value)


def test_patterns_of_a_policy_change_the_class():
    """A policy may call permanent what is transient elsewhere."""
    policy = policies_from({"mine": {"patterns": {"permanent": ["HTTP 503"]}}}, "S")["mine"]

    assert policy.refine(Verdict("server_error", "HTTP 503")).failure_class == "permanent"
    assert policy.refine(Verdict("server_error", "HTTP 502")).failure_class == "server_error"
    assert policy.refine(Verdict(None, "HTTP 503")).failure_class is None


# --- budgets -----------------------------------------------------------------------------


def test_the_reserve_is_free():
    """A small site may retry all of its pages once."""
    budgets = RetryBudgets()

    assert [budgets.retry("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert budgets.retry("a", 0.0) == pytest.approx(1)
    assert budgets.retry("a", 0.0) == pytest.approx(2)


def test_who_answers_a_third_is_never_slowed_down():
    """Two retries of three fail, and each answer brings three."""
    budgets = RetryBudgets()
    waits = []
    for _ in range(1000):
        waits += [budgets.retry("a", 0.0) for _ in range(3)]
        budgets.answered("a", 0.0)

    assert max(waits) == 0.0


def test_what_fails_before_the_first_answers_is_not_slowed_down():
    """Every page fails once, eight at a time: fifty have failed when the first retries come."""
    budgets = RetryBudgets()
    waits = [budgets.retry("a", 0.0) for _ in range(50)]
    for _ in range(200):
        budgets.answered("a", 1.0)
        waits.append(budgets.retry("a", 1.0))

    assert max(waits) == 0.0


def test_who_answers_nothing_is_slowed_down():
    """Beyond its reserve it gets a retry each second."""
    budgets = RetryBudgets()

    assert budgets.retry("a", 0.0) == 0.0
    for _ in range(149):
        wait = budgets.retry("a", 0.0)

    assert wait == pytest.approx(90)


def test_what_answers_bring_is_bounded():
    """A domain that was well for long has 1,500 retries beyond its reserve, not millions."""
    budgets = RetryBudgets()
    budgets.retry("a", 0.0)
    for _ in range(100_000):
        budgets.answered("a", 0.0)

    waits = [budgets.retry("a", 0.0) for _ in range(1570)]

    assert waits.count(0.0) == 1560


def test_the_reserve_comes_back():
    """After a minute without retries the reserve is whole again, and not more than that."""
    budgets = RetryBudgets()
    for _ in range(60):
        budgets.retry("a", 0.0)

    waits = [budgets.retry("a", 600.0) for _ in range(61)]

    assert waits[:60] == [0.0] * 60
    assert waits[60] > 0


def test_domains_have_budgets_of_their_own():
    """What one domain has used up, another one has."""
    budgets = RetryBudgets()
    for _ in range(61):
        budgets.retry("a", 0.0)

    assert budgets.retry("b", 0.0) == 0


def test_a_clock_that_goes_back_takes_nothing():
    """Time that runs backwards neither earns nor costs a retry."""
    budgets = RetryBudgets()
    for _ in range(60):
        budgets.retry("a", 1_000.0)

    assert budgets.retry("a", -1e9) == pytest.approx(1)


def test_budgets_are_bounded():
    """No number of domains makes the budgets grow beyond their bound."""
    budgets = RetryBudgets(most=100)
    for number in range(1_000):
        budgets.retry(f"h{number}", float(number))

    assert len(budgets) == 100


@given(st.lists(st.tuples(st.booleans(), st.floats(-1e6, 1e6)), max_size=200))
def test_waits_are_never_negative(events):
    """Whatever happens when, a wait is 0 or more and grows only with retries."""
    budgets = RetryBudgets()
    retries = 0
    for is_retry, now in events:
        if is_retry:
            retries += 1
            assert 0 <= budgets.retry("a", now) <= retries
        else:
            budgets.answered("a", now)


# --- what a domain is worth --------------------------------------------------------------


def chances(succeeded, of):
    """Return the chances after so many retries, spread evenly."""
    found = RetryChances()
    for number in range(of):
        found.add(succeeded=number * succeeded // of < (number + 1) * succeeded // of)
    return found


def test_a_domain_without_retries_is_worth_nineteen_tries():
    """As if two of five of its retries succeeded, until more is known."""
    assert RetryChances().tries == 19


@pytest.mark.parametrize(
    ("succeeded", "tries"), [(100, 3), (90, 5), (50, 14), (40, 18), (30, 25), (16, 25), (5, 3)]
)
def test_tries_follow_the_retries_that_succeed(succeeded, tries):
    """As many that a page is missed once in 10,000 times, up to 25; 3 where hope is small."""
    assert chances(succeeded, of=100).tries == pytest.approx(tries, abs=1)


def test_the_last_hundred_retries_count():
    """A domain that gets better is soon worth what it is now."""
    found = chances(0, of=500)
    assert found.tries == 3

    for _ in range(300):
        found.add(succeeded=True)

    assert found.tries == 4


@given(st.lists(st.booleans(), max_size=500))
def test_tries_are_bounded(outcomes):
    """Whatever retries bring, a page has from 3 to 25 tries."""
    found = RetryChances()
    for succeeded in outcomes:
        found.add(succeeded=succeeded)

    assert 3 <= found.tries <= 25


@pytest.mark.parametrize(
    ("attempt", "most"), [(1, 0.1), (2, 0.2), (3, 0.4), (5, 1.6), (6, 1.6), (10**9, 1.6)]
)
def test_a_fast_backoff(attempt, most):
    """It doubles from a tenth of a second, at most 1.6 s; chance takes at most half away."""
    assert fast_backoff(attempt, lambda: 1.0) == most
    assert fast_backoff(attempt, lambda: 0.0) == most / 2


# --- the cap -----------------------------------------------------------------------------


def test_below_the_cap_nobody_waits():
    """Four of five places taken: the fifth is free."""
    assert RetryPacer(5).wait(4, 0.0) == 0


def test_beyond_the_cap_waits_are_spread():
    """Retries that find no place come again in turn, as fast as places are freed."""
    pacer = RetryPacer(5)
    for _ in range(50):
        pacer.took(1.0)

    waits = [pacer.wait(5, 100.0) for _ in range(10)]

    steps = [b - a for a, b in pairwise(waits)]
    assert waits[0] > 0
    assert all(step == pytest.approx(0.2, rel=0.01) for step in steps)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(-1e4, 1e4), st.floats(-10, 1e6))))
def test_a_wait_is_bounded(events):
    """Whatever the clock does, nobody waits for ever."""
    pacer = RetryPacer(5)
    for busy, now, took in events:
        wait = pacer.wait(busy, now)
        assert (wait == 0) is (busy < 5)
        assert wait <= 60
        pacer.took(took)

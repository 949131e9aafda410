"""What the settings say of a domain."""

from __future__ import annotations

import pytest
from scrapy import Spider
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.ratelimit import Rate
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.gates.domains import Domains
from scrapy_resilience.settings import Config


def domains(**config):
    """Return the domains of a crawl with these settings."""
    return Domains(get_crawler(Spider).settings, Config(**config))


def test_breakers_that_are_off_never_open():
    """No rule that opens one is left, that of slow calls included."""
    found = domains(breaker_enabled=False, breaker_slow_call_duration=5.0).breaker("a.test")

    assert found.failure_threshold == found.failure_rate == found.slow_call_duration == 0


def test_a_domain_may_have_a_breaker_where_others_have_none():
    """Its own settings say so, and leave the rest as it is."""
    own = {"b.test": {"failure_threshold": 2}}
    found = domains(breaker_enabled=False, breaker_domains=own)

    assert found.breaker("b.test").failure_threshold == 2
    assert found.breaker("b.test").failure_rate == 0
    assert found.breaker("a.test").failure_threshold == 0


def test_a_domain_has_settings_upon_those_of_all():
    """What its table does not name is as for the others."""
    own = {"b.test": {"recovery_timeout": 9.0, "open_action": "fail"}}
    found = domains(breaker_domains=own, breaker_min_calls=3)

    assert (found.breaker("b.test").min_calls, found.breaker("b.test").recovery_timeout) == (
        3,
        9,
    )
    assert (found.action("a.test"), found.action("b.test")) == ("hold", "fail")


@pytest.mark.parametrize("path", ["no.such", "os.sep", "x"])
def test_the_function_of_domains_is_one(path):
    """Another path is refused at the start, not found out with each request."""
    with pytest.raises(ConfigurationError, match=r"BREAKER_DOMAIN=.*the import path"):
        domains(breaker_domain=path)


def test_a_domain_may_be_given_up_sooner():
    """Or never; the others are as the setting says."""
    own = {"a.test": {"max_trips": 0}, "b.test": {"max_trips": -1}}
    found = domains(breaker_max_trips=3, breaker_domains=own)

    assert [found.patience(f"{name}.test").trips for name in "abc"] == [0, -1, 3]


@pytest.mark.parametrize(
    ("value", "patience"),
    [(5, (5, 5)), ([5, 60.5], (5, 60.5)), ([0], (0, 0)), ((1, 2), (1, 2))],
)
def test_patience_is_for_two_kinds_of_domains(value, patience):
    """One number is for those that never answered and for those that have, two are for each."""
    own = {"b.test": {"give_up_after": value, "max_trips": 7}}
    found = domains(breaker_give_up_after=value, breaker_domains=own)

    assert found.patience("a.test")[:2] == patience
    assert found.patience("b.test") == (*patience, 7)


@pytest.mark.parametrize("value", [None, True, -1, "60", [], [1, 2, 3], [1, "2"], float("nan")])
def test_patience_is_seconds(value):
    """The error names the setting, or the domain."""
    with pytest.raises(ConfigurationError, match=r"BREAKER_GIVE_UP_AFTER=.*use seconds"):
        domains(breaker_give_up_after=value)
    with pytest.raises(ConfigurationError, match=r"a\.test: give_up_after=.*use seconds"):
        domains(breaker_domains={"a.test": {"give_up_after": value}})


@pytest.mark.parametrize("value", [-2, True, 1.5, "3", None])
def test_trips_are_a_whole_number(value):
    """The error names the domain."""
    with pytest.raises(ConfigurationError, match=r"BREAKER_DOMAINS: a\.test: max_trips="):
        domains(breaker_domains={"a.test": {"max_trips": value}})


def test_the_star_is_for_each_other_domain():
    """A rate of its own comes first; without a star there is no limit."""
    limits = {"a.test": "1/s", "*": "60/m burst 5"}

    assert domains(rate_limits=limits).rate("a.test") == Rate(1.0)
    assert domains(rate_limits=limits).rate("b.test") == Rate(1.0, 5)
    assert domains(rate_limits={"a.test": 1}).rate("b.test") is None

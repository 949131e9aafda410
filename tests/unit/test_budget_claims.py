"""Budgets: what settings may say, whose spending counts in which, and what is told."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core import budget_claims as module
from scrapy_resilience.core.budget import parse_budgets
from scrapy_resilience.core.budget_claims import Budgets
from scrapy_resilience.core.spending import DOLLARS, Prices, Totals, amount_of, units
from scrapy_resilience.exceptions import ConfigurationError

PRICES = Prices({"requests": 0.25, "captchas": 0.003})
ONE = (PRICES.spend("requests", 1),)


def make(*given, prices=PRICES):
    """Budgets as settings give them."""
    return Budgets(parse_budgets(given, prices))


def until(found):
    """When a refusal ends; 0 for none."""
    return 0.0 if found is None else found.until


# --- prices -----------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [0, -1, nan, inf, "1", True, [1], 1e300, -0.0])
def test_wrong_prices(price):
    """They are refused, and the resource is named."""
    with pytest.raises(ConfigurationError, match=r"llm_tokens=.*use dollars above 0"):
        Prices({"llm_tokens": price})


@pytest.mark.parametrize("name", ["", " ", DOLLARS])
def test_wrong_names_of_resources(name):
    """Money has no price."""
    with pytest.raises(ConfigurationError, match="is no name of a resource"):
        Prices({name: 1.0})


def test_prices_are_beside_the_defaults():
    """One of the user's replaces the default, None takes it away."""
    prices = Prices({"llm_tokens": 0.5, "proxy_requests": None, "captchas": 2})

    assert prices["llm_tokens"] == 0.5
    assert prices["browser_minutes"] == 0.001
    assert "proxy_requests" not in prices
    assert prices.spend("captchas", 3).cost == units(6)
    assert prices.spend("proxy_requests", 3).cost == 0


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_small_sums_are_exact(amounts):
    """What is added and taken back leaves nothing."""
    totals = Totals()
    spends = [PRICES.spend("captchas", amount) for amount in amounts]
    for sign in (1, -1):
        totals.add(spends, "a.test", "", sign)

    assert totals.cost == 0
    assert sum(units(0.0001) for _ in range(10_000)) == units(1.0)
    assert amount_of(units(0.1) * 3) == 0.3


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("daily", "use a dict, or 'hourly'"),
        (7, "use a dict"),
        ({"resource": "requests"}, "limit=None: use a number above 0"),
        ({"resource": "requests", "limit": 0}, "limit=0: use a number above 0"),
        ({"resource": "requests", "limit": -5}, "limit=-5"),
        ({"resource": "requests", "limit": nan}, "limit=nan"),
        ({"resource": "requests", "limit": inf}, "limit=inf"),
        ({"resource": "requests", "limit": "9"}, "limit='9'"),
        ({"resource": "requests", "limit": True}, "limit=True"),
        ({"resource": "requests", "limit": 0.5}, "not one request fits"),
        ({"resource": "usd", "limit": 0.2}, r"not one request fits into it \(0.25\)"),
        ({"resource": "request", "limit": 9}, "did you mean 'requests'"),
        ({"resource": "captcha", "limit": 9}, "did you mean 'captchas'"),
        ({"resource": "", "limit": 9}, "name one"),
        ({"limit": 9}, "name one"),
        ({"resource": 5, "limit": 9}, "resource=5: use a text"),
        ({"resource": "bytes", "limit": 9, "per": "week"}, "per='week'"),
        ({"resource": "bytes", "limit": 9, "per": 0}, "per=0"),
        ({"resource": "bytes", "limit": 9, "per": nan}, "per=nan"),
        ({"resource": "bytes", "limit": 9, "action": "stop"}, "action='stop'"),
        ({"resource": "bytes", "limit": 9, "domains": "*"}, "Did you mean domain"),
        ({"resource": "bytes", "limit": 9, "zzz": 1}, "Use resource, limit"),
        ({"resource": "bytes", "limit": 9, "domain": "a", "proxy": "b"}, "not both"),
        ({"resource": "bytes", "limit": 9, "domain": "http://a.test/"}, "domain: use a host"),
        ({"resource": "bytes", "limit": 9, "proxy": "u:pw@p.test:8"}, "proxy: use host:port"),
        ({"resource": "bytes", "limit": 9, "per": "job"}, "a pause would have no end"),
        ({"preset": "hourly", "limit": 5}, "limit: a preset takes"),
        ({"preset": "weekly"}, "'weekly': use a dict"),
    ],
)
def test_wrong_budgets(given, message):
    """Each is refused in one line that names it."""
    with pytest.raises(ConfigurationError, match=message) as error:
        make("hourly", given, prices=Prices({"requests": 0.25, "captchas": 0.003}))
    assert "budgets[1]" in str(error.value)
    assert "\n" not in str(error.value)
    assert "pw" not in str(error.value)


def test_the_preset():
    """It has the limits that its documentation tells, and its action can be chosen."""
    found = [*make({"preset": "hourly", "action": "warn"})]

    assert [(each.resource, each.limit) for each in found] == [
        ("llm_tokens", 100_000),
        ("browser_minutes", 60),
        ("requests", 1_000),
        ("usd", 1.0),
    ]
    assert {(each.seconds, each.action) for each in found} == {(3600.0, "warn")}


def test_of_a_spider():
    """A budget of another spider is none of this one's."""
    given = [
        {"resource": "requests", "limit": 5, "spider": "books"},
        {"resource": "requests", "limit": 6, "spider": "*"},
        {"resource": "requests", "limit": 7, "spider": "shop"},
    ]

    assert [each.limit for each in parse_budgets(given, PRICES, "shop")] == [6, 7]


@pytest.mark.parametrize(
    ("given", "name", "text"),
    [
        ({"resource": "requests", "limit": 1000}, "", "1,000 requests an hour"),
        ({"resource": "usd", "limit": 1, "per": "day"}, "", "$1.00 a day"),
        ({"resource": "usd", "limit": 0.255, "per": "day"}, "", "$0.255 a day"),
        ({"resource": "usd", "limit": 1234.5, "per": "day"}, "", "$1,234.50 a day"),
        (
            {"resource": "requests", "limit": 2_500_001, "per": "day"},
            "",
            "2,500,001 requests a day",
        ),
        (
            {"resource": "llm_tokens", "limit": 5, "per": 90, "domain": "*"},
            "a.test",
            "5 llm tokens in 90 s for a.test",
        ),
        (
            {"resource": "bytes", "limit": 1e6, "per": "job", "proxy": "*"},
            "",
            "1,000,000 bytes in this job for each proxy",
        ),
    ],
)
def test_texts(given, name, text):
    """A budget in words."""
    assert next(iter(make(given))).text(name) == text


# --- in use -----------------------------------------------------------------------------------


def test_money_and_amounts():
    """A budget of money counts all that has a price, each other one its own resource."""
    budgets = make({"resource": "usd", "limit": 1}, {"resource": "requests", "limit": 100})
    spends = (PRICES.spend("requests", 2), PRICES.spend("captchas", 100))

    budgets.add(spends, "", "", 0)

    assert [window.used(0) for _, _, window in budgets.windows()] == [units(0.8), units(2)]


def test_each_domain_has_its_own():
    """One that is used up does not hold others."""
    budgets = make({"resource": "requests", "limit": 1, "domain": "*", "per": 60})
    budgets.add(ONE, "a.test", "", 0)

    assert budgets.refusal(ONE, "a.test", "", 1).name == "a.test"
    assert budgets.refusal(ONE, "b.test", "", 1) is None
    assert budgets.refusal(ONE, "", "", 1) is None


def test_a_named_domain():
    """Only what is spent there counts."""
    budgets = make({"resource": "requests", "limit": 1, "domain": "A.test "})
    budgets.add(ONE, "b.test", "", 0)
    budgets.add(ONE, "a.test", "", 0)

    assert budgets.refusal(ONE, "b.test", "", 1) is None
    assert budgets.refusal(ONE, "a.test", "", 1) is not None


def test_a_claim_counts_in_all():
    """It is in each window that it concerns, and leaves each of them."""
    budgets = make(
        {"resource": "requests", "limit": 3, "per": 60},
        {"resource": "requests", "limit": 1, "per": 10, "proxy": "*"},
    )
    claim = budgets.claim(ONE, "a.test", "p:1", 0)

    assert len(claim) == 2
    assert until(budgets.refusal(ONE, "b.test", "p:1", 5)) == 15
    budgets.end(claim, 5)
    assert until(budgets.refusal(ONE, "b.test", "p:1", 5)) == pytest.approx(15)
    assert budgets.refusal(ONE, "b.test", "p:1", 15.1) is None
    assert budgets.refusal(ONE, "b.test", "p:2", 5) is None


def test_what_is_void_was_never_there():
    """A claim that is taken back leaves its room at once."""
    budgets = make({"resource": "requests", "limit": 1})
    budgets.void(budgets.claim(ONE, "", "", 0))

    assert budgets.refusal(ONE, "", "", 0) is None


def test_what_closes_comes_first():
    """Of several without room the one that closes is told, else the one that lasts longest."""
    budgets = make(
        {"resource": "requests", "limit": 1, "per": 10},
        {"resource": "requests", "limit": 1, "per": 99},
        {"resource": "requests", "limit": 1, "per": 5, "action": "close"},
        {"resource": "requests", "limit": 1, "per": 999, "action": "warn"},
    )
    budgets.add(ONE, "", "", 0)

    assert budgets.refusal(ONE, "", "", 1).budget.action == "close"
    assert until(budgets.refusal(ONE, "", "", 6)) == pytest.approx(99)


def test_tokens_hold_requests():
    """A request spends none, and waits all the same while there are none left."""
    budgets = make({"resource": "llm_tokens", "limit": 100, "per": 60})
    budgets.add((PRICES.spend("llm_tokens", 250),), "", "", 0)

    assert until(budgets.refusal(ONE, "", "", 1)) == pytest.approx(60)
    assert budgets.refusal(ONE, "", "", 1, all_of_them=False) is None


def test_news_that_nobody_takes():
    """The oldest are forgotten."""
    each = {"resource": "requests", "limit": 10, "per": "hour", "domain": "*"}
    budgets = Budgets(parse_budgets([each], Prices({})))
    for number in range(3_000):
        budgets.add((Prices({}).spend("requests", 10),), f"{number}.test", "", 0.0)

    assert len(budgets.news) == 1_000


def test_news():
    """80 and 100 percent are told, each once in a window."""
    budgets = make({"resource": "requests", "limit": 10, "per": 60, "action": "warn"})
    for second in range(12):
        budgets.add(ONE, "", "", second)
    assert [each.percent for each in budgets.news] == [80, 100]

    budgets.news.clear()
    for second in range(30, 130):
        budgets.add(ONE, "", "", second)
    assert [each.percent for each in budgets.news] == [100]


def test_windows_are_bounded(monkeypatch):
    """Too many domains share windows, each of which holds what any of its domains may spend."""
    monkeypatch.setattr(module, "WINDOWS", 3)
    monkeypatch.setattr(module, "SHARED", 1)
    budgets = make({"resource": "requests", "limit": 1, "domain": "*", "per": 60})
    for number in range(10):
        budgets.add(ONE, f"d{number}.test", "", 0)

    assert [name for _, name, _ in budgets.windows()] == [
        "d0.test", "d1.test", "d2.test", "other",
    ]  # fmt: skip
    assert until(budgets.refusal(ONE, "d1.test", "", 1)) == pytest.approx(60)
    assert budgets.refusal(ONE, "new.test", "", 1).name == "other"


def test_a_broad_crawl(monkeypatch):
    """However many domains it has seen: a new one has the place of one that is idle."""
    monkeypatch.setattr(module, "WINDOWS", 100)
    monkeypatch.setattr(module, "_SELDOM", 1)
    budgets = make({"resource": "requests", "limit": 1, "domain": "*", "per": 60})
    for number in range(1_000):
        assert budgets.refusal(ONE, f"d{number}.test", "", number) is None
        budgets.add(ONE, f"d{number}.test", "", number)


def test_many_at_a_time(monkeypatch):
    """What some of those that share have spent holds few of the others; it is told once."""
    monkeypatch.setattr(module, "WINDOWS", 100)
    budgets = make({"resource": "requests", "limit": 2, "domain": "*", "per": "job"})
    refused = 0
    for number in range(1_100):
        if budgets.refusal(ONE, f"d{number}.test", "", number) is None:
            budgets.add(ONE, f"d{number}.test", "", number)
        else:
            refused += 1

    assert refused < 100
    [news] = [each for each in budgets.news if each.name == ""]
    assert news.text == (
        "More than 100 domains have spent of the budget of 2 requests in this job for each "
        "domain: those that come later share 10,000 such limits"
    )


DOMAINS = st.sampled_from(["a", "b", "c", "d", "e", "f"])


@given(st.lists(st.tuples(DOMAINS, st.floats(0, 20)), max_size=80))
def test_no_domain_gets_more_however_they_share(steps):
    """Windows that are forgotten or shared let through no more than own ones."""
    most, module.WINDOWS = module.WINDOWS, 2
    shared, module.SHARED = module.SHARED, 2
    seldom, module._SELDOM = module._SELDOM, 2
    try:
        budgets = make({"resource": "requests", "limit": 2, "domain": "*", "per": 10})
        now, seen = 0.0, []
        for domain, wait in steps:
            now += wait
            if budgets.refusal(ONE, domain, "", now) is None:
                budgets.add(ONE, domain, "", now)
                seen.append((now, domain))
    finally:
        module.WINDOWS, module.SHARED, module._SELDOM = most, shared, seldom
    for begin, domain in seen:
        assert sum(begin <= at <= begin + 10 and it == domain for at, it in seen) <= 2


def test_totals_are_bounded(monkeypatch):
    """All domains behind the first ones are counted as one."""
    monkeypatch.setattr("scrapy_resilience.core.spending.NAMES", 2)
    totals = Totals()
    for number in range(5):
        totals.add(ONE, f"d{number}", f"p{number}")

    assert {name: sums["requests"][0] for name, sums in totals.domains.items()} == {
        "d0": units(1),
        "d1": units(1),
        "other": units(3),
    }
    assert totals.resources["requests"] == [units(5), units(1.25)]

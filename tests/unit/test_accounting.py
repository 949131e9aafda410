"""Time accounting: sums of samples, what free slots wait for, and the sentence about it."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.accounting import (
    BLOCKED,
    CALLBACKS,
    CAUSES,
    COMMIT,
    DELAYED,
    FRONTIER,
    GATE,
    HAND_OUT,
    OTHER_WORK,
    PACED,
    PER_DOMAIN,
    PROCESSOR,
    SERVERS,
    START,
    Key,
    Spans,
    Sum,
    spread,
)
from scrapy_resilience.core.advice import advice, span_of

KEYS = st.builds(
    Key,
    st.sampled_from(CAUSES),
    st.sampled_from(["", "rate limit", PER_DOMAIN]) | st.text(max_size=3),
    st.sampled_from(["", "a.example", "b.example"]) | st.text(max_size=3),
)
WEIGHTS = st.dictionaries(KEYS, st.floats(0, 1e6), max_size=8)
SECONDS = st.floats(0.001, 1e5)
SAMPLES = st.lists(st.tuples(SECONDS, WEIGHTS), max_size=30)


def summed(samples):
    """The sum of (seconds, weights)."""
    found = Sum()
    for seconds, weights in samples:
        found.add(seconds, weights)
    return found


def shares(found):
    """The share of each cause."""
    return {part.cause: part.share for part in found.parts()}


@given(SAMPLES)
def test_shares_are_a_whole(samples):
    """They sum to 1 where there are any, none is negative, and the largest comes first."""
    found = summed(samples)
    parts = [part.share for part in found.parts()]
    assert sum(parts) == pytest.approx(1) or (not parts and found.seconds == 0)
    assert all(part >= 0 for part in parts)
    assert parts == sorted(parts, reverse=True)


@given(SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(samples, rng):
    """Each cause has the same share in any order."""
    mixed = list(samples)
    rng.shuffle(mixed)
    found, other = shares(summed(samples)), shares(summed(mixed))
    assert found.keys() == other.keys()
    assert found == pytest.approx(other, abs=1e-6)


@given(SAMPLES, SECONDS, KEYS)
def test_more_of_a_cause_is_never_less(samples, seconds, key):
    """A sample of one cause does not lower its share."""
    before = summed(samples)
    share = shares(before).get(key.cause, 0.0)
    before.add(seconds, {key: 1.0})
    assert shares(before)[key.cause] >= share - 1e-9


@given(WEIGHTS, KEYS, st.floats(0.001, 1e6))
def test_a_heavier_weight_has_a_larger_share(weights, key, more):
    """Within one sample as well."""
    light = shares(summed([(1.0, weights)])).get(key.cause, 0.0)
    heavy = {**weights, key: weights.get(key, 0.0) + more}
    assert shares(summed([(1.0, heavy)]))[key.cause] >= light - 1e-9


def test_samples_count_by_the_time_that_they_cover():
    """One of nine seconds weighs nine times as much as one of a second."""
    found = summed([(9.0, {Key(SERVERS): 1.0}), (1.0, {Key(GATE): 500.0})])
    assert shares(found) == {SERVERS: pytest.approx(0.9), GATE: pytest.approx(0.1)}


@pytest.mark.parametrize("seconds", [0.0, -1.0, inf, nan])
def test_a_sample_without_time_is_none(seconds):
    """Nor is one of a clock that went back."""
    assert summed([(seconds, {Key(GATE): 1.0})]) == Sum()


@pytest.mark.parametrize("weights", [{}, {Key(GATE): 0.0}, {Key(GATE): -1.0}, {Key(GATE): inf}])
def test_a_sample_without_weights_is_none(weights):
    """Nothing can be said of its time."""
    assert summed([(1.0, weights)]) == Sum()


def test_many_domains_stay_few():
    """The lightest ones lose their name, and no share changes."""
    found = Sum()
    for number in range(10_000):
        found.add(1.0, {Key(GATE, "rate limit", f"{number}.example"): 1.0, Key(SERVERS): 1.0})
        found.add(9.0, {Key(GATE, f"why {number}", "big.example"): 1.0})
    assert len(found.weights) <= 64
    assert shares(found)[GATE] == pytest.approx(0.95)


def test_a_part_names_what_weighs_most():
    """The reason of a gate, and the domains that wait for that reason."""
    found = summed(
        [
            (3.0, {Key(GATE, "rate limit", "a.example"): 1.0}),
            (2.0, {Key(GATE, "rate limit", "b.example"): 1.0}),
            (4.0, {Key(GATE, "Retry-After", "c.example"): 1.0}),
        ]
    )
    (part,) = found.parts()
    assert (part.detail, part.domains) == ("rate limit", ["a.example", "b.example"])
    assert part.detail_share == pytest.approx(5 / 9)


def test_a_minute_and_an_hour_pass():
    """What is older is forgotten, but for the sum of the job."""
    spans = Spans()
    spans.add(0.5, 0.5, {Key(GATE): 1.0})
    for second in range(1, 7200):
        spans.add(second, 1.0, {Key(SERVERS): 1.0})
        assert spans.minute(second).seconds <= 60.5
    assert spans.minute(7199.0).seconds == pytest.approx(60)
    assert spans.hour(7199.0).seconds == pytest.approx(3600)
    assert spans.job.seconds == pytest.approx(7199.5)
    assert shares(spans.hour(7199.0)) == {SERVERS: pytest.approx(1)}
    assert spans.minute(9000.0).seconds == 0.0


def test_a_clock_that_goes_back():
    """Costs nothing but the place of a sample in time."""
    spans = Spans()
    for now in (1000.0, 10.0, 1001.0):
        spans.add(now, 1.0, {Key(SERVERS): 1.0})
    assert spans.minute(1001.0).seconds == pytest.approx(3)


@given(SAMPLES)
def test_a_sum_survives_a_restart(samples):
    """What is stored gives the same shares again."""
    found = summed(samples)
    stored = found.dump()
    again = Sum.load(stored["seconds"], [tuple(weight) for weight in stored["weights"]])
    assert again.seconds == pytest.approx(found.seconds, abs=0.002)
    if found.seconds > 1:
        for cause, share in shares(found).items():
            assert shares(again).get(cause, 0.0) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("weight", [nan, inf, -5.0])
def test_a_stored_weight_that_is_none(weight):
    """Is left out, or nothing is known."""
    found = Sum.load(10.0, [("gate", "", "", weight), ("servers", "", "", 1.0)])
    assert shares(found) in ({SERVERS: 1.0}, {})
    assert Sum.load(10.0, [("nonsense", "", "", 1.0)]) == Sum()


# --- slots -------------------------------------------------------------------------


@given(st.floats(0.1, 500), st.dictionaries(KEYS, st.floats(0.1, 1e6), max_size=5), KEYS)
def test_all_free_slots_are_spread(free, wanted, rest):
    """Neither more nor less, and nobody has more than they want where there is a rest."""
    found = spread(free, wanted, rest)
    assert sum(found.values()) == pytest.approx(free)
    for key, weight in wanted.items():
        assert key == rest or found[key] <= weight * (1 + 1e-9)


def test_nobody_wants_a_slot():
    """Without a rest there is nothing to tell."""
    assert spread(8, {}) == {}
    assert spread(8, {}, Key(FRONTIER)) == {Key(FRONTIER): 8}


def test_without_a_rest_it_is_all_of_those_who_want():
    """As where nothing but held requests is left."""
    assert spread(8, {Key(GATE): 1}) == {Key(GATE): 8}


# --- the sentence -------------------------------------------------------------------


def said(cause, detail="", domain="a.example", rate=""):
    """What is said of an hour of one cause."""
    found = summed([(3600.0, {Key(cause, detail, domain): 1.0})])
    return advice(found, lambda *_: rate)


def test_the_sentence():
    """Share, span, reason, domain, rate and setting."""
    found = summed(
        [
            (2196.0, {Key(GATE, "rate limit", "a.example"): 1.0}),
            (1404.0, {Key(SERVERS): 1.0}),
        ]
    )
    assert advice(found, lambda reason, domain: f"5/s of {reason} {domain}") == (
        "61 % of the last hour waited for the rate limit of a.example, "
        "5/s of rate limit a.example: RESILIENCE_RATE_LIMITS"
    )


@pytest.mark.parametrize(
    ("cause", "detail", "setting"),
    [
        (PROCESSOR, "", "share the work"),
        (PROCESSOR, HAND_OUT, "share the work"),
        (PROCESSOR, OTHER_WORK, "of its own"),
        (SERVERS, "", "CONCURRENT_REQUESTS"),
        (SERVERS, PER_DOMAIN, "CONCURRENT_REQUESTS_PER_DOMAIN"),
        (GATE, "robots.txt", "RESILIENCE_CRAWL_DELAY_MAX"),
        (GATE, PACED, "DOWNLOAD_DELAY"),
        (GATE, DELAYED, "RESILIENCE_RETRY_POLICY"),
        (GATE, "circuit breaker is open", "RESILIENCE_BREAKER_GIVE_UP_AFTER"),
        (GATE, "slowed down after throttling", "RESILIENCE_ADAPTIVE_RATE"),
        (GATE, "no answer yet", "RESILIENCE_SLOW_START"),
        (GATE, "too many domains on probation", "CONCURRENT_REQUESTS"),
        (GATE, "too many retries", "RESILIENCE_RETRY_CONCURRENCY"),
        (GATE, "HTTP 429", "RESILIENCE_RETRY_AFTER_MAX"),
        (FRONTIER, "", "start URLs"),
        (FRONTIER, START, "yield them faster"),
        (CALLBACKS, "", "CONCURRENT_ITEMS"),
        (CALLBACKS, BLOCKED, "asyncio.to_thread()"),
        (COMMIT, "", "RESILIENCE_CHECKPOINT_INTERVAL"),
    ],
)
def test_it_says_what_to_change(cause, detail, setting):
    """For each cause and reason."""
    assert said(cause, detail).startswith("100 % of the last hour ")
    assert setting in said(cause, detail).rpartition(": ")[2]


def test_a_hold_is_named():
    """With the reason that somebody has given, whatever it is."""
    assert "a.example, which is held ({0} %s)" in said(GATE, "{0} %s")


def test_too_little_is_no_sentence():
    """The first seconds of a crawl say nothing."""
    assert advice(Sum()) == ""
    assert advice(summed([(4.0, {Key(GATE): 1.0})])) == ""


def test_an_open_breaker_is_told_at_once():
    """It is why nothing goes on, however short the crawl has run."""
    found = summed([(0.5, {Key(GATE, "circuit breaker is open", "a.example"): 1.0})])
    assert advice(found).startswith(
        "100 % of the last second waited for a.example, whose circuit"
    )


def test_limits_of_domains_are_named_where_they_are_much():
    """Also where answers are waited for longer."""
    found = summed([(60.0, {Key(SERVERS, "", "a"): 8.0, Key(SERVERS, PER_DOMAIN, "a"): 4.0})])
    assert advice(found).endswith("raise CONCURRENT_REQUESTS_PER_DOMAIN if the site allows it")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "the last second"),
        (12, "the last 12 seconds"),
        (60, "the last minute"),
        (100, "the last 2 minutes"),
        (600, "the last 10 minutes"),
        (3590, "the last hour"),
        (4000, "the last hour"),
    ],
)
def test_the_span(seconds, text):
    """Is named as long as it is."""
    assert span_of(seconds) == text

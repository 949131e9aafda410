"""Notices: which events are told where, and what one notice holds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.notices import SEVERITIES, USUAL, Notice, Rule, rank

KINDS = [*USUAL, "hold", "error", "mine"]


def notice(**more):
    """A notice with what it must have."""
    told = {"id": "1", "time": 1.0, "kind": "pause", "severity": "info", "texts": ["It rests"]}
    return Notice(**{**told, **more})


@pytest.mark.parametrize(
    ("kind", "severity", "wanted"),
    [
        ("pause", "info", True),
        ("memory", "info", False),
        ("memory", "warning", True),
        ("breaker", "warning", False),
        ("given_up", "error", True),
        ("mine", "warning", False),
        ("mine", "error", True),
        ("run", "error", False),
        ("finished", "info", True),
    ],
)
def test_what_is_told_by_default(kind, severity, wanted):
    """Guards from a warning on, the end of a pause, that of a crawl, and all errors."""
    assert Rule().wants(kind, severity) is wanted


def test_kinds_that_are_named():
    """They are told with any severity, and no others are."""
    rule = Rule(frozenset({"hold", "run"}))

    assert rule.wants("hold", "info")
    assert rule.wants("run", "info")
    assert not rule.wants("abort", "error")
    assert Rule(frozenset({"*"})).wants("anything", "info")


@given(st.sampled_from(KINDS), st.sampled_from(SEVERITIES), st.sampled_from(SEVERITIES))
def test_the_least_severity(kind, severity, least):
    """Nothing below it is told, named or not."""
    if rank(severity) < rank(least):
        assert not Rule(severity=least).wants(kind, severity)
        assert not Rule(frozenset({kind}), least).wants(kind, severity)
    else:
        assert Rule(frozenset({kind}), least).wants(kind, severity)


@given(st.sampled_from(KINDS))
def test_what_is_worse_is_told_too(kind):
    """A rule that tells an event tells a more severe one of its kind."""
    told = [Rule().wants(kind, severity) for severity in SEVERITIES]
    assert told == sorted(told)


def test_events_that_join():
    """They are counted; the texts of the first three are kept, and the domain they share."""
    found = notice(domain="a.test")
    for number in range(5):
        found.join(f"text {number}", "a.test", 10.0 + number)
    assert (found.count, found.texts) == (6, ["It rests", "text 0", "text 1"])
    assert (found.domain, found.time, found.last) == ("a.test", 1.0, 14.0)

    found.join("more", "b.test", 20.0)
    assert found.domain == ""


@given(st.text(), st.lists(st.text(max_size=1000)), st.integers(0, 10))
def test_a_notice_is_bounded(text, texts, joined):
    """Whatever it is made of, it fits into the journal."""
    details = {f"name {number}": "x" * 20 for number in range(100)}
    found = notice(
        texts=[text * 50, *texts], kind=text * 9, domain=text * 9, spider=text * 9,
        details=details, left=["webhook"] * 5,
    )  # fmt: skip
    for _ in range(joined):
        found.join(text * 100, text, 2.0)

    data = msgspec.msgpack.encode(found)
    assert len(data) < 6_000
    assert msgspec.msgpack.decode(data, type=Notice) == found


def test_what_is_urgent():
    """Errors and the end of a crawl."""
    assert notice(severity="error").is_urgent
    assert notice(kind="finished").is_urgent
    assert not notice(severity="warning").is_urgent

"""What is usual for the pages of a domain."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.usualpages import UsualPages


def after(*lengths, domain="shop.test", seconds=0.2):
    """What is known after pages of these lengths."""
    usual = UsualPages()
    for length in lengths:
        usual.add(domain, length, seconds)
    return usual


def test_nothing_is_known():
    """Of a domain without pages nothing is usual."""
    assert (UsualPages().length("a"), UsualPages().seconds("a")) == (None, None)


def test_the_first_page_is_usual():
    """A page of which there is no other is not told to be small."""
    assert 25 < after(36).length("shop.test") <= 36


def test_domains_have_their_own():
    """Pages of one domain say nothing of another's."""
    assert after(36).length("api.test") is None


@pytest.mark.parametrize("small", [0.0, 0.05])
def test_few_small_pages_change_nothing(small):
    """Error pages in one of twenty pages are not usual: nine of ten pages are longer."""
    rng = random.Random(1)
    usual = after(*(60 if rng.random() < small else rng.randint(4000, 8000) for _ in "x" * 500))
    assert 2800 < usual.length("shop.test") < 5700


def test_many_small_pages_are_usual():
    """Two kinds of pages, of which the smaller has a fifth, are both usual."""
    assert after(*[50_000, 50_000, 50_000, 50_000, 900] * 20).length("shop.test") <= 900


def test_a_domain_that_changes():
    """After a redesign the new pages become usual: what is old counts less and less."""
    assert after(*[50_000] * 5000, *[900] * 300).length("shop.test") <= 900


def test_seconds():
    """A response time is usual when nine of ten are no longer."""
    usual = UsualPages()
    for number in range(100):
        usual.add("slow.test", 1000, 60 if number % 20 == 0 else 6)
    assert 6 <= usual.seconds("slow.test") < 9


def test_a_page_without_a_time():
    """A response that was not measured counts by its length only."""
    usual = after(1000, seconds=None)
    assert usual.seconds("shop.test") is None
    assert usual.length("shop.test") is not None


def test_memory_is_bounded():
    """The domain not seen for longest is forgotten, and the next commit is told."""
    usual = UsualPages(domains=2)
    for domain in ("a", "b", "a", "c"):
        usual.add(domain, 1000, 0.1)
    assert [usual.length(domain) is None for domain in "abc"] == [False, True, False]
    assert usual.changed()["b"] is None


def test_state():
    """What a commit keeps is what a resume goes on with; then only changes are kept."""
    usual = after(*range(100, 10_000, 7))
    saved = json.loads(json.dumps(usual.changed()))
    assert usual.changed() == {}

    resumed = UsualPages()
    resumed.restore(saved)
    assert resumed.changed() == {}
    for each in (usual, resumed):
        each.add("shop.test", 5000, 0.1)
    assert resumed.changed() == usual.changed()


@given(st.lists(st.tuples(st.integers(0, 2**40), st.none() | st.floats(0, 1e6))))
def test_any_pages(pages):
    """The usual length is never beyond the longest page, and a domain takes little."""
    usual = UsualPages()
    for length, seconds in pages:
        usual.add("a", length, seconds)
        assert 1 <= usual.length("a") <= max(1, *(each for each, _ in pages)) * (1 + 1e-9)
    assert all(len(json.dumps(each)) < 5000 for each in usual.changed().values())

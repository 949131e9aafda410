"""Patterns of keys, in memory and as Redis reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.keypatterns import KeyPattern
from scrapy_resilience.core.meanwhile import Meanwhile, Undone

TEXT = st.text(alphabet="ab*?[]\\^", max_size=8)


@given(TEXT, TEXT)
def test_only_the_star_is_special(pattern, key):
    """It matches as a regular expression does in which all else is literal."""
    slow = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    assert KeyPattern(pattern)(key) == bool(slow.fullmatch(key))


@given(TEXT)
def test_a_key_matches_itself(key):
    """Whatever is in it."""
    assert KeyPattern(key)(key)


def test_in_redis():
    """What Redis would give a meaning is escaped, in the prefix all of it."""
    assert KeyPattern("a?[b]*c\\d").for_redis("p*:") == r"p\*:a\?\[b\]*c\\d"


def test_many_stars_are_quick():
    """They are no trap."""
    assert not KeyPattern("a*" * 500 + "b")("a" * 5_000)


# --- what is to be deleted when the server is back ---


def test_what_was_touched_is_known_until_it_is_taken():
    """Keys once each, patterns beside them."""
    meanwhile = Meanwhile()
    meanwhile.touch(["a", "b", "a"])
    meanwhile.clear("c*")
    assert len(meanwhile) == 3
    assert meanwhile.take() == Undone(["a", "b"], ["c*"])
    assert not meanwhile


def test_all_covers_everything():
    """Nothing more need be known then."""
    meanwhile = Meanwhile()
    meanwhile.touch(["a"])
    meanwhile.clear("*")
    meanwhile.touch(["b"])
    meanwhile.clear("c*")
    assert meanwhile.take() == Undone([], ["*"])


@pytest.mark.parametrize("add", ["keys", "patterns"])
def test_it_is_bounded(add):
    """Where there are too many, all must go: no one of them may be forgotten."""
    meanwhile = Meanwhile(most=3, most_patterns=3)
    for number in range(4):
        assert meanwhile.take() != Undone([], ["*"]) or number == 0
        meanwhile.put_back(Undone([f"k{n}" for n in range(number)], []))
    if add == "keys":
        meanwhile.touch(["one", "two", "three", "four"])
    else:
        for number in range(4):
            meanwhile.clear(f"{number}*")
    assert meanwhile.take() == Undone([], ["*"])


def test_what_was_put_back_is_there_beside_what_came_since():
    """A way back that has failed loses nothing."""
    meanwhile = Meanwhile()
    meanwhile.touch(["a"])
    meanwhile.clear("x*")
    taken = meanwhile.take()
    meanwhile.touch(["b"])
    meanwhile.put_back(taken)
    assert sorted(meanwhile.take().keys) == ["a", "b"]

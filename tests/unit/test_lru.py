"""The bounded map of the cache, against a model that is slow and simple."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scrapy_resilience.core.lru import TimedLRU

KEYS = st.sampled_from("abcdef")
MOST, MOST_SIZE = 4, 10


class AgainstModel(RuleBasedStateMachine):
    """Each step is done to both."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.lru = TimedLRU(MOST, MOST_SIZE, lambda: self.now)
        self.model = []
        """(key, value, end, size), the least recently used first."""

    def known(self, key):
        return next((entry for entry in self.model if entry[0] == key), None)

    def forget(self, key):
        self.model = [entry for entry in self.model if entry[0] != key]

    @rule(key=KEYS, value=st.integers(), ttl=st.integers(1, 5), size=st.integers(0, 12))
    def set(self, key, value, ttl, size):
        kept = self.lru.set(key, value, ttl, size)
        self.forget(key)
        assert kept == (size <= MOST_SIZE)
        if kept:
            self.model.append((key, value, self.now + ttl, size))
            while len(self.model) > MOST or sum(entry[3] for entry in self.model) > MOST_SIZE:
                del self.model[0]

    @rule(key=KEYS)
    def get(self, key):
        entry = self.known(key)
        self.forget(key)
        if entry is not None and entry[2] > self.now:
            self.model.append(entry)
            assert self.lru.get(key) == entry[1]
        else:
            assert self.lru.get(key) is None

    @rule(key=KEYS)
    def has(self, key):
        entry = self.known(key)
        assert self.lru.has(key) == (entry is not None and entry[2] > self.now)

    @rule(key=KEYS)
    def delete(self, key):
        entry = self.known(key)
        assert self.lru.delete([key]) == (entry is not None and entry[2] > self.now)
        self.forget(key)

    @rule(key=KEYS)
    def clear(self, key):
        count = self.lru.clear(lambda each: each >= key)
        gone = [entry for entry in self.model if entry[0] >= key]
        assert count == sum(entry[2] > self.now for entry in gone)
        self.model = [entry for entry in self.model if entry[0] < key]

    @rule(seconds=st.integers(0, 4))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def same(self):
        assert [*self.lru] == [entry[0] for entry in self.model]
        assert self.lru.size == sum(entry[3] for entry in self.model)
        assert len(self.lru) <= MOST


TestAgainstModel = AgainstModel.TestCase
TestAgainstModel.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_nothing_is_kept_where_there_is_no_room():
    """A size of 0 is no cache."""
    lru = TimedLRU(0, 100, lambda: 0.0)
    assert not lru.set("a", 1, 1.0, 1)
    assert (lru.get("a"), len(lru), lru.size, lru.evicted) == (None, 0, 0, 0)


def test_what_had_to_go_is_counted():
    """But not what was deleted or is over."""
    lru = TimedLRU(2, 100, lambda: 0.0)
    for key in "abcd":
        lru.set(key, key, 1.0, 1)
    lru.delete(["d"])
    assert (lru.evicted, [*lru]) == (2, ["c"])


def test_hits_while_it_is_cleared():
    """As those of another thread, which move their entries."""
    lru = TimedLRU(9, 100, lambda: 0.0)
    for key in "abc":
        lru.set(key, key, 1.0, 1)
    assert lru.clear(lambda key: lru.get("a") is not None and key != "b") == 2
    assert [*lru] == ["b"]

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.frontier import seen as filter_
from scrapy_resilience.frontier.seen import SeenFilter
from scrapy_resilience.frontier.store import Changes, MemoryStore

FINGERPRINTS = st.sets(st.binary(max_size=20), max_size=300)


def filled(fingerprints):
    """Return a store that holds *fingerprints*."""
    store = MemoryStore()
    store.commit(Changes(fingerprints=set(fingerprints)))
    return store


@given(FINGERPRINTS, FINGERPRINTS)
def test_what_was_added_or_stored_is_never_called_new(stored, added):
    """No fingerprint that the store held or that was added is called new, at any time."""
    seen = SeenFilter(filled(stored), bits=64)
    for fingerprint in added:
        seen.add(fingerprint)
    for _ in range(7):
        assert all(map(seen.may_hold, stored | added))
        seen.learn()


def test_it_grows_and_still_tells_new_ones():
    """A small one grows with what it holds, and calls most new ones new all the while."""
    seen = SeenFilter(MemoryStore(), bits=64, most=2**20)
    seen.learn()
    for number in range(10_000):
        seen.add(b"known %d" % number)
        assert seen.may_hold(b"known %d" % number)

    assert sum(seen.may_hold(b"new %d" % number) for number in range(1000)) < 100


def test_it_grows_so_far_and_no_further():
    """One that may not grow is full in the end: then everything may be known."""
    seen = SeenFilter(MemoryStore(), bits=64, most=64)
    seen.learn()
    for number in range(1000):
        seen.add(b"known %d" % number)

    assert all(seen.may_hold(b"new %d" % number) for number in range(100))


def test_new_ones_are_told_from_known_ones():
    """Of 1,000 new fingerprints among 1,000 known ones, all but a few are called new."""
    seen = SeenFilter(MemoryStore())
    seen.learn()
    for number in range(1000):
        seen.add(b"known %d" % number)

    assert sum(seen.may_hold(b"new %d" % number) for number in range(1000)) < 10


def test_what_the_store_holds_is_learned_by_and_by():
    """All that the store holds is learned, some at a time; nothing is called new before."""
    seen = SeenFilter(filled(b"%d" % number for number in range(200)))
    calls = 0
    while seen.may_hold(b"new"):
        seen.learn()
        calls += 1
    assert calls == 4


def test_the_store_is_asked_once_for_what_it_holds():
    """What it lacks may come with any commit; what it holds it keeps."""
    store, asked = filled([b"known"]), []
    holds = store.seen
    store.seen = lambda fingerprint: asked.append(fingerprint) or holds(fingerprint)
    seen = SeenFilter(store)

    found = [seen.stored(fingerprint) for fingerprint in (b"known", b"known", b"new", b"new")]
    store.commit(Changes(fingerprints={b"new"}))

    assert found == [True, True, False, False]
    assert seen.stored(b"new")
    assert asked == [b"known", b"new", b"new", b"new"]


def test_more_pages_than_are_kept_in_memory(monkeypatch):
    """Each answer stays right, and no more are kept than may be."""
    monkeypatch.setattr(filter_, "_MOST_MET", 4)
    seen = SeenFilter(filled(b"%d" % number for number in range(10)))

    for _ in range(2):
        assert [seen.stored(b"%d" % number) for number in range(12)] == [True] * 10 + [
            False
        ] * 2
        assert len(seen._met) <= 4

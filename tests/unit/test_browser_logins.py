"""What contexts have of logins: kept in the checkpoint, and handed to the next run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from scrapy_resilience.browsers import logins as module
from scrapy_resilience.browsers.logins import Logins
from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes, MemoryStore

CODEC = ValueCodec(allow_pickle=False)
COOKIE = {"name": "a", "value": "1", "expires": -1, "secure": False}
STATE = {"cookies": [COOKIE], "origins": []}


class Run:
    """One run of a job, as far as logins go."""

    def __init__(self, monkeypatch, store, *, kept=True):
        self.store = store
        self.registry = StateRegistry(store.state(), CODEC)
        job = SimpleNamespace(state=self.registry)
        monkeypatch.setattr(module, "job_of", lambda _: job)
        self.logins = Logins(None, kept=kept)

    def commit(self):
        """Return what was written."""
        changed = self.registry.changed()
        self.store.commit(Changes(state=changed))
        return changed


@pytest.fixture
def store():
    """Return the store of a job."""
    return MemoryStore()


def test_the_next_run_has_them(monkeypatch, store):
    """Each context its own, as the last commit has it."""
    run = Run(monkeypatch, store)
    run.logins.note("a", STATE)
    run.logins.note("b", {"cookies": [], "origins": [{"origin": "http://a.test"}]})
    run.commit()
    run.logins.note("a", {"cookies": [], "origins": []})  # and then a kill

    again = Run(monkeypatch, store)

    assert again.logins.of("a") == STATE
    assert again.logins.of("b")["origins"] == [{"origin": "http://a.test"}]
    assert again.logins.of("c") is None


def test_only_what_has_changed_is_written(monkeypatch, store):
    """A login that stays costs nothing."""
    run = Run(monkeypatch, store)
    run.logins.note("a", STATE)
    assert len(run.commit()) == 1
    run.logins.note("a", {**STATE})
    assert run.commit() == {}


def test_one_that_was_closed_is_forgotten(monkeypatch, store):
    """By the next run, too."""
    run = Run(monkeypatch, store)
    run.logins.note("a", STATE)
    run.commit()
    run.logins.forget("a")
    run.commit()
    assert Run(monkeypatch, store).logins.of("a") is None


def test_they_are_bounded(monkeypatch, store):
    """In number, and each in size: its cookies are kept."""
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    run = Run(monkeypatch, store)
    for name in "abcd":
        run.logins.note(name, STATE)
    run.logins.note("d", {**STATE, "origins": [{"origin": "x" * 300_000}]})
    run.commit()
    again = Run(monkeypatch, store).logins
    assert [again.of(name) is not None for name in "abcd"] == [False, True, True, True]
    assert again.of("d") == STATE


def test_nothing_is_kept_where_cookies_are_not(monkeypatch, store):
    """By RESILIENCE_COOKIES_ENABLED."""
    run = Run(monkeypatch, store, kept=False)
    run.logins.note("a", STATE)
    assert run.commit() == {}
    assert run.logins.of("a") is None


@pytest.mark.parametrize("value", [1, {"cookies": 1, "origins": []}, {"cookies": []}])
def test_a_damaged_one_is_told(monkeypatch, store, value):
    """As any damage of the store is."""
    run = Run(monkeypatch, store)
    run.logins._known["a"] = value
    run.logins._changed.add("a")
    run.commit()
    with pytest.raises(DamagedError, match="browser_logins"):
        Run(monkeypatch, store)

"""Named values of any component, given back at a resume."""

from __future__ import annotations

from functools import partial

import pytest

from scrapy_resilience.checkpoint.state import OWN, StateRegistry
from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.store import Changes, MemoryStore

CODEC = ValueCodec()


class Run:
    """One run of a job, as far as its state goes."""

    def __init__(self, store, codec=CODEC):
        self.store = store
        self.registry = StateRegistry(store.state(), codec)

    def commit(self):
        """Commit what changed; return the names."""
        changed = self.registry.changed()
        self.store.commit(Changes(state=changed))
        return sorted(changed)


@pytest.fixture
def store():
    """Return the store of a job."""
    return MemoryStore()


def test_a_value_comes_back_in_the_next_run(store):
    """Restore is called at once with what save gave at the last commit."""
    value, found = {"n": (1, {2})}, []
    first = Run(store)
    first.registry.register("mine", lambda: value)
    first.commit()
    value["n"] = "later, lost"

    Run(store).registry.register("mine", dict, found.append)

    assert found == [{"n": (1, {2})}]


def test_restore_is_not_called_without_a_value(store):
    """A first run restores nothing."""
    found = []
    Run(store).registry.register("mine", dict, found.append)

    assert found == []


@pytest.mark.parametrize("value", [None, 0, "", [], False])
def test_an_empty_value_is_a_value(store, value):
    """None and other false values come back too."""
    found = []
    first = Run(store)
    first.registry.register("mine", lambda: value)
    first.commit()

    Run(store).registry.register("mine", dict, found.append)

    assert found == [value]


def test_only_changed_values_are_written(store):
    """A value that is the same as at the last commit is not written again."""
    values = {"a": 1, "b": 1}
    run = Run(store)
    for name in values:
        run.registry.register(name, partial(values.get, name))
    assert run.commit() == ["a", "b"]
    assert run.commit() == []

    values["b"] = 2

    assert run.commit() == ["b"]


def test_a_value_that_did_not_change_since_the_last_run_is_not_written(store):
    """The comparison goes across runs."""
    for expected in (["a"], []):
        run = Run(store)
        run.registry.register("a", lambda: {"k": [1]})
        assert run.commit() == expected


def test_a_value_that_is_changed_in_place_is_written(store):
    """Save may give the same object each time."""
    value = [1]
    run = Run(store)
    run.registry.register("a", lambda: value)
    run.commit()
    value.append(2)

    assert run.commit() == ["a"]


def test_a_name_that_nobody_registers_is_kept(store):
    """A component that was off for one run finds its value in the run after it."""
    first = Run(store)
    first.registry.register("breakers", lambda: "open")
    first.registry.register_map("jars", lambda: {1: "cookie"})
    first.commit()
    second = Run(store)
    second.registry.register("other", lambda: 1)
    second.commit()

    third = Run(store).registry
    assert third.load("breakers") == "open"
    jars = {}
    third.register_map("jars", dict, jars.update)
    assert jars == {1: "cookie"}


def test_the_last_registration_of_a_name_counts(store):
    """A name has one value."""
    run = Run(store)
    run.registry.register("a", lambda: 1)
    run.registry.register("a", lambda: 2)
    run.commit()

    assert Run(store).registry.load("a") == 2


def test_load_gives_none_for_an_unknown_name(store):
    """A value that was never kept is None."""
    assert Run(store).registry.load("never") is None


def test_values_of_a_prefix(store):
    """All values whose names begin alike can be asked for at once."""
    run = Run(store)
    for name in ("feed/a", "feed/b", "feeds", "other"):
        run.registry.register(name, lambda name=name: name)
    run.commit()

    assert sorted(Run(store).registry.values_of("feed/")) == ["feed/a", "feed/b"]


# --- maps -----------------------------------------------------------------------------


def test_a_map_keeps_what_was_once_changed(store):
    """Each commit writes the changed entries only, and a resume has them all."""
    changes = [{"a": 1, ("t", 1): [2]}, {"a": 3}, {b"k": 4}, {}]
    run = Run(store)
    run.registry.register_map("m", lambda: changes.pop(0))
    assert [len(run.commit()) for _ in range(4)] == [2, 1, 1, 0]

    found = {}
    Run(store).registry.register_map("m", dict, found.update)

    assert found == {"a": 3, ("t", 1): [2], b"k": 4}


def test_none_forgets_an_entry_of_a_map(store):
    """An entry whose value is None is gone after the commit."""
    changes = [{"a": 1, "b": 2}, {"a": None, "never": None}]
    run = Run(store)
    run.registry.register_map("m", lambda: changes.pop(0))
    run.commit()
    run.commit()

    found = {}
    Run(store).registry.register_map("m", dict, found.update)

    assert found == {"b": 2}


def test_two_maps_don_t_mix(store):
    """A map whose name begins like another one's has its own entries."""
    run = Run(store)
    run.registry.register_map("jar", lambda: {1: "a"})
    run.registry.register_map("jars", lambda: {1: "b"})
    run.registry.register("jar", lambda: "value")
    run.commit()

    found = {}
    Run(store).registry.register_map("jar", dict, found.update)

    assert found == {1: "a"}


# --- trouble ----------------------------------------------------------------------------


def test_a_value_that_can_not_be_encoded_keeps_its_last_form(store, caplog):
    """The commit goes on, the error is logged once and counted each time."""
    values = [1, lambda: 2, lambda: 3]
    run = Run(store)
    run.registry.register("a", lambda: values.pop(0))
    run.registry.register("b", lambda: len(values))
    assert [run.commit() for _ in range(3)] == [["a", "b"], ["b"], ["b"]]

    assert Run(store).registry.load("a") == 1
    assert run.registry.errors == 2
    assert [record.message for record in caplog.records if "hold a " in record.message] == [
        caplog.records[0].message
    ]


def test_an_entry_that_can_not_be_encoded_leaves_the_others(store):
    """One bad entry of a map is left out."""
    run = Run(store)
    run.registry.register_map("m", lambda: {1: "good", 2: lambda: 0})
    run.commit()

    found = {}
    Run(store).registry.register_map("m", dict, found.update)

    assert found == {1: "good"}
    assert run.registry.errors == 1


def test_a_save_that_fails_does_not_stop_the_commit(store):
    """One component's error costs its own value and nothing else."""

    def save():
        raise KeyError("a bug of a component")

    run = Run(store)
    run.registry.register("a", save)
    run.registry.register("b", lambda: 1)

    assert run.commit() == ["b"]
    assert run.registry.errors == 1


def test_a_map_save_that_fails_does_not_stop_the_commit(store):
    """One component's error costs its own entries and nothing else."""

    def save():
        raise KeyError("a bug of a component")

    run = Run(store)
    run.registry.register_map("a", save)
    run.registry.register("b", lambda: 1)

    assert run.commit() == ["b"]


def test_a_key_that_can_not_be_encoded_leaves_the_others(store):
    """One bad key of a map is left out and counted."""
    run = Run(store, ValueCodec(allow_pickle=False))
    run.registry.register_map("m", lambda: {object(): "bad", 1: "good"})

    assert len(run.commit()) == 1
    assert run.registry.errors > 0
    found = {}
    Run(store).registry.register_map("m", dict, found.update)
    assert found == {1: "good"}


# --- values of a wrong shape --------------------------------------------------------------


def stored(store, name, value):
    """Return the registry of a run after one that has kept a value."""
    store.commit(Changes(state={name: CODEC.encode(value)}))
    return Run(store).registry


@pytest.mark.parametrize("register", ["register", "register_map"])
def test_a_value_of_ours_that_its_owner_can_not_read_is_damage(store, register):
    """It is told once, in words that name the value and a way out."""
    state, told = stored(store, OWN + "x" + "/a" * (register == "register_map"), ["a", 5]), []
    state.on_damage = told.append

    with pytest.raises(
        DamagedError, match=r"resilience\.x is damaged .*KeyError.* restore"
    ) as it:
        getattr(state, register)(OWN + "x", dict, lambda _: {}["b"])

    assert told == [it.value]


@pytest.mark.parametrize("entry", [5, [["a"], 5]], ids=["no pair", "a key that can't be one"])
def test_an_entry_of_a_map_that_is_no_pair_is_damage(store, entry):
    """A map is stored as pairs of a key and a value."""
    state = stored(store, OWN + "x/a", entry)

    with pytest.raises(DamagedError, match=r"resilience\.x is damaged"):
        state.register_map(OWN + "x", dict, dict)


def test_what_the_users_restore_raises_is_the_users(store):
    """Nothing of it is taken for damage."""
    state = stored(store, "mine", 5)

    with pytest.raises(KeyError):
        state.register("mine", dict, lambda _: {}["b"])

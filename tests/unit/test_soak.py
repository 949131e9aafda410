"""Which rounds ./run soak plans, and what it says about them."""

from __future__ import annotations

import importlib.util
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

PATH = Path(__file__).parents[1] / "soak.py"
NAMES = ["mixes/not-filtered", "mixes/not-filtered-lambdas", "steps/steps"]


@pytest.fixture(scope="module")
def soak():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("soak", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def plan(soak, *args):
    """The first rounds, and whether they are all."""
    options = soak.arguments(args)
    names = soak.chosen(NAMES, options.case)
    rounds = soak.planned(options, names, 3 if options.seed is None else options.seed)
    found = list(islice(rounds, 9))
    return found, len(found) < 9


def test_cases_are_found_from_any_folder(soak, tmp_path, monkeypatch):
    """Those of processes that are killed, and those of state machines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)

    found = soak.collected()

    assert {name.partition("/")[0] for name in found} >= {"damage", "mixes", "stateful"}


def test_all_cases_in_turn(soak):
    """Each case comes once before any comes again, and no seed comes twice."""
    rounds, _ = plan(soak)

    for turn in (rounds[:3], rounds[3:6], rounds[6:]):
        assert sorted(name for name, _ in turn) == NAMES
    assert len({seed for _, seed in rounds}) == 9


def test_the_seed_decides(soak):
    """One seed plans the same rounds again, another one others."""
    assert plan(soak, "--seed", "5") == plan(soak, "--seed", "5") != plan(soak, "--seed", "6")


def test_a_repeat(soak):
    """A seed and a case are one round with that very seed, unless there are minutes too."""
    once = ("--seed", "5", "--case", "steps/steps")

    assert plan(soak, *once) == ([("steps/steps", 5)], True)
    assert plan(soak, *once, "--minutes", "1")[1] is False
    assert plan(soak, "--case", "steps/steps")[1] is False


def test_a_pattern(soak):
    """A case's whole name means that one alone, a part of names all that have it."""
    assert soak.chosen(NAMES, "mixes/not-filtered") == NAMES[:1]
    assert soak.chosen(NAMES, "mixes") == NAMES[:2]
    assert soak.chosen(NAMES, "") == NAMES
    assert soak.chosen(NAMES, "nothing") == []


def test_names(soak):
    """A case is named for its file and its variant, or its function where it has none."""
    assert soak.name_of("tests/integration/soak_mixes.py::test_mix[slow]") == "mixes/slow"
    assert soak.name_of("tests/integration/soak_large.py::test_big_items") == "large/big-items"


def test_the_table(soak):
    """The table sums up rounds, kills and failures, and tells why a case was skipped."""
    ended = [
        SimpleNamespace(name="steps/steps", kills=2, problem="", skipped=""),
        SimpleNamespace(name="steps/steps", kills=3, problem="lost 1", skipped=""),
        SimpleNamespace(name="mixes/slow", kills=0, problem="", skipped="no root"),
    ]

    lines = [line.split(maxsplit=4) for line in soak.table(ended).splitlines()]

    assert lines == [
        ["case", "rounds", "kills", "failures"],
        ["mixes/slow", "1", "0", "0", "(no root)"],
        ["steps/steps", "2", "5", "1"],
        ["all", "3", "5", "1"],
    ]

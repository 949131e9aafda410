"""When contexts and browsers are worn, and when a browser is started again."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.browserlife import (
    BrowserLimits,
    ContextLimits,
    Restarts,
    places,
)

MIB = 2**20


@pytest.mark.parametrize(
    ("pages", "age", "worn"),
    [(0, 0.0, False), (99, 10.0, False), (100, 10.0, True), (1, 3600.0, True)],
)
def test_a_worn_context(pages, age, worn):
    """A context is worn after its pages or its age, whichever comes first."""
    assert ContextLimits(pages=100, age=3600).is_worn(pages, age) is worn


def test_no_limit_of_a_context():
    """Zero turns a limit off."""
    limits = ContextLimits(pages=0, age=0, idle=0)
    assert not limits.is_worn(10**6, 1e9)
    assert not limits.is_idle(1e9, 0.99)


@pytest.mark.parametrize(
    ("memory", "patience"),
    [(None, 60.0), (0.1, 60.0), (0.5, 60.0), (0.725, 30.0), (0.95, 0.0), (1.0, 0.0)],
)
def test_patience_with_idle_contexts(memory, patience):
    """The fuller the memory, the sooner an idle context is closed."""
    assert ContextLimits(idle=60).patience(memory) == pytest.approx(patience)


@pytest.mark.parametrize(
    ("contexts", "first", "memory", "worn"),
    [
        (9, 100 * MIB, 900 * MIB, False),
        (10, 100 * MIB, 149 * MIB, False),
        (10, 100 * MIB, 151 * MIB, True),
        (10, None, 900 * MIB, False),
        (10, 100 * MIB, None, False),
    ],
)
def test_a_worn_browser(contexts, first, memory, worn):
    """A browser is worn after its contexts, if its memory has grown and that is known."""
    limits = BrowserLimits(contexts=10, growth=1.5)
    assert limits.is_worn(contexts, first, memory, 1e6) is worn


def test_an_old_browser():
    """An age makes a browser worn, whatever it has done."""
    assert BrowserLimits(age=60).is_worn(0, None, None, 60.0)


def test_the_first_restart_is_at_once():
    """A browser that was killed is started again without a wait."""
    restarts = Restarts()
    restarts.ended(10.0)
    assert restarts.wait(10.0) == 0


def test_later_restarts_wait():
    """Each further end in a row doubles the wait, up to half a minute."""
    restarts, waits = Restarts(most=20), []
    for _ in range(10):
        restarts.ended(0.0)
        waits.append(restarts.wait(0.0))
    assert waits[:5] == [0, 0.5, 1, 2, 4]
    assert waits[-1] == 30


def test_restarts_come_to_an_end():
    """After so many ends in a row there is no further one."""
    restarts = Restarts(most=3)
    for ends in range(4):
        assert restarts.are_over is (ends >= 3)
        restarts.ended(0.0)


@given(st.lists(st.booleans(), max_size=60))
def test_a_page_ends_the_row(events):
    """Browsers that show a page in between may end for ever."""
    restarts, row = Restarts(most=5), 0
    for is_page in events:
        if is_page:
            restarts.got_a_page()
        else:
            restarts.ended(0.0)
        row = 0 if is_page else row + 1
        assert restarts.in_a_row == row
        assert restarts.are_over is (row >= 5)
        assert 0 <= restarts.wait(0.0) <= 30


@pytest.mark.parametrize(
    ("wanted", "most", "since_plain", "allowed"),
    [
        (4, 16, inf, 4),
        (16, 16, inf, 16),
        (16, 16, 1.0, 8),
        (4, 16, 1.0, 4),
        (16, 16, 11.0, 16),
        (16, 1, 0.0, 1),
    ],
)
def test_places(wanted, most, since_plain, allowed):
    """Half of the places are plain requests' while those go; one is the browser's always."""
    assert places(wanted, most, since_plain) == allowed

"""The escalation ladder: when it is climbed, when it is left, and what never happens."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scrapy_resilience.core.growth import Growth
from scrapy_resilience.core.pressure_ladder import (
    CPU,
    DISK,
    MEMORY,
    SLOWEST,
    Event,
    Ladder,
    Level,
    Marks,
    Rung,
)
from scrapy_resilience.core.pressure_rungs import STEPS

MARKS = Marks(75.0, 85.0, 95.0, 100.0)
KINDS = {"memory": MEMORY, "disk": DISK, "cpu": CPU}
USED = st.one_of(
    st.none(), st.just(nan), st.just(inf), st.floats(0.0, 250.0), st.sampled_from([*MARKS])
)
SECONDS = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0, 30.0]), st.floats(0.0, 400.0))


class Crawl:
    """A simulated one: readings each half second, and as often as it is asked otherwise."""

    def __init__(self, times=MEMORY, *, each=2.0, cleared_to=None):
        self.ladder = Ladder(MARKS, times)
        self.now, self.used, self.pages, self.each = 0.0, 30.0, 0.0, each
        self.cleared_to = cleared_to
        self.peak = 0.0
        self.moves = []

    @property
    def is_paused(self):
        return self.ladder.rung >= Rung.PAUSE

    def look(self):
        """As the glue does: once more at once after each step up."""
        while True:
            level = Level(self.used, int(self.pages), 0 if self.is_paused else 1)
            move = self.ladder.look(level, self.now)
            if move is None:
                return
            self.moves.append((round(self.now, 2), move))
            if move.after > move.before and self.cleared_to is not None:
                self.used = min(self.used, self.cleared_to)
            if move.after <= move.before or move.after is Rung.CLOSE:
                return

    def run(self, seconds, grow, step=0.1):
        """*grow* changes ``used`` for each *step*."""
        end, due = self.now + seconds, self.now
        while self.now < end and self.ladder.rung is not Rung.CLOSE:
            grow(self, step)
            self.peak = max(self.peak, self.used or 0.0)
            if self.now >= due:
                self.look()
                due = self.now + (0.5 if self.ladder.is_near else self.each)
            self.now += step
        return self

    def rungs(self):
        return [move.after for _, move in self.moves]


def leak(per_second):
    """Grow with each page; pages come five a second while none is held up."""

    def grow(crawl, step):
        if not crawl.is_paused:
            crawl.pages += 5 * step
            crawl.used += per_second * step

    return grow


def level(used):
    """Stay at a level."""
    return lambda crawl, _: setattr(crawl, "used", used)


# --- the table ---


def test_nothing_leads_away_from_the_close():
    """The close is the last rung."""
    assert not [pair for pair in STEPS if pair[0] is Rung.CLOSE]


def test_table_climbs_and_descends():
    """Held, critical and fast lead up; eased and gone lead down."""
    for (rung, event), after in STEPS.items():
        down = event in {Event.EASED, Event.GONE}
        assert (after < rung) is down, (rung, event)


def test_critical_pressure_alone_never_leads_beyond_the_pause():
    """A spike is over in a moment: only time, and growth, lead on from the pause."""
    assert max(after for (_, event), after in STEPS.items() if event is Event.CRITICAL) is (
        Rung.PAUSE
    )


# --- up ---


def test_rungs_in_turn():
    """High pressure that stays: clean, fewer, and half as many once more; never a pause."""
    crawl = Crawl().run(600, level(88.0))

    assert crawl.rungs() == [Rung.CLEAN, Rung.FEWER, Rung.FEWER]
    assert crawl.ladder.depth == 2


def test_slow_growth_climbs_all_rungs():
    """A slow leak that nothing clears comes to the close, each rung in its turn."""
    crawl = Crawl().run(600, leak(0.3))

    assert [*dict.fromkeys(crawl.rungs())] == [*Rung][1:]
    assert crawl.peak <= MARKS.limit


def test_spike_pauses_at_once():
    """A reading far over the limit: cleaned and paused by the first look."""
    crawl = Crawl().run(0.1, level(220.0))

    assert crawl.rungs() == [Rung.CLEAN, Rung.PAUSE]


@pytest.mark.parametrize("seconds", [1.0, 3.0, 8.0])
def test_spike_ends(seconds):
    """A spike of seconds is a pause, and the next reading ends it; it never is a close."""
    crawl = Crawl().run(20, level(30.0)).run(seconds, level(220.0)).run(1, level(30.0))

    assert crawl.rungs() == [Rung.CLEAN, Rung.PAUSE, Rung.HEALTHY]


def test_one_step_up_is_no_leak():
    """Memory that has grown fast, once, to a level that stays: fewer requests, no close."""
    crawl = Crawl().run(10, level(60.0)).run(600, level(88.0))

    assert Rung.PAUSE in crawl.rungs()
    assert crawl.ladder.rung is Rung.FEWER
    assert Rung.CLOSE not in crawl.rungs()


def test_spike_upon_high_memory():
    """A pause that has helped ends, though what is left is high still: nothing is closed."""
    crawl = Crawl().run(30, level(88.0)).run(3, level(220.0)).run(60, level(88.0))

    assert Rung.FREE not in crawl.rungs()
    assert crawl.ladder.rung is Rung.FEWER


def test_memory_that_stays_closes():
    """Paused, nothing under way, and no less used: closed after the stated times."""
    crawl = Crawl().run(60, level(97.0))
    at = {move.after: now for now, move in crawl.moves}

    assert crawl.rungs() == [Rung.CLEAN, Rung.PAUSE, Rung.FREE, Rung.CLOSE]
    assert at[Rung.CLOSE] - at[Rung.PAUSE] == pytest.approx(MEMORY.idle + 5.0, abs=2)


def test_pause_waits_for_what_is_under_way():
    """While requests are under way, that may free something, the pause lasts a minute."""
    ladder = Ladder(MARKS)
    moves = [ladder.look(Level(97.0, 0, 3), now) for now in (0.0, 0.0, 15.0, 59.0, 61.0)]

    assert [move and move.after for move in moves] == [
        Rung.CLEAN, Rung.PAUSE, None, None, Rung.FREE,
    ]  # fmt: skip


def test_what_others_use_is_waited_for():
    """Where others have the memory, the pause is ten times as patient."""
    ladder, now = Ladder(MARKS), 0.0
    while ladder.rung is not Rung.FREE:
        ladder.look(Level(97.0, 0, 0, is_shared=True), now)
        now += 0.5

    assert now == pytest.approx(10 * MEMORY.idle, abs=2)


@pytest.mark.parametrize("per_second", [0.2, 1.0, 3.0, 6.0, 12.0])
def test_leak_with_pages_closes_before_the_limit(per_second):
    """What grows with pages and is never cleared closes, and never crosses the limit."""
    crawl = Crawl().run(1_200, leak(per_second))

    assert crawl.ladder.rung is Rung.CLOSE
    assert crawl.peak < MARKS.limit


@pytest.mark.parametrize("per_second", [0.1, 1.0, 3.0, 5.0])
def test_leak_in_the_background_closes_before_the_limit(per_second):
    """So does what grows whether the crawl is paused or not, seconds before."""

    def grow(crawl, step):
        crawl.used += per_second * step

    crawl = Crawl().run(1_200, grow)

    assert crawl.ladder.rung is Rung.CLOSE
    assert crawl.peak < MARKS.limit


@pytest.mark.parametrize("per_second", [1.0, 6.0, 12.0])
def test_leak_that_is_cleared_goes_on(per_second):
    """Where cleaning helps, the crawl never pauses."""
    crawl = Crawl(cleared_to=30.0).run(600, leak(per_second))

    assert set(crawl.rungs()) == {Rung.CLEAN, Rung.HEALTHY}
    assert crawl.peak < MARKS.limit


def test_requests_under_way_count():
    """Twenty requests at three a page would cross the limit: paused before it is near."""
    ladder = Ladder(MARKS)
    ladder.look(Level(40.0, 0, 20), 0.0)
    moves = [ladder.look(Level(70.0, 10, 20), now) for now in (30.0, 30.0)]

    assert [move.event for move in moves] == [Event.FAST, Event.FAST]
    assert ladder.rung is Rung.PAUSE


def test_start_of_a_crawl_is_no_leak():
    """What grows fast below half of the limit is left alone."""
    ladder = Ladder(MARKS)
    moves = [ladder.look(Level(used, 0, 1), now) for now, used in ((0.0, 5.0), (1.0, 49.0))]

    assert moves == [None, None]


# --- down ---


def test_eased_pressure_goes_down_one_by_one():
    """Between the marks it goes down a rung at a time, without a jump."""
    crawl = Crawl().run(1, level(97.0)).run(60, level(80.0))

    assert crawl.rungs() == [
        Rung.CLEAN, Rung.PAUSE, Rung.FEWER, Rung.CLEAN, Rung.HEALTHY,
    ]  # fmt: skip


def test_between_the_marks_nothing_begins():
    """Above the low mark only what was begun stays."""
    assert Crawl().run(60, level(84.9)).moves == []


def test_unreadable_pressure_ends():
    """A pause whose cause can't be read any more ends, a rung a minute."""
    crawl = Crawl().run(1, level(97.0)).run(5 * SLOWEST, level(None))

    assert crawl.ladder.rung is Rung.HEALTHY
    assert Rung.CLOSE not in crawl.rungs()


def test_flapping_is_bounded():
    """Pressure that is there only while it crawls: pauses get longer, up to a minute each."""
    crawl = Crawl()
    crawl.run(3_600, lambda c, _: setattr(c, "used", 30.0 if c.is_paused else 97.0))
    pauses = crawl.rungs().count(Rung.PAUSE)

    assert 50 < pauses < 3_600 / SLOWEST + 20
    assert crawl.ladder.depth == 11


def test_relapse_is_forgotten():
    """A pause long after another one is no relapse: it ends at once."""
    crawl = Crawl()
    for _ in range(3):
        crawl.run(1, level(220.0)).run(400, level(30.0))

    assert crawl.ladder.relapses == 0


def test_relapse_halves_the_requests():
    """After a relapse half as many requests at a time are left."""
    crawl = Crawl().run(1, level(220.0)).run(5, level(30.0)).run(1, level(220.0))

    assert crawl.ladder.depth == 2


# --- other resources ---


def test_disk_pauses_and_goes_on():
    """A full disk pauses for as long as it is full, some minutes; room ends that."""
    crawl = Crawl(DISK).run(500, level(99.0)).run(1, level(10.0))

    assert crawl.rungs() == [Rung.PAUSE, Rung.HEALTHY]


def test_disk_that_stays_full_closes():
    """After ten minutes it closes."""
    assert Crawl(DISK).run(700, level(99.0)).rungs() == [Rung.PAUSE, Rung.CLOSE]


def test_processor_never_pauses():
    """It lowers the requests at a time, to a quarter at the least, and raises them in turn."""
    crawl = Crawl(CPU).run(600, level(99.0))
    up = [*crawl.moves]
    crawl.run(600, level(10.0))

    assert [move.after for _, move in up] == [Rung.FEWER, Rung.FEWER]
    assert crawl.rungs()[2:] == [Rung.FEWER, Rung.HEALTHY]
    assert crawl.ladder.depth == 0


def test_processor_closes_where_that_is_asked():
    """After the time that is asked for, on the last rung."""
    crawl = Crawl(replace(CPU, closes_after=60.0)).run(600, level(99.0))

    assert crawl.rungs() == [Rung.FEWER, Rung.FEWER, Rung.CLOSE]


# --- whatever is read ---


@given(kind=st.sampled_from([*KINDS]), readings=st.lists(
    st.tuples(SECONDS, USED, st.integers(0, 40), st.integers(0, 20)), max_size=60))  # fmt: skip
def test_any_readings(kind, readings):
    """Each move is one of the table's or a change of depth, to a rung that there is."""
    times = KINDS[kind]
    ladder, now, pages = Ladder(MARKS, times), 0.0, 0
    for seconds, used, more, under_way in readings:
        now, pages = now + seconds, pages + more
        before = ladder.rung
        move = ladder.look(Level(used, pages, under_way), now)
        if move is None:
            assert ladder.rung is before
            continue
        assert move.before is before
        assert move.after is ladder.rung
        assert move.after in {Rung.HEALTHY, *times.up}
        assert 0 <= ladder.depth <= 11
        if move.after is not before:
            wanted = STEPS[before, move.event]
            assert (wanted > before) is (move.after > before)


@given(st.lists(st.floats(1.01, 40.0), max_size=80), SECONDS, st.floats(100.0, 1_000.0))
def test_falling_never_closes(falls, each, used):
    """While each reading is lower than the one before, nothing is closed."""
    ladder, now = Ladder(MARKS), 0.0
    for fall in falls:
        ladder.look(Level(used, 0, 0), now)
        used, now = max(used - fall, 0.0), now + each
        assert ladder.rung is not Rung.CLOSE


@given(st.lists(st.tuples(SECONDS, USED, st.integers(0, 20)), max_size=60))
def test_comes_down_in_time(readings):
    """Whatever was read before: some minutes below the low mark, and it is healthy."""
    ladder, now = Ladder(MARKS), 0.0
    for seconds, used, under_way in readings:
        now += seconds
        ladder.look(Level(used, 0, under_way), now)
    end = now + 5 * SLOWEST + 12 * MEMORY.down
    while now < end and ladder.rung not in {Rung.HEALTHY, Rung.CLOSE}:
        now += 0.5
        ladder.look(Level(10.0, 0, 0), now)

    assert ladder.rung in {Rung.HEALTHY, Rung.CLOSE}


@given(st.lists(st.tuples(st.floats(0.1, 5.0), st.floats(0.0, 84.9)), max_size=60))
def test_moderate_readings_do_nothing(readings):
    """Below the high mark, and without pages, only growth that would cross the limit acts."""
    ladder, now, before = Ladder(MARKS), 0.0, None
    for seconds, used in readings:
        now += seconds
        move = ladder.look(Level(used, 0, 0), now)
        if move is not None and move.after > move.before:
            assert move.event is Event.FAST
            assert used >= 50.0
        before = used
    assert before is None or before < 85


@given(st.lists(st.tuples(SECONDS, st.floats(95.0, 500.0)), min_size=2, max_size=60))
def test_critical_pressure_is_never_left_alone(readings):
    """Two looks at critical pressure, and nothing new is asked for."""
    ladder, now = Ladder(MARKS), 0.0
    for seconds, used in readings:
        now += seconds
        ladder.look(Level(used, 0, 1), now)

    assert ladder.rung >= Rung.PAUSE


def test_growth_of_readings_at_once():
    """Two readings within a moment are no rate."""
    growth = Growth()
    for now, used in ((0.0, 10.0), (1.0, 20.0), (1.01, 30.0)):
        growth.add(now, used, 0)

    assert growth.per_second == 10.0

"""The breaker against a model that keeps every call and computes anew what follows."""

from __future__ import annotations

import random
from collections import Counter
from math import inf, log

import pytest
from hypothesis import settings, target
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scrapy_resilience.core.breaker import TRANSITIONS, Breaker, Event, Outcome, State
from scrapy_resilience.core.breakerconfig import BreakerConfig

WINDOW = 60.0
BASE, CAP = 10.0, 100.0
SLOW = 5.0
TRIAL_TIMEOUT = 40.0
LATE = 0.01  # beyond what is rounded in a time of day
SECONDS = st.one_of(st.sampled_from([1.0, 6.0, 9.0, 10.0, 41.0]), st.floats(0.0, 70.0))


class Model:
    """What a breaker is to do, in the plainest words."""

    def __init__(self, settings):
        self.settings = settings
        self.state = "closed"
        self.calls = []  # (bucket, failed, slow)
        self.newest = -inf
        self.row = 0
        self.known = 0.0, 0.0  # failures and successes of earlier runs, decayed
        self.outcomes = []  # of this run; True is a failure
        self.answered = False
        self.since = inf
        self.trips = 0
        self.late = None
        self.until = self.length = 0.0
        self.ordinary = set()
        self.trials = {}
        self.begun = self.passed = 0
        self.entered = []

    def enter(self, state):
        """Begin a state: nothing of the one before counts any longer."""
        self.entered.append(f"{self.state} to {state}")
        self.state = state
        self.calls, self.newest, self.row = [], -inf, 0
        self.ordinary, self.trials = set(), {}
        self.begun = self.passed = 0

    def open(self, now, chance, *, again):
        """Open, or open again, for longer."""
        self.trips = self.trips + 1 if again else 0
        first = self.settings["first_trial"]
        length, most = (first * 1.5**self.trips, BASE) if first else (BASE * 2**self.trips, CAP)
        self.length = min(length * (1 + self.settings["jitter"] * (2 * chance - 1)), most)
        self.until = now + self.length
        self.since = min(self.since, now)
        self.enter("open")

    def close(self):
        """Close after a trial."""
        self.trips, self.late, self.since, self.answered = 0, None, inf, True
        self.enter("closed")

    def reset(self):
        """Close by hand: nothing is known any longer."""
        self.close()
        self.known, self.outcomes, self.answered = (0.0, 0.0), [], False

    def usual(self):
        """Return the failures and the successes, each outcome worth 1 % less than the next."""
        ages = range(len(self.outcomes) - 1, -1, -1)
        old = 0.99 ** len(self.outcomes)
        both = list(zip(self.outcomes, ages, strict=True))
        failures = self.known[0] * old + sum(0.99**age for failed, age in both if failed)
        successes = self.known[1] * old + sum(0.99**age for failed, age in both if not failed)
        return failures, successes

    def is_down(self):
        """Say whether such a row is not to be expected of such a domain."""
        failures, successes = self.usual()
        share = min((failures + 1) / (failures + successes + 20), 0.75)
        return not self.answered or self.row >= log(1e6) / log(0.98 / share)

    def pass_time(self, now, chance):
        """Do what time alone does."""
        if self.state == "open":
            self.until = min(self.until, now + self.length)
            if self.until <= now:
                self.enter("half_open")
        elif self.state == "half_open":
            self.trials = {permit: min(since, now) for permit, since in self.trials.items()}
            late = [p for p, since in self.trials.items() if now - since >= TRIAL_TIMEOUT]
            if late:
                self.open(now, chance, again=True)
                self.late = late[0]

    def ready_at(self):
        """Return when a call may come."""
        if self.state == "open":
            return self.until
        if self.state == "forced_open":
            return inf
        if self.state == "half_open":
            full = len(self.trials) >= self.settings["half_open_concurrent"]
            return inf if full or self.begun >= self.settings["half_open_max"] else 0.0
        return 0.0

    def admit(self, permit, now):
        """Take note of a permit."""
        if self.state == "half_open":
            self.trials[permit] = now
            self.begun += 1
        else:
            self.ordinary.add(permit)

    def record(self, permit, outcome, now, *, slow, retry_after, chance):
        """Judge an outcome."""
        if permit in self.trials:
            del self.trials[permit]
            self.judge(outcome, now, slow=slow, retry_after=retry_after, chance=chance)
        elif permit in self.ordinary and outcome in {Outcome.SUCCESS, Outcome.FAILURE}:
            if self.state != "disabled":
                self.count(outcome is Outcome.FAILURE, now, slow)
            if self.state == "closed" and self.must_open(outcome, now, slow):
                self.open(now, chance, again=False)
        elif permit == self.late and outcome is Outcome.SUCCESS and not slow:
            self.pass_late()

    def judge(self, outcome, now, *, slow, retry_after, chance):
        """Judge a trial."""
        if outcome is Outcome.FAILURE or (outcome is Outcome.SUCCESS and slow):
            self.open(now, chance, again=True)
        elif outcome is Outcome.SUCCESS:
            self.passed += 1
            if self.passed == self.settings["success_threshold"]:
                self.close()
        elif outcome is Outcome.THROTTLED:
            self.length = min(retry_after or self.length, CAP)
            self.until = now + self.length
            self.since = min(self.since, now)
            self.enter("open")
        else:
            self.begun -= 1

    def pass_late(self):
        """Judge a trial that was late, and has passed."""
        if self.state in {"open", "half_open"}:
            self.close()

    def count(self, failed, now, slow):
        """Keep a call."""
        self.move_window(now)
        self.calls.append((self.newest, failed, slow))
        self.row = self.row + 1 if failed else 0
        self.outcomes.append(failed)
        self.answered |= not failed
        if self.row <= 1:
            self.since = now if failed else inf

    def move_window(self, now):
        """The newest bucket is that of the latest time, unless the clock went back too far."""
        bucket = int(now // (WINDOW / 10))
        if self.newest - bucket >= 10:
            self.calls = []
            self.newest = bucket
        self.newest = max(self.newest, bucket)

    def counts(self, now):
        """Return calls, failures and slow calls in the window."""
        if not self.calls:
            return 0, 0, 0
        self.move_window(now)
        recent = [call for call in self.calls if self.newest - call[0] < 10]
        return len(recent), sum(c[1] for c in recent), sum(c[2] for c in recent)

    def must_open(self, outcome, now, slow):
        """Say whether a closed breaker opens after this call."""
        calls, failures, slow_calls = self.counts(now)
        threshold = self.settings["failure_threshold"]
        if outcome is not Outcome.FAILURE and not slow:
            return False
        if threshold and self.row >= threshold and self.is_down():
            return True
        rate = self.settings["failure_rate"]
        return calls >= self.settings["min_calls"] and (
            (rate and failures >= rate * calls)
            or slow_calls >= self.settings["slow_call_rate"] * calls
        )


class BreakerMachine(RuleBasedStateMachine):
    """Rules act on both, and compare."""

    @initialize(
        threshold=st.sampled_from([0, 2, 5]),
        rates=st.sampled_from([(0.0, 1.0), (0.5, 1.0), (0.25, 0.5)]),
        first=st.sampled_from([0.0, 1.0]),
        trials=st.sampled_from([(1, 1, 1), (3, 1, 2), (3, 2, 2), (4, 4, 3)]),
        jitter=st.sampled_from([0.0, 0.125]),
        now=st.sampled_from([1e6, 1e7]),
    )
    def begin(self, *, threshold, rates, first, trials, jitter, now):
        """Start with a closed breaker."""
        most, concurrent, wanted = trials
        self.settings = {
            "failure_threshold": threshold,
            "failure_rate": rates[0],
            "slow_call_rate": rates[1],
            "first_trial": first,
            "min_calls": 4,
            "half_open_max": most,
            "half_open_concurrent": concurrent,
            "success_threshold": wanted,
            "jitter": jitter,
        }
        self.config = BreakerConfig(
            **self.settings,
            window=WINDOW,
            slow_call_duration=SLOW,
            recovery_timeout=BASE,
            max_recovery_timeout=CAP,
            trial_timeout=TRIAL_TIMEOUT,
        )
        self.now = now
        self.wall = 1.7e9
        self.chance = 0.5
        self.told = []
        self.permits = []
        self.model = Model(self.settings)
        self.breaker = Breaker(self.config, self.random, self.listen)

    def random(self):
        """Return this moment's random number."""
        return self.chance

    def listen(self, old, new, reason):
        """Take note of a transition."""
        assert self.breaker.state is new
        self.told.append(f"{old.value} to {new.value}")

    # --- time ---

    @rule(seconds=SECONDS)
    def wait(self, seconds):
        """Let time pass, and nobody ask."""
        self.now += seconds
        self.wall += seconds

    @precondition(lambda self: self.model.state == "open")
    @rule(late=st.sampled_from([LATE, LATE, -0.5]))
    def wait_for_the_end(self, late):
        """Let the open time pass, or nearly."""
        self.wait(max(self.model.until + late - self.now, 0.0))

    @rule(seconds=st.sampled_from([0.1, 7.0, 50.0, 61.0, 3600.0]))
    def set_back(self, seconds):
        """Set the clock back."""
        self.now -= seconds

    @rule(seconds=st.sampled_from([0.0, 0.5, 1e9]))
    def wait_no_longer(self, seconds):
        """Have a trial sooner."""
        self.breaker.wait_no_longer(self.now + seconds)
        if self.model.state == "open":
            self.model.until = min(self.model.until, self.now + seconds)

    @rule(chance=st.floats(0, 1))
    def roll(self, chance):
        """Have another random number."""
        self.chance = chance

    # --- calls ---

    @rule()
    def ask(self):
        """Ask when a call may come."""
        self.model.pass_time(self.now, self.chance)

        assert self.breaker.ready_at(self.now) == pytest.approx(self.model.ready_at())

    @rule()
    def acquire(self):
        """Ask for a permit: it is new, or that of the era, or refused."""
        self.model.pass_time(self.now, self.chance)

        permit = self.breaker.acquire(self.now)

        assert (permit is not None) == (self.model.ready_at() == 0.0)
        if permit is not None:
            if self.model.state == "half_open":
                assert permit not in self.permits
            self.model.admit(permit, self.now)
            self.permits.append(permit)

    @rule(
        pick=st.integers(0, 3),
        outcome=st.sampled_from(Outcome),
        slow=st.booleans(),
        asked=st.sampled_from([0.0, 3.0, 1e9]),
    )
    def record(self, pick, outcome, slow, asked):
        """Give an outcome to one of the latest permits, be it used up or of an old era."""
        if self.permits:
            permit = self.permits[-1 - pick % len(self.permits)]
            self._record(permit, outcome, slow=slow, asked=asked)

    @rule(permit=st.integers(-3, 300), outcome=st.sampled_from(Outcome))
    def forge(self, permit, outcome):
        """Give an outcome to a permit that nobody has."""
        if permit not in self.model.ordinary and permit not in self.model.trials:
            if permit == self.breaker._era and self.model.state != "half_open":
                return  # an ordinary permit in all but name
            self._record(permit, outcome)

    @rule(count=st.integers(1, 6), outcome=st.sampled_from(Outcome), slow=st.booleans())
    def calls(self, count, outcome, *, slow):
        """Make some calls that all end alike."""
        for _ in range(count):
            before = len(self.permits)
            self.acquire()
            if len(self.permits) > before:
                self._record(self.permits[-1], outcome, slow=slow)

    @precondition(lambda self: self.model.state == "closed")
    @rule()
    def trip(self):
        """Let calls fail until it opens, by any rule."""
        for _ in range(50):
            if self.model.state == "closed":
                self.calls(1, Outcome.FAILURE, slow=False)

    @rule(pattern=st.lists(st.booleans(), min_size=2, max_size=6))
    def be_flaky(self, pattern):
        """Fail now and then: True is a failure."""
        for failed in pattern * 5:
            self.calls(1, Outcome.FAILURE if failed else Outcome.SUCCESS, slow=False)

    @precondition(lambda self: self.model.state == "half_open")
    @rule(outcome=st.sampled_from([*[Outcome.SUCCESS] * 3, *Outcome]))
    def hang(self, outcome):
        """Let a trial be late, and have an outcome after all."""
        before = len(self.permits)
        self.acquire()
        if len(self.permits) > before:
            self.wait(TRIAL_TIMEOUT)
            self.ask()
            self._record(self.permits[-1], outcome)

    @precondition(lambda self: self.model.state == "open")
    @rule(outcome=st.sampled_from(Outcome), slow=st.booleans())
    def make_a_trial(self, outcome, slow):
        """Wait until the open time is over, and make a trial."""
        self.wait_for_the_end(LATE)
        self.calls(1, outcome, slow=slow)

    @precondition(lambda self: self.model.state == "half_open")
    @rule(outcome=st.sampled_from(Outcome), count=st.integers(1, 3))
    def make_trials(self, outcome, count):
        """Make the trials that the round has room for."""
        self.calls(count, outcome, slow=False)

    def _record(self, permit, outcome, *, slow=False, asked=0.0):
        self.model.pass_time(self.now, self.chance)
        self.model.record(
            permit, outcome, self.now, slow=slow, retry_after=asked, chance=self.chance
        )

        self.breaker.record(permit, outcome, self.now, SLOW if slow else 0.1, asked, "why")

    # --- by hand ---

    @rule(how=st.sampled_from(["force_open", "disable", "metrics_only"]))
    def set_by_hand(self, how):
        """Set a state that no call and no time ends."""
        getattr(self.breaker, how)()
        state = {"force_open": "forced_open", "disable": "disabled"}.get(how, how)
        if self.model.state != state:
            self.model.enter(state)

    @precondition(lambda self: self.model.state != "closed")
    @rule()
    def reset(self):
        """Close it by hand."""
        self.breaker.reset(self.now)
        self.model.reset()

    @rule(now=st.sampled_from([1e6, 2e6]), gone=st.sampled_from([-1e6, -2.0, 0.0, 5.0]))
    def restart(self, now, gone):
        """End the process and go on in another one, maybe with another time of day."""
        data = self.breaker.dump(self.now, self.wall)
        model, new = self.model, Model(self.settings)
        if data is not None:
            new.state = "open" if model.state == "half_open" else model.state
            new.trips = model.trips
            new.row = model.row if model.state == "closed" else 0
            new.since = now if new.row or new.state == "open" else inf
            failures, successes = model.usual()
            if model.answered and failures:
                new.answered = True
                new.known = round(failures, 2), round(successes, 2)
            if new.state == "open":
                left = model.until - self.now if model.state == "open" else 0.0
                new.length = model.length
                left = min(max(left, 0.0), new.length)
                new.until = now + min(max(left - gone, 0.0), new.length)
        else:
            assert model.state == "closed"
            assert not model.row
        new.entered = model.entered
        self.now = now
        self.wall += gone
        self.model, self.permits = new, []
        if data is None:
            self.breaker = Breaker(self.config, self.random, self.listen)
        else:
            self.breaker = Breaker.load(
                self.config, data, now, self.wall, self.random, on_transition=self.listen
            )

    # --- comparison ---

    @invariant()
    def same(self):
        """Both are in the same state, by the same way."""
        if not hasattr(self, "model"):
            return
        assert self.breaker.state.value == self.model.state
        assert self.told == self.model.entered
        assert self.breaker.answered == self.model.answered
        assert self.breaker.trips == self.model.trips or self.model.state in {
            "forced_open", "disabled", "metrics_only",
        }  # fmt: skip
        if self.model.state == "open":
            assert self.breaker.opened_until == pytest.approx(self.model.until, abs=1e-3)
            assert self.breaker.failing_since == self.model.since
        if self.model.state in {"closed", "metrics_only"}:
            assert self.breaker.counts(self.now) == self.model.counts(self.now)

    def teardown(self):
        """Have more of the runs that get far."""
        if hasattr(self, "model"):
            ways = Counter(self.model.entered)
            target(float(ways["open to half_open"]), label="rounds")
            target(float(ways["half_open to open"]), label="reopened")
            target(float(ways["half_open to closed"]), label="closed after trials")


def test_the_breaker_does_what_the_model_does():
    """Any calls, hands, restarts and clocks lead both the same way."""
    run_state_machine_as_test(BreakerMachine, settings=settings(stateful_step_count=40))


def play(seed, steps):
    """Let a machine do *steps* random things without hypothesis, and return its ways."""
    rng = random.Random(seed)
    machine = BreakerMachine()
    machine.begin(
        threshold=rng.choice([0, 2, 5]),
        rates=rng.choice([(0.0, 1.0), (0.5, 1.0), (0.25, 0.5)]),
        first=rng.choice([0.0, 1.0]),
        trials=rng.choice([(1, 1, 1), (3, 1, 2), (3, 2, 2), (4, 4, 3)]),
        jitter=0.125,
        now=1e6,
    )
    outcomes = [*[Outcome.SUCCESS] * 4, *Outcome]

    def record():
        machine.record(
            rng.randrange(4), rng.choice(outcomes), rng.random() < 0.2, rng.choice([0.0, 3.0])
        )

    def by_hand():
        machine.set_by_hand(rng.choice(["force_open", "disable", "metrics_only"]))

    acts = [
        *[machine.ask, machine.acquire, record] * 6,
        *[lambda: machine.wait(rng.uniform(0, 20))] * 2,
        *[lambda: machine.model.state == "open" and machine.wait_for_the_end(LATE)] * 4,
        lambda: machine.roll(rng.random()),
        lambda: machine.calls(3, rng.choice(outcomes), slow=rng.random() < 0.2),
        lambda: machine.model.state == "closed" and machine.trip(),
        lambda: rng.random() < 0.3 and machine.be_flaky([rng.random() < 0.5 for _ in range(4)]),
        lambda: machine.model.state == "half_open" and machine.hang(rng.choice(outcomes)),
        lambda: rng.random() < 0.3 and by_hand(),
        lambda: rng.random() < 0.3 and machine.model.state != "closed" and machine.reset(),
        lambda: rng.random() < 0.3 and machine.set_back(rng.choice([0.1, 7.0, 61.0])),
        lambda: rng.random() < 0.2 and machine.restart(1e6, rng.choice([0.0, 5.0])),
    ]
    for _ in range(steps):
        rng.choice(acts)()
        machine.same()
    return Counter(machine.model.entered)


def test_the_model_is_compared_on_every_way():
    """Random play goes every way of the table many times, half-open ones included."""
    ways = sum((play(seed, 2000) for seed in range(20)), Counter())

    for (old, event), new in TRANSITIONS.items():
        if old is not new:
            assert ways[f"{old.value} to {new.value}"] >= 3, event


# --- three kinds of domains -------------------------------------------------------------

AT_A_TIME = 8


class DomainMachine(RuleBasedStateMachine):
    """A domain that is flaky, dies and recovers, eight calls at a time; all defaults."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.row = 0
        self.breaker = Breaker(BreakerConfig(), lambda: 0.5, self.listen)

    def listen(self, _old, new, event):
        """What opens it is a row of failures, and what closes it one answer."""
        if event is Event.FAILURES_IN_A_ROW:
            assert self.row >= self.breaker.config.failure_threshold
        if new is State.CLOSED:
            assert event in {Event.TRIALS_PASSED, Event.LATE_TRIAL_PASSED}
            assert self.row == 0

    def round(self, outcomes):
        """Make calls together, then let them end; return how many were let through."""
        permits = [self.breaker.acquire(self.now) for _ in outcomes]
        for permit, failed in zip(permits, outcomes, strict=True):
            if permit is not None:
                self.row = self.row + 1 if failed else 0
                outcome = Outcome.FAILURE if failed else Outcome.SUCCESS
                self.breaker.record(permit, outcome, self.now)
        return sum(permit is not None for permit in permits)

    @rule(share=st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.7]), seed=st.integers(0, 1000))
    def is_flaky(self, share, seed):
        """It still answers: it is never away for longer than a second."""
        rng = random.Random(seed)
        for _ in range(40):
            self.now += 1.0
            waits = self.breaker.ready_at(self.now)
            self.round([rng.random() < share for _ in range(AT_A_TIME)])
            assert waits == 0.0 or self.breaker.trips
        self.recovers()

    @rule()
    def dies(self):
        """It is held after 60 calls at most, whatever it was before."""
        calls, most = 0, 60 if self.breaker.answered else AT_A_TIME
        while self.breaker.state is State.CLOSED:
            calls += self.round([True] * AT_A_TIME)
            self.now += 0.03

        assert calls <= most

    @precondition(lambda self: self.breaker.state is State.OPEN)
    @rule(seconds=st.sampled_from([5.0, 120.0, 7200.0]))
    def stays_dead(self, seconds):
        """It is asked once in a while: 16 times in 12 minutes, then each five minutes."""
        end, calls = self.now + seconds, 0
        while self.now < end:
            calls += self.round([True] * AT_A_TIME)
            self.now += 0.25

        assert calls <= 16 + seconds / 300

    @precondition(lambda self: self.breaker.state is State.OPEN)
    @rule()
    def recovers(self):
        """The first trial, after as long as it was to wait, lets everything through."""
        if self.breaker.state is State.OPEN:
            assert self.breaker.opened_until <= self.now + 300
            self.now = self.breaker.opened_until
        assert self.round([False] * AT_A_TIME) in {1, AT_A_TIME}
        assert self.breaker.state is State.CLOSED
        assert self.round([False] * AT_A_TIME) == AT_A_TIME


def test_the_flaky_the_dying_and_the_recovering_domain():
    """In any order: the flaky one goes on, the dead one is held, and it comes back."""
    run_state_machine_as_test(
        DomainMachine, settings=settings(max_examples=40, stateful_step_count=20, deadline=None)
    )

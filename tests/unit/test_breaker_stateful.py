"""The breaker against a model that keeps every call and computes anew what follows."""

from __future__ import annotations

import random
from collections import Counter
from math import inf

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

from scrapy_resilience.core.breaker import TRANSITIONS, Breaker, Outcome
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
        self.steps = 0  # of escalation, at the moment it last opened
        self.closed_at = 0.0
        self.trips = 0
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

    def level(self, now):
        """How often the open time is doubled."""
        if self.state != "closed":
            return self.steps
        return max(0, self.steps - int(max(0.0, now - self.closed_at) / WINDOW))

    def open(self, now, chance, *, again):
        """Open, or open again, for longer."""
        level = self.level(now)
        jitter = 1 + self.settings["jitter"] * (2 * chance - 1)
        self.length = min(BASE * 2**level * jitter, CAP)
        self.until = now + self.length
        self.steps = min(level + 1, 64)
        self.trips = self.trips + 1 if again else 0
        self.enter("open")

    def close(self, now):
        """Close after trials."""
        self.closed_at, self.trips = now, 0
        self.enter("closed")

    def pass_time(self, now, chance):
        """Do what time alone does."""
        if self.state == "open":
            self.until = min(self.until, now + self.length)
            if self.until <= now:
                self.enter("half_open")
        elif self.state == "half_open":
            self.trials = {permit: min(since, now) for permit, since in self.trials.items()}
            if any(now - since >= TRIAL_TIMEOUT for since in self.trials.values()):
                self.open(now, chance, again=True)

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

    def judge(self, outcome, now, *, slow, retry_after, chance):
        """Judge a trial."""
        if outcome is Outcome.FAILURE or (outcome is Outcome.SUCCESS and slow):
            self.open(now, chance, again=True)
        elif outcome is Outcome.SUCCESS:
            self.passed += 1
            if self.passed == self.settings["success_threshold"]:
                self.close(now)
        elif outcome is Outcome.THROTTLED:
            self.length = min(retry_after or self.length, CAP)
            self.until = now + self.length
            self.enter("open")
        else:
            self.begun -= 1

    def count(self, failed, now, slow):
        """Keep a call."""
        self.move_window(now)
        self.calls.append((self.newest, failed, slow))
        self.row = self.row + 1 if failed else 0

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
        if threshold and self.row >= threshold:
            return True
        return calls >= self.settings["min_calls"] and (
            failures >= self.settings["failure_rate"] * calls
            or slow_calls >= self.settings["slow_call_rate"] * calls
        )


class BreakerMachine(RuleBasedStateMachine):
    """Rules act on both, and compare."""

    @initialize(
        threshold=st.sampled_from([0, 2, 5]),
        rates=st.sampled_from([(0.5, 1.0), (0.25, 0.5)]),
        trials=st.sampled_from([(1, 1, 1), (3, 1, 2), (3, 2, 2), (4, 4, 3)]),
        jitter=st.sampled_from([0.0, 0.125]),
        now=st.sampled_from([1e6, 1e7]),
    )
    def begin(self, threshold, rates, trials, jitter, now):
        """Start with a closed breaker."""
        most, concurrent, wanted = trials
        self.settings = {
            "failure_threshold": threshold,
            "failure_rate": rates[0],
            "slow_call_rate": rates[1],
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
        self.model.close(self.now)
        self.model.steps = 0

    @rule(now=st.sampled_from([1e6, 2e6]), gone=st.sampled_from([-1e6, -2.0, 0.0, 5.0]))
    def restart(self, now, gone):
        """End the process and go on in another one, maybe with another time of day."""
        data = self.breaker.dump(self.now, self.wall)
        model, new = self.model, Model(self.settings)
        if data is not None:
            new.state = "open" if model.state == "half_open" else model.state
            new.steps, new.trips = model.level(self.now), model.trips
            new.row = model.row if model.state == "closed" else 0
            new.closed_at = now
            if new.state == "open":
                left = model.until - self.now if model.state == "open" else 0.0
                new.length = model.length
                left = min(max(left, 0.0), new.length)
                new.until = now + min(max(left - gone, 0.0), new.length)
        else:
            assert model.state == "closed"
            assert not model.row
            assert not model.level(self.now)
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
        assert self.breaker.trips == self.model.trips or self.model.state in {
            "forced_open", "disabled", "metrics_only",
        }  # fmt: skip
        if self.model.state == "open":
            assert self.breaker.opened_until == pytest.approx(self.model.until, abs=1e-3)
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
        rates=rng.choice([(0.5, 1.0), (0.25, 0.5)]),
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

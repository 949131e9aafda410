"""Breakers in a given state, for several test files."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from scrapy_resilience.core.breaker import Breaker, Outcome
from scrapy_resilience.core.breakerconfig import BreakerConfig

FAILED = Outcome.FAILURE
PASSED = Outcome.SUCCESS


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        """Return the time."""
        return self.now

    def sleep(self, seconds):
        """Move on."""
        self.now += seconds


def make(on_transition=None, **settings):
    """Return a closed breaker that opens after 3 failures, for 10 s at once, without jitter."""
    defaults = {"failure_threshold": 3, "first_trial": 0, "recovery_timeout": 10, "jitter": 0}
    return Breaker(BreakerConfig(**{**defaults, **settings}), lambda: 0.5, on_transition)


def call(breaker, outcome, now, *details):
    """Make one call with an outcome, and return its permit."""
    permit = breaker.acquire(now)
    assert permit is not None
    breaker.record(permit, outcome, now, *details)
    return permit


def opened(now=0.0, **settings):
    """Return a breaker that opened at *now*."""
    breaker = make(**settings)
    for _ in range(breaker.config.failure_threshold):
        call(breaker, FAILED, now)
    return breaker


def half_open(now=10.0, **settings):
    """Return a breaker that is half-open at *now*."""
    breaker = opened(now - 10, **settings)
    assert breaker.ready_at(now) == 0.0
    return breaker


def run(coroutine):
    """Run a coroutine in a thread, as the test's own has the reactor's event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)

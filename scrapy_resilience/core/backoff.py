"""How often and how late something is tried again: policies, chances, budgets, and a cap."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from math import ceil, inf, log
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import asdict, replace

from scrapy_resilience.core.failures import THROTTLED
from scrapy_resilience.core.patterns import Patterns
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy_resilience.core.failures import Verdict

__all__ = [
    "MOST_TRIES",
    "POLICIES",
    "RetryBudgets",
    "RetryChances",
    "RetryPacer",
    "RetryPolicy",
    "fast_backoff",
    "policies_from",
]


class RetryPolicy(msgspec.Struct, frozen=True):
    """Exponential backoff with jitter.

    ``attempts`` counts all tries, the first one too. The delay before try ``n + 1`` is
    ``base * multiplier ** (n - 1)`` seconds, times a random factor from ``1 - jitter`` to
    ``1 + jitter``, and never more than ``max_delay``. What the server has throttled starts
    at ``throttled_base`` when that is more. ``patterns`` tell failure classes by the text
    of an exception or by ``HTTP <status>``.
    """

    attempts: int = 3
    base: float = 1.0
    multiplier: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.5
    throttled_base: float = 5.0
    patterns: Patterns | None = None

    def __post_init__(self) -> None:
        _check("attempts", self.attempts, isinstance(self.attempts, int), 1)
        for name, least in _LEAST.items():
            _check(name, getattr(self, name), True, least)  # noqa: FBT003 - a number
        if self.jitter > 1:
            raise ConfigurationError(f"jitter={self.jitter!r}: use a number from 0 to 1.")
        if self.base > self.max_delay:
            raise ConfigurationError(
                f"base={self.base!r}: use a number of at most max_delay={self.max_delay:g}."
            )

    def delay(
        self, attempt: int, random: Callable[[], float], failure_class: str | None = None
    ) -> float:
        """Seconds to wait after try number *attempt*, counted from 1.

        *random* gives numbers from 0 to 1, as ``random.random``.
        """
        base = self.base
        if failure_class == THROTTLED:
            base = min(max(base, self.throttled_base), self.max_delay)
        grown = self.max_delay
        if attempt - 1 < self._steps(base):
            grown = base * self.multiplier ** (attempt - 1)
        factor = 1 + self.jitter * (2 * random() - 1)
        return min(grown * factor, self.max_delay)

    def refine(self, verdict: Verdict) -> Verdict:
        """The verdict, of another class where a pattern of this policy says so."""
        found = self.patterns.find(verdict.reason) if self.patterns and verdict.failed else None
        return replace(verdict, failure_class=found[0]) if found else verdict

    def _steps(self, base: float) -> float:
        """After how many steps the largest delay is reached: no greater power is taken."""
        if self.multiplier == 1:
            return inf
        return log(self.max_delay / base) / log(self.multiplier)


_LEAST: Final = {
    "max_delay": 0.001,  # first: max_delay= of a decorator may lower base to itself
    "base": 0.001,
    "multiplier": 1,
    "jitter": 0,
    "throttled_base": 0.001,
}


_MOST: Final = 1e9


def _check(name: str, value: Any, right_type: bool, least: float) -> None:  # noqa: FBT001
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (right_type and numeric and least <= value <= _MOST):
        kind = "a whole number" if name == "attempts" else "a number"
        raise ConfigurationError(f"{name}={value!r}: use {kind} from {least:g} to {_MOST:g}.")


_CONSERVATIVE: Final = RetryPolicy(3, 5.0, 2.0, 300.0, 0.5)
_AGGRESSIVE: Final = RetryPolicy(10, 0.5, 1.5, 120.0, 0.3)
POLICIES: Final[Mapping[str, RetryPolicy]] = {
    "exponential_backoff": RetryPolicy(),
    "conservative": _CONSERVATIVE,
    "aggressive": _AGGRESSIVE,
    "production": _CONSERVATIVE,
    "development": replace(_AGGRESSIVE, jitter=0.0),
}
"""The policies that have names."""


def policies_from(custom: Mapping[str, Any], setting: str) -> dict[str, RetryPolicy]:
    """The named policies and those of *custom*: ``{name: {"attempts": 5, …}}``.

    A policy of a known name changes that one, any other starts from exponential_backoff.
    Raises :exc:`ConfigurationError`, which names *setting*.
    """
    policies = dict(POLICIES)
    for name, values in custom.items():
        where = f"{setting}[{name!r}]"
        if not isinstance(values, dict):
            raise ConfigurationError(f"{where}: use a dict such as {{'attempts': 5}}.")
        policies[name] = _policy(policies.get(name, RetryPolicy()), values, where)
    return policies


def _policy(base: RetryPolicy, values: dict[str, Any], where: str) -> RetryPolicy:
    known = RetryPolicy.__struct_fields__
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" Use {', '.join(known)}."
            raise ConfigurationError(f"{where}: {key!r} is not part of a policy.{hint}")
    if (patterns := values.get("patterns")) is not None:
        if not isinstance(patterns, dict):
            raise ConfigurationError(f"{where}: use a dict of failure classes as patterns.")
        values = {**values, "patterns": Patterns(patterns, f"{where} patterns")}
    try:
        return RetryPolicy(**{**asdict(base), **values})
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


# --- what a domain is worth --------------------------------------------------------


class RetryChances:
    """The share of a domain's *retries* that succeed, and the tries that are worth it.

    With as many tries as this, a page that can be had is missed once in 10,000 times. The
    share of all requests would not do: a section of bad pages has no bearing on the others.
    """

    __slots__ = ("_all", "_succeeded")

    def __init__(self) -> None:
        self._succeeded = 2.0  # two of five, until more is known: a domain that fails 60 %
        self._all = 5.0  # loses no page before it is known, in 100 crawls of 200 pages

    def add(self, *, succeeded: bool) -> None:
        """Count a retry; the last hundred count."""
        self._succeeded = self._succeeded * _MEMORY + succeeded
        self._all = self._all * _MEMORY + 1

    @property
    def tries(self) -> int:
        """From 3 to 25, the first one included."""
        share = self._succeeded / self._all
        if share < _HOPELESS:
            return _FEWEST
        most_missed = log(_MISSED) / log(1 - min(share, 1 - _MISSED))
        return int(min(max(ceil(most_missed), _FEWEST), MOST_TRIES))


_MEMORY: Final = 0.99
_MISSED: Final = 1e-4
_HOPELESS: Final = 0.15
"""Share below which bad pages are more likely than bad luck."""
_FEWEST: Final = 3
MOST_TRIES: Final = 25
"""15 fail in 9 % of the crawls of a domain that fails 60 % of all requests, 25 in 0.06 %."""
_FAST: Final = 0.1
_FAST_MAX: Final = 1.6


def fast_backoff(attempt: int, random: Callable[[], float]) -> float:
    """Seconds after try number *attempt*, from 1, of a domain that is up: 0.1 · 2ⁿ, or 1.6.

    Half of them are certain, the other half are *random*.
    """
    grown = _FAST * 2.0 ** min(attempt - 1, 10)
    return min(grown, _FAST_MAX) * (0.5 + random() / 2)


class RetryBudgets:
    """A budget of retries for each domain, so that retries don't double a heavy load.

    A token bucket, as in Finagle's RetryBudget, but filled by answers: each puts in *share*
    tokens, a retry takes one out, and *reserve* tokens come each *ttl* seconds by themselves.
    A retry that finds none waits. So a domain that answers a third of its requests is never
    slowed down, and one that answers none soon is. The reserve has to last until the first
    answers come: with 10, a domain whose every page fails once takes 40 s, not 3. At most
    *most* domains are known, two numbers each: one that was not heard of for long has a full
    reserve anyway.
    """

    def __init__(
        self, share: float = 3.0, reserve: float = 60.0, ttl: float = 60.0, most: int = 10_000
    ) -> None:
        self._share = share
        self._reserve = reserve
        self._rate = reserve / ttl
        self._top = reserve + share * 500
        self._most = most
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def answered(self, domain: str, now: float) -> None:
        """Count an answer of a domain."""
        self._set(domain, self._balance(domain, now) + self._share, now)

    def retry(self, domain: str, now: float) -> float:
        """Take a token: the seconds until it is there, 0 when it is now."""
        balance = self._balance(domain, now) - 1
        self._set(domain, balance, now)
        return max(-balance / self._rate, 0.0)

    def _balance(self, domain: str, now: float) -> float:
        balance, then = self._known.get(domain, (self._reserve, now))
        earned = max(now - then, 0.0) * self._rate  # a clock may go back
        return balance if balance >= self._reserve else min(balance + earned, self._reserve)

    def _set(self, domain: str, balance: float, now: float) -> None:
        self._known[domain] = min(balance, self._top), now
        self._known.move_to_end(domain)
        if len(self._known) > self._most:
            self._known.popitem(last=False)


class RetryPacer:
    """Lets at most *cap* retries be downloaded at once, and spreads the rest.

    A retry that finds no place is told when to come again: one place becomes free each
    ``mean / cap`` seconds, *mean* being how long retries took lately.
    """

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._mean = 0.1
        self._next = 0.0

    def wait(self, busy: int, now: float) -> float:
        """Seconds to wait while *busy* retries are being downloaded: 0 is a place."""
        if busy < self._cap:
            return 0.0
        step = self._mean / self._cap
        self._next = max(self._next, now) + step
        if self._next - now > _FURTHEST:
            self._next = now + step
        return self._next - now

    def took(self, seconds: float) -> None:
        """Learn how long a retry was under way."""
        self._mean += 0.2 * (min(max(seconds, 0.001), _FURTHEST) - self._mean)


_FURTHEST: Final = 60.0

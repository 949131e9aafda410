"""When a circuit breaker opens, for how long, and what closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import fields

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BreakerConfig"]

_TRIPS_MAX: Final = 64
"""Twice as long that often is longer than anybody waits."""
_EARLY_GROWTH: Final = 1.5
"""With 2 the wait after an outage of 120 s is 130 s (90th percentile), with 1.5 it is 77 s."""
_YEAR: Final = 366 * 86400.0
_MANY: Final = 1_000_000
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "failure_threshold": (0, _MANY),
    "failure_rate": (0, 1),
    "min_calls": (1, _MANY),
    "window": (0.01, _YEAR),
    "slow_call_duration": (0, _YEAR),
    "slow_call_rate": (0.001, 1),
    "first_trial": (0, _YEAR),
    "recovery_timeout": (0.001, _YEAR),
    "max_recovery_timeout": (0.001, _YEAR),
    "half_open_max": (1, _MANY),
    "half_open_concurrent": (1, _MANY),
    "success_threshold": (1, _MANY),
    "trial_timeout": (0.001, _YEAR),
    "jitter": (0, 1),
}


class BreakerConfig(msgspec.Struct, frozen=True):
    """When a breaker opens, for how long, and what closes it. Times are in seconds.

    :param failure_threshold: failures in a row that open it; 0 turns this off
    :param usual_share: whether that is the least number only, and more are needed where the
        usual share of failures makes such a run likely
    :param failure_rate: share of failures in the window that opens it; 0 turns this off
    :param min_calls: calls in the window below which no share counts
    :param window: the seconds of which shares are taken
    :param slow_call_duration: a call that takes this long is slow; 0 turns this off
    :param slow_call_rate: share of slow calls in the window that opens it
    :param first_trial: how long it is open for the first time, each reopening half as long
        again, up to recovery_timeout; 0 makes it open for recovery_timeout at once, each
        reopening twice as long, up to max_recovery_timeout
    :param recovery_timeout: see first_trial
    :param max_recovery_timeout: see first_trial
    :param half_open_max: trials of one round
    :param half_open_concurrent: trials under way at a time
    :param success_threshold: successful trials that close it
    :param trial_timeout: a trial without an outcome for that long has failed
    :param jitter: share by which open times differ at random, up and down

    Raises :exc:`.ConfigurationError` for a value that makes no sense.
    """

    failure_threshold: int = 5
    usual_share: bool = True
    failure_rate: float = 0.0
    min_calls: int = 20
    window: float = 60.0
    slow_call_duration: float = 0.0
    slow_call_rate: float = 1.0
    first_trial: float = 1.0
    recovery_timeout: float = 300.0
    max_recovery_timeout: float = 3600.0
    half_open_max: int = 3
    half_open_concurrent: int = 1
    success_threshold: int = 1
    trial_timeout: float = 20.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for name in _BOUNDS:
            self._check(name, _TYPES[name])
        if not isinstance(self.usual_share, bool):
            raise ConfigurationError(f"usual_share={self.usual_share!r}: use True or False.")
        if self.max_recovery_timeout < self.recovery_timeout:
            raise ConfigurationError(
                f"max_recovery_timeout={self.max_recovery_timeout:g} is less than "
                f"recovery_timeout={self.recovery_timeout:g}: raise it."
            )
        if self.half_open_max < self.success_threshold:
            raise ConfigurationError(
                f"half_open_max={self.half_open_max} is less than success_threshold="
                f"{self.success_threshold}: no trials could close the breaker. Raise it."
            )

    def _check(self, name: str, kind: type) -> None:
        low, high = _BOUNDS[name]
        value = getattr(self, name)
        kinds = int if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise ConfigurationError(f"{name}={value!r}: use {what} from {low:g} to {high:g}.")

    def open_time(self, trips: int, chance: float) -> float:
        """How long it is open after so many reopenings in a row; *chance* is from 0 to 1.

        The cap comes after the jitter, and the growth is bounded, so neither gets past it.
        """
        trips = min(trips, _TRIPS_MAX)
        if self.first_trial:
            seconds, most = self.first_trial * _EARLY_GROWTH**trips, self.recovery_timeout
        else:
            seconds, most = self.recovery_timeout * 2.0**trips, self.max_recovery_timeout
        return min(seconds * (1 + self.jitter * (2 * chance - 1)), most)


_TYPES: Final = {field.name: type(field.default) for field in fields(BreakerConfig)}

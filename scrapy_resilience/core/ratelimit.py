"""How fast a domain may be asked: a token bucket.

It is the Generic Cell Rate Algorithm (ITU-T I.371), which is a token bucket in one number:
the time at which it will be full again. What follows throttling is in :mod:`.pace`.

*now* is an argument, in seconds of a clock that never goes back; when it does all the same,
no wait gets longer than the bucket's own.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Rate", "TokenBucket", "parse_rate"]

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT: Final = r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?"  # a month is none
_RATE: Final = re.compile(
    rf"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)?\s*({_UNIT})(?:\s+burst\s+(\d+))?\s*"
)


class Rate(msgspec.Struct, frozen=True):
    """*per_second* requests a second, and *burst* of them at once after a rest."""

    per_second: float
    burst: int = 1

    def __post_init__(self) -> None:
        if not (isfinite(self.per_second) and self.per_second > 0 and self.burst >= 1):
            raise ConfigurationError("use a rate above 0 and a burst of at least 1")


def parse_rate(value: Any) -> Rate:
    """The rate that a setting asks for.

    ``"60/m"``, ``"1/5s"``, ``"60/m burst 10"``, requests a second as a number, or a table with
    ``requests``, ``seconds`` (1) and ``burst`` (1). Raises :exc:`ConfigurationError`.
    """
    try:
        if isinstance(value, str):
            return _parse_text(value)
        if isinstance(value, dict):
            return _parse_table(value)
        return Rate(float("" if isinstance(value, bool) else value))
    except ConfigurationError as error:  # is a ValueError, and says more
        raise ConfigurationError(f"{value!r}: {error}") from None
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, KeyError):
        raise ConfigurationError(
            f'{value!r} is not a rate: use "60/m", "1/5s", "60/m burst 10" or requests a second'
        ) from None


def _parse_text(text: str) -> Rate:
    match = _RATE.fullmatch(text.lower())
    if match is None:
        return Rate(float(text))
    requests, units, unit, burst = match.groups()
    seconds = float(units or 1) * _UNITS[unit[0]]
    return Rate(float(requests) / seconds, int(burst or 1))


def _parse_table(table: Mapping[str, Any]) -> Rate:
    if not table.keys() <= {"requests", "seconds", "burst"}:
        raise ValueError
    seconds = float(table.get("seconds", 1))
    return Rate(float(table["requests"]) / seconds, int(table.get("burst", 1)))


class TokenBucket:
    """Lets *burst* requests through at once and refills at *per_second*."""

    __slots__ = ("_depth", "_full_at", "_interval", "_last")

    def __init__(self, rate: Rate, now: float) -> None:
        self._interval = 1 / rate.per_second
        self._depth = (rate.burst - 1) * self._interval
        self._full_at = self._last = now

    @property
    def per_second(self) -> float:
        """How fast it refills."""
        return 1 / self._interval

    def ready_at(self, now: float) -> float:
        """0 when a request may go, else when the next one may."""
        self._follow(now)
        free = self._full_at - self._depth
        return free if free > now else 0.0

    def take(self, now: float) -> None:
        """A request goes, whether the bucket allows it or not."""
        self._follow(now)
        self._full_at = max(self._full_at, now) + self._interval

    def _follow(self, now: float) -> None:
        if now < self._last:
            self._full_at -= self._last - now
        self._last = now

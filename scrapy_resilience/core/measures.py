"""What of a reading can be too much, by which levels, and how that is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.core import health
from scrapy_resilience.core.health import Finding, Levels
from scrapy_resilience.core.thresholds import Threshold
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from scrapy_resilience.core.readings import Reading

__all__ = ["DEFAULT", "MEASURES", "Measure", "find", "finding", "threshold_sets"]

DEFAULT: Final = "default"
"""The set of thresholds that the watchdog goes by."""
_SETTING: Final = "RESILIENCE_THRESHOLDS"
_MB: Final = 1 << 20


class Measure(msgspec.Struct, frozen=True):
    """One number of a reading."""

    value: Callable[[Reading], float | None]
    text: Callable[[Reading, float], str]
    margin: float = 0.05
    at_once: float = inf
    """See :class:`Threshold`."""
    is_share: bool = True
    is_limit: bool = False
    """Whether it is unhealthy at once."""


def _memory(reading: Reading, share: float) -> str:
    by = {"container": "the container allows", "machine": "the machine has left for it"}
    of = by.get(reading.limited_by, "it may use")
    return (
        f"{share:.0%} of the memory in use: {(reading.used or 0) / _MB:.0f} of the"
        f" {(reading.memory_limit or 0) / _MB:.0f} MB that {of}"
    )


def _disk(reading: Reading, share: float) -> str:
    disk = reading.fullest_disk
    if disk is None:
        return ""
    old = ", when it last answered" if disk.stale else ""
    return f"{share:.0%} of the disk of {disk.path} in use, {disk.free / _MB:.0f} MB free{old}"


def _files(reading: Reading, share: float) -> str:
    return f"{share:.0%} of the {reading.open_files_limit} files open that it may open"


def _said(words: str) -> Callable[[Reading, float], str]:
    return lambda _, value: words.format(value)


def _browser_mb(reading: Reading) -> float:
    return reading.browser_memory / _MB


def _memory_mb(reading: Reading) -> float | None:
    return None if reading.used is None else reading.used / _MB


MEASURES: Final[dict[str, Measure]] = {
    "memory": Measure(lambda reading: reading.memory_share, _memory, at_once=1.0),
    "memory_mb": Measure(
        _memory_mb, _said("{:.0f} MB of memory in use"), is_share=False, is_limit=True
    ),
    "browser_memory_mb": Measure(
        _browser_mb,
        _said("{:.0f} MB of memory used by browsers"),
        is_share=False,
        is_limit=True,
    ),
    "disk": Measure(lambda reading: reading.disk_share, _disk, margin=0.02, at_once=1.0),
    "cpu": Measure(
        lambda reading: reading.cpu, _said("{:.0%} of the processors in use"), margin=0.1
    ),
    "loop_lag": Measure(
        lambda reading: reading.usual_lag,
        _said("the event loop was {:.2f} s late in half of the last minute"),
        margin=0.5,
        is_share=False,
    ),
    "open_files": Measure(lambda reading: reading.open_files_share, _files, at_once=1.0),
    "connections": Measure(
        lambda reading: reading.connections,
        _said("{:.0f} sockets open"),
        is_share=False,
        is_limit=True,
    ),
    "memory_pressure": Measure(
        lambda reading: reading.memory_pressure,
        _said("something waited for memory in {:.0%} of the last minute"),
        margin=0.2,
    ),
    "cpu_pressure": Measure(
        lambda reading: reading.cpu_pressure,
        _said("something waited for a processor in {:.0%} of the last minute"),
        margin=0.2,
    ),
}
"""By the names that thresholds have in settings."""

_LEVELS: Final = {
    "memory": health.MEMORY,
    "disk": health.DISK,
    "cpu": health.CPU,
    "loop_lag": health.LOOP_LAG,
    "open_files": health.OPEN_FILES,
}


def finding(name: str, reading: Reading, status: health.Status) -> Finding:
    """A status in the words of its measure."""
    measure = MEASURES[name]
    value = measure.value(reading)
    if value is None or not isfinite(value):
        return Finding(status, "it can't be read")
    return Finding(status, measure.text(reading, value))


def find(thresholds: Mapping[str, Threshold], reading: Reading) -> dict[str, Finding]:
    """What a set says of one reading, by measure: nothing of what was before it."""
    return {
        name: finding(name, reading, threshold.levels.judge(_known(name, reading)))
        for name, threshold in thresholds.items()
    }


def _known(name: str, reading: Reading) -> float | None:
    value = MEASURES[name].value(reading)
    return value if value is not None and isfinite(value) else None


def threshold_sets(raw: Mapping[str, Any], cpu: float) -> dict[str, dict[str, Threshold]]:
    """The sets of a setting by name, and ``default``, which it may change.

    *cpu* is the share of the processors that the default calls degraded. Raises
    :exc:`ConfigurationError`.
    """
    levels = {**_LEVELS, "cpu": Levels(cpu, max(cpu, health.CPU.unhealthy))}
    sets = {DEFAULT: {name: _threshold(name, each) for name, each in levels.items()}}
    for name, given in raw.items():
        if not isinstance(given, Mapping):
            raise ConfigurationError(
                f"{_SETTING}[{name!r}]={given!r}: use a dict of levels by what is "
                'measured, such as {"memory": [0.7, 0.85]}.'
            )
        sets.setdefault(str(name), {}).update(
            (str(what), _read(f"{_SETTING}[{name!r}][{what!r}]", str(what), value))
            for what, value in given.items()
        )
    return sets


def _threshold(name: str, levels: Levels) -> Threshold:
    measure = MEASURES[name]
    at_once = levels.unhealthy if measure.is_limit else measure.at_once
    return Threshold(levels, at_once, measure.margin)


def _read(where: str, name: str, value: Any) -> Threshold:
    if name not in MEASURES:
        close = get_close_matches(name, MEASURES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(MEASURES)}."
        raise ConfigurationError(f"{where} measures nothing: {hint}")
    pair = value if isinstance(value, (list, tuple)) else [value, value]
    if len(pair) != 2 or not all(map(_is_number, pair)):  # noqa: PLR2004 - a pair
        raise ConfigurationError(
            f"{where}={value!r}: use a number, or two: degraded from, unhealthy from."
        )
    low, high = map(float, pair)
    if MEASURES[name].is_share and high > 1:
        raise ConfigurationError(f"{where}={value!r}: use shares from 0 to 1.")
    if not 0 < low <= high:
        raise ConfigurationError(
            f"{where}={value!r}: use numbers above 0, the second not below the first."
        )
    return _threshold(name, Levels(low, high))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)

"""Whether the clock of the machine can be right."""

from __future__ import annotations

import ctypes
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

import scrapy_resilience
from scrapy_resilience import _clock
from scrapy_resilience.core.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["check_clock", "judge_clock", "judge_last_commit", "judge_zone"]

_TIMEX: Final = 256
"""Bytes: more than Linux' structure has."""
_UNSYNCHRONIZED: Final = 5
"""What adjtimex() returns: TIME_ERROR."""
_DAY: Final = 86_400.0
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


def check_clock(settings: BaseSettings, config: Config | None) -> Iterator[Finding]:
    """Of this machine, and of names with a date in them."""
    installed = Path(scrapy_resilience.__file__).stat().st_mtime
    now = _clock.wall()
    yield from judge_clock(now, installed, is_set=_is_set())
    named = [str(settings["JOBDIR"] or ""), config.report if config is not None else ""]
    offset = datetime.fromtimestamp(now, timezone.utc).astimezone().utcoffset()
    yield from judge_zone(offset or timedelta(), named)


def _is_set() -> bool | None:
    """Whether the kernel says that something keeps its clock right; None where it can't."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _UNSYNCHRONIZED


def judge_clock(now: float, installed: float, *, is_set: bool | None) -> Iterator[Finding]:
    """*installed*: when the files of this package were written; in seconds since 1970."""
    if now < installed - _DAY:
        yield Finding(
            "clock",
            "problem",
            "the clock is behind the time at which this package was installed",
            "set it: retries, holds and certificates go by it",
        )
    elif is_set is False:
        yield Finding(
            "clock",
            "note",
            "the kernel does not know of anything that keeps the clock right",
            "run chrony or systemd-timesyncd, unless the host of this machine does",
        )
    else:
        yield Finding("clock", "ok", "is plausible" if is_set is None else "is kept right")


def judge_zone(offset: timedelta, named: Iterable[str]) -> Iterator[Finding]:
    """*offset* is that of the local time, *named* are templates of names."""
    if offset and any("%(date)s" in name or "%(time)s" in name for name in named):
        hours = offset.total_seconds() / _HOUR
        yield Finding(
            "clock",
            "note",
            f"%(date)s and %(time)s are those of UTC, and the time here is {hours:+g} h",
            "know that a day begins at midnight UTC",
        )


def judge_last_commit(now: float, last: float | None) -> Iterator[Finding]:
    """*last*: when a job was written last; in seconds since 1970."""
    if last is not None and now < last - _MINUTE:
        yield Finding(
            "clock",
            "warning",
            f"the clock is {last - now:.0f} s behind the last commit of the job",
            "see which of the two was wrong: what waits for a time waits longer now",
        )

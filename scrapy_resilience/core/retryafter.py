"""``Retry-After`` and the RateLimit headers: how long a server wants to be left alone.

RFC 9110 §10.2.3 (seconds or an HTTP-date), the drafts of ``RateLimit`` and the
``X-RateLimit-*`` headers that came before them. Headers are what strangers sent: whatever
can't be right is as if it were not there.
"""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["LONGEST", "Headers", "retry_after", "says_nothing_left"]

LONGEST: Final = 7 * 86_400.0
"""Seconds above which nobody means it."""

_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_RESET_IN_LIST: Final = re.compile(r"[;,\s](?:t|reset)=([0-9]{1,12})(?![0-9])", re.ASCII)
_LEFT_IN_LIST: Final = re.compile(r"[;,\s](?:r|remaining)=([0-9]{1,12})(?![0-9])", re.ASCII)
_COMMA: Final = re.compile(r"(?<!mon|tue|wed|thu|fri|sat|sun|day),", re.IGNORECASE)
"""Between two values, and not after the weekday of a date."""
_MOST: Final = 10
_LONGEST_TEXT: Final = 200
_EPOCH: Final = 1e9
"""A larger number in a reset header is a time since 1970, not a duration."""


class Headers(Protocol):
    """Response headers, by names of any case: Scrapy's ``Headers``, or a mapping.

    Where there is a ``getlist``, it gives all values of a name.
    """

    def get(self, key: str, /) -> bytes | str | None: ...


def retry_after(headers: Headers, now: float) -> float | None:
    """Seconds to wait, more than 0 and at most :data:`LONGEST`, or None.

    *now* is in seconds since 1970; the ``Date`` of the answer goes before it, because a time
    that a server names is one of its own clock. ``Retry-After`` goes before all others, which
    count only when they say that nothing is left: a server that throttles with something left
    has another reason, and does not say for how long. A server and its CDN may both send it:
    of several, in headers of their own or in one list, the longest counts. A date without a
    zone is in UTC, as RFC 9110 §5.6.7 wants it.
    """
    sent = _date(_text(headers, "Date"))
    now = now if sent is None else sent
    told = [_sane(_seconds_or_date(text, now)) for text in _each(headers, "Retry-After")]
    if told:
        return max((seconds for seconds in told if seconds), default=None)
    return _rate_limit(headers, now)


def _rate_limit(headers: Headers, now: float) -> float | None:
    if text := _text(headers, "RateLimit"):
        left, reset = _LEFT_IN_LIST.search(f" {text}"), _RESET_IN_LIST.search(f" {text}")
        if reset and not (left and int(left[1])):
            return _sane(float(reset[1]))
    for prefix in ("RateLimit", "X-RateLimit", "X-Rate-Limit"):
        text = _text(headers, f"{prefix}-Reset")
        if text and _text(headers, f"{prefix}-Remaining") in {"", "0"}:
            seconds = _seconds_or_date(text, now)
            if seconds is not None and seconds > _EPOCH:
                seconds -= now
            return _sane(seconds)
    return None


def says_nothing_left(headers: Headers) -> bool:
    """Whether a rate limit is used up, as some APIs say with a 403."""
    return any(
        _text(headers, f"{prefix}-Remaining") == "0"
        for prefix in ("RateLimit", "X-RateLimit", "X-Rate-Limit")
    )


def _each(headers: Headers, name: str) -> list[str]:
    """The values of a header that may be there more than once."""
    getlist = getattr(headers, "getlist", None)
    values = [headers.get(name)] if getlist is None else getlist(name)[:_MOST]
    texts = (text for value in values for text in _COMMA.split(_short(value)))
    return [stripped for text in texts if (stripped := text.strip())]


def _text(headers: Headers, name: str) -> str:
    return _short(headers.get(name)).strip()


def _short(value: bytes | str | None) -> str:
    value = (value or "")[:_LONGEST_TEXT]
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _seconds_or_date(text: str, now: float) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    moment = _date(text)
    return None if moment is None else moment - now


def _date(text: str) -> float | None:
    try:
        return _utc(parsedate_to_datetime(text)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _sane(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 < seconds <= LONGEST else None

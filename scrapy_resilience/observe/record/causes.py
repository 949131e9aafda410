"""What an error has in common with others, and what is told of the first of its kind."""

from __future__ import annotations

import traceback
from collections import deque
from itertools import islice
from traceback import walk_tb
from typing import TYPE_CHECKING, Final, TypeAlias

from scrapy.http import HtmlResponse, TextResponse
from twisted.python.failure import Failure

from scrapy_resilience.core.deadletter import describe
from scrapy_resilience.core.errorgroups import Cause, same_for_all
from scrapy_resilience.core.masking import (
    clipped,
    lines,
    mask_value,
    masked_start,
    message_of,
    printable,
    shown,
)
from scrapy_resilience.observe.record.places import frame_of, shown_place
from scrapy_resilience.observe.record.samples import MAX_PAGE, Sample
from scrapy_resilience.observe.trace_ids import trace_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType, TracebackType

    from scrapy import Request
    from scrapy.http import Headers, Response

__all__ = [
    "Error",
    "cause_of",
    "place_in",
    "sample_of",
    "shown_id",
    "shown_url",
    "traceback_of",
]

Error: TypeAlias = BaseException | Failure | str | None

_FRAMES: Final = 100
"""The innermost calls that are looked at: a recursion has a thousand."""
_SHOWN_FRAMES: Final = 20
"""Those that are shown: the outer ones are Scrapy's and say nothing."""
_LONGEST_URL: Final = 300
_LONGEST_NAME: Final = 100
_LONGEST_TRACEBACK: Final = 16_000
"""Characters, as of the next one."""
_LONGEST_HEADER: Final = 300
_HEADERS: Final = 50
_READ: Final = 4_000
"""Characters of a text that are looked for secrets."""


def cause_of(error: Error, failure_class: str = "", reason: str = "") -> Cause:
    """By what *error* is grouped: where it was raised, its class and what it says.

    With a *failure_class*, of a request that was given up, by that and the *reason*.
    """
    raised = _raised(error)
    if failure_class:
        told = (describe(raised) or "")[:_READ]
        text = f"{reason}: {told}" if reason and told else reason or told
        return Cause("", failure_class, _message(text))
    if not isinstance(raised, BaseException):
        return Cause("", "", _message(raised or reason))
    return Cause(_place(_traceback_of(error)), _kind(raised), _message(message_of(raised)))


def sample_of(
    cause: Cause, time: float, error: Error, request: Request | None, response: Response | None
) -> Sample:
    """What is told of the first error of a group, without its secrets."""
    sample = Sample(cause=(*cause,), time=time, traceback=traceback_of(error))
    if request is not None:
        sample.trace_id = shown_id(request)
        sample.url = shown_url(request.url)
        sample.method = printable(request.method)[:_LONGEST_NAME]
        sample.request_headers = _headers(request.headers)
    if response is not None:
        sample.status = response.status
        sample.response_url = shown_url(response.url)
        sample.response_headers = _headers(response.headers)
        sample.encoding = response.encoding if isinstance(response, TextResponse) else ""
        sample.is_html = isinstance(response, HtmlResponse)
        sample.page = response.body[:MAX_PAGE]
    return sample


def shown_url(url: str) -> str:
    """A URL without its secrets, and not longer than is of use."""
    return clipped(url, _LONGEST_URL)


def shown_id(request: Request) -> str:
    """The trace id of a request, which somebody else may have given it."""
    return printable(trace_id_of(request))[:_LONGEST_NAME]


def _raised(error: Error) -> BaseException | str | None:
    return error.value if isinstance(error, Failure) else error


def _traceback_of(error: Error) -> TracebackType | None:
    if isinstance(error, Failure):
        return getattr(error.value, "__traceback__", None) or error.tb
    return error.__traceback__ if isinstance(error, BaseException) else None


def _kind(error: BaseException) -> str:
    return printable(type(error).__qualname__)[:_LONGEST_NAME]


def _message(text: str) -> str:
    return shown(same_for_all(masked_start(text, _READ)))


def _place(tb: TracebackType | None) -> str:
    """In the code of the user's, or of a component."""
    return _place_of(deque(walk_tb(tb), maxlen=_FRAMES))


def place_in(calls: Iterable[tuple[FrameType, int]]) -> str:
    """The same of calls that run, the innermost first: what ``traceback.walk_stack`` gives."""
    return _place_of(reversed(list(islice(calls, _FRAMES))))


def _place_of(calls: Iterable[tuple[FrameType, int]]) -> str:
    return shown_place([frame_of(frame, line) for frame, line in calls])


def _headers(headers: Headers) -> dict[str, str]:
    found = {
        shown(name.decode("latin-1")[:_LONGEST_HEADER]): b", ".join(values)[:_READ]
        for name, values in [*headers.items()][:_HEADERS]
    }
    masked = mask_value({name: value.decode("latin-1") for name, value in found.items()})
    return {name: shown(value)[:_LONGEST_HEADER] for name, value in masked.items()}


def traceback_of(error: Error) -> str:
    """The traceback of an error, its begin and its end where it is long."""
    raised, tb = _raised(error), _traceback_of(error)
    if not isinstance(raised, BaseException):
        return clipped(raised or "", _READ)
    try:
        text = "".join(
            traceback.format_exception(type(raised), raised, tb, limit=-_SHOWN_FRAMES)
        )
    except Exception:  # noqa: BLE001 - a class of the user's that can't say what is wrong
        text = (
            "".join(traceback.format_tb(tb, limit=-_SHOWN_FRAMES)) + type(raised).__qualname__
        )
    if len(text) > _LONGEST_TRACEBACK:
        half = _LONGEST_TRACEBACK // 2
        # a line that is cut could begin or end within a secret
        begin, end = text[:half].rpartition("\n")[0], text[-half:].partition("\n")[2]
        text = f"{begin}\n…\n{end}"
    return lines(text.rstrip("\n"))

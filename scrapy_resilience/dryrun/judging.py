"""What of a dry run would have failed, and what its owner should look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import counted
from scrapy_resilience.names import (
    COMPLETE,
    FAILURES,
    REASON_ABORT,
    REASON_DRY_RUN,
    REASON_START_ERROR,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scrapy_resilience.dryrun.result import Result

__all__ = ["Seen", "judge"]

_RAISED: Final = frozenset({"callback", "pipeline"})
"""Kinds of dead letters that are told otherwise."""
_GIVEN_UP: Final = frozenset({"exhausted", "permanent", "held"})


@dataclass
class Seen:
    """What happened, beside what is in the result."""

    start_error: str = ""
    """Class of the exception that ``start()`` has raised."""
    callback_errors: Counter[str] = field(default_factory=Counter)
    """By class of the exception."""
    item_errors: Counter[str] = field(default_factory=Counter)
    """By class of the exception: what pipelines have raised."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Feeds that can't have an item, and why."""
    letters: Sequence[tuple[str, str]] = ()
    """Kind and reason of each request that was given up."""
    errors_logged: int = 0
    written: Sequence[str] = ()
    """Files that were written all the same."""


def judge(result: Result, seen: Seen) -> Iterator[Finding]:
    """The findings, in the order of a crawl."""
    if seen.start_error or result.reason == REASON_START_ERROR:
        what = f"start() has raised {seen.start_error or 'an exception'}"
        yield Finding("start", "problem", what, "see the log above")
    yield from _end(result)
    yield from _requests(result, seen)
    yield from _items(result, seen)
    for path in seen.written:
        what = f"{path} was written: by the spider, a middleware, or what they use"
        yield Finding("writes", "warning", what, "look at RESILIENCE_DRY_RUN there")


def _end(result: Result) -> Iterator[Finding]:
    reason = result.reason
    if reason in FAILURES - {REASON_START_ERROR} or reason.startswith(REASON_ABORT):
        yield Finding(
            "spider", "problem", f"the crawl was closed: {reason}", "see the log above"
        )
    elif reason not in {*COMPLETE, REASON_DRY_RUN, REASON_START_ERROR}:
        yield Finding(
            "spider", "warning", f"the dry run ended early: {reason or 'never opened'}"
        )


def _requests(result: Result, seen: Seen) -> Iterator[Finding]:
    if seen.callback_errors:
        classes = ", ".join(seen.callback_errors)
        errors = counted(seen.callback_errors.total(), "error")
        yield Finding(
            "spider", "problem", f"{errors} in callbacks: {classes}", "see the log above"
        )
    given_up = [why for kind, why in seen.letters if kind in _GIVEN_UP]
    if given_up:
        level = "warning" if result.pages > len(given_up) else "problem"
        what = f"{counted(len(given_up), 'request')} given up: {given_up[0]}"
        yield Finding("requests", level, what)  # type: ignore[arg-type]
    others = [why for kind, why in seen.letters if kind not in _GIVEN_UP | _RAISED]
    if others:
        what = f"{counted(len(others), 'request')} or pages had no callback: {others[0]}"
        yield Finding("requests", "warning", what)
    if not result.pages and not given_up:
        yield Finding("requests", "problem", "no page has come", "see start(), and its domains")


def _items(result: Result, seen: Seen) -> Iterator[Finding]:
    if seen.item_errors:
        classes = ", ".join(seen.item_errors)
        errors = counted(seen.item_errors.total(), "error")
        yield Finding(
            "items", "problem", f"{errors} in pipelines: {classes}", "see the log above"
        )
    for uri, why in seen.refused.items():
        yield Finding("feeds", "problem", f"{uri} can't have an item: {why}")
    if result.pages and not result.items and not result.dropped and not seen.item_errors:
        yield Finding("items", "warning", "pages have come, and no item", "see the callbacks")
    for kind, shares in result.fields.items():
        if empty := [path for path, share in shares.items() if not share]:
            name = "item" if kind == "dict" else kind
            what = f"no {name} has a value for {', '.join(empty)}"
            yield Finding("items", "warning", what, "see their selectors")
    for name, count in result.unread.items():
        what = f"{counted(count, 'value')} of {name} could not be read"
        yield Finding("items", "warning", what, "see RESILIENCE_NORMALIZE")
    told = bool(seen.start_error or seen.callback_errors or seen.item_errors or seen.refused)
    if seen.errors_logged and not told:
        what = f"{counted(seen.errors_logged, 'error')} in the log"
        yield Finding("log", "warning", what, "see it above, or run with -L INFO")

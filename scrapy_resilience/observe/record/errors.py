"""The errors of a crawl, grouped by cause, over all runs of its job."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import _clock
from scrapy_resilience.core.errorgroups import Cause, Group, Groups
from scrapy_resilience.core.masking import printable
from scrapy_resilience.observe.record.causes import cause_of, sample_of, shown_id, shown_url
from scrapy_resilience.observe.record.samples import Sample, Samples
from scrapy_resilience.observe.view import ErrorGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.http import Response

    from scrapy_resilience.observe.record.causes import Error
    from scrapy_resilience.observe.record.journal import Journal

__all__ = ["ErrorGroups"]

_LONGEST: Final = 150
"""Characters of a domain."""
_AT_ONCE: Final = 200
_PER_SECOND: Final = 1.0
"""Samples that may be taken."""


class _About(msgspec.Struct, array_like=True):
    place: str
    kind: str
    message: str
    first: float
    url: str
    trace_id: str
    has_page: bool
    has_evidence: bool = False


class _Entry(msgspec.Struct, array_like=True):
    """How a group is now; a count of 0 says that it has given way."""

    number: int
    count: int
    last: float
    domains: dict[str, int]
    about: _About | None
    """In the first entry of a group."""


class ErrorGroups:
    """The groups of one job, and a sample of each."""

    def __init__(self, journal: Journal, samples: Samples | None = None) -> None:
        self.heard: Callable[[Group], None] = lambda _: None
        """Called with each new group."""
        self.look: Callable[[Group, Request], None] | None = None
        """Called with each new group whose first error is of a request, when its sample is on
        its way: who has the page in a browser may add to it."""
        self._journal = journal
        self._samples = samples or Samples(None)
        self._groups = Groups()
        self._unsaved: dict[int, Group] = {}
        self._told_of: set[int] = set()
        """Numbers of groups that the journal knows."""
        self._changed: set[int] = set()
        """Those of them of which it knows less than there is."""
        self._allowed = float(_AT_ONCE), 0.0
        self.total = 0
        """Errors of this run."""
        journal.register("error", _Entry, self._collect, self._restore, _fold)

    # --- what is wrong ---

    def note(
        self,
        error: Error,
        request: Request | None = None,
        response: Response | None = None,
        *,
        failure_class: str = "",
        reason: str = "",
    ) -> None:
        """Count an error: an exception, a Failure, or what it says.

        *failure_class* is given for a request that is given up: its group is of that class and
        of the *reason*, wherever in the code it was noticed.
        """
        cause = cause_of(error, failure_class, reason)
        self.count(cause, error, request, response)

    def count(
        self,
        cause: Cause,
        error: Error,
        request: Request | None = None,
        response: Response | None = None,
        told: str = "",
    ) -> None:
        """The same of an error whose *cause* is known.

        *told* stands in for its traceback: it is masked and bounded already.
        """
        group, now = self._groups.find(cause), _clock.wall()
        is_new = group is None
        if group is None:
            group = self._new(cause, now)
            self._describe(group, error, request, response, told)
        self.total += 1
        group.last = now
        group.add(_domain(request))
        self._unsaved[group.number] = group
        if is_new:
            self.heard(group)

    def _new(self, cause: Cause, now: float) -> Group:
        group, gone = self._groups.new(cause, now)
        if gone is not None:
            self._forget(gone)
        return group

    def _forget(self, gone: Group) -> None:
        """It has given way: the journal need not hear of one that it does not know."""
        self._unsaved.pop(gone.number, None)
        self._changed.discard(gone.number)
        if gone.number in self._told_of:
            self._told_of.remove(gone.number)
            gone.count = 0
            self._unsaved[gone.number] = gone
        if self._groups.other is not None:
            self._unsaved[0] = self._groups.other
        self._journal.later(partial(self._samples.forget, gone.number))

    def _describe(
        self,
        group: Group,
        error: Error,
        request: Request | None,
        response: Response | None,
        told: str,
    ) -> None:
        if request is not None:
            group.url, group.trace_id = shown_url(request.url), shown_id(request)
        if self._may_sample(group.first):
            sample = sample_of(group.cause, group.first, error, request, response)
            sample.traceback = told or sample.traceback
            group.has_page = bool(sample.page) and self._journal.is_kept
            self._journal.later(partial(self._samples.put, group.number, sample))
            if self.look is not None and request is not None:
                self.look(group, request)

    def add_evidence(self, group: Group, screenshot: bytes, console: list[str]) -> None:
        """What a browser tells of the first error of a group: masked and bounded already."""
        screenshot = screenshot if self._journal.is_kept else b""
        if self._groups.find(group.cause) is not group or not (screenshot or console):
            return
        group.has_evidence = True
        self._unsaved[group.number] = group
        self._changed.add(group.number)
        cause = (*group.cause,)
        self._journal.later(
            partial(self._samples.add, group.number, cause, screenshot, console)
        )

    def _may_sample(self, now: float) -> bool:
        """A flood of errors that are never alike must not keep the disk busy."""
        left, since = self._allowed
        left = min(left + max(now - since, 0.0) * _PER_SECOND, _AT_ONCE)
        may = left >= 1 and not self._journal.is_busy
        self._allowed = left - may, now
        return may

    # --- what is known ---

    def view(self) -> list[ErrorGroup]:
        """Those that are most frequent first; what has no group is number 0."""
        found = sorted(self._groups, key=lambda group: (not group.number, -group.count))
        return [_shown(group) for group in found]

    def sample(self, number: int) -> Sample | None:
        """The first error of a group, where it was kept. It reads a file."""
        found = self._samples.get(number)
        if found is None:
            return None
        causes = {each.number: each.cause for each in self._groups}
        return found if causes.get(number) == found.cause else None

    # --- the journal ---

    def _collect(self) -> _Entry | None:
        if not self._unsaved:
            return None
        number = next(iter(self._unsaved))
        group = self._unsaved[number]
        is_known = number in self._told_of and number not in self._changed
        self._changed.discard(number)
        if is_known or not group.count:
            del self._unsaved[number]
            domains = group.domains if group.count else {}
            return _Entry(number, group.count, group.last, domains, None)
        self._told_of.add(number)  # two entries, each of which fits into any commit
        about = _About(
            *group.cause,
            group.first,
            group.url,
            group.trace_id,
            group.has_page,
            group.has_evidence,
        )
        return _Entry(number, group.count, group.last, {}, about)

    def _restore(self, entries: list[_Entry]) -> None:
        groups = [
            Group(
                number=entry.number,
                cause=Cause(entry.about.place, entry.about.kind, entry.about.message),
                first=entry.about.first,
                last=entry.last,
                url=entry.about.url,
                trace_id=entry.about.trace_id,
                has_page=entry.about.has_page,
                has_evidence=entry.about.has_evidence,
                count=entry.count,
                domains=dict(entry.domains),
            )
            for entry in _latest(entries)
            if entry.about is not None and entry.count
        ]
        numbers = max((entry.number for entry in entries), default=0)
        self._groups.put(sorted(groups, key=lambda group: group.last), numbers)
        self._told_of.update(group.number for group in self._groups)

    def begin(self) -> None:
        """The job is run: files that are of none of its groups are removed."""
        numbers = {group.number for group in self._groups}
        self._journal.later(partial(self._samples.keep_only, numbers))


# --- entries ----------------------------------------------------------------------------------


def _latest(entries: list[_Entry]) -> list[_Entry]:
    """The last entry of each group, with what only the first one says."""
    found: dict[int, _Entry] = {}
    for entry in entries:
        before = found.pop(entry.number, None)
        if entry.about is None and before is not None:
            entry = msgspec.structs.replace(entry, about=before.about)  # noqa: PLW2901
        found[entry.number] = entry
    return [*found.values()]


def _fold(entries: list[tuple[int, _Entry]]) -> list[tuple[int, _Entry]]:
    commits = {entry.number: commit for commit, entry in entries}
    latest = _latest([entry for _, entry in entries])
    return [(commits[entry.number], entry) for entry in latest if entry.count]


def _domain(request: Request | None) -> str:
    if request is None:
        return ""
    with suppress(ValueError):  # a URL that is none
        return printable(urlparse_cached(request).hostname or "")[:_LONGEST]
    return ""


def _shown(group: Group) -> ErrorGroup:
    place, kind, message = group.cause
    return ErrorGroup(
        number=group.number,
        place=place,
        kind=kind,
        message=message,
        count=group.count,
        domains=dict(group.domains),
        first=group.first,
        last=group.last,
        url=group.url,
        trace_id=group.trace_id,
        has_page=group.has_page,
        has_evidence=group.has_evidence,
    )

"""What a dry run has found, as data and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.commands.tables import shown_number, table, text_of
from scrapy_resilience.core.findings import LEVELS, has_problem
from scrapy_resilience.core.masking import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scrapy_resilience.core.findings import Finding
    from scrapy_resilience.core.outlook import Outlook
    from scrapy_resilience.dryrun.harmless_components import Skipped

__all__ = ["Result", "finding_lines", "findings_data"]

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


@dataclass
class Result:
    """Of one dry run. It is well when nothing would have failed."""

    spider: str
    limit: int
    reason: str = ""
    """Of the close of the spider; empty where it was never opened."""
    requests: int = 0
    """That were sent: robots.txt, retries and redirects included."""
    pages: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    items: int = 0
    dropped: int = 0
    fields: dict[str, dict[str, float]] = field(default_factory=dict)
    """By type of item: the share of items that have each field."""
    unread: dict[str, int] = field(default_factory=dict)
    """By field: values that could not be normalised."""
    confidence: float | None = None
    doubtful: int = 0
    feeds: dict[str, int] = field(default_factory=dict)
    """Items that each feed would have."""
    whole: Outlook | None = None
    skipped: list[Skipped] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return not has_problem(self.findings)

    def data(self) -> dict[str, Any]:
        """For JSON."""
        told = asdict(self)
        told["skipped"] = [each._asdict() for each in self.skipped]
        told["findings"] = findings_data(self.findings)
        return {**told, "ok": self.is_well}

    def text(self) -> str:
        """For a terminal."""
        parts = [text_of(self._head())]
        if self.reason or self.requests:
            parts.append(table(list(self._rows())))
        if self.fields:
            parts.append(table(list(self._fields())))
        if self.skipped:
            rows = [("not run", "why"), *self.skipped]
            parts.append(table(rows))
        parts.append(finding_lines(self.findings))
        return "\n\n".join(filter(None, parts))

    def _head(self) -> Iterator[str]:
        well = "all is well" if self.is_well else "something would have failed"
        yield f"Dry run of {self.spider}: {well}"

    def _rows(self) -> Iterator[tuple[str, str]]:
        statuses = ", ".join(f"{status}: {count}" for status, count in self.statuses.items())
        yield "requests", f"{self.requests} in {self.seconds:.1f} s, {self.limit} at the most"
        yield "pages", f"{self.pages}" + (f" ({statuses})" if statuses else "")
        yield "items", f"{self.items}" + (f", {self.dropped} dropped" if self.dropped else "")
        for uri, items in self.feeds.items():
            yield "feed", f"{counted(items, 'item')} for {uri}"
        for name, count in self.unread.items():
            yield "not read", f"{name}: {counted(count, 'value')}"
        if self.confidence is not None:
            doubtful = f", {self.doubtful} doubtful" if self.doubtful else ""
            yield "confidence", f"{self.confidence:.2f} on average{doubtful}"
        if self.whole is not None:
            yield "whole crawl", _outlook(self.whole)

    def _fields(self) -> Iterator[tuple[str, str, str]]:
        yield "item", "field", "has a value"
        for kind, shares in self.fields.items():
            for path, share in shares.items():
                yield kind, path, f"{share:.0%}"


def _outlook(whole: Outlook) -> str:
    amount = counted(whole.requests, "request")
    if not whole.known:
        return f"not known: {whole.why}; {amount} or more"
    time = "" if whole.seconds is None else f", {_duration(whole.seconds)} at this pace"
    dollars = f", ${shown_number(whole.dollars)}" if whole.dollars else ""
    return f"{amount}{time}{dollars}: {whole.why}"


def _duration(seconds: float) -> str:
    if seconds >= _HOUR:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _MINUTE:.0f} min" if seconds >= 2 * _MINUTE else f"{seconds:.0f} s"


def findings_data(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """For JSON."""
    return [each._asdict() for each in findings]


def finding_lines(findings: Iterable[Finding]) -> str:
    """A line for each, the worst first, and what to do below it."""
    lines = []
    for each in sorted(findings, key=lambda each: LEVELS.index(each.level)):
        lines.append(f"{each.level:<8} {each.about}: {each.what}")
        if each.advice:
            lines.append(f"{'':<8} -> {each.advice}")
    return text_of(lines)

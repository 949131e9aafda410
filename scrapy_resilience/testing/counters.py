"""What the fault site counts, host by host."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TypedDict

__all__ = ["HostStats", "SiteCounters", "SiteStats", "TotalStats"]


class TotalStats(TypedDict):
    """Sums over all hosts; ``parallel`` is the maximum over the whole site."""

    requests: int
    pages: int
    parallel: int


class HostStats(TotalStats):
    """One host; ``sessions`` are the session cookies it gave out.

    ``paths`` counts the outcomes of each path: a status, ``captcha``, ``cut``, or
    ``gone`` where the client left before the answer.
    """

    sessions: int
    paths: dict[str, dict[str, int]]


class SiteStats(TypedDict):
    """The whole site."""

    total: TotalStats
    hosts: dict[str, HostStats]


@dataclass(slots=True)
class _Flow:
    requests: int = 0
    pages: int = 0
    running: int = 0
    parallel: int = 0

    def begin(self) -> None:
        self.requests += 1
        self.running += 1
        self.parallel = max(self.parallel, self.running)

    def end(self, outcome: str) -> None:
        self.running -= 1
        self.pages += outcome == "200"

    def reset(self) -> None:
        self.requests = self.pages = 0
        self.parallel = self.running

    def totals(self) -> TotalStats:
        return {
            "requests": self.requests,
            "pages": self.pages,
            "parallel": self.parallel,
        }


@dataclass(slots=True)
class _HostCounters:
    flow: _Flow = field(default_factory=_Flow)
    sessions: int = 0
    paths: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def stats(self) -> HostStats:
        paths = {path: dict(outcomes) for path, outcomes in self.paths.items()}
        return {**self.flow.totals(), "sessions": self.sessions, "paths": paths}

    def reset(self) -> None:
        self.flow.reset()
        self.sessions = 0
        self.paths.clear()


class SiteCounters:
    """Counts requests as they begin and end."""

    def __init__(self) -> None:
        self._total = _Flow()
        self._hosts: defaultdict[str, _HostCounters] = defaultdict(_HostCounters)

    def begin(self, host: str) -> None:
        """A request has come in."""
        self._total.begin()
        self._hosts[host].flow.begin()

    def end(self, host: str, path: str, outcome: str) -> None:
        """The answer has been handed over, or the client has left."""
        counters = self._hosts[host]
        self._total.end(outcome)
        counters.flow.end(outcome)
        counters.paths[path][outcome] += 1

    def new_session(self, host: str) -> str:
        """The value of a session cookie that the host has not given out before."""
        self._hosts[host].sessions += 1
        return f"{host}-{self._hosts[host].sessions}"

    def stats(self) -> SiteStats:
        """Everything counted since the start or the last reset."""
        hosts = {host: counters.stats() for host, counters in self._hosts.items()}
        return {"total": self._total.totals(), "hosts": hosts}

    def reset(self) -> None:
        """Start from zero; requests under way still count as parallel."""
        self._total.reset()
        for host, counters in list(self._hosts.items()):
            counters.reset()
            if not counters.flow.running:
                del self._hosts[host]

"""Sick hosts by kind: what each answers to a request, without a network.

Whether a request fails depends on the seed, its host, its page and how often the page has
been asked for, so that all sides of a comparison meet the same site. Only a rate and an
outage have a memory besides.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field

OK = 200
CUT = 0
"""In place of a status: the connection is closed without an answer."""


@dataclass(frozen=True)
class Kind:
    """What is wrong with a host; nothing by default."""

    first: float = 0.0
    """Share of the pages whose first request fails."""
    random: float = 0.0
    """Share of all requests that fail."""
    bad: tuple[int, int] = (0, 0)
    """The pages from … up to, but without, … always fail."""
    status: int = 503
    """Of what fails; or CUT."""
    retry_after: int = 0
    """Seconds, sent with what fails; 0 sends none."""
    silent: bool = False
    rate: float = math.inf
    """Requests a second that it answers: more of them fail."""
    burst: int = 1
    """How many of them at once."""
    outage: float = 0.0
    """For so many seconds in mid-crawl, all fails."""
    outage_after: int = 60
    """The outage begins at this request."""
    refused: bool = False
    """Nothing listens: in the outage, or ever where there is none."""
    chain: int = 0
    """Each page before this one links to the next."""


def share(seed: int, *parts: object) -> float:
    """A number in [0, 1) that is the same in each process."""
    text = "|".join(map(str, (seed, *parts)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def fails(kind: Kind, seed: int, host: str, page: int, attempt: int) -> bool:
    """Whether a request fails whenever it comes; *attempt* counts those before it."""
    first, end = kind.bad
    return (
        first <= page < end
        or (attempt == 0 and share(seed, host, page) < kind.first)
        or share(seed, host, page, attempt) < kind.random
    )


def kind_name(host: str) -> str:
    """``silent3.test`` is one of the hosts of the kind ``silent``."""
    return host.partition(".")[0].rstrip("0123456789")


@dataclass
class Host:
    """A host that remembers; the caller passes the time."""

    kind: Kind
    seed: int
    name: str
    requests: int = 0
    pages: int = 0
    """How many of the requests were answered with a page."""
    last: float | None = None
    """When the last page was sent."""
    outage: float | None = None
    """When the outage began."""
    _tries: Counter[int] = field(default_factory=Counter)
    _tokens: float = math.inf
    _asked: float = 0.0

    def status(self, page: int, now: float) -> int:
        """Count a request: the status of its answer."""
        attempt = self._tries[page]
        self._tries[page] += 1
        self.requests += 1
        if self.kind.outage and self.requests == self.kind.outage_after:
            self.outage = now
        fail = self.is_down(now) or fails(self.kind, self.seed, self.name, page, attempt)
        return self.kind.status if fail or not self._admits(now) else OK

    def is_down(self, now: float) -> bool:
        """Whether it has its outage."""
        return self.outage is not None and now < self.outage + self.kind.outage

    def sent(self, now: float) -> None:
        """A page has been sent."""
        self.pages += 1
        self.last = now

    def _admits(self, now: float) -> bool:
        """A token bucket; what is refused takes no token."""
        if self.kind.rate == math.inf:
            return True
        gained = (now - self._asked) * self.kind.rate
        self._tokens, self._asked = min(self.kind.burst, self._tokens + gained), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

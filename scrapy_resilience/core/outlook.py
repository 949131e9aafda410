"""What a few requests of a crawl tell of all of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Outlook", "Tried", "outlook"]


@dataclass(frozen=True)
class Tried:
    """What a dry run has seen of its crawl."""

    requests: int
    """That were taken off the queue: retries and redirects too."""
    waiting: int
    """That are left in the queue."""
    pages: int
    found: int
    """New requests that pages have led to."""
    seconds: float
    """From the first request to the last answer."""
    dollars: float
    start_is_through: bool
    """Whether ``start()`` has put out all that it has."""


@dataclass(frozen=True)
class Outlook:
    """How long and dear the whole crawl will be, as far as that can be known."""

    known: bool
    requests: int
    """All of them; where that is not known, there are as many at the least."""
    seconds: float | None
    """At the pace of the dry run; None where it has none."""
    dollars: float
    """At the mean cost of its requests."""
    why: str
    """What that rests on, or why it is not known."""


def outlook(tried: Tried) -> Outlook:
    """The one number that can't be measured is how many pages a page leads to further on."""
    requests = tried.requests + tried.waiting
    share = requests / tried.requests if tried.requests else 0.0
    known, why = _why(tried)
    return Outlook(
        known=known,
        requests=requests,
        seconds=tried.seconds * share if tried.seconds and tried.requests else None,
        dollars=tried.dollars * share,
        why=why,
    )


def _why(tried: Tried) -> tuple[bool, str]:
    if not tried.start_is_through:
        return False, "start() has more to put out"
    if not tried.waiting:
        return True, "nothing was left to do"
    if not tried.pages:
        return False, "no page has come"
    if tried.found:
        each = tried.found / tried.pages
        return False, f"pages lead to new ones, {each:.2g} each so far"
    return True, "start() is through, and no page so far has led to another one"

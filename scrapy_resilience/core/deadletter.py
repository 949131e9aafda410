"""What is told of a request that was given up, without its secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.core.masking import error_text, mask

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DATABASE", "KINDS", "About", "Wanted", "describe"]

KINDS: Final = (
    "permanent", "exhausted", "callback", "pipeline", "ignored", "dropped", "held",
)  # fmt: skip
"""Trying again is no use, no try is left, the spider's code or a pipeline has raised, a
middleware refused it, a failure handler dropped it, its domain did not recover."""

DATABASE: Final = "database"
"""The failure class of what a database does not take."""
_LONGEST: Final = 500
"""Characters of a reason or an exception that are kept."""


def describe(exception: BaseException | str | None) -> str | None:
    """An exception as its type and text."""
    if not isinstance(exception, BaseException):
        return exception
    return error_text(exception)


@dataclass(frozen=True)
class About:
    """A dead letter, as lists and exports show it.

    *kind* is one of :data:`KINDS`. *attempts* counts how often the request was sent, *status*
    is that of its last response. *first* and *last* are seconds since 1970: when it failed for
    the first time, and when it was given up.
    """

    url: str
    domain: str
    kind: str
    failure_class: str
    reason: str
    attempts: int
    status: int | None
    exception: str | None
    first: float
    last: float
    trace_id: str = ""
    """By which everything about the request is found; empty where it was never sent."""

    @classmethod
    def make(
        cls,
        *,
        url: str,
        domain: str,
        now: float,
        kind: str,
        failure_class: str,
        reason: str,
        attempts: int = 0,
        status: int | None = None,
        exception: BaseException | str | None = None,
        first: float | None = None,
        trace_id: str = "",
    ) -> About:
        """Without credentials, and short. Raises :exc:`ValueError` for an unknown *kind*."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not a kind of dead letter: use one of {KINDS}")
        told = describe(exception)
        return cls(
            url=mask(url),
            domain=domain,
            kind=kind,
            failure_class=failure_class,
            reason=mask(reason)[:_LONGEST],
            attempts=attempts,
            status=status,
            exception=None if told is None else mask(told)[:_LONGEST],
            first=now if first is None else first,
            last=now,
            trace_id=trace_id,
        )

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> About:
        """From :meth:`row`, of this version or another; what is of no use is left out."""
        return cls(
            url=str(stored.get("url", "")),
            domain=str(stored.get("domain", "")),
            kind=str(stored.get("kind", "")),
            failure_class=str(stored.get("class", "")),
            reason=str(stored.get("reason", "")),
            attempts=_one_of((int,), stored.get("attempts")) or 0,
            status=_one_of((int,), stored.get("status")),
            exception=_one_of((str,), stored.get("exception")),
            first=_one_of((int, float), stored.get("first")) or 0.0,
            last=_one_of((int, float), stored.get("last")) or 0.0,
            trace_id=str(stored.get("trace_id", "")),
        )

    def row(self) -> dict[str, Any]:
        """By the names of exports."""
        found = dict(vars(self))
        return {"class" if name == "failure_class" else name: found[name] for name in found}


def _one_of(kinds: tuple[type, ...], value: Any) -> Any:
    return value if isinstance(value, kinds) and not isinstance(value, bool) else None


class Wanted(msgspec.Struct, frozen=True):
    """A filter; what is None lets everything pass. A domain stands for its subdomains too."""

    domain: str | None = None
    failure_class: str | None = None
    kind: str | None = None

    def __call__(self, about: About) -> bool:
        return (
            self.failure_class in {None, about.failure_class}
            and self.kind in {None, about.kind}
            and (self.domain is None or _is_within(about.domain, self.domain.lower()))
        )


def _is_within(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)

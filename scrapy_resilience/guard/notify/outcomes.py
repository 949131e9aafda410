"""What came of a try to send a notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from scrapy_resilience.core.notices import Notice

__all__ = ["SENT", "Outcome", "Sender"]


class Outcome(NamedTuple):
    """Sent, or why not: texts have nothing of a URL in them."""

    problem: str = ""
    """Empty when the receiver has said that it has it."""
    rejected: bool = False
    """Whether the receiver will never take it."""
    retry_after: float | None = None
    """Seconds that the receiver wants to be left alone."""
    begun: bool = True
    """Whether anything was sent that may have got there."""


SENT = Outcome()


class Sender(Protocol):
    """Sends to one channel."""

    async def send(self, notice: Notice, seconds: float) -> Outcome:
        """Try for so many seconds at most; raises nothing."""

    def send_blocking(self, notice: Notice, seconds: float) -> Outcome:
        """The same for a thread without an event loop, also while Python ends."""

"""When a crawl that was told to stop must let go: seconds after the signal."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Deadlines"]

_CLOSING_SHARE: Final = 0.25
_CLOSING_MIN: Final = 2.0
_CLOSING_MAX: Final = 5.0
_AT_ONCE: Final = 1.0


class Deadlines(NamedTuple):
    """What a stop does when, in seconds after the first signal.

    ::

        0 ──── graceful ──── cut ──── closing ──── end
               downloads and pipelines     pipelines and feeds
               may come to their end       are closed

    At *cut* everything is committed and what still runs is cancelled; at *end* the process
    exits as it is, which is as safe as any kill.
    """

    cut: float
    end: float

    @classmethod
    def of(cls, timeout: float) -> Deadlines:
        """A quarter of *timeout*, 2 to 5 seconds, is left for the closing."""
        closing = min(max(_CLOSING_SHARE * timeout, _CLOSING_MIN), _CLOSING_MAX)
        return cls(max(timeout - closing, 0.0), max(timeout, _CLOSING_MIN))

    def seconds_left(self, *, again: bool) -> float:
        """From a signal to the end; *again*: it is not the first one."""
        return min(self.end, _AT_ONCE) if again else self.end

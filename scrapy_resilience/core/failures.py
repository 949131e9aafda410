"""The classes of failures, and the verdict on what became of one request."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = [
    "BLOCKED",
    "CONTENT",
    "FAILURE_CLASSES",
    "ORDER",
    "PERMANENT",
    "SERVER_ERROR",
    "SUCCESS",
    "THROTTLED",
    "TRANSIENT",
    "Verdict",
]

TRANSIENT: Final = "transient"
"""A timeout, a lost connection: trying again may be enough."""
THROTTLED: Final = "throttled"
"""The server asks for fewer requests: 429 and the like."""
SERVER_ERROR: Final = "server_error"
"""The server is in trouble: 5xx."""
BLOCKED: Final = "blocked"
"""A ban: a challenge or captcha instead of the page, whatever its status."""
PERMANENT: Final = "permanent"
"""Trying again is in vain: 404 and the like."""
CONTENT: Final = "content"
"""An answer that is not the page: cut off, or as a body pattern tells."""

FAILURE_CLASSES: Final = (TRANSIENT, THROTTLED, SERVER_ERROR, BLOCKED, PERMANENT, CONTENT)
ORDER: Final = (BLOCKED, THROTTLED, PERMANENT, CONTENT, SERVER_ERROR, TRANSIENT)
"""The order of judgement: the first class that fits is the verdict."""


class Verdict(msgspec.Struct, frozen=True):
    """What became of one request.

    ``failure_class`` is None when nothing failed; ``ignored`` tells the cases that are not
    success either: the domain was not asked. ``counts_against_domain``: whether a circuit
    breaker takes it for a failure of the domain. ``retry_after`` is in seconds.
    ``unsent``: the request never reached the server, so that any method may be repeated.
    """

    failure_class: str | None
    reason: str = ""
    counts_against_domain: bool = False
    retry_after: float | None = None
    unsent: bool = False
    ignored: bool = False

    @property
    def failed(self) -> bool:
        return self.failure_class is not None


SUCCESS: Final = Verdict(None)

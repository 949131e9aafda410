"""What became of a request: the class of its failure, and whose failure it is.

Judged in the order of :data:`~scrapy_resilience.core.failures.ORDER`, the user's patterns
before what is built in:

============  ==================================================================  =======
class         built in                                                            counts
============  ==================================================================  =======
blocked       a ban in headers or page (:mod:`.bans`)                             yes
throttled     429, 420, 509, 529; 503 with Retry-After; 403 with a rate limit     no
              that is used up; ``rate.*limit`` in an exception
permanent     other 4xx, 501, 505; too many redirects; errors of the code         no
content       an answer that was cut off                                          yes
server_error  other 5xx                                                           yes
transient     408, 425; timeouts, refused and lost connections; exceptions of     yes
              a download that nobody knows (:mod:`.faults`)
============  ==================================================================  =======

*counts*: against the domain, for its circuit breaker. A throttling server is healthy, and
is left alone by other means. A host name that can't be resolved is transient and does not
count: with many look-ups at a time it is the resolver that fails, and a breaker would take
healthy domains out for minutes (scrapy#4888). Nor does a failure of our own machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from scrapy_resilience.core.bans import ban_in_headers, ban_in_page
from scrapy_resilience.core.failures import (
    BLOCKED,
    CONTENT,
    PERMANENT,
    SERVER_ERROR,
    SUCCESS,
    THROTTLED,
    TRANSIENT,
    Verdict,
)
from scrapy_resilience.core.faults import IGNORED, kind_of, unknown_kind
from scrapy_resilience.core.masking import mask, message_of
from scrapy_resilience.core.retryafter import retry_after, says_nothing_left

if TYPE_CHECKING:
    from scrapy_resilience.core.patterns import Patterns
    from scrapy_resilience.core.retryafter import Headers

__all__ = ["BODY_PREFIX", "Classifier", "Verdict", "exception_text"]

BODY_PREFIX: Final = 16_384
"""Characters of a body in which the user's patterns are searched."""

_TEXT: Final = 500
_THROTTLED: Final = frozenset({420, 429, 509, 529})
_TRANSIENT: Final = frozenset({408, 425})
_PERMANENT: Final = frozenset({501, 505})
_COUNTS: Final = frozenset({BLOCKED, CONTENT, SERVER_ERROR, TRANSIENT})
_URL: Final = re.compile(r"\w{1,20}://\S+|(?<=with url: )\S+")  # as requests quotes paths


class Classifier(msgspec.Struct, frozen=True):
    """Judges responses and exceptions; made once, from settings that were checked.

    ``patterns`` are searched in the text of exceptions, URLs left out, and in
    ``HTTP <status>``; ``body_patterns`` in the beginning of bodies.
    """

    patterns: Patterns
    body_patterns: Patterns
    detect_bans: bool = True

    def response(
        self, status: int, headers: Headers, body: bytes, now: float, charset: str = "utf-8"
    ) -> Verdict:
        """Judge an answer: *body* decompressed, and empty where it is not text.

        *now* is in seconds since 1970, for dates in Retry-After.
        """
        if self.detect_bans:
            vendor = ban_in_headers(status, headers) or (body and ban_in_page(body))
            if vendor:
                return self._answer(BLOCKED, f"ban page ({vendor})", headers, now)
        if self.body_patterns and body:
            found = self.body_patterns.find(_start(body, charset))
            if found is not None:
                counts = found[0] == BLOCKED
                reason = f"body has {found[1]!r}"
                return self._answer(found[0], reason, headers, now, counts=counts)
        if status < 400 and not self.patterns:  # noqa: PLR2004 - the common case
            return SUCCESS
        text = f"HTTP {status}"
        found = self.patterns.find(text)
        failure_class = found[0] if found else _class_of_status(status, headers)
        if failure_class is None:
            return SUCCESS
        return self._answer(failure_class, text, headers, now)

    def exception(self, error: BaseException, *, of_download: bool = False) -> Verdict:
        """Judge what a function has raised; *of_download*, in the course of a download."""
        text = exception_text(error)
        known = kind_of(error, text)
        if known is IGNORED:
            return Verdict(None, text, ignored=True)
        kind = known or unknown_kind(error, of_download=of_download)
        found = self.patterns.find(text)
        if found is not None:
            counts = found[0] in _COUNTS if known is None else kind.counts
            kind = kind._replace(
                failure_class=found[0], counts=counts and found[0] != THROTTLED
            )
        return Verdict(kind.failure_class, text, kind.counts, unsent=kind.unsent)

    @staticmethod
    def _answer(
        failure_class: str,
        reason: str,
        headers: Headers,
        now: float,
        *,
        counts: bool | None = None,
    ) -> Verdict:
        if counts is None:
            counts = failure_class in _COUNTS
        return Verdict(failure_class, reason, counts, retry_after(headers, now))


def exception_text(error: BaseException) -> str:
    """The class and the message of an exception in one line, no URLs or passwords in it."""
    text = " ".join(message_of(error)[: 2 * _TEXT].split())
    text = mask(_URL.sub("…", text))
    return f"{type(error).__name__}: {text}"[:_TEXT] if text else type(error).__name__


def _class_of_status(status: int, headers: Headers) -> str | None:
    if status < 400:  # noqa: PLR2004 - HTTP
        return None
    if status in _THROTTLED:
        return THROTTLED
    if status == 503 and headers.get("Retry-After"):  # noqa: PLR2004 - HTTP
        return THROTTLED
    if status == 403 and says_nothing_left(headers):  # noqa: PLR2004 - HTTP
        return THROTTLED
    if status in _TRANSIENT:
        return TRANSIENT
    return SERVER_ERROR if status >= 500 and status not in _PERMANENT else PERMANENT  # noqa: PLR2004


def _start(body: bytes, charset: str) -> str:
    try:
        return body[:BODY_PREFIX].decode(charset, "replace")
    except LookupError:
        return body[:BODY_PREFIX].decode("utf-8", "replace")

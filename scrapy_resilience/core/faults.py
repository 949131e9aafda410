"""What an exception is, told by what it is and not by where it comes from.

Download handlers raise exceptions of their own (curl_cffi, aiohttp, httpx, Playwright), and
so do user's middlewares. In this order, for the exception and then for what it was raised
from:

1. the names of its class and bases, where one is known
2. the words of those names (``ConnectTimeout``, ``DNSError``, ``TooManyRedirects``)
3. the error number of an :exc:`OSError`, or the one that its text quotes
4. the words of its text (``curl: (28) Operation timed out``)
5. what its bases are at the least: an :exc:`OSError`, a ``ConnectError``

What is left is unknown. A download's unknown exception is taken for the domain's, because a
handler that nobody knows must not be asked for ever; one of the classes that tell of wrong
code (:exc:`TypeError` and the like) never is.
"""

from __future__ import annotations

import errno
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.core.failures import (
    CONTENT,
    PERMANENT,
    SERVER_ERROR,
    THROTTLED,
    TRANSIENT,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["IGNORED", "Kind", "kind_of", "unknown_kind"]


class Kind(NamedTuple):
    """See :class:`.Verdict`."""

    failure_class: str | None
    counts: bool = False
    unsent: bool = False


IGNORED: Final = Kind(None)
_UNSENT: Final = Kind(TRANSIENT, counts=True, unsent=True)
_LOST: Final = Kind(TRANSIENT, counts=True)
_CUT_OFF: Final = Kind(CONTENT, counts=True)
_UNRESOLVED: Final = Kind(TRANSIENT, unsent=True)
_OWN: Final = Kind(TRANSIENT)
"""Our own machine, or the browser on it: full, or out of handles."""
_NEVER: Final = Kind(PERMANENT)

_NAMES: Final = {
    # of Scrapy
    "IgnoreRequest": IGNORED,
    "CannotResolveHostError": _UNRESOLVED,
    "DownloadConnectionRefusedError": _UNSENT,
    "DownloadTimeoutError": _LOST,
    "DownloadFailedError": _LOST,
    "ResponseDataLossError": _CUT_OFF,
    "DownloadCancelledError": _NEVER,
    "StopDownload": _NEVER,
    "CloseSpider": _NEVER,
    "NotConfigured": _NEVER,
    "NotSupported": _NEVER,
    "UnsupportedURLSchemeError": _NEVER,
    "TunnelError": _UNSENT,
    # of Twisted
    "DNSLookupError": _UNRESOLVED,
    "UnknownHostError": _UNRESOLVED,
    "TCPTimedOutError": _UNSENT,
    "ConnectBindError": _OWN,
    "ConnectionDone": _LOST,
    "ConnectionLost": _LOST,
    "ResponseFailed": _LOST,
    # of Python; a timeout of asyncio and Playwright is a TimeoutError as well
    "TimeoutError": _LOST,  # Twisted's is a ConnectError too, and raised for slow answers
    "ConnectionRefusedError": _UNSENT,
    "ConnectionResetError": _LOST,
    "ConnectionAbortedError": _LOST,
    "BrokenPipeError": _LOST,
    "gaierror": _UNRESOLVED,  # before its error number, which is not one of the system's
    "herror": _UNRESOLVED,
    "SSLError": _LOST,  # likewise
    "FileNotFoundError": _NEVER,
    "IsADirectoryError": _NEVER,
    "NotADirectoryError": _NEVER,
    "PermissionError": _NEVER,
    "MemoryError": _OWN,
    "CancelledError": _NEVER,
    # of ours
    "BrowserLostError": _OWN,
    "BrowserUnavailableError": Kind(TRANSIENT, unsent=True),
    "CircuitOpenError": IGNORED,
    "MaxRetriesExceededError": _NEVER,
    "PermanentFailureError": _NEVER,
}
"""What an exception is, by the name of its class or of the nearest base that is here."""

_BASES: Final = {
    "ConnectError": _UNSENT,
    "ClientConnectorError": _UNSENT,
    "NewConnectionError": _UNSENT,
    "ConnectionError": _LOST,
    "NetworkError": _LOST,
    "ReadError": _LOST,
    "WriteError": _LOST,
}
"""The same for names that leave open what it was, so that number and text go before them."""

_ERRNOS: Final = {
    errno.ECONNREFUSED: _UNSENT,
    errno.EHOSTUNREACH: _UNSENT,
    errno.ENETUNREACH: _UNSENT,
    errno.EHOSTDOWN: _UNSENT,
    errno.ETIMEDOUT: _LOST,
    errno.ECONNRESET: _LOST,
    errno.ECONNABORTED: _LOST,
    errno.ENETRESET: _LOST,
    errno.ENOTCONN: _LOST,
    errno.EPIPE: _LOST,
    errno.ESHUTDOWN: _LOST,
    errno.EPROTO: _LOST,
    errno.ENOENT: _NEVER,
    errno.EACCES: _NEVER,
    errno.EPERM: _NEVER,
}
"""Any other number is of our own machine: EMFILE, ENOSPC, ENOMEM, EADDRNOTAVAIL."""

_CANT: Final = r"(?:fail\w{0,3}|can ?not|can't|could ?n[o']t|could not|unable) (?:to )?"
_OTHER_SIDE: Final = r"(?:connection|server|peer|remote|host|socket|stream|transport)"

_WORDS: Final[tuple[tuple[Any, ...], ...]] = (
    (Kind(THROTTLED), r"rate.{0,20}limit", r"too ?many ?requests"),
    (
        _OWN,
        r"too many open files", r"no space left", r"out of memory", r"no buffer space",
        r"allocate memory", r"assign requested address", r"pool ?time", r"target ?closed",
        r"(?:session|loop|client|browser|pool) (?:is|was|has been) closed",
        r"(?:page|target|browser|tab) crashed", r"reading from the driver",
        r"internet_disconnected", r"network_changed",
    ),
    (
        _UNRESOLVED,
        r"(?-i:DNS)", r"\bdns\b", r"resolv\w{0,4}[ _-](?:host|name|proxy|domain|address)",
        rf"{_CANT}(?:be )?resolve", r"name.{0,5}resol", r"unknown[_ ]?host",
        r"name or service not known", r"nodename nor servname", r"getaddrinfo",
        r"host[_ ]?not[_ ]?found", r"no such host", r"lookup address", r"enotfound",
        r"eai_again", r"no address associated",
    ),
    (
        _NEVER,
        r"too[_ ]?many[_ ]?redirect", r"max.{0,20}redirect", r"redirectclient",
        r"redirect(?:s|ion)?[_ ]?(?:error|loop|limit|exceeded)",
        r"(?:invalid|missing|unsupported|nonhttp)[_ ]?(?:url|schema|scheme|protocol)",
        r"invalid(?:header|proxyurl)", r"localprotocol", r"blocked_by_client",
    ),
    (
        _CUT_OFF,
        r"incomplete[_ ]?(?:read|chunked|body|message|download)", r"chunked ?encoding",
        r"content[_ ]?decoding", r"decodingerror", r"content_length_mismatch",
        r"payload ?error", r"payload is not completed", r"transfer closed with",
        r"without sending complete message",
    ),
    (
        _UNSENT,
        r"(?<!dis)connect.{0,60}refused", r"econnrefused", r"refused_stream", r"no route",
        r"unreach", r"connect call failed", r"(?<!dis)connect error",
        rf"{_CANT}(?:establish .{{0,20}})?connect", r"connect(?:ion)?timeout",
        r"connection_timed_out", r"proxy\w{0,12}error", r"proxy.{0,20}authentication",
        r"err_(?:proxy|socks)", r"tunnel",
    ),
    (
        _LOST,
        r"time[_ -]?out", r"timed[_ -]?out", r"deadline exceeded", r"disconnect",
        rf"{_OTHER_SIDE}.{{0,40}}(?:reset|closed|aborted|lost|dropped|terminated|broken)",
        r"broken pipe", r"remoteprotocol", r"badstatusline", r"unexpected eof", r"goaway",
        r"econnreset", r"socket hang up", r"too ?slow", r"took too long", r"refused",
        r"empty[_ ](?:reply|response)", r"(?-i:SSL|TLS)", r"certificate", r"err_cert",
    ),
    (
        Kind(SERVER_ERROR, counts=True),
        r"\b5\d\d(?: server error|, message=)", r"server error '5\d\d",
    ),
    (
        _NEVER,
        r"authentication.{0,40}failed", r"\b404\b", r"client error '4\d\d",
        r"\b4\d\d(?: client error|, message=)",
    ),
)  # fmt: skip
"""For names of classes and for texts; the first one that fits decides."""

_QUOTED_ERRNO: Final = re.compile(r"\[(?:Errno|WinError) (\d{1,6})\]")

_OF_CODE: Final = (
    ArithmeticError, AssertionError, AttributeError, BufferError, ImportError, LookupError,
    NameError, NotImplementedError, RecursionError, ReferenceError, SyntaxError, SystemError,
    TypeError, ValueError,
)  # fmt: skip
_DEEPEST: Final = 5


def kind_of(error: BaseException, text: str) -> Kind | None:
    """What *error*, whose class and message are *text*, is; None when that is unknown."""
    for each in _chain(error):
        quoted = text if each is error else f"{type(each).__name__}: {each!s:.500}"
        found = _named(each) or _numbered(each, quoted) or _worded(quoted)
        if found is not None:
            return found
    return next((_BASES[base] for base in _bases(error) if base in _BASES), None)


def unknown_kind(error: BaseException, *, of_download: bool) -> Kind:
    """What an exception is taken for that :func:`kind_of` does not know."""
    if of_download and isinstance(error, Exception) and not isinstance(error, _OF_CODE):
        return _LOST
    return _OWN if isinstance(error, OSError) else _NEVER


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it was raised from; wrong code ends it, its texts mislead."""
    for _ in range(_DEEPEST):
        if not isinstance(error, Exception):
            return
        if isinstance(error, _OF_CODE) and type(error).__module__ == "builtins":
            return
        yield error
        inner = getattr(error, "exceptions", None)  # of a group: its first one stands for all
        error = inner[0] if isinstance(inner, tuple) and inner else error.__cause__


def _bases(error: BaseException) -> list[str]:
    return [base.__name__ for base in type(error).__mro__]


def _named(error: BaseException) -> Kind | None:
    for name in _bases(error):
        found = _NAMES.get(name)
        if found is None and name not in _BASES:
            found = _worded(name)
        if found is not None:
            return found
    return None


def _numbered(error: BaseException, text: str) -> Kind | None:
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (quoted := _QUOTED_ERRNO.search(text)):
        number = int(quoted[1])
    if not isinstance(number, int) or number <= 0:
        return None
    return _ERRNOS.get(number, _OWN)


def _worded(text: str) -> Kind | None:
    return next((kind for pattern, kind in _patterns() if pattern.search(text)), None)


@cache
def _patterns() -> list[tuple[re.Pattern[str], Kind]]:
    """Made at the first failure: it takes some milliseconds."""
    return [(re.compile("|".join(words), re.IGNORECASE), kind) for kind, *words in _WORDS]

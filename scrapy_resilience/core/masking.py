"""What is shown of values that others chose: no secret, and nothing that a terminal obeys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

__all__ = [
    "BEYOND", "HIDDEN", "clipped", "counted", "error_text", "is_secret", "lines", "mask",
    "mask_each", "mask_uri", "mask_value", "masked_start", "message_of", "printable", "reason",
    "shown",
]  # fmt: skip

HIDDEN: Final = "***"
BEYOND: Final = 4_000
"""Characters that are looked at beyond those that are shown: a secret is not longer."""
_USERINFO: Final = re.compile(
    r"(?<!///)(?<=//)[^/?# \t\r\n]*@"
    # of a password that is not quoted; behind a port may be a path with an @
    r"|(?<=://)[^/?#\s:@\[]*:(?!\d*(?:[/?#,;'\")>\]]|$))[^\s@'\"<>]{0,200}@"
    r"|(?<=:/)[^/?#\s:]*:[^/?#\s]*@"  # of one that was taken for a path
    r"|(?<!\S)[^\s/@:?#]+:[^\s/?#]*@(?=\w)"  # of a URL without its scheme, as errors quote it
)
_ANY_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s:@\[]*:\S*@")
"""Of a place: the password may begin as a port does, or be what looks like a path."""
# A word is looked for ahead, once, so that a long name is not tried at every split of it.
_SECRETS: Final = (
    r"(?=[\w-]*?(?:passw|secret|credential|signature|api[-_ ]?key|access[-_ ]?key))[\w -]+"
    r"|(?:[\w-]*[-_])?(?:access|api|auth|bearer|csrf|id|jwt|oauth|refresh|sas|security|session"
    r"|xsrf)[-_]?token|token"
    r"|(?:proxy[-_])?authorization|(?:set[-_])?cookies?|encryption_key"
)
_PARAMETER: Final = re.compile(
    r"[?&;#]([^=?&;#\t\r\n\"'<>]{1,200})=|(?<![\w%.\]?&;#-])([\w-]{1,100})="
)
"""Of a query or a fragment; or of a connection string, or a call as Python shows it."""
_VALUE: Final = re.compile(r"[^&;#\s\"'<>]+")
_WORDS_VALUE: Final = re.compile(r"'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?|[^;\s\"'<>]+")
_SECRET_PARAMETER: Final = re.compile(  # such as user[password], too
    rf"(?:[^.\[]+[.\[])*(?:{_SECRETS}|jwt|pass|pwd|(?:j|php)?sess(?:ion)?[-_]?id|sid|sig)"
    r"\]?(?:\[\w*\])*",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)(['\"]?\s*[:=])[^\r\n]+",
    re.IGNORECASE,
)
_NAME: Final = re.compile(_SECRETS, re.IGNORECASE)
_STEMS: Final = (
    "author", "cook", "credential", "jwt", "key", "pass", "pwd", "secret", "sess", "sid", "sig",
    "token",
)  # fmt: skip
"""One of them is in each name above."""
_LONGEST_NAME: Final = 200
_NAMED: Final = re.compile(r"(['\"])([\w -]{2,100})\1\s*:\s*")
_NAMED_VALUE: Final = re.compile(
    r"b?'(?:[^'\\]|\\.)*'?|b?\"(?:[^\"\\]|\\.)*\"?|[^\s,}\]]+", re.DOTALL
)


def mask(text: str) -> str:
    """*text* without the credentials of the URLs and headers in it.

    Those are what stands before the host of a URL, parameters of a query or a fragment that
    are named like a password, a token or a session, the values of Authorization and Cookie,
    those of settings with such names, as Python and JSON write them, and ``password=…`` and
    the like as connection strings have them.
    """
    if "@" in text:  # each of these looks first: most lines of a log have nothing to hide
        text = _USERINFO.sub(f"{HIDDEN}@", text)
    folded = text.lower()
    parameters, named = "=" in text, "':" in text or '":' in text
    if (parameters or named) and _may_name_secret(folded):
        if parameters:
            text = _mask_parameters(text)
        if named:
            text = _mask_named(text)
    if "author" in folded or "cook" in folded or "x-ap" in folded:  # no i: it has dots, or none
        text = _HEADER.sub(rf"\1\2 {HIDDEN}", text)
    return text


def _may_name_secret(folded: str) -> bool:
    """False where no name of a secret is in a text in lower case, nor one in percent signs."""
    return not folded.isascii() or "%" in folded or any(map(folded.__contains__, _STEMS))


def _mask_parameters(text: str) -> str:
    """*text* without the values of what is named like a secret, with ``=`` behind its name."""
    parts, end = [], 0
    for found in _PARAMETER.finditer(text):
        query, word = found.groups()
        is_one = is_secret(word) if query is None else _is_secret_parameter(query)
        if found.start() < end or not is_one:
            continue
        form = _WORDS_VALUE if query is None else _VALUE
        if value := form.match(text, found.end()):
            parts += [text[end : found.end()], HIDDEN]
            end = value.end()
    return "".join([*parts, text[end:]])


def _mask_named(text: str) -> str:
    """*text* without the values of ``'a_secret': 'its value'``."""
    parts, end = [], 0
    for found in _NAMED.finditer(text):
        if found.start() < end or not is_secret(found[2]):
            continue
        if value := _NAMED_VALUE.match(text, found.end()):
            parts += [text[end : found.end()], f"{found[1]}{HIDDEN}{found[1]}"]
            end = value.end()
    return "".join([*parts, text[end:]])


@lru_cache(1024)
def _is_secret_parameter(name: str) -> bool:
    return _SECRET_PARAMETER.fullmatch(unquote(name)) is not None


def is_secret(name: str) -> bool:
    """Whether a setting or a field of this name holds a secret."""
    return _is_secret(name[:_LONGEST_NAME])


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def mask_each(data: Any) -> Any:
    """Plain data with each text in it masked, names too; of a secret, its name is left."""
    if isinstance(data, str):
        return mask(data)
    if isinstance(data, dict):
        return {
            mask_each(name): HIDDEN
            if value and isinstance(name, str) and is_secret(name)
            else mask_each(value)
            for name, value in data.items()
        }
    return [mask_each(value) for value in data] if isinstance(data, (list, tuple)) else data


def message_of(error: BaseException) -> str:
    """What an exception says; nothing where its class, one of the user's, can't say it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001
        return ""


def error_text(error: BaseException) -> str:
    """An exception as its type and what it says."""
    name, text = type(error).__qualname__, message_of(error)
    return f"{name}: {text}" if text else name


def mask_uri(uri: str) -> str:
    """The URI of a place, such as a bucket: without credentials, and without its query."""
    masked = mask(_ANY_USERINFO.sub(f"{HIDDEN}@", uri) if "@" in uri else uri)
    place, _, query = masked.partition("?")
    return f"{place}?{HIDDEN}" if query and "://" in place else masked


_CONTAINERS: Final = {list, tuple, set, frozenset}  # a named tuple is made of arguments


def mask_value(value: Any, name: str = "") -> Any:
    """A setting, without what is secret in it; *name* is that of a part of it."""
    if is_secret(name) and value:
        return HIDDEN
    if isinstance(value, str):
        return mask_uri(value)
    if isinstance(value, Mapping):
        return {mask_value(key): mask_value(each, str(key)) for key, each in value.items()}
    if isinstance(value, bytes):
        return mask_uri(value.decode("latin-1")).encode("latin-1")
    if isinstance(value, (list, tuple, set, frozenset)):
        kind = type(value) if type(value) in _CONTAINERS else list
        return kind(mask_value(each) for each in value)
    return value


def counted(number: int, noun: str) -> str:
    """``1 request``, ``2 requests``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def reason(error: BaseException) -> str:
    """Why something failed: an error of the system without its number, path and call."""
    inner = getattr(error, "reason", None)  # of urllib's
    if isinstance(inner, OSError):
        return reason(inner)
    return str(getattr(error, "strerror", None) or message_of(error) or type(error).__name__)


def printable(text: str) -> str:
    """*text* for a terminal: what would move its cursor or turn its text is escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def shown(text: str) -> str:
    """*text* in one line of a log or a terminal."""
    return printable(mask(text))


def clipped(text: str, longest: int) -> str:
    """The beginning of *text* in one line, *longest* characters at most, as of the next one."""
    return printable(masked_start(text, longest))[:longest]


def masked_start(text: str, longest: int) -> str:
    """The beginning of *text*, without what :func:`mask` hides.

    It is masked before it is cut, and so far beyond that no secret is cut in two.
    """
    masked = mask(text[: longest + BEYOND])
    if len(text) > longest + BEYOND and masked.strip():
        last = masked.rsplit(maxsplit=1)[-1]  # half a secret, perhaps: those of URLs have an @
        masked = masked[: -min(len(last), BEYOND)] or HIDDEN
    return masked[:longest]


def lines(text: str) -> str:
    """The same of each line of a text that was put together of several."""
    return "\n".join(map(shown, text.split("\n")))

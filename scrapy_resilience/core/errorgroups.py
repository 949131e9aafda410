"""Errors grouped by cause: where in the code, which class, and what is said but for its values.

There are so many groups at most; a rare one that has not been seen for the longest time gives
way to a new one, and is counted as ``other`` from then on.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "OTHER", "Cause", "Frame", "Group", "Groups", "place_of", "same_for_all", "short",
    "users_frame",
]  # fmt: skip

OTHER: Final = "other"
_LONGEST: Final = 250
"""Characters of a message that are kept."""
_READ: Final = 2_000
"""Characters of a message that are looked at."""
_DOMAINS: Final = 10
_RARE: Final = 10
"""Errors that a group may have to give way before others do."""

# --- where ------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """One call in a traceback."""

    file: str
    line: int
    function: str
    module: str


_FRAMEWORK: Final = {"asyncio", "scrapy", "twisted"}
_LIBRARIES: Final = {
    "aiohttp", "attr", "cssselect", "itemadapter", "itemloaders", "lxml", "msgpack", "msgspec",
    "parsel", "pydantic", "queuelib", "scrapy_resilience", "w3lib", "zope",
}  # fmt: skip
"""Others raise in them by what they are called with."""
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")


def place_of(frames: Sequence[Frame], standard: str, roots: Iterable[str] = ()) -> str:
    """``file:line:function`` of the innermost call that is in code of the user's.

    If there is none, that of a component that was installed, or of one of ours; empty where
    only Scrapy, Twisted and Python have run. *frames* begins with the outermost one, *standard*
    is the folder of Python's own modules. The file is told relative to one of *roots*.
    """
    frame = users_frame(frames, standard)
    return f"{short(frame.file, roots)}:{frame.line}:{frame.function}" if frame else ""


def users_frame(frames: Sequence[Frame], standard: str) -> Frame | None:
    """The call that :func:`place_of` names; None where there is none."""
    own = [frame for frame in reversed(frames) if _is_code(frame, standard)]
    users = (frame for frame in own if not (_is_installed(frame) or _is_library(frame)))
    components = (frame for frame in own if not _is_library(frame))
    for found in (users, components, iter(own)):
        if (frame := next(found, None)) is not None:
            return frame
    return None


def _is_code(frame: Frame, standard: str) -> bool:
    if frame.module.partition(".")[0] in _FRAMEWORK or frame.file.startswith("<frozen"):
        return False
    return _is_installed(frame) or not frame.file.startswith(standard)


def _is_installed(frame: Frame) -> bool:
    file = frame.file.replace("\\", "/")
    return any(folder in file for folder in _INSTALLED)


def _is_library(frame: Frame) -> bool:
    return frame.module.partition(".")[0] in _LIBRARIES


def short(file: str, roots: Iterable[str]) -> str:
    """*file* relative to one of *roots*, where it is in one."""
    inner = max((root for root in roots if root and file.startswith(root)), key=len, default="")
    return file[len(inner) :].lstrip("/\\") if inner else file


# --- what is said -----------------------------------------------------------------------------

_VALUE: Final = re.compile(
    r"(?P<keep>\bHTTP \d{3}\b)"
    r"|(?P<url>\b[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>]+)"
    r"|(?P<uuid>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?P<date>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?"
    r"(?:Z|[+-]\d\d:?\d\d)?)"
    r"|(?P<text>\"[^\"\n]*\"|(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`|“[^”\n]*”|«[^»\n]*»)"
    r"|(?P<path>(?<![\w.<])(?:[a-z]:[\\/]|~?/|\.{1,2}/)[\w.@%+=,~-]+(?:[\\/][\w.@%+=,~-]+)*)"
    r"|(?P<hex>\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b)"
    r"|(?P<number>\d+(?:[.,_]\d+)*)",
    re.IGNORECASE,
)


@lru_cache(maxsize=256)
def same_for_all(message: str) -> str:
    """*message* in one line, with the names of their kinds in the place of its values.

    URLs, UUIDs, dates, quoted texts, paths, hexadecimal and other numbers are values; the
    status of HTTP is not.
    """
    text = " ".join(message[:_READ].split())
    return _VALUE.sub(_named, text)[:_LONGEST]


def _named(found: re.Match[str]) -> str:
    return found[0] if found.lastgroup == "keep" else f"<{found.lastgroup}>"


# --- groups -----------------------------------------------------------------------------------


class Cause(NamedTuple):
    """What the errors of a group have in common."""

    place: str
    kind: str
    message: str


class Group(msgspec.Struct):
    """Errors with one cause."""

    number: int
    """0 for the one of what has no group any more."""
    cause: Cause
    first: float
    """Seconds since 1970, as the next one."""
    last: float
    url: str = ""
    """Of the first error, as are the next two."""
    trace_id: str = ""
    has_page: bool = False
    has_evidence: bool = False
    count: int = 0
    domains: dict[str, int] = {}

    def add(self, domain: str, count: int = 1) -> None:
        """Count errors of a domain; those of later domains than the tenth as ``other``."""
        self.count += count
        name = domain if domain in self.domains or len(self.domains) < _DOMAINS else OTHER
        self.domains[name] = self.domains.get(name, 0) + count


class Groups:
    """The groups of a job, *limit* at most beside the one of what has no group."""

    def __init__(self, limit: int = 200) -> None:
        self._limit = limit
        self._groups: dict[Cause, Group] = {}
        self._numbers = 0
        self.other: Group | None = None
        """What has no group any more; None while all have."""

    def __iter__(self) -> Iterator[Group]:
        yield from self._groups.values()
        if self.other is not None:
            yield self.other

    def find(self, cause: Cause) -> Group | None:
        return self._groups.get(cause)

    def new(self, cause: Cause, now: float) -> tuple[Group, Group | None]:
        """A group of a cause that has none, and the one that has given way to it."""
        gone = self._give_way(now) if len(self._groups) >= self._limit else None
        self._numbers += 1
        group = self._groups[cause] = Group(self._numbers, cause, now, now)
        return group, gone

    def put(self, groups: Iterable[Group], numbers: int) -> None:
        """Groups as they were in an earlier run, which had used so many numbers."""
        self._numbers = numbers
        for group in groups:
            if not group.number:
                self.other = group
            elif len(self._groups) < self._limit:
                self._groups[group.cause] = group

    def _give_way(self, now: float) -> Group:
        groups = self._groups.values()
        gone = min(groups, key=lambda group: (group.count > _RARE, group.last))
        del self._groups[gone.cause]
        if self.other is None:
            self.other = Group(0, Cause("", OTHER, ""), now, now)
        self.other.last = now
        for domain, count in gone.domains.items():
            self.other.add(domain, count)
        return gone

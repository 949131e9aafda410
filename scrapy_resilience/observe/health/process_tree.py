"""The processes that a process has started, and what they use: browsers are told apart.

By Linux's ``/proc``: 0.5 ms for 50 processes of one thread. By psutil elsewhere, or where
``/proc`` is hidden.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Tree", "TreeReader", "psutil_process", "read_bytes"]

_BROWSERS: Final = (
    "chrome", "chromium", "headless_shell", "firefox", "msedge", "webkit", "wpewebkit",
    "minibrowser", "pw_run.sh", "brave", "camoufox",
)  # fmt: skip
"""How names of their commands begin; the system keeps 15 characters. Their children are
browsers, too."""
_MOST: Final = 10_000
"""Processes that are looked at."""
_SHARED_EACH: Final = 10
"""Looks between two at what processes share: 0.3 ms a process, and 10 to 60 a browser's."""

_CHUNK: Final = 65_536


class Tree(NamedTuple):
    """Descendants of a process."""

    memory: int = 0
    """Bytes of those that are no browsers. What processes share counts once."""
    browser_memory: int = 0
    processes: int = 0
    browsers: int = 0


class _Process(NamedTuple):
    pid: int
    is_browser: bool
    resident: int


class TreeReader:
    """Looks at the descendants of this process.

    *root* is where ``/proc`` is. The resident sets of processes overlap, those of a browser by
    two thirds: what each shares with others (RSS - PSS) is looked at when it is new, and rarely
    after that, as it takes long.
    """

    def __init__(self, root: Path) -> None:
        self._proc = f"{root}/proc".replace("//", "/")
        self._looks = 0
        self._shared: dict[int, int] = {}
        """Bytes, by pid."""

    def read(self) -> Tree:
        """Raises :exc:`OSError`, and what psutil raises, where nothing can be known."""
        found = list(self._processes())
        if self._looks % _SHARED_EACH == 0:
            self._shared.clear()
        self._looks += bool(found)
        self._shared = {each.pid: self._shares(each) for each in found}
        own = {True: 0, False: 0}
        for each in found:
            own[each.is_browser] += max(each.resident - self._shared[each.pid], 0)
        browsers = sum(each.is_browser for each in found)
        return Tree(own[False], own[True], len(found), browsers)

    def _shares(self, process: _Process) -> int:
        """Of its resident set, what counts for others."""
        if (known := self._shared.get(process.pid)) is not None:
            return known
        pss = self._pss(process.pid)
        return 0 if pss is None else max(process.resident - pss, 0)

    def _processes(self) -> Iterator[_Process]:
        own = os.getpid()
        try:
            left = [(pid, False) for pid in self._children("self")]
        except OSError:
            yield from _by_psutil()
            return
        seen = {own}
        while left and len(seen) < _MOST:
            pid, of_browser = left.pop()
            if pid in seen:
                continue
            seen.add(pid)
            with suppress(OSError, ValueError, IndexError):  # it has ended
                process = self._process(pid, of_browser=of_browser)
                yield process
                left += [(child, process.is_browser) for child in self._children(str(pid))]

    def _children(self, pid: str) -> list[int]:
        """Each thread has those that it has started. Raises where none of them can be read."""
        found: list[int] = []
        is_read = False
        for thread in os.listdir(f"{self._proc}/{pid}/task"):  # noqa: PTH208 - thrice as fast
            try:
                text = read_bytes(f"{self._proc}/{pid}/task/{thread}/children")
            except (ProcessLookupError, FileNotFoundError):  # it has ended
                continue
            is_read = True
            found += map(int, text.split())
        if not is_read:
            raise FileNotFoundError(pid)
        return found

    def _process(self, pid: int, *, of_browser: bool) -> _Process:
        text = read_bytes(f"{self._proc}/{pid}/stat")
        name = text[text.index(b"(") + 1 : text.rindex(b")")].decode(errors="replace")
        pages = int(text[text.rindex(b")") + 2 :].split(None, 22)[21])
        resident = max(pages, 0) * os.sysconf("SC_PAGE_SIZE")
        return _Process(pid, of_browser or is_browser(name), resident)

    def _pss(self, pid: int) -> int | None:
        with suppress(OSError, ValueError, IndexError):
            for line in read_bytes(f"{self._proc}/{pid}/smaps_rollup").splitlines():
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
        return None


def is_browser(name: str) -> bool:
    """Whether a command of that name is a browser."""
    return name.lower().startswith(_BROWSERS)


def read_bytes(path: str) -> bytes:
    """A file of ``/proc``, in half the time of ``open()``."""
    file = os.open(path, os.O_RDONLY)
    try:
        found = b""
        while chunk := os.read(file, _CHUNK):
            found += chunk
    finally:
        os.close(file)
    return found


@cache
def psutil_process() -> Any:
    """This process, by psutil."""
    return import_module("psutil").Process()


def _by_psutil() -> Iterator[_Process]:
    process = psutil_process()
    psutil = import_module("psutil")
    browsers: set[int] = set()
    for each in process.children(recursive=True):  # parents come before their children
        with suppress(psutil.Error):
            if is_browser(each.name()) or each.ppid() in browsers:
                browsers.add(each.pid)
            yield _Process(each.pid, each.pid in browsers, int(each.memory_info().rss))

"""Sees what is written in a dry run all the same: by a spider or a middleware, which do run.

Python tells an audit hook of each file that it opens. Temporary files don't count, nor what a
library writes without Python's knowledge, but for databases of SQLite, which say so.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

__all__ = ["Writes"]

_MOST: Final = 100
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING: Final = frozenset(
    {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
)
_PATHS: Final = {"os.rename": slice(2), "os.link": slice(1, 2), "os.symlink": slice(1, 2)}
"""Which arguments of an event are changed, where it is not the first one."""
_SQLITE: Final = "sqlite3.connect"
_NO_FILES: Final = ("/dev/", "/proc/", ":memory:")


class Writes:
    """What is written from now until :meth:`end`, in this process."""

    def __init__(self) -> None:
        self.paths: dict[str, None] = {}
        """In the order in which they came, some at the most."""
        self._ended = False
        caches = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        folders = (os.path.realpath(each) + os.sep for each in (tempfile.gettempdir(), caches))
        self._left_out = (*_NO_FILES, *folders)
        sys.addaudithook(self._hear)  # for ever: there is no way to take one out

    def end(self) -> None:
        """Hear nothing more."""
        self._ended = True

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        """It must not raise, nor take long: it is asked about everything."""
        if self._ended or not args:
            return
        if event == "open":
            if not (isinstance(args[2], int) and args[2] & _WRITING):
                return
        elif event not in _CHANGING and event != _SQLITE:
            return
        for path in args[_PATHS.get(event, slice(1))]:
            if isinstance(path, (str, bytes, os.PathLike)):
                self._note(os.fsdecode(path), is_sqlite=event == _SQLITE)

    def _note(self, path: str, *, is_sqlite: bool) -> None:
        if is_sqlite and (not path or "mode=ro" in path or "mode=memory" in path):
            return
        if len(self.paths) < _MOST and not path.startswith(self._left_out):
            full = path if is_sqlite else os.path.abspath(path)  # noqa: PTH100 - quick, and raises nothing
            if not full.startswith(self._left_out):
                self.paths[full] = None

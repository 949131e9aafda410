"""Log files that rotate, shared by all processes that write to a folder.

Each line is one write to a file that is open to append, so that lines of several processes do
not mix. At midnight UTC, and when it has grown too large, whoever notices first renames the
file, under a lock on the file itself; the others notice within a second of their lines that
the name leads to another file, and take that one. A line that can't be written is lost, and
nothing waits for it.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import counted
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.files.lock import lock_fd
from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.observe.logs.log_days import DAY, date_of, expired, past_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["LogFiles", "RotatingFile"]

logger = get_logger(__name__)

_OPEN: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_MODE: Final = 0o640
"""What ships logs may be in the group of the user."""
_LOOK: Final = 1.0
"""Seconds between two looks at whether the file is still the one of its name."""
_PREFIX: Final = re.compile(r"\w+(\.\w+)*")
_OWN_NAMES: Final = frozenset({"app", "error"})


class RotatingFile(logging.Handler):
    """Writes records to *path*. Raises :exc:`OSError` when it can't be opened.

    :param most: bytes after which the file is put aside
    :param days: how long files that were put aside are kept
    """

    def __init__(self, path: Path, *, most: int, days: int) -> None:
        super().__init__()
        self.path = path
        self.lost = 0
        """Lines that could not be written."""
        self._most = most
        self._days = days
        self._told = False
        self._torn = False
        self._look_at = 0.0
        self._fd: int | None = None
        self._open()

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        try:
            if record.created >= self._look_at or self._size > self._most:
                self._look(record.created)
            self._write(line)
        except OSError as error:
            self._lose(error)

    def close(self) -> None:
        self.acquire()
        try:
            self._let_go()
        finally:
            self.release()
        super().close()

    def _let_go(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> None:
        self._fd = open_own(self.path, _OPEN, _MODE)
        status = os.fstat(self._fd)
        self._size = status.st_size
        self._day = int(status.st_mtime // DAY) if self._size else None

    def _write(self, line: bytes) -> None:
        if self._fd is None:
            self.lost += 1
            return
        if self._torn:  # by a disk that was full in the middle of a line
            line = b"\n" + line
        written = os.write(self._fd, line)
        self._size += written
        self._torn = 0 < written < len(line)
        if written < len(line):
            self.lost += 1

    def _lose(self, error: OSError) -> None:
        self.lost += 1
        if not self._told:
            self._told = True  # first: what is logged now comes here, too
            logger.error(
                "%s can't be written, and its lines are lost until it can: %s",
                self.path,
                error.strerror,
            )

    # --- rotation ---

    def _look(self, now: float) -> None:
        """Raises :exc:`OSError` when there is no file to write to."""
        day = int(now // DAY)
        self._look_at = min(now + _LOOK, (day + 1) * DAY)
        if not self._is_there():
            self._open_again()
        elif self._size and self._day is not None and day > self._day:
            self._rotate(self._day)
        elif self._size > self._most:
            self._rotate(day)
        if self._day is None or not self._size:
            self._day = day

    def _is_there(self) -> bool:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        self._size = found.st_size
        return self._fd is not None and os.path.samestat(found, os.fstat(self._fd))

    def _open_again(self) -> None:
        self._let_go()
        self._open()

    def _rotate(self, day: int) -> None:
        """Put the file aside, as one of *day*; leave it to another process that does so."""
        assert self._fd is not None
        if not lock_fd(self._fd) or not self._is_there():
            return
        siblings = {each.name for each in self.path.parent.iterdir()}
        aside = past_name(self.path.name, date_of(day), siblings)
        self._size = 0  # a file that can't be renamed is not tried again at each line
        self.path.rename(self.path.with_name(aside))
        for name in expired(self.path.name, siblings, day, self._days):
            with suppress(OSError):
                self.path.with_name(name).unlink()
        self._open_again()


class LogFiles:
    """``app.log``, ``error.log`` and one file for each of *prefixes*, in *folder*.

    Raises :exc:`ConfigurationError` when they can't be written. *only* says which records go
    there.
    """

    def __init__(
        self,
        folder: Path,
        prefixes: Iterable[str],
        formatter: logging.Formatter,
        *,
        level: int,
        most: int,
        days: int,
        only: Callable[[logging.LogRecord], bool] = lambda _: True,
    ) -> None:
        self._attached: list[tuple[logging.Logger, RotatingFile]] = []
        wanted = [
            (logging.root, "app", level),
            (logging.root, "error", max(level, logging.ERROR)),
            *((logging.getLogger(prefix), prefix, level) for prefix in checked(prefixes)),
        ]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for owner, name, least in wanted:
                file = RotatingFile(folder / f"{name}.log", most=most, days=days)
                self._attached.append((owner, file))
                file.setLevel(least)
                file.setFormatter(formatter)
                file.addFilter(only)
        except OSError as error:
            self.close()
            raise ConfigurationError(
                f"The log folder {str(folder)!r} can't be written: {error.strerror}. Use "
                "another one, or make it writable."
            ) from None
        for owner, file in self._attached:
            owner.addHandler(file)

    def close(self) -> None:
        for owner, file in self._attached:
            owner.removeHandler(file)
            file.close()
        lost = sum(file.lost for _, file in self._attached)
        self._attached = []
        if lost:
            logger.warning("The log files lack %s", counted(lost, "line"))


def checked(prefixes: Iterable[str]) -> tuple[str, ...]:
    """Raises :exc:`ConfigurationError` for what can't name a logger and a file."""
    found = tuple(dict.fromkeys(prefixes))
    for prefix in found:
        if not _PREFIX.fullmatch(prefix) or prefix in _OWN_NAMES:
            raise ConfigurationError(
                f"RESILIENCE_LOG_FILES: {prefix!r} can't name a file: use names of loggers, "
                "such as 'myproject.pipelines'."
            )
    return found

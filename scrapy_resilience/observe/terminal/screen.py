"""Some lines at the foot of a terminal, and whatever else is written above them.

The lines are erased before anything else is written, and put back behind it; they are never
left between two lines of a log. The cursor always stands behind them, so whatever ends the
process leaves a terminal that is as usual.
"""

from __future__ import annotations

import io
import os
import re
from threading import RLock
from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.masking import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO, TextIO

__all__ = ["Above", "Screen", "harmless", "size_of"]

_COLOUR: Final = re.compile(r"(\x1b\[[0-9;]{0,30}m)")
_RESET: Final = "\x1b[0m"
_ERASE: Final = "\x1b[{}A\x1b[J"
"""From so many lines above to the end of the screen."""
_BUSY: Final = 20
"""Texts after which the lines are put back at the next :meth:`Screen.draw` only."""
_USUAL: Final = os.terminal_size((80, 24))
"""Of a terminal that does not tell."""


def size_of(stream: TextIO) -> os.terminal_size:
    """Columns and lines of a terminal now."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns = lines = 0
    return os.terminal_size((columns or _USUAL.columns, lines or _USUAL.lines))


def harmless(text: str) -> str:
    """*text* for a terminal: lines, tabs and colours stay, else what it obeys is escaped."""
    if text.isprintable():
        return text
    parts = _COLOUR.split(text)
    for place in range(0, len(parts), 2):
        lines = parts[place].split("\n")
        parts[place] = "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)
    return "".join(parts) + (_RESET if len(parts) > 1 else "")


class Screen:
    """The foot of the terminal that *stream* writes to; *width* gives its columns now.

    A terminal that has gone away is left alone from then on.
    """

    def __init__(self, stream: TextIO, width: Callable[[], int]) -> None:
        self._stream = stream
        self._width = width
        self._lock = RLock()  # threads log, too
        self._lines: Sequence[str] = ()
        self._lengths: Sequence[int] = ()
        self._is_drawn = False
        self._is_open_line = False
        self._texts = 0
        self.gone = False

    def draw(self, lines: Sequence[str], lengths: Sequence[int]) -> None:
        """Put these lines at the foot; *lengths* are their columns, without colours."""
        with self._lock:
            before = self._erased()
            self._lines, self._lengths = lines, lengths
            self._texts = 0
            if self._is_open_line:  # somebody asks for input, or has not come to the end
                before, self._is_open_line = before + "\n", False
            self._put(before + self._foot())

    def leave(self) -> None:
        """The lines stay where they are: what comes now is below them."""
        with self._lock:
            self._lines = self._lengths = ()
            self._is_drawn = False

    def write(self, text: str, stream: TextIO) -> None:
        """Write *text* to *stream* above the lines."""
        with self._lock:
            self._put(self._erased())
            stream.write(text)
            stream.flush()
            self._is_open_line = not text.endswith("\n")
            self._texts += 1
            if not self._is_open_line and self._texts <= _BUSY:
                self._put(self._foot())

    def _foot(self) -> str:
        self._is_drawn = bool(self._lines)
        return "".join(f"{line}\n" for line in self._lines)

    def _erased(self) -> str:
        """What takes the lines away; a terminal that has become narrower has folded them."""
        if not self._is_drawn:
            return ""
        self._is_drawn = False
        width = max(self._width(), 1)
        return _ERASE.format(sum(max(-(-length // width), 1) for length in self._lengths))

    def _put(self, text: str) -> None:
        if not text or self.gone:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # hung up, or closed
            self.gone = True


class Above(io.TextIOBase):
    """A stream for what is written above the lines of *screen*.

    *clean*: whether what a terminal obeys is escaped, as in the lines of a log.
    """

    def __init__(self, screen: Screen, stream: TextIO, *, clean: bool) -> None:
        self.stream = stream
        self._screen = screen
        self._clean = clean

    @property
    def buffer(self) -> BinaryIO:
        """For bytes, such as those of a feed: they go to the terminal as they are."""
        return self.stream.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.stream.errors

    def write(self, text: str) -> int:
        if text:
            self._screen.write(harmless(text) if self._clean else text, self.stream)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def writable(self) -> bool:
        return True

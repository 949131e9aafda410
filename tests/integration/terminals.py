"""Child processes on a terminal of their own, and what is seen on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from functools import partial
from threading import Thread

_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")
_LIMIT = 60.0


class Emulated:
    """The lines of a terminal that folds at *width* and knows the few things that we use."""

    def __init__(self, width=100):
        self.width = width
        self.lines = [""]
        self.row = self.column = 0
        self.unknown = set()
        self._rest = ""

    def feed(self, text):
        text = self._rest + text
        place = 0
        while place < len(text):
            char = text[place]
            if char == "\x1b":
                found = _SEQUENCE.match(text, place)
                if found is None:
                    if len(text) - place < 20:
                        break  # the rest of it comes later
                    self.unknown.add(text[place : place + 5])
                    place += 1
                    continue
                self._obey(found[1], found[2])
                place = found.end()
                continue
            self._put(char)
            place += 1
        self._rest = text[place:]

    def _obey(self, number, command):
        if command == "A":
            self.row = max(self.row - int(number or 1), 0)
        elif command == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        elif command != "m":
            self.unknown.add(number + command)

    def _put(self, char):
        if char == "\n":
            self.row += 1
        elif char == "\r":
            self.column = 0
        else:
            if self.column >= self.width:
                self.row, self.column = self.row + 1, 0
            self._line()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1
        self._line()

    def _line(self):
        while len(self.lines) <= self.row:
            self.lines.append("")

    @property
    def text(self):
        return "\n".join(self.lines)


class Terminal:
    """A process on a terminal: what it has written, and what is to be seen."""

    def __init__(self, master, process, width):
        self.master = master
        self.process = process
        self.screen = Emulated(width)
        self.raw = ""
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self.master, 65_536)
            except OSError:  # the last one has closed it
                return
            if not data:
                return
            text = data.decode("utf-8", "replace")
            self.raw += text
            self.screen.feed(text)

    def wait_for(self, text):
        """Until *text* is on the screen."""
        end = time.monotonic() + _LIMIT
        while text not in self.screen.text:
            assert time.monotonic() < end, self.screen.text
            assert self.process.poll() is None or self._drained(), self.screen.text
            time.sleep(0.02)

    def _drained(self):
        self._reader.join(0.5)
        return True

    def resize(self, columns, lines=24):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def end(self):
        """Wait for the process, and give its exit code."""
        code = self.process.wait(_LIMIT)
        self._reader.join(_LIMIT)
        return code


@contextmanager
def terminal(command, folder, *, width=100, lines=24, **environ):
    """Run a command on a terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, width, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [*map(str, command)],
        cwd=folder,
        env={**kept, "TERM": "xterm-256color", **environ},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # whoever runs the tests in the background has told them to ignore it
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no lock is taken
    )
    os.close(slave)
    shown = Terminal(master, process, width)
    try:
        yield shown
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)

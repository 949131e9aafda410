"""Records of files that only grow: whole, or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scrapy_resilience.files import whole_writes
from scrapy_resilience.files.whole_writes import append_whole


class Disk:
    """What takes a few bytes at a time, until it is full."""

    def __init__(self, room):
        self.room = room
        self._write = os.write

    def write(self, fd, data):
        """As os.write() does it."""
        if not self.room:
            raise OSError(28, "No space left on device")
        written = self._write(fd, data[: min(3, self.room)])
        self.room -= written
        return written


@pytest.fixture
def file(tmp_path):
    """An open file that holds a record."""
    with (tmp_path / "file").open("ab", buffering=0) as file:
        file.write(b"one\n")
        yield file


@pytest.mark.parametrize("room", [10, 9, 7, 0])
def test_a_record_in_small_steps(file, monkeypatch, room):
    """However often it is short, it goes on; what does not fit in leaves nothing."""
    monkeypatch.setattr(whole_writes.os, "write", Disk(room).write)
    record = b"123456789\n"

    if room < len(record):
        with pytest.raises(OSError, match="No space"):
            append_whole(file.fileno(), record, 4)
    else:
        append_whole(file.fileno(), record, 4)

    assert Path(file.name).read_bytes() == b"one\n" + (record if room == len(record) else b"")

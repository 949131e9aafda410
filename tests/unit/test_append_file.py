"""A file on a disk that is full now and then."""

from __future__ import annotations

import csv
import errno
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.files import append_file
from scrapy_resilience.files.append_file import RetryingAppendFile


class Disk:
    """``os.write`` that takes *room* bytes and then says that the disk is full."""

    def __init__(self, room=2**30):
        self.room = room

    def write(self, fd, data):
        """Write as much as there is room for."""
        taken = min(self.room, len(data))
        if data and not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= taken
        return os.write(fd, bytes(data[:taken]))

    def __getattr__(self, name):
        return getattr(os, name)


@pytest.fixture
def disk(monkeypatch):
    """The disk of all patient files."""
    disk = Disk()
    monkeypatch.setattr(append_file, "os", disk)
    return disk


def test_a_full_disk_loses_nothing(tmp_path, disk):
    """What is written while the disk is full is there, in order, once it has room again."""
    file = RetryingAppendFile(tmp_path / "f")
    disk.room = 3
    file.write(b"one ")
    file.write(b"two ")
    file.flush()
    with pytest.raises(OSError, match="No space left"):
        file.settle()
    assert (tmp_path / "f").read_bytes() == b"one"
    file.write(b"three")
    assert file.tell() == len(b"one two three")

    disk.room = 100
    file.settle()

    assert (tmp_path / "f").read_bytes() == b"one two three"
    file.close()


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 40)), max_size=30))
def test_any_sequence_of_writes_and_full_disks(tmp_path_factory, steps):
    """Once it settles the file is what was written, whenever the disk was full."""
    path = tmp_path_factory.mktemp("disk") / "f"
    disk = Disk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append_file, "os", disk)
        patch.setattr(append_file, "_ENOUGH", 32)
        with RetryingAppendFile(path) as file:
            for data, room in steps:
                disk.room = room
                file.write(data)
        disk.room = 2**20
        file.settle()
    assert path.read_bytes() == b"".join(data for data, _ in steps)


def test_a_close_on_a_full_disk(tmp_path, disk):
    """A file that is closed while the disk is full is completed by a later settle."""
    file = RetryingAppendFile(tmp_path / "f")
    file.write(b"one two")
    disk.room = 3
    file.close()
    assert file.closed
    with pytest.raises(OSError, match="No space left"):
        file.settle()

    disk.room = 100
    file.settle()

    assert (tmp_path / "f").read_bytes() == b"one two"
    file.settle()
    file.close()


def test_a_text_layer_that_ends_on_a_full_disk(tmp_path, disk):
    """A CSV exporter lets go of its file whether the disk is full or not."""
    file = RetryingAppendFile(tmp_path / "f")
    stream = io.TextIOWrapper(file, newline="", write_through=True)
    disk.room = 0
    csv.writer(stream).writerow(["row"])
    stream.detach()
    file.close()

    disk.room = 100
    file.settle()

    assert (tmp_path / "f").read_bytes() == b"row\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_text_layer_writes_one_mark(tmp_path, encoding):
    """A CSV writer that goes on in a file writes no second byte order mark."""
    path = tmp_path / "f.csv"
    for row in ("one", "two"):
        with RetryingAppendFile(path) as file:
            stream = io.TextIOWrapper(file, encoding, newline="", write_through=True)
            csv.writer(stream).writerow([row])
            stream.flush()
            stream.detach()
    assert path.read_bytes() == "one\r\ntwo\r\n".encode(encoding)


def test_emptying(tmp_path):
    """A file that is emptied holds what is written after that only."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with RetryingAppendFile(path) as file:
        file.write(b"older")
        file.truncate(0)
        file.write(b"new")
    assert path.read_bytes() == b"new"

"""Locks that end with their process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from scrapy_resilience.exceptions import JobLockedError
from scrapy_resilience.files import lock as lock_module
from scrapy_resilience.files.lock import FileLock, is_locked, lock_fd

_HOLD = """
import sys
from pathlib import Path
from scrapy_resilience.files.lock import FileLock

lock = FileLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    """Try as often as in earnest, without the pauses."""
    monkeypatch.setattr(lock_module, "_PAUSE", 0, raising=False)


@pytest.fixture
def path(tmp_path):
    """Return where the lock is."""
    return tmp_path / "resilience.lock"


@pytest.fixture
def holder(path):
    """Return another process that holds the lock."""
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout.readline() == "held\n"
        yield child
        child.stdin.close()


def test_a_free_lock_is_taken(path):
    """A lock that nobody holds is taken, and is free again after its release."""
    lock = FileLock(path)
    assert not is_locked(path)
    lock.acquire()
    assert is_locked(path)
    lock.release()
    assert not is_locked(path)


def test_two_descriptors_of_one_process(path):
    """The same process can't take a lock twice."""
    first, second = FileLock(path), FileLock(path)
    first.acquire()

    with pytest.raises(JobLockedError):
        second.acquire()

    first.release()
    second.acquire()
    second.release()


def test_a_refusal_names_the_holder_and_the_job(path):
    """The error says which process runs the job in which folder."""
    lock = FileLock(path)
    lock.acquire()

    with pytest.raises(JobLockedError, match=rf"{path.parent} .*process {os.getpid()}\b"):
        FileLock(path).acquire()
    lock.release()


def test_a_refused_lock_leaves_the_holder_alone(path):
    """Trying a lock that is held neither frees it nor changes its text."""
    lock = FileLock(path)
    lock.acquire()
    text = path.read_bytes()
    with pytest.raises(JobLockedError):
        FileLock(path).acquire()

    assert path.read_bytes() == text
    assert is_locked(path)
    lock.release()


def test_another_process_is_named(path, holder):
    """A lock that another process holds is refused with its number."""
    assert is_locked(path)

    with pytest.raises(JobLockedError, match=rf"process {holder.pid}\b"):
        FileLock(path).acquire()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX")
def test_sigkill_frees_the_lock(path, holder):
    """A lock ends with its process, also when that had no say; its file may stay."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    assert path.exists()
    assert not is_locked(path)
    lock = FileLock(path)
    lock.acquire()
    assert path.read_text() == f"process {os.getpid()}"
    lock.release()


_FORK = """
import os, sys
from pathlib import Path
from scrapy_resilience.files.lock import FileLock, lock_fd

lock = FileLock(Path(sys.argv[1]))
lock.acquire()
feed = open(sys.argv[2], "ab")
lock_fd(feed.fileno())
child = os.fork()
if child == 0:
    os.write(feed.fileno(), b"nothing")
    sys.stdin.read()
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_was_forked_off(tmp_path, path):
    """Locks end with the process that took them, not with those that it has forked off."""
    feed = tmp_path / "items.jsonl"
    parent = subprocess.Popen(
        [sys.executable, "-c", _FORK, str(path), str(feed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent, feed.open("ab") as file:
        child = int(parent.stdout.readline())
        assert is_locked(path)
        assert not lock_fd(file.fileno())

        parent.kill()
        parent.wait()

        os.kill(child, 0)  # it is there
        tries = 0
        while is_locked(path):  # its parent told of it before it has begun
            tries += 1
            assert tries < 1000
            time.sleep(0.01)
        assert lock_fd(file.fileno())
        assert feed.read_bytes() == b""
        parent.stdin.close()  # which ends it


def test_a_descriptor_that_is_another_file_by_now(tmp_path, path):
    """A process that is forked off keeps what is not locked."""
    with path.open("ab") as first:
        assert lock_fd(first.fileno())
        number = first.fileno()
    with (tmp_path / "other").open("wb") as other:
        assert other.fileno() == number
        child = os.fork()
        if child == 0:
            os.write(number, b"written")
            os._exit(0)
        os.waitpid(child, 0)
    assert (tmp_path / "other").read_bytes() == b"written"


def test_a_text_that_names_nobody(path):
    """What else is in the file of a lock is not shown."""
    lock = FileLock(path)
    lock.acquire()
    path.write_text("\x1b[2J process 1")

    with pytest.raises(JobLockedError, match=r"is in use by another process: .*fuser"):
        FileLock(path).acquire()
    lock.release()


def test_releasing_twice_is_no_error(path):
    """A lock that is not held may be released."""
    lock = FileLock(path)
    lock.release()
    lock.acquire()
    lock.release()
    lock.release()


def test_a_lock_ends_with_its_object(path):
    """A lock that is thrown away is free."""
    lock = FileLock(path)
    lock.acquire()
    del lock

    assert not is_locked(path)


def test_looking_does_not_make_a_file(path):
    """A folder without a lock file is not locked, and has none afterwards."""
    assert not is_locked(path)
    assert not path.exists()


def test_looking_does_not_take_the_lock(path):
    """A look at a free lock leaves it free, and its text alone."""
    path.write_text("process 1")

    assert not is_locked(path)
    assert path.read_text() == "process 1"
    lock = FileLock(path)
    lock.acquire()
    lock.release()


@pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
def test_the_lock_file_is_private(path):
    """The lock's file has mode 0600."""
    lock = FileLock(path)
    lock.acquire()

    assert path.stat().st_mode & 0o777 == 0o600
    lock.release()


def test_an_open_feed_is_locked_by_its_descriptor(tmp_path):
    """lock_fd locks the open file until it is closed."""
    feed = tmp_path / "items.jsonl"
    with feed.open("ab") as first, feed.open("ab") as second:
        assert lock_fd(first.fileno())
        assert lock_fd(first.fileno())
        assert not lock_fd(second.fileno())
        first.close()
        assert lock_fd(second.fileno())

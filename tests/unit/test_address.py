"""Where the endpoint of a job is: the file that says it."""

from __future__ import annotations

import json
import os
import stat

import pytest

from scrapy_resilience.files.address import forget_address, read_address, write_address
from scrapy_resilience.files.layout import ADDRESS, LOCK
from scrapy_resilience.files.lock import FileLock

URL = "http://127.0.0.1:9410/"


@pytest.fixture
def locked(tmp_path):
    """A job that this process runs."""
    lock = FileLock(tmp_path / LOCK)
    lock.acquire()
    yield tmp_path
    lock.release()


@pytest.mark.parametrize("url", [URL, "http://[::1]:1/", "http://crawler.lan:65535/"])
def test_it_is_found_while_the_job_runs(locked, url):
    """It has mode 0600, and no secret."""
    write_address(locked, url)
    assert read_address(locked) == url
    assert stat.S_IMODE((locked / ADDRESS).stat().st_mode) == 0o600
    forget_address(locked)
    assert read_address(locked) is None
    forget_address(locked)


def test_of_a_killed_run(tmp_path):
    """Nobody has the lock: what is there is old."""
    lock = FileLock(tmp_path / LOCK)
    lock.acquire()
    write_address(tmp_path, URL)
    lock.release()
    assert read_address(tmp_path) is None


def test_of_another_run(locked):
    """A later run has no endpoint, or not yet."""
    (locked / ADDRESS).write_text(json.dumps({"url": URL, "pid": os.getpid() + 1}))
    assert read_address(locked) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", '{"url": 5, "pid": 1}', "\xff", "[" * 900, '{"url": "%s"}',
     '{"url": "file:///etc/passwd", "pid": PID}', '{"url": "http://evil/?x", "pid": PID}',
     '{"url": "http://a:1/\\u001b[2J", "pid": PID}', '{"url": "http://u:p@a:1/", "pid": PID}'],
)  # fmt: skip
def test_what_is_no_address(locked, text):
    """A file that is torn, or leads elsewhere, is none."""
    (locked / ADDRESS).write_text(text.replace("PID", str(os.getpid())), "latin-1")
    assert read_address(locked) is None


def test_links_are_not_followed(locked, tmp_path_factory):
    """Neither when it is written, nor when it is read."""
    other = tmp_path_factory.mktemp("other") / "file"
    other.write_text(json.dumps({"url": URL, "pid": os.getpid()}))
    (locked / ADDRESS).symlink_to(other)
    assert read_address(locked) is None
    with pytest.raises(PermissionError):
        write_address(locked, URL)
